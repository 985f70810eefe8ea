"""The log in a data folder: JSON lines, one for each atomic change of the store, appended whole or not at all, under a lock.

The first line says what the file is. The log grows by every change, and is written again without what is out of date whenever it
is opened.

What is promised: a line is handed to the operating system by write(2) before the call returns, so that it outlives this
process, however that ends (kill -9 included). There is no fsync for every line: when the machine itself dies, the last seconds
may be lost. The folder is on a local disk; the lock is flock(2)'s.
"""

from __future__ import annotations

import contextlib
import os
import sys
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any, Final

import orjson

LOG_NAME: Final = "entities.log"
LOCK_NAME: Final = "lock"
_FORMAT: Final = {"log": "flow-service-emulator entities", "format": 3}


class StoreError(Exception):
    """The store cannot do what was asked; the message says why. Nothing was changed."""


class Log:
    """The log of a data folder, which is this process's own until `close`.

    Opening raises StoreError when the folder cannot be used or is in use by another process.
    """

    def __init__(self, folder: Path) -> None:
        self._path = folder / LOG_NAME
        self._fd: int | None = None
        self._size = 0
        """Bytes of its whole lines."""
        self._ragged = False
        """Whether there is something behind the last whole line."""
        try:
            folder.mkdir(parents=True, exist_ok=True)
            self._lock: int | None = _locked(folder)
        except OSError as error:
            why = "it is a file" if folder.is_file() else error
            raise StoreError(f"cannot use the data folder {folder}: {why}; --data-dir names another") from error

    def read(self, take: Callable[[Any], None]) -> int | None:
        """Have `take` make each change, without an interrupted last line, which nobody was told had been written.

        Return the number that the log began with; None where there is no log. Raise StoreError where something else has the log's
        name, or the log is damaged: where a line is no JSON, or nothing that `take` can make.
        """
        if not self._path.exists():
            return None
        try:
            with self._path.open("rb", 1 << 20) as file:
                number = self._read_first(file.readline(1000))
                self._size = file.tell()
                for line in file:
                    if not line.endswith(b"\n"):
                        break
                    take(orjson.loads(line))
                    self._size += len(line)
                return number
        except OSError as error:
            raise StoreError(f"cannot read {self._path}: {error}") from error
        except (LookupError, TypeError, ValueError) as error:
            raise StoreError(
                f"{self._path} is damaged: the line at byte {self._size} cannot be read ({error}). Put a copy of the file in its "
                "place, or cut it off at that byte to keep what was written before"
            ) from error

    def append(self, change: Any) -> None:
        """Hand a change to the operating system. Raise StoreError (a full disk), with the log as it was."""
        self._check_open()
        line = _line(change)
        try:
            if self._fd is None:
                self._fd = os.open(self._path, os.O_WRONLY | os.O_APPEND | getattr(os, "O_BINARY", 0))
            if self._ragged:
                self._cut(self._fd)
            left = memoryview(line)
            while left:
                left = left[os.write(self._fd, left) :]
        except OSError as error:
            self._ragged = True  # if it cannot be cut off now, the next write begins with that
            if self._fd is not None:
                with contextlib.suppress(OSError):
                    self._cut(self._fd)
            raise StoreError(f"cannot write to {self._path}: {error}") from error
        self._size += len(line)

    def replace(self, number: int, changes: Iterable[Any]) -> None:
        """Write a new log aside that begins with a number, and put it in the old one's place. Raise StoreError."""
        self._check_open()
        new = self._path.with_name(f"{LOG_NAME}.new")
        try:
            with new.open("wb", 1 << 20) as file:
                file.write(_line({**_FORMAT, "nextSeq": number}))
                file.writelines(map(_line, changes))
                file.flush()
                os.fsync(file.fileno())  # the old log, which the disk has, goes away for it
                size = file.tell()
            self._close_log()  # on Windows an open file cannot be replaced
            new.replace(self._path)
        except OSError as error:
            with contextlib.suppress(OSError):
                new.unlink()
            raise StoreError(f"cannot write to {self._path.parent}: {error}") from error
        self._size = size

    def close(self) -> None:
        """Let others open the folder."""
        self._close_log()
        if self._lock is not None:
            os.close(self._lock)
            self._lock = None

    def _read_first(self, line: bytes) -> int:
        with contextlib.suppress(LookupError, TypeError, ValueError):
            first = orjson.loads(line)
            if {**first, **_FORMAT} == first:
                return int(first["nextSeq"])
        raise StoreError(f"{self._path} is no log of this version of the emulator, and was left as it is")

    def _cut(self, fd: int) -> None:
        os.ftruncate(fd, self._size)
        self._ragged = False

    def _check_open(self) -> None:
        if self._lock is None:
            raise StoreError("the store is closed")

    def _close_log(self) -> None:
        if self._fd is not None:
            os.close(self._fd)
            self._fd = None


def _line(value: Any) -> bytes:
    return orjson.dumps(value, option=orjson.OPT_APPEND_NEWLINE)


def _locked(folder: Path) -> int:
    """The descriptor of the folder's lock, which is held until it is closed or this process ends. Its file stays."""
    fd = os.open(folder / LOCK_NAME, os.O_RDWR | os.O_CREAT, 0o666)
    try:
        if sys.platform == "win32":
            import msvcrt

            os.lseek(fd, 1 << 20, os.SEEK_SET)  # far behind the number, which others are to read
            msvcrt.locking(fd, msvcrt.LK_NBLCK, 1)
            os.lseek(fd, 0, os.SEEK_SET)
        else:
            import fcntl

            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except (BlockingIOError, PermissionError):
        os.lseek(fd, 0, os.SEEK_SET)
        holder = os.read(fd, 20).decode(errors="replace").strip()
        os.close(fd)
        raise StoreError(f"the data folder {folder} is in use by process {holder or '(unknown)'}") from None
    with contextlib.suppress(OSError):  # a full disk: the number is only for the message above
        os.ftruncate(fd, 0)
        os.write(fd, b"%d\n" % os.getpid())
    return fd
