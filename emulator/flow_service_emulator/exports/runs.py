"""A run: what is asked for, what it exports, and its record as the service shows it. Pure functions of their arguments.

Source of the record's shape: reference, section "Entities"; API reference, `Batch_Flow_Run_Success` and `Batch_Flow_Run_Failure`; the
tutorial's sample of a run without rows. Times are epoch milliseconds unless a name says otherwise.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final, NamedTuple

from flow_service_emulator.entities import Entity, Scope, etag_text, hex_text, new_entity
from flow_service_emulator.exports.files import Piece
from flow_service_emulator.faults.faults import NO_FAULT, RunFault
from flow_service_emulator.store.store import SetMeta

WAITING, IN_PROGRESS, SUCCESS, FAILED = "waiting", "inProgress", "success", "failed"
FAILED_CODE: Final = "ACTIVATION_BATCH-0000-FAILED"
"""The code of a failed run (reference: Entities, Run)."""
FAILED_MESSAGE: Final = "Job aborted."
"""What the service says to it (API reference, `Batch_Flow_Run_Failure`)."""
SKIPPED_CODE: Final = "ACTIVATION_BATCH-0000-SKIP"
"""The code of rows that were skipped (API reference, `Batch_Flow_Run_Success`)."""
SKIPPED_MESSAGE: Final = "Records are older than 365 days."
PROCESSOR: Final = {"id": "c4f238e3-7334-4933-8b56-64d7ea43ea54", "name": "Activation Batch XdmProcessor Activity"}
PUBLISHER: Final = {"id": "51d82b36-6b8f-11eb-9439-0242ac130002", "name": "Activation Batch Publisher Activity"}
"""The activities of a run. All of the API reference's examples have these ids; a failed run has the first one only."""
CREATOR, UPDATER = "aep_activation_batch", "acp_foundation_connectors"
"""The clients that create and update runs (tutorial, "Get dataflow runs"); as users they end in `@AdobeID`."""
RUN: Final = "run/"
"""What the keys begin with under which the store has what it knows of each run beside its record: as `entry_of` makes it."""


class Job(NamedTuple):
    """A run that is asked for: of which flow, for which instant of the schedule, and of which of its datasets."""

    scope: Scope
    flow_id: str
    run_id: str
    number: int
    """Of the flow's runs, from 1."""
    scheduled_at: int
    dataset_ids: list[str] | None = None
    """Only these datasets of the flow (an ad hoc run); None means all."""
    by_schedule: bool = False
    """Whether it is one that the schedule has, and not one that was asked for."""


@dataclass(slots=True)
class Run:
    """A run under way. The counts of its pieces move while the worker thread writes; reading them needs no lock."""

    job: Job
    entity: Entity
    started_ms: int
    pieces: list[Piece] = field(default_factory=list)
    problem: str | None = None
    code: str = FAILED_CODE
    """The code that goes with the problem."""
    fault: RunFault = NO_FAULT
    """How the run is to fail, where that was asked for."""
    cancelled: bool = False
    """Whether it is to be ended before its time."""
    cut_off: bool = False
    """Whether it was, which is why it failed."""
    call: dict[str, Any] | None = None
    """What the call after the export was, and how it ended; as `Exports.calls` returns it."""
    overdue: bool = False
    """Whether that call has run into its time limit."""

    @property
    def status(self) -> str:
        """As the record has it."""
        return str(self.entity["metrics"]["statusSummary"]["status"])

    @property
    def folders(self) -> list[str]:
        """Those of the pieces, in their order."""
        return [piece.folder for piece in self.pieces]

    def total(self, count: str) -> int:
        """`rows`, `bytes` or `skipped` of all pieces together."""
        return sum(getattr(piece, count) for piece in self.pieces)

    @property
    def expected_rows(self) -> int:
        """Rows that will have been written at the end, or skipped."""
        return sum(piece.end - piece.first for piece in self.pieces)

    def told(self) -> dict[str, Any]:
        """What an advance tells of a run that has ended."""
        job = self.job
        told = {"id": job.run_id, "flowId": job.flow_id, "scheduledAt": job.scheduled_at, "status": self.status}
        return told if self.problem is None else {**told, "error": self.problem}


def files_of(run: Run) -> list[dict[str, Any]]:
    """A run's part files, in the order in which they were written; `path` is below the export folder."""
    return [
        {"path": f"{piece.folder}/{file.name}", "size": file.bytes, "rows": file.rows, "dataset": piece.dataset.id}
        for piece in run.pieces
        for file in piece.files
    ]


def entry_of(run: Run, *, ended: bool) -> SetMeta:
    """What is stored of a run beside its record: its files once it has `ended`, else what clearing up after it needs."""
    entry = {"job": [*run.job], "folders": run.folders, "at": run.started_ms / 1000}
    return SetMeta(RUN + run.job.run_id, {**entry, "files": files_of(run) if ended else None, "call": run.call})


