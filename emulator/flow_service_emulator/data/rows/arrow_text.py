"""Arrow string columns put together from bytes, without Python work per row: nanoarrow takes and gives ready buffers."""

from __future__ import annotations

from array import array
from collections.abc import Sequence
from functools import lru_cache

import nanoarrow
from arro3.compute import take
from arro3.core import Array, ChunkedArray


def text_column(offsets: array[int] | memoryview, data: bytes | memoryview, count: int) -> Array:
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
    return text_column(array("i", offsets), memoryview(pieces.buffer(2)), count)


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
