"""Datasets that a user has put by a control call: read, checked, kept in the store, and their rows.

Their rows have positions that never mean another row later on (see `record_rows.Relocated`), which is what incremental
exports go by. When a dataset is put again:

- if its records are the old ones, unchanged, and further ones behind them, just the further ones are new;
- if rows are made after the same schema, and no fewer than there are now, just those beyond them are new (the times of the old
  ones move, as `rows` rows are spread over the year before the call);
- if only its name or `rowsPerHour` is another, nothing is new, and it grows otherwise from now on;
- anything else is another dataset under the same id: all of its rows are new. That is also so for records whose dataset has
  grown by `rowsPerHour` in the meantime, and for an id that is used again after a DELETE.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Iterable, Iterator
from dataclasses import asdict, dataclass, replace
from typing import Any, Final

from flow_service_emulator.clock import Clock
from flow_service_emulator.datasets.arrow_json_schema import json_schema_of
from flow_service_emulator.datasets.content import (
    Content,
    Difference,
    KeptTexts,
    difference,
    kept_content,
    text_key,
    with_further,
)
from flow_service_emulator.datasets.record_rows import GoOn, RecordRows, Relocated
from flow_service_emulator.rows.seeded import Arrivals, GeneratedRows, RowSource
from flow_service_emulator.store.changes import Change
from flow_service_emulator.store.store import SetMeta, Store

log = logging.getLogger("emulator.datasets")

_DATASET: Final = "dataset/"
_POSITIONS: Final = "dataset-positions/"
"""Up to which position the rows of a dataset that was deleted went."""


@dataclass(frozen=True, slots=True)
class UserDataset:
    """A dataset as it is kept. `anchor` is in epoch seconds.

    `rows` is as it was put, `rows_at_anchor` how many there were at `anchor`, from which on it grows; `base` is the position of
    the first. Without a `schema` it has records, in `texts` texts.
    """

    id: str
    name: str
    rows: int
    rows_per_hour: float
    rows_at_anchor: int
    anchor: float
    base: int
    schema: dict[str, Any] | None
    texts: int

    def rows_at(self, at: float) -> int:
        """How many rows it has at an instant (epoch seconds), its anchor or later."""
        rate = self.rows_per_hour if self.schema is not None or self.rows else 0
        return Arrivals(self.rows_at_anchor, rate, self.anchor).count_at(max(at, self.anchor))

    def end_at(self, at: float) -> int:
        """The position behind its last row at an instant."""
        return self.base + self.rows_at(at)


class UserDatasets:
    """The datasets that were put, in the order in which their ids were first put."""

    def __init__(self, store: Store, clock: Clock, *, seed: int) -> None:
        self._store = store
        self._clock = clock
        self._seed = seed
        self._datasets: dict[str, UserDataset] = {}
        self._sources: dict[str, RowSource] = {}
        self._records: dict[str, Content] = {}
        """What there is of each in memory, without its texts."""
        self._appending = asyncio.Lock()

    def __contains__(self, dataset_id: str) -> bool:
        return dataset_id in self._datasets

    def __getitem__(self, dataset_id: str) -> UserDataset:
        return self._datasets[dataset_id]

    def __iter__(self) -> Iterator[str]:
        return iter(self._datasets)

    def __len__(self) -> int:
        return len(self._datasets)

    def load(self) -> None:
        """Takes over what the store has: at the start, after a reset, after a snapshot was put back."""
        self._datasets.clear()
        self._sources.clear()
        self._records.clear()
        for key in self._store.meta_keys(_DATASET):
            dataset_id = key.removeprefix(_DATASET)
            try:
                self._datasets[dataset_id] = read_kept(dataset_id, self._store.get_meta(key))
            except ValueError as fault:
                log.warning("the dataset %s is left out, as what is kept of it is damaged: %s", dataset_id[:100], fault)

    async def put(
        self,
        dataset_id: str,
        content: Content,
        go_on: GoOn = lambda: None,
        check: Callable[[], None] = lambda: None,
    ) -> UserDataset:
        """Keeps a dataset, a new one or in the place of the one of its id; answers it.

        What there is to write is found in a thread; `check` is called right before it is written. Raises StoreError, and what
        `go_on` and `check` raise.
        """
        while True:
            old = self._datasets.get(dataset_id)
            found = await asyncio.to_thread(difference, dataset_id, content, self._texts(old), go_on)
            if self._datasets.get(dataset_id) is old:
                check()
                return self._commit(dataset_id, content, found)

    def _commit(self, dataset_id: str, content: Content, found: Difference) -> UserDataset:
        """Keeps a dataset whose texts differ so from those of the one of its id, if there is one."""
        now = self._clock.now()
        old = self._datasets.get(dataset_id)
        if old is None:
            base = self._store.get_meta(_POSITIONS + dataset_id) or 0
            dataset = _placed(dataset_id, content, found.texts, base, content.rows, now)
        else:
            dataset = _following(old, content, found, now)
        placed = SetMeta(_DATASET + dataset_id, asdict(dataset)), SetMeta(_POSITIONS + dataset_id, None)
        self._store.write([*placed, *found.changes])
        self._datasets[dataset_id] = dataset
        self._keep(dataset, content)
        return dataset

    async def append(self, dataset_id: str, records: Iterable[Any], go_on: GoOn = lambda: None) -> int:
        """Keeps further records of a dataset, which the next incremental export then has; answers how many.

        Raises KeyError, StoreError, and ValueError for records that do not go with the others, for a dataset that has
        none, and for one that grows by itself: its rows repeat the records, so that no place is behind them.
        """
        async with self._appending:
            await self.prepare(dataset_id, go_on)
            self.rows(dataset_id)
            dataset = self._datasets[dataset_id]
            if dataset.schema is not None:
                raise ValueError(
                    "its rows are made after a schema; only a dataset that was put with records takes more"
                )
            if dataset.rows_per_hour or dataset.rows_at_anchor != dataset.rows:
                raise ValueError("it grows by rowsPerHour, its records repeated; put it without that to append to it")
            old, kept = self._records[dataset_id]._replace(name=dataset.name), self._texts(dataset)
            content, found = await asyncio.to_thread(_lengthened, dataset_id, old, kept, records, go_on)
            if self._datasets.get(dataset_id) is not dataset:
                raise ValueError("it was put anew or deleted in the meantime; try again")
            return self._commit(dataset_id, content, found).rows - dataset.rows

    def delete(self, dataset_id: str) -> None:
        """Forgets a dataset, but not up to where its positions went. Raises KeyError and StoreError."""
        dataset = self._datasets[dataset_id]
        texts: list[Change] = [SetMeta(text_key(dataset_id, index), None) for index in range(dataset.texts)]
        end = dataset.end_at(self._clock.now())
        self._store.write([SetMeta(_DATASET + dataset_id, None), SetMeta(_POSITIONS + dataset_id, end or None), *texts])
        del self._datasets[dataset_id]
        self._sources.pop(dataset_id, None)
        self._records.pop(dataset_id, None)

    async def prepare(self, dataset_id: str, go_on: GoOn = lambda: None) -> None:
        """Lets `rows` answer at once: records that come from the data folder are decoded in a thread first.

        Raises ValueError for records that are damaged, and what `go_on` raises.
        """
        dataset = self._datasets.get(dataset_id)
        if dataset is None or dataset_id in self._sources:
            return
        content = await asyncio.to_thread(_content, dataset, self._texts(dataset), go_on)
        if self._datasets.get(dataset_id) is dataset:
            self._keep(dataset, content)

    def rows(self, dataset_id: str) -> RowSource:
        """A dataset's rows. Raises KeyError when there is no such dataset, ValueError as `prepare`."""
        if dataset_id not in self._sources:
            dataset = self._datasets[dataset_id]
            self._keep(dataset, _content(dataset, self._texts(dataset)))
        return self._sources[dataset_id]

    def schema(self, dataset_id: str) -> dict[str, Any]:
        """The JSON Schema of a dataset's rows: as it was put, or as its records have it. Raises as `rows`."""
        given = self._datasets[dataset_id].schema
        return json_schema_of(self.rows(dataset_id).arrow_schema) if given is None else given

    def _texts(self, dataset: UserDataset | None) -> KeptTexts:
        keys = [] if dataset is None else [text_key(dataset.id, index) for index in range(dataset.texts)]
        return KeptTexts([self._store.raw_meta(key) for key in keys])

    def _keep(self, dataset: UserDataset, content: Content) -> None:
        """Keeps a dataset's content at hand."""
        self._sources[dataset.id] = self._source(dataset, content)
        self._records[dataset.id] = content._replace(texts=(), first=0)

    def _source(self, dataset: UserDataset, content: Content) -> RowSource:
        source: RowSource
        if dataset.schema is None:
            assert content.columns is not None, "records come with their columns"
            grown = dataset.rows_at_anchor - dataset.rows
            source = RecordRows(
                content.columns,
                content.batches,
                rows_per_hour=dataset.rows_per_hour,
                anchor=dataset.anchor,
                grown=grown,
            )
        else:
            source = GeneratedRows(
                dataset_id=dataset.id,
                schema=dataset.schema,
                seed=self._seed,
                rows=dataset.rows_at_anchor,
                rows_per_hour=dataset.rows_per_hour,
                anchor=dataset.anchor,
            )
        return Relocated(source, dataset.base) if dataset.base else source