def job_of(entry: Mapping[str, Any]) -> Job:
    """The job of an entry."""
    (org, sandbox), *others = entry["job"]
    return Job((org, sandbox), *others)


def new_record(job: Job, flow: Mapping[str, Any], now_ms: int) -> Entity:
    """Return the entity of a run that waits."""
    rng = random.Random(job.run_id)
    body = {"flowId": job.flow_id, "flowSpec": flow.get("flowSpec"), "providerRefId": hex_text(rng)}
    entity = new_entity(body, scope=job.scope, rng=rng, now_ms=now_ms)
    del entity["version"]  # no published run has one
    entity |= dict.fromkeys(("createdBy", "updatedBy"), f"{CREATOR}@AdobeID")
    entity |= dict.fromkeys(("createdClient", "updatedClient"), CREATOR)
    metrics = {"statusSummary": {"status": WAITING, "activityRefs": []}}
    return entity | {"id": job.run_id, "metrics": metrics, "activities": []}


def run_record(run: Run, status: str, *, now_ms: int) -> Entity:
    """Return the run's entity as it stands at `now_ms`; its etag is a new one when its status is.

    A failed run has neither sizes nor numbers of files, and of records only those of its sources; nor has one without rows what would
    tell of its output.
    """
    etag, failed, done = run.entity["etag"], status == FAILED, status in (SUCCESS, FAILED)
    if status != run.entity["metrics"]["statusSummary"]["status"]:
        etag = etag_text(random.Random(f"{run.job.run_id}/{status}"), now_ms, etag)
    errors = [{"code": run.code, "message": run.problem}] if failed else []
    rows, size, skipped = run.total("rows"), run.total("bytes"), run.total("skipped")
    counts = {} if failed else {"inputRecordCount": rows + skipped, "skippedRecordCount": skipped}
    sizes = {} if failed else {"inputBytes": size}
    output, files = dict[str, int](), dict[str, int]()
    sides = {"sourceSummaries": _summaries(run, "source_id", _read)}
    if not failed and (rows or not done):
        output = {"outputRecordCount": rows, "createdRecordCount": rows}
        files = {"outputFileCount": sum(len(piece.files) for piece in run.pieces)}
        sides["targetSummaries"] = _summaries(run, "target_id", _written)
        sizes, counts = sizes | {"outputBytes": size}, counts | output
    info: dict[str, Any] = {"failedInfo": errors} if failed else {}
    if skipped:
        info = {"skippedInfo": [{"code": SKIPPED_CODE, "message": SKIPPED_MESSAGE, "count": skipped}]}
    state = {"status": status, **({"errors": errors} if failed else {})}
    metrics: dict[str, Any] = {
        "durationSummary": {
            "startedAtUTC": run.started_ms,
            **({"completedAtUTC": max(now_ms, run.started_ms)} if done else {}),
        },
        "sizeSummary": sizes,
        "recordSummary": {**counts, **sides, **info},
        "fileSummary": {"inputFileCount": files["outputFileCount"], **files} if files else {},
        "statusSummary": {**state, "activityRefs": [PROCESSOR["id"]]},
    }
    activity = {**metrics, "recordSummary": {**counts, **info}, "statusSummary": {**state, "extensions": {}}}
    activities = [{**PROCESSOR, "updatedAtUTC": 0, "latencySummary": {}, **activity}]
    if output and done:
        of_output = {"inputRecordCount": rows, **output, "skippedRecordCount": 0}
        published = {"sizeSummary": {"outputBytes": size}, "recordSummary": of_output, "fileSummary": files}
        activities.append(activities[0] | PUBLISHER | published)
    return {
        **run.entity,
        "updatedAt": now_ms,
        "updatedBy": f"{UPDATER}@AdobeID",
        "updatedClient": UPDATER,
        "etag": etag,
        "metrics": {name: summary for name, summary in metrics.items() if summary},
        "activities": activities,
    }


def _read(piece: Piece) -> dict[str, int]:
    return {"inputRecordCount": piece.rows + piece.skipped, "skippedRecordCount": piece.skipped}


def _written(piece: Piece) -> dict[str, int]:
    return {"createdRecordCount": piece.rows, "outputRecordCount": piece.rows}


def _summaries(run: Run, connection: str, counts: Callable[[Piece], dict[str, int]]) -> list[dict[str, Any]]:
    """Sums of the pieces' counts, by connection (`source_id` or `target_id`) and within by dataset."""
    sums: dict[str, dict[str, dict[str, int]]] = {}
    for piece in run.pieces:
        datasets = sums.setdefault(getattr(piece, connection), {})
        for name in ("", f"dataset:{piece.dataset.id}"):
            sum_ = datasets.setdefault(name, {})
            for count, number in counts(piece).items():
                sum_[count] = sum_.get(count, 0) + number
    return [
        {"id": id_, **datasets.pop(""), "entitySummaries": [{"id": name, **each} for name, each in datasets.items()]}
        for id_, datasets in sums.items()
    ]
