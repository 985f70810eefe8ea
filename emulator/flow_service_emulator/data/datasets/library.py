"""The eligible datasets: made up as fixtures describe them, put by control calls, and in files of a folder.

An id belongs to one of them only.
"""

from __future__ import annotations

import asyncio
import logging
import re
from base64 import b64decode, b64encode
from collections import ChainMap
from collections.abc import Mapping
from dataclasses import replace
from functools import reduce
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from flow_service_emulator.clock import Clock
from flow_service_emulator.data.datasets.content import Found, Job
from flow_service_emulator.data.datasets.dataset import Dataset
from flow_service_emulator.data.datasets.folder import DataFile, Folder
from flow_service_emulator.data.datasets.reader import Reader
from flow_service_emulator.data.datasets.tables import from_stream, joined, to_stream
from flow_service_emulator.store.store import SetMeta, Store, StoreError

if TYPE_CHECKING:
    from arro3.core import Table

log = logging.getLogger("emulator.datasets")

ID_PATTERN: Final = re.compile(r"[0-9A-Za-z_-]{1,64}")
"""What the id of a dataset looks like: it goes into addresses and folders."""
_DATASET: Final = "dataset/"
"""Under which keys the store has the datasets that are, or were, a user's own."""
_ROWS: Final = "dataset-rows/"
_BODY: Final = {
    "description": "A dataset of the user's own",
    "fileDescription": {"persisted": True, "containerFormat": "parquet", "format": "parquet"},
    "aspect": "production",
    "state": "DRAFT",
}


