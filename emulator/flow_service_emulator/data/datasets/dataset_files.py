"""A user's datasets in files: noticed when they appear, grow, change or go, without a restart.

Every file in the folder `datasets` of `--fixtures` is a dataset whose id and name are the file's name without extension. As long
as a file only gets longer, the rows that are added are new; when what was in it has changed, all of its rows are. (A JSON
document that describes made-up datasets is none of these; the catalog reads it at the start.) What types CSV and JSON have in it,
a schema of the same name in the folder `schemas` may say; it is read together with the file.
"""

from __future__ import annotations

import asyncio
import contextlib
import errno
import logging
import os
import re
import stat
import threading
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Final, NamedTuple

from flow_service_emulator.data.datasets.faults import FileFault
from flow_service_emulator.data.datasets.process import GoOn, read
from flow_service_emulator.data.datasets.reading import READERS, Job, types_of
from flow_service_emulator.data.datasets.segments import Mark
from flow_service_emulator.data.datasets.user_rows import Relocated, StoredRows
from flow_service_emulator.data.rows.seeded import RowSource
from flow_service_emulator.fixture_files import FixtureError, read_entry
from flow_service_emulator.store.store import SetMeta, Store, StoreError

if TYPE_CHECKING:
    from arro3.core import Schema

log = logging.getLogger("emulator.datasets")

ID_PATTERN: Final = re.compile(r"[0-9A-Za-z_-]{1,64}")
"""What the id of a dataset looks like: it goes into addresses and folders."""
_FILE: Final = "dataset-file/"
EXTENSIONS: Final = tuple(f".{form}" for form in READERS)

Signature = tuple[int, int, int]
"""(inode, bytes, nanoseconds of the last change) of a file."""


class FileDataset(NamedTuple):
    """A dataset in a file. With a `problem`, it cannot be exported; without `rows` otherwise it is none of a user's datasets.

    `lengthened` says whether all rows that were there before still come first, unchanged; `waiting` is how many bytes at the end
    are no whole line of NDJSON yet, and left for later.
    """

    file: str
    signature: Signature
    problem: str | None = None
    rows: RowSource | None = None
    mark: Mark = Mark(0, "")
    lengthened: bool = False
    waiting: int = 0

    @property
    def id(self) -> str:
        return Path(self.file).stem


