"""The kinds of columns that made-up rows have, each filled for a whole stretch of rows at once.

A column's content depends on nothing but the position of the row, so that any stretch gives the same as its parts.
"""

from __future__ import annotations

from array import array
from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass, field
from functools import lru_cache, reduce
from itertools import accumulate
from typing import Any, Final, Literal

import nanoarrow
from arro3.compute import add, cast, div, filter, is_not_null, is_null, mul, rem, take
from arro3.core import Array, ChunkedArray, DataType, Field, Scalar, list_array, struct_array

from flow_service_emulator.data.rows.row_schema import List, Map, Node, Object
from flow_service_emulator.data.rows.seeded import BLOCK, Dice, Stream

SMALL_POOL: Final = 256
"""Pools of this size are the fastest: a random byte is an index as it is."""
_MARKS: Final = "!#$%&*+;"
"""Where the part for the block goes. Each mark stands for another number, so that rows close by look less alike."""
_INSTANT: Final = DataType.timestamp("ms", tz="UTC")


def arrow_type(node: Node) -> DataType:
    """The Arrow type of a property's column.

    As published for exported Parquet: `date-time` is a Timestamp in milliseconds, UTC, and `date` a Date32, which JSON shows as
    ISO 8601 with `Z`; integers have 8, 16, 32 or 64 bits, numbers are Float64.
    """
    if isinstance(node, Map):
        key = Field("key", DataType.string(), nullable=False)
        return DataType.map(key, Field("value", arrow_type(node.value), nullable=True), False)
    if isinstance(node, Object):
        return DataType.struct([arrow_field(name, part) for name, part in node.fields])
    if isinstance(node, List):
        return DataType.list(Field("item", arrow_type(node.item), nullable=False))
    if node.is_time:
        return DataType.date32() if node.format == "date" else _INSTANT
    if node.type == "string":
        return DataType.string()
    if node.type == "integer":
        return {8: DataType.int8, 16: DataType.int16, 32: DataType.int32, 64: DataType.int64}[node.bits]()
    return DataType.float64() if node.type == "number" else DataType.bool()


def arrow_field(name: str, node: Node) -> Field:
    """The field of a property; required ones cannot be null."""
    return Field(name, arrow_type(node), nullable=node.optional)


@dataclass(eq=False)
class Window:
    """A stretch of rows that is made at once: `count` rows from the position `first` on."""

    first: int
    count: int
    _made: dict[Hashable, Array] = field(default_factory=dict)

    def once(self, column: Column) -> Array:
        """The values of a column that may be in several places of a row."""
        if column not in self._made:
            self._made[column] = column(self)
        return self._made[column]

    def pick(self, stream: Stream, size: int) -> Array:
        """For each row a random index below `size` (at most 65,536); columns that share a stream get the same one."""
        key = (stream, size)
        if key not in self._made:
            if size == SMALL_POOL:
                picked = Array.from_buffer(stream.take(self.first, self.count))
            else:
                wide = Array.from_buffer(memoryview(stream.take(self.first, self.count, 2)).cast("H"))
                picked = wide if size == 65_536 else rem(wide, Scalar(size, type=DataType.uint16()))
            self._made[key] = picked
        return self._made[key]


Column = Callable[[Window], Array]
"""What fills one column: it gives the values of the window's rows."""


@dataclass(frozen=True)
class Pooled:
    """Values taken from a pool (of at most 65,536) at random."""

    pool: Array
    stream: Stream

    def __call__(self, window: Window) -> Array:
        return take(self.pool, window.pick(self.stream, len(self.pool)))


