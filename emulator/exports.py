"""The exported files as tests look at them: which there are, of which run, and where they lie."""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

from emulator.catalog import Catalog
from emulator.store import SetMeta, Store

_PREFIX: Final = "files/"
MARKER: Final = ".flow-service-emulator"
"""Name of the file that says whose the export folder is."""


class Exports:
    """The files under the export folder. What is known of each lives in the store, beside its run."""

    def __init__(self, root: Path, store: Store, catalog: Catalog) -> None:
        self._root = root
        self._store = store
        self._folders = sorted({spec.destination.folder for spec in catalog.connection_specs.values() if spec.destination})

    def files(self, filters: Mapping[str, str]) -> list[dict[str, Any]]:
        """Every file of every run that is on record and still there, oldest run first.

        `filters` may name `flow`, `run` and `dataset`. Sizes are in bytes; `path` is relative to the export folder.
        """
        found = []
        for key in self._store.meta_keys(_PREFIX):
            run_id = key.removeprefix(_PREFIX)
            entry = self._store.get_meta(key)
            if filters.get("run", run_id) != run_id or filters.get("flow", entry["flowId"]) != entry["flowId"]:
                continue
            for path, size, rows, dataset_id in entry["files"]:
                if filters.get("dataset", dataset_id) == dataset_id and (self._root / path).is_file():
                    found.append(
                        {"path": path, "size": size, "rows": rows, "dataset": dataset_id, "flow": entry["flowId"], "run": run_id}
                    )
        return found

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
        marker.write_text("Exported files of flow-service-emulator. Its reset empties the destinations' folders here.\n", "utf-8")


def files_record(run_id: str, flow_id: str, files: list[tuple[str, int, int, str]]) -> SetMeta:
    """What the store keeps of a run's files: (path, bytes, rows, dataset id) each."""
    return SetMeta(_PREFIX + run_id, {"flowId": flow_id, "files": files})


def forget_files(run_id: str) -> SetMeta:
    """Lets the store forget the files of a run whose record is dropped."""
    return SetMeta(_PREFIX + run_id, None)
