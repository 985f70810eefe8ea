"""`demo`: a server on a free port, the tutorial's six steps for every destination over HTTP, and a day of exports."""

from __future__ import annotations

import http.client
import json
import shutil
import sys
import tempfile
import time
from dataclasses import dataclass
from itertools import cycle
from pathlib import Path
from typing import Any, TextIO
from urllib.parse import urlsplit

from flow_service_emulator.api.routes import BASE
from flow_service_emulator.catalog import Catalog, FlowSpec, load_catalog
from flow_service_emulator.settings import DEFAULT_URL, wants_colour
from flow_service_emulator.testing.client import FlowServiceError
from flow_service_emulator.testing.local_server import running_server

DAY = 86_400
FORMS = (("JSON", "NONE"), ("JSON", "GZIP"), ("PARQUET", "NONE"), ("PARQUET", "GZIP"))
HEADERS = {
    "Authorization": "Bearer demo",
    "x-api-key": "demo",
    "x-gw-ims-org-id": "DEMO@AdobeOrg",
    "x-sandbox-name": "prod",
    "Content-Type": "application/json",
}
SHOWN_FILES = 3


class DemoFailed(Exception):
    """A step did not answer as it should."""


@dataclass(slots=True)
class Client:
    """Just enough HTTP: one connection, JSON in and out."""

    connection: http.client.HTTPConnection
    requests: int = 0

    def call(self, method: str, path: str, body: Any = None) -> tuple[int, Any]:
        """The status and the body of an answer. Raises DemoFailed for a status that is no success."""
        self.connection.request(method, path, None if body is None else json.dumps(body), HEADERS)
        response = self.connection.getresponse()
        content = response.read()
        self.requests += 1
        answer = json.loads(content) if content else None
        if response.status >= 300:
            raise DemoFailed(f"{method} {path} answered {response.status}: {answer}")
        return response.status, answer


