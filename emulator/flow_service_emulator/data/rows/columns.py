"""The kinds of columns that made-up rows have, each filled for a whole stretch of rows at once.

A column's content depends on nothing but the position of the row, so that any stretch gives the same as its parts.
"""

from __future__ import annotations

from array import array
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import cached_property, lru_cache, reduce
from itertools import accumulate
from typing import Any, Final, Literal, Protocol

import nanoarrow
from arro3.compute import add, cast, filter, is_not_null, mul, rem, take
from arro3.core import Array, ChunkedArray, DataType, Field, Scalar, list_array, list_flatten, struct_array

from flow_service_emulator.data.rows.draws import BLOCK, Dice, Stream

SMALL_POOL: Final = 256
"""Pools of this size are the fastest: a random byte is an index as it is."""
MAX_POSITIONS: Final = 2**38
"""How many ids are different for certain: prefixed_code has the fewest, 1,024 for each of 16**7 blocks."""
_MARKS: Final = b"!#$%&*+;"
"""Where the part for the block goes. Each mark stands for another number, so that rows close by look less alike."""


@dataclass(eq=False)
class Window:
    """A stretch of rows that is made at once: `count` rows from the position `first` on.

    `millis` gives their times (epoch milliseconds, an int64 column), once a column asks for them.
    """

    first: int
    count: int
    make_millis: Callable[[Window], Array]
    _picks: dict[tuple[Stream, int], Array] = field(default_factory=dict)
    _joined: dict[int, Array] = field(default_factory=dict)

    @property
    def ramp(self) -> Array:
        """0, 1, 2 … `count` - 1 (int64)."""
        return _ramp("q", self.count)

    @cached_property
    def millis(self) -> Array:
        """The rows' times in epoch milliseconds (int64)."""
        return self.make_millis(self)

    def once(self, column: Joined) -> Array:
        """The values of a column, which may be in several places of a row."""
        if id(column) not in self._joined:
            self._joined[id(column)] = joined([part.make(self) for part in column.parts])
        return self._joined[id(column)]

    def pick(self, stream: Stream, size: int) -> Array:
        """For each row a random index below `size` (at most 65,536); columns that share a stream get the same one."""
        key = (stream, size)
        if key not in self._picks:
            if size == SMALL_POOL:
                picked = Array.from_buffer(stream.take(self.first, self.count))
            else:
                wide = Array.from_buffer(memoryview(stream.take(self.first, self.count, 2)).cast("H"))
                picked = wide if size == 65_536 else rem(wide, Scalar(size, type=DataType.uint16()))
            self._picks[key] = picked
        return self._picks[key]


@lru_cache(maxsize=4)  # windows mostly have one size
def _ramp(code: Literal["i", "q"], count: int) -> Array:
    return Array.from_buffer(array(code, range(count)))


class Column(Protocol):
    """What fills one column."""

    def make(self, window: Window) -> Array:
        """The values of the window's rows."""


@dataclass(frozen=True)
class Pooled:
    """Values taken from a pool (of at most 65,536) at random."""

    pool: Array
    stream: Stream

    def make(self, window: Window) -> Array:
        return take(self.pool, window.pick(self.stream, len(self.pool)))


