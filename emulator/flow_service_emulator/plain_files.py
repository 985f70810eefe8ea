"""Files that mark a folder as the emulator's: nothing but a regular file will do, and a process can lock it."""

from __future__ import annotations

import contextlib
import errno
import os
import stat
import sys
from pathlib import Path
from typing import Final

_CAREFULLY: Final = getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0)
"""Follows no link, waits for nobody at the other end of a FIFO, and changes no line ends on Windows."""
_KINDS: Final = ((stat.S_ISLNK, "a symbolic link"), (stat.S_ISDIR, "a folder"), (stat.S_ISFIFO, "a FIFO"))

SHARED_LOCKS: Final = sys.platform != "win32"
"""Whether `lock` knows shared locks here."""


class NotPlain(OSError):
    """Something that is no regular file has the name of one that the emulator keeps. It was left as it is."""

    def __str__(self) -> str:
        return f"{self.filename} {self.strerror}"


def open_plain(path: Path, flags: int, folder: int | None = None) -> int:
    """A regular file's descriptor; `flags` are those of `os.open`. Raises NotPlain for anything else, such as a link.

    What a link leads to is neither opened nor made, and a FIFO is not waited for. Raises the system's OSError as it is.
    `folder` is the descriptor of the folder that it is in, wherever the path leads by now.
    """
    with contextlib.suppress(FileNotFoundError):
        check_plain(path, folder)
    fd = os.open(path if folder is None else path.name, flags | _CAREFULLY, 0o666, dir_fd=folder)
    try:
        _check(path, os.fstat(fd))  # what came there since
    except BaseException:
        os.close(fd)
        raise
    return fd


def check_plain(path: Path, folder: int | None = None) -> None:
    """Raises NotPlain for what is no regular file, and FileNotFoundError. `folder` is as in `open_plain`."""
    _check(path, path.lstat() if folder is None else os.lstat(path.name, dir_fd=folder))


def lock(fd: int, *, shared: bool = False) -> bool:
    """Locks a file until it is closed or its process ends, in whatever way; answers whether that could be had at once.

    A shared lock goes together with other shared ones, and takes the place of the one that `fd` has; Windows knows none, and
    there nothing is changed. Raises OSError where the file system has no locks.
    """
    try:
        if sys.platform == "win32":
            if shared:
                return True
            import msvcrt

            os.lseek(fd, 1 << 20, os.SEEK_SET)  # Far behind what the file says, which others are to read.
            msvcrt.locking(fd, msvcrt.LK_NBLCK, 1)
            os.lseek(fd, 0, os.SEEK_SET)
        else:
            import fcntl

            fcntl.flock(fd, (fcntl.LOCK_SH if shared else fcntl.LOCK_EX) | fcntl.LOCK_NB)
    except (BlockingIOError, PermissionError):
        return False
    return True


def _check(path: Path, found: os.stat_result) -> None:
    if not stat.S_ISREG(found.st_mode):
        kind = next((name for is_kind, name in _KINDS if is_kind(found.st_mode)), "a device or socket")
        raise NotPlain(
            errno.EINVAL,
            f"is {kind}; the emulator keeps a file of its own there, so it has to be removed first",
            str(path),
        )