class Code:
    """Text of one width that is different in every row, from a part for the place in the block and one for the block.

    `around` gives a row's text for 0 … 4095, a different number for each place, with `~` where the block's part belongs.
    `inner` gives that from a number below `limit`, which is at least as many as there are blocks and a power of 10 or 16;
    each block has another number, in no visible order.
    """

    def __init__(self, dice: Dice, around: Callable[[int], str], inner: Callable[[int], str], limit: int) -> None:
        numbers = enumerate(dice.shuffled(range(4 * BLOCK))[:BLOCK])
        rows = [around(number).replace("~", _MARKS[place % len(_MARKS)]).encode() for place, number in numbers]
        self._rows = b"".join(rows)
        self._inner = inner
        self._limit = limit
        # Factors that end in 7 have no divisor in common with the limit, so that no number comes twice.
        self._numbers = [(dice.below(limit // 20) * 10 + 7, dice.below(limit)) for _ in _MARKS]
        self.width = len(rows[0]) - 1 + len(inner(0))

    def __call__(self, window: Window) -> Array:
        parts = []
        end = window.first + window.count
        for block in range(window.first // BLOCK, -(-end // BLOCK)):
            start = block * BLOCK
            text = self._block(block)
            parts.append(text[max(window.first - start, 0) * self.width : (end - start) * self.width])
        return _text(even_offsets(window.count, self.width), b"".join(parts), window.count)

    def _block(self, block: int) -> bytes:
        text = self._rows
        for mark, (factor, shift) in zip(_MARKS, self._numbers, strict=True):
            text = text.replace(mark.encode(), self._inner((block * factor + shift) % self._limit).encode())
        return text


def joined(parts: Sequence[Column]) -> Column:
    """The text of several columns (without nulls), put together row by row."""

    def make(window: Window) -> Array:
        count, width = window.count, len(parts)
        pieces = nanoarrow.c_array(take(_end_to_end([part(window) for part in parts]), row_by_row(count, width))).view()
        # The pieces of a row lie one after the other already: leaving out the offsets between them joins them.
        offsets = memoryview(pieces.buffer(1)).cast("B").cast("i")[: count * width + 1 : width]
        return _text(offsets.tobytes(), memoryview(pieces.buffer(2)), count)

    return make


def position(base: int, type_: DataType, step: int = 1) -> Column:
    """The row's position times `step` plus `base`, as a number or as text."""

    def make(window: Window) -> Array:
        steps = mul(ramp("q", window.count), int64(step))
        return cast(add(steps, int64(base + window.first * step)), type_)

    return make


def time(times: Column, type_: DataType, shift: Column | None = None) -> Column:
    """The rows' times (epoch milliseconds), moved by milliseconds where a shift is given, as instants or days."""

    def make(window: Window) -> Array:
        millis = window.once(times)
        return cast(cast(millis if shift is None else add(millis, shift(window)), _INSTANT), type_)

    return make


def gappy(column: Column, gaps: Column) -> Column:
    """A column with null in some rows: where `gaps`, a column of 0 and null, has one."""
    return lambda window: take(column(window), add(ramp("q", window.count), gaps(window)))


def struct(columns: Sequence[Column], fields: Sequence[Field], gaps: Column | None) -> Column:
    """An object's columns; null as a whole where `gaps` has one."""

    def make(window: Window) -> Array:
        mask = None if gaps is None else is_null(gaps(window))
        return struct_array([column(window) for column in columns], fields=fields, mask=mask)

    return make


def one_item(item: Column, type_: DataType, gaps: Column | None) -> Column:
    """Lists of exactly one item; null as a whole where `gaps` has one."""

    def make(window: Window) -> Array:
        mask = None if gaps is None else is_null(gaps(window))
        return list_array(ramp("i", window.count + 1), item(window), type=type_, mask=mask)

    return make


def map_of(columns: dict[str, Column], type_: DataType, value: DataType, *, listed: bool) -> Column:
    """Maps with an entry for each of the columns that has a value, by their names; `listed`, that is a list's only item.

    To move the items takes a third of what moving the lists does.
    """
    names, width = Array(list(columns), type=DataType.string()), len(columns)
    fields = [Field("key", DataType.string(), nullable=False), Field("value", value, nullable=True)]

    def make(window: Window) -> Array:
        count = window.count
        parts = [column(window) for column in columns.values()]
        order, offsets = row_by_row(count, width), even_offsets(count, width)
        if any(part.null_count for part in parts):
            present = [is_not_null(part) for part in parts]
            order = filter(order, take(_end_to_end(present), order))
            counts = nanoarrow.c_array(reduce(add, (cast(each, DataType.uint8()) for each in present)))
            offsets = array("i", accumulate(bytes(counts.view().buffer(1)), initial=0))
        keys = take(names, div(order, Scalar(count, type=DataType.uint32())))
        values = take(_end_to_end(parts), order)
        if listed:
            values = list_array(ramp("i", width * count + 1).slice(0, len(order) + 1), values, type=value)
        entries = nanoarrow.c_array(struct_array([keys, values], fields=fields))
        made = nanoarrow.c_array_from_buffers(nanoarrow.c_schema(type_), count, [None, offsets], children=[entries])
        return Array.from_arrow(made)

    return make


def referenced(column: Column, owners: int, stream: Stream) -> Pooled:
    """Values of the first `owners` rows of a column, referred to at random: the earlier an owner, the more often."""
    size = min(16 * BLOCK, max(SMALL_POOL, 4 * owners))
    who = Array.from_buffer(array("q", (owners * place * place // (size * size) for place in range(size))))
    return Pooled(take(column(Window(0, owners)), who), stream)


def values_of(column: Column) -> list[Any]:
    """Some of a column's values as Python objects; the whole pool of a pooled one."""
    values = column.pool if isinstance(column, Pooled) else column(Window(0, SMALL_POOL))
    return list(values.to_pylist())


# --- arrays put together without Python work per row: nanoarrow takes and gives ready buffers ---


def int64(number: int) -> Scalar:
    """A number to calculate a column with."""
    return Scalar(number, type=DataType.int64())


def _text(offsets: array[int] | bytes, data: bytes | memoryview, count: int) -> Array:
    """A string column of `count` rows: UTF-8 `data` and `count + 1` int32 `offsets` into it."""
    return Array.from_arrow(nanoarrow.c_array_from_buffers(nanoarrow.string(), count, [None, offsets, data]))


def _end_to_end(parts: list[Array]) -> Array:
    return ChunkedArray(parts).combine_chunks()


# Windows mostly have one size, so that a few of these are worth keeping: making them takes as long as all the rest.
@lru_cache(maxsize=8)
def ramp(code: Literal["i", "q"], count: int) -> Array:
    """0, 1, 2 … `count` - 1."""
    return Array.from_buffer(array(code, range(count)))


@lru_cache(maxsize=8)
def even_offsets(count: int, width: int) -> array[int]:
    """The offsets of `count` strings of `width` bytes each."""
    return array("i", range(0, (count + 1) * width, width))


@lru_cache(maxsize=8)
def row_by_row(count: int, width: int) -> Array:
    """In which order to take from `width` columns of `count` rows, laid end to end, to have one row after the other."""
    order = memoryview(bytearray(4 * width * count)).cast("I")
    for place in range(width):
        order[place::width] = array("I", range(place * count, (place + 1) * count))
    return Array.from_buffer(order)
