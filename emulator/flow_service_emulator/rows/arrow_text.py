"""Arrow string columns put together from bytes, without Python work per row.

arro3 builds strings from Python objects or takes them from other arrays, but has no way in for ready buffers and no
concatenation row by row. Both go through the Arrow IPC stream format, whose one record batch is written here by hand
(https://arrow.apache.org/docs/format/Columnar.html#serialization-and-interprocess-communication-ipc).
"""

from __future__ import annotations

import io
import struct
from array import array
from collections.abc import Sequence
from functools import cache, lru_cache
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from arro3.core import Array

_CONTINUATION: Final = 0xFFFFFFFF
_PREFIX: Final = struct.Struct("<Ii")
# A FlatBuffers `Message` that holds a `RecordBatch` of one column with three buffers. Every field that does not vary
# (positions inside the message, the version V5 = 4, the header type RecordBatch = 3) is given in _message().
_MESSAGE: Final = struct.Struct("<I6H iIqhB5x 5H6x iIqI iqq 4xi 6q")
_END: Final = _PREFIX.pack(_CONTINUATION, 0)


def text_column(offsets: bytes | memoryview, data: bytes, count: int) -> Array:
    """A string column of `count` rows: UTF-8 `data` and `count + 1` int32 `offsets` into it. Raises on bad UTF-8."""
    from arro3.io import read_ipc_stream

    offsets = bytes(offsets)
    body = b"".join((offsets, bytes(-len(offsets) % 8), data, bytes(-len(data) % 8)))
    message = _message(count, len(offsets), len(data), len(body))
    stream = b"".join((_schema_message(), _PREFIX.pack(_CONTINUATION, len(message)), message, body, _END))
    return read_ipc_stream(io.BytesIO(stream)).read_next_batch().column(0)


def fixed_width(data: bytes, width: int) -> Array:
    """A string column from ASCII text of which every `width` characters are a row."""
    count = len(data) // width
    return text_column(_even_offsets(count, width), data, count)


def joined(parts: Sequence[Array]) -> Array:
    """The strings of several columns (of one length, without nulls) put together row by row."""
    from arro3.compute import take
    from arro3.core import ChunkedArray

    count, width = len(parts[0]), len(parts)
    pieces = take(ChunkedArray(list(parts)).combine_chunks(), _row_by_row(count, width))
    offsets, data = _buffers(pieces)
    # The pieces of a row lie one after the other already: leaving out the offsets between them joins them.
    return text_column(offsets.cast("i")[::width].tobytes(), bytes(data), count)


def _buffers(column: Array) -> tuple[memoryview, memoryview]:
    """The offsets and the data of a string column."""
    from arro3.core import RecordBatch
    from arro3.io import write_ipc_stream

    stream = io.BytesIO()
    write_ipc_stream(RecordBatch.from_arrays([column], names=["text"]), stream, compression=None)
    whole = stream.getbuffer()
    start = _PREFIX.size + _PREFIX.unpack_from(whole)[1] + _PREFIX.size
    message = whole[start:]
    body = message[_PREFIX.unpack_from(whole, start - _PREFIX.size)[1] :]
    batch = _reference(message, _field(message, _int(message, 0), 2))
    buffers = _reference(message, _field(message, batch, 2)) + 4  # behind the vector's length
    (_, _, offsets_at, _, data_at, _) = struct.unpack_from("<6q", message, buffers)
    offsets = body[offsets_at : offsets_at + 4 * (len(column) + 1)]
    return offsets, body[data_at : data_at + _int(offsets, 4 * len(column))]


def _message(count: int, offsets: int, data: int, body: int) -> bytes:
    """The metadata of a record batch: one column of `count` rows, whose buffers have these lengths (bytes)."""
    return _MESSAGE.pack(
        16,  # where the Message is
        *(
            12,
            24,
            16,
            18,
            4,
            8,
        ),  # its vtable, at 4: own size, table's size, version, header type, header, body length
        *(
            12,
            36,
            body,
            4,
            3,
        ),  # the Message, at 16: to its vtable, to the RecordBatch at 56, and its plain fields
        *(
            10,
            20,
            8,
            4,
            16,
        ),  # the RecordBatch's vtable, at 40: own size, table's size, length, nodes, buffers
        *(
            16,
            16,
            count,
            28,
        ),  # the RecordBatch, at 56: to its vtable, to the nodes at 76, length, to the buffers at 100
        *(1, count, 0),  # one node: its length and its nulls
        *(3, 0, 0, 0, offsets, offsets + -offsets % 8, data),  # the buffers, each with place and length
    )


# Batches mostly have one size, so that a few of these are worth keeping: making them takes as long as all the rest.
@lru_cache(maxsize=8)
def _even_offsets(count: int, width: int) -> bytes:
    """The offsets of `count` strings of `width` bytes each."""
    return array("i", range(0, (count + 1) * width, width)).tobytes()


@lru_cache(maxsize=8)
def _row_by_row(count: int, width: int) -> Array:
    """In which order to take from `width` columns of `count` rows, laid end to end, to have one row after the other."""
    from arro3.core import Array

    order = memoryview(bytearray(4 * width * count)).cast("I")
    for place in range(width):
        order[place::width] = array("I", range(place * count, (place + 1) * count))
    return Array.from_buffer(order)


@cache
def _schema_message() -> bytes:
    """The first message of a stream whose batches have one string column."""
    from arro3.core import Array, DataType, RecordBatch
    from arro3.io import write_ipc_stream

    stream = io.BytesIO()
    write_ipc_stream(
        RecordBatch.from_arrays([Array([], type=DataType.string())], names=["text"]), stream, compression=None
    )
    whole = stream.getvalue()
    return whole[: _PREFIX.size + _PREFIX.unpack_from(whole)[1]]


def _int(data: memoryview, place: int) -> int:
    found: int = struct.unpack_from("<i", data, place)[0]
    return found


def _field(data: memoryview, table: int, index: int) -> int:
    """Where the field `index` of a FlatBuffers table is."""
    place: int = struct.unpack_from("<H", data, table - _int(data, table) + 4 + 2 * index)[0]
    return table + place


def _reference(data: memoryview, place: int) -> int:
    """Where the table or vector is that a field at `place` refers to."""
    return place + _int(data, place)
