"""A user's datasets in files: noticed when they appear, grow, change or go, without a restart.

Every file in the folder `datasets` of `--fixtures` is a dataset whose id and name are the file's name without extension. As long
as a file only gets longer, the rows that are added are new; when what was in it has changed, all of its rows are. (A JSON
document that describes made-up datasets is none of these; the catalog reads it at the start.) What types CSV and JSON have in it,
a schema of the same name in the folder `schemas` may say; it is read together with the file.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import re
import stat
from collections.abc import Callable
from pathlib import Path
from typing import Final, NamedTuple

from flow_service_emulator.data.datasets.content import FORMS, Job
from flow_service_emulator.data.datasets.faults import FileFault
from flow_service_emulator.data.datasets.reader import Reader
from flow_service_emulator.data.datasets.stored import Found, Mark, Relocated, TableRows, columns_only
from flow_service_emulator.data.rows.seeded import RowSource
from flow_service_emulator.errors import ServiceError
from flow_service_emulator.fixture_files import FixtureError, read_entry
from flow_service_emulator.store.store import SetMeta, Store, StoreError

log = logging.getLogger("emulator.datasets")

ID_PATTERN: Final = re.compile(r"[0-9A-Za-z_-]{1,64}")
"""What the id of a dataset looks like: it goes into addresses and folders."""
_FILE: Final = "dataset-file/"
EXTENSIONS: Final = tuple(f".{form}" for form in FORMS)

Signature = tuple[int, int, int]
"""(inode, bytes, nanoseconds of the last change) of a file."""


class FileDataset(NamedTuple):
    """A file that was looked at. With a `problem`, it cannot be exported; without `found` otherwise it is none of a user's datasets."""

    file: str
    signature: Signature
    problem: str | None = None
    found: Found | None = None
    lengthened: bool = False
    """Whether all rows that were there before still come first, unchanged."""

    @property
    def id(self) -> str:
        return Path(self.file).stem

    @property
    def mark(self) -> Mark:
        return self.found.mark if self.found and not self.problem else Mark(0, "")

    @property
    def waiting(self) -> int:
        """How many bytes at the end are no whole line of NDJSON yet, and left for later."""
        return self.found.facts.get("waiting", 0) if self.found else 0


