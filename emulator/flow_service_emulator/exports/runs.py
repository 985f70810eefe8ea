"""A run: what is asked for, what it exports, and its record as the service shows it. Pure functions of their arguments.

Source of the record's shape: reference, section "Entities". Times are epoch milliseconds unless a name says otherwise.
"""

from __future__ import annotations

import asyncio
import random
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final, NamedTuple

from flow_service_emulator.clock import is_instant
from flow_service_emulator.entities import Entity, Scope, etag_text, uuid_text
from flow_service_emulator.faults.faults import RunFault
from flow_service_emulator.files.paths import safe_parts
from flow_service_emulator.files.writers import FileForm, WrittenFile
from flow_service_emulator.rows.seeded import RowSource

WAITING, IN_PROGRESS, SUCCESS, FAILED = "waiting", "inProgress", "success", "failed"
FAILED_CODE: Final = "ACTIVATION_BATCH-0000-FAILED"
"""The code of a failed run (reference: Entities, Run)."""
FAILED_MESSAGE: Final = "Job aborted."
"""What the service says to it (the published API description's example of a failed run)."""
ACTIVITY: Final = "Dataset export activity"
RUNNING: Final = "running/"
"""What the keys begin with under which the store keeps the runs that wait or are under way."""
EXITS: Final = (SystemExit, KeyboardInterrupt, GeneratorExit, asyncio.CancelledError)
"""What ends the process or a task. All else that a run meets is its own failure; arro3 panics with what is no Exception."""
UUID: Final = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")
"""An id that this emulator makes."""


class Job(NamedTuple):
    """A run that is asked for: of which flow, for which instant of the schedule, and of which of its datasets."""

    scope: Scope
    flow_id: str
    run_id: str
    scheduled_at: int
    dataset_ids: frozenset[str] | None = None
    """Only these datasets of the flow (an ad hoc run); None means all."""
    by_schedule: bool = False
    """Whether it is one that the schedule has, and not one that was asked for."""


def marker_key(run_id: str) -> str:
    """Under which key the store keeps that a run waits or is under way."""
    return RUNNING + run_id


def marker_value(job: Job, folders: list[list[str]]) -> dict[str, Any]:
    """What is needed to clear up after a run that never ended: `folders` are those of its pieces, in their order."""
    return {
        "scope": list(job.scope),
        "flowId": job.flow_id,
        "scheduledAt": job.scheduled_at,
        "bySchedule": job.by_schedule,
        "folders": folders,
    }


def read_marker(key: str, value: Any) -> tuple[Job, list[list[str]]]:
    """The job and the folders of what is kept of a run. Raises ValueError for what `marker_value` never gives.

    A snapshot and a data folder can hold anything, and files are removed from these folders.
    """
    run_id = key.removeprefix(RUNNING)
    if not UUID.fullmatch(run_id):
        raise ValueError(f"{run_id[:60]!r} is no id of a run")
    match value:
        case {"scope": [str() as org, str() as sandbox], "flowId": str() as flow_id, "folders": list() as folders}:
            pass
        case _:
            raise ValueError('a "scope" of two texts, a "flowId" (a text) and "folders" (an array) are needed')
    scheduled_at = value.get("scheduledAt")
    if not is_instant(scheduled_at) or not isinstance(scheduled_at, int):
        raise ValueError('"scheduledAt" must be epoch seconds, a whole number')
    for parts in folders:
        if not (isinstance(parts, list) and parts and all(isinstance(part, str) for part in parts)):
            raise ValueError('each of "folders" must be an array of names')
        if safe_parts(*parts) != tuple(parts):
            raise ValueError(f"{'/'.join(parts)[:100]!r} is no folder that an export is written to")
    return Job((org, sandbox), flow_id, run_id, scheduled_at, by_schedule=value.get("bySchedule") is True), folders


class Piece(NamedTuple):
    """One dataset's share of a run: which rows go into which folder."""

    dataset_id: str
    source_id: str
    target_id: str
    parts: tuple[str, ...]
    form: FileForm
    rows: RowSource
    first: int
    end: int


