"""GZIP compression on several threads that gives the same bytes as on one.

Python's `gzip` compresses in the caller's thread: rows would be encoded and compressed in turn. Here the
bytes are cut into blocks of one size, each compressed on its own by whichever thread is free (zlib and ISA-L
work without the GIL) and written in order, all within one GZIP member, which every reader takes.

Intel's ISA-L (package `isal`) is four times as fast as zlib at the same ratio. There is no wheel of it for a
few systems, and zlib does the same there; so the bytes differ from system to system, but not from run to run.
What counts besides is how often a thread asks for the GIL: the one that serialises rows keeps it for 5 ms each
time, which makes a thread that compresses a block in six steps as slow as if it did nothing else.
"""

from __future__ import annotations

import threading
import zlib
from collections import deque
from typing import TYPE_CHECKING, Protocol, Self

if TYPE_CHECKING:
    from concurrent.futures import Future, ThreadPoolExecutor

    from flow_service_emulator.files.row_encoding import ByteSink

BLOCK_BYTES = 1 << 20
"""What one thread compresses at a time. Also the size up to which no thread is started."""
LEVEL = 1
"""Of NDJSON rows, ISA-L takes 700 MB/s at a ratio of 4.9; zlib 180 MB/s at 4.7 (its level 6 takes 56 MB/s at 5.5)."""
_RAW_DEFLATE = -15
_MEMORY_LEVEL = 8
# RFC 1952: magic, deflate, no flags, no time (the same rows are to give the same bytes), fastest, any system.
_HEADER = b"\x1f\x8b\x08\x00\x00\x00\x00\x00\x04\xff"


class Engine(Protocol):
    """What compresses blocks, in any thread."""

    threads: int
    """As many as keep up with one thread that serialises NDJSON."""

    def deflate(self, block: bytes) -> tuple[bytes, int]:
        """A block as a piece of a deflate stream that ends on a whole byte, and the block's CRC-32."""

    def deflate_last(self, block: bytes) -> tuple[bytes, int]:
        """The last block, which ends the stream."""

    def combined(self, before: int, after: int, length: int) -> int:
        """The CRC-32 of something from that of its beginning and that of the rest, which has `length` bytes."""


class ZlibEngine:
    """Python's own zlib."""

    threads = 3

    def deflate(self, block: bytes) -> tuple[bytes, int]:
        return self._deflated(block, zlib.Z_SYNC_FLUSH), zlib.crc32(block)

    def deflate_last(self, block: bytes) -> tuple[bytes, int]:
        return self._deflated(block, zlib.Z_FINISH), zlib.crc32(block)

    def combined(self, before: int, after: int, length: int) -> int:
        zeros = bytes(length)  # the CRC is linear: what the beginning contributes is the same whatever follows
        return zlib.crc32(zeros, before) ^ zlib.crc32(zeros) ^ after

    def _deflated(self, block: bytes, flush: int) -> bytes:
        compressor = zlib.compressobj(LEVEL, zlib.DEFLATED, _RAW_DEFLATE, _MEMORY_LEVEL)
        return compressor.compress(block) + compressor.flush(flush)


class IsalEngine:
    """ISA-L. Raises ImportError where it is not installed, or has not what is needed here."""

    threads = 1

    def __init__(self) -> None:
        from isal import isal_zlib

        self._isal = isal_zlib
        try:
            # Compresses a block in one step without the GIL. Its underscore keeps it out of the documentation, but
            # all of isal's own threaded writing is built on it.
            self._parallel = isal_zlib._ParallelCompress
            self._local = threading.local()
            self.deflate(b"trial")
        except (AttributeError, TypeError) as fault:
            raise ImportError("isal has no _ParallelCompress as it was in version 1.9") from fault

    def deflate(self, block: bytes) -> tuple[bytes, int]:
        if not hasattr(self._local, "compress"):
            room = BLOCK_BYTES + BLOCK_BYTES // 10 + 500  # what cannot be compressed gets a little longer
            self._local.compress = self._parallel(buffersize=room, level=LEVEL).compress_and_crc
        deflated: tuple[bytes, int] = self._local.compress(block, b"")
        return deflated

    def deflate_last(self, block: bytes) -> tuple[bytes, int]:
        compressor = self._isal.compressobj(LEVEL, zlib.DEFLATED, _RAW_DEFLATE, _MEMORY_LEVEL)
        return compressor.compress(block) + compressor.flush(zlib.Z_FINISH), self._isal.crc32(block)

    def combined(self, before: int, after: int, length: int) -> int:
        return self._isal.crc32_combine(before, after, length)


def fastest() -> Engine:
    """The engine to use on this system."""
    try:
        return IsalEngine()
    except ImportError:
        return ZlibEngine()


class GzipStream:
    """One GZIP member, written to `target` as it grows.

    The same bytes come out whatever the sizes of the pieces written and the speed of the threads. For a
    `with` statement: at its end the member is completed, after an exception it is not; the threads end either
    way, and `target` stays open. An error of `target` is raised as it is.
    """

    def __init__(self, target: ByteSink, engine: Engine | None = None) -> None:
        self._target = target
        self._engine = engine or fastest()
        self._parts: list[bytes] = []
        self._size = 0
        self._checksum = 0
        self._length = 0
        self._pool: ThreadPoolExecutor | None = None
        self._blocks: deque[tuple[Future[tuple[bytes, int]], int]] = deque()

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
        self._parts.append(data)
        self._size += len(data)
        while self._size > BLOCK_BYTES:
            cut = len(self._parts[-1]) - (self._size - BLOCK_BYTES)
            last, rest = self._parts[-1][:cut], self._parts[-1][cut:]
            self._compress(b"".join([*self._parts[:-1], last]))
            self._parts, self._size = [rest], len(rest)
        return len(data)

    def _complete(self) -> None:
        while self._blocks:
            self._write_next()
        last = b"".join(self._parts)
        self._write(*self._engine.deflate_last(last), len(last))
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

            self._pool = ThreadPoolExecutor(self._engine.threads, thread_name_prefix="gzip")
        self._blocks.append((self._pool.submit(self._engine.deflate, block), len(block)))
        if len(self._blocks) > 2 * self._engine.threads:
            self._write_next()

    def _write_next(self) -> None:
        block, length = self._blocks.popleft()
        self._write(*block.result(), length)

    def _write(self, deflated: bytes, checksum: int, length: int) -> None:
        self._target.write(deflated)
        self._checksum = self._engine.combined(self._checksum, checksum, length)
        self._length += length
