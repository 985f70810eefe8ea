"""Rows as Arrow IPC streams, a batch in each, one after the other in a file: any range of them can be read without the others."""

from __future__ import annotations

import io
import json
import os
import tempfile
import threading
import weakref
from collections.abc import Iterable, Iterator
from typing import IO, TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from arro3.core import RecordBatch, Schema

_LENGTH: Final = 8


def scratch() -> IO[bytes]:
    """A file without a name, which is gone with the process. Raises OSError."""
    try:
        return tempfile.TemporaryFile()
    except OSError:  # such as in a container whose file system is read-only
        if not hasattr(os, "memfd_create"):
            raise
        return os.fdopen(os.memfd_create("rows"), "w+b")


def write_segments(schema: Schema, batches: Iterable[RecordBatch], file: IO[bytes], facts: dict[str, Any]) -> None:
    """Write batches, and behind them where each is, with further `facts`, which may change until the last batch has come."""
    from arro3.core import Table
    from arro3.io import write_ipc_stream

    places: list[tuple[int, int, int]] = []
    at = 0

    def add(part: Table) -> None:
        nonlocal at
        target = io.BytesIO()
        write_ipc_stream(part, target, compression="lz4")
        file.write(target.getbuffer())
        places.append((at, len(target.getbuffer()), part.num_rows))
        at += len(target.getbuffer())

    add(Table.from_batches([], schema=schema))
    for batch in batches:
        add(Table.from_batches([batch], schema=schema))
    end = json.dumps(facts | {"segments": places}).encode()
    file.write(end + len(end).to_bytes(_LENGTH, "little"))


class Segments:
    """What `write_segments` has written. `facts` are those that it was given. For any thread."""

    def __init__(self, file: IO[bytes]) -> None:
        self._file = file
        self._lock = threading.Lock()
        weakref.finalize(self, file.close)
        size = file.seek(0, os.SEEK_END)
        length = int.from_bytes(self._read(size - _LENGTH, _LENGTH), "little")
        self.facts: dict[str, Any] = json.loads(self._read(size - _LENGTH - length, length))
        first, *self._places = self.facts.pop("segments")
        self.schema: Schema = self._reader(*first[:2]).schema

    def batches(self, first: int) -> Iterator[tuple[int, RecordBatch]]:
        """The batches from that with the row `first` on, each with the number of its first row."""
        start = 0
        for at, size, rows in self._places:
            if start + rows > first:
                yield start, self._reader(at, size).read_next_batch()
            start += rows

    def _reader(self, at: int, size: int) -> Any:
        from arro3.io import read_ipc_stream

        return read_ipc_stream(io.BytesIO(self._read(at, size)))

    def _read(self, at: int, size: int) -> bytes:
        with self._lock:
            self._file.seek(at)
            return self._file.read(size)
