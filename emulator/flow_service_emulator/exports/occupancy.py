"""The export folder while a server uses it: marked as the emulator's, and held, so that other servers know of this one."""

from __future__ import annotations

import contextlib
import logging
import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import Final

from flow_service_emulator.plain_files import SHARED_LOCKS, lock, open_plain

log = logging.getLogger("emulator.exports")

MARKER: Final = ".flow-service-emulator"
"""Name of the file that says whose the export folder is."""
_TEXT: Final = b"Exported files of flow-service-emulator. Its reset empties the destinations' folders here.\n"
_TRIES: Final = 100
_SECONDS_BETWEEN: Final = 0.02


class Occupancy:
    """Several servers may use one folder; but a file that none of them may need any more is removed by one that is alone only.

    Their files have different names, unless the servers have the same seed, or one has a copy of the other's data folder: then
    each takes the other's files for its own. Each server holds a shared lock on the marker, and one that is alone a lock for
    itself until it has cleared up.
    """

    def __init__(self, root: Path) -> None:
        self._root = root
        self._fd: int | None = None
        self._began_alone = False

    def begin(self, clear_up: Callable[[], object]) -> None:
        """Makes and marks the folder; calls `clear_up` if no other server uses it, and before another one does.

        Raises NotPlain when a link, folder or the like has the marker's name, and OSError when the folder cannot be written
        to. Where the file system has no locks nobody can tell who uses the folder, and nothing is cleared up.
        """
        self._root.mkdir(parents=True, exist_ok=True)
        self._fd = fd = _opened(self._root / MARKER)
        with contextlib.suppress(OSError):
            if lock(fd):
                self._began_alone = True
                clear_up()
            else:
                log.warning(
                    "another server uses the export folder %s as well; what a killed one left unfinished there stays, a "
                    "reset with exports=true takes away the files of both, and with the same --seed, or a copy of its data "
                    "folder, both give files the same names and replace each other's: start this one with another --export-dir",
                    self._root,
                )
            _share(fd)

    def alone(self) -> bool:
        """Whether no other server uses the folder now, as far as that can be told."""
        if self._fd is None or not SHARED_LOCKS:
            return self._began_alone
        with contextlib.suppress(OSError):
            try:
                return lock(self._fd)
            finally:
                _share(self._fd)
        return False

    def end(self) -> None:
        """Lets go of the folder."""
        if self._fd is not None:
            os.close(self._fd)
            self._fd = None


def _share(fd: int) -> None:
    """Takes the shared lock, in the place of the other one where that is held. Raises OSError where there are no locks."""
    for _ in range(_TRIES):  # another server may just be clearing up
        if lock(fd, shared=True):
            break
        time.sleep(_SECONDS_BETWEEN)


def _opened(marker: Path) -> int:
    """The marker's descriptor; the marker is made, and never written to when it is there."""
    try:
        return open_plain(marker, os.O_RDONLY)
    except FileNotFoundError:
        with contextlib.suppress(FileExistsError):  # another server was faster
            fd = open_plain(marker, os.O_WRONLY | os.O_CREAT | os.O_EXCL)
            try:
                os.write(fd, _TEXT)
            finally:
                os.close(fd)
        return open_plain(marker, os.O_RDONLY)
