"""The log in a data folder: JSON lines, one for each atomic change of the store, appended whole or not at all, under a lock.

The first line says what the file is. Every other one is a change: `[[table, seq, entity], …]`, and `[table, id]` in it for an
entity that is removed. The log grows by every change, and is written again without what is out of date when it is opened.

What is promised: a line is handed to the operating system by write(2) before the call returns, so that it outlives this
process, however that ends (kill -9 included). There is no fsync for every line: when the machine itself dies, the last seconds
may be lost. The folder is on a local disk; the lock is flock(2)'s.
"""

from __future__ import annotations

import contextlib
import os
import sys
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any, Final

import orjson

from flow_service_emulator.store.records import Contents, Edit, EntityStorage, Indexes, StoreError

LOG_NAME: Final = "entities.log"
LOCK_NAME: Final = "lock"
_FORMAT: Final = {"log": "flow-service-emulator entities", "format": 2}
_DEAD_SHARE: Final = 2
"""A log that has so many times the records that are alive is written again when it is opened."""


class LogStorage(EntityStorage):
    """The TinyDB storage with every change in a log, from which it comes back.

    Opening raises StoreError when the folder cannot be used, is in use by another process, holds something else under the log's
    name, or the log is damaged.
    """

    def __init__(self, folder: Path, indexes: Indexes) -> None:
        super().__init__(indexes)
        self.path = folder / LOG_NAME
        self._new = folder / f"{LOG_NAME}.new"
        self._fd: int | None = None
        self._size = 0
        self._ragged = False
        """Whether there is something behind the last whole line."""
        try:
            folder.mkdir(parents=True, exist_ok=True)
            self._lock: int | None = _locked(folder)
        except OSError as error:
            why = "it is a file" if folder.is_file() else error
            raise StoreError(f"cannot use the data folder {folder}: {why}; --data-dir names another") from error
        try:
            changes = self._load() if self.path.exists() else None
            alive = sum(len(shelf.records) for shelf in self.shelves.values())
            if changes is None or changes > _DEAD_SHARE * (alive + 1):
                self.replace_all(Contents(self.shelves, self.next_seq))
        except OSError as error:
            self.close()
            raise StoreError(f"cannot read {self.path}: {error}") from error
        except BaseException:
            self.close()
            raise

    def commit(self, edits: Sequence[Edit]) -> None:
        if edits:
            self._append(_line(edits))
            super().commit(edits)

    def replace_all(self, contents: Contents) -> None:
        """Write the new log aside, then put it in the old one's place."""
        self._check_open()
        try:
            with self._new.open("wb", 1 << 20) as file:
                file.write(orjson.dumps({**_FORMAT, "nextSeq": contents.next_seq}) + b"\n")
                for name, shelf in contents.shelves.items():
                    file.writelines(_line([Edit(name, id, record)]) for id, record in shelf.records.items())
                file.flush()
                os.fsync(file.fileno())  # the old log, which the disk has, goes away for it
                size = file.tell()
            self._close_log()  # on Windows an open file cannot be replaced
            self._new.replace(self.path)
        except OSError as error:
            with contextlib.suppress(OSError):
                self._new.unlink()
            raise StoreError(f"cannot write to {self.path.parent}: {error}") from error
        self._size, self._ragged = size, False
        super().replace_all(contents)

    def close(self) -> None:
        """Let others open the folder."""
        self._close_log()
        if self._lock is not None:
            os.close(self._lock)
            self._lock = None

    def _load(self) -> int:
        """Read the log, without an interrupted last line, which nobody was told had been written; return how many changes it has."""
        changes = 0
        with self.path.open("rb", 1 << 20) as file:
            self.next_seq = self._read_first(file.readline(1000))
            self._size = file.tell()
            for line in file:
                if not line.endswith(b"\n"):
                    self._ragged = True
                    break
                try:
                    entries = orjson.loads(line)
                    super().commit([self._edit(*entry) for entry in entries])
                except (LookupError, TypeError, ValueError) as error:
                    raise StoreError(
                        f"{self.path} is damaged: the line at byte {self._size} cannot be read ({error}). Put a copy of the "
                        f"file in its place, or cut it off at that byte to keep what was written before"
                    ) from error
                self._size += len(line)
                changes += len(entries)
        return changes

    def _edit(self, table: str, seq: Any, document: dict[str, Any] | None = None) -> Edit:
        """What an entry of a line says: `seq` is the id of a record that is removed."""
        return Edit(table, seq, None) if document is None else Edit(table, "", self.record(table, document, seq))

    def _read_first(self, line: bytes) -> int:
        """The number that the next new record gets, as the first line has it."""
        try:
            first = orjson.loads(line)
            if {**first, **_FORMAT} == first:
                return int(first["nextSeq"])
        except (LookupError, TypeError, ValueError):
            pass
        raise StoreError(f"{self.path} is no log of this version of the emulator, and was left as it is")

    def _append(self, line: bytes) -> None:
        """Hand a line to the operating system. Raise StoreError (a full disk), with the log as it was."""
        self._check_open()
        try:
            if self._fd is None:
                self._fd = os.open(self.path, os.O_WRONLY | os.O_APPEND | getattr(os, "O_BINARY", 0))
            if self._ragged:
                self._cut(self._fd)
            left = memoryview(line)
            while left:
                left = left[os.write(self._fd, left) :]
        except BaseException as error:
            self._ragged = True  # if it cannot be cut off now, the next write begins with that
            if self._fd is not None:
                with contextlib.suppress(OSError):
                    self._cut(self._fd)
            if isinstance(error, OSError):
                raise StoreError(f"cannot write to {self.path}: {error}") from error
            raise
        self._size += len(line)

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


def _line(edits: Iterable[Edit]) -> bytes:
    entries = [
        (table, id) if record is None else (table, record.seq, orjson.Fragment(record.raw))
        for table, id, record in edits
    ]
    return orjson.dumps(entries, option=orjson.OPT_APPEND_NEWLINE)


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
    except BaseException:
        os.close(fd)
        raise
    with contextlib.suppress(OSError):  # a full disk: the number is only for the message above
        os.ftruncate(fd, 0)
        os.write(fd, b"%d\n" % os.getpid())
    return fd
