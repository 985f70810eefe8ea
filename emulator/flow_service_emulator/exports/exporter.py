"""One run: a flow's datasets become files, and the run's record tells what happened.

A run is planned and recorded on the event loop, its files are written by a worker thread, and the record is finished on the
event loop again; so the store is only ever touched by one thread. Source of the record's shape: reference, "Entities".
"""

from __future__ import annotations

import logging
import random
from collections.abc import Callable
from itertools import islice
from pathlib import Path
from typing import Final

from flow_service_emulator.catalog import Catalog
from flow_service_emulator.clock import Clock
from flow_service_emulator.datasets.library import Library
from flow_service_emulator.entities import Entity, Scope, hex_text, new_entity, uuid_text
from flow_service_emulator.exports.exported_files import files_record, forget_files
from flow_service_emulator.exports.plan import Aborted, ExportPlan, advanced
from flow_service_emulator.exports.runs import (
    EXITS,
    FAILED,
    FAILED_CODE,
    FAILED_MESSAGE,
    IN_PROGRESS,
    RUNNING,
    SUCCESS,
    WAITING,
    Job,
    Piece,
    Run,
    marker_key,
    marker_value,
    read_marker,
    run_record,
)
from flow_service_emulator.exports.schedule import FULL, schedule_of
from flow_service_emulator.faults.faults import Faults, RunFailure
from flow_service_emulator.faults.rules import AFTER, BEFORE
from flow_service_emulator.files.folders import make_folder, open_folder
from flow_service_emulator.files.writers import (
    FileForm,
    WritingCancelled,
    discard,
    part_names,
    write_manifest,
    write_parts,
)
from flow_service_emulator.store.changes import Change
from flow_service_emulator.store.store import Delete, Put, SetMeta, Store, StoreError

log = logging.getLogger("emulator.exporter")

ENDED: Final = "Job aborted. The server ended while the run was in progress"
REPLACED: Final = "Job aborted. A reset, or a snapshot that is put back, took its place"
_FLOW_GONE: Final = "Job aborted. The flow was deleted while the run waited"


