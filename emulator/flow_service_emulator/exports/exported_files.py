"""The exported files as tests look at them: which there are, of which run, and where they lie."""

from __future__ import annotations

import errno
import os
import shutil
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final, NamedTuple

from flow_service_emulator.catalog import Catalog
from flow_service_emulator.exports.runs import FILES, Run
from flow_service_emulator.settings import flag_name, variable_name
from flow_service_emulator.store.store import Store

_SHOWN: Final = 300
"""Characters of a path that a message repeats."""


class Unremoved(NamedTuple):
    """Files and folders that could not be removed."""

    number: int
    example: str
    """The first one's path, relative to the export folder."""
    reason: str
    """What the system said about it."""


class ExportFolderError(Exception):
    """Nothing can be written to the export folder."""

    def __init__(self, folder: Path, fault: OSError) -> None:
        reason = "it is a file" if folder.is_file() else fault.strerror or fault
        names = f"{flag_name('export_dir')} or {variable_name('export_dir')}"
        super().__init__(f"nothing can be written to the export folder {folder}: {reason}; {names} names another")


def prepare_folder(folder: Path) -> None:
    """Make the export folder. Raises ExportFolderError: a server that is healthy, and whose every export fails, misleads."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        if not os.access(folder, os.W_OK | os.X_OK):
            raise PermissionError(errno.EACCES, os.strerror(errno.EACCES))
    except OSError as fault:
        raise ExportFolderError(folder, fault) from None


class Exports:
    """The files under the export folder. What is known of each lives in the store, beside its run."""

    def __init__(self, root: Path, store: Store, catalog: Catalog) -> None:
        self._root = root
        self._store = store
        self._folders = sorted(
            {spec.destination.folder for spec in catalog.connection_specs.values() if spec.destination}
        )

    def files(self, filters: Mapping[str, str]) -> list[dict[str, Any]]:
        """Every file of every run that is on record and still there, oldest run first.

        `filters` may name `flow`, `run`, `dataset`, `org` and `sandbox`. Sizes are in bytes; `path` is relative to the export
        folder.
        """
        found = []
        runs = self._runs_of(filters) if filters.keys() & {"org", "sandbox"} else None
        for key in self._store.meta_keys(FILES):
            run_id = key.removeprefix(FILES)
            if filters.get("run", run_id) == run_id and (runs is None or run_id in runs):
                found += [file for file in self.of_run(run_id) if _matches(file, filters)]
        return found

    def in_progress(self, run: Run, filters: Mapping[str, str]) -> list[dict[str, Any]]:
        """What a run under way is writing: a line for each of its datasets and targets, with rows and bytes so far.

        `folder` is where the files will be, relative to the export folder; `filters` are those of `files`.
        """
        org, sandbox = run.job.scope
        if filters.get("org", org) != org or filters.get("sandbox", sandbox) != sandbox:
            return []
        found = [
            {
                "folder": piece.folder,
                "size": size,
                "rows": rows,
                "expectedRows": piece.end - piece.first,
                "dataset": piece.dataset_id,
                "flow": run.job.flow_id,
                "run": run.job.run_id,
            }
            for piece, (rows, size) in zip(run.pieces, run.counts, strict=True)
        ]
        return [one for one in found if _matches(one, filters)]

    def of_run(self, run_id: str) -> list[dict[str, Any]]:
        """The files of one run that are still there, in the order in which they were written; as `files` answers them."""
        entry = self._store.get_meta(FILES + run_id) or {"flowId": "", "files": []}
        return [
            {"path": path, "size": size, "rows": rows, "dataset": dataset_id, "flow": entry["flowId"], "run": run_id}
            for path, size, rows, dataset_id in entry["files"]
            if (self._root / path).is_file()
        ]

    def find(self, path: str) -> Path | None:
        """The file at a path relative to the export folder; None when there is none, or when the path leads outside."""
        if Path(path).anchor:  # on Windows also a drive's or another machine's, which is not even to be asked
            return None
        try:
            root = self._root.resolve()
            file = (root / path).resolve()
            return file if file.is_relative_to(root) and file.is_file() else None
        except (OSError, ValueError, RuntimeError):
            # too long, with a NUL, not to be written in UTF-8; until Python 3.12 links in a circle are a RuntimeError
            return None

    def empty(self) -> Unremoved | None:
        """Removes the destinations' folders and all that is in them; nothing else, and nothing that a link leads to.

        Answers what could not be removed, if anything.
        """
        failures: list[tuple[str, OSError]] = []

        def note(_: object, path: str, fault: BaseException) -> None:
            if isinstance(fault, OSError) and not isinstance(fault, FileNotFoundError):
                failures.append((path, fault))

        for folder in self._folders:
            if sys.version_info >= (3, 12):
                shutil.rmtree(self._root / folder, onexc=note)
            else:
                shutil.rmtree(self._root / folder, onerror=lambda step, path, fault: note(step, path, fault[1]))
        # that a folder is not empty tells nothing beside what is in it
        told = [entry for entry in failures if entry[1].errno != errno.ENOTEMPTY] or failures
        if not told:
            return None
        path, fault = told[0]
        example = os.fsencode(Path(path).relative_to(self._root)).decode(errors="replace")[:_SHOWN]
        return Unremoved(len(told), example, fault.strerror or type(fault).__name__)

    def _runs_of(self, filters: Mapping[str, str]) -> set[str]:
        """The ids of the runs of an organization, a sandbox, or both."""
        return {
            record.id
            for (org, sandbox), record in self._store.everywhere("runs")
            if filters.get("org", org) == org and filters.get("sandbox", sandbox) == sandbox
        }


def _matches(file: Mapping[str, Any], filters: Mapping[str, str]) -> bool:
    return all(filters.get(name, file[name]) == file[name] for name in ("flow", "run", "dataset"))
