"""Rows that are a user's own: JSON records in memory, and what lets rows of any kind keep their positions."""

from __future__ import annotations

import copy
from bisect import bisect_right
from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import accumulate, islice
from typing import TYPE_CHECKING, Any, Final

import orjson

from flow_service_emulator.datasets.bounds import MAX_PLACES, MAX_TEXT_MEMORY, text_memory, too_much
from flow_service_emulator.datasets.panics import panics_as_faults
from flow_service_emulator.datasets.record_shape import RecordFault, RecordShape
from flow_service_emulator.rows.seeded import Arrivals, RowSource

if TYPE_CHECKING:
    from arro3.core import DataType, RecordBatch, Schema

GoOn = Callable[[], None]
"""Called now and then while content is read; what it raises ends that."""
CHUNK_RECORDS: Final = 1_000
"""Records of one text."""
_BATCH_TEXTS: Final = 8
_BATCH_RECORDS: Final = CHUNK_RECORDS * _BATCH_TEXTS
_BATCH_PLACES: Final = 2_000_000
"""Places for values in a batch, at most, of 8 bytes: with many columns it has fewer rows."""


def emptied(records: list[Any]) -> Iterator[Any]:
    """Records one by one, each of which the list lets go of: as objects they take much more room than as texts."""
    records.reverse()
    while records:
        yield records.pop()


def record_texts(records: Iterable[Any], go_on: GoOn = lambda: None) -> tuple[list[str], RecordShape]:
    """Records as NDJSON, CHUNK_RECORDS in each text, and their shape. Raises RecordFault, TooMuch, and what `go_on` raises.

    The same records give the same texts, and records appended leave all texts but the last as they are; that one they
    lengthen.
    """
    return further_texts(records, 0, RecordShape(), go_on)


def further_texts(
    records: Iterable[Any], count: int, before: RecordShape, go_on: GoOn = lambda: None
) -> tuple[list[str], RecordShape]:
    """Records that come behind `count` of the shape `before`, and the shape of all. Raises as `record_texts`.

    The first text belongs to the end of the last one there is, where that `ends_midway`.
    """
    shape = copy.deepcopy(before)
    shape.records = 0  # a fault is told with the record's number among the further ones
    texts = []
    memory = 0
    further = iter(records)
    while chunk := list(islice(further, CHUNK_RECORDS - (count + shape.records) % CHUNK_RECORDS)):
        go_on()
        shape.note(chunk)
        if shape.places(count + shape.records) > MAX_PLACES:
            raise too_much("its records have, with all the fields that only some of them have,", MAX_PLACES, "values")
        text = b"".join(orjson.dumps(record, option=orjson.OPT_APPEND_NEWLINE) for record in chunk)
        memory += text_memory(text)
        if memory > MAX_TEXT_MEMORY:
            raise too_much("its records take as text", MAX_TEXT_MEMORY, "bytes")
        texts.append(text.decode())
    check_columns(shape)
    shape.records += count
    return texts, shape


def ends_midway(count: int) -> bool:
    """Whether the last text of so many records has room for more of them."""
    return count % CHUNK_RECORDS != 0


def shape_of_texts(texts: Iterable[str], go_on: GoOn = lambda: None) -> RecordShape:
    """The shape of records that `record_texts` has made texts of.

    Raises RecordFault, ValueError for what is no JSON, and what `go_on` raises.
    """
    shape = RecordShape()
    for text in texts:
        go_on()
        shape.note([orjson.loads(line) for line in text.split("\n")[:-1]])
    check_columns(shape)
    return shape


def check_columns(shape: RecordShape) -> None:
    """Raises RecordFault for records of which no file can be written, as they have no column."""
    if shape.records and not len(shape.arrow_schema()):
        raise RecordFault(1, "", "no record has a field with a value; at least one column is needed")


