"""The eligible datasets: what they are called, and where their rows come from.

They come from three places: the fixtures (made-up rows), the control calls (`put`) and a folder of files (`folder`). An id belongs
to one of them only.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from itertools import chain, islice
from pathlib import Path
from typing import Any, Final

from flow_service_emulator.clock import Clock
from flow_service_emulator.data.datasets.content import Job
from flow_service_emulator.data.datasets.dataset_fixtures import DatasetFixture
from flow_service_emulator.data.datasets.folder import DatasetFiles, FileDataset
from flow_service_emulator.data.datasets.put import Content, UserDatasets
from flow_service_emulator.data.datasets.reader import Reader
from flow_service_emulator.data.datasets.stored import Found
from flow_service_emulator.data.rows.seeded import Arrivals, GeneratedRows, RowSource
from flow_service_emulator.store.store import Store

_BODY: Final = {
    "description": "A dataset of the user's own",
    "fileDescription": {"persisted": True, "containerFormat": "parquet", "format": "parquet"},
    "aspect": "production",
    "state": "DRAFT",
}


class Library:
    """All datasets that can be exported: those of the fixtures first, then those put, then those in files.

    `seed` decides every value that is made up; `anchor` (epoch seconds) is the instant at which a dataset of the fixtures has its
    initial rows and from which on it grows. `folder` is where a user's own files are.
    """

    def __init__(
        self,
        fixtures: Mapping[str, DatasetFixture],
        *,
        store: Store,
        clock: Clock,
        seed: int,
        anchor: float,
        folder: Path | None = None,
    ) -> None:
        self._fixtures = fixtures
        self._clock = clock
        self._seed = seed
        self.anchor = anchor
        self._made: dict[str, RowSource] = {}
        self._reader = Reader()
        self._put = UserDatasets(store, clock, seed=seed)
        self._files = DatasetFiles(
            folder, store, self._reader, owner=lambda id_: self._owner(id_) if id_ not in self._files.datasets else None
        )
        self.stop = self._reader.stop
        """Ends the reading of content."""

    def restart(self, anchor: float) -> None:
        """Let every dataset of the fixtures begin again at `anchor` (epoch seconds), and the others be as the store has them."""
        if anchor != self.anchor:  # else the same rows would be made ready again, which takes longer than a reset
            self.anchor = anchor
            self._made.clear()
        self._put.load()
        self._files.restart()

    async def refresh(self) -> None:
        """Take notice of files that have come, grown, changed or gone. To be called before an answer that depends on them.

        Raises the ServiceError `server-ending`.
        """
        await self._files.refresh()

    def has(self, dataset_id: str) -> bool:
        return any(dataset_id in some for some in (self._fixtures, self._put.datasets, self._files.datasets))

    def problem(self, dataset_id: str) -> str | None:
        """Why a file with this id cannot be exported, in words; None where there is no such file, or another dataset has the id."""
        if self.has(dataset_id):
            return None
        found = (file for file in self._files.problems if file.id == dataset_id)
        return next((f"the file {file.file} cannot be used: {file.problem}" for file in found), None)

    def name(self, dataset_id: str) -> str:
        named = self._fixtures.get(dataset_id) or self._put.datasets.get(dataset_id)
        return named.name if named else dataset_id

    def __len__(self) -> int:
        return len(self._fixtures) + len(self._put.datasets) + len(self._files.datasets)

    def page(self, start: int, limit: int) -> list[dict[str, Any]]:
        """The datasets as `/configs` lists them, from the index `start`, `limit` at most."""
        return [
            self._fixtures[id_].body if id_ in self._fixtures else {"id": id_, "name": self.name(id_), **_BODY}
            for id_ in islice(self._ids(), start, start + limit)
        ]

    def rows(self, dataset_id: str) -> RowSource:
        """The rows of a dataset. Raises KeyError when there is no such dataset."""
        if dataset_id in self._put.datasets:
            return self._put.rows(dataset_id)
        if dataset_id in self._files.datasets:
            return self._files.rows[dataset_id]
        if dataset_id not in self._made:
            dataset = self._fixtures[dataset_id]
            self._made[dataset_id] = GeneratedRows(
                dataset_id=dataset_id,
                schema=dataset.schema,
                seed=self._seed,
                rows=dataset.rows,
                rows_per_hour=dataset.rows_per_hour,
                anchor=self.anchor,
            )
        return self._made[dataset_id]

    # --- for the control calls ------------------------------------------------------------------------------------

    def facts(self) -> list[dict[str, Any]]:
        """Every dataset, and every file that cannot be one."""
        return [*map(self.facts_of, self._ids()), *map(_file_facts, self._files.problems)]

    def facts_of(self, dataset_id: str) -> dict[str, Any]:
        """What there is to tell of a dataset now. Raises KeyError."""
        now = self._clock.now()
        if dataset_id in self._files.datasets:
            return _file_facts(self._files.datasets[dataset_id])
        if dataset_id in self._put.datasets:
            put = self._put.datasets[dataset_id]
            return _facts(dataset_id, put.name, "call", put.rows_at(now), put.rows_per_hour)
        dataset = self._fixtures[dataset_id]
        rows = Arrivals(dataset.rows, dataset.rows_per_hour, self.anchor).count_at(now)
        return _facts(dataset_id, dataset.name, "fixtures", rows, dataset.rows_per_hour)

    def schema(self, dataset_id: str) -> dict[str, Any]:
        """The JSON Schema of a dataset's rows. Raises KeyError."""
        given = self._put.datasets[dataset_id].schema if dataset_id in self._put.datasets else None
        if dataset_id in self._fixtures:
            given = self._fixtures[dataset_id].schema
        if given is not None:
            return given
        from flow_service_emulator.data.datasets.arrow_json_schema import json_schema_of

        return json_schema_of(self.rows(dataset_id).arrow_schema)

    def is_recorded(self, dataset_id: str) -> bool:
        """Whether a dataset has a user's rows, and its schema is what these show."""
        return dataset_id in self._files.datasets or (
            dataset_id in self._put.datasets and self._put.datasets[dataset_id].schema is None
        )

    async def read(self, dataset_id: str, form: str, body: bytes) -> Found:
        """What a `body` of the format `form` has, to be put. Raises FileFault, and ServiceError while the server is ending."""
        before = self._put.datasets[dataset_id].mark if dataset_id in self._put.datasets else None
        return await self._reader.read(Job(form, before=before, upload=True), body)

    async def read_further(self, dataset_id: str, form: str, body: bytes) -> Found:
        """Further records of a dataset that was put. Raises as `read`, and ValueError for one that takes none."""
        types, start = self._put.columns_for_more(dataset_id), self._put.datasets[dataset_id].digest
        return await self._reader.read(Job(form, types=types, start=start, upload=True), body)

    def put(self, dataset_id: str, content: Content) -> None:
        """Store a user's dataset, a new one or in the place of the one of its id. Raises StoreError."""
        self._put.put(dataset_id, content)

    def append(self, dataset_id: str, further: Found) -> int:
        """Store what `read_further` gave; answers how many rows. Raises KeyError and StoreError."""
        return self._put.append(dataset_id, further)

    def delete(self, dataset_id: str) -> None:
        """Forget a dataset that was put. Raises KeyError and StoreError."""
        self._put.delete(dataset_id)
        self._files.assemble()

    def owner(self, dataset_id: str) -> str | None:
        """In words, whose an id is that cannot be put or deleted; None where it can."""
        return None if dataset_id in self._put.datasets else self._owner(dataset_id)

    def _owner(self, dataset_id: str) -> str | None:
        if dataset_id in self._fixtures:
            return "a dataset of the fixtures"
        if dataset_id in self._put.datasets:
            return "a dataset that was put"
        return f"the file {self._files.datasets[dataset_id].file}" if dataset_id in self._files.datasets else None

    def _ids(self) -> Iterator[str]:
        return chain(self._fixtures, self._put.datasets, self._files.datasets)


def _facts(id_: str, name: str, origin: str, rows: int, rows_per_hour: float) -> dict[str, Any]:
    return {"id": id_, "name": name, "origin": origin, "rows": rows, "rowsPerHour": rows_per_hour}


def _file_facts(file: FileDataset) -> dict[str, Any]:
    told = _facts(file.id, file.id, "file", file.mark.rows, 0) | {"file": file.file}
    return told if file.problem is None else told | {"problem": file.problem}
