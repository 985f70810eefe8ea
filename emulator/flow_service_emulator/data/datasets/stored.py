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
from bisect import bisect_right
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from itertools import accumulate
from typing import IO, TYPE_CHECKING, Any, Final, NamedTuple

from flow_service_emulator.data.datasets.faults import FileFault, panics_as_faults
from flow_service_emulator.data.rows.seeded import Arrivals, RowSource

if TYPE_CHECKING:
    from arro3.core import RecordBatch, RecordBatchReader, Schema

_LENGTH: Final = 8
BATCH_ROWS: Final = 8_192
_BATCH_PLACES: Final = 2_000_000
"""Places for values in a batch, at most, of 8 bytes: with many columns it has fewer rows."""
_FEW: Final = 1_000
_POINT_ZERO: Final = re.compile(rb"(?<=[:,\[])(-?[0-9]+)\.0(?=[,}\]])")
"""A whole number as one with a point has it: a column of the ones can become one of the others, and its first rows are the same."""


class Mark(NamedTuple):
    """What a dataset has in it: its number of rows, and the digest of their content."""

    rows: int
    digest: str


class Segments:
    """Rows in a file, or in memory. `schema` is that of all of them, `facts` what was found beside them. For any thread.

    Raises ValueError for a file that `write_segments` did not write to its end.
    """

    def __init__(self, file: IO[bytes]) -> None:
        self._file = file
        self._lock = threading.Lock()
        weakref.finalize(self, file.close)
        size = file.seek(0, os.SEEK_END)
        length = int.from_bytes(self._read(max(0, size - _LENGTH), _LENGTH), "little")
        self.facts: dict[str, Any] = json.loads(self._read(max(0, size - _LENGTH - length), length))
        self._places: list[tuple[int, int, int]] = self.facts.pop("segments")
        self.schema = schema_in(self[0])

    @property
    def mark(self) -> Mark:
        return Mark(self.facts["rows"], self.facts["digest"])

    @property
    def rows(self) -> list[int]:
        """How many rows each stream has. The first one has none, and tells the schema."""
        return [rows for _, _, rows in self._places]

    def __iter__(self) -> Iterator[bytes]:
        return (self[index] for index in range(len(self._places)))

    def __getitem__(self, index: int) -> bytes:
        """A stream. Raises IndexError."""
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
    stream = stream_of(schema)
    file.write(stream)
    at, places = len(stream), [(0, len(stream), 0)]
    for batch in batches:
        if batch.num_rows:
            stream = stream_of(schema, batch)
            file.write(stream)
            places.append((at, len(stream), batch.num_rows))
            at += len(stream)
    end = json.dumps({**facts, "segments": places}).encode()
    file.write(end + len(end).to_bytes(_LENGTH, "little"))


def stream_of(schema: Schema, *batches: RecordBatch) -> bytes:
    """Batches, or just a schema, as an Arrow IPC stream."""
    from arro3.core import Table
    from arro3.io import write_ipc_stream

    target = io.BytesIO()
    with panics_as_faults(FileFault, "its rows cannot be stored"):
        write_ipc_stream(Table.from_batches(batches, schema=schema), target, compression="lz4")
    return target.getvalue()


def _reader(stream: bytes) -> RecordBatchReader:
    from arro3.io import read_ipc_stream

    with panics_as_faults(ValueError, "its rows are damaged"):
        return read_ipc_stream(io.BytesIO(stream))


def schema_in(stream: bytes) -> Schema:
    """The schema of an Arrow IPC stream. Raises ValueError."""
    return _reader(stream).schema


def rows_as_text(batch: RecordBatch, *, nulls: bool = False) -> bytes:
    """Rows as NDJSON: of the forms that Arrow knows, the one in which like rows are always alike. Raises FileFault.

    Fields that are null are left out, unless `nulls`.
    """
    from arro3.io import write_ndjson

    target = io.BytesIO()
    with panics_as_faults(FileFault, "its rows cannot be written as JSON"):
        write_ndjson(batch, target, explicit_nulls=nulls)
    return target.getvalue()


