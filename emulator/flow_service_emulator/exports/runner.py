"""One run: a flow's datasets become files, and the run's record tells what happened.

A run is planned and recorded on the event loop, its files are written by a worker thread, and the record is finished on the event
loop again; so the store is only ever touched by one thread.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any, Final

from flow_service_emulator.catalog import Catalog
from flow_service_emulator.clock import Clock
from flow_service_emulator.data.datasets.library import Library
from flow_service_emulator.data.rows.seeded import RowSource
from flow_service_emulator.entities import Entity, Scope, derived_uuid
from flow_service_emulator.exports import files as part_files
from flow_service_emulator.exports import limits, runs
from flow_service_emulator.exports.files import FileForm, WritingCancelled, part_names, write_manifest, write_parts
from flow_service_emulator.exports.folders import DEFAULT_TEMPLATE, expand_template, safe_parts
from flow_service_emulator.exports.runs import Job, Piece, Run, Written, run_record
from flow_service_emulator.exports.schedule import FULL, schedule_of
from flow_service_emulator.faults.faults import Faults, RunFailure
from flow_service_emulator.faults.rules import AFTER, BEFORE
from flow_service_emulator.store.store import Change, Delete, Put, SetMeta, Store

NOTES: Final = "flow/"
"""What the keys begin with under which the store has what `notes_of` tells."""
EXITS: Final = (SystemExit, KeyboardInterrupt, GeneratorExit, asyncio.CancelledError)
"""What ends the process or a task. All else that a run meets is its own failure; arro3 panics with what is no Exception."""


class Aborted(Exception):
    """A run cannot be carried out; the message says why, as the run's record is to tell it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Runner:
    """Plan, write and record runs."""

    store: Store
    catalog: Catalog
    library: Library
    clock: Clock
    export_dir: Path
    rows_per_file: int
    keep_runs: int
    limits: bool
    """Whether the published limits of exports are on."""
    faults: Faults

    def job(
        self, scope: Scope, flow_id: str, at: int, ids: list[str] | None = None, *, by_schedule: bool = False
    ) -> Job:
        """Return a flow's next job, for the instant `at` of its schedule and of all or some of its datasets.

        The run's id comes from the flow's and the number of its runs alone: runs go on beside a client's requests, and whatever both
        drew from would differ from one time to the next. Files have their names from it.
        """
        number = notes_of(self.store, flow_id).get("runs", 0) + 1
        return Job(scope, flow_id, derived_uuid(f"{flow_id}/{number}"), number, at, ids, by_schedule)

    def request(self, job: Job, flow: Entity) -> Entity:
        """Record a run that waits for its turn; return its entity."""
        entity = runs.new_record(job, flow, self.clock.now_ms())
        notes = noted(self.store, flow["id"], runs=job.number)
        self.store.write([Put(job.scope, "runs", entity), runs.marker(job, []), notes])
        return entity

    def start(self, job: Job, at: float, also: Sequence[SetMeta] = ()) -> Run:
        """Begin a run at the instant `at` (epoch seconds), with `also` in the same write."""
        flow = self.store.get(job.scope, "flows", job.flow_id)
        now_ms = int(at * 1000)
        entity = self.store.get(job.scope, "runs", job.run_id) or runs.new_record(job, flow or {}, now_ms)
        run = Run(job, entity, now_ms)
        try:
            if flow is None:
                raise Aborted("The flow was deleted while the run waited")
            run.pieces = list(self._pieces(job, flow, at))
            run.written = [Written()] * len(run.pieces)
            exports = [(piece.folder.partition("/")[0], piece.dataset_id) for piece in run.pieces]
            run.fault = self.faults.plan_run(job.scope, job.flow_id, exports)
        except EXITS:
            raise
        except BaseException as fault:  # whatever is wrong with this flow, the others go on
            run.problem = explain(fault)
        run.entity = run_record(run, runs.IN_PROGRESS, now_ms=now_ms)
        folders = [piece.folder for piece in run.pieces]
        self.store.write([*also, Put(job.scope, "runs", run.entity), runs.marker(job, folders)])
        return run

    def write(self, run: Run) -> None:
        """Write a run's files; may be called in a worker thread. A fault goes into `run.problem`, and its files are removed."""
        if run.problem is not None:
            return
        try:
            run.fault.strike(BEFORE)
            for index, piece in enumerate(run.pieces):
                self._write_piece(run, index, piece)
            self._write_manifests(run)
            run.fault.strike(AFTER)
        except BaseException as fault:  # the run's failure, and not the server's; arro3 can panic
            run.problem = explain(fault)
            run.cut_off = isinstance(fault, WritingCancelled)
            if isinstance(fault, RunFailure):
                run.code = fault.fault.code or runs.FAILED_CODE
            self.remove_files(run)

    def progress(self, run: Run) -> None:
        """Bring the record of a long run up to date."""
        if self.store.raw(run.job.scope, "runs", run.job.run_id) is not None:
            run.entity = run_record(run, runs.IN_PROGRESS, now_ms=self.clock.now_ms())
            self.store.write([Put(run.job.scope, "runs", run.entity)])

    def ended(self, run: Run) -> Entity:
        """Return the run's record as it has ended: the same one each time, unless a success has become a failure meanwhile."""
        status = runs.FAILED if run.problem is not None else runs.SUCCESS
        if run.entity["metrics"]["statusSummary"]["status"] != status:
            run.entity = run_record(run, status, now_ms=self.clock.now_ms())
        return run.entity

    def finish(self, run: Run) -> str:
        """Record how a run ended, where the next one starts, and the flow's `lastRunDetails`; return the status."""
        record = self.ended(run)
        status: str = record["metrics"]["statusSummary"]["status"]
        scope, flow_id, run_id = run.job.scope, run.job.flow_id, run.job.run_id
        changes: list[Change] = [Put(scope, "runs", record), SetMeta(runs.RUNNING + run_id, None)]
        flow = self.store.get(scope, "flows", flow_id)
        if flow is not None:
            duration = record["metrics"]["durationSummary"]
            changes.append(Put(scope, "flows", {**flow, "lastRunDetails": {"id": run_id, "state": status, **duration}}))
            if run.cut_off and run.job.by_schedule and schedule_of(flow).following(run.job.scheduled_at) is None:
                # no later one has its rows: it is made again
                changes.append(noted(self.store, flow_id, scheduled=None))
            if status == runs.SUCCESS:
                ends = self._ends(flow_id)
                for piece in run.pieces:  # never back: time may have been put back meanwhile
                    ends[piece.dataset_id] = max(piece.end, ends.get(piece.dataset_id, 0))
                changes.append(noted(self.store, flow_id, ends=ends))
        if (files := runs.files_of(run)) or run.call:
            about = {"scope": scope, "flowId": flow_id, "at": run.started_ms / 1000, "files": files, "call": run.call}
            changes.append(SetMeta(runs.FILES + run_id, about))
        past = self.store.by_index(scope, "runs", flow_id)
        for old in islice(reversed(past), max(0, len(past) - self.keep_runs)):
            changes += [Delete(scope, "runs", old.id), SetMeta(runs.FILES + old.id, None)]
        self.store.write(changes)
        return status

    def recover(self) -> int:
        """Mark the runs that were never finished as failed and remove their files; return how many.

        A killed server leaves such, and a snapshot that was taken during a run has them.
        """
        keys = self.store.meta_keys(runs.RUNNING)
        for key in keys:
            job, folders = runs.read_marker(self.store.get_meta(key))
            part_files.remove_files(self.export_dir, job.run_id, folders)
            self.fail(job, f"{runs.FAILED_MESSAGE} The server ended while the run was in progress", cut_off=True)
        return len(keys)

    def fail(self, job: Job, problem: str, *, cut_off: bool = False) -> None:
        """Record that a run failed of which nothing is left but its record, if that is there."""
        entity = self.store.get(job.scope, "runs", job.run_id)
        if entity is None:
            self.store.write([SetMeta(runs.RUNNING + job.run_id, None)])
        else:
            self.finish(Run(job, entity, entity["createdAt"], problem=problem, cut_off=cut_off))

    def passing(self, run_id: str) -> tuple[float, list[Path]]:
        """The files of a run that do not stay, and the instant (epoch seconds) at which they go."""
        entry = self.store.get_meta(runs.FILES + run_id) or {"at": 0, "files": []}
        paths = [self.export_dir / file["path"] for file in entry["files"] if file["path"].startswith(limits.ZONE)]
        manifests = {path.with_name(f"manifest-{entry['flowId']}-{run_id}.json") for path in paths}
        return entry["at"] + limits.ZONE_SECONDS, [*paths, *manifests] if self.limits else []

    def remove_files(self, run: Run) -> None:
        """Remove the files of a run that failed, or that could not be recorded."""
        run.files.clear()
        run.written = [Written()] * len(run.pieces)
        part_files.remove_files(self.export_dir, run.job.run_id, [piece.folder for piece in run.pieces])

    def _pieces(self, job: Job, flow: Entity, at: float) -> Iterator[Piece]:
        """What a run exports at the instant `at` (epoch seconds), in the order of its targets, sources and datasets.

        A dataset that several source connections have goes to a target once. Raise Aborted.
        """
        schedule = flow["scheduleParams"]
        ends = {} if schedule.get("exportMode") == FULL else self._ends(flow["id"])
        template = schedule.get("foldernameTemplate") or schedule.get("folderNameTemplate") or DEFAULT_TEMPLATE
        datasets = list(self._datasets(job, flow))
        for target_id in dict.fromkeys(flow["targetConnectionIds"]):
            target = self._existing(job.scope, "targetConnections", target_id)
            destination = self.catalog.connection_specs[target["connectionSpec"]["id"]].destination
            if destination is None:
                raise Aborted(f"The target connection {target_id} is not one to a destination")
            params = target["params"]
            container = params.get(destination.container_param, "") if destination.container_param else ""
            head = (destination.folder, container, str(params[destination.path_param]))
            form = FileForm(params["datasetFileType"], params["compression"] == "GZIP")
            for source_id, dataset_id, rows in datasets:
                values = {
                    "DESTINATION": destination.folder,
                    "DESTINATION_NAME": destination.folder,
                    "DESTINATION_INSTANCE_ID": flow["id"],
                    "DESTINATION_INSTANCE_NAME": target["name"],
                    "DATASET_ID": dataset_id,
                    "DATASET_NAME": self.library.name(dataset_id),
                    "SANDBOX_NAME": job.scope[1],
                    "ORGANIZATION_NAME": job.scope[0],
                }
                parts = safe_parts(*head, expand_template(template, values, job.scheduled_at))
                folder = "/".join(parts)
                # the first time all rows, then those added since
                end = rows.count_at(at)
                first = min(end, ends.get(dataset_id, 0))
                if self.limits and dataset_id not in ends and (reason := limits.refusal(form, end - first, dataset_id)):
                    raise Aborted(reason)
                bucket, manifest = parts[1] if container else "", params.get("includeFileManifest") is not False
                yield Piece(dataset_id, source_id, target_id, folder, bucket, form, manifest, rows, first, end)

    def _datasets(self, job: Job, flow: Entity) -> Iterator[tuple[str, str, RowSource]]:
        """(source connection's id, dataset's id, rows) of each dataset that the run is about."""
        seen = set()
        for source_id in flow["sourceConnectionIds"]:
            for dataset in self._existing(job.scope, "sourceConnections", source_id)["params"]["datasets"]:
                dataset_id = dataset["dataSetId"]
                if dataset_id in seen or (job.dataset_ids is not None and dataset_id not in job.dataset_ids):
                    continue
                seen.add(dataset_id)
                if not self.library.has(dataset_id):
                    raise Aborted(f"The dataset {dataset_id} is not eligible any more")
                try:
                    yield source_id, dataset_id, self.library.rows(dataset_id)
                except ValueError as fault:
                    raise Aborted(f"The dataset {dataset_id} cannot be read: {fault}") from fault

    def _existing(self, scope: Scope, collection: str, entity_id: str) -> Entity:
        entity = self.store.get(scope, collection, entity_id)
        if entity is None:
            raise Aborted(f"The {collection} resource {entity_id} of the flow is not found")
        return entity

    def _write_piece(self, run: Run, index: int, piece: Piece) -> None:
        def skip(rows: int) -> None:
            run.written[index] = run.written[index]._replace(skipped=run.written[index].skipped + rows)

        def moved(rows: int, size: int) -> None:
            run.written[index] = run.written[index]._replace(rows=rows, bytes=size)

        batches = run.fault.break_off(index, piece.rows.batches(piece.first, piece.end))
        if self.limits:
            batches = limits.recent(batches, piece.rows.arrow_schema, run.started_ms / 1000, skip)

        run.files[index] = write_parts(
            f"{self.export_dir}/{piece.folder}",
            part_names(run.job.run_id, index, piece.form),
            batches,
            schema=piece.rows.arrow_schema,
            form=piece.form,
            rows_per_file=self.rows_per_file,
            progress=moved,
            cancelled=lambda: run.cancelled,
        )
        rows, expected = run.written[index].rows + run.written[index].skipped, piece.end - piece.first
        if rows != expected:
            raise Aborted(f"The dataset {piece.dataset_id} gave {rows} rows, {expected} were expected")

    def _write_manifests(self, run: Run) -> None:
        """One manifest in each folder, beside the part files that it lists."""
        folders: dict[str, list[int]] = {}
        for index, piece in enumerate(run.pieces):
            if piece.manifest:
                folders.setdefault(piece.folder, []).append(index)
        for folder, indexes in folders.items():
            write_manifest(
                f"{self.export_dir}/{folder}",
                run_id=run.job.run_id,
                destination_id=run.job.flow_id,
                scheduled_at=run.job.scheduled_at,
                files=[("/" + folder.partition("/")[2], file) for index in indexes for file in run.files[index]],
            )

    def _ends(self, flow_id: str) -> dict[str, int]:
        """Dataset id -> the position up to which this flow has exported its rows."""
        ends: dict[str, int] = notes_of(self.store, flow_id).get("ends", {})
        return ends


