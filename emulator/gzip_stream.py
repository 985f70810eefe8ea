"""GZIP compression on several threads that gives the same bytes as on one.

Python's `gzip` compresses in the caller's thread: rows would be encoded and compressed in turn. Here the
bytes are cut into blocks of one size, each compressed on its own by whichever thread is free (zlib and ISA-L
work without the GIL) and written in order, all within one GZIP member, which every reader takes.

Intel's ISA-L (package `isal`) is four times as fast as zlib at the same ratio. There is no wheel of it for a
few systems, and zlib does the same there; so the bytes differ from system to system, but not from run to run.
"""

from __future__ import annotations

import zlib
from collections import deque
from types import ModuleType
from typing import TYPE_CHECKING, Final, Self

if TYPE_CHECKING:
    from concurrent.futures import Future, ThreadPoolExecutor

    from emulator.row_encoding import ByteSink

BLOCK_BYTES = 1 << 20
"""What one thread compresses at a time. Also the size up to which no thread is started."""
LEVEL = 1
"""Of NDJSON rows, ISA-L takes 700 MB/s at a ratio of 4.9; zlib 180 MB/s at 4.7 (its level 6 takes 56 MB/s at 5.5)."""
THREADS = 3
"""As many as keep up with one thread that serialises NDJSON."""
_WAITING_BLOCKS = 2 * THREADS
_RAW_DEFLATE = -15
_MEMORY_LEVEL = 8
# RFC 1952: magic, deflate, no flags, no time (the same rows are to give the same bytes), fastest, any system.
_HEADER = b"\x1f\x8b\x08\x00\x00\x00\x00\x00\x04\xff"


def _engine() -> ModuleType:
    try:
        from isal import isal_zlib
    except ImportError:
        return zlib
    return isal_zlib


_ENGINE: Final = _engine()


class GzipStream:
    """One GZIP member, written to `target` as it grows.

    The same bytes come out whatever the sizes of the pieces written and the speed of the threads. For a
    `with` statement: at its end the member is completed, after an exception it is not; the threads end either
    way, and `target` stays open. An error of `target` is raised as it is.
    """

    def __init__(self, target: ByteSink) -> None:
        self._target = target
        self._pending = bytearray()
        self._checksum = 0
        self._length = 0
        self._pool: ThreadPoolExecutor | None = None
        self._blocks: deque[Future[bytes]] = deque()

    def __enter__(self) -> Self:
        self._target.write(_HEADER)
        return self

    def __exit__(self, kind: type[BaseException] | None, error: object, trace: object) -> None:
        try:
            if kind is None:
                self._complete()
        finally:
            self._end_threads()

    def write(self, data: bytes, /) -> int:
        """Takes bytes to compress and answers how many, which is all of them."""
        self._pending += data
        while len(self._pending) > BLOCK_BYTES:
            block = bytes(memoryview(self._pending)[:BLOCK_BYTES])
            del self._pending[:BLOCK_BYTES]
            self._compress(block)
        return len(data)

    def _complete(self) -> None:
        last = bytes(self._pending)
        self._count(last)
        while self._blocks:
            self._target.write(self._blocks.popleft().result())
        self._target.write(_deflated(last, zlib.Z_FINISH))
        for number in (self._checksum, self._length % 2**32):
            self._target.write(number.to_bytes(4, "little"))

    def _end_threads(self) -> None:
        self._blocks.clear()
        if self._pool is not None:
            self._pool.shutdown(wait=True, cancel_futures=True)
            self._pool = None

    def _compress(self, block: bytes) -> None:
        if self._pool is None:
            from concurrent.futures import ThreadPoolExecutor

            self._pool = ThreadPoolExecutor(THREADS, thread_name_prefix="gzip")
        self._blocks.append(self._pool.submit(_deflated, block, zlib.Z_SYNC_FLUSH))
        self._count(block)
        if len(self._blocks) > _WAITING_BLOCKS:
            self._target.write(self._blocks.popleft().result())

    def _count(self, block: bytes) -> None:
        self._checksum = _ENGINE.crc32(block, self._checksum)
        self._length += len(block)


def _deflated(block: bytes, flush: int) -> bytes:
    """A block as a piece of a deflate stream: ending on a whole byte, or (`Z_FINISH`) as the last one."""
    compressor = _ENGINE.compressobj(LEVEL, zlib.DEFLATED, _RAW_DEFLATE, _MEMORY_LEVEL)
    deflated: bytes = compressor.compress(block) + compressor.flush(flush)
    return deflated
