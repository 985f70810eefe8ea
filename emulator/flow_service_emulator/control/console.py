"""The control calls of the page for people: the page's own files, an overview, and a look into an exported file.

Everything it answers is bounded, however much the emulator holds, since the page asks again every two seconds.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Final

from flow_service_emulator import __version__
from flow_service_emulator.api.exchange import Exchange, Handler, Reply
from flow_service_emulator.catalog import Catalog
from flow_service_emulator.clock import Clock
from flow_service_emulator.contract.recorder import Recorder
from flow_service_emulator.control.parameters import parameters
from flow_service_emulator.control.previews import MAX_ROWS, PreviewError, preview
from flow_service_emulator.datasets.library import Library
from flow_service_emulator.entities import Entity, Scope
from flow_service_emulator.errors import ServiceError
from flow_service_emulator.exports.exported_files import Exports
from flow_service_emulator.exports.scheduler import Scheduler
from flow_service_emulator.faults.faults import Faults
from flow_service_emulator.store.store import Record, Store

PAGE: Final = "/__emulator"
FOLDER: Final = Path(__file__).parent / "page"
MAX_FLOWS: Final = 100
"""Flows in an overview, the newest."""
MAX_RUNS: Final = 200
"""Runs in an overview, the newest."""
MAX_FILES: Final = 100
"""Exported files in an overview, those of the newest runs."""
MAX_WANTED: Final = 200
"""Characters of a text that flows are looked for by."""
DEFAULT_ROWS: Final = 20
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
"""The page loads nothing from elsewhere, runs no script but its own, and is in nobody's frame."""
TYPES: Final = {".html": "text/html", ".css": "text/css", ".js": "text/javascript", ".svg": "image/svg+xml"}
"""Ending of a file of the dashboard -> its content type."""


class Console:
    """The handlers. `verdicts` gives how many requests there were of each verdict, by its name."""

    def __init__(
        self,
        *,
        clock: Clock,
        scheduler: Scheduler,
        store: Store,
        catalog: Catalog,
        library: Library,
        exports: Exports,
        faults: Faults,
        recorder: Recorder,
        verdicts: Callable[[], Mapping[str, int]],
    ) -> None:
        self._clock = clock
        self._scheduler = scheduler
        self._store = store
        self._library = library
        self._exports = exports
        self._faults = faults
        self._recorder = recorder
        self._verdicts = verdicts
        self._destinations = {spec.id: spec.name for spec in catalog.connection_specs.values() if spec.destination}

    async def overview(self, exchange: Exchange) -> Reply:
        """Clock, flows, runs and files over all organizations and sandboxes, the newest first, and how many there are.

        `flow` leaves the flows that have this text in their name or id.
        """
        wanted = _wanted_flow(parameters(exchange, ("flow",)))
        flows, found = self._flows(wanted)
        runs = self._runs()
        return Reply(
            {
                "version": __version__,
                "epoch": self._recorder.epoch,
                "clock": self._clock.snapshot(),
                "next": self._scheduler.planner.next_due(),
                "counts": {
                    "flows": self._store.count("flows"),
                    "flowsFound": found,
                    "runs": self._store.count("runs"),
                    "requests": self._recorder.number,
                    "journal": self._recorder.number - self._recorder.dropped,
                },
                "verdicts": self._verdicts(),
                "flows": flows,
                "runs": runs,
                "files": self._files(runs),
                "faults": [entry.as_json() for entry in self._faults.armed],
            }
        )

    async def preview_export(self, exchange: Exchange) -> Reply:
        """The first rows of an exported file, whatever its form; `rows` says how many."""
        path = exchange.path_params["path"]
        limit = _rows(parameters(exchange, ("rows",)))
        file = self._exports.find(path)
        if file is None:
            raise ServiceError(
                "control-not-found", reason=f"there is no exported file {path[:200]!r}; GET {PAGE}/exports lists them"
            )
        try:
            found = await asyncio.to_thread(preview, file, limit)
        except PreviewError as reason:
            raise ServiceError("control-invalid", reason=f"{path[:200]!r} cannot be shown: {reason}") from None
        return Reply(found)

    def _flows(self, wanted: str) -> tuple[list[dict[str, Any]], int]:
        """The newest flows that have a text in their name or id, and how many have it."""
        if not wanted:
            newest = self._store.newest("flows", MAX_FLOWS)
            return [self._flow(scope, record.entity()) for scope, record in newest], self._store.count("flows")
        shown: deque[tuple[Scope, Record]] = deque(maxlen=MAX_FLOWS)
        found = 0
        for scope, record in self._store.everywhere("flows"):
            if wanted in record.id or wanted in _name(record).casefold():
                shown.appendleft((scope, record))
                found += 1
        return [self._flow(scope, record.entity()) for scope, record in shown], found

    def _flow(self, scope: Scope, flow: Entity) -> dict[str, Any]:
        """What the page shows of a flow."""
        org, sandbox = scope
        last = next(iter(self._store.by_index(scope, "runs", flow["id"])), None)
        return {
            "id": flow["id"],
            "name": flow.get("name", ""),
            "org": org,
            "sandbox": sandbox,
            "state": flow["state"],
            "createdAt": flow["createdAt"],
            "destination": self._destination(flow),
            "datasets": self._datasets(scope, flow),
            "schedule": flow["scheduleParams"],
            "next": self._scheduler.planner.next_export(flow["id"]),
            "lastRun": None if last is None else _run(last.entity()),
        }

    def _destination(self, flow: Mapping[str, Any]) -> str:
        """The destination's name, as the connection specs give it."""
        targets = flow.get("inheritedAttributes", {}).get("targetConnections") or [{}]
        spec_id = targets[0].get("connectionSpec", {}).get("id", "")
        return self._destinations.get(spec_id, "")

    def _datasets(self, scope: Scope, flow: Mapping[str, Any]) -> list[dict[str, str]]:
        """The flow's datasets with their names."""
        found = []
        for source_id in flow.get("sourceConnectionIds", ()):
            source = self._store.get(scope, "sourceConnections", source_id) or {}
            for dataset in source.get("params", {}).get("datasets", ()):
                dataset_id = dataset["dataSetId"]
                name = self._library.name(dataset_id) if self._library.has(dataset_id) else dataset_id
                found.append({"id": dataset_id, "name": name})
        return found

    def _runs(self) -> list[dict[str, Any]]:
        """The newest runs, each with its flow's name and next export; the name is null when the flow was deleted."""
        known: dict[tuple[Scope, str], dict[str, Any]] = {}
        found = []
        for scope, record in self._store.newest("runs", MAX_RUNS):
            run = _run(record.entity())
            flow_id = run["flowId"]
            if (scope, flow_id) not in known:
                flow = self._store.get(scope, "flows", flow_id)
                name = None if flow is None else flow.get("name", "")
                known[scope, flow_id] = {"flowName": name, "flowNext": self._scheduler.planner.next_export(flow_id)}
            found.append(run | known[scope, flow_id])
        return found

    def _files(self, runs: list[dict[str, Any]]) -> list[dict[str, Any]]:
        """The files of the newest of these runs that are still there."""
        found: list[dict[str, Any]] = []
        for run in runs:
            if run["fileCount"] and len(found) < MAX_FILES:
                found += [file | {"flowName": run["flowName"]} for file in self._exports.of_run(run["id"])]
        return found[:MAX_FILES]