class Code:
    """Text of one width that is different in every row, from a part for the place in the block and one for the block.

    `around` gives what stands before and behind the block's part from 0 … 4095, a different number for each place.
    `inner` gives the block's part from a number below `limit`, which is at least as many as there are blocks and a
    power of 10 or 16; each block has another number, in no visible order.
    """

    def __init__(
        self, dice: Dice, around: Callable[[int], tuple[str, str]], inner: Callable[[int], str], limit: int
    ) -> None:
        rows = []
        for place, number in enumerate(dice.shuffled(range(4 * BLOCK))[:BLOCK]):
            before, behind = (part.encode() for part in around(number))
            mark = place % len(_MARKS)
            rows.append(before + _MARKS[mark : mark + 1] + behind)
        self._rows = b"".join(rows)
        self._inner = inner
        self._limit = limit
        # Factors that end in 7 have no divisor in common with the limit, so that no number comes twice.
        self._numbers = [(dice.below(limit // 20) * 10 + 7, dice.below(limit)) for _ in _MARKS]
        self.width = len(rows[0]) - 1 + len(inner(0))

    def make(self, window: Window) -> Array:
        parts = []
        end = window.first + window.count
        for block in range(window.first // BLOCK, -(-end // BLOCK)):
            start = block * BLOCK
            text = self._block(block)
            parts.append(text[max(window.first - start, 0) * self.width : (end - start) * self.width])
        return fixed_width(b"".join(parts), self.width)

    def _block(self, block: int) -> bytes:
        text = self._rows
        for mark, (factor, shift) in enumerate(self._numbers):
            inner = self._inner((block * factor + shift) % self._limit)
            text = text.replace(_MARKS[mark : mark + 1], inner.encode())
        return text


def hex_code(dice: Dice) -> Code:
    """16 hexadecimal digits, such as `7C1F09A25EB34D60`."""
    return Code(
        dice,
        lambda number: (f"{number:03X}{dice.below(16):X}", f"{dice.below(16**4):04X}"),
        "{:08X}".format,
        16**8,
    )


def uuid_code(dice: Dice) -> Code:
    """UUIDs in the form of version 4."""

    def around(number: int) -> tuple[str, str]:
        return (
            f"{number:03x}{dice.below(16):x}",
            f"-4{dice.below(16**3):03x}-a{dice.below(16**3):03x}-{dice.below(16**12):012x}",
        )

    def inner(number: int) -> str:
        return f"{number >> 16:04x}-{number & 0xFFFF:04x}"

    return Code(dice, around, inner, 16**8)


def ecid_code(dice: Dice) -> Code:
    """38 digits, as an Experience Cloud ID has."""
    return Code(
        dice,
        lambda number: (f"{1000 + number}{dice.below(10**6):06d}", f"{dice.below(10**12):012d}"),
        "{:016d}".format,
        10**16,
    )


def prefixed_code(dice: Dice, prefix: str) -> Code:
    """A prefix and ten hexadecimal digits, such as `ORD-3A91C0D4E2`."""

    def around(number: int) -> tuple[str, str]:
        return f"{prefix}-{number >> 8:X}", f"{number & 0xFF:02X}"

    return Code(dice, around, "{:07X}".format, 16**7)


@dataclass(frozen=True)
class Joined:
    """The text of several columns, put together row by row."""

    parts: Sequence[Column]

    def make(self, window: Window) -> Array:
        return window.once(self)


@dataclass(frozen=True)
class Position:
    """The row's position times `step` plus `base`, as a number or as text."""

    base: int
    type: DataType
    step: int = 1

    def make(self, window: Window) -> Array:
        steps = mul(window.ramp, Scalar(self.step, type=DataType.int64())) if self.step > 1 else window.ramp
        return cast(add(steps, Scalar(self.base + window.first * self.step, type=DataType.int64())), self.type)


@dataclass(frozen=True)
class Time:
    """The row's time, moved by milliseconds from a pool where one is given, as an instant or a day."""

    type: DataType
    instant: DataType
    shift: Pooled | None = None

    def make(self, window: Window) -> Array:
        millis = window.millis
        if self.shift is not None:
            millis = add(millis, self.shift.make(window))
        instants = cast(millis, self.instant)
        return instants if self.type == self.instant else cast(instants, self.type)


@dataclass(frozen=True)
class Gappy:
    """A column with null in some rows: where `gaps`, a pool of 0 and null, has one."""

    column: Column
    gaps: Pooled

    def make(self, window: Window) -> Array:
        return take(self.column.make(window), add(window.ramp, self.gaps.make(window)))


@dataclass(frozen=True)
class Struct:
    """An object's columns; null as a whole where `missing`, a pool of booleans, is true."""

    columns: Sequence[Column]
    fields: Sequence[Field]
    missing: Pooled | None

    def make(self, window: Window) -> Array:
        mask = None if self.missing is None else self.missing.make(window)
        return struct_array([column.make(window) for column in self.columns], fields=self.fields, mask=mask)


@dataclass(frozen=True)
class MapOf:
    """Maps with an entry for each of the columns that has a value, by their names."""

    names: Sequence[str]
    parts: Sequence[Column]
    type: DataType

    def make(self, window: Window) -> Array:
        width, count = len(self.parts), window.count
        columns = [part.make(window) for part in self.parts]
        names, order = _repeated(width, count), row_by_row(count, width)
        offsets = even_offsets(count, width)
        if any(column.null_count for column in columns):
            present = [is_not_null(column) for column in columns]
            there = take(ChunkedArray(present).combine_chunks(), order)
            names, order = filter(names, there), filter(order, there)
            counts = nanoarrow.c_array(reduce(add, (cast(each, DataType.uint8()) for each in present)))
            offsets = array("i", accumulate(bytes(counts.view().buffer(1)), initial=0))
        keys = take(Array(list(self.names), type=DataType.string()), names)
        values = columns[0]
        if width > 1 and all(isinstance(part, OneItem) for part in self.parts):
            # To move the items takes a third of what moving the lists does.
            items = take(ChunkedArray([list_flatten(column) for column in columns]).combine_chunks(), order)
            values = list_array(_ramp("i", width * count + 1).slice(0, len(order) + 1), items, type=values.type)
        elif width > 1 or len(order) < count:
            values = take(ChunkedArray(columns).combine_chunks(), order)
        fields = [Field("key", DataType.string(), nullable=False), Field("value", values.type, nullable=True)]
        entries = nanoarrow.c_array(struct_array([keys, values], fields=fields))
        type_ = nanoarrow.c_schema(self.type)
        return Array.from_arrow(nanoarrow.c_array_from_buffers(type_, count, [None, offsets], children=[entries]))


@lru_cache(maxsize=4)
def _repeated(width: int, count: int) -> Array:
    """0, 1 … `width` - 1, so many times."""
    return Array.from_buffer(array("I", list(range(width)) * count))


@dataclass(frozen=True)
class OneItem:
    """Lists of exactly one item."""

    item: Column
    type: DataType
    missing: Pooled | None

    def make(self, window: Window) -> Array:
        mask = None if self.missing is None else self.missing.make(window)
        return list_array(_ramp("i", window.count + 1), self.item.make(window), type=self.type, mask=mask)


def referenced(column: Column, owners: int, stream: Stream, millis: Callable[[Window], Array]) -> Pooled:
    """Values of the first `owners` rows of a column, referred to at random: the earlier an owner, the more often."""
    size = min(16 * BLOCK, max(SMALL_POOL, 4 * owners))
    who = Array.from_buffer(array("q", (owners * place * place // (size * size) for place in range(size))))
    return Pooled(take(column.make(Window(0, owners, millis)), who), stream)


def values_of(column: Column, count: int, millis: Callable[[Window], Array]) -> list[Any]:
    """Some of a column's values as Python objects; the whole pool of a pooled one."""
    values = column.pool if isinstance(column, Pooled) else column.make(Window(0, count, millis))
    return list(values.to_pylist())


# --- texts put together from bytes, without Python work per row: nanoarrow takes and gives ready buffers ---


def text_column(offsets: array[int] | bytes, data: bytes | memoryview, count: int) -> Array:
    """A string column of `count` rows: UTF-8 `data` and `count + 1` int32 `offsets` into it."""
    return Array.from_arrow(nanoarrow.c_array_from_buffers(nanoarrow.string(), count, [None, offsets, data]))


def fixed_width(data: bytes, width: int) -> Array:
    """A string column from ASCII text of which every `width` characters are a row."""
    count = len(data) // width
    return text_column(even_offsets(count, width), data, count)


def joined(parts: Sequence[Array]) -> Array:
    """The strings of several columns (of one length, without nulls) put together row by row."""
    count, width = len(parts[0]), len(parts)
    pieces = nanoarrow.c_array(take(ChunkedArray(list(parts)).combine_chunks(), row_by_row(count, width))).view()
    # The pieces of a row lie one after the other already: leaving out the offsets between them joins them.
    offsets = memoryview(pieces.buffer(1)).cast("B").cast("i")[: count * width + 1 : width]
    return text_column(offsets.tobytes(), memoryview(pieces.buffer(2)), count)


# Batches mostly have one size, so that a few of these are worth keeping: making them takes as long as all the rest.
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
