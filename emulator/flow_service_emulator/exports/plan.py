"""What a run exports: which rows of which datasets go into which folders, and in which form."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from flow_service_emulator.catalog import Catalog
from flow_service_emulator.datasets.library import Library
from flow_service_emulator.entities import Entity, Scope
from flow_service_emulator.exports.runs import Job, Piece
from flow_service_emulator.files.paths import safe_parts
from flow_service_emulator.files.templates import DEFAULT_TEMPLATE, TemplateValues, expand_template
from flow_service_emulator.files.writers import FileForm
from flow_service_emulator.rows.seeded import RowSource
from flow_service_emulator.store.store import Store


class Aborted(Exception):
    """A run cannot be carried out; the message says why, as the run's record is to tell it."""


def dataset_ids(store: Store, scope: Scope, flow: Entity) -> list[str]:
    """The datasets of a flow, of those of its source connections that are there."""
    sources = [store.get(scope, "sourceConnections", source_id) for source_id in flow["sourceConnectionIds"]]
    return [dataset["dataSetId"] for source in sources if source for dataset in source["params"]["datasets"]]


class ExportPlan:
    """Plans runs."""

    def __init__(self, store: Store, catalog: Catalog, library: Library) -> None:
        self._store = store
        self._catalog = catalog
        self._library = library

    def pieces(self, job: Job, flow: Entity, ends: Mapping[str, int], at: float) -> list[Piece]:
        """What a run exports at the instant `at` (epoch seconds), in the order of its targets, sources and datasets.

        `ends` is up to which position each dataset has been exported. A dataset that several source connections have goes to a
        target once. Raises Aborted.
        """
        pieces = []
        template = flow["scheduleParams"].get("foldernameTemplate") or flow["scheduleParams"].get("folderNameTemplate")
        datasets = list(self._datasets(job, flow))
        for target_id in dict.fromkeys(flow["targetConnectionIds"]):
            target = self._existing(job.scope, "targetConnections", target_id)
            destination = self._catalog.connection_specs[target["connectionSpec"]["id"]].destination
            if destination is None:
                raise Aborted(f"Job aborted. The target connection {target_id} is not one to a destination")
            params = target["params"]
            container = params.get(destination.container_param, "") if destination.container_param else ""
            head = (destination.folder, container, str(params[destination.path_param]))
            form = FileForm(params["datasetFileType"], params["compression"] == "GZIP")
            for source_id, dataset_id, rows in datasets:
                tail = self._folder(job, target, destination.folder, dataset_id, template)
                first, end = _range(rows, ends.get(dataset_id), at)
                pieces.append(Piece(dataset_id, source_id, target_id, safe_parts(*head, tail), form, rows, first, end))
        return pieces

    def _datasets(self, job: Job, flow: Entity) -> Iterator[tuple[str, str, RowSource]]:
        """(source connection's id, dataset's id, rows) of each dataset that the run is about."""
        seen = set()
        for source_id in flow["sourceConnectionIds"]:
            for dataset in self._existing(job.scope, "sourceConnections", source_id)["params"]["datasets"]:
                dataset_id = dataset["dataSetId"]
                if dataset_id in seen or (job.dataset_ids is not None and dataset_id not in job.dataset_ids):
                    continue
                seen.add(dataset_id)
                if not self._library.has(dataset_id):
                    raise Aborted(f"Job aborted. The dataset {dataset_id} is not eligible any more")
                try:
                    yield source_id, dataset_id, self._library.rows(dataset_id)
                except ValueError as fault:
                    raise Aborted(f"Job aborted. The dataset {dataset_id} cannot be read: {fault}") from fault

    def _existing(self, scope: Scope, collection: str, entity_id: str) -> Entity:
        entity = self._store.get(scope, collection, entity_id)
        if entity is None:
            raise Aborted(f"Job aborted. The {collection} resource {entity_id} of the flow is not found")
        return entity

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


def _range(rows: RowSource, bookmark: int | None, at: float) -> tuple[int, int]:
    """The rows of an export at the instant `at`: all that are young enough the first time, then those added since."""
    first, end = rows.first_at(at), rows.count_at(at)
    if bookmark is not None:
        first = max(first, bookmark)
    return min(first, end), end


def advanced(ends: Mapping[str, int], pieces: list[Piece]) -> dict[str, Any]:
    """Up to where datasets have been exported after a run's pieces. That never falls: time may have been put back meanwhile."""
    after = dict(ends)
    for piece in pieces:
        after[piece.dataset_id] = max(piece.end, after.get(piece.dataset_id, 0))
    return after
