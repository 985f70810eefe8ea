"""Datasets that a user has put by a control call: stored, and their rows.

Their rows have positions that never mean another row later on (see `Relocated`), which is what incremental exports go by.
When a dataset is put again:

- if its rows are the old ones, unchanged, and further ones behind them, just the further ones are new;
- if rows are made after the same schema, and no fewer than there are now, just those beyond them are new (the times of the old
  ones move, as `rows` rows are spread over the year before the call);
- if only its name or `rowsPerHour` is another, nothing is new, and it grows otherwise from now on;
- anything else is another dataset under the same id: all of its rows are new. That is also so for records whose dataset has
  grown by `rowsPerHour` in the meantime, and for an id that is used again after a DELETE.
"""

from __future__ import annotations

from base64 import b64decode, b64encode
from dataclasses import asdict, dataclass, replace
from functools import reduce
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from flow_service_emulator.clock import Clock
from flow_service_emulator.data.datasets.stored import (
    Found,
    Mark,
    Relocated,
    TableRows,
    columns_only,
    from_stream,
    joined,
    to_stream,
)
from flow_service_emulator.data.rows.schema_parts import SchemaError
from flow_service_emulator.data.rows.seeded import Arrivals, GeneratedRows, RowSource
from flow_service_emulator.store.store import SetMeta, Store

if TYPE_CHECKING:
    from arro3.core import Table

_DATASET: Final = "dataset/"
_POSITIONS: Final = "dataset-positions/"
"""Up to which position the rows of a dataset that was deleted went."""
_TRIAL_ANCHOR: Final = 1_700_000_000


class Content(NamedTuple):
    """What a user puts: rows, or a JSON Schema after which `rows` rows are made."""

    name: str
    rows: int
    rows_per_hour: float
    schema: dict[str, Any] | None = None
    found: Found | None = None


@dataclass(frozen=True, slots=True)
class UserDataset:
    """A dataset as it is stored. `anchor` is in epoch seconds.

    `rows` is as it was put, `rows_at_anchor` how many there were at `anchor`, from which on it grows; `base` is the position of
    the first. Without a `schema` it has rows of its own, whose digest is `digest`; they are in `streams` Arrow IPC streams.
    """

    id: str
    name: str
    rows: int
    rows_per_hour: float
    rows_at_anchor: int
    anchor: float
    base: int
    schema: dict[str, Any] | None
    digest: str
    streams: int

    @property
    def mark(self) -> Mark | None:
        return None if self.schema is not None else Mark(self.rows, self.digest)

    def rows_at(self, at: float) -> int:
        """How many rows it has at an instant (epoch seconds), its anchor or later."""
        rate = self.rows_per_hour if self.schema is not None or self.rows else 0
        return Arrivals(self.rows_at_anchor, rate, self.anchor).count_at(max(at, self.anchor))


