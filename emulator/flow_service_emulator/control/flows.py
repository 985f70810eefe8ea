"""The control call that makes a whole flow, with the valid values that a destination's spec has as examples."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Final, Self

from flow_service_emulator.api.exchange import Exchange, Reply
from flow_service_emulator.api.gateway import claimed_scope
from flow_service_emulator.catalog import Catalog, ConnectionSpec, FlowSpec
from flow_service_emulator.control.inputs import ANYTHING, OBJECT, TEXT, invalid, taken, takes, unknown
from flow_service_emulator.emulator import Emulator
from flow_service_emulator.errors import ServiceError
from flow_service_emulator.service.service import Caller

FLOW: Final = takes(
    {
        "dataset": ANYTHING,
        "destination": TEXT,
        **dict.fromkeys(("everyHours", "fileType", "compression", "path", "name"), ANYTHING),
        **dict.fromkeys(("params", "schedule"), OBJECT),
        **dict.fromkeys(("org", "sandbox"), TEXT),
    },
    "dataset",
    "destination",
    example={"dataset": "5ef3e3259ad2a1191ab7dd7d", "destination": "amazon-s3"},
)


@dataclass(frozen=True)
class Steps:
    """The bodies of the tutorial's steps for one destination."""

    data_lake: ConnectionSpec
    spec: ConnectionSpec
    flow_spec: FlowSpec

    @classmethod
    def of_all(cls, catalog: Catalog) -> list[Self]:
        specs = catalog.connection_specs
        return [
            cls(specs[catalog.data_lake_spec_id], specs[flow_spec.target_spec_ids[0]], flow_spec)
            for flow_spec in catalog.flow_specs.values()
        ]

    def source(self, datasets: Iterable[Any]) -> dict[str, Any]:
        params = {"datasets": [{"dataSetId": dataset} for dataset in datasets]}
        return {"name": "Data lake", "connectionSpec": _reference(self.data_lake), "params": params}

    def base(self) -> dict[str, Any]:
        """With the first of the spec's examples of credentials, where it asks for any."""
        auth = [{"specName": name, "params": params} for name, params in self.spec.examples["auth"].items()]
        body = {"name": f"{self.spec.name} base connection", "connectionSpec": _reference(self.spec)}
        return {**body, "auth": auth[0]} if auth else body

    def target(self, base_id: str, params: Mapping[str, Any]) -> dict[str, Any]:
        """`params` go over those of the spec's example."""
        name, reference = f"{self.spec.name} target connection", _reference(self.spec)
        params = {**self.spec.examples["target"], **params}
        return {"name": name, "connectionSpec": reference, "baseConnectionId": base_id, "params": params}

    def flow(self, name: str, source_id: str, target_id: str, schedule: Mapping[str, Any]) -> dict[str, Any]:
        return {
            "name": name,
            "flowSpec": _reference(self.flow_spec),
            "sourceConnectionIds": [source_id],
            "targetConnectionIds": [target_id],
            "transformations": [],
            "scheduleParams": schedule,
        }


async def create_flow(emulator: Emulator, exchange: Exchange) -> Reply:
    """Make the three connections and the flow; all of them or, where one is refused, none.

    What it makes is checked like any client's, and counts as no client's. The organization and sandbox are the body's, else those
    that the headers name. The first export is due at once, unless `schedule` (as `scheduleParams`) says otherwise; `everyHours` 0
    exports once.
    """
    body = taken(exchange, FLOW)
    by_folder = {each.spec.destination.folder: each for each in Steps.of_all(emulator.catalog) if each.spec.destination}
    steps = by_folder.get(body["destination"])
    if steps is None or steps.spec.destination is None:
        raise unknown("destination", body["destination"], by_folder)
    org, sandbox = claimed_scope(exchange.headers)
    scope = body.get("org", org), body.get("sandbox", sandbox)
    if not scope[0]:
        raise invalid("org is needed: the organization that your client names in x-gw-ims-org-id", "org")
    await emulator.library.refresh()
    given = {"datasetFileType": "fileType", "compression": "compression", steps.spec.destination.path_param: "path"}
    params = {key: body[name] for key, name in given.items() if name in body} | body.get("params", {})
    datasets = body["dataset"] if isinstance(body["dataset"], list) else [body["dataset"]]
    name = body.get("name", f"Export to {steps.spec.name}")
    schedule = _schedule(body.get("everyHours", 3), int(emulator.clock.now())) | body.get("schedule", {})

    caller, made = Caller(scope, []), list[tuple[str, str]]()

    def create(collection: str, entity: Mapping[str, Any]) -> str:
        made.append((collection, emulator.entities.create(caller, collection, entity)["id"]))
        return made[-1][1]

    try:
        source_id = create("sourceConnections", steps.source(datasets))
        base_id = create("connections", steps.base())
        target_id = create("targetConnections", steps.target(base_id, params))
        flow_id = create("flows", steps.flow(name, source_id, target_id, schedule))
    except ServiceError:
        for collection, entity_id in reversed(made):
            emulator.entities.delete(caller, collection, entity_id)
        raise
    ids = {"sourceConnectionId": source_id, "baseConnectionId": base_id, "targetConnectionId": target_id}
    return Reply({"id": flow_id, **ids, "org": scope[0], "sandbox": scope[1]}, 201)


def _reference(spec: ConnectionSpec | FlowSpec) -> dict[str, str]:
    return {"id": spec.id, "version": spec.version}


def _schedule(hours: Any, start: int) -> dict[str, Any]:
    """`scheduleParams` of an export every so many hours; 0 is once, and 24 is a day."""
    if hours == 0:
        return {"interval": 0, "timeUnit": "day", "exportMode": "DAILY_FULL_EXPORT", "startTime": start}
    interval, unit = (1, "day") if hours == 24 else (hours, "hour")
    return {"interval": interval, "timeUnit": unit, "startTime": start}
