"""The exported files as tests look at them: which there are, of which run, and where they lie."""

from __future__ import annotations

import errno
import os
import shutil
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Final

from flow_service_emulator.catalog import Catalog
from flow_service_emulator.exports.runs import RUN, Job, Run, job_of
from flow_service_emulator.settings import flag_name, variable_name
from flow_service_emulator.store.store import Store

_SHOWN: Final = 300
"""Characters of a path that a message repeats."""


class ExportFolderError(Exception):
    """Nothing can be written to the export folder."""


def prepare_folder(folder: Path) -> None:
    """Make the export folder. Raise ExportFolderError: a server that is healthy, and whose every export fails, misleads.

    An empty one gets a `.gitignore`, as `venv` writes it, so that no exported file is committed by mistake.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        if not os.access(folder, os.W_OK | os.X_OK):
            raise PermissionError(errno.EACCES, os.strerror(errno.EACCES))
        if not any(folder.iterdir()):
            (folder / ".gitignore").write_text("*\n", "utf-8")
    except OSError as fault:
        reason = "it is a file" if folder.is_file() else fault.strerror or fault
        names = f"{flag_name('export_dir')} or {variable_name('export_dir')}"
        told = f"nothing can be written to the export folder {folder}: {reason}; {names} names another"
        of_root = isinstance(fault, PermissionError) and folder.is_dir() and folder.stat().st_uid == 0
        if of_root:  # as Docker makes it for -v
            told += '. The folder is root\'s: in a container, make it before the start and run with --user "$(id -u)"'
        raise ExportFolderError(told) from None


class Exports:
    """The files under the export folder. What is known of each lives in the store, beside its run."""

    def __init__(self, root: Path, store: Store, catalog: Catalog) -> None:
        self._root = root
        self._store = store
        self._folders = sorted(
            {spec.destination.folder for spec in catalog.connection_specs.values() if spec.destination}
        )

    def files(self, filters: Mapping[str, str]) -> list[dict[str, Any]]:
        """Every file of every run that is on record and still there, oldest run first, and of a run in the order of writing.

        `filters` may name `flow`, `run`, `dataset`, `org` and `sandbox`. Sizes are in bytes; `path` is relative to the export
        folder.
        """
        dataset = filters.get("dataset")
        return [
            {**file, "flow": job.flow_id, "run": job.run_id}
            for job, entry in self._entries(filters)
            for file in entry["files"] or ()
            if dataset in (None, file["dataset"]) and (self._root / file["path"]).is_file()
        ]

    def calls(self, filters: Mapping[str, str]) -> list[dict[str, Any]]:
        """What was called after each run that had a call, `ok`, its `answer` and the `seconds` (of the machine) that it took.

        Oldest run first; `filters` are those of `files`, whose `dataset` leaves out nothing.
        """
        return [
            {"run": job.run_id, "flow": job.flow_id, **entry["call"]}
            for job, entry in self._entries(filters)
            if entry["call"]
        ]

    def in_progress(self, run: Run | None, filters: Mapping[str, str]) -> list[dict[str, Any]]:
        """What a run under way is writing: a line for each of its datasets and targets, with rows and bytes so far.

        `folder` is where the files will be, relative to the export folder; `filters` are those of `files`.
        """
        if run is None or not _matches(run.job, filters):
            return []
        return [
            {
                "folder": piece.folder,
                "size": piece.bytes,
                "rows": piece.rows,
                "expectedRows": piece.end - piece.first,
                "dataset": piece.dataset.id,
                "flow": run.job.flow_id,
                "run": run.job.run_id,
            }
            for piece in run.pieces
            if filters.get("dataset") in (None, piece.dataset.id)
        ]

    def _entries(self, filters: Mapping[str, str]) -> Iterator[tuple[Job, dict[str, Any]]]:
        """What is stored of the runs that the filters leave, oldest run first."""
        for key in [RUN + filters["run"]] if "run" in filters else self._store.meta_keys(RUN):
            if (entry := self._store.get_meta(key)) and _matches(job := job_of(entry), filters):
                yield job, entry

    def find(self, path: str) -> Path | None:
        """The file at a path relative to the export folder; None when there is none, or when the path leads outside."""
        try:
            root = self._root.resolve()
            file = (root / path).resolve()
            return file if file.is_relative_to(root) and file.is_file() else None
        except (OSError, ValueError, RuntimeError):
            # too long, with a NUL, not to be written in UTF-8; until Python 3.12 links in a circle are a RuntimeError
            return None

    def empty(self) -> dict[str, Any]:
        """Remove the destinations' folders and all that is in them; nothing else, and nothing that a link leads to.

        Return the `number` of what could not be removed, the path of an `example`, relative to the export folder, and what the system
        said about that, its `reason`; nothing where all is gone.
        """
        failures: list[tuple[str, OSError]] = []

        def note(_: object, path: str, fault: BaseException) -> None:
            # that a folder is not empty tells nothing beside what is in it
            if isinstance(fault, OSError) and fault.errno not in (errno.ENOENT, errno.ENOTEMPTY):
                failures.append((path, fault))

        for folder in self._folders:
            if sys.version_info >= (3, 12):
                shutil.rmtree(self._root / folder, onexc=note)
            else:
                shutil.rmtree(self._root / folder, onerror=lambda step, path, fault: note(step, path, fault[1]))
        if not failures:
            return {}
        path, fault = failures[0]
        example = os.fsencode(Path(path).relative_to(self._root)).decode(errors="replace")[:_SHOWN]
        return {"number": len(failures), "example": example, "reason": fault.strerror or type(fault).__name__}


def _matches(job: Job, filters: Mapping[str, str]) -> bool:
    of_job = {"flow": job.flow_id, "run": job.run_id, "org": job.scope[0], "sandbox": job.scope[1]}
    return all(of_job.get(name, wanted) == wanted for name, wanted in filters.items())
