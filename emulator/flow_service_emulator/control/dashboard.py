"""The dashboard: its own files, and the overview that it shows.

The overview is bounded, however much the emulator holds, since the dashboard asks again every two seconds.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any, Final

from flow_service_emulator import __version__
from flow_service_emulator.api.exchange import Exchange, Reply
from flow_service_emulator.catalog import Catalog
from flow_service_emulator.clock import Clock
from flow_service_emulator.contract.contract import VERDICTS
from flow_service_emulator.contract.recorder import Recorder
from flow_service_emulator.control.inputs import CONTROL, parameters
from flow_service_emulator.data.datasets.library import Library
from flow_service_emulator.entities import Entity, Scope
from flow_service_emulator.errors import ServiceError
from flow_service_emulator.exports.exported_files import Exports
from flow_service_emulator.exports.scheduler import Scheduler
from flow_service_emulator.faults.faults import Faults
from flow_service_emulator.store.store import Record, Store

FOLDER: Final = Path(__file__).parent / "page"
TYPES: Final = {".html": "text/html", ".css": "text/css", ".js": "text/javascript", ".svg": "image/svg+xml"}
"""Ending of a file of the dashboard -> its content type."""
SECURITY: Final = (
    (
        "content-security-policy",
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; "
        "base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
    ),
    ("x-content-type-options", "nosniff"),
    ("referrer-policy", "no-referrer"),
    ("cache-control", "no-cache"),
)
"""The dashboard loads nothing from elsewhere, runs no script but its own, and is in nobody's frame."""
MAX_FLOWS: Final = 100
"""Flows in an overview, the newest."""
MAX_RUNS: Final = 200
"""Runs in an overview, the newest."""
MAX_FILES: Final = 100
"""Exported files in an overview, those of the newest runs."""


async def to_the_dashboard(exchange: Exchange) -> Reply:
    return Reply(status=302, headers=(("location", f"{CONTROL}/"),))


async def dashboard_file(exchange: Exchange) -> Reply:
    """The file of the dashboard that the path names; the page where it names none."""
    wanted = exchange.path_params.get("file", "index.html")
    file = next((each for each in FOLDER.iterdir() if each.name == wanted and each.suffix in TYPES), None)
    if file is None:
        raise ServiceError("control-not-found", reason=f"the dashboard has no file {wanted[:100]!r}")
    return Reply(file.read_bytes(), headers=SECURITY, content_type=f"{TYPES[file.suffix]}; charset=utf-8")


