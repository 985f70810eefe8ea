"""The exported files as tests look at them: which there are, of which run, and where they lie."""

from __future__ import annotations

import errno
import os
import shutil
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final

from flow_service_emulator.catalog import Catalog
from flow_service_emulator.exports.runs import FILES, Run
from flow_service_emulator.settings import flag_name, variable_name
from flow_service_emulator.store.store import Store

_SHOWN: Final = 300
"""Characters of a path that a message repeats."""


class ExportFolderError(Exception):
    """Nothing can be written to the export folder."""

    def __init__(self, folder: Path, fault: OSError) -> None:
        reason = "it is a file" if folder.is_file() else fault.strerror or fault
        names = f"{flag_name('export_dir')} or {variable_name('export_dir')}"
        told = f"nothing can be written to the export folder {folder}: {reason}; {names} names another"
        if (
            isinstance(fault, PermissionError) and folder.is_dir() and folder.stat().st_uid == 0
        ):  # as Docker makes it for -v
            told += '. The folder is root\'s: in a container, make it before the start and run with --user "$(id -u)"'
        super().__init__(told)


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
        runs = (key.removeprefix(FILES) for key in self._store.meta_keys(FILES + filters.get("run", "")))
        return [file for run_id in runs for file in self.of_run(run_id, filters)]

    def in_progress(self, run: Run, filters: Mapping[str, str]) -> list[dict[str, Any]]:
        """What a run under way is writing: a line for each of its datasets and targets, with rows and bytes so far.

        `folder` is where the files will be, relative to the export folder; `filters` are those of `files`.
        """
        found = [
            {
                "folder": piece.folder,
                "size": written.bytes,
                "rows": written.rows,
                "expectedRows": piece.end - piece.first,
                "dataset": piece.dataset_id,
                "flow": run.job.flow_id,
                "run": run.job.run_id,
            }
            for piece, written in zip(run.pieces, run.written, strict=True)
        ]
        return [line for line in found if _matches(run.job.scope, line, filters)]

    def of_run(self, run_id: str, filters: Mapping[str, str] | None = None) -> list[dict[str, Any]]:
        """The files of one run that are still there, in the order in which they were written; as `files` returns them."""
        entry = self._store.get_meta(FILES + run_id) or {"scope": ("", ""), "flowId": "", "files": []}
        found = ({**file, "flow": entry["flowId"], "run": run_id} for file in entry["files"])
        return [
            file
            for file in found
            if _matches(entry["scope"], file, filters or {}) and (self._root / file["path"]).is_file()
        ]

    def calls(self, filters: Mapping[str, str]) -> list[dict[str, Any]]:
        """The call after each run that had one, of the oldest run first; `filters` are those of `files` but for `dataset`."""
        runs = (key.removeprefix(FILES) for key in self._store.meta_keys(FILES + filters.get("run", "")))
        wanted = {name: value for name, value in filters.items() if name != "dataset"}
        return [call for run_id in runs if (call := self.call_of(run_id, wanted)) is not None]

    def call_of(self, run_id: str, filters: Mapping[str, str] | None = None) -> dict[str, Any] | None:
        """What was called after a run, `ok`, its `answer` and the `seconds` (of the machine) that it took; None without a call."""
        entry = self._store.get_meta(FILES + run_id)
        if entry is None or entry.get("call") is None:
            return None
        call = {"run": run_id, "flow": entry["flowId"], **entry["call"]}
        return call if _matches(entry["scope"], call, filters or {}) else None

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


def _matches(scope: Sequence[str], line: Mapping[str, Any], filters: Mapping[str, str]) -> bool:
    told = {**line, "org": scope[0], "sandbox": scope[1]}
    return all(told[name] == wanted for name, wanted in filters.items())
