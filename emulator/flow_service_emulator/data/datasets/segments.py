"""Typed rows as Arrow IPC streams: what every user's dataset is, whatever it came from.

Each stream has at most one batch, and they follow one another, so that any range of rows can be read without the others, and
further rows are added behind.
"""

from __future__ import annotations

import hashlib
import io
import json
import os
import re
import threading
import weakref
from collections.abc import Iterable, Iterator, Mapping
from io import BytesIO
from typing import IO, TYPE_CHECKING, Any, Final, NamedTuple

from flow_service_emulator.data.datasets.faults import FileFault, panics_as_faults

if TYPE_CHECKING:
    from arro3.core import RecordBatch, RecordBatchReader, Schema

_LENGTH: Final = 8
_POINT_ZERO: Final = re.compile(rb"(?<=[:,\[])(-?[0-9]+)\.0(?=[,}\]])")
"""A whole number as one with a point has it: a column of the ones can become one of the others, and its first rows are the same."""


class Mark(NamedTuple):
    """What a dataset has in it: its number of rows, and the digest of their content."""

    rows: int
    digest: str


class Segments:
    """Rows in a file, or in memory. `schema` is that of all of them, `facts` what was found beside them. For any thread."""

    def __init__(self, file: IO[bytes]) -> None:
        self._file = file
        self._lock = threading.Lock()
        weakref.finalize(self, file.close)
        size = file.seek(0, os.SEEK_END)
        length = int.from_bytes(self._read(size - _LENGTH, _LENGTH), "little")
        self.facts: dict[str, Any] = json.loads(self._read(size - _LENGTH - length, length))
        self._places: list[tuple[int, int, int]] = self.facts.pop("segments")
        self.schema = schema_in(self[0])

    @property
    def mark(self) -> Mark:
        return Mark(self.facts["rows"], self.facts["digest"])

    @property
    def rows(self) -> list[int]:
        """How many rows each stream has. The first one has none, and tells the schema."""
        return [rows for _, _, rows in self._places]

    def __len__(self) -> int:
        return len(self._places)

    def __getitem__(self, index: int) -> bytes:
        """A stream."""
        at, size, _ = self._places[index]
        return self._read(at, size)

    def begin_with(self, before: Mark | None) -> bool:
        """Whether all rows that were there before come first, unchanged."""
        return before is None or self.facts["before"] == before.digest

    def _read(self, at: int, size: int) -> bytes:
        with self._lock:
            self._file.seek(at)
            return self._file.read(size)


def write_segments(schema: Schema, batches: Iterable[RecordBatch], file: IO[bytes], facts: Mapping[str, Any]) -> None:
    """Write the streams, and behind them where each is, with `facts`, which may change until the last batch has come."""
    at = 0
    places = []
    for stream, rows in _streams(schema, batches):
        file.write(stream)
        places.append((at, len(stream), rows))
        at += len(stream)
    end = json.dumps({**facts, "segments": places}).encode()
    file.write(end + len(end).to_bytes(_LENGTH, "little"))


def _streams(schema: Schema, batches: Iterable[RecordBatch]) -> Iterator[tuple[bytes, int]]:
    yield stream_of(schema), 0
    for batch in batches:
        if batch.num_rows:
            yield stream_of(schema, batch), batch.num_rows


def stream_of(schema: Schema, *batches: RecordBatch) -> bytes:
    """Batches, or just a schema, as an Arrow IPC stream."""
    from arro3.core import Table
    from arro3.io import write_ipc_stream

    target = BytesIO()
    with panics_as_faults(FileFault, "its rows cannot be kept"):
        write_ipc_stream(Table.from_batches(batches, schema=schema), target, compression="lz4")
    return target.getvalue()


def _reader(stream: bytes) -> RecordBatchReader:
    from arro3.io import read_ipc_stream

    with panics_as_faults(ValueError, "its rows are damaged"):
        return read_ipc_stream(io.BytesIO(stream))


def schema_in(stream: bytes) -> Schema:
    """The schema of an Arrow IPC stream. Raises ValueError."""
    return _reader(stream).schema


def batches_in(stream: bytes) -> list[RecordBatch]:
    """The batches of an Arrow IPC stream. Raises ValueError."""
    with panics_as_faults(ValueError, "its rows are damaged"):
        return list(_reader(stream))


def scratch() -> IO[bytes]:
    """A file without a name, which is gone with the process. Raises OSError."""
    import tempfile  # most servers never read anything large

    try:
        return tempfile.TemporaryFile()
    except OSError:  # such as in a container whose file system is read-only
        if not hasattr(os, "memfd_create"):
            raise
        return os.fdopen(os.memfd_create("rows"), "w+b")


class Fingerprint:
    """The digest of rows, and on the way that of the first `before.rows` of them. Further rows go on from `start`, a digest."""

    def __init__(self, before: Mark | None = None, start: str = "") -> None:
        self._digest = bytes.fromhex(start)
        self._rows = 0
        self._length = -1 if before is None else before.rows
        self._before = self._digest.hex() if self._length == 0 else ""

    def of(self, batches: Iterable[RecordBatch]) -> Iterator[RecordBatch]:
        """The batches, each of which it takes note of."""
        for batch in batches:
            for line in _POINT_ZERO.sub(rb"\1", rows_as_text(batch)).splitlines():
                self._digest = hashlib.blake2b(self._digest + line, digest_size=16).digest()
                self._rows += 1
                if self._rows == self._length:
                    self._before = self._digest.hex()
            yield batch

    def facts(self) -> dict[str, Any]:
        """For the facts of Segments."""
        return {"rows": self._rows, "digest": self._digest.hex(), "before": self._before}


def rows_as_text(batch: RecordBatch, *, nulls: bool = False) -> bytes:
    """Rows as NDJSON: of the forms that Arrow knows, the one in which like rows are always alike. Raises FileFault.

    Fields that are null are left out, unless `nulls`.
    """
    from arro3.io import write_ndjson

    target = BytesIO()
    with panics_as_faults(FileFault, "its rows cannot be written as JSON"):
        write_ndjson(batch, target, explicit_nulls=nulls)
    return target.getvalue()