class DatasetFiles:
    """The datasets in the files of a folder, by id, in the order of the files' names. Without a folder there are none."""

    def __init__(
        self, folder: Path | None, store: Store, reader: Reader, *, owner: Callable[[str], str | None]
    ) -> None:
        """`owner` says in words whose an id is already, None where it is free."""
        self._folder = folder
        self._store = store
        self._reader = reader
        self._owner = owner
        self._looked: dict[str, FileDataset] = {}
        self.datasets: dict[str, FileDataset] = {}
        self.rows: dict[str, RowSource] = {}
        self.problems: list[FileDataset] = []
        """The files that cannot be used, and why."""
        self._turn = asyncio.Lock()

    def restart(self) -> None:
        """Count positions as the store has them: after a reset from 0 again, after a snapshot was put back as it says."""
        for name, looked in list(self._looked.items()):
            stored = self._stored(looked.id)
            if stored is not None and stored[1] != looked.mark:
                del self._looked[name]  # the snapshot knows another content: how they compare, only the file tells
        self.assemble()

    async def refresh(self) -> None:
        """Look whether the folder is as it was before, and take a look at every file that is not.

        That can take a while with large files. Costs next to nothing when nothing has changed. Raises the ServiceError
        `server-ending`.
        """
        if self._folder is None or self._scan() == self._seen():
            return
        async with self._turn:
            looked = {}
            for name, signature in sorted(self._scan().items()):
                known = self._looked.get(name)
                if known is None or known.signature != signature:
                    known = await self._look(name, signature)
                looked[name] = known
            self._looked = looked
            self.assemble()

    def _seen(self) -> dict[str, Signature]:
        return {name: looked.signature for name, looked in self._looked.items()}

    def _scan(self) -> dict[str, Signature]:
        """The files in the folder that have one of the extensions; none where there is no folder."""
        assert self._folder is not None, "asked with a folder only"
        found = {}
        try:
            with os.scandir(self._folder) as entries:
                for entry in entries:
                    if Path(entry.name).suffix.lower() in EXTENSIONS and not entry.name.startswith("."):
                        with contextlib.suppress(FileNotFoundError):  # it went while the folder was read
                            found[entry.name] = _signature(entry)
        except (FileNotFoundError, NotADirectoryError):
            return {}
        except OSError as fault:
            log.warning("the dataset folder %s cannot be read: %s", self._folder, fault.strerror)
            return self._seen()
        return found

    async def _look(self, name: str, signature: Signature) -> FileDataset:
        """Look through a file. Whatever is wrong with it is told with it."""
        assert self._folder is not None, "asked with a folder only"
        path, file = self._folder / name, FileDataset(_shown(name), signature)
        stored = self._stored(file.id)
        before = stored and stored[1]
        try:
            if not stat.S_ISREG(path.stat().st_mode):  # a pipe would be waited for without an end
                raise FileFault("it is no regular file")
            form = path.suffix.lower().removeprefix(".")
            types = None if form == "parquet" else _types(self._folder.parent / "schemas" / f"{path.stem}.json")
            found = await self._reader.read(Job(form, types=types, before=before), path)
        except ServiceError:  # which says nothing of the file
            raise
        except OSError as fault:
            return file._replace(problem=fault.strerror or type(fault).__name__)
        except Exception as fault:  # whatever is in a user's file, the others are to be had
            return file._replace(problem=str(fault) or type(fault).__name__)
        if found.facts.get("described"):
            return file
        return file._replace(found=found, lengthened=found.begins_with(before))

    def _stored(self, dataset_id: str) -> tuple[int, Mark] | None:
        """The position of a file's first row and what was in it, as the store has it."""
        stored = self._store.get_meta(_FILE + dataset_id)
        return None if stored is None else (stored["base"], Mark(stored["rows"], stored["digest"]))

    def assemble(self) -> None:
        """Make datasets of the files that were looked at; to be called when ids were taken or given free elsewhere too.

        That the store cannot have their places, as on a full disk, ends nothing: a reset has already been made when this is its
        last step, and reading needs no room.
        """
        told = {file.file: file.problem for file in self.problems}
        self.datasets.clear()
        self.problems.clear()
        changes = []
        for file in self._looked.values():
            problem = "; ".join(filter(None, (self._id_problem(file.id), file.problem)))
            if file.found is None and file.problem is None:
                continue
            if problem or file.found is None:
                self.problems.append(file._replace(problem=problem))
                if told.get(file.file) != problem:
                    log.warning("the dataset file %s cannot be used: %s", file.file, problem)
                continue
            base, mark = self._stored(file.id) or (0, file.mark)
            if not file.lengthened and mark != file.mark:
                base += mark.rows
            changes.append(SetMeta(_FILE + file.id, {"base": base, **file.mark._asdict()}))
            self.datasets[file.id], self.rows[file.id] = file, Relocated(TableRows(file.found.table), base)
        try:
            self._store.write([change for change in changes if change.value != self._store.get_meta(change.key)])
        except StoreError as fault:
            log.warning("how far the dataset files have been looked at cannot be stored yet: %s", fault)

    def _id_problem(self, dataset_id: str) -> str | None:
        """Why a file cannot have this id; None where it can."""
        owner = self._owner(dataset_id)
        if dataset_id in self.datasets:
            return f"the id {dataset_id!r} is that of the file {self.datasets[dataset_id].file}"
        if owner is not None:
            return f"the id {dataset_id!r} is that of {owner}; give the file another name"
        if not ID_PATTERN.fullmatch(dataset_id):
            return "its name is the dataset's id, and that has 1 to 64 letters, digits, - and _ only"
        return None


def _signature(entry: os.DirEntry[str]) -> Signature:
    """What tells a file from what it was before. Raises FileNotFoundError.

    Links are followed: whoever links files into the folder (as Bazel and Nix do with all of them) wants them read.
    """
    try:
        status = entry.stat()
    except FileNotFoundError:
        raise
    except OSError:  # such as a link to itself; what it is, is told when it is looked at
        return (0, 0, 0)
    return (status.st_ino, status.st_size, status.st_mtime_ns)


def _shown(name: str) -> str:
    """A file's name as a text: on Linux it can have bytes that are none."""
    return name.encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace")


def _types(schema: Path) -> bytes | None:
    """The columns that a JSON Schema of the file's name says, if there is one. Raises FileFault."""
    if not schema.is_file():
        return None
    from flow_service_emulator.data.datasets.reading import types_of

    try:
        return columns_only(types_of(read_entry(schema).value))
    except (FixtureError, FileFault) as fault:
        raise FileFault(f"schemas/{schema.name}: {fault}") from fault