@dataclass(slots=True)
class Run:
    """A run under way. Its counts move while the worker thread writes; reading them needs no lock."""

    job: Job
    flow: Entity
    entity: Entity
    pieces: list[Piece]
    started_ms: int
    problem: str | None = None
    code: str = FAILED_CODE
    """The code that goes with the problem."""
    fault: RunFault | None = None
    """How the run is to fail, where that was asked for."""
    counts: list[tuple[int, int]] = field(default_factory=list)
    """(rows, bytes) written so far of each piece."""
    cancelled: bool = False
    """Whether it is to be ended before its time."""
    cut_off: bool = False
    """Whether it was, which is why it failed."""
    files: dict[int, list[WrittenFile]] = field(default_factory=dict)
    """Index of a piece -> its part files on disk."""
    manifests: list[tuple[tuple[str, ...], str]] = field(default_factory=list)
    """(folder, name) of the manifests on disk."""

    def plan(self, pieces: list[Piece]) -> None:
        """Sets what is to be exported."""
        self.pieces = pieces
        self.counts = [(0, 0)] * len(pieces)

    def moved(self, index: int, rows: int, size: int) -> None:
        """Notes how much of a piece is written: rows and bytes."""
        self.counts[index] = (rows, size)

    @property
    def rows(self) -> int:
        """Rows written so far."""
        return sum(rows for rows, _ in self.counts)

    @property
    def bytes(self) -> int:
        """Bytes written so far."""
        return sum(size for _, size in self.counts)

    @property
    def expected_rows(self) -> int:
        """Rows that will have been written at the end."""
        return sum(piece.end - piece.first for piece in self.pieces)


def run_record(run: Run, status: str, *, now_ms: int, rng: random.Random) -> Entity:
    """The run's entity as it stands at `now_ms`; its etag is a new one when its status is."""
    before = run.entity["metrics"]["statusSummary"]["status"]
    etag = run.entity["etag"] if status == before else etag_text(rng, now_ms, run.entity["etag"])
    done = status in (SUCCESS, FAILED)
    duration = {"startedAtUTC": run.started_ms, **({"completedAtUTC": max(now_ms, run.started_ms)} if done else {})}
    errors = [{"code": run.code, "message": run.problem}] if run.problem is not None else []
    activity_id = run.entity["activities"][0]["id"] if run.entity.get("activities") else uuid_text(rng)
    records = _record_summary(run, status, errors)
    _, size, count = _totals(run, status)
    sizes = {"inputBytes": size, "outputBytes": size}
    files = {"inputFileCount": count, "outputFileCount": count}
    state = {"status": status, **({"errors": errors} if errors else {})}
    plain = {name: value for name, value in records.items() if not name.endswith("Summaries")}
    return {
        **run.entity,
        "updatedAt": now_ms,
        "version": etag,
        "etag": etag,
        "metrics": {
            "durationSummary": duration,
            "sizeSummary": sizes,
            "recordSummary": records,
            "fileSummary": files,
            "statusSummary": {**state, "activityRefs": [activity_id]},
        },
        "activities": [
            {
                "id": activity_id,
                "name": ACTIVITY,
                "updatedAtUTC": now_ms,
                "durationSummary": duration,
                "latencySummary": {},
                "sizeSummary": sizes,
                "recordSummary": plain,
                "fileSummary": files,
                "statusSummary": {**state, "extensions": {}},
            }
        ],
    }


def _totals(run: Run, status: str) -> tuple[int, int, int]:
    """Rows, bytes and part files: of the files on disk when the run is over, what has been written so far before."""
    if status == IN_PROGRESS:
        return run.rows, run.bytes, 0
    parts = [file for files in run.files.values() for file in files]
    return sum(file.rows for file in parts), sum(file.bytes for file in parts), len(parts)


def _record_summary(run: Run, status: str, errors: list[dict[str, Any]]) -> dict[str, Any]:
    total = _totals(run, status)[0]
    by_source: dict[str, dict[str, int]] = {}
    by_target: dict[str, dict[str, int]] = {}
    for index, piece in enumerate(run.pieces):
        written = run.counts[index][0] if status == IN_PROGRESS else sum(file.rows for file in run.files.get(index, []))
        for summary, connection_id in ((by_source, piece.source_id), (by_target, piece.target_id)):
            counts = summary.setdefault(connection_id, {})
            counts[piece.dataset_id] = counts.get(piece.dataset_id, 0) + written
    return {
        "inputRecordCount": total,
        "outputRecordCount": total,
        "createdRecordCount": total,
        "skippedRecordCount": 0,
        "sourceSummaries": _summaries(by_source, ("inputRecordCount",)),
        "targetSummaries": _summaries(by_target, ("createdRecordCount", "outputRecordCount")),
        **({"failedInfo": errors} if errors else {}),
    }


def _summaries(counts: Mapping[str, Mapping[str, int]], names: tuple[str, ...]) -> list[dict[str, Any]]:
    skipped = {"skippedRecordCount": 0} if "inputRecordCount" in names else {}
    return [
        {
            "id": connection_id,
            **dict.fromkeys(names, sum(datasets.values())),
            **skipped,
            "entitySummaries": [
                {"id": f"dataset:{dataset_id}", **dict.fromkeys(names, count), **skipped}
                for dataset_id, count in datasets.items()
            ],
        }
        for connection_id, datasets in counts.items()
    ]
