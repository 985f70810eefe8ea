"""A user's rows as a RowSource."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Callable, Iterator, Sequence
from itertools import accumulate
from typing import TYPE_CHECKING

from flow_service_emulator.data.datasets.segments import batches_in
from flow_service_emulator.data.rows.seeded import Arrivals, RowSource

if TYPE_CHECKING:
    from arro3.core import RecordBatch, Schema

_FEW = 1_000


class StoredRows:
    """Rows in Arrow IPC streams, in their order; `rows` says how many each has, `stream` gives it. All are there from the beginning.

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
        records = self._ends[-1] if self._ends else 0
        self._arrivals = Arrivals(records + grown, rows_per_hour if records else 0, anchor)

    def count_at(self, at: float) -> int:
        """See RowSource."""
        return self._arrivals.count_at(max(at, self._anchor))

    def first_at(self, at: float) -> int:
        """See RowSource."""
        return 0

    def batches(self, first: int, end: int) -> Iterator[RecordBatch]:
        """See RowSource."""
        records = self._ends[-1] if self._ends else 0
        if not 0 <= first <= end or (end > records and not (records and self._repeats)):
            raise ValueError(f"there is no range of positions from {first} to {end}")
        if records and records <= _FEW and end - first > records:
            yield from self._repeated(records, first, end)
            return
        while first < end:
            record = first % records
            index = bisect_right(self._ends, record)
            start = self._ends[index - 1] if index else 0
            for batch in batches_in(self._stream(index)):
                skipped = max(0, record - start)
                taken = batch.slice(skipped, min(batch.num_rows - skipped, end - first))
                yield taken
                first += taken.num_rows

    def _repeated(self, records: int, first: int, end: int) -> Iterator[RecordBatch]:
        """A few rows again and again, as many at once as make a batch worth the name."""
        from arro3.core import Array, DataType, Table

        table = Table.from_batches(list(self.batches(0, records)), schema=self.arrow_schema).combine_chunks()
        (batch,) = table.to_batches()
        while first < end:
            count = min(end - first, 8 * _FEW)
            places = Array([(first + place) % records for place in range(count)], type=DataType.int64())
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

    @property
    def arrow_schema(self) -> Schema:
        return self._source.arrow_schema

    def count_at(self, at: float) -> int:
        """See RowSource."""
        return self._base + self._source.count_at(at)

    def first_at(self, at: float) -> int:
        """See RowSource."""
        return self._base + self._source.first_at(at)

    def batches(self, first: int, end: int) -> Iterator[RecordBatch]:
        """See RowSource."""
        return self._source.batches(first - self._base, end - self._base)
