"""The eligible datasets: what they are called, and where their rows come from."""

from __future__ import annotations

from typing import Any

from emulator.catalog import Catalog, DatasetFixture
from emulator.datasets import GeneratedRows, RowSource


class Library:
    """All datasets that can be exported. Rows are made when they are first asked for.

    `seed` decides every value; `anchor` (epoch seconds) is the instant at which a dataset has its initial rows and from
    which on it grows.
    """

    def __init__(self, catalog: Catalog, *, seed: int, anchor: float) -> None:
        self._datasets: dict[str, DatasetFixture] = dict(catalog.datasets)
        self._seed = seed
        self._anchor = anchor
        self._rows: dict[str, RowSource] = {}

    @property
    def anchor(self) -> float:
        return self._anchor

    def restart(self, anchor: float) -> None:
        """Lets every dataset begin anew at `anchor` (epoch seconds)."""
        self._anchor = anchor
        self._rows.clear()

    def has(self, dataset_id: str) -> bool:
        return dataset_id in self._datasets

    def name(self, dataset_id: str) -> str:
        return self._datasets[dataset_id].name

    def __len__(self) -> int:
        return len(self._datasets)

    def page(self, start: int, limit: int) -> list[dict[str, Any]]:
        """The datasets as `/configs` lists them, from the index `start`, `limit` at most."""
        return [dataset.body for dataset in list(self._datasets.values())[start : start + limit]]

    def rows(self, dataset_id: str) -> RowSource:
        """The rows of a dataset. Raises KeyError when there is no such dataset."""
        if dataset_id not in self._rows:
            dataset = self._datasets[dataset_id]
            self._rows[dataset_id] = GeneratedRows(
                dataset_id=dataset_id,
                schema=dataset.schema,
                seed=self._seed,
                rows=dataset.rows,
                rows_per_hour=dataset.rows_per_hour,
                anchor=self._anchor,
            )
        return self._rows[dataset_id]
