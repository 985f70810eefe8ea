"""A user's data files: noticed when they appear, grow, change or go, without a restart.

Every file in the folder `datasets` of `--fixtures` is a dataset whose id and name are the file's name without extension. (A JSON
document that describes made-up datasets is none of these; the catalog reads it at the start.) What types CSV and JSON have in it,
a schema of the same name in the folder `schemas` may say; it is read together with the file.
"""

from __future__ import annotations

import asyncio
import logging
import os
import stat
from pathlib import Path
from typing import Final, NamedTuple

from flow_service_emulator.data.datasets.content import FORMS, FileFault, Found, Job
from flow_service_emulator.data.datasets.reader import Reader
from flow_service_emulator.errors import ServiceError
from flow_service_emulator.fixture_files import read_entry

log = logging.getLogger("emulator.datasets")

EXTENSIONS: Final = tuple(f".{form}" for form in FORMS)

Signature = tuple[int, int, int]
"""(inode, bytes, nanoseconds of the last change) of a file."""


class DataFile(NamedTuple):
    """A file that was looked at. With a `problem`, it cannot be exported; without `found` otherwise it is none of a user's datasets."""

    name: str
    signature: Signature
    problem: str | None = None
    found: Found | None = None

    @property
    def id(self) -> str:
        return Path(self.name).stem


class Folder:
    """The files of a folder that were looked at, in the order of their names. Without a folder there are none."""

    def __init__(self, path: Path | None, reader: Reader) -> None:
        self._path = path
        self._reader = reader
        self._looked: dict[str, DataFile] = {}
        self._turn = asyncio.Lock()

    @property
    def files(self) -> list[DataFile]:
        """The user's own; each has a problem, or rows."""
        return [file for file in self._looked.values() if file.problem or file.found]

    async def look(self) -> bool:
        """Look at every file that is not as it was before; answers whether there was one.

        That can take a while with large files. Costs next to nothing when nothing has changed. Raises the ServiceError
        `server-ending`.
        """
        if self._path is None or self._scan(self._path) == self._seen():
            return False
        async with self._turn:
            looked = {}
            for name, signature in self._scan(self._path).items():
                known = self._looked.get(name)
                if known is None or known.signature != signature:
                    known = await self._look(self._path / name, signature)
                looked[name] = known
            self._looked = looked
        return True

    def _seen(self) -> dict[str, Signature]:
        return {name: looked.signature for name, looked in self._looked.items()}

    def _scan(self, folder: Path) -> dict[str, Signature]:
        """The files in the folder that have one of the extensions, by their names; none where there is no folder."""
        found = {}
        try:
            paths = sorted(folder.iterdir())
        except (FileNotFoundError, NotADirectoryError):
            return {}
        except OSError as fault:
            log.warning("the dataset folder %s cannot be read: %s", folder, fault.strerror)
            return self._seen()
        for path in paths:
            if path.suffix.lower() in EXTENSIONS and not path.name.startswith("."):
                # Links are followed: whoever links files into the folder (as Bazel and Nix do with all) wants them read.
                try:
                    status = path.stat()
                    found[path.name] = (status.st_ino, status.st_size, status.st_mtime_ns)
                except FileNotFoundError:  # it went while the folder was read
                    continue
                except OSError:  # such as a link to itself; what it is, is told when it is looked at
                    found[path.name] = (0, 0, 0)
        return found

    async def _look(self, path: Path, signature: Signature) -> DataFile:
        """Look through a file. Whatever is wrong with it is told with it."""
        name = os.fsencode(path.name).decode("utf-8", "backslashreplace")  # it can have bytes that are no text
        file, form = DataFile(name, signature), path.suffix.lower().removeprefix(".")
        schema = path.parent.parent / "schemas" / f"{path.stem}.json"
        try:
            if not stat.S_ISREG(path.stat().st_mode):  # a pipe would be waited for without an end
                raise FileFault("it is no regular file")
            types = read_entry(schema).value if form != "parquet" and schema.is_file() else None
            found = await self._reader.read(Job(form, types), path)
        except ServiceError:  # which says nothing of the file
            raise
        except OSError as fault:
            return file._replace(problem=fault.strerror or type(fault).__name__)
        except Exception as fault:  # whatever is in a user's file, the others are to be had
            return file._replace(problem=str(fault) or type(fault).__name__)
        return file if found.facts.get("described") else file._replace(found=found)