class DatasetFiles:
    """The datasets in the files of a folder, by id, in the order of the files' names. Without a folder there are none."""

    def __init__(self, folder: Path | None, store: Store, *, owner: Callable[[str], str | None]) -> None:
        """`owner` says in words whose an id is already, None where it is free."""
        self._folder = folder
        self._store = store
        self._owner = owner
        self._looked: dict[str, FileDataset] = {}
        self._datasets: dict[str, FileDataset] = {}
        self.problems: list[FileDataset] = []
        """The files that cannot be used, and why."""
        self._unsaved = False
        self._turn = asyncio.Lock()
        self._stopping = False

    def __contains__(self, dataset_id: str) -> bool:
        return dataset_id in self._datasets

    def __getitem__(self, dataset_id: str) -> FileDataset:
        return self._datasets[dataset_id]

    def __iter__(self) -> Iterator[str]:
        return iter(self._datasets)

    def __len__(self) -> int:
        return len(self._datasets)

    def restart(self) -> None:
        """Count positions as the store has them: after a reset from 0 again, after a snapshot was put back as it says."""
        for name, looked in list(self._looked.items()):
            kept = self._stored(looked.id)
            if kept is not None and kept[1] != looked.mark:
                del self._looked[name]  # the snapshot knows another content: how they compare, only the file tells
        self.assemble()

    def stop(self) -> None:
        """End a `refresh` that is under way."""
        self._stopping = True

    async def refresh(self) -> None:
        """Look whether the folder is as it was before, and takes a look at every file that is not.

        That is done in a thread and can take a while with large files; whoever cancels it ends that. Costs next to nothing when
        nothing has changed. Raises InterruptedError once `stop` was called, where there was something to look at.
        """
        if self._folder is None or (self._scan() == self._seen() and not self._unsaved):
            return
        async with self._turn:
            found = self._scan()
            changed = {name: found[name] for name in found if self._seen().get(name) != found[name]}
            kept = {name: self._stored(_shown(Path(name).stem)) for name in changed}
            before = {name: known[1] for name, known in kept.items() if known}
            over = threading.Event()

            def go_on() -> None:
                self.go_on()
                if over.is_set():
                    raise InterruptedError(errno.EINTR, "nobody waits for it any more")

            try:
                looked = await asyncio.to_thread(_look, self._folder, changed, before, go_on)
            except asyncio.CancelledError:
                over.set()  # the thread has to be told, it is not cancelled
                raise
            self._looked = {name: looked.get(name) or self._looked[name] for name in sorted(found)}
            self.assemble()

    def go_on(self) -> None:
        """Raise InterruptedError once `stop` was called."""
        if self._stopping:
            raise InterruptedError(errno.EINTR, "the server is ending")

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

    def _stored(self, dataset_id: str) -> tuple[int, Mark] | None:
        """The position of a file's first row and what was in it, as the store has it."""
        kept = self._store.get_meta(_FILE + dataset_id)
        return None if kept is None else (kept["base"], Mark(kept["rows"], kept["digest"]))

    def assemble(self) -> None:
        """Make datasets of the files that were looked at; to be called when ids were taken or given free elsewhere too."""
        told = {file.file: file.problem for file in self.problems}
        self._datasets.clear()
        self.problems.clear()
        changes = []
        for file in self._looked.values():
            problem = "; ".join(filter(None, (self._id_problem(file.id), file.problem)))
            if file.rows is None and file.problem is None:
                continue
            if problem or file.rows is None:
                self.problems.append(file._replace(problem=problem, mark=Mark(0, "")))
                if told.get(file.file) != problem:
                    log.warning("the dataset file %s cannot be used: %s", file.file, problem)
                continue
            kept = self._stored(file.id)
            base, mark = kept or (0, file.mark)
            if not file.lengthened and mark != file.mark:
                base += mark.rows
            changes.append(SetMeta(_FILE + file.id, {"base": base, **file.mark._asdict()}))
            self._datasets[file.id] = file._replace(rows=Relocated(file.rows, base)) if base else file
        self._save([change for change in changes if change.value != self._store.get_meta(change.key)])

    def _save(self, changes: list[SetMeta]) -> None:
        """Let the store keep them. While it cannot, as on a full disk, every `refresh` tries again, and nothing else waits for it:
        a reset has already been made when this is its last step, and reading needs no room."""
        try:
            self._store.write(changes)
        except StoreError as fault:
            if not self._unsaved:
                log.warning("how far the dataset files have been looked at cannot be stored yet: %s", fault)
            self._unsaved = True
        else:
            self._unsaved = False

    def _id_problem(self, dataset_id: str) -> str | None:
        """Why a file cannot have this id; None where it can."""
        owner = self._owner(dataset_id)
        if dataset_id in self._datasets:
            return f"the id {dataset_id!r} is that of the file {self._datasets[dataset_id].file}"
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


def _look(
    folder: Path, changed: Mapping[str, Signature], before: Mapping[str, Mark], go_on: GoOn
) -> dict[str, FileDataset]:
    """Look through files. Whatever is wrong with one of them is told with it. Raises what `go_on` raises."""
    looked = {}
    for name, signature in changed.items():
        path, file = folder / name, FileDataset(_shown(name), signature)
        go_on()
        try:
            if not stat.S_ISREG(path.stat().st_mode):  # a pipe would be waited for without an end
                raise FileFault("it is no regular file")
            form = path.suffix.lower().removeprefix(".")
            types = None if form == "parquet" else _types(folder.parent / "schemas" / f"{path.stem}.json")
            rows = read(Job(form, types=types, before=before.get(name)), path, go_on)
            if not rows.facts.get("described"):
                source = StoredRows(rows.schema, rows.rows, rows.__getitem__)
                begins, waiting = rows.begin_with(before.get(name)), rows.facts.get("waiting", 0)
                file = file._replace(rows=source, mark=rows.mark, lengthened=begins, waiting=waiting)
        except InterruptedError:  # which says nothing of the file
            raise
        except OSError as fault:
            file = file._replace(problem=fault.strerror or type(fault).__name__)
        except Exception as fault:  # whatever is in a user's file, the others are to be had
            file = file._replace(problem=str(fault) or type(fault).__name__)
        looked[name] = file
    return looked


def _types(schema: Path) -> Schema | None:
    """The columns that a JSON Schema of the file's name says, if there is one. Raises FileFault."""
    if not schema.is_file():
        return None
    try:
        return types_of(read_entry(schema).value)
    except (FixtureError, FileFault) as fault:
        raise FileFault(f"schemas/{schema.name}: {fault}") from fault
