"""The data folder: locked by this process, held open, and looked at again before anything is written to it.

An open file can be written to after it was deleted, or moved away with its folder, and nobody would ever find what is in it;
and by its path, a server would write into what another one keeps there by now. So files are opened and renamed in the folder
that was opened at the start, and only while its path still leads there.
"""

from __future__ import annotations

import contextlib
import os
import sys
from pathlib import Path
from typing import Final

from flow_service_emulator.plain_files import check_plain, lock, open_plain

LOCK_NAME: Final = "lock"
_CAN_HOLD: Final = {os.open, os.stat, os.unlink, os.rename} <= os.supports_dir_fd
"""Whether the system can open a folder, to use it wherever it is moved."""
_KEEPS_IN_PLACE: Final = sys.platform == "win32"
"""Whether nobody can delete or move a file that is open, or the folder that it is in: nothing has to be looked at then. It
could not be either on each of Windows' file systems, as some have no numbers that tell one file from another."""
_FIX: Final = "put back what was there, or start the server anew"

FileId = tuple[int, int]
"""Device and number, which no two files have in common that are there at a time."""


class InUse(Exception):
    """Another process has locked the folder; the message names it."""


class Displaced(OSError):
    """The folder's path does not lead any more to what was opened there, or that was changed by somebody else."""


class DataFolder:
    """The folder, which is made where it is not there yet. `close` lets others have it.

    All methods raise the system's OSError, and NotPlain for what is no regular file; making one raises InUse, too.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._handle: int | None = None
        self._lock: int | None = None
        self._lock_path = str(path / LOCK_NAME)
        path.mkdir(parents=True, exist_ok=True)
        try:
            if _CAN_HOLD:
                self._handle = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
            self._lock = self._locked()
            self._lock_id = file_id(self._lock)
        except BaseException:
            self.close()
            raise

    @property
    def is_open(self) -> bool:
        return self._lock is not None

    def open(self, name: str, flags: int) -> int:
        """A file's descriptor; `flags` are those of `os.open`."""
        return open_plain(self.path / name, flags, self._handle)

    def check_plain(self, name: str) -> None:
        """Raises NotPlain for what has a file's name and is none. One that is not there is no error."""
        with contextlib.suppress(FileNotFoundError):
            check_plain(self.path / name, self._handle)

    def remove(self, name: str) -> None:
        """Removes a file, or a link that has its name. One that is not there is no error."""
        with contextlib.suppress(FileNotFoundError):
            os.unlink(self._at(name), dir_fd=self._handle)

    def rename(self, name: str, new: str) -> None:
        """Gives a file another name, in the place of the file that has it."""
        os.replace(self._at(name), self._at(new), src_dir_fd=self._handle, dst_dir_fd=self._handle)

    def check(self) -> None:
        """Raises Displaced when the folder's path leads by now to another lock than the one that this process has."""
        self.check_file(self._lock_path, self._lock_id)

    def check_file(self, path: str, known: FileId | None, size: int | None = None) -> None:
        """Raises Displaced unless a path leads to the file `known`, which is `size` bytes long where that is told."""
        if _KEEPS_IN_PLACE:
            return
        try:
            found = os.stat(path)  # noqa: PTH116 - a Path's takes longer, and this runs for every change
        except (FileNotFoundError, NotADirectoryError):
            raise Displaced(f"{path} was removed or moved while the server was running; {_FIX}") from None
        if (found.st_dev, found.st_ino) != known:
            raise Displaced(f"{path} was replaced by another file while the server was running; {_FIX}")
        if size is not None and found.st_size != size:
            raise Displaced(f"{path} was changed by another program while the server was running; {_FIX}")

    def close(self) -> None:
        """Lets others have the folder."""
        if self._lock is not None:
            os.close(self._lock)
            self._lock = None
        if self._handle is not None:
            os.close(self._handle)
            self._handle = None

    def _at(self, name: str) -> str:
        """What the system calls a file by, together with the folder's descriptor."""
        return str(self.path / name) if self._handle is None else name

    def _locked(self) -> int:
        """Locks a file until it is closed or its process ends, in whatever way. It stays: removing it would be a race."""
        fd = self.open(LOCK_NAME, os.O_RDWR | os.O_CREAT)
        try:
            if not lock(fd):
                holder = os.pread(fd, 20, 0).decode(errors="replace").strip() if hasattr(os, "pread") else ""
                raise InUse(f"the data folder {self.path} is in use by process {holder or '(unknown)'}")
        except BaseException:
            os.close(fd)
            raise
        with contextlib.suppress(OSError):  # A full disk: the number is only for the message above.
            os.ftruncate(fd, 0)
            os.write(fd, b"%d\n" % os.getpid())
        return fd


def file_id(fd: int) -> FileId:
    """An open file's."""
    found = os.fstat(fd)
    return found.st_dev, found.st_ino
