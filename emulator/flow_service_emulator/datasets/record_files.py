"""A user's rows in files: NDJSON, CSV and Parquet are streamed, a JSON array is read whole.

A file is looked through once, from beginning to end, when it is new or has changed: that finds its columns, its number of
rows and whatever is wrong with it. An export then reads just the rows that it needs.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
from bisect import bisect_right
from collections.abc import Callable, Iterator, Mapping
from io import BytesIO
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, NamedTuple, Protocol

import orjson

from flow_service_emulator.datasets import json_pieces
from flow_service_emulator.datasets.bounds import MAX_ARRAY_VALUES, check_values
from flow_service_emulator.datasets.panics import panics_as_faults
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
from flow_service_emulator.rows.seeded import RowSource

if TYPE_CHECKING:
    from arro3.core import RecordBatch, RecordBatchReader, Schema

MAX_ARRAY_BYTES: Final = 64_000_000
"""The largest `.json` file: an array has to be read whole."""
MAX_LINE_BYTES: Final = 16_000_000
_PIECE_BYTES: Final = 1 << 20
_BLOCK_RECORDS: Final = 8_192
_PARQUET_MAGIC: Final = b"PAR1"
_UNREADABLE: Final = "this Parquet file cannot be read"
BOM: Final = b"\xef\xbb\xbf"


class FileFault(ValueError):
    """A file that rows cannot be taken from; the message says why, without the file's name."""


class Mark(NamedTuple):
    """What a file had in it: its number of rows, and the digest of their content. `size` is in bytes, 0 where only rows count."""

    rows: int
    size: int
    digest: str

    def as_json(self) -> dict[str, Any]:
        return self._asdict()

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> Mark:
        return cls(int(value["rows"]), int(value["size"]), str(value["digest"]))


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
    prefix = _PrefixDigest(None if before is None else before.rows)
    for text in texts:
        for line in text.split("\n")[:-1]:
            prefix.update_record(line.encode())
    schema = shape.arrow_schema()
    rows = RecordRows(schema, decoded_texts(texts, schema, go_on), rows_per_hour=0, anchor=0)
    mark = Mark(rows.records, 0, prefix.digest())
    return FileRows(rows, mark, prefix.is_like(before))


def _read_ndjson(path: Path, before: Mark | None, go_on: GoOn) -> FileRows:
    shape, prefix = RecordShape(), _PrefixDigest(None if before is None else before.size)
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
    prefix = _PrefixDigest(None if before is None else before.size)
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
    prefix = _PrefixDigest(None if before is None else before.rows)
    rows, schema = 0, _open_parquet(path).schema
    if not len(schema):
        raise FileFault("there is no column")
    for batch in parquet_batches(path):
        go_on()
        prefix.update_rows(batch)
        rows += batch.num_rows
    mark = Mark(rows, 0, prefix.digest())
    return FileRows(_StreamedRows(path, schema, mark, lambda: parquet_batches(path)), mark, prefix.is_like(before))


READERS: Final[Mapping[str, Reader]] = {
    ".json": _read_array,
    ".ndjson": _read_ndjson,
    ".csv": _read_csv,
    ".parquet": _read_parquet,
}
"""Extension -> what reads such a file."""


class _PrefixDigest:
    """The digest of a content, and on the way that of its first `length` bytes, records or rows, if it has as many."""

    def __init__(self, length: int | None) -> None:
        self._hash = hashlib.blake2b(digest_size=16)
        self._length = -1 if length is None else length
        self._seen = 0
        self._of_prefix = self._hash.hexdigest() if length == 0 else ""

    def update_bytes(self, data: bytes) -> None:
        left = self._length - self._seen
        if 0 < left < len(data):
            self._take(data[:left], left)
            data = data[left:]
        self._take(data, len(data))

    def update_record(self, line: bytes) -> None:
        self._take(line, 1)

    def update_rows(self, batch: RecordBatch) -> None:
        left = self._length - self._seen
        if 0 < left < batch.num_rows:
            shorter = self._hash.copy()
            shorter.update(rows_as_text(batch.slice(0, left)))
            self._of_prefix = shorter.hexdigest()
        self._take(rows_as_text(batch), batch.num_rows)

    def digest(self) -> str:
        return self._hash.hexdigest()

    def is_like(self, before: Mark | None) -> bool:
        """Whether the content begins with what `before` tells of."""
        return before is None or self._of_prefix == before.digest

    def _take(self, data: bytes, units: int) -> None:
        self._hash.update(data)
        self._seen += units
        if self._seen == self._length:
            self._of_prefix = self._hash.hexdigest()


def rows_as_text(batch: RecordBatch, *, nulls: bool = False) -> bytes:
    """Rows as NDJSON: of the forms that Arrow knows, the one in which like rows are always alike. Raises FileFault.

    Fields that are null are left out, unless `nulls`.
    """
    from arro3.io import write_ndjson

    target = BytesIO()
    try:
        with panics_as_faults(FileFault, "its rows cannot be written as JSON"):
            write_ndjson(batch, target, explicit_nulls=nulls)
    except FileFault:
        raise
    except Exception as fault:
        raise FileFault(f"it has a column of a type that has no JSON: {fault}") from fault
    return target.getvalue()


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


def parquet_batches(source: Path | bytes, batch_rows: int = _BLOCK_RECORDS) -> Iterator[RecordBatch]:
    """The rows of a Parquet file, or of the bytes of one. Raises FileFault and OSError."""
    with _reading_parquet():
        yield from _open_parquet(source, batch_rows)


def _open_parquet(source: Path | bytes, batch_rows: int = _BLOCK_RECORDS) -> RecordBatchReader:
    from arro3.io import read_parquet

    with _reading_parquet():
        with source.open("rb") if isinstance(source, Path) else BytesIO(source) as file:
            ends = file.read(4), file.read(1)
            file.seek(-min(4, file.seek(0, os.SEEK_END)), os.SEEK_END)
            last = file.read(4)
        if not (ends[0] == last == _PARQUET_MAGIC and ends[1]):
            raise FileFault("this is no Parquet file, or not the whole of it")
        return read_parquet(source, batch_size=batch_rows)


@contextlib.contextmanager
def _reading_parquet() -> Iterator[None]:
    """Around calls of arro3."""
    try:
        with panics_as_faults(FileFault, _UNREADABLE):
            yield
    except (ValueError, OSError, MemoryError):
        raise
    except Exception as fault:  # arro3 raises nothing more exact
        raise FileFault(f"{_UNREADABLE}: {fault}") from fault