def _placed(
    dataset_id: str, content: Content, texts: int, base: int, rows_at_anchor: int, anchor: float
) -> UserDataset:
    return UserDataset(
        id=dataset_id,
        name=content.name,
        rows=content.rows,
        rows_per_hour=content.rows_per_hour,
        rows_at_anchor=rows_at_anchor,
        anchor=anchor,
        base=base,
        schema=content.schema,
        texts=texts,
    )


def _following(old: UserDataset, content: Content, found: Difference, now: float) -> UserDataset:
    """A dataset that is put in the place of another: which of its rows are the old ones (see the top of this file)."""
    rows_now = old.rows_at(now)
    if content.schema != old.schema:
        same = lengthened = False
    elif content.schema is None:
        same = found.same
        lengthened = rows_now == old.rows and found.lengthened
    else:
        same = content.rows == old.rows
        lengthened = content.rows >= rows_now
    if same and content.rows_per_hour == old.rows_per_hour:
        return replace(old, name=content.name)
    if same:
        return _placed(old.id, content, found.texts, old.base, rows_now, now)
    base = old.base if lengthened else old.base + rows_now
    return _placed(old.id, content, found.texts, base, content.rows, now)


def _lengthened(
    dataset_id: str, old: Content, kept: KeptTexts, records: Iterable[Any], go_on: GoOn
) -> tuple[Content, Difference]:
    """Records with further ones behind them, and what has to be written. Raises as `with_further`. For a worker thread."""
    content = with_further(old, kept, records, go_on)
    return content, difference(dataset_id, content, kept, go_on)


