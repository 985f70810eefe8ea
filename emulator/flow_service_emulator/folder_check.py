"""A folder as it is given to `--fixtures`, looked through for all that is wrong in it and all that nobody reads."""

from __future__ import annotations

import asyncio
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Final, NamedTuple

from flow_service_emulator.catalog import Catalog, load_catalog
from flow_service_emulator.clock import Clock
from flow_service_emulator.data.datasets.folder import EXTENSIONS, DataFile
from flow_service_emulator.data.datasets.library import Library
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
    files: list[DataFile]
    faults: list[FixtureError]


def check_folder(folder: Path | None) -> Checked:
    """Read the built-in fixtures and those of a folder, its files of records included, the way that a server does.

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
    library = Library(catalog.datasets, store=Store(None), clock=Clock(), seed=0, anchor=0, folder=datasets)
    asyncio.run(library.refresh())
    for file in library.files:
        waiting = file.found.facts.get("waiting") if file.found else None
        reason = file.problem or f"the last line is no whole JSON: {waiting} bytes are left out"
        if file.problem or waiting:
            faults.append(FixtureError(datasets / file.name, "", reason))
    return Checked(catalog, library.files, faults + strangers(folder))


def strangers(folder: Path) -> list[FixtureError]:
    """The files and folders in a fixtures folder that nothing is read from, each with what to do about it.

    Hidden ones, and those that are called README, LICENSE or CHANGELOG, are nobody's concern.
    """
    found = []
    names, known = ", ".join(FOLDERS), [entry for entry in _entries(folder) if entry.name in FOLDERS and entry.is_dir()]
    for entry in _entries(folder) if known else ():
        if entry not in known:
            found.append(FixtureError(entry, "", f"nothing is read from it; the folders that are read are {names}"))
    for inside in (inside for entry in known for inside in _entries(entry)):
        extensions = FOLDERS[inside.parent.name]
        suffix = inside.suffix.lower() if inside.parent.name == "datasets" else inside.suffix
        if suffix not in extensions:
            what = "it is a folder" if inside.is_dir() else f"files that are read end in {', '.join(extensions)}"
            found.append(FixtureError(inside, "", f"nothing is read from it: {what}"))
    if not known:
        meant = f"; is {folder.parent} meant?" if folder.resolve().name in FOLDERS else ""
        reason = f"nothing is read from it, as it has none of the folders {names}{meant}"
        found.append(FixtureError(folder, "", reason))
    return found


def _entries(folder: Path) -> list[Path]:
    entries = sorted(folder.iterdir()) if folder.is_dir() else []
    return [entry for entry in entries if not entry.name.lower().startswith((".", *_NOTES))]
