"""One run: a flow's datasets become files, and the run's record tells what happened.

A run is planned and recorded on the event loop, its files are written by a worker thread, and the record is finished on the
event loop again; so the store is only ever touched by one thread. Source of the record's shape: reference, "Entities".
"""

from __future__ import annotations

import random
from itertools import islice
from pathlib import Path
from typing import Any, Final

from emulator.catalog import Catalog
from emulator.clock import Clock
from emulator.datasets import RowSource
from emulator.entities import Entity, Scope, hex_text, new_entity, uuid_text
from emulator.exports import files_record, forget_files
from emulator.library import Library
from emulator.paths import make_folder, safe_parts
from emulator.runs import FAILED, IN_PROGRESS, SUCCESS, WAITING, Job, Piece, Run, run_record
from emulator.schedule import FULL
from emulator.store import Delete, Put, SetMeta, Store
from emulator.templates import DEFAULT_TEMPLATE, TemplateValues, expand_template
from emulator.writers import FileForm, discard, part_names, write_manifest, write_parts

_RUNNING: Final = "running/"


class Exporter:
    """Plans, writes and records runs."""

    def __init__(
        self,
        *,
        store: Store,
        catalog: Catalog,
        library: Library,
        clock: Clock,
        rng: random.Random,
        export_dir: Path,
        rows_per_file: int,
        keep_runs: int,
    ) -> None:
        self._store = store
        self._catalog = catalog
        self._library = library
        self._clock = clock
        self._rng = rng
        self._root = export_dir
        self._rows_per_file = rows_per_file
        self._keep_runs = keep_runs

    def request(
        self, scope: Scope, flow: Entity, scheduled_at: int, dataset_ids: frozenset[str] | None = None
    ) -> tuple[Job, Entity]:
        """Records a run that waits for its turn, and answers the job that will carry it out and the run's entity."""
        entity = self._new_record(scope, flow)
        job = Job(scope, flow["id"], entity["id"], scheduled_at, dataset_ids)
        self._store.write([Put(scope, "runs", entity), SetMeta(_marker(entity["id"]), _marker_value(job, []))])
        return job, entity

    def start(self, job: Job) -> Run | None:
        """Plans a run and records that it is in progress. None when its flow is gone."""
        flow = self._store.get(job.scope, "flows", job.flow_id)
        if flow is None:
            self._store.write([SetMeta(_marker(job.run_id), None)])
            return None
        waiting = self._store.get(job.scope, "runs", job.run_id)
        entity = waiting if waiting is not None else self._new_record(job.scope, flow, job.run_id)
        started_ms = self._clock.now_ms()
        run = Run(job=job, flow=flow, entity=entity, pieces=[], started_ms=started_ms)
        try:
            run.pieces = self._pieces(job, flow)
        except LookupError as reason:
            run.problem = str(reason.args[0])
        record = run_record(run, IN_PROGRESS, now_ms=self._clock.now_ms(), rng=self._rng)
        folders = [list(piece.parts) for piece in run.pieces]
        self._store.write([Put(job.scope, "runs", record), SetMeta(_marker(job.run_id), _marker_value(job, folders))])
        run.entity = record
        return run

    def write(self, run: Run) -> None:
        """Writes a run's files; called in a worker thread. A fault goes into `run.problem`, its files are taken away."""
        if run.problem is not None:
            return
        try:
            for index, piece in enumerate(run.pieces):
                self._write_piece(run, index, piece)
            self._write_manifests(run)
        except Exception as fault:  # whatever goes wrong here is the run's failure, not the server's
            run.problem = _explain(fault)
            self._take_away(run)

    def progress(self, run: Run) -> None:
        """Brings the record of a long run up to date."""
        if self._store.raw(run.job.scope, "runs", run.job.run_id) is not None:
            run.entity = run_record(run, IN_PROGRESS, now_ms=self._clock.now_ms(), rng=self._rng)
            self._store.write([Put(run.job.scope, "runs", run.entity)])

    def finish(self, run: Run) -> Entity:
        """Records how a run ended, where the next one starts, and the flow's `lastRunDetails`; answers the run's entity."""
        status = FAILED if run.problem is not None else SUCCESS
        record = run_record(run, status, now_ms=self._clock.now_ms(), rng=self._rng)
        scope, flow_id = run.job.scope, run.job.flow_id
        changes: list[Put | Delete | SetMeta] = [Put(scope, "runs", record), SetMeta(_marker(run.job.run_id), None)]
        flow = self._store.get(scope, "flows", flow_id)
        if flow is not None:
            duration = record["metrics"]["durationSummary"]
            changes.append(
                Put(scope, "flows", {**flow, "lastRunDetails": {"id": record["id"], "state": status, **duration}})
            )
            if status == SUCCESS:
                ends = self.bookmarks(flow_id) | {piece.dataset_id: piece.end for piece in run.pieces}
                changes.append(SetMeta(bookmark_key(flow_id), ends))
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
        """Marks the runs that a killed server left unfinished as failed and takes their files away; answers how many."""
        unfinished = self._store.meta_keys(_RUNNING)
        for key in unfinished:
            value = self._store.get_meta(key)
            scope: Scope = (value["scope"][0], value["scope"][1])
            run_id = key.removeprefix(_RUNNING)
            entity = self._store.get(scope, "runs", run_id)
            flow = self._store.get(scope, "flows", value["flowId"])
            if entity is None or flow is None:
                self._store.write([SetMeta(key, None)])
                continue
            for index, parts in enumerate(value["folders"]):
                folder = self._root.joinpath(*parts)
                marks = (_part_mark(run_id, index), f"-{run_id}.json")
                if folder.is_dir():
                    discard(
                        folder, [path.name for path in folder.iterdir() if any(mark in path.name for mark in marks)]
                    )
            job = Job(scope, value["flowId"], run_id, value["scheduledAt"])
            self.finish(
                Run(
                    job,
                    flow,
                    entity,
                    [],
                    entity["createdAt"],
                    problem="Job aborted. The server ended while the run was in progress",
                )
            )
        return len(unfinished)

    def bookmarks(self, flow_id: str) -> dict[str, int]:
        """Dataset id -> the position up to which this flow has exported its rows."""
        return dict(self._store.get_meta(bookmark_key(flow_id)) or {})

    def _new_record(self, scope: Scope, flow: Entity, run_id: str | None = None) -> Entity:
        body = {"flowId": flow["id"], "flowSpec": flow["flowSpec"], "providerRefId": hex_text(self._rng)}
        entity = new_entity(body, scope=scope, rng=self._rng, now_ms=self._clock.now_ms())
        if run_id is not None:
            entity["id"] = run_id
        entity["metrics"] = {"statusSummary": {"status": WAITING, "activityRefs": []}}
        entity["activities"] = []
        return entity

    def new_run_id(self) -> str:
        """An id for a run that the schedule asks for."""
        return uuid_text(self._rng)

    def _pieces(self, job: Job, flow: Entity) -> list[Piece]:
        """What a run exports, in the order of its targets, sources and datasets. Raises LookupError in plain words."""
        params = flow["scheduleParams"]
        template = params.get("foldernameTemplate") or params.get("folderNameTemplate")
        ends = {} if params.get("exportMode") == FULL else self.bookmarks(flow["id"])
        pieces = []
        for target_id in flow["targetConnectionIds"]:
            target = self._existing(job.scope, "targetConnections", target_id)
            destination = self._catalog.connection_specs[target["connectionSpec"]["id"]].destination
            if destination is None:
                raise LookupError(f"Job aborted. The target connection {target_id} is not one to a destination")
            container = target["params"].get(destination.container_param, "") if destination.container_param else ""
            head = (destination.folder, container, str(target["params"][destination.path_param]))
            form = FileForm(target["params"]["datasetFileType"], target["params"]["compression"] == "GZIP")
            for source_id in flow["sourceConnectionIds"]:
                source = self._existing(job.scope, "sourceConnections", source_id)
                for dataset in source["params"]["datasets"]:
                    dataset_id = dataset["dataSetId"]
                    if job.dataset_ids is not None and dataset_id not in job.dataset_ids:
                        continue
                    if not self._library.has(dataset_id):
                        raise LookupError(f"Job aborted. The dataset {dataset_id} is not eligible any more")
                    rows = self._library.rows(dataset_id)
                    first, end = self._range(rows, ends.get(dataset_id), self._clock.now())
                    tail = self._folder(job, target, destination.folder, dataset_id, template)
                    pieces.append(
                        Piece(dataset_id, source_id, target_id, safe_parts(*head, tail), form, rows, first, end)
                    )
        return pieces

    def _existing(self, scope: Scope, collection: str, entity_id: str) -> Entity:
        entity = self._store.get(scope, collection, entity_id)
        if entity is None:
            raise LookupError(f"Job aborted. The {collection} resource {entity_id} of the flow is not found")
        return entity

    @staticmethod
    def _range(rows: RowSource, bookmark: int | None, at: float) -> tuple[int, int]:
        """The rows of an export at the instant `at`: all that are young enough the first time, then those added since."""
        first, end = rows.first_at(at), rows.count_at(at)
        if bookmark is not None:
            first = max(first, bookmark)
        return min(first, end), end

    def _folder(self, job: Job, target: Entity, destination: str, dataset_id: str, template: str | None) -> str:
        """The folders below the target connection's path, as text."""
        org, sandbox = job.scope
        values = TemplateValues(
            destination=destination,
            destination_instance_id=target["id"],
            destination_instance_name=str(target["name"]),
            dataset_id=dataset_id,
            dataset_name=self._library.name(dataset_id),
            sandbox_name=sandbox,
            organization_name=org,
            scheduled_at=job.scheduled_at,
        )
        return expand_template(template or DEFAULT_TEMPLATE, values)

    def _write_piece(self, run: Run, index: int, piece: Piece) -> None:
        rows, size = run.rows, run.bytes

        def moved(piece_rows: int, piece_bytes: int) -> None:
            run.rows, run.bytes = rows + piece_rows, size + piece_bytes

        files = write_parts(
            make_folder(self._root, piece.parts),
            piece.rows.batches(piece.first, piece.end),
            schema=piece.rows.arrow_schema,
            form=piece.form,
            rows_per_file=self._rows_per_file,
            rng=_piece_names(run.job.run_id, index),
            progress=moved,
            cancelled=lambda: run.cancelled,
        )
        run.files[index] = files
        moved(sum(file.rows for file in files), sum(file.bytes for file in files))

    def _write_manifests(self, run: Run) -> None:
        """One manifest in each folder, beside the part files that it lists."""
        folders: dict[tuple[str, ...], list[int]] = {}
        for index, piece in enumerate(run.pieces):
            folders.setdefault(piece.parts, []).append(index)
        for parts, indexes in folders.items():
            manifest = write_manifest(
                self._root.joinpath(*parts),
                flow_run_id=run.job.run_id,
                destination_id=run.pieces[indexes[0]].target_id,
                scheduled_at=run.job.scheduled_at,
                files=[("/" + "/".join(parts[1:]), file) for index in indexes for file in run.files[index]],
            )
            run.manifests.append((parts, manifest.name))

    def _take_away(self, run: Run) -> None:
        """Removes the files of a run that failed."""
        for index, files in run.files.items():
            discard(self._root.joinpath(*run.pieces[index].parts), [file.name for file in files])
        for parts, name in run.manifests:
            discard(self._root.joinpath(*parts), [name])
        run.files.clear()
        run.manifests.clear()

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


def _marker(run_id: str) -> str:
    return _RUNNING + run_id


def _marker_value(job: Job, folders: list[list[str]]) -> dict[str, Any]:
    """What `recover` needs after a kill."""
    return {"scope": list(job.scope), "flowId": job.flow_id, "scheduledAt": job.scheduled_at, "folders": folders}


def _piece_names(run_id: str, index: int) -> random.Random:
    """The generator that a piece's file names come from; made of the run's id, so that `recover` finds them again."""
    return random.Random(f"{run_id}/{index}")


def _part_mark(run_id: str, index: int) -> str:
    """What the names of a piece's part files have in common: transaction and job."""
    name = next(part_names(_piece_names(run_id, index), FileForm("JSON", False)))
    return name.partition("-tid-")[2].rsplit("-", 3)[0]


def _explain(fault: BaseException) -> str:
    """A fault as the run's record tells it, without the paths of this machine."""
    if isinstance(fault, OSError):
        return f"Job aborted. Writing the files failed: {fault.strerror or type(fault).__name__}"
    return f"Job aborted. {fault or type(fault).__name__}"
