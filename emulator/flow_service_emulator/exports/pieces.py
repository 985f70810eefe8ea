"""What a run exports: planned from its flow, on the event loop, and written, which a worker thread may do.

The limits are those of `--limits published`. Source: guide "Guardrails for dataset export".
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from flow_service_emulator.catalog import Catalog
from flow_service_emulator.data.datasets.dataset import Dataset
from flow_service_emulator.data.datasets.library import Library
from flow_service_emulator.entities import Entity, Scope
from flow_service_emulator.exports.files import FileForm, Piece, part_names, remove_files, write_manifest, write_parts
from flow_service_emulator.exports.folders import DEFAULT_TEMPLATE, expand_template, safe_parts
from flow_service_emulator.exports.runs import FAILED_CODE, FAILED_MESSAGE, Job, Run
from flow_service_emulator.exports.schedule import FULL
from flow_service_emulator.faults.faults import RunFault
from flow_service_emulator.faults.rules import AFTER, BEFORE
from flow_service_emulator.store.store import SetMeta, Store

if TYPE_CHECKING:
    from arro3.core import RecordBatch, Schema

NOTES: Final = "flow/"
"""What the keys begin with under which the store has what `notes_of` tells."""
MAX_AGE: Final = 365 * 86_400
"""How old a row of the Experience Event class may be, in seconds: one of a dataset with a top-level `timestamp`."""
MAX_UNCOMPRESSED_ROWS: Final = 1_000_000
"""How many rows a dataset's first export may have as uncompressed Parquet."""
_A_SECOND: Final = {"s": 1, "ms": 1_000, "us": 1_000_000, "ns": 1_000_000_000}


class Aborted(Exception):
    """A run cannot be carried out; the message says why, as the run's record is to tell it."""


class Cancelled(Aborted):
    """A run was ended before its time."""


def notes_of(store: Store, flow_id: str) -> dict[str, Any]:
    """What the store has of a flow beside its entity.

    `scheduled`: the last instant of its schedule that it exported for; absent when there was none, or None when that is to be done
    again. `runs`: how many runs it has had. `ends`: dataset id -> the position up to which its rows were exported.
    """
    return store.get_meta(NOTES + flow_id) or {}


def noted(store: Store, flow_id: str, **notes: Any) -> SetMeta:
    """What changes some of these notes."""
    return SetMeta(NOTES + flow_id, {**notes_of(store, flow_id), **notes})


def plan(job: Job, flow: Entity, at: float, store: Store, catalog: Catalog, library: Library) -> Iterator[Piece]:
    """What a run exports at the instant `at` (epoch seconds), in the order of its targets, sources and datasets.

    A dataset that several source connections have goes to a target once. Raise Aborted.
    """
    schedule = flow["scheduleParams"]
    ends = {} if schedule.get("exportMode") == FULL else notes_of(store, flow["id"]).get("ends", {})
    template = schedule.get("foldernameTemplate") or schedule.get("folderNameTemplate") or DEFAULT_TEMPLATE
    datasets = list(_datasets(job, flow, store, library))
    for target_id in dict.fromkeys(flow["targetConnectionIds"]):
        target = _existing(store, job.scope, "targetConnections", target_id)
        destination = catalog.connection_specs[target["connectionSpec"]["id"]].destination
        if destination is None:
            raise Aborted(f"The target connection {target_id} is not one to a destination")
        params = target["params"]
        container = params.get(destination.container_param, "") if destination.container_param else ""
        head = (destination.folder, container, str(params[destination.path_param]))
        for source_id, dataset in datasets:
            values = {
                "DESTINATION": destination.folder,
                "DESTINATION_NAME": destination.folder,
                "DESTINATION_INSTANCE_ID": flow["id"],
                "DESTINATION_INSTANCE_NAME": target["name"],
                "DATASET_ID": dataset.id,
                "DATASET_NAME": dataset.name,
                "SANDBOX_NAME": job.scope[1],
                "ORGANIZATION_NAME": job.scope[0],
            }
            parts = safe_parts(*head, expand_template(template, values, job.scheduled_at))
            end = dataset.count_at(at)
            yield Piece(
                dataset=dataset,
                source_id=source_id,
                target_id=target_id,
                folder="/".join(parts),
                container=parts[1] if container else "",
                form=FileForm(params["datasetFileType"], params["compression"] == "GZIP"),
                manifest=params.get("includeFileManifest") is not False,
                first=min(end, ends.get(dataset.id, 0)),  # the first time all rows, then those added since
                end=end,
            )


def carried_datasets(store: Store, scope: Scope, flow: Entity) -> list[str]:
    """The datasets of a flow, of those of its source connections that are there."""
    sources = [store.get(scope, "sourceConnections", source_id) for source_id in flow["sourceConnectionIds"]]
    return [dataset["dataSetId"] for source in sources if source for dataset in source["params"]["datasets"]]