class Exporter:
    """Plans, writes and records runs."""

    def __init__(
        self,
        *,
        store: Store,
        catalog: Catalog,
        library: Library,
        clock: Clock,
        export_dir: Path,
        rows_per_file: int,
        keep_runs: int,
        faults: Faults,
        alone: Callable[[], bool],
    ) -> None:
        """`alone` tells whether no other server uses the export folder now."""
        self._store = store
        self._plan = ExportPlan(store, catalog, library)
        self._library = library
        self._clock = clock
        self._root = export_dir
        self._rows_per_file = rows_per_file
        self._keep_runs = keep_runs
        self._faults = faults
        self._alone = alone

    def request(
        self, scope: Scope, flow: Entity, scheduled_at: int, dataset_ids: frozenset[str] | None = None
    ) -> tuple[Job, Entity]:
        """Records a run that waits for its turn, and answers the job that will carry it out and the run's entity."""
        run_id, counted = self._new_run_id(flow["id"])
        job = Job(scope, flow["id"], run_id, scheduled_at, dataset_ids)
        entity = self._new_record(scope, flow, run_id, self._clock.now_ms())
        self._store.write([counted, *_waiting(job, entity)])
        return job, entity

    def planned(self, scope: Scope, flow: Entity, scheduled_at: int, at: float) -> tuple[Job, list[Change]]:
        """A run of the schedule that waits from `at` (epoch seconds) on: its job, and what is to be stored of it.

        A server that is killed from then on, before the run begins to write too, has its record.
        """
        run_id, counted = self._new_run_id(flow["id"])
        job = Job(scope, flow["id"], run_id, scheduled_at, by_schedule=True)
        entity = self._new_record(scope, flow, run_id, int(at * 1000))
        return job, [counted, SetMeta(scheduled_key(flow["id"]), scheduled_at), *_waiting(job, entity)]

    async def prepare(self, job: Job) -> None:
        """Lets `start` have the rows of the run's datasets at once: files are looked through and records decoded in a thread."""
        flow = self._store.get(job.scope, "flows", job.flow_id)
        if flow is not None:
            try:
                await self._library.refresh()
            except (*EXITS, StoreError):
                raise
            except BaseException as fault:  # records that are damaged, say: `start` meets them again and says so
                log.debug("the rows of run %s cannot be made ready: %s", job.run_id, fault)

    def start(self, job: Job) -> Run | None:
        """Plans a run and records that it is in progress. None when its flow is gone."""
        flow = self._store.get(job.scope, "flows", job.flow_id)
        if flow is None:
            self.fail(job, _FLOW_GONE)
            return None
        waiting = self._store.get(job.scope, "runs", job.run_id)
        entity = waiting or self._new_record(job.scope, flow, job.run_id, self._clock.now_ms())
        run = Run(job=job, flow=flow, entity=entity, pieces=[], started_ms=self._clock.now_ms())
        try:
            ends = {} if flow["scheduleParams"].get("exportMode") == FULL else self.bookmarks(flow["id"])
            run.plan(self._plan.pieces(job, flow, ends, self._clock.now()))
            exports = [(piece.parts[0], piece.dataset_id) for piece in run.pieces]
            run.fault = self._faults.plan_run(job.scope, job.flow_id, exports)
        except EXITS:
            raise
        except BaseException as fault:  # whatever is wrong with this flow, the others go on
            run.problem = explain(fault)
        record = self._record(run, IN_PROGRESS)
        folders = [list(piece.parts) for piece in run.pieces]
        self._store.write([Put(job.scope, "runs", record), SetMeta(marker_key(job.run_id), marker_value(job, folders))])
        run.entity = record
        return run

    def write(self, run: Run) -> None:
        """Writes a run's files; called in a worker thread. A fault goes into `run.problem`, its files are taken away."""
        if run.problem is not None:
            return
        try:
            if run.fault is not None:
                run.fault.strike(BEFORE)
            for index, piece in enumerate(run.pieces):
                self._write_piece(run, index, piece)
            self._write_manifests(run)
            if run.fault is not None:
                run.fault.strike(AFTER)
        except RunFailure as failure:
            run.code = failure.fault.code or FAILED_CODE
            run.problem = failure.fault.message or FAILED_MESSAGE
            self.take_away(run)
        except (
            BaseException
        ) as fault:  # whatever goes wrong here is the run's failure, not the server's; arro3 can panic
            run.problem = explain(fault)
            run.cut_off = isinstance(fault, WritingCancelled)
            self.take_away(run)

    def progress(self, run: Run) -> None:
        """Brings the record of a long run up to date."""
        if self._store.raw(run.job.scope, "runs", run.job.run_id) is not None:
            run.entity = self._record(run, IN_PROGRESS)
            self._store.write([Put(run.job.scope, "runs", run.entity)])

    def finish(self, run: Run) -> Entity:
        """Records how a run ended, where the next one starts, and the flow's `lastRunDetails`; answers the run's entity."""
        status = FAILED if run.problem is not None else SUCCESS
        record = self._record(run, status)
        scope, flow_id = run.job.scope, run.job.flow_id
        changes: list[Change] = [Put(scope, "runs", record), SetMeta(marker_key(run.job.run_id), None)]
        flow = self._store.get(scope, "flows", flow_id)
        if flow is not None:
            duration = record["metrics"]["durationSummary"]
            changes.append(
                Put(scope, "flows", {**flow, "lastRunDetails": {"id": record["id"], "state": status, **duration}})
            )
            if run.cut_off and _is_last(flow, run.job):
                changes.append(
                    SetMeta(scheduled_key(flow_id), None)
                )  # no later one has its rows: it is to be made anew
            if status == SUCCESS:
                changes.append(SetMeta(bookmark_key(flow_id), advanced(self.bookmarks(flow_id), run.pieces)))
        files = [
            ("/".join((*piece.parts, file.name)), file.bytes, file.rows, piece.dataset_id)
            for index, piece in enumerate(run.pieces)
            for file in run.files.get(index, [])
        ]
        if files:
            changes.append(files_record(run.job.run_id, flow_id, files))
        for old in self._outdated(scope, flow_id):
            changes += [Delete(scope, "runs", old), forget_files(old)]
        self._store.write(changes)
        run.entity = record
        return record

    def recover(self) -> int:
        """Marks the runs that were never finished as failed and takes their files away; answers how many.

        A killed server leaves such, and a snapshot that was taken during a run has them. What cannot be read, or not be
        written, is logged and left for the next time. Where another server uses the export folder, all files stay: with a copy
        of this data folder, or this snapshot, it may be writing them.
        """
        recovered = 0
        keys = self._store.meta_keys(RUNNING)
        alone = not keys or self._alone()
        for key in keys:
            try:
                job, folders = read_marker(key, self._store.get_meta(key))
                if alone:
                    for index, parts in enumerate(folders):
                        self._discard_files(job.run_id, index, parts)
                elif folders:
                    log.warning(
                        "files of the run %s, which never ended, may stay: another server may need them", job.run_id
                    )
                self.fail(job, ENDED, cut_off=True)
                recovered += 1
            except (AttributeError, LookupError, TypeError, ValueError, StoreError) as fault:
                log.warning("%s, the note of a run that never ended, is passed over: %s", key[:100], fault)
        return recovered

    def fail(self, job: Job, problem: str, *, cut_off: bool = False) -> None:
        """Records that a run failed of which nothing is left but its record, if that is there."""
        entity = self._store.get(job.scope, "runs", job.run_id)
        if entity is None:
            self._store.write([SetMeta(marker_key(job.run_id), None)])
        else:
            self.finish(Run(job, {}, entity, [], entity["createdAt"], problem=problem, cut_off=cut_off))

    def _discard_files(self, run_id: str, index: int, parts: list[str]) -> None:
        """Removes what a run has left in the folder of one of its pieces."""
        marks = (_part_mark(run_id, index), f"-{run_id}.json")
        try:
            with open_folder(self._root, parts) as folder:
                discard(folder, [name for name in folder.names() if any(mark in name for mark in marks)])
        except (FileNotFoundError, NotADirectoryError):
            return
        except OSError as fault:
            log.warning(
                "files of the run %s, which never ended, stay in %s: %s", run_id, "/".join(parts), fault.strerror
            )

    def bookmarks(self, flow_id: str) -> dict[str, int]:
        """Dataset id -> the position up to which this flow has exported its rows."""
        return dict(self._store.get_meta(bookmark_key(flow_id)) or {})

    def _new_run_id(self, flow_id: str) -> tuple[str, SetMeta]:
        """An id for a flow's next run, and what has to be stored with the run so that the one after it gets another.

        It comes from the flow's id and the number of its runs alone: runs go on beside a client's requests, and whatever both
        drew from would differ from one time to the next. Files have their names from it.
        """
        number = (self._store.get_meta(runs_key(flow_id)) or 0) + 1
        return uuid_text(random.Random(f"{flow_id}/{number}")), SetMeta(runs_key(flow_id), number)

    def _new_record(self, scope: Scope, flow: Entity, run_id: str, now_ms: int) -> Entity:
        draws = random.Random(f"{run_id}/{WAITING}")
        body = {"flowId": flow["id"], "flowSpec": flow["flowSpec"], "providerRefId": hex_text(draws)}
        entity = new_entity(body, scope=scope, rng=draws, now_ms=now_ms) | {"id": run_id}
        entity["metrics"] = {"statusSummary": {"status": WAITING, "activityRefs": []}}
        entity["activities"] = []
        return entity

    def _record(self, run: Run, status: str) -> Entity:
        return run_record(run, status, now_ms=self._clock.now_ms(), rng=random.Random(f"{run.job.run_id}/{status}"))

    def _write_piece(self, run: Run, index: int, piece: Piece) -> None:
        batches = piece.rows.batches(piece.first, piece.end)
        if run.fault is not None:
            batches = run.fault.break_off(index, batches)
        with make_folder(self._root, piece.parts) as folder:
            files = write_parts(
                folder,
                batches,
                schema=piece.rows.arrow_schema,
                form=piece.form,
                rows_per_file=self._rows_per_file,
                rng=_piece_names(run.job.run_id, index),
                progress=lambda rows, size: run.moved(index, rows, size),
                cancelled=lambda: run.cancelled,
            )
        run.files[index] = files
        rows = sum(file.rows for file in files)
        if rows != piece.end - piece.first:
            raise Aborted(
                f"Job aborted. The dataset {piece.dataset_id} gave {rows} rows, {piece.end - piece.first} were expected"
            )
        run.moved(index, rows, sum(file.bytes for file in files))

    def _write_manifests(self, run: Run) -> None:
        """One manifest in each folder, beside the part files that it lists."""
        folders: dict[tuple[str, ...], list[int]] = {}
        for index, piece in enumerate(run.pieces):
            folders.setdefault(piece.parts, []).append(index)
        for parts, indexes in folders.items():
            with make_folder(self._root, parts) as folder:
                manifest = write_manifest(
                    folder,
                    flow_run_id=run.job.run_id,
                    destination_id=run.pieces[indexes[0]].target_id,
                    scheduled_at=run.job.scheduled_at,
                    files=[("/" + "/".join(parts[1:]), file) for index in indexes for file in run.files[index]],
                )
            run.manifests.append((parts, manifest.name))

    def take_away(self, run: Run) -> None:
        """Removes the files of a run that failed, or that could not be recorded. What cannot be removed is logged."""
        names = [(run.pieces[index].parts, [file.name for file in files]) for index, files in run.files.items()]
        names += [(parts, [name]) for parts, name in run.manifests]
        run.files.clear()
        run.manifests.clear()
        for parts, in_folder in names:
            try:
                with open_folder(self._root, parts) as folder:
                    discard(folder, in_folder)
            except FileNotFoundError:  # the whole folder is gone
                continue
            except OSError as fault:
                log.warning(
                    "files of the failed run %s stay in %s: %s", run.job.run_id, "/".join(parts), fault.strerror
                )

    def _outdated(self, scope: Scope, flow_id: str) -> list[str]:
        """Ids of the run records beyond the bound, oldest first."""
        runs = self._store.by_index(scope, "runs", flow_id)
        excess = len(runs) - self._keep_runs
        if excess <= 0:
            return []
        return [record.id for record in islice(reversed(runs), excess)]