class UserDatasets:
    """The datasets that were put, in the order in which their ids were first put."""

    def __init__(self, store: Store, clock: Clock, *, seed: int) -> None:
        self._store = store
        self._clock = clock
        self._seed = seed
        self.datasets: dict[str, UserDataset] = {}
        self._tables: dict[str, Table] = {}
        self._sources: dict[str, RowSource] = {}

    def load(self) -> None:
        """Take over what the store has: at the start, after a reset, after a snapshot was put back."""
        self.datasets.clear()
        self._tables.clear()
        self._sources.clear()
        for key in self._store.meta_keys(_DATASET):
            self.datasets[key.removeprefix(_DATASET)] = UserDataset(**self._store.get_meta(key))

    def put(self, dataset_id: str, content: Content) -> None:
        """Store a dataset, a new one or in the place of the one of its id. Raises StoreError."""
        old, found = self.datasets.get(dataset_id), content.found
        new = UserDataset(
            id=dataset_id,
            name=content.name,
            rows=content.rows,
            rows_per_hour=content.rows_per_hour,
            rows_at_anchor=content.rows,
            anchor=self._clock.now(),
            base=old.base if old else self._store.get_meta(_POSITIONS + dataset_id) or 0,
            schema=content.schema,
            digest=found.mark.digest if found else "",
            streams=1 if found else 0,
        )
        if old is not None:
            new = _following(old, new, content)
        self._write(new, 0, found and found.table)
        if found:
            self._tables[dataset_id] = found.table

    def append(self, dataset_id: str, further: Found) -> int:
        """Store further rows of a dataset (see `columns_for_more`), which the next incremental export then has; answers how many.

        Raises StoreError.
        """
        old, table = self.datasets[dataset_id], joined(self._table(dataset_id), further.table)
        rows, now, streams = table.num_rows, self._clock.now(), old.streams + 1
        new = replace(old, rows=rows, rows_at_anchor=rows, anchor=now, digest=further.mark.digest, streams=streams)
        self._write(new, old.streams, further.table)
        self._tables[dataset_id] = table
        return rows - old.rows

    def columns_for_more(self, dataset_id: str) -> bytes:
        """The columns that further rows of a dataset have to go with. Raises ValueError for one that takes no further rows."""
        dataset = self.datasets[dataset_id]
        if dataset.schema is not None:
            raise ValueError("its rows are made after a schema; only a dataset that was put with records takes more")
        if dataset.rows_per_hour or dataset.rows_at_anchor != dataset.rows:
            raise ValueError("it grows by rowsPerHour, its records repeated; put it without that to append to it")
        return columns_only(self._table(dataset_id).schema)

    def delete(self, dataset_id: str) -> None:
        """Forget a dataset, but not up to where its positions went. Raises KeyError and StoreError."""
        dataset = self.datasets[dataset_id]
        end = dataset.base + dataset.rows_at(self._clock.now())
        streams = [SetMeta(_stream_key(dataset_id, index), None) for index in range(dataset.streams)]
        self._store.write(
            [SetMeta(_DATASET + dataset_id, None), SetMeta(_POSITIONS + dataset_id, end or None), *streams]
        )
        del self.datasets[dataset_id]
        self._tables.pop(dataset_id, None)
        self._sources.pop(dataset_id, None)

    def rows(self, dataset_id: str) -> RowSource:
        """A dataset's rows. Raises KeyError when there is no such dataset."""
        if dataset_id not in self._sources:
            self._sources[dataset_id] = self._source(self.datasets[dataset_id])
        return self._sources[dataset_id]

    def _write(self, dataset: UserDataset, place: int, table: Table | None) -> None:
        """Store a dataset, with its stream at a place."""
        old = self.datasets.get(dataset.id)
        texts = dict.fromkeys(range(dataset.streams, old.streams if old else 0))
        if table is not None:
            texts[place] = b64encode(to_stream(table)).decode()
        self._store.write(
            [
                SetMeta(_DATASET + dataset.id, asdict(dataset)),
                SetMeta(_POSITIONS + dataset.id, None),
                *(SetMeta(_stream_key(dataset.id, index), text) for index, text in texts.items()),
            ]
        )
        self.datasets[dataset.id] = dataset
        self._tables.pop(dataset.id, None)
        self._sources.pop(dataset.id, None)

    def _table(self, dataset_id: str) -> Table:
        """The rows of a dataset that has its own."""
        if dataset_id not in self._tables:
            streams = range(self.datasets[dataset_id].streams)
            texts = [self._store.get_meta(_stream_key(dataset_id, index)) for index in streams]
            self._tables[dataset_id] = reduce(joined, (from_stream(b64decode(text)) for text in texts))
        return self._tables[dataset_id]

    def _source(self, dataset: UserDataset) -> RowSource:
        source: RowSource
        if dataset.schema is None:
            source = TableRows(
                self._table(dataset.id),
                rows_per_hour=dataset.rows_per_hour,
                anchor=dataset.anchor,
                grown=dataset.rows_at_anchor - dataset.rows,
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
        return Relocated(source, dataset.base)


def _stream_key(dataset_id: str, index: int) -> str:
    """Under which key the store has one of a dataset's streams, in base64."""
    return f"dataset-rows/{dataset_id}/{index:06d}"


def _following(old: UserDataset, new: UserDataset, content: Content) -> UserDataset:
    """A dataset that is put in the place of another: which of its rows are the old ones (see the top of this file)."""
    rows_now = old.rows_at(new.anchor)
    if new.schema != old.schema:
        same = lengthened = False
    elif content.found is not None:
        begins = content.found.begins_with(old.mark)
        same = begins and new.rows == old.rows and new.digest == old.digest
        lengthened = begins and rows_now == old.rows
    else:
        same = new.rows == old.rows
        lengthened = new.rows >= rows_now
    if same and new.rows_per_hour == old.rows_per_hour:
        return replace(new, rows_at_anchor=old.rows_at_anchor, anchor=old.anchor)
    if same:
        return replace(new, rows_at_anchor=rows_now)
    return replace(new, base=old.base if lengthened else old.base + rows_now)


def read_made_up(name: str, schema: dict[str, Any], rows: int, rows_per_hour: float) -> Content:
    """Rows made after a JSON Schema as content. Raises ValueError for a schema or numbers that rows cannot be made from."""
    try:
        trial = GeneratedRows(
            dataset_id="trial", schema=schema, seed=0, rows=rows, rows_per_hour=rows_per_hour, anchor=_TRIAL_ANCHOR
        )
        next(iter(trial.batches(0, min(rows, 1))), None)
    except SchemaError as fault:
        raise ValueError(f'"schema"{fault.path and ", property " + fault.path}: {fault.reason}') from None
    return Content(name, rows, rows_per_hour, schema)
