"""A run: what is asked for, what it exports, and its record as the service shows it. Pure functions of their arguments.

Source of the record's shape: reference, section "Entities"; API reference, `Batch_Flow_Run_Success` and `Batch_Flow_Run_Failure`; the
tutorial's sample of a run without rows. Times are epoch milliseconds unless a name says otherwise.
"""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final, NamedTuple

from flow_service_emulator.data.rows.seeded import RowSource
from flow_service_emulator.entities import Entity, Scope, etag_text, hex_text, new_entity
from flow_service_emulator.exports.files import FileForm, WrittenFile
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
RUNNING: Final = "running/"
"""What the keys begin with under which the store has the runs that wait or are under way."""
FILES: Final = "files/"
"""What the keys begin with under which the store has the files of runs: as `files_of` gives them."""


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


def marker(job: Job, folders: list[str]) -> SetMeta:
    """What is needed to clear up after a run that never ended: `folders` are those of its pieces, in their order."""
    return SetMeta(RUNNING + job.run_id, {"job": [*job], "folders": folders})


def read_marker(value: Mapping[str, Any]) -> tuple[Job, list[str]]:
    """Return the job and the folders of a marker."""
    (org, sandbox), *others = value["job"]
    return Job((org, sandbox), *others), value["folders"]


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
    manifest: bool
    """Whether a manifest is to list the files."""
    rows: RowSource
    first: int
    end: int


class Written(NamedTuple):
    """How far the writing of a piece is."""

    rows: int = 0
    bytes: int = 0
    skipped: int = 0
    """Rows that are too old."""


@dataclass(slots=True)
class Run:
    """A run under way. Its counts move while the worker thread writes; reading them needs no lock."""

    job: Job
    entity: Entity
    started_ms: int
    pieces: list[Piece] = field(default_factory=list)
    problem: str | None = None
    code: str = FAILED_CODE
    """The code that goes with the problem."""
    fault: RunFault = NO_FAULT
    """How the run is to fail, where that was asked for."""
    written: list[Written] = field(default_factory=list)
    """How far each piece is."""
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
        return sum(written.rows for written in self.written)

    @property
    def bytes(self) -> int:
        """Bytes written so far."""
        return sum(written.bytes for written in self.written)

    @property
    def skipped(self) -> int:
        """Rows left out so far, as they are too old."""
        return sum(written.skipped for written in self.written)

    @property
    def expected_rows(self) -> int:
        """Rows that will have been written at the end, or skipped."""
        return sum(piece.end - piece.first for piece in self.pieces)


def files_of(run: Run) -> list[dict[str, Any]]:
    """A run's part files, in the order in which they were written; `path` is below the export folder."""
    return [
        {"path": f"{piece.folder}/{file.name}", "size": file.bytes, "rows": file.rows, "dataset": piece.dataset_id}
        for index, piece in enumerate(run.pieces)
        for file in run.files.get(index, [])
    ]


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
    skipped = run.skipped
    counts = {} if failed else {"inputRecordCount": run.rows + skipped, "skippedRecordCount": skipped}
    sizes = {} if failed else {"inputBytes": run.bytes}
    output, sides, files = dict[str, int](), {"sourceSummaries": _sources(run)}, dict[str, int]()
    if not failed and (run.rows or not done):
        number = sum(map(len, run.files.values()))
        output, files = {"outputRecordCount": run.rows, "createdRecordCount": run.rows}, {"outputFileCount": number}
        sides["targetSummaries"] = _targets(run)
        sizes, counts = sizes | {"outputBytes": run.bytes}, counts | output
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
        of_output = {"inputRecordCount": run.rows, **output, "skippedRecordCount": 0}
        published = {"sizeSummary": {"outputBytes": run.bytes}, "recordSummary": of_output, "fileSummary": files}
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


def _sources(run: Run) -> list[dict[str, Any]]:
    return _summaries(
        (piece.source_id, piece.dataset_id, {"inputRecordCount": rows + skipped, "skippedRecordCount": skipped})
        for piece, (rows, _, skipped) in zip(run.pieces, run.written, strict=True)
    )


def _targets(run: Run) -> list[dict[str, Any]]:
    return _summaries(
        (piece.target_id, piece.dataset_id, {"createdRecordCount": rows, "outputRecordCount": rows})
        for piece, (rows, _, _) in zip(run.pieces, run.written, strict=True)
    )


def _summaries(counted: Iterable[tuple[str, str, Mapping[str, int]]]) -> list[dict[str, Any]]:
    """Sums of (connection's id, dataset's id, counts), by connection and within by dataset."""
    sums: dict[str, dict[str, Counter[str]]] = {}
    for connection_id, dataset_id, counts in counted:
        datasets = sums.setdefault(connection_id, {})
        for name in ("", f"dataset:{dataset_id}"):
            datasets.setdefault(name, Counter()).update(counts)
    return [
        {"id": id_, **datasets.pop(""), "entitySummaries": [{"id": name, **each} for name, each in datasets.items()]}
        for id_, datasets in sums.items()
    ]
