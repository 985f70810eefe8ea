"""What a dataset of a user's own may cost that comes in a request: all of its bounds, and why they are what they are.

A few bytes of Parquet can be many rows, a few of JSON many objects, and a field that one record has is a place in all the others. So
each thing that is made of a body has a bound of its own, which is looked at before it is made, or while it grows: together they keep
an upload, the process that reads its Parquet included, within about 300 MB (400 at the worst) beside what the server takes
otherwise. A dataset for a test has a few thousand rows; one that is larger than this is to be a file in the `datasets` folder of
`--fixtures`, which is read piece by piece and has no such bounds.

Nor is another request to wait for long meanwhile. An upload is read, and what there is to write of it found, in a thread, in pieces
of milliseconds. What holds up all others for longer, measured with 50 MB on two cores, and twice as long where others use them too:

- the writing into the log of `--data-dir`, which is done at once so that it is whole: 0.15 s;
- arro3 on CSV, which it looks through before it gives the first rows: 0.15 s; on records of 30 KB each: 0.07 s;
- orjson on JSON whose records cannot be told apart by their first field, or that is none: 0.2 s.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Final

from flow_service_emulator.settings import MAX_DATASET_BYTES

MAX_VALUES: Final = 3_000_000
"""Values in all records, each record counted as one more: three hundred thousand records of nine fields. While they are objects,
they take some 100 bytes each."""
MAX_PLACES: Final = 12_000_000
"""Places for values in all columns, of 8 bytes: every record has one in each, and every item of an array in each of the items'
fields. Records that have few of many fields have more of them than values."""
MAX_TEXT_MEMORY: Final = 128_000_000
"""Bytes that a dataset's records take as text, with those appended: usually those of their JSON; up to four times as many with
characters such as emoji."""
MAX_PROCESS_MEMORY: Final = 192_000_000
"""Bytes that the process which reads Parquet may take beside the file itself: what it unpacks can be had only as a whole."""
MAX_PROCESS_SECONDS: Final = 10
"""Seconds of a processor that this process may take."""
MAX_FILE_MEMORY: Final = 4_000_000_000
"""The same for a file of the `datasets` folder, of which a row group has to be in memory: only what is wrong takes more."""
MAX_ARRAY_VALUES: Final = 3 * MAX_VALUES
"""The same as MAX_VALUES for a `.json` file, which lies where nobody but the user puts files."""
_ELSEWHERE: Final = "a .ndjson, .csv or .parquet file in the datasets folder of --fixtures may have more"
_PIECE_BYTES: Final = 1 << 18
_ESCAPES_AND_NEXT: Final = re.compile(rb"\\*+.?", re.DOTALL)


class TooMuch(ValueError):
    """Content that is beyond one of the bounds; the message names it."""


def too_much(what: str, bound: int, unit: str) -> TooMuch:
    """For raising: `what` has more than `bound` of `unit`."""
    return TooMuch(f"{what} more than {bound} {unit}; {_ELSEWHERE}")


def check_values(content: bytes, most: int = MAX_VALUES) -> None:
    """Raises TooMuch for a JSON text, or lines of JSON, that may have more than so many values.

    Counts what stands before a value. Only where that is too much with all that is in texts, it is counted without: of a file
    of 64 MB that takes up to a second, in steps of milliseconds.
    """
    if len(content) <= most or _counted(content) <= most:
        return
    count = 0
    for piece in _without_texts(content):
        count += _counted(piece)
        if count > most:
            raise too_much("it has", most, "values")


def _counted(text: bytes) -> int:
    return sum(map(text.count, (b",", b"{", b"[")))


def _without_texts(content: bytes) -> Iterator[bytes]:
    """JSON without what is in its texts and names, piece by piece: all at once it could be many millions of objects.

    What is no JSON may be taken wrongly from its first fault on, behind which nobody reads.
    """
    start, within = 0, False
    while start < len(content):
        end = start + _PIECE_BYTES
        if end < len(content) and (cut := _ESCAPES_AND_NEXT.match(content, end - 1)) is not None:
            end = cut.end()  # no piece ends between a backslash and what it escapes
        piece = content[start:end].replace(rb"\\", b"").replace(rb"\"", b"")
        parts = piece.split(b'"')
        yield b"".join(parts[within::2])
        within ^= len(parts) % 2 == 0
        start = end


class Made:
    """Counts what has been made of an upload."""

    def __init__(self) -> None:
        self._values = 0
        self._bytes = 0

    def rows(self, rows: int, columns: int) -> None:
        """Counts rows of Parquet or CSV. Raises TooMuch."""
        self._values += rows * (1 + columns)
        if self._values > MAX_VALUES:
            raise too_much("it has", MAX_VALUES, "values")

    def json(self, size: int) -> None:
        """Counts bytes of JSON. Raises TooMuch."""
        self._bytes += size
        if self._bytes > MAX_DATASET_BYTES:
            raise too_much("its rows have", MAX_DATASET_BYTES, "bytes as JSON")


_FOUR_BYTES: Final = re.compile(rb"[\xf0-\xf4]")
_TWO_BYTES: Final = re.compile(rb"[\xc4-\xef]")
_CONTINUATIONS: Final = bytes(range(0x80, 0xC0))


def text_memory(data: bytes) -> int:
    """How many bytes a text takes that is `data` in UTF-8: Python gives all of its characters the room of the widest."""
    if data.isascii():
        return len(data)
    width = 4 if _FOUR_BYTES.search(data) else 2 if _TWO_BYTES.search(data) else 1
    return width * len(data.translate(None, _CONTINUATIONS))


def memory_of(text: str) -> int:
    """How many bytes a text takes."""
    return len(text) if text.isascii() else text_memory(text.encode())


def joined_memory(text: str, further: str) -> int:
    """How many bytes two texts take as one, before they are: the wider characters of one widen the other."""
    widths = (memory_of(part) // len(part) for part in (text, further) if part)
    return max(widths, default=1) * (len(text) + len(further))