def bookmark_key(flow_id: str) -> str:
    """Under which key the store keeps how far a flow has exported its datasets."""
    return f"bookmarks/{flow_id}"


def runs_key(flow_id: str) -> str:
    """Under which key the store keeps how many runs a flow has had."""
    return f"runs-of/{flow_id}"


def scheduled_key(flow_id: str) -> str:
    """Under which key the store keeps the last instant that a flow exported for."""
    return f"scheduled/{flow_id}"


def _is_last(flow: Entity, job: Job) -> bool:
    """Whether a run is of the schedule, and none comes after it: the only one of a flow that exports once, for instance."""
    try:
        return job.by_schedule and schedule_of(flow).following(job.scheduled_at) is None
    except ValueError:  # of a data folder that was changed by hand; the flow has no exports at all
        return False


def _waiting(job: Job, entity: Entity) -> list[Change]:
    """What is stored of a run that waits for its turn: `recover` finds it by its marker."""
    return [Put(job.scope, "runs", entity), SetMeta(marker_key(job.run_id), marker_value(job, []))]


def _piece_names(run_id: str, index: int) -> random.Random:
    """The generator that a piece's file names come from; made of the run's id, so that `recover` finds them again."""
    return random.Random(f"{run_id}/{index}")


def _part_mark(run_id: str, index: int) -> str:
    """What the names of a piece's part files have in common: transaction and job."""
    name = next(part_names(_piece_names(run_id, index), FileForm("JSON", False)))
    return name.partition("-tid-")[2].rsplit("-", 3)[0]


def explain(fault: BaseException) -> str:
    """A fault as the run's record tells it, without the paths of this machine."""
    if isinstance(fault, Aborted):
        return str(fault)
    if isinstance(fault, OSError):
        return f"Job aborted. Writing the files failed: {fault.strerror or type(fault).__name__}"
    return f"Job aborted. {fault or type(fault).__name__}"
