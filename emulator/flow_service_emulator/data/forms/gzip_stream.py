"""GZIP on several threads that gives the same bytes as on one: blocks of one size, each of them a member of its own.

Every reader takes members that follow one another (RFC 1952, 2.2). Intel's ISA-L (package `isal`) is four times as fast as zlib
at the same ratio; there is no wheel of it for a few systems, and zlib does the same there.
"""

from __future__ import annotations

from collections import deque
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TYPE_CHECKING, Self

if TYPE_CHECKING:
    from flow_service_emulator.data.forms.row_encoding import ByteSink

BLOCK_BYTES = 1 << 20
"""What one thread compresses at a time. Also the size up to which no thread is started."""
_GZIP = 31
"""The size of the window, and that there is a header, which has no time: the same rows are to give the same bytes."""


def compressed(block: bytes) -> bytes:
    """A member with the content of a block."""
    try:
        from isal.isal_zlib import compress
    except ImportError:
        from zlib import compress
    member: bytes = compress(block, 1, _GZIP)
    return member


class GzipStream:
    """GZIP, written to `target` as it grows.

    The same bytes come out whatever the sizes of the pieces written and the speed of the threads. For a `with` statement: at its
    end the last member is written, after an exception it is not; `target` stays open. An error of `target` is raised as it is.
    """

    def __init__(self, target: ByteSink) -> None:
        self._target = target
        self._parts: list[bytes] = []
        self._size = 0
        self._pool: ThreadPoolExecutor | None = None
        self._members: deque[Future[bytes]] = deque()
        self._written = False

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: object, trace: object) -> None:
        try:
            if kind is None:
                while self._members:
                    self._write_next()
                if self._size or not self._written:
                    self._target.write(compressed(b"".join(self._parts)))
        finally:
            if self._pool is not None:
                self._pool.shutdown(wait=True, cancel_futures=True)

    def write(self, data: bytes, /) -> int:
        """Take bytes to compress and answers how many, which is all of them."""
        self._parts.append(data)
        self._size += len(data)
        while self._size > BLOCK_BYTES:
            cut = len(self._parts[-1]) - (self._size - BLOCK_BYTES)
            last, rest = self._parts[-1][:cut], self._parts[-1][cut:]
            self._compress(b"".join([*self._parts[:-1], last]))
            self._parts, self._size = [rest], len(rest)
        return len(data)

    def _compress(self, block: bytes) -> None:
        if self._pool is None:
            self._pool = ThreadPoolExecutor(2, thread_name_prefix="gzip")
        self._members.append(self._pool.submit(compressed, block))
        if len(self._members) > 4:
            self._write_next()

    def _write_next(self) -> None:
        self._target.write(self._members.popleft().result())
        self._written = True
