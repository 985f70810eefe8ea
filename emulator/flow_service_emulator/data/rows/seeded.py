"""Seeded rows for a dataset and a range of positions, made by the column.

A dataset is an endless sequence of rows at the positions 0, 1, 2 …, whose content never changes. Each arrives at an
instant of its own, later positions never before earlier ones; an export takes a range of positions.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from fractions import Fraction
from typing import TYPE_CHECKING, Any, Final, Protocol

from flow_service_emulator.data.rows.draws import Stream
from flow_service_emulator.data.rows.row_schema import parse_row_schema

if TYPE_CHECKING:
    from arro3.core import Array, RecordBatch, Schema

    from flow_service_emulator.data.rows.columns import Window

BATCH_ROWS: Final = 16_384
"""The most rows in one batch: a few megabytes, and a few milliseconds of work."""
MAX_ROWS: Final = 10**11
MAX_ROWS_PER_HOUR: Final = 10**9

_HOUR: Final = 3_600_000
_FIRST_SPAN: Final = 330 * 86_400_000
"""Milliseconds over which the initial rows arrive: the 330 days up to the anchor, so that none is too old for a month and more.

Over the whole 365 days, some would be too old for the export that comes three hours after one that failed.
"""
_DELAY_STEP: Final = 9
"""Milliseconds; a row's own time lies up to 65,535 times that (just under ten minutes) before its arrival."""
_MAX_OWNERS: Final = 4_096


class RowSource(Protocol):
    """Where a dataset's rows come from: made up, or a user's own records."""

    @property
    def arrow_schema(self) -> Schema:
        """The schema of every batch."""

    def count_at(self, at: float) -> int:
        """How many rows have arrived by `at` (epoch seconds): the end of an export's range of positions."""

    def batches(self, first: int, end: int) -> Iterator[RecordBatch]:
        """The rows of the positions from `first` up to but not including `end`, in order, in bounded batches."""


class Arrivals:
    """When the rows of a dataset arrive, exact to the millisecond whatever their number.

    `rows` rows arrive evenly over the 330 days up to `anchor` (epoch seconds), the last one at the anchor itself;
    from then on `rows_per_hour` a hour. Less than a millionth of a row per hour counts as no growth.
    """

    def __init__(self, rows: int, rows_per_hour: float, anchor: float) -> None:
        self.rows = rows
        self.anchor_millis = _millis(anchor)
        rate = Fraction(repr(rows_per_hour)).limit_denominator(1_000_000)
        self._growth = _HOUR * rate.denominator, rate.numerator  # milliseconds of so many rows, and how many

    def count_at(self, at: float) -> int:
        """How many rows have arrived by `at` (epoch seconds)."""
        passed = _millis(at) - self.anchor_millis
        if passed < 0:
            return max(0, ((passed + _FIRST_SPAN + 1) * self.rows - 1) // _FIRST_SPAN)
        span, among = self._growth
        return self.rows + ((passed + 1) * among - 1) // span if among else self.rows

    def millis(self, first: int, ramp: Array) -> Array:
        """When the rows of the positions from `first` on arrive (int64 column, epoch milliseconds).

        `ramp` is 0, 1, 2 … The positions must all be below `rows`, or none.
        """
        from arro3.compute import add, div, mul

        from flow_service_emulator.data.rows.columns import int64

        if first < self.rows:
            start, place, (span, among) = self.anchor_millis - _FIRST_SPAN, first + 1, (_FIRST_SPAN, self.rows)
        else:
            start, place, (span, among) = self.anchor_millis, first - self.rows + 1, self._growth
        whole, rest = divmod(place * span, among)
        # What varies is small enough for int64: the number of positions times `span`, wherever they are.
        return add(div(add(mul(ramp, int64(span)), int64(rest)), int64(among)), int64(start + whole))


class GeneratedRows:
    """Made-up rows after a JSON Schema (draft 7), the same ones for the same arguments on every machine.

    `x-kind` in the schema says whether the rows are people (`profile`: a row each) or events (`event`: many rows refer
    to the same people, some more often than others). People depend on `seed` alone, so that the datasets of one seed
    can be joined by e-mail address or person id. `rows` of them have arrived at `anchor` (epoch seconds),
    `rows_per_hour` come later. Raises SchemaError, which is a ValueError, for a schema that rows cannot be made from.

    May be used from several threads at once.
    """

    arrow_schema: Schema

    def __init__(
        self,
        *,
        dataset_id: str,
        schema: Mapping[str, Any],
        seed: int,
        rows: int,
        rows_per_hour: float,
        anchor: float,
    ) -> None:
        from arro3.core import Schema

        # Only an export needs these; the start of the server would be 10 ms longer.
        from flow_service_emulator.data.rows.column_builder import ColumnBuilder
        from flow_service_emulator.data.rows.columns import arrow_field
        from flow_service_emulator.data.rows.sources import Sources

        root, kind = parse_row_schema(schema)
        self._arrivals = Arrivals(rows, rows_per_hour, anchor)
        self.count_at = self._arrivals.count_at
        self._delays = Stream(seed, "dataset", dataset_id, "delay")
        self.arrow_schema = Schema([arrow_field(name, node) for name, node in root.fields])
        sources = Sources(
            seed=seed,
            dataset_id=dataset_id,
            kind=kind,
            owners=min(max(rows // 8, 8), _MAX_OWNERS),
            anchor=self._arrivals.anchor_millis,
            times=self._times,
        )
        builder = ColumnBuilder(sources)
        self._columns = [builder.column(node) for _, node in root.fields]

    def batches(self, first: int, end: int) -> Iterator[RecordBatch]:
        """See RowSource. A batch has at most BATCH_ROWS rows; the content of a row does not depend on the range."""
        from arro3.core import RecordBatch

        from flow_service_emulator.data.rows.columns import Window

        while first < end:
            bound = self._arrivals.rows if first < self._arrivals.rows else end
            count = min(BATCH_ROWS, end - first, bound - first)
            window = Window(first, count)
            columns = [column(window) for column in self._columns]
            yield RecordBatch.from_arrays(columns, schema=self.arrow_schema)
            first += count

    def _times(self, window: Window) -> Array:
        """The times that rows stand for: up to ten minutes before they arrive."""
        from arro3.compute import cast, mul, sub
        from arro3.core import Array, DataType

        from flow_service_emulator.data.rows.columns import int64, ramp

        delays = Array.from_buffer(memoryview(self._delays.take(window.first, window.count, 2)).cast("H"))
        millis = mul(cast(delays, DataType.int64()), int64(_DELAY_STEP))
        return sub(self._arrivals.millis(window.first, ramp("q", window.count)), millis)


def _millis(seconds: float) -> int:
    """Whole milliseconds, after rounding away what a float adds to a decimal fraction."""
    return round(seconds * 1_000_000) // 1000