def decoded(text: bytes, schema: Schema) -> Iterator[RecordBatch]:
    """NDJSON as Arrow batches. Raises ValueError where the records are not of the schema."""
    from arro3.io import read_json

    rows = min(_BATCH_RECORDS, max(1, _BATCH_PLACES // max(1, sum(map(_columns, _types(schema))))))
    try:
        with panics_as_faults(ValueError, "the records cannot be read"):
            yield from read_json(text, schema, batch_size=rows)
    except Exception as fault:  # arro3 raises nothing more exact
        raise ValueError(f"the records are not of their columns' types: {fault}") from fault


def decoded_texts(texts: Iterable[str], schema: Schema, go_on: GoOn = lambda: None) -> list[RecordBatch]:
    """What `record_texts` has made, as Arrow batches of at most 8,000 rows. Raises as `decoded`, and what `go_on` raises."""
    batches = []
    left = iter(texts)
    while some := list(islice(left, _BATCH_TEXTS)):
        for batch in decoded("".join(some).encode(), schema):
            go_on()
            batches.append(batch)
    return batches


def _types(schema: Schema) -> Iterator[DataType]:
    return (schema.field(index).type for index in range(len(schema)))


def _columns(type_: DataType) -> int:
    """How many columns of plain values are in a column."""
    from arro3.core import DataType

    if DataType.is_struct(type_):
        return sum(_columns(field.type) for field in type_.fields)
    return 1 if type_.value_field is None else _columns(type_.value_field.type)


class RecordRows:
    """A user's records, in their order, as a RowSource. All of them are there from the beginning.

    With `rows_per_hour` the dataset grows from `anchor` (epoch seconds) on: the rows added repeat the records in turn, so that
    their values are known too; `grown` of these are there at `anchor` already. Records tell no age that the emulator knows, so
    none is ever too old.
    """

    arrow_schema: Schema

    def __init__(
        self, schema: Schema, batches: Sequence[RecordBatch], *, rows_per_hour: float, anchor: float, grown: int = 0
    ) -> None:
        self.arrow_schema = schema
        self.records = sum(batch.num_rows for batch in batches)
        self._batches = _tiled(batches, self.records) if rows_per_hour or grown else batches
        self._ends = list(accumulate(batch.num_rows for batch in self._batches))
        self._anchor = anchor
        self._arrivals = Arrivals(self.records + grown, rows_per_hour if self.records else 0, anchor)

    def count_at(self, at: float) -> int:
        """See RowSource."""
        return self._arrivals.count_at(max(at, self._anchor))

    def first_at(self, at: float) -> int:
        """See RowSource."""
        return 0

    def batches(self, first: int, end: int) -> Iterator[RecordBatch]:
        """See RowSource."""
        if not 0 <= first <= end or (end and not self.records):
            raise ValueError(f"there is no range of positions from {first} to {end}")
        while first < end:
            record = first % self._ends[-1]
            index = bisect_right(self._ends, record)
            batch = self._batches[index]
            skipped = record - (self._ends[index] - batch.num_rows)
            taken = batch.slice(skipped, min(batch.num_rows - skipped, end - first))
            first += taken.num_rows
            yield taken


def _tiled(batches: Sequence[RecordBatch], records: int) -> Sequence[RecordBatch]:
    """A few records as often as makes a batch worth the name: rows that repeat them would be handed out three by three."""
    if len(batches) != 1 or not records:
        return batches
    from arro3.core import Array, DataType

    places = list(range(records)) * max(1, _BATCH_RECORDS // records)
    return [batches[0].take(Array(places, type=DataType.int64()))]


class Relocated:
    """The rows of another source, their positions counted from `base` on instead of from 0.

    Positions are never given to other rows: what takes the place of a dataset whose positions have been counted up to `base`
    begins there, and whoever has exported it up to there gets all of the new rows and none of the old.
    """

    def __init__(self, source: RowSource, base: int) -> None:
        self._source = source
        self._base = base

    @property
    def arrow_schema(self) -> Schema:
        return self._source.arrow_schema

    def count_at(self, at: float) -> int:
        """See RowSource."""
        return self._base + self._source.count_at(at)

    def first_at(self, at: float) -> int:
        """See RowSource."""
        return self._base + self._source.first_at(at)

    def batches(self, first: int, end: int) -> Iterator[RecordBatch]:
        """See RowSource."""
        return self._source.batches(first - self._base, end - self._base)
