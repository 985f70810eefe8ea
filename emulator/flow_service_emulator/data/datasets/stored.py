"""A user's rows: one typed Arrow table, whatever it came from, and the positions at which they are exported."""

from __future__ import annotations

import io
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from flow_service_emulator.data.datasets.faults import FileFault, panics_as_faults
from flow_service_emulator.data.rows.seeded import Arrivals, RowSource

if TYPE_CHECKING:
    from arro3.core import RecordBatch, Schema, Table

BATCH_ROWS: Final = 8_192
_BATCH_PLACES: Final = 2_000_000
"""Places for values in a batch, at most, of 8 bytes: with many columns it has fewer rows."""
_FEW: Final = 1_000


class Mark(NamedTuple):
    """What a dataset has in it: its number of rows, and the digest of their content."""

    rows: int
    digest: str


class Found(NamedTuple):
    """What content has: its rows, and `facts` that were found beside them (see `convert`)."""

    table: Table
    facts: dict[str, Any]

    @property
    def mark(self) -> Mark:
        return Mark(self.table.num_rows, self.facts["digest"])

    def begins_with(self, before: Mark | None) -> bool:
        """Whether all rows that were there before come first, unchanged."""
        return before is None or self.facts["before"] == before.digest


def to_stream(table: Table) -> bytes:
    """A table as an Arrow IPC stream."""
    from arro3.io import write_ipc_stream

    target = io.BytesIO()
    with panics_as_faults(FileFault, "its rows cannot be stored"):
        write_ipc_stream(table, target, compression="lz4")
    return target.getvalue()


def columns_only(schema: Schema) -> bytes:
    """Columns as the Arrow IPC stream of a table without rows."""
    from arro3.core import Table

    return to_stream(Table.from_batches([], schema=schema))


def from_stream(stream: bytes) -> Table:
    """The table of an Arrow IPC stream."""
    from arro3.core import Table
    from arro3.io import read_ipc_stream

    return Table.from_arrow(read_ipc_stream(io.BytesIO(stream)))


def joined(first: Table, further: Table) -> Table:
    """The rows of both, with the columns of the further ones, which are those of the first and possibly more."""
    from arro3.core import Table

    batches = first.to_batches()
    if first.schema != further.schema:
        batches = [new for old in batches for new in decoded(rows_as_text(old, nulls=True), further.schema)]
    return Table.from_batches([*batches, *further.to_batches()], schema=further.schema)


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


class TableRows:
    """A RowSource of a table's rows, in their order. All are there from the beginning.

    With `rows_per_hour` the dataset grows from `anchor` (epoch seconds) on: the rows added repeat the others in turn, so that
    their values are known too; `grown` of these are there at `anchor` already.
    """

    def __init__(self, table: Table, *, rows_per_hour: float = 0, anchor: float = 0, grown: int = 0) -> None:
        from arro3.core import Table

        records = table.num_rows
        self.arrow_schema = table.schema
        self._anchor = anchor
        self._arrivals = Arrivals(records + grown, rows_per_hour if records else 0, anchor)
        self._table = table
        if 0 < records < _FEW and (rows_per_hour or grown):  # few rows again and again, as many as make a batch
            copies = table.to_batches() * -(-_FEW // records)
            self._table = Table.from_batches(copies, schema=table.schema).combine_chunks()

    def count_at(self, at: float) -> int:
        """See RowSource."""
        return self._arrivals.count_at(max(at, self._anchor))

    def batches(self, first: int, end: int) -> Iterator[RecordBatch]:
        """See RowSource."""
        while first < end:
            start = first % self._table.num_rows
            part = self._table.slice(start, min(end - first, self._table.num_rows - start))
            yield from part.to_batches()
            first += part.num_rows


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

    def batches(self, first: int, end: int) -> Iterator[RecordBatch]:
        """See RowSource."""
        return self._source.batches(first - self._base, end - self._base)