def decoded(text: bytes, schema: Schema) -> Iterator[RecordBatch]:
    """NDJSON as batches. Raises FileFault where the records are not of the schema."""
    from arro3.io import read_json

    rows = min(BATCH_ROWS, max(1, _BATCH_PLACES // max(1, len(schema))))
    with panics_as_faults(FileFault, "the records are not of their columns' types"):
        yield from read_json(text, schema, batch_size=rows)


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


class StoredRows:
    """A RowSource of rows in streams, in their order; `rows` says how many each has, `stream` gives it. All are there from the
    beginning. Streams of other columns, which were there before further rows brought theirs, get those of `schema`.

    With `rows_per_hour` the dataset grows from `anchor` (epoch seconds) on: the rows added repeat the others in turn, so that
    their values are known too; `grown` of these are there at `anchor` already. A user's rows tell no age that the emulator
    knows, so none is ever too old.
    """

    def __init__(
        self,
        schema: Schema,
        rows: Sequence[int],
        stream: Callable[[int], bytes],
        *,
        rows_per_hour: float = 0,
        anchor: float = 0,
        grown: int = 0,
    ) -> None:
        self.arrow_schema = schema
        self._ends = list(accumulate(rows))
        self._stream = stream
        self._anchor = anchor
        self._repeats = bool(rows_per_hour or grown)
        self._records = self._ends[-1] if self._ends else 0
        self._arrivals = Arrivals(self._records + grown, rows_per_hour if self._records else 0, anchor)

    def count_at(self, at: float) -> int:
        """See RowSource."""
        return self._arrivals.count_at(max(at, self._anchor))

    def first_at(self, at: float) -> int:
        """See RowSource."""
        return 0

    def batches(self, first: int, end: int) -> Iterator[RecordBatch]:
        """See RowSource."""
        records = self._records
        if not 0 <= first <= end or (end > records and not (records and self._repeats)):
            raise ValueError(f"there is no range of positions from {first} to {end}")
        if records and records <= _FEW and end - first > records:
            yield from self._repeated(first, end)
            return
        while first < end:
            record = first % records
            index = bisect_right(self._ends, record)
            start = self._ends[index - 1] if index else 0
            for batch in self._batches(index):
                skipped = max(0, record - start)
                taken = batch.slice(skipped, min(batch.num_rows - skipped, end - first))
                yield taken
                first += taken.num_rows

    def _batches(self, index: int) -> list[RecordBatch]:
        with panics_as_faults(ValueError, "its rows are damaged"):
            batches = list(_reader(self._stream(index)))
        if batches and batches[0].schema != self.arrow_schema:
            texts = [rows_as_text(batch, nulls=True) for batch in batches]
            return [batch for text in texts for batch in decoded(text, self.arrow_schema)]
        return batches

    def _repeated(self, first: int, end: int) -> Iterator[RecordBatch]:
        """A few rows again and again, as many at once as make a batch worth the name."""
        from arro3.core import Array, DataType, Table

        table = Table.from_batches(list(self.batches(0, self._records)), schema=self.arrow_schema).combine_chunks()
        (batch,) = table.to_batches()
        while first < end:
            count = min(end - first, 8 * _FEW)
            places = Array([(first + place) % self._records for place in range(count)], type=DataType.int64())
            yield batch.take(places)
            first += count


class Relocated:
    """The rows of another source, their positions counted from `base` on instead of from 0.

    Positions are never given to other rows: what takes the place of a dataset whose positions have been counted up to `base`
    begins there, and whoever has exported it up to there gets all of the new rows and none of the old.
    """

    def __init__(self, source: RowSource, base: int) -> None:
        self._source = source
        self._base = base
        self.arrow_schema = source.arrow_schema

    def count_at(self, at: float) -> int:
        """See RowSource."""
        return self._base + self._source.count_at(at)

    def first_at(self, at: float) -> int:
        """See RowSource."""
        return self._base + self._source.first_at(at)

    def batches(self, first: int, end: int) -> Iterator[RecordBatch]:
        """See RowSource."""
        return self._source.batches(first - self._base, end - self._base)
