"""The export folder while a server uses it: marked as the emulator's, and held, so that other servers know of this one."""

from __future__ import annotations

import contextlib
import logging
import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import Final

from emulator.plain_files import lock, open_plain

log = logging.getLogger("emulator.exports")

MARKER: Final = ".flow-service-emulator"
"""Name of the file that says whose the export folder is."""
_TEXT: Final = b"Exported files of flow-service-emulator. Its reset empties the destinations' folders here.\n"
_TRIES: Final = 100
_SECONDS_BETWEEN: Final = 0.02


class Occupancy:
    """Several servers may use one folder, since their files have different names; but a start clears up only when alone.

    Each holds a shared lock on the marker, and one that is alone a lock for itself until it has cleared up.
    """

    def __init__(self, root: Path) -> None:
        self._root = root
        self._fd: int | None = None

    def begin(self, clear_up: Callable[[], object]) -> None:
        """Makes and marks the folder; calls `clear_up` if no other server uses it, and before another one does.

        Raises NotPlain when a link, folder or the like has the marker's name, and OSError when the folder cannot be written
        to. Where the file system has no locks nobody can tell who uses the folder, and nothing is cleared up.
        """
        self._root.mkdir(parents=True, exist_ok=True)
        self._fd = fd = _opened(self._root / MARKER)
        with contextlib.suppress(OSError):
            if lock(fd):
                clear_up()
            else:
                log.warning(
                    "another server uses the export folder %s as well; what a killed one left unfinished there stays, and "
                    "a reset with exports=true takes away the files of both",
                    self._root,
                )
            for _ in range(_TRIES):  # the other one may just be clearing up
                if lock(fd, shared=True):
                    break
                time.sleep(_SECONDS_BETWEEN)

    def end(self) -> None:
        """Lets go of the folder."""
        if self._fd is not None:
            os.close(self._fd)
            self._fd = None


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
