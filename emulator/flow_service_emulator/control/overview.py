"""The overview that the dashboard shows. It is bounded, however much the emulator holds: the dashboard asks every two seconds."""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping, Sequence
from functools import cache
from itertools import islice
from typing import Any, Final

from flow_service_emulator import __version__
from flow_service_emulator.api.exchange import Exchange, Reply
from flow_service_emulator.contract.contract import VERDICTS
from flow_service_emulator.control.inputs import ANYTHING, taken, takes
from flow_service_emulator.emulator import Emulator
from flow_service_emulator.entities import Entity, Scope
from flow_service_emulator.store.store import Record

OVERVIEW: Final = takes({"flow": ANYTHING})
MAX_FLOWS: Final = 100
"""Flows in an overview, the newest."""
MAX_RUNS: Final = 200
"""Runs in an overview, the newest."""
MAX_FILES: Final = 100
"""Exported files in an overview, those of the newest runs."""


async def overview(emulator: Emulator, exchange: Exchange) -> Reply:
    """All at a glance; `flow` leaves the flows that have this text in their name or id, with their runs and files."""
    wanted = taken(exchange, OVERVIEW).get("flow", "").casefold()
    flows, found = _flows(emulator, wanted)
    runs, first = _runs(emulator, flows if wanted else None), emulator.scheduler.first()
    orgs, sandboxes = emulator.settings.orgs or ("EXAMPLE@AdobeOrg",), emulator.settings.sandboxes or ("prod",)
    return Reply(
        {
            "version": __version__,
            "epoch": emulator.recorder.epoch,
            "scope": (orgs[0], sandboxes[0]),  # that exist, for an example
            "clock": emulator.clock.snapshot(),
            "next": first and first.at,
            "counts": {
                "flows": emulator.store.count("flows"),
                "flowsFound": found,
                "runs": emulator.store.count("runs"),
                "requests": emulator.recorder.number,
                "journal": emulator.recorder.number - emulator.recorder.dropped,
            },
            "verdicts": {verdict: emulator.recorder.verdicts[verdict] for verdict in VERDICTS},
            "flows": flows,
            "runs": runs,
            "files": _files(emulator, runs),
            "faults": [rule.as_json() for rule in emulator.faults.rules],
        }
    )


def _flows(emulator: Emulator, wanted: str) -> tuple[list[dict[str, Any]], int]:
    """The newest flows that have a text in their name or id, and how many have it."""
    if not wanted:
        newest = deque(islice(emulator.store.everywhere("flows", newest_first=True), MAX_FLOWS))
        found = emulator.store.count("flows")
    else:
        newest, found = deque[tuple[Scope, Record]](maxlen=MAX_FLOWS), 0
        for scope, record in emulator.store.everywhere("flows"):
            if wanted in record.id or wanted in (record.entity().get("name") or "").casefold():
                newest.appendleft((scope, record))
                found += 1
    return [_flow(emulator, scope, record.entity()) for scope, record in newest], found


def _flow(emulator: Emulator, scope: Scope, flow: Entity) -> dict[str, Any]:
    last = next(iter(emulator.store.by_index(scope, "runs", flow["id"])), None)
    target = flow["inheritedAttributes"]["targetConnections"][0]
    spec = emulator.catalog.connection_specs.get(target["connectionSpec"]["id"])
    return {
        "id": flow["id"],
        "name": flow.get("name", ""),
        "org": scope[0],
        "sandbox": scope[1],
        "state": flow["state"],
        "createdAt": flow["createdAt"],
        "destination": spec.name if spec else "",
        "datasets": _datasets(emulator, scope, flow),
        "schedule": flow["scheduleParams"],
        "next": emulator.scheduler.next_export(flow["id"]),
        "lastRun": None if last is None else _run(last.entity()),
    }


def _datasets(emulator: Emulator, scope: Scope, flow: Mapping[str, Any]) -> list[dict[str, str]]:
    """The flow's datasets with their names."""
    found = []
    for source_id in flow["sourceConnectionIds"]:
        source = emulator.store.get(scope, "sourceConnections", source_id) or {}  # it may have been deleted
        for dataset in source.get("params", {}).get("datasets", ()):
            dataset_id = dataset["dataSetId"]
            known = emulator.library.datasets.get(dataset_id)
            found.append({"id": dataset_id, "name": known.name if known else dataset_id})
    return found


def _runs(emulator: Emulator, of: Sequence[Mapping[str, Any]] | None) -> list[dict[str, Any]]:
    """The newest runs, or those `of` some flows, with the flow's name and next export; the name of a deleted one is null.

    The more flows, the fewer of each.
    """
    store = emulator.store
    newest = store.everywhere("runs", newest_first=True)
    if of is not None:
        each = MAX_RUNS // max(len(of), 1)
        scoped = [((flow["org"], flow["sandbox"]), flow["id"]) for flow in of]
        found = [(scope, run) for scope, id_ in scoped for run in islice(store.by_index(scope, "runs", id_), each)]
        newest = iter(sorted(found, key=lambda pair: pair[1].seq, reverse=True))

    @cache
    def of_flow(scope: Scope, flow_id: str) -> dict[str, Any]:
        flow = store.get(scope, "flows", flow_id)
        name = None if flow is None else flow.get("name", "")
        return {"flowName": name, "flowNext": emulator.scheduler.next_export(flow_id)}

    runs = ((scope, _run(record.entity())) for scope, record in islice(newest, MAX_RUNS))
    calls = emulator.exports.calls
    return [
        {**run, "call": next(iter(calls({"run": run["id"]})), None), **of_flow(scope, run["flowId"])}
        for scope, run in runs
    ]


def _files(emulator: Emulator, runs: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """The files of the newest of these runs that are still there."""
    found: list[dict[str, Any]] = []
    for run in runs:
        if run["fileCount"] and len(found) < MAX_FILES:
            found += [file | {"flowName": run["flowName"]} for file in emulator.exports.files({"run": run["id"]})]
    return found[:MAX_FILES]


def _run(run: Entity) -> dict[str, Any]:
    """What is shown of a run; times are epoch milliseconds. One that waits has not counted anything yet."""
    metrics = run["metrics"]
    duration = metrics.get("durationSummary", {})
    return {
        "id": run["id"],
        "flowId": run["flowId"],
        "status": metrics["statusSummary"]["status"],
        "startedAt": duration.get("startedAtUTC", run["createdAt"]),
        "completedAt": duration.get("completedAtUTC"),
        "rows": metrics.get("recordSummary", {}).get("outputRecordCount", 0),
        "bytes": metrics.get("sizeSummary", {}).get("outputBytes", 0),
        "fileCount": metrics.get("fileSummary", {}).get("outputFileCount", 0),
        "errors": metrics["statusSummary"].get("errors", []),
    }
