"""Parquet as arro3 reads it, rows as text, and what a content has in common with what it was before."""

from __future__ import annotations

import contextlib
import hashlib
import os
from collections.abc import Iterator, Mapping
from io import BytesIO
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from flow_service_emulator.datasets.panics import FileFault, panics_as_faults

if TYPE_CHECKING:
    from arro3.core import RecordBatch, RecordBatchReader

_BATCH_ROWS: Final = 8_192
_PARQUET_MAGIC: Final = b"PAR1"
_UNREADABLE: Final = "this Parquet file cannot be read"


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


class PrefixDigest:
    """The digest of a content, and on the way that of its first `length` bytes, records or rows, if it has as many."""

    def __init__(self, length: int | None) -> None:
        self._hash = hashlib.blake2b(digest_size=16)
        self._length = -1 if length is None else length
        self._seen = 0
        self.of_prefix = self._hash.hexdigest() if length == 0 else ""

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
            self.of_prefix = shorter.hexdigest()
        self._take(rows_as_text(batch), batch.num_rows)

    def digest(self) -> str:
        return self._hash.hexdigest()

    def is_like(self, before: Mark | None) -> bool:
        """Whether the content begins with what `before` tells of."""
        return before is None or self.of_prefix == before.digest

    def _take(self, data: bytes, units: int) -> None:
        self._hash.update(data)
        self._seen += units
        if self._seen == self._length:
            self.of_prefix = self._hash.hexdigest()


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


def parquet_batches(source: Path | bytes, batch_rows: int = _BATCH_ROWS) -> Iterator[RecordBatch]:
    """The rows of a Parquet file, or of the bytes of one. Raises FileFault and OSError."""
    with _reading_parquet():
        yield from open_parquet(source, batch_rows)


def open_parquet(source: Path | bytes, batch_rows: int = _BATCH_ROWS) -> RecordBatchReader:
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
