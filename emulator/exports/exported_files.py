"""The exported files as tests look at them: which there are, of which run, and where they lie."""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

from emulator.catalog import Catalog
from emulator.exports.runs import Run
from emulator.store.store import SetMeta, Store

_PREFIX: Final = "files/"
MARKER: Final = ".flow-service-emulator"
"""Name of the file that says whose the export folder is."""


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

        `filters` may name `flow`, `run`, `dataset`, `org` and `sandbox`. Sizes are in bytes; `path` is relative to the
        export folder.
        """
        found = []
        runs = self._runs_of(filters) if filters.keys() & {"org", "sandbox"} else None
        for key in self._store.meta_keys(_PREFIX):
            run_id = key.removeprefix(_PREFIX)
            if filters.get("run", run_id) != run_id or (runs is not None and run_id not in runs):
                continue
            files = self.of_run(run_id)
            found += [
                file
                for file in files
                if all(filters.get(name, file[name]) == file[name] for name in ("flow", "dataset"))
            ]
        return found

    def in_progress(self, run: Run, filters: Mapping[str, str]) -> list[dict[str, Any]]:
        """What a run under way is writing: a line for each of its datasets and targets, with rows and bytes so far.

        `folder` is where the files will be, relative to the export folder; `filters` are those of `files`.
        """
        org, sandbox = run.job.scope
        if any(filters.get(name, value) != value for name, value in (("org", org), ("sandbox", sandbox))):
            return []
        found = [
            {
                "folder": "/".join(piece.parts),
                "size": size,
                "rows": rows,
                "expectedRows": piece.end - piece.first,
                "dataset": piece.dataset_id,
                "flow": run.job.flow_id,
                "run": run.job.run_id,
            }
            for piece, (rows, size) in zip(run.pieces, run.counts, strict=True)
        ]
        return [
            one
            for one in found
            if all(filters.get(name, one[name]) == one[name] for name in ("flow", "run", "dataset"))
        ]

    def of_run(self, run_id: str) -> list[dict[str, Any]]:
        """The files of one run that are still there, in the order in which they were written; as `files` answers them."""
        entry = self._store.get_meta(_PREFIX + run_id) or {"flowId": "", "files": []}
        return [
            {"path": path, "size": size, "rows": rows, "dataset": dataset_id, "flow": entry["flowId"], "run": run_id}
            for path, size, rows, dataset_id in entry["files"]
            if (self._root / path).is_file()
        ]

    def _runs_of(self, filters: Mapping[str, str]) -> set[str]:
        """The ids of the runs of an organization, a sandbox, or both."""
        return {
            record.id
            for (org, sandbox), record in self._store.everywhere("runs")
            if filters.get("org", org) == org and filters.get("sandbox", sandbox) == sandbox
        }

    def find(self, path: str) -> Path | None:
        """The file at a path relative to the export folder; None when there is none, or when the path leads outside."""
        if "\0" in path:
            return None
        root = self._root.resolve()
        try:
            file = (root / path).resolve()
            return file if file.is_file() and file.is_relative_to(root) else None
        except OSError:
            return None

    def empty(self) -> None:
        """Removes the destinations' folders and all that is in them; nothing else under the export folder."""
        for folder in self._folders:
            path = self._root / folder
            if path.is_symlink():
                path.unlink()
            elif path.is_dir():
                shutil.rmtree(path, ignore_errors=True)


def mark_export_dir(root: Path) -> None:
    """Makes the export folder, and leaves a note in it whose it is. Raises OSError when it cannot be written to."""
    root.mkdir(parents=True, exist_ok=True)
    marker = root / MARKER
    if not marker.is_file():
        marker.write_text(
            "Exported files of flow-service-emulator. Its reset empties the destinations' folders here.\n", "utf-8"
        )


def files_record(run_id: str, flow_id: str, files: list[tuple[str, int, int, str]]) -> SetMeta:
    """What the store keeps of a run's files: (path, bytes, rows, dataset id) each."""
    return SetMeta(_PREFIX + run_id, {"flowId": flow_id, "files": files})


def forget_files(run_id: str) -> SetMeta:
    """Lets the store forget the files of a run whose record is dropped."""
    return SetMeta(_PREFIX + run_id, None)