class Screen:
    """Print plainly, with colour where the terminal has it."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream
        self._colour = wants_colour(stream)

    def line(self, text: str = "") -> None:
        print(text, file=self._stream, flush=True)

    def title(self, text: str) -> None:
        self.line()
        self.line(self.paint(text, "1;36"))

    def paint(self, text: str, code: str) -> str:
        """The text in a colour (an ANSI code such as `1;32`), or as it is."""
        return f"\x1b[{code}m{text}\x1b[0m" if self._colour else text


def run_demo(export_dir: Path) -> int:
    """Run the demo and print what happens; answers the exit status. Raises KeyboardInterrupt."""
    screen = Screen(sys.stdout)
    began = time.monotonic()
    catalog = load_catalog()
    try:
        _check_writable(export_dir)
        with (
            tempfile.TemporaryDirectory() as logs,
            running_server(Path(logs), ("--clock", "frozen"), export_dir=export_dir) as server,
        ):
            client = Client(http.client.HTTPConnection(urlsplit(server.url).netloc, timeout=60))
            screen.line(f"A server listens on {server.url}; its clock stands still until it is moved.")
            flows = [
                _one_destination(client, screen, catalog, flow_spec, form)
                for flow_spec, form in zip(catalog.flow_specs.values(), cycle(FORMS), strict=False)
            ]
            screen.title("A day passes")
            _, answer = client.call("POST", "/__emulator/clock/advance", {"seconds": DAY})
            statuses = [run["status"] for run in answer["runs"]]
            screen.line(f"  {len(statuses)} exports, {statuses.count('success')} of them with success")
            _show_runs(client, flows, screen)
            earlier = _show_files(client, export_dir, screen)
            screen.line()
            screen.line(f"{client.requests} requests and {len(statuses)} exports in {time.monotonic() - began:.1f} s.")
    except (DemoFailed, FlowServiceError, OSError, http.client.HTTPException) as reason:
        print(f"demo: {reason or type(reason).__name__}", file=sys.stderr)
        return 1
    _show_next(export_dir, earlier, screen)
    return 0 if statuses and set(statuses) == {"success"} else 1


def _check_writable(export_dir: Path) -> None:
    """Raises DemoFailed where no export could be written."""
    try:
        export_dir.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=export_dir):
            pass
    except OSError as fault:
        reason = "it is a file" if export_dir.is_file() else fault.strerror or fault
        raise DemoFailed(
            f"nothing can be written to the export folder {export_dir}: {reason}; --export-dir names another"
        ) from None


def _one_destination(
    client: Client, screen: Screen, catalog: Catalog, flow_spec: FlowSpec, form: tuple[str, str]
) -> tuple[str, str]:
    """Take the tutorial's steps for one destination; answers its name and the flow's id."""
    spec, data_lake = catalog.connection_specs[flow_spec.target_spec_ids[0]], catalog.data_lake_spec_id
    configs = f"{BASE}/connectionSpecs/{data_lake}/configs?outputType=activationDatasets&outputField=datasets"
    screen.title(spec.name)

    def step(number: int, what: str, method: str, path: str, body: Any = None) -> Any:
        status, answer = client.call(method, path, body)
        done = screen.paint(str(status), "32")
        items = len(answer.get("items", ()))
        detail = answer.get("id", f"{items} {'item' if items == 1 else 'items'}")
        screen.line(f"  {number}  {done}  {method:4} {path.split('?')[0].removeprefix(BASE):58} {what}: {detail}")
        return answer

    step(0, "connection spec", "GET", f"{BASE}/connectionSpecs/{spec.id}")
    dataset = step(1, "eligible datasets", "GET", f"{configs}&limit=5")["items"][len(spec.name) % 5]
    source = {
        "name": "Connecting to Data Lake",
        "connectionSpec": {"id": data_lake, "version": "1.0"},
        "params": {"datasets": [{"dataSetId": dataset["id"], "name": dataset["name"]}]},
    }
    source_id = step(2, "source connection", "POST", f"{BASE}/sourceConnections", source)["id"]
    reference = {"id": spec.id, "version": spec.version}
    base: dict[str, Any] = {"name": f"{spec.name} base connection", "connectionSpec": reference}
    for name, params in spec.examples.get("auth", {}).items():
        base["auth"] = {"specName": name, "params": params}
        break
    base_id = step(3, "base connection", "POST", f"{BASE}/connections", base)["id"]
    params = {**spec.examples["target"], "datasetFileType": form[0], "compression": form[1]}
    target = {"name": f"{spec.name} target", "baseConnectionId": base_id, "params": params, "connectionSpec": reference}
    target_id = step(4, "target connection", "POST", f"{BASE}/targetConnections", target)["id"]
    _, clock = client.call("GET", "/__emulator/clock")
    flow = {
        "name": f"Export to {spec.name}",
        "flowSpec": {"id": flow_spec.id, "version": flow_spec.version},
        "sourceConnectionIds": [source_id],
        "targetConnectionIds": [target_id],
        "transformations": [],
        "scheduleParams": {"interval": 3, "timeUnit": "hour", "startTime": int(clock["now"]) + 60},
    }
    return spec.name, step(5, f"flow, every 3 hours, {form[0]} {form[1]}", "POST", f"{BASE}/flows", flow)["id"]


def _show_runs(client: Client, flows: list[tuple[str, str]], screen: Screen) -> None:
    """Step 6: the runs of every flow, as a table."""
    screen.title("6  Runs (GET /runs?property=flowId==…)")
    screen.line(
        f"  {'destination':24} {'runs':>5} {'first: rows':>12} {'bytes':>10} {'later: rows':>12} {'bytes':>10}  status"
    )
    for name, flow_id in flows:
        _, answer = client.call("GET", f"{BASE}/runs?property=flowId=={flow_id}&orderby=createdAt&limit=100")
        metrics = [run["metrics"] for run in answer["items"]]
        if not metrics:
            screen.line(f"  {name:24} {0:5}")
            continue
        rows = [entry["recordSummary"]["outputRecordCount"] for entry in metrics]
        sizes = [entry["sizeSummary"]["outputBytes"] for entry in metrics]
        states = sorted({entry["statusSummary"]["status"] for entry in metrics})
        colour = "32" if states == ["success"] else "31"
        screen.line(
            f"  {name:24} {len(metrics):5} {rows[0]:12,} {sizes[0]:10,} {sum(rows[1:]):12,} {sum(sizes[1:]):10,}  "
            f"{screen.paint(', '.join(states), colour)}"
        )
        reasons = [error["message"] for entry in metrics for error in entry["statusSummary"].get("errors", [])]
        for reason in dict.fromkeys(reasons):
            screen.line(f"    {reason}")


def _show_files(client: Client, export_dir: Path, screen: Screen) -> int:
    """The tree of this demo's files, with the first few of each destination; answers how many earlier ones there are."""
    _, answer = client.call("GET", "/__emulator/exports")
    total = sum(item["size"] for item in answer["items"])
    folder = f"{export_dir}{'' if str(export_dir).endswith('/') else '/'}"
    screen.title(f"Files: {len(answer['items'])} part files of this demo, {total / 1e6:.1f} MB, in {folder}")
    by_destination: dict[str, list[dict[str, Any]]] = {}
    for item in answer["items"]:
        by_destination.setdefault(item["path"].split("/")[0], []).append(item)
    for destination, items in by_destination.items():
        screen.line(f"  {screen.paint(destination + '/', '1')}")
        for item in items[:SHOWN_FILES]:
            folder, _, file = item["path"].removeprefix(destination + "/").rpartition("/")
            screen.line(f"    {folder}/")
            screen.line(f"      {file}  {item['size']:,} bytes, {item['rows']:,} rows")
        if len(items) > SHOWN_FILES:
            screen.line(f"    … and {len(items) - SHOWN_FILES} more")
    there = sum(1 for destination in by_destination for _ in (export_dir / destination).rglob("part-*"))
    earlier = there - len(answer["items"])
    if earlier > 0:
        screen.line(f"  Beside them lie {earlier} part files of earlier exports, which were left as they are.")
    return earlier


def _show_next(export_dir: Path, earlier: int, screen: Screen) -> None:
    screen.title("How to go on")
    more = f", and {earlier} of earlier exports" if earlier > 0 else ""
    commands = {
        f"{_called()} serve": f"a server for your own client, on {DEFAULT_URL}",
        f"curl {DEFAULT_URL}/__emulator/clock": "what time it is there; PUT changes it",
        f"ls -R {export_dir}": f"the files of this demo{more}",
    }
    width = max(map(len, commands))
    for command, purpose in commands.items():
        screen.line(f"  {command:{width}}  {purpose}")


def _called() -> str:
    """This program as it was called: its bare name only where that leads to it, as in an activated environment."""
    called = Path(sys.argv[0])
    if called.name == "__main__.py":
        return "python -m flow_service_emulator"
    found = shutil.which(called.name)
    return called.name if found is not None and Path(found).resolve() == called.resolve() else str(called)
