"""The eligible datasets: what they are called, and where their rows come from.

They come from three places: the fixtures (made-up rows), the control calls (`user_datasets`) and a folder of files
(`dataset_files`). An id belongs to one of them only.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable, Iterator
from itertools import chain, islice
from pathlib import Path
from typing import Any, Final, NamedTuple

from flow_service_emulator.catalog import Catalog
from flow_service_emulator.clock import Clock
from flow_service_emulator.dataset_fixtures import DatasetFixture
from flow_service_emulator.datasets.dataset_files import DatasetFiles, FileDataset
from flow_service_emulator.datasets.faults import FileFault
from flow_service_emulator.datasets.process import read as read_content
from flow_service_emulator.datasets.reading import Job
from flow_service_emulator.datasets.segments import Segments
from flow_service_emulator.datasets.user_datasets import Content, UserDatasets
from flow_service_emulator.errors import ServiceError
from flow_service_emulator.rows.seeded import Arrivals, GeneratedRows, RowSource
from flow_service_emulator.store.store import Store

FIXTURES, CALL, FILE = "fixtures", "call", "file"
"""Where a dataset comes from."""


class DatasetFacts(NamedTuple):
    """A dataset as the control calls tell of it. With a `problem`, it cannot be exported."""

    id: str
    name: str
    origin: str
    rows: int
    rows_per_hour: float = 0
    file: str | None = None
    problem: str | None = None

    def as_json(self) -> dict[str, Any]:
        told = {
            "id": self.id,
            "name": self.name,
            "origin": self.origin,
            "rows": self.rows,
            "rowsPerHour": self.rows_per_hour,
        }
        return told | {
            name: value for name, value in (("file", self.file), ("problem", self.problem)) if value is not None
        }


class Library:
    """All datasets that can be exported: those of the fixtures first, then those put, then those in files.

    `seed` decides every value that is made up; `anchor` (epoch seconds) is the instant at which a dataset of the fixtures has its
    initial rows and from which on it grows. `folder` is where a user's own files are.
    """

    def __init__(
        self, catalog: Catalog, *, store: Store, clock: Clock, seed: int, anchor: float, folder: Path | None = None
    ) -> None:
        self._fixtures = catalog.datasets
        self._clock = clock
        self._seed = seed
        self._anchor = anchor
        self._made: dict[str, RowSource] = {}
        self._put = UserDatasets(store, clock, seed=seed)
        self._files = DatasetFiles(folder, store, owner=self._owner)

    @property
    def anchor(self) -> float:
        return self._anchor

    def restart(self, anchor: float) -> None:
        """Lets every dataset of the fixtures begin anew at `anchor` (epoch seconds), and the others be as the store has them."""
        if anchor != self._anchor:  # else the same rows would be made ready anew, which takes longer than a reset
            self._anchor = anchor
            self._made.clear()
        self._put.load()
        self._files.restart()

    def stop(self) -> None:
        """Ends the reading of files that `refresh` may be about, and whatever else asks `go_on`."""
        self._files.stop()

    def go_on(self) -> None:
        """Raises InterruptedError once `stop` was called: for what reads content in a thread."""
        self._files.go_on()

    async def refresh(self) -> None:
        """Takes notice of files that have come, grown, changed or gone. To be called before an answer that depends on them.

        Raises ServiceError while the server is ending.
        """
        with _server_ending():
            await self._files.refresh()

    def has(self, dataset_id: str) -> bool:
        return dataset_id in self._fixtures or dataset_id in self._put or dataset_id in self._files

    def problem(self, dataset_id: str) -> str | None:
        """Why a file with this id cannot be exported, in words; None where there is no such file, or another dataset has the id."""
        if self.has(dataset_id):
            return None
        found = (file for file in self._files.problems if file.id == dataset_id)
        return next((f"the file {file.file} cannot be used: {file.problem}" for file in found), None)

    def name(self, dataset_id: str) -> str:
        if dataset_id in self._fixtures:
            return self._fixtures[dataset_id].name
        return self._put[dataset_id].name if dataset_id in self._put else dataset_id

    def __len__(self) -> int:
        return len(self._fixtures) + len(self._put) + len(self._files)

    def page(self, start: int, limit: int) -> list[dict[str, Any]]:
        """The datasets as `/configs` lists them, from the index `start`, `limit` at most."""
        return [self._body(dataset_id) for dataset_id in islice(self._ids(), start, start + limit)]

    def rows(self, dataset_id: str) -> RowSource:
        """The rows of a dataset. Raises KeyError when there is no such dataset, ValueError for records that are damaged."""
        if dataset_id in self._put:
            return self._put.rows(dataset_id)
        if dataset_id in self._files:
            source = self._files[dataset_id].source
            assert source is not None, "only files with a problem have none"
            return source
        if dataset_id not in self._made:
            dataset = self._fixtures[dataset_id]
            self._made[dataset_id] = GeneratedRows(
                dataset_id=dataset_id,
                schema=dataset.schema,
                seed=self._seed,
                rows=dataset.rows,
                rows_per_hour=dataset.rows_per_hour,
                anchor=self._anchor,
            )
        return self._made[dataset_id]

    # --- for the control calls ------------------------------------------------------------------------------------

    def facts(self) -> list[DatasetFacts]:
        """Every dataset, and every file that cannot be one."""
        return [*map(self.facts_of, self._ids()), *map(_file_facts, self._files.problems)]

    def facts_of(self, dataset_id: str) -> DatasetFacts:
        """What there is to tell of a dataset now. Raises KeyError."""
        now = self._clock.now()
        if dataset_id in self._fixtures:
            return _fixture_facts(self._fixtures[dataset_id], self._anchor, now)
        if dataset_id in self._put:
            dataset = self._put[dataset_id]
            return DatasetFacts(dataset_id, dataset.name, CALL, dataset.rows_at(now), dataset.rows_per_hour)
        return _file_facts(self._files[dataset_id])

    def schema(self, dataset_id: str) -> dict[str, Any]:
        """The JSON Schema of a dataset's rows. Raises KeyError, and ValueError for records that are damaged."""
        if dataset_id in self._fixtures:
            return self._fixtures[dataset_id].schema
        return (self._put if dataset_id in self._put else self._files).schema(dataset_id)

    def is_recorded(self, dataset_id: str) -> bool:
        """Whether a dataset has a user's records, and its schema is what these show."""
        return dataset_id in self._files or (dataset_id in self._put and self._put[dataset_id].schema is None)

    async def put(
        self, dataset_id: str, read: Callable[[Segments], Content], form: str, body: bytes, check: Callable[[], None]
    ) -> None:
        """Keeps a user's dataset, whose content is a `body` of the format `form`; `read` says what of.

        `check` is called right before that, as the id may have become another's (`owner`) by then. Raises FileFault, Unread,
        StoreError, ServiceError while the server is ending, and what `read` and `check` raise.
        """
        with _server_ending():
            before = self._put[dataset_id].mark if dataset_id in self._put else None
            segments = await asyncio.to_thread(read_content, Job(form, before=before, upload=True), body, self.go_on)
        content = read(segments)
        check()
        self._put.put(dataset_id, content)

    async def append(self, dataset_id: str, check: Callable[[Segments], None], form: str, body: bytes) -> int:
        """Keeps further records of a dataset that was put; answers how many.

        Raises as `put`, KeyError where there is no such dataset, and FileFault for one that takes no records.
        """
        types, old = self._put.columns_for_more(dataset_id), self._put[dataset_id]
        job = Job(form, types=types, start=old.digest, upload=True)
        with _server_ending():
            segments = await asyncio.to_thread(read_content, job, body, self.go_on)
        check(segments)
        if self._put[dataset_id] is not old:
            raise FileFault("it was put again in the meantime; try again")
        return self._put.append(dataset_id, segments)

    def delete(self, dataset_id: str) -> None:
        """Forgets a dataset that was put. Raises KeyError and StoreError."""
        self._put.delete(dataset_id)
        self._files.assemble()

    def owner(self, dataset_id: str) -> str | None:
        """In words, whose an id is that cannot be put or deleted; None where it can."""
        if dataset_id in self._fixtures:
            return "a dataset of the fixtures"
        return f"the file {self._files[dataset_id].file}" if dataset_id in self._files else None

    # --- inside ---------------------------------------------------------------------------------------------------

    def _owner(self, dataset_id: str) -> str | None:
        """Whose an id is that a file cannot have."""
        if dataset_id in self._put:
            return "a dataset that was put"
        return "a dataset of the fixtures" if dataset_id in self._fixtures else None

    def _ids(self) -> Iterator[str]:
        return chain(self._fixtures, self._put, self._files)

    def _body(self, dataset_id: str) -> dict[str, Any]:
        if dataset_id in self._fixtures:
            return self._fixtures[dataset_id].body
        return {"id": dataset_id, "name": self.name(dataset_id), **_BODY}


@contextlib.contextmanager
def _server_ending() -> Iterator[None]:
    """Around what `go_on` may end: what was asked for cannot be told without that."""
    try:
        yield
    except InterruptedError:
        raise ServiceError("server-ending") from None


_BODY: Final = {
    "description": "A dataset of the user's own",
    "fileDescription": {"persisted": True, "containerFormat": "parquet", "format": "parquet"},
    "aspect": "production",
    "state": "DRAFT",
}


def _fixture_facts(dataset: DatasetFixture, anchor: float, now: float) -> DatasetFacts:
    rows = Arrivals(dataset.rows, dataset.rows_per_hour, anchor).count_at(now)
    return DatasetFacts(dataset.id, dataset.name, FIXTURES, rows, dataset.rows_per_hour)


def _file_facts(dataset: FileDataset) -> DatasetFacts:
    return DatasetFacts(dataset.id, dataset.id, FILE, dataset.rows, file=dataset.file, problem=dataset.problem)
