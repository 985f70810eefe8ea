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
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from emulator.clock import Clock
from emulator.datasets.arrow_json_schema import json_schema_of
from emulator.datasets.record_rows import (
    GoOn,
    RecordRows,
    Relocated,
    decoded_texts,
    further_texts,
    joined_texts,
    lengthens,
    record_texts,
    shape_of_texts,
)
from emulator.datasets.record_shape import RecordShape
from emulator.rows.row_schema import parse_row_schema
from emulator.rows.schema_error import SchemaError
from emulator.rows.seeded import Arrivals, GeneratedRows, RowSource
from emulator.settings import MAX_CONTROL_BYTES
from emulator.store.store import Change, SetMeta, Store

if TYPE_CHECKING:
    from arro3.core import RecordBatch, Schema

log = logging.getLogger("emulator.datasets")

_DATASET: Final = "dataset/"
_TEXTS: Final = "dataset-records/"
_POSITIONS: Final = "dataset-positions/"
"""Up to which position the rows of a dataset that was deleted went."""
_TRIAL_ANCHOR: Final = 1_700_000_000


class Content(NamedTuple):
    """What a user puts: records (as `texts`, with their columns decoded) or a JSON Schema after which `rows` rows are made.

    `shape` is that of records.
    """

    name: str
    rows: int
    rows_per_hour: float
    schema: dict[str, Any] | None = None
    texts: Sequence[str] = ()
    columns: Schema | None = None
    batches: Sequence[RecordBatch] = ()
    shape: RecordShape | None = None


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


def read_records(name: str, records: Iterable[Any], rows_per_hour: float, go_on: GoOn = lambda: None) -> Content:
    """Records as content. Raises RecordFault and TooMuch (ValueErrors), and what `records` and `go_on` raise.

    For a worker thread: takes a second for 100,000 records.
    """
    texts, shape = record_texts(records, go_on)
    if rows_per_hour and not shape.records:
        raise ValueError("rowsPerHour needs records: the rows that are added repeat them in turn")
    columns = shape.arrow_schema()
    batches = decoded_texts(texts, columns, go_on)
    return Content(name, shape.records, rows_per_hour, None, texts, columns, batches, shape)


def with_further(content: Content, records: Iterable[Any], go_on: GoOn = lambda: None) -> Content:
    """Records with further ones behind them. Raises ValueError, and what `records` and `go_on` raise. For a worker thread.

    Takes the time of the further ones alone, unless they bring columns or types that were not there.
    """
    assert content.shape is not None, "only records have further ones"
    added, shape = further_texts(records, content.rows, content.shape, go_on)
    texts = joined_texts(content.texts, content.rows, added)
    if sum(map(len, texts)) > MAX_CONTROL_BYTES:
        raise ValueError(f"the dataset would have more than {MAX_CONTROL_BYTES} characters, the most that one can have")
    columns = shape.arrow_schema()
    same = columns == content.columns
    decodable = decoded_texts(added if same else texts, columns, go_on)
    batches = [*content.batches, *decodable] if same else decodable
    return content._replace(rows=shape.records, texts=texts, columns=columns, batches=batches, shape=shape)


