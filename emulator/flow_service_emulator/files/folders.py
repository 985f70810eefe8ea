"""Folders under the export folder, made and used without following a symbolic link, whoever moves what meanwhile."""

from __future__ import annotations

import contextlib
import errno
import os
import stat
from collections.abc import Iterable
from pathlib import Path
from typing import BinaryIO, Final, Self

_FILE_BUFFER_BYTES: Final = 1 << 20
_NEW_FILE: Final = (
    os.O_WRONLY | os.O_CREAT | os.O_EXCL | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_BINARY", 0)
)  # O_EXCL follows no link either


class UnsafePath(OSError):
    """A folder that would lie outside the export folder: something on its way is a symbolic link, or no name.

    An `OSError`, so that whoever reports a full disk reports this as well.
    """


class Folder:
    """A folder that is held open until `close`: its files are written into this one, even if another takes its place.

    For a `with` statement. Where a system cannot hold it (Windows), its path is looked at anew before each step. All methods
    raise the system's OSError, and UnsafePath for a name that is a path.
    """

    def __init__(self, root: Path, names: tuple[str, ...], handle: int | None) -> None:
        """`handle` is the folder's descriptor, which this object closes; None where there is none."""
        self.path = root.joinpath(*names)
        self._root = root
        self._names = names
        self._handle = handle
        self._is = self._status()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        self.close()

    def names(self) -> list[str]:
        """The names of all that is in it."""
        with os.scandir(self.path if self._handle is None else self._handle) as entries:
            return [entry.name for entry in entries]

    def create(self, name: str) -> BinaryIO:
        """A new file to write to. Whatever has the name goes: a killed process's file, or a link that somebody put there."""
        self.remove(name)
        return os.fdopen(os.open(self._at(name), _NEW_FILE, 0o666, dir_fd=self._handle), "wb", _FILE_BUFFER_BYTES)

    def rename(self, name: str, new: str) -> None:
        """Gives a file another name, in the place of a file or link that has it."""
        os.replace(self._at(name), self._at(new), src_dir_fd=self._handle, dst_dir_fd=self._handle)

    def remove(self, name: str) -> None:
        """Removes a file or link. One that is not there is no error."""
        with contextlib.suppress(FileNotFoundError):
            os.unlink(self._at(name), dir_fd=self._handle)

    def check(self) -> None:
        """Raises OSError when its path does not lead to it any more."""
        try:
            with open_folder(self._root, self._names) as found:
                same = os.path.samestat(found._is, self._is)
        except (FileNotFoundError, NotADirectoryError, UnsafePath):
            same = False
        if not same:
            raise OSError(
                errno.ELOOP, "the folder was removed or replaced while its files were written", str(self.path)
            )

    def close(self) -> None:
        """Lets go of it."""
        if self._handle is not None:
            os.close(self._handle)
            self._handle = None

    def _at(self, name: str) -> str:
        """What the system calls a file in it by, together with the folder's descriptor."""
        (name,) = _checked((name,))
        if self._handle is not None:
            return name
        self.check()
        return str(self.path / name)

    def _status(self) -> os.stat_result:
        return os.lstat(self.path) if self._handle is None else os.fstat(self._handle)


def make_folder(root: Path, parts: Iterable[str]) -> Folder:
    """Makes the folder `parts` (from `safe_parts`) below `root`, where it is not there yet, and opens it.

    `root` is made as well, and may itself be a symbolic link or lie behind one: that is its owner's choice.
    Below it none is followed. Raises `UnsafePath` for a link, or for a name that `safe_parts` would not give;
    `NotADirectoryError` where a file has the folder's name; and the system's own `OSError` (disk full,
    read-only, no permission) as it is.
    """
    names = _checked(parts)
    root.mkdir(parents=True, exist_ok=True)
    return _opened(root, names, make=True)


def open_folder(root: Path, parts: Iterable[str]) -> Folder:
    """The same for a folder that is there already; raises `FileNotFoundError` when it is not."""
    return _opened(root, _checked(parts), make=False)


def _opened(root: Path, names: tuple[str, ...], *, make: bool) -> Folder:
    if {os.open, os.mkdir, os.stat, os.unlink, os.rename} <= os.supports_dir_fd and hasattr(os, "O_NOFOLLOW"):
        return Folder(root, names, _walked(root, names, make=make))
    _looked_at(root, names, make=make)
    return Folder(root, names, None)


def _checked(parts: Iterable[str]) -> tuple[str, ...]:
    """A snapshot can say anything, such as `..`, or on Windows `C:`."""
    names = tuple(parts)
    for name in names:
        if name in ("", ".", "..") or any(letter in name for letter in "/\\:\0"):
            raise UnsafePath(errno.EINVAL, "not the name of a file or folder", name)
    return names


def _walked(root: Path, names: tuple[str, ...], *, make: bool) -> int:
    """The last folder's descriptor. Each is opened from the one above it, so that nobody can slip in a link between look and use."""
    here = os.open(root, os.O_RDONLY | os.O_DIRECTORY)
    try:
        for depth, name in enumerate(names, 1):
            try:
                below = _below(name, here)
            except FileNotFoundError:
                if not make:
                    raise
                _make_one(name, here)
                below = _below(name, here)
            except OSError as error:
                if _is_link(os.stat(name, dir_fd=here, follow_symlinks=False)):
                    raise _leads_outside(root.joinpath(*names[:depth])) from error
                raise
            os.close(here)
            here = below
    except BaseException:
        os.close(here)
        raise
    return here


def _below(name: str, above: int) -> int:
    return os.open(name, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW, dir_fd=above)


def _make_one(name: str, above: int | None) -> None:
    with contextlib.suppress(FileExistsError):  # made by another export in the meantime
        os.mkdir(name, dir_fd=above)


def _looked_at(root: Path, names: tuple[str, ...], *, make: bool) -> None:
    """The same by path, for systems without descriptors of folders."""
    here = root
    for name in names:
        here = here / name
        if make and not os.path.lexists(here):
            _make_one(str(here), None)
        found = os.lstat(here)
        if _is_link(found):
            raise _leads_outside(here)
        if not stat.S_ISDIR(found.st_mode):
            raise NotADirectoryError(errno.ENOTDIR, os.strerror(errno.ENOTDIR), str(here))


def _is_link(found: os.stat_result) -> bool:
    # A junction of Windows is no symbolic link to Python, yet leads elsewhere as one does.
    junction = getattr(found, "st_reparse_tag", 0) == getattr(stat, "IO_REPARSE_TAG_MOUNT_POINT", -1)
    return stat.S_ISLNK(found.st_mode) or junction


def _leads_outside(link: Path) -> UnsafePath:
    return UnsafePath(errno.ELOOP, "a symbolic link inside the export folder is not followed", str(link))
