"""A user's rows in files: NDJSON, CSV and Parquet are streamed, a JSON array is read whole.

A file is looked through once, from beginning to end, when it is new or has changed: that finds its columns, its number of
rows and whatever is wrong with it. An export then reads just the rows that it needs.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Final, NamedTuple, Protocol

import orjson

from flow_service_emulator.datasets import json_pieces
from flow_service_emulator.datasets.bounds import MAX_ARRAY_VALUES, check_values
from flow_service_emulator.datasets.panics import FileFault
from flow_service_emulator.datasets.parquet_process import Unread, segments_of_parquet
from flow_service_emulator.datasets.parquet_rows import Mark, PrefixDigest
from flow_service_emulator.datasets.record_rows import (
    GoOn,
    RecordRows,
    check_columns,
    decoded,
    decoded_texts,
    emptied,
    record_texts,
)
from flow_service_emulator.datasets.record_shape import RecordShape
from flow_service_emulator.datasets.segments import Segments
from flow_service_emulator.rows.seeded import RowSource

if TYPE_CHECKING:
    from arro3.core import RecordBatch, Schema

MAX_ARRAY_BYTES: Final = 64_000_000
"""The largest `.json` file: an array has to be read whole."""
MAX_LINE_BYTES: Final = 16_000_000
_PIECE_BYTES: Final = 1 << 20
BOM: Final = b"\xef\xbb\xbf"


class FileRows(NamedTuple):
    """A file's rows as it is now. `lengthened` says whether all that `before` told of still comes first, unchanged.

    `waiting` is how many bytes at the end are left for later, as they are no whole line of NDJSON yet.
    """

    source: RowSource
    mark: Mark
    lengthened: bool
    waiting: int = 0


class Reader(Protocol):
    """Looks a file through. Raises ValueError and OSError."""

    def __call__(self, path: Path, before: Mark | None, go_on: GoOn) -> FileRows: ...


def read_file(path: Path, before: Mark | None = None, go_on: GoOn = lambda: None) -> FileRows:
    """The rows of a file, by its extension: one of READERS. `before` is what it held when it was last looked at.

    Raises ValueError, saying what is wrong with the file, OSError, and what `go_on` raises. Takes about a second for 100,000
    records of NDJSON and less for the other formats; for a worker thread.
    """
    return READERS[path.suffix.lower()](path, before, go_on)


def _read_array(path: Path, before: Mark | None, go_on: GoOn) -> FileRows:
    size = path.stat().st_size
    if size > MAX_ARRAY_BYTES:
        raise FileFault(
            f"{size} bytes; an array of more than {MAX_ARRAY_BYTES} cannot be streamed: put one record a line into a .ndjson file"
        )
    content = path.read_bytes().removeprefix(BOM)
    check_values(content, MAX_ARRAY_VALUES)
    try:
        records = json_pieces.loads(content, go_on)
    except orjson.JSONDecodeError as fault:
        raise FileFault(f"this is not JSON: {fault.msg} (line {fault.lineno}, column {fault.colno})") from None
    if not isinstance(records, list):
        raise FileFault("an array of records is needed; one record a line goes into a .ndjson file")
    texts, shape = record_texts(emptied(records), go_on)
    prefix = PrefixDigest(None if before is None else before.rows)
    for text in texts:
        for line in text.split("\n")[:-1]:
            prefix.update_record(line.encode())
    schema = shape.arrow_schema()
    rows = RecordRows(schema, decoded_texts(texts, schema, go_on), rows_per_hour=0, anchor=0)
    mark = Mark(rows.records, 0, prefix.digest())
    return FileRows(rows, mark, prefix.is_like(before))


def _read_ndjson(path: Path, before: Mark | None, go_on: GoOn) -> FileRows:
    shape, prefix = RecordShape(), PrefixDigest(None if before is None else before.size)
    blocks = _Blocks(_bom_of(path))
    prefix.update_bytes(BOM[: blocks.end])
    for lines in _whole_lines(path, blocks.end):
        go_on()
        prefix.update_bytes(lines)
        records = []
        for number, line in enumerate(lines.split(b"\n"), blocks.line):
            if line and not line.isspace():
                try:
                    records.append(orjson.loads(line))
                except orjson.JSONDecodeError as fault:
                    raise FileFault(f"line {number} is not JSON: {fault.msg} (column {fault.colno})") from None
        shape.note(records)
        blocks.add(lines, len(records))
    check_columns(shape)
    mark = Mark(shape.records, blocks.end, prefix.digest())
    rows = _NdjsonRows(path, shape.arrow_schema(), mark, blocks)
    return FileRows(rows, mark, prefix.is_like(before), waiting=path.stat().st_size - blocks.end)


def _read_csv(path: Path, before: Mark | None, go_on: GoOn) -> FileRows:
    from flow_service_emulator.datasets.csv_columns import CsvColumns

    columns = CsvColumns(path)
    rows = columns.survey(lambda rows: go_on())
    prefix = PrefixDigest(None if before is None else before.size)
    size = 0
    with path.open("rb") as file:
        while piece := file.read(_PIECE_BYTES):
            go_on()
            prefix.update_bytes(piece)
            size += len(piece)
    mark = Mark(rows, size, prefix.digest())
    lengthened = prefix.is_like(before) and (before is None or _ends_a_line(path, before.size))
    return FileRows(_StreamedRows(path, columns.schema, mark, columns.batches), mark, lengthened)


def _read_parquet(path: Path, before: Mark | None, go_on: GoOn) -> FileRows:
    try:
        segments = segments_of_parquet(path, before, go_on)
    except Unread as fault:
        raise FileFault(str(fault)) from fault
    mark = Mark.from_json(segments.facts)
    return FileRows(_StoredRows(segments, mark.rows), mark, before is None or segments.facts["before"] == before.digest)


READERS: Final[Mapping[str, Reader]] = {
    ".json": _read_array,
    ".ndjson": _read_ndjson,
    ".csv": _read_csv,
    ".parquet": _read_parquet,
}
"""Extension -> what reads such a file."""


class _Blocks:
    """Where in an NDJSON file one can begin to read: a place every few thousand records."""

    def __init__(self, start: int) -> None:
        self.offsets: list[int] = []
        self.firsts: list[int] = []
        self.end = start
        self.records = 0
        self.line = 1

    def add(self, lines: bytes, records: int) -> None:
        """A further block, and how many records are in it."""
        self.offsets.append(self.end)
        self.firsts.append(self.records)
        self.end += len(lines)
        self.records += records
        self.line += lines.count(b"\n")


def _bom_of(path: Path) -> int:
    """The length of the mark that some programs put at the beginning of UTF-8."""
    with path.open("rb") as file:
        return len(BOM) if file.read(len(BOM)) == BOM else 0


def _whole_lines(path: Path, start: int) -> Iterator[bytes]:
    """The file from `start` on in pieces of whole lines. A last line that is no JSON yet, and not ended, is left for later."""
    rest = b""
    with path.open("rb") as file:
        file.seek(start)
        while piece := file.read(_PIECE_BYTES):
            cut = piece.rfind(b"\n") + 1
            if cut:
                yield rest + piece[:cut]
                rest = piece[cut:]
                continue
            rest += piece
            if len(rest) > MAX_LINE_BYTES:
                raise FileFault(f"a line is longer than {MAX_LINE_BYTES} bytes; NDJSON has one record a line")
    if rest and (rest.isspace() or _is_json(rest)):
        yield rest


def _is_json(text: bytes) -> bool:
    try:
        orjson.loads(text)
    except orjson.JSONDecodeError:
        return False
    return True


def _ends_a_line(path: Path, size: int) -> bool:
    """Whether what a file has beyond this size belongs to another line than what is before it."""
    if not size:
        return True
    with path.open("rb") as file:
        file.seek(size - 1)
        around = file.read(2)
    return around[:1] == b"\n" or around[1:] in (b"", b"\n", b"\r")


class _StreamedRows:
    """The rows of a file that can only be read from its beginning on: those that are not asked for are read and passed over."""

    arrow_schema: Schema

    def __init__(self, path: Path, schema: Schema, mark: Mark, read: Callable[[], Iterator[RecordBatch]]) -> None:
        self.arrow_schema = schema
        self._path = path
        self._mark = mark
        self._read = read
        self._inode = path.stat().st_ino

    def count_at(self, at: float) -> int:
        """See RowSource: all rows of a file are there as soon as the file is."""
        return self._mark.rows

    def first_at(self, at: float) -> int:
        """See RowSource: records tell no age that the emulator knows, so none is too old."""
        return 0

    def batches(self, first: int, end: int) -> Iterator[RecordBatch]:
        """See RowSource. Raises FileFault when the file is no longer the one that was looked through, and OSError."""
        if not 0 <= first <= end <= self._mark.rows:
            raise ValueError(f"there is no range of positions from {first} to {end}")
        now = self._path.stat()
        if now.st_ino != self._inode or now.st_size < self._mark.size:
            raise self._changed()
        if first == end:
            return
        position = first
        for start, batch in self._from(first):
            skipped = position - start
            if skipped < batch.num_rows:
                taken = batch.slice(skipped, min(batch.num_rows, end - start) - skipped)
                position += taken.num_rows
                yield taken
            if position == end:
                return
        raise self._changed()

    def _from(self, first: int) -> Iterator[tuple[int, RecordBatch]]:
        """Batches with the positions at which they begin; those before `first` may be left out."""
        start = 0
        for batch in self._read():
            if start + batch.num_rows > first:
                yield start, batch
            start += batch.num_rows

    def _changed(self) -> FileFault:
        return FileFault(f"the file {self._path.name} was changed while it was exported; the next export reads it anew")


class _NdjsonRows(_StreamedRows):
    """The rows of an NDJSON file, read from the block on in which they begin."""

    def __init__(self, path: Path, schema: Schema, mark: Mark, blocks: _Blocks) -> None:
        super().__init__(path, schema, mark, lambda: iter(()))
        self._blocks = blocks

    def _from(self, first: int) -> Iterator[tuple[int, RecordBatch]]:
        blocks = self._blocks
        index = max(0, bisect_right(blocks.firsts, first) - 1)
        ends = [*blocks.offsets[1:], blocks.end]
        with self._path.open("rb") as file:
            for offset, block_end, start in list(zip(blocks.offsets, ends, blocks.firsts, strict=False))[index:]:
                file.seek(offset)
                for batch in decoded(file.read(block_end - offset), self.arrow_schema):
                    yield start, batch
                    start += batch.num_rows


class _StoredRows:
    """The rows of a file as they were when it was looked through."""

    def __init__(self, segments: Segments, rows: int) -> None:
        self.arrow_schema = segments.schema
        self._segments = segments
        self._rows = rows

    def count_at(self, at: float) -> int:
        """See RowSource."""
        return self._rows

    def first_at(self, at: float) -> int:
        """See RowSource."""
        return 0

    def batches(self, first: int, end: int) -> Iterator[RecordBatch]:
        """See RowSource."""
        if not 0 <= first <= end <= self._rows:
            raise ValueError(f"there is no range of positions from {first} to {end}")
        for start, batch in self._segments.batches(first):
            if start >= end:
                return
            skipped = max(0, first - start)
            yield batch.slice(skipped, min(batch.num_rows, end - start) - skipped)