class Library:
    """All datasets that can be exported, by id: those of the fixtures first, then those put, then those in files.

    `seed` decides every value that is made up; `anchor` (epoch seconds) is the instant at which a dataset of the fixtures has its
    initial rows and from which on it grows. `folder` is where a user's own files are.
    """

    def __init__(
        self,
        fixtures: Mapping[str, Dataset],
        *,
        store: Store,
        clock: Clock,
        seed: int,
        anchor: float,
        folder: Path | None = None,
    ) -> None:
        self._fixtures = fixtures
        self._store = store
        self._clock = clock
        self._seed = seed
        self.anchor = anchor
        self._reader = Reader()
        self._folder = Folder(folder, self._reader)
        self._made = self._beginning()
        self._put: dict[str, Dataset] = {}
        self._in_files: dict[str, Dataset] = {}
        self.datasets: Mapping[str, Dataset] = ChainMap(self._in_files, self._put, self._made)
        self.files: list[DataFile] = []
        """The user's files; one that is none of the datasets has a problem."""
        self.stop = self._reader.stop
        """Ends the reading of content."""
        self.turn = asyncio.Lock()
        """One upload is read and stored at a time: each can take a few hundred megabytes until it is."""

    def restart(self, anchor: float) -> None:
        """Let every dataset of the fixtures begin again at `anchor` (epoch seconds), and the others be as the store has them."""
        if anchor != self.anchor:  # else the same rows would be made ready again, which takes longer than a reset
            self.anchor = anchor
            self._made.update(self._beginning())
        self._put.clear()
        for dataset_id in self._store.meta_keys(_DATASET):
            dataset = self._stored(dataset_id.removeprefix(_DATASET))
            if dataset is not None and dataset.origin == "call":
                self._put[dataset.id] = replace(dataset, table=self._table(dataset.id))
        self._take_files()

    def _beginning(self) -> dict[str, Dataset]:
        """The datasets of the fixtures."""
        made = self._fixtures.values()
        return {dataset.id: replace(dataset, anchor=self.anchor, seed=self._seed) for dataset in made}

    async def refresh(self) -> None:
        """Take notice of files that have come, grown, changed or gone. To be called before an answer that depends on them.

        Raises the ServiceError `server-ending`.
        """
        if await self._folder.look():
            self._take_files()

    def _take_files(self) -> None:
        """Make datasets of the files that were looked at; to be called when ids were taken or given free elsewhere too.

        That the store cannot have their places, as on a full disk, ends nothing: a reset has already been made when this is its
        last step, and reading needs no room.
        """
        told = {(file.name, file.problem) for file in self.files}
        self._in_files.clear()
        self.files.clear()
        changes = []
        for file in self._folder.files:
            problem = "; ".join(filter(None, (self._id_problem(file.id), file.problem))) or None
            self.files.append(file._replace(problem=problem))
            if problem is None and file.found is not None:
                dataset = Dataset.own(file.id, file.id, "file", file.found, file=file.name)
                dataset = dataset.following(self._stored(file.id), file.found, self._clock.now())
                self._in_files[file.id] = dataset
                changes.append(SetMeta(_DATASET + file.id, dataset.stored()))
            elif (file.name, problem) not in told:
                log.warning("the dataset file %s cannot be used: %s", file.name, problem)
        try:
            self._store.write([change for change in changes if change.value != self._store.get_meta(change.key)])
        except StoreError as fault:
            log.warning("how far the dataset files have been looked at cannot be stored yet: %s", fault)

    def _id_problem(self, dataset_id: str) -> str | None:
        """Why a file cannot have this id; None where it can."""
        if dataset_id in self.datasets:
            return f"the id {dataset_id!r} is that of {self.datasets[dataset_id].owner}; give the file another name"
        if not ID_PATTERN.fullmatch(dataset_id):
            return "its name is the dataset's id, and that has 1 to 64 letters, digits, - and _ only"
        return None

    def problem(self, dataset_id: str) -> str | None:
        """Why a file with this id cannot be exported, in words; None where there is no such file, or another dataset has the id."""
        if dataset_id in self.datasets:
            return None
        found = (file for file in self.files if file.id == dataset_id)
        return next((f"the file {file.name} cannot be used: {file.problem}" for file in found), None)

    def bodies(self) -> list[dict[str, Any]]:
        """The datasets as `/configs` lists them."""
        return [dataset.body or {"id": dataset.id, "name": dataset.name, **_BODY} for dataset in self.datasets.values()]

    def facts(self) -> list[dict[str, Any]]:
        """What there is to tell of every dataset now, and of every file that cannot be one."""
        now = self._clock.now()
        none = {"origin": "file", "rows": 0, "rowsPerHour": 0}
        return [dataset.facts(now) for dataset in self.datasets.values()] + [
            {"id": file.id, "name": file.id, **none, "file": file.name, "problem": file.problem}
            for file in self.files
            if file.problem
        ]

    # --- a user's own by call -------------------------------------------------------------------------------------

    async def read(self, form: str, body: bytes) -> Found:
        """What a `body` of the format `form` has, to be put. Raises FileFault, and ServiceError while the server is ending."""
        return await self._reader.read(Job(form, upload=True), body)

    async def read_further(self, dataset_id: str, form: str, body: bytes) -> Found:
        """Further records of a dataset that was put. Raises as `read`, and ValueError for one that takes none."""
        dataset = self._put[dataset_id]
        if dataset.table is None:
            raise ValueError("its rows are made after a schema; only a dataset that was put with records takes more")
        if dataset.rows_per_hour or dataset.grown:
            raise ValueError("it grows by rowsPerHour, its records repeated; put it without that to append to it")
        types = to_stream(dataset.table.slice(0, 0))
        return await self._reader.read(Job(form, types, start=dataset.digest, upload=True), body)

    def put(self, dataset: Dataset, found: Found | None = None) -> None:
        """Store a dataset, whose own rows were `found`: a new one, or in the place of the one of its id.

        Raises StoreError, and SchemaError for a schema that rows cannot be made from.
        """
        now = self._clock.now()
        new = replace(dataset, anchor=now, seed=self._seed).following(self._stored(dataset.id), found, now)
        next(new.batches(new.base, new.base + min(new.rows, 1)), None)
        rows: dict[str, Table | None] = dict.fromkeys(self._row_keys(new.id))
        if new.table is not None:
            rows[_row_key(new.id, 0)] = new.table
        self._write(new, rows)
        self._put[new.id] = new

    def append(self, dataset_id: str, further: Found) -> None:
        """Store what `read_further` gave. Raises KeyError and StoreError."""
        old = self._put[dataset_id]
        assert old.table is not None, "see read_further"
        table = joined(old.table, further.table)
        new = Dataset.own(
            old.id, old.name, "call", Found(table, further.facts), base=old.base, anchor=self._clock.now()
        )
        self._write(new, {_row_key(old.id, len(self._row_keys(old.id))): further.table})
        self._put[old.id] = new

    def delete(self, dataset_id: str) -> None:
        """Forget a dataset that was put, but not up to where its positions went. Raises KeyError and StoreError."""
        self._write(self._put[dataset_id].deleted(self._clock.now()), dict.fromkeys(self._row_keys(dataset_id)))
        del self._put[dataset_id]
        self._take_files()

    # --- in the store ---------------------------------------------------------------------------------------------

    def _stored(self, dataset_id: str) -> Dataset | None:
        """A dataset that is, or was, a user's own, without its rows."""
        stored = self._store.get_meta(_DATASET + dataset_id)
        return None if stored is None else Dataset(id=dataset_id, seed=self._seed, **stored)

    def _row_keys(self, dataset_id: str) -> list[str]:
        """The keys of a dataset's rows: what was put, and what was appended each time, is an Arrow IPC stream each, in base64."""
        return sorted(self._store.meta_keys(f"{_ROWS}{dataset_id}/"))

    def _table(self, dataset_id: str) -> Table | None:
        texts = map(self._store.get_meta, self._row_keys(dataset_id))
        tables = [from_stream(b64decode(text)) for text in texts]
        return reduce(joined, tables) if tables else None

    def _write(self, dataset: Dataset, rows: Mapping[str, Table | None]) -> None:
        streams = {key: None if table is None else b64encode(to_stream(table)).decode() for key, table in rows.items()}
        self._store.write([SetMeta(_DATASET + dataset.id, dataset.stored()), *map(SetMeta, streams, streams.values())])


def _row_key(dataset_id: str, index: int) -> str:
    return f"{_ROWS}{dataset_id}/{index:06d}"
