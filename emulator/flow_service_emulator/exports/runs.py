"""A run: what is asked for, what it exports, and its record as the service shows it. Pure functions of their arguments.

Source of the record's shape: reference, section "Entities". Times are epoch milliseconds unless a name says otherwise.
"""

from __future__ import annotations

import random
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final, NamedTuple

from flow_service_emulator.data.rows.seeded import RowSource
from flow_service_emulator.entities import Entity, Scope, etag_text, uuid_text
from flow_service_emulator.exports.files import FileForm, WrittenFile
from flow_service_emulator.faults.faults import RunFault

WAITING, IN_PROGRESS, SUCCESS, FAILED = "waiting", "inProgress", "success", "failed"
FAILED_CODE: Final = "ACTIVATION_BATCH-0000-FAILED"
"""The code of a failed run (reference: Entities, Run)."""
FAILED_MESSAGE: Final = "Job aborted."
"""What the service says to it (the published API description's example of a failed run)."""
ACTIVITY: Final = "Dataset export activity"
RUNNING: Final = "running/"
"""What the keys begin with under which the store has the runs that wait or are under way."""

FILES: Final = "files/"
"""What the keys begin with under which the store has the files of runs: (path, bytes, rows, dataset id) each."""


class Job(NamedTuple):
    """A run that is asked for: of which flow, for which instant of the schedule, and of which of its datasets."""

    scope: Scope
    flow_id: str
    run_id: str
    number: int
    """Of the flow's runs, from 1."""
    scheduled_at: int
    dataset_ids: frozenset[str] | None = None
    """Only these datasets of the flow (an ad hoc run); None means all."""
    by_schedule: bool = False
    """Whether it is one that the schedule has, and not one that was asked for."""


def marker_value(job: Job, folders: list[str]) -> dict[str, Any]:
    """What is needed to clear up after a run that never ended: `folders` are those of its pieces, in their order."""
    return {"job": [job.scope, job.flow_id, job.number, job.scheduled_at, job.by_schedule], "folders": folders}


def read_marker(key: str, value: Mapping[str, Any]) -> tuple[Job, list[str]]:
    """Return the job and the folders of what `marker_value` gave."""
    (org, sandbox), flow_id, number, scheduled_at, by_schedule = value["job"]
    job = Job((org, sandbox), flow_id, key.removeprefix(RUNNING), number, scheduled_at, None, by_schedule)
    return job, value["folders"]


class Piece(NamedTuple):
    """One dataset's share of a run: which rows go into which folder."""

    dataset_id: str
    source_id: str
    target_id: str
    folder: str
    """Below the export folder."""
    container: str
    """The bucket's or container's own folder there; empty where the destination has none."""
    form: FileForm
    rows: RowSource
    first: int
    end: int


@dataclass(slots=True)
class Run:
    """A run under way. Its counts move while the worker thread writes; reading them needs no lock."""

    job: Job
    entity: Entity
    started_ms: int
    rng: random.Random
    """Where what is new in the record comes from."""
    pieces: list[Piece] = field(default_factory=list)
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
    call: dict[str, Any] | None = None
    """What the call after the export was, and how it ended; as `Exports.call_of` returns it."""

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


def run_record(run: Run, status: str, *, now_ms: int) -> Entity:
    """Return the run's entity as it stands at `now_ms`; its etag is a new one when its status is."""
    before = run.entity["metrics"]["statusSummary"]["status"]
    etag = run.entity["etag"] if status == before else etag_text(run.rng, now_ms, run.entity["etag"])
    done = status in (SUCCESS, FAILED)
    duration = {"startedAtUTC": run.started_ms, **({"completedAtUTC": max(now_ms, run.started_ms)} if done else {})}
    errors = [{"code": run.code, "message": run.problem}] if run.problem is not None else []
    activity_id = run.entity["activities"][0]["id"] if run.entity["activities"] else uuid_text(run.rng)
    records = _record_summary(run, errors)
    sizes = {"inputBytes": run.bytes, "outputBytes": run.bytes}
    count = sum(map(len, run.files.values())) if done else 0
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


def _record_summary(run: Run, errors: list[dict[str, Any]]) -> dict[str, Any]:
    by_source: dict[str, dict[str, int]] = {}
    by_target: dict[str, dict[str, int]] = {}
    for piece, (written, _) in zip(run.pieces, run.counts, strict=True):
        for summary, connection_id in ((by_source, piece.source_id), (by_target, piece.target_id)):
            counts = summary.setdefault(connection_id, {})
            counts[piece.dataset_id] = counts.get(piece.dataset_id, 0) + written
    return {
        "inputRecordCount": run.rows,
        "outputRecordCount": run.rows,
        "createdRecordCount": run.rows,
        "skippedRecordCount": 0,
        "sourceSummaries": _summaries(by_source, ("inputRecordCount",), {"skippedRecordCount": 0}),
        "targetSummaries": _summaries(by_target, ("createdRecordCount", "outputRecordCount"), {}),
        **({"failedInfo": errors} if errors else {}),
    }


def _summaries(
    counts: Mapping[str, Mapping[str, int]], names: tuple[str, ...], more: dict[str, int]
) -> list[dict[str, Any]]:
    return [
        {
            "id": connection_id,
            **dict.fromkeys(names, sum(datasets.values())),
            **more,
            "entitySummaries": [
                {"id": f"dataset:{dataset_id}", **dict.fromkeys(names, count), **more}
                for dataset_id, count in datasets.items()
            ],
        }
        for connection_id, datasets in counts.items()
    ]
