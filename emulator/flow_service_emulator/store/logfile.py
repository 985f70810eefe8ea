"""The log in a data folder: lines with checksums, appended whole or not at all, under a lock.

The first line says what the file is. Every other line is one atomic change of the store:

    <CRC-32 of what follows, 8 hex digits> TAB <JSON: what changes> TAB <JSON of an entity> TAB … NEWLINE

JSON as orjson writes it has neither tabs nor newlines, so that a line is cut at its tabs, and no entity is decoded
when a folder is opened.

What is promised: a line is handed to the operating system by write(2) before the call returns, so that it outlives
this process, however that ends (kill -9 included). There is no fsync for every line: when the machine itself dies,
the last seconds may be lost. The folder is on a local disk; the lock is flock(2)'s.
"""

from __future__ import annotations

import contextlib
import os
import sys
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor, wait
from pathlib import Path
from threading import Thread
from typing import Any, Final
from zlib import crc32

import orjson

from flow_service_emulator.store.folder import DataFolder, FileId, InUse, file_id

LOG_NAME: Final = "entities.log"
_NEW_NAME: Final = "entities.log.new"
_FORMAT: Final = b"flow-service-emulator entities, format "
_FIRST_LINE: Final = _FORMAT + b"1\n"
_READ_BYTES: Final = 1 << 20
_FLAGS: Final = os.O_WRONLY | os.O_APPEND


class StoreError(Exception):
    """The store cannot do what was asked; the message says why. Nothing was changed."""


def encode_line(head: Any, bodies: Sequence[bytes]) -> bytes:
    """One line: `head` says what changes (JSON values), `bodies` are entities' JSON."""
    parts = [orjson.dumps(head), *bodies]
    checksum = crc32(parts[0])
    for body in bodies:
        checksum = crc32(body, crc32(b"\t", checksum))
    parts[0] = b"%08x\t%b" % (checksum, parts[0])
    parts[-1] += b"\n"
    return b"\t".join(parts)  # put together once: a dataset's line can have tens of megabytes


class LogFile:
    """The log of a data folder that this process alone has open. The folder is made, the log only by `install`.

    `size` is the log's length in bytes, 0 while there is none. Raises StoreError when the folder cannot be used, is
    in use by another process, or holds something else under the log's name.
    """

    def __init__(self, folder: Path) -> None:
        self.path = folder / LOG_NAME
        self.size = 0
        self._fd: int | None = None
        self._id: FileId | None = None
        self._ragged = False
        try:
            self.folder = DataFolder(folder)
        except OSError as error:
            raise StoreError(f"cannot use the data folder {folder}: {error}") from error
        except InUse as reason:
            raise StoreError(str(reason)) from None
        self._checked_path = str(self.path)
        try:
            self.folder.check_plain(_NEW_NAME)
            self.folder.remove(_NEW_NAME)
            self.size = self._read_first_line()
        except OSError as error:
            self.close()
            raise StoreError(f"cannot use the data folder {folder}: {error}") from error
        except BaseException:
            self.close()
            raise

    def lines(self) -> Iterator[tuple[bytes, list[bytes]]]:
        """The head (JSON) and bodies of every line after the first; to be walked to its end before any `append`.

        An interrupted last line, which nobody was told had been written, is cut off. Raises StoreError, with the
        place, for a damaged line. While a line is looked at, `size` is where it begins.
        """
        if self.size == 0:
            return
        try:
            with os.fdopen(self.folder.open(LOG_NAME, os.O_RDONLY), "rb", _READ_BYTES) as file:
                file.seek(self.size)
                for line in file:
                    if not line.endswith(b"\n"):
                        self._cut()
                        break
                    text = line[9:-1]
                    try:
                        intact = int(line[:8], 16) == crc32(text)
                    except ValueError:
                        intact = False
                    if not intact:
                        raise self.damage("its checksum differs")
                    head, *bodies = text.split(b"\t")
                    yield head, bodies
                    self.size += len(line)
        except OSError as error:
            raise StoreError(f"cannot read {self.path}: {error}") from error

    def damage(self, reason: object) -> StoreError:
        """The error for the line that is being looked at."""
        return StoreError(
            f"{self.path} is damaged: the line at byte {self.size} cannot be read ({reason}). Put a copy of the "
            f"file in its place, or cut it off at that byte to keep what was written before"
        )

    def append(self, line: bytes) -> None:
        """Hands a line to the operating system. Raises StoreError (a full disk, or a log that is gone), with the log as it was."""
        self.check_open()
        try:
            self._check_log()
        except OSError as error:
            raise StoreError(f"cannot write to the data folder: {error}") from error
        try:
            if self._ragged:
                self._cut()
            _write(self._open(), line)
        except OSError as error:
            self._take_back()
            raise StoreError(f"cannot write to {self.path}: {error}") from error
        except BaseException:
            self._take_back()
            raise
        self.size += len(line)

    def check_open(self) -> None:
        """Raises StoreError after `close`."""
        if not self.folder.is_open:
            raise StoreError("the store is closed")

    def check_place(self) -> None:
        """Raises OSError unless the folder's path still leads to what this process has locked and written there."""
        self.folder.check()
        if self.size:
            self._check_log()

    def _check_log(self) -> None:
        """The same of the log alone, which will do before an `append`, at half the cost.

        Two servers can have the folder when somebody deleted the lock. The first of them to write something is the one that
        can go on: the other finds that the log was changed.
        """
        if self._fd is None:
            with contextlib.suppress(FileNotFoundError):  # Then nothing is where it should be.
                self._open()
        self.folder.check_file(self._checked_path, self._id, None if self._ragged else self.size)

    def install(self, new: NewLog) -> None:
        """Puts a new log in the old one's place. Raises OSError, and then the old one stays."""
        new.finish()
        self.check_place()
        old = self._fd
        if sys.platform == "win32":
            self._release()  # There an open file cannot be replaced.
        self.folder.rename(_NEW_NAME, LOG_NAME)
        self._fd = self._id = None
        self.size = new.size
        self._ragged = False
        if sys.platform != "win32" and old is not None:
            _close_aside(old)

    def close(self) -> None:
        """Closes the log and lets others open the folder."""
        self._release()
        self.folder.close()

    def _read_first_line(self) -> int:
        """How long it is, or 0 when there is no log yet: none at all, or one cut off within its first line."""
        try:
            with os.fdopen(self.folder.open(LOG_NAME, os.O_RDONLY), "rb") as file:
                first = file.readline(len(_FIRST_LINE))
        except FileNotFoundError:
            return 0
        if first == _FIRST_LINE:
            return len(first)
        if _FIRST_LINE.startswith(first):
            return 0
        if first.startswith(_FORMAT):
            raise StoreError(f"{self.path} was written in another format, by another version of the emulator")
        raise StoreError(f"{self.path} is not a log of this emulator, and was left as it is")

    def _open(self) -> int:
        if self._fd is None:
            self._fd = self.folder.open(LOG_NAME, _FLAGS)
            self._id = file_id(self._fd)
        return self._fd

    def _release(self) -> None:
        if self._fd is not None:
            os.close(self._fd)
            self._fd = self._id = None

    def _cut(self) -> None:
        """Removes whatever is behind the last whole line."""
        os.ftruncate(self._open(), self.size)
        self._ragged = False

    def _take_back(self) -> None:
        """Removes what a failed write has left; if that fails too, the next write begins with it."""
        self._ragged = True
        with contextlib.suppress(OSError):
            self._cut()


