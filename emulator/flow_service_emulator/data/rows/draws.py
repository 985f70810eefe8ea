"""Random bytes that depend on a seed, a name and a position only, so that any stretch of them can be made alone."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from typing import Final, TypeVar

BLOCK: Final = 1024
"""Positions that share one digest. The stretch asked for may begin and end anywhere."""

T = TypeVar("T")


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
        self._stream = Stream(seed, "dice", *name)
        self._numbers: Sequence[int] = ()
        self._next = 0
        self._drawn = 0

    def below(self, limit: int) -> int:
        """A whole number from 0 to `limit - 1`."""
        if self._next == len(self._numbers):
            self._numbers = memoryview(self._stream.take(self._drawn * BLOCK, BLOCK, 8)).cast("Q")
            self._drawn += 1
            self._next = 0
        number = self._numbers[self._next]
        self._next += 1
        return number % limit

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
