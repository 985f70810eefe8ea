"""A long text as bytes in pieces, which go out one after the other and are joined nowhere."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Final

AT_ONCE: Final = 256 << 10
"""Bytes of a block: so much is sent in a millisecond, and then others get their turn."""


class Pieces:
    """The pieces; `size` is how many bytes they have together. A walk through them gives blocks of AT_ONCE bytes."""

    def __init__(self, pieces: Sequence[bytes]) -> None:
        self._pieces = pieces
        self.size = sum(map(len, pieces))

    def __iter__(self) -> Iterator[bytes]:
        waiting: list[bytes] = []
        size = 0
        for piece in self._pieces:
            start = 0
            while start < len(piece):
                part = piece[start : start + AT_ONCE - size]
                waiting.append(part)
                start += len(part)
                size += len(part)
                if size == AT_ONCE:
                    yield b"".join(waiting)
                    waiting, size = [], 0
        if waiting:
            yield b"".join(waiting)