def _name(record: Record) -> str:
    """A flow's name; a very long one is in its JSON only."""
    if record.name is not None:
        return record.name
    name = record.entity().get("name")
    return name if isinstance(name, str) else ""


def _run(run: Entity) -> dict[str, Any]:
    """What the page shows of a run; times are epoch milliseconds. One that waits has not counted anything yet."""
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


async def to_the_page(exchange: Exchange) -> Reply:
    return Reply(status=302, headers=(("location", f"{PAGE}/"),))


def page_file(name: str | None = None) -> Handler:
    """The handler of one of the dashboard's files, or of all of them: then the path names the one."""

    async def handler(exchange: Exchange) -> Reply:
        wanted = name or exchange.path_params["file"]
        file = next((each for each in FOLDER.iterdir() if each.name == wanted and each.suffix in TYPES), None)
        if file is None:
            raise ServiceError("control-not-found", reason=f"the dashboard has no file {wanted[:100]!r}")
        return Reply(file.read_bytes(), headers=SECURITY, content_type=f"{TYPES[file.suffix]}; charset=utf-8")

    return handler


def _wanted_flow(query: Mapping[str, str]) -> str:
    """The text that flows are looked for by, in small letters; empty for all. Raises `control-invalid`."""
    text = query.get("flow", "")
    if len(text) > MAX_WANTED:
        raise ServiceError("control-invalid", reason=f"flow must have at most {MAX_WANTED} characters, got {len(text)}")
    return text.casefold()


def _rows(query: Mapping[str, str]) -> int:
    """How many rows are asked for. Raises `control-invalid`."""
    text = query.get("rows", str(DEFAULT_ROWS))
    if not (text.isascii() and text.isdigit() and len(text) <= 4 and 1 <= int(text) <= MAX_ROWS):
        raise ServiceError(
            "control-invalid", reason=f"rows must be a whole number from 1 to {MAX_ROWS}, got {text[:60]!r}"
        )
    return int(text)
