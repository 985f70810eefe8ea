"""What decides about made-up rows: when they arrive, and random choices by a seed and a name.

A dataset is an endless sequence of rows at the positions 0, 1, 2 …, whose content never changes. Each arrives at an
instant of its own, later positions never before earlier ones; an export takes a range of positions.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from fractions import Fraction
from itertools import chain, count
from typing import Final, TypeVar

MAX_ROWS: Final = 10**11
MAX_ROWS_PER_HOUR: Final = 10**9
BLOCK: Final = 1024
"""Positions that share one digest. The stretch asked for may begin and end anywhere."""
_HOUR: Final = 3_600_000
_FIRST_SPAN: Final = 330 * 86_400_000
"""Milliseconds over which the initial rows arrive: the 330 days up to the anchor, so that none is too old for a month and more.

Over the whole 365 days, some would be too old for the export that comes three hours after one that failed.
"""

T = TypeVar("T")


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

    def line(self, first: int) -> tuple[int, int, int, int]:
        """When the rows of the positions from `first` on arrive: (start, span, rest, among).

        That is `start + (span * n + rest) // among` epoch milliseconds for position `first + n`, as long as all the positions are
        below `rows`, or none. It keeps to 64 bits: what varies is small wherever the positions are.
        """
        if first < self.rows:
            start, place, (span, among) = self.anchor_millis - _FIRST_SPAN, first + 1, (_FIRST_SPAN, self.rows)
        else:
            start, place, (span, among) = self.anchor_millis, first - self.rows + 1, self._growth
        whole, rest = divmod(place * span, among)
        return start + whole, span, rest, among


def _millis(seconds: float) -> int:
    """Whole milliseconds, after rounding away what a float adds to a decimal fraction."""
    return round(seconds * 1_000_000) // 1000


class Stream:
    """An endless column of random bytes with a name, the same for the same seed and name."""

    def __init__(self, seed: int, *name: str) -> None:
        key = "\0".join((str(seed), *name)).encode("utf-8", "surrogatepass")
        self._start = hashlib.shake_128(len(key).to_bytes(8, "little") + key)

    def take(self, first: int, count: int, width: int = 1) -> bytes:
        """The bytes of the positions `first` to `first + count - 1`, `width` bytes each."""
        parts = []
        end = first + count
        for block in range(first // BLOCK, -(-end // BLOCK)):
            base = block * BLOCK
            digest = self._block(block, (min(end, base + BLOCK) - base) * width)
            parts.append(digest[max(first - base, 0) * width :] if first > base else digest)
        return b"".join(parts)

    def _block(self, block: int, size: int) -> bytes:
        digest = self._start.copy()
        digest.update(block.to_bytes(8, "little"))
        return digest.digest(size)


class Dice:
    """Random choices one after the other, for the little that is made value by value."""

    def __init__(self, seed: int, *name: str) -> None:
        stream = Stream(seed, "dice", *name)
        blocks = (memoryview(stream.take(block * BLOCK, BLOCK, 8)).cast("Q") for block in count())
        self._numbers = chain.from_iterable(blocks)

    def below(self, limit: int) -> int:
        """A whole number from 0 to `limit - 1`."""
        return next(self._numbers) % limit

    def one_of(self, choices: Sequence[T]) -> T:
        """One of the choices, each as likely."""
        return choices[self.below(len(choices))]

    def chance(self, percent: int) -> bool:
        """Whether something happens that does so in `percent` of 100 cases."""
        return self.below(100) < percent

    def shuffled(self, items: Sequence[T]) -> list[T]:
        """The items in another order."""
        rest = list(items)
        for last in range(len(rest) - 1, 0, -1):
            other = self.below(last + 1)
            rest[last], rest[other] = rest[other], rest[last]
        return rest


def spread(items: Sequence[T], size: int) -> list[T]:
    """`size` places for the items: each at least once where they fit, the earlier ones more often, as 1, 1/2, 1/3 …"""
    if len(items) >= size:
        return list(items[:size])
    free = size - len(items)
    weights = [720_720 // (rank + 1) for rank in range(len(items))]
    whole = sum(weights)
    counts = [1 + free * weight // whole for weight in weights]
    counts[0] += size - sum(counts)
    return [item for item, count in zip(items, counts, strict=True) for _ in range(count)]