@dataclass(frozen=True, slots=True)
class Overview:
    """Clock, flows, runs and files over all organizations and sandboxes, the newest first, and how many there are."""

    clock: Clock
    scheduler: Scheduler
    store: Store
    catalog: Catalog
    library: Library
    exports: Exports
    faults: Faults
    recorder: Recorder
    scope: Scope
    """An organization and a sandbox that exist, for an example."""

    async def overview(self, exchange: Exchange) -> Reply:
        """All at a glance; `flow` leaves the flows that have this text in their name or id, with their runs and files."""
        wanted = parameters(exchange, "flow").get("flow", "").casefold()
        flows, found = self._flows(wanted)
        runs, first = self._runs(flows if wanted else None), self.scheduler.planner.first()
        return Reply(
            {
                "version": __version__,
                "epoch": self.recorder.epoch,
                "scope": self.scope,
                "clock": self.clock.snapshot(),
                "next": first and first.at,
                "counts": {
                    "flows": self.store.count("flows"),
                    "flowsFound": found,
                    "runs": self.store.count("runs"),
                    "requests": self.recorder.number,
                    "journal": self.recorder.number - self.recorder.dropped,
                },
                "verdicts": {verdict: self.recorder.verdicts[verdict] for verdict in VERDICTS},
                "flows": flows,
                "runs": runs,
                "files": self._files(runs),
                "faults": [rule.as_json() for rule in self.faults.rules],
            }
        )

    def _flows(self, wanted: str) -> tuple[list[dict[str, Any]], int]:
        """The newest flows that have a text in their name or id, and how many have it."""
        if not wanted:
            newest, found = (
                deque(islice(self.store.everywhere("flows", newest_first=True), MAX_FLOWS)),
                self.store.count("flows"),
            )
        else:
            newest, found = deque[tuple[Scope, Record]](maxlen=MAX_FLOWS), 0
            for scope, record in self.store.everywhere("flows"):
                if wanted in record.id or wanted in (record.entity().get("name") or "").casefold():
                    newest.appendleft((scope, record))
                    found += 1
        return [self._flow(scope, record.entity()) for scope, record in newest], found

    def _flow(self, scope: Scope, flow: Entity) -> dict[str, Any]:
        last = next(iter(self.store.by_index(scope, "runs", flow["id"])), None)
        target = flow["inheritedAttributes"]["targetConnections"][0]
        spec = self.catalog.connection_specs.get(target["connectionSpec"]["id"])
        return {
            "id": flow["id"],
            "name": flow.get("name", ""),
            "org": scope[0],
            "sandbox": scope[1],
            "state": flow["state"],
            "createdAt": flow["createdAt"],
            "destination": spec.name if spec else "",
            "datasets": self._datasets(scope, flow),
            "schedule": flow["scheduleParams"],
            "next": self.scheduler.planner.next_export(flow["id"]),
            "lastRun": None if last is None else _run(last.entity()),
        }

    def _datasets(self, scope: Scope, flow: Mapping[str, Any]) -> list[dict[str, str]]:
        """The flow's datasets with their names."""
        found = []
        for source_id in flow["sourceConnectionIds"]:
            source = self.store.get(scope, "sourceConnections", source_id) or {}  # it may have been deleted
            for dataset in source.get("params", {}).get("datasets", ()):
                dataset_id = dataset["dataSetId"]
                name = self.library.name(dataset_id) if self.library.has(dataset_id) else dataset_id
                found.append({"id": dataset_id, "name": name})
        return found

    def _runs(self, of: Sequence[Mapping[str, Any]] | None) -> list[dict[str, Any]]:
        """The newest runs, or those `of` some flows, with the flow's name and next export; the name of a deleted one is null."""
        flows: dict[tuple[Scope, str], dict[str, Any]] = {}
        found = []
        newest = islice(self.store.everywhere("runs", newest_first=True), MAX_RUNS)
        for scope, record in newest if of is None else self._runs_of(of):
            run = _run(record.entity()) | {"call": self.exports.call_of(record.id)}
            flow_id = run["flowId"]
            if (scope, flow_id) not in flows:
                flow = self.store.get(scope, "flows", flow_id)
                name = None if flow is None else flow.get("name", "")
                flows[scope, flow_id] = {"flowName": name, "flowNext": self.scheduler.planner.next_export(flow_id)}
            found.append(run | flows[scope, flow_id])
        return found

    def _runs_of(self, flows: Sequence[Mapping[str, Any]]) -> list[tuple[Scope, Record]]:
        """The newest runs of each of these flows, newest first; the more flows, the fewer of each."""
        scoped = [((flow["org"], flow["sandbox"]), flow["id"]) for flow in flows]
        each = MAX_RUNS // max(len(scoped), 1)
        found = [
            (scope, run) for scope, flow in scoped for run in islice(self.store.by_index(scope, "runs", flow), each)
        ]
        return sorted(found, key=lambda pair: pair[1].seq, reverse=True)

    def _files(self, runs: list[dict[str, Any]]) -> list[dict[str, Any]]:
        """The files of the newest of these runs that are still there."""
        found: list[dict[str, Any]] = []
        for run in runs:
            if run["fileCount"] and len(found) < MAX_FILES:
                found += [file | {"flowName": run["flowName"]} for file in self.exports.of_run(run["id"])]
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