def check_limits(run: Run) -> None:
    """Raise Aborted where a dataset's first export has more rows than its form can take."""
    for piece in run.pieces:
        rows = 0 if piece.first else piece.end
        if piece.form == FileForm("PARQUET", gzip=False) and rows > MAX_UNCOMPRESSED_ROWS:
            raise Aborted(
                f"The first export of the dataset {piece.dataset.id} has {rows} rows; as uncompressed Parquet it can have "
                f"{MAX_UNCOMPRESSED_ROWS} at most"
            )


def _datasets(job: Job, flow: Entity, store: Store, library: Library) -> Iterator[tuple[str, Dataset]]:
    """Each dataset that the run is about, with its source connection's id."""
    seen = set()
    for source_id in flow["sourceConnectionIds"]:
        for named in _existing(store, job.scope, "sourceConnections", source_id)["params"]["datasets"]:
            dataset_id = named["dataSetId"]
            if dataset_id in seen or (job.dataset_ids is not None and dataset_id not in job.dataset_ids):
                continue
            seen.add(dataset_id)
            if dataset_id not in library.datasets:
                raise Aborted(f"The dataset {dataset_id} is not eligible any more")
            yield source_id, library.datasets[dataset_id]


def _existing(store: Store, scope: Scope, collection: str, entity_id: str) -> Entity:
    entity = store.get(scope, collection, entity_id)
    if entity is None:
        raise Aborted(f"The {collection} resource {entity_id} of the flow is not found")
    return entity


def write(run: Run, root: Path, *, rows_per_file: int, limits: bool) -> None:
    """Write a run's files below `root`. A fault goes into `run.problem`, and the files are removed."""
    if run.problem is not None:
        return
    try:
        run.fault.strike(BEFORE)
        for index in range(len(run.pieces)):
            _write_piece(run, index, root, rows_per_file, limits)
        for folder in dict.fromkeys(piece.folder for piece in run.pieces if piece.manifest):
            inside = [piece for piece in run.pieces if piece.manifest and piece.folder == folder]
            job = run.job
            write_manifest(root, folder, inside, run_id=job.run_id, flow_id=job.flow_id, scheduled_at=job.scheduled_at)
        run.fault.strike(AFTER)
    except BaseException as fault:  # the run's failure, and not the server's; arro3 can panic, which is no Exception
        run.problem, run.cut_off = explain(fault), isinstance(fault, Cancelled)
        if isinstance(fault, RunFault):
            run.code = fault.code or FAILED_CODE
        remove(run, root)


def remove(run: Run, root: Path) -> None:
    """Remove the files of a run that failed, or that could not be recorded."""
    remove_files(root, run.job.run_id, run.folders)
    for piece in run.pieces:
        piece.rows = piece.bytes = piece.skipped = 0
        piece.files = []


def explain(fault: BaseException) -> str:
    """A fault as the run's record tells it, without the paths of this machine."""
    if isinstance(fault, RunFault):
        return fault.message or FAILED_MESSAGE
    if isinstance(fault, OSError):
        return f"{FAILED_MESSAGE} Writing the files failed: {fault.strerror or type(fault).__name__}"
    return f"{FAILED_MESSAGE} {str(fault) or type(fault).__name__}"


def _write_piece(run: Run, index: int, root: Path, rows_per_file: int, limits: bool) -> None:
    piece = run.pieces[index]

    def check() -> None:
        if run.cancelled:
            raise Cancelled(f"cancelled after {piece.rows} rows")

    batches = run.fault.break_off(index, piece.dataset.batches(piece.first, piece.end))
    if limits and (place := _time_column(piece.dataset.arrow_schema)) is not None:
        batches = _recent(batches, *place, run.started_ms / 1000 - MAX_AGE, piece)
    names = part_names(run.job.run_id, index, piece.form)
    write_parts(piece, batches, names, root=root, rows_per_file=rows_per_file, check=check)


def _time_column(schema: Schema) -> tuple[int, int] | None:
    """Which column is a top-level `timestamp`, and how many of its unit are a second; None where there is none."""
    from arro3.core import DataType

    index = schema.names.index("timestamp") if "timestamp" in schema.names else None
    if index is None or not DataType.is_timestamp(schema.field(index).type):
        return None
    return index, _A_SECOND[schema.field(index).type.time_unit or "s"]


def _recent(
    batches: Iterator[RecordBatch], index: int, a_second: int, limit: float, piece: Piece
) -> Iterator[RecordBatch]:
    """The rows whose time in the column `index` is not before `limit` (epoch seconds), or unknown; the piece counts the others."""
    from arro3.compute import cast, min
    from arro3.core import Array, DataType

    number, first = DataType.int64(), int(limit * a_second)
    for batch in batches:
        instants = cast(batch.column(index), number)
        oldest = min(instants).as_py()
        if oldest is None or oldest >= first:
            yield batch
        else:
            young = [row for row, instant in enumerate(instants.to_pylist()) if instant is None or instant >= first]
            piece.skipped += batch.num_rows - len(young)
            yield batch.take(Array(young, type=number))