def read_made_up(name: str, schema: dict[str, Any], rows: int, rows_per_hour: float) -> Content:
    """Rows made after a JSON Schema as content. Raises ValueError for a schema or numbers that rows cannot be made from."""
    try:
        parse_row_schema(schema)
    except SchemaError as fault:
        raise ValueError(f'"schema"{fault.path and ", property " + fault.path}: {fault.reason}') from None
    trial = GeneratedRows(
        dataset_id="trial", schema=schema, seed=0, rows=max(rows, 1), rows_per_hour=rows_per_hour, anchor=_TRIAL_ANCHOR
    )
    next(iter(trial.batches(0, 1)))
    Arrivals(rows, rows_per_hour, _TRIAL_ANCHOR)
    return Content(name, rows, rows_per_hour, schema)


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

    def put(self, dataset_id: str, content: Content) -> UserDataset:
        """Keeps a dataset, a new one or in the place of the one of its id; answers it. Raises StoreError."""
        now = self._clock.now()
        old = self._datasets.get(dataset_id)
        old_texts = self._texts(old) if old is not None else []
        if old is None:
            base = self._store.get_meta(_POSITIONS + dataset_id) or 0
            dataset = _placed(dataset_id, content, base, content.rows, now)
        else:
            dataset = _following(old, old_texts, content, now)
        changes: list[Change] = [
            SetMeta(_DATASET + dataset_id, asdict(dataset)),
            SetMeta(_POSITIONS + dataset_id, None),
        ]
        for index in range(max(len(content.texts), len(old_texts))):
            text = content.texts[index] if index < len(content.texts) else None
            if index >= len(old_texts) or text != old_texts[index]:
                changes.append(SetMeta(text_key(dataset_id, index), text))
        self._store.write(changes)
        self._datasets[dataset_id] = dataset
        self._keep(dataset, content)
        return dataset

    async def append(self, dataset_id: str, records: Iterable[Any], go_on: GoOn = lambda: None) -> int:
        """Keeps further records of a dataset, which the next incremental export then has; answers how many.

        Raises KeyError, StoreError, and ValueError for records that do not go with the others, for a dataset that has
        none, and for one that grows by itself: its rows repeat the records, so that no place is behind them.
        """
        async with self._appending:
            await self.prepare(dataset_id)
            self.rows(dataset_id)
            dataset = self._datasets[dataset_id]
            if dataset.schema is not None:
                raise ValueError(
                    "its rows are made after a schema; only a dataset that was put with records takes more"
                )
            if dataset.rows_per_hour or dataset.rows_at_anchor != dataset.rows:
                raise ValueError("it grows by rowsPerHour, its records repeated; put it without that to append to it")
            old = self._records[dataset_id]._replace(name=dataset.name, texts=self._texts(dataset))
            content = await asyncio.to_thread(with_further, old, records, go_on)
            if self._datasets.get(dataset_id) is not dataset:
                raise ValueError("it was put anew or deleted in the meantime; try again")
            return self.put(dataset_id, content).rows - dataset.rows

    def delete(self, dataset_id: str) -> None:
        """Forgets a dataset, but not up to where its positions went. Raises KeyError and StoreError."""
        dataset = self._datasets[dataset_id]
        texts: list[Change] = [SetMeta(text_key(dataset_id, index), None) for index in range(dataset.texts)]
        end = dataset.end_at(self._clock.now())
        self._store.write([SetMeta(_DATASET + dataset_id, None), SetMeta(_POSITIONS + dataset_id, end or None), *texts])
        del self._datasets[dataset_id]
        self._sources.pop(dataset_id, None)
        self._records.pop(dataset_id, None)

    async def prepare(self, dataset_id: str) -> None:
        """Lets `rows` answer at once: records that come from the data folder are decoded in a thread first.

        Raises ValueError for records that are damaged.
        """
        dataset = self._datasets.get(dataset_id)
        if dataset is None or dataset_id in self._sources:
            return
        texts = self._texts(dataset)
        content = await asyncio.to_thread(_content, dataset, texts)
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

    def _texts(self, dataset: UserDataset) -> list[str]:
        return [self._store.get_meta(text_key(dataset.id, index)) or "" for index in range(dataset.texts)]

    def _keep(self, dataset: UserDataset, content: Content) -> None:
        """Keeps a dataset's content at hand."""
        self._sources[dataset.id] = self._source(dataset, content)
        self._records[dataset.id] = content._replace(texts=())

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


def _placed(dataset_id: str, content: Content, base: int, rows_at_anchor: int, anchor: float) -> UserDataset:
    return UserDataset(
        id=dataset_id,
        name=content.name,
        rows=content.rows,
        rows_per_hour=content.rows_per_hour,
        rows_at_anchor=rows_at_anchor,
        anchor=anchor,
        base=base,
        schema=content.schema,
        texts=len(content.texts),
    )


def _following(old: UserDataset, old_texts: Sequence[str], content: Content, now: float) -> UserDataset:
    """A dataset that is put in the place of another: which of its rows are the old ones (see the top of this file)."""
    rows_now = old.rows_at(now)
    if content.schema != old.schema:
        same = lengthened = False
    elif content.schema is None:
        same = list(content.texts) == list(old_texts)
        lengthened = rows_now == old.rows and lengthens(content.texts, old_texts)
    else:
        same = content.rows == old.rows
        lengthened = content.rows >= rows_now
    if same and content.rows_per_hour == old.rows_per_hour:
        return replace(old, name=content.name)
    if same:
        return _placed(old.id, content, old.base, rows_now, now)
    return _placed(old.id, content, old.base if lengthened else old.base + rows_now, content.rows, now)


def _content(dataset: UserDataset, texts: Sequence[str]) -> Content:
    """The content of a dataset that is kept. Raises ValueError for records that are damaged."""
    if dataset.schema is not None:
        return Content(dataset.name, dataset.rows, dataset.rows_per_hour, dataset.schema)
    shape = shape_of_texts(texts)
    columns = shape.arrow_schema()
    batches = decoded_texts(texts, columns)
    if sum(batch.num_rows for batch in batches) != dataset.rows:
        raise ValueError(f"the dataset {dataset.id} has lost records: {dataset.rows} were put")
    return Content(dataset.name, dataset.rows, dataset.rows_per_hour, None, texts, columns, batches, shape)


def text_key(dataset_id: str, index: int) -> str:
    """Under which key the store keeps one of a dataset's texts."""
    return f"{_TEXTS}{dataset_id}/{index:06d}"


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