def carried_datasets(store: Store, scope: Scope, flow: Entity) -> list[str]:
    """The datasets of a flow, of those of its source connections that are there."""
    sources = [store.get(scope, "sourceConnections", source_id) for source_id in flow["sourceConnectionIds"]]
    return [dataset["dataSetId"] for source in sources if source for dataset in source["params"]["datasets"]]


def notes_of(store: Store, flow_id: str) -> dict[str, Any]:
    """What the store has of a flow beside its entity.

    `scheduled`: the last instant of its schedule that it exported for; absent when there was none, or None when that is to be done
    again. `runs`: how many runs it has had. `ends`: dataset id -> the position up to which its rows were exported.
    """
    return store.get_meta(NOTES + flow_id) or {}


def noted(store: Store, flow_id: str, **notes: Any) -> SetMeta:
    """What changes some of these notes."""
    return SetMeta(NOTES + flow_id, {**notes_of(store, flow_id), **notes})


def explain(fault: BaseException) -> str:
    """A fault as the run's record tells it, without the paths of this machine."""
    if isinstance(fault, RunFailure):
        return fault.fault.message or runs.FAILED_MESSAGE
    if isinstance(fault, OSError):
        return f"{runs.FAILED_MESSAGE} Writing the files failed: {fault.strerror or type(fault).__name__}"
    return f"{runs.FAILED_MESSAGE} {str(fault) or type(fault).__name__}"