def _content(dataset: UserDataset, texts: KeptTexts, go_on: GoOn = lambda: None) -> Content:
    """The content of a dataset that is kept. Raises ValueError for records that are damaged, and what `go_on` raises."""
    if dataset.schema is not None:
        return Content(dataset.name, dataset.rows, dataset.rows_per_hour, dataset.schema)
    return kept_content(dataset.id, dataset.name, dataset.rows, dataset.rows_per_hour, texts, go_on)


def read_kept(dataset_id: str, value: Any) -> UserDataset:
    """A dataset as the store keeps it under its id. Raises ValueError for what `put` never keeps."""
    try:
        dataset = UserDataset(**value)
    except TypeError as fault:
        raise ValueError(f"the fields of a dataset are needed ({fault})") from None
    whole = (dataset.rows, dataset.rows_at_anchor, dataset.base, dataset.texts)
    if not all(type(number) is int and number >= 0 for number in whole):
        raise ValueError("rows, rows_at_anchor, base and texts are whole numbers from 0")
    if dataset.id != dataset_id or not isinstance(dataset.name, str) or not isinstance(dataset.schema, dict | None):
        raise ValueError("id and name are texts, schema is an object")
    Arrivals(dataset.rows_at_anchor, dataset.rows_per_hour, dataset.anchor)
    return dataset
