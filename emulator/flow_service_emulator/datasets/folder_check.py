"""A folder as it is given to `--fixtures`, looked through for all that is wrong in it and all that nobody reads."""

from __future__ import annotations

import asyncio
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Final, NamedTuple

from flow_service_emulator.catalog import Catalog, load_catalog
from flow_service_emulator.datasets.dataset_files import EXTENSIONS, DatasetFiles, FileDataset
from flow_service_emulator.fixture_files import FixtureError
from flow_service_emulator.store.store import Store

FOLDERS: Final[Mapping[str, Collection[str]]] = {
    "connection-specs": (".json",),
    "datasets": EXTENSIONS,
    "flow-specs": (".json",),
    "schemas": (".json",),
}
"""The folders that are read -> the extensions of the files in them."""
_NOTES: Final = ("readme", "license", "changelog")


class Checked(NamedTuple):
    """What there is in the fixtures, and what is wrong. Where specs are, `catalog` is the built-in one."""

    catalog: Catalog
    files: list[FileDataset]
    faults: list[FixtureError]


def check_folder(folder: Path | None) -> Checked:
    """Reads the built-in fixtures and those of a folder, its files of records included, the way that a server does.

    For a process of its own: it starts an event loop. Raises FixtureError where the folder is none.
    """
    faults: list[FixtureError] = []
    try:
        catalog = load_catalog(folder)
    except FixtureError as fault:
        if folder is None or not folder.is_dir():
            raise
        faults += fault.faults
        catalog = load_catalog()
    if folder is None:
        return Checked(catalog, [], faults)
    datasets = folder / "datasets"
    owners = dict.fromkeys(catalog.datasets, "a dataset of the fixtures")
    files = DatasetFiles(datasets, Store(None), owner=owners.get)
    asyncio.run(files.refresh())
    faults += [FixtureError(datasets / file.file, "", file.problem or "") for file in files.problems]
    found = [files[dataset_id] for dataset_id in files]
    faults += [
        FixtureError(datasets / file.file, "", f"the last line is no whole JSON: {file.waiting} bytes are left out")
        for file in found
        if file.waiting
    ]
    return Checked(catalog, found, faults + strangers(folder))


def strangers(folder: Path) -> list[FixtureError]:
    """The files and folders in a fixtures folder that nothing is read from, each with what to do about it.

    Hidden ones, and those that are called README, LICENSE or CHANGELOG, are nobody's concern.
    """
    inside = _entries(folder)
    if not any(entry.name in FOLDERS for entry in inside):
        meant = f"; is {folder.parent} meant?" if folder.resolve().name in FOLDERS else ""
        reason = f"nothing is read from it, as it has none of the folders {', '.join(FOLDERS)}{meant}"
        return [*(fault for entry in inside if (fault := _misnamed(entry))), FixtureError(folder, "", reason)]
    found = []
    for entry in inside:
        if entry.name in FOLDERS:
            found += [stranger for each in _entries(entry) if (stranger := _unread(each, FOLDERS[entry.name]))]
        else:
            reason = f"nothing is read from it; the folders that are read are {', '.join(FOLDERS)}"
            found.append(_misnamed(entry) or FixtureError(entry, "", reason))
    return found


def _misnamed(entry: Path) -> FixtureError | None:
    """A fault where a folder's name is nearly that of one that is read."""
    from difflib import get_close_matches  # on first use: most folders are in order

    near = get_close_matches(entry.name.lower(), FOLDERS, 1, 0.75)
    if not near or not entry.is_dir():
        return None
    return FixtureError(entry, "", f"nothing is read from it; has it to be named {near[0]}?")


def _unread(entry: Path, extensions: Collection[str]) -> FixtureError | None:
    """A fault where an entry of one of the folders is not read."""
    exact = extensions is not FOLDERS["datasets"]
    if (entry.suffix if exact else entry.suffix.lower()) in extensions:
        return None
    what = "it is a folder" if entry.is_dir() else f"files that are read end in {', '.join(extensions)}"
    return FixtureError(entry, "", f"nothing is read from it: {what}")


def _entries(folder: Path) -> list[Path]:
    if not folder.is_dir():
        return []
    return sorted(
        entry
        for entry in folder.iterdir()
        if not entry.name.startswith(".") and not entry.name.lower().startswith(_NOTES)
    )