class NewLog:
    """A log that is written under another name, to take the old one's place whole. Its methods raise OSError."""

    def __init__(self, log: LogFile) -> None:
        self.size = 0
        self._folder = log.folder
        self._flush: Future[None] | None = None
        self._folder.remove(_NEW_NAME)
        self._fd: int | None = self._folder.open(_NEW_NAME, _FLAGS | os.O_CREAT | os.O_EXCL)
        try:
            self.append(_FIRST_LINE)
        except BaseException:
            self.abandon()
            raise

    def append(self, lines: bytes) -> None:
        if self._fd is None:
            raise OSError("the new log is closed")
        _write(self._fd, lines)
        self.size += len(lines)

    def settled(self) -> bool:
        """Whether the disk has what was written before the first asking, from which on a thread sees to that."""
        if self._flush is None and self._fd is not None:
            pool = ThreadPoolExecutor(1)
            self._flush = pool.submit(os.fsync, self._fd)
            pool.shutdown(wait=False)
        return self._flush is None or self._flush.done()

    def finish(self) -> None:
        """Waits until the disk has it, because the old log, which the disk has, goes away for it."""
        if self._flush is not None:
            self._flush.result()
        elif self._fd is not None:
            os.fsync(self._fd)
        self._release()

    def abandon(self) -> None:
        """Removes it."""
        if self._flush is not None:
            wait([self._flush])
        self._release()
        with contextlib.suppress(OSError):
            self._folder.remove(_NEW_NAME)

    def _release(self) -> None:
        if self._fd is not None:
            os.close(self._fd)
            self._fd = None


def _write(fd: int, data: bytes) -> None:
    """Writes all of it: one write(2), and more when the operating system takes it in pieces."""
    written = os.write(fd, data)
    while written < len(data):
        written += os.write(fd, memoryview(data)[written:])


def _close_aside(fd: int) -> None:
    """Closes a file that was replaced: only then it goes, and freeing hundreds of megabytes takes a while."""
    try:
        Thread(target=os.close, args=(fd,), name="replaced-log").start()
    except RuntimeError:  # No thread to be had.
        os.close(fd)
