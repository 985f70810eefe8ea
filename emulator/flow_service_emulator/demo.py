"""`demo`: a server on a free port, the tutorial's six steps for every destination over HTTP, and a day of exports.

No line is longer than 100 characters.
"""

from __future__ import annotations

import json
import shutil
import sys
import tempfile
import threading
import time
from argparse import Namespace
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from itertools import cycle
from pathlib import Path
from typing import Any

from flow_service_emulator.api.routes import BASE
from flow_service_emulator.catalog import load_catalog
from flow_service_emulator.control.flows import Steps
from flow_service_emulator.settings import DEFAULT_URL, variables
from flow_service_emulator.testing.client import ControlClient
from flow_service_emulator.testing.local_server import running_server

FORMS = (("JSON", "NONE"), ("JSON", "GZIP"), ("PARQUET", "NONE"), ("PARQUET", "GZIP"))
HEADERS = {
    "Authorization": "Bearer demo",
    "x-api-key": "demo",
    "x-gw-ims-org-id": "DEMO@AdobeOrg",
    "x-sandbox-name": "prod",
    "Content-Type": "application/json",
}
SHOWN_FILES = 3
say = partial(print, flush=True)


@dataclass(slots=True)
class Client:
    """Call the service as a client does, and count the requests."""

    control: ControlClient
    requests: int = 0

    def call(self, method: str, path: str, body: Any = None) -> Any:
        """The JSON of an answer. Raises FlowServiceError for a status that is no success."""
        self.requests += 1
        path, _, query = path.partition("?")
        parameters = dict(part.split("=", 1) for part in query.split("&") if part)
        return json.loads(self.control.send(method, path, body and json.dumps(body).encode(), HEADERS, **parameters))


def run_demo(wanted: Namespace) -> int:
    """Run the demo and print what happens; answer the exit status. With `keep`, the server runs on until Ctrl+C.

    Raises FlowServiceError, and KeyboardInterrupt before that.
    """
    export_dir = wanted.export_dir
    began = time.monotonic()
    settings = variables({"export_dir": export_dir, "clock": "frozen"})
    with tempfile.TemporaryDirectory() as logs, running_server(Path(logs), (), settings) as server:
        client = Client(ControlClient(server.url))
        say(f"A server listens on {server.url}; its clock stands still until it is moved.")
        destinations = enumerate(zip(Steps.of_all(load_catalog()), cycle(FORMS), strict=False))
        flows = [_one_destination(client, steps, form, in_full=number == 0) for number, (steps, form) in destinations]
        say(f"  and likewise for {len(flows) - 1} other destinations")
        statuses = [run["status"] for run in client.call("POST", "/__emulator/clock/advance", {"days": 1})["runs"]]
        say(f"\nA day passes\n  {len(statuses)} exports, {statuses.count('success')} of them with success")
        _show_runs(client, flows)
        _show_files(client, export_dir)
        say(f"\n{client.requests} requests and {len(statuses)} exports in {time.monotonic() - began:.1f} s.")
        if wanted.keep:
            say(f"\nThe server goes on until Ctrl+C: its dashboard is at {server.url}/__emulator/")
            with suppress(KeyboardInterrupt):
                threading.Event().wait()
    say(f"\nHow to go on\n  a server for your own client, on {DEFAULT_URL}:\n    {_called()} serve")
    say(f"  what time it is there; PUT changes it:\n    curl {DEFAULT_URL}/__emulator/clock")
    say(f"  the files of this demo:\n    ls -R {export_dir}")
    return 0 if statuses and set(statuses) == {"success"} else 1


def _one_destination(client: Client, steps: Steps, form: tuple[str, str], *, in_full: bool) -> tuple[str, str, str]:
    """Take the tutorial's steps for one destination; answers its name, its form of files and the flow's id."""
    name, data_lake = steps.spec.name, steps.data_lake.id
    if in_full:
        say(f"\n{name}, step by step")

    def step(number: int, what: str, method: str, path: str, body: Any = None) -> Any:
        answer = client.call(method, BASE + path, body)
        if in_full:
            items = len(answer.get("items", ()))
            told = answer.get("id") or f"{items} {'item' if items == 1 else 'items'}"
            say(f"  {number}  {method:4}  {path.split('?')[0]:18}  {what}: {told}")
        return answer

    step(0, "spec", "GET", f"/connectionSpecs/{steps.spec.id}")
    configs = f"/connectionSpecs/{data_lake}/configs?outputType=activationDatasets&outputField=datasets&limit=5"
    dataset = step(1, "datasets", "GET", configs)["items"][len(name) % 5]["id"]
    source_id = step(2, "source connection", "POST", "/sourceConnections", steps.source([dataset]))["id"]
    base_id = step(3, "base connection", "POST", "/connections", steps.base())["id"]
    target = steps.target(base_id, {"datasetFileType": form[0], "compression": form[1]})
    target_id = step(4, "target connection", "POST", "/targetConnections", target)["id"]
    start = int(client.call("GET", "/__emulator/clock")["now"]) + 60
    schedule = {"interval": 3, "timeUnit": "hour", "startTime": start}
    flow = steps.flow(f"Export to {name}", source_id, target_id, schedule)
    return name, " ".join(form), step(5, "flow, every 3 hours", "POST", "/flows", flow)["id"]


def _show_runs(client: Client, flows: list[tuple[str, str, str]]) -> None:
    """Step 6: the runs of every flow, as a table."""
    say("\n6  Runs (GET /runs?property=flowId==…)")
    say(f"  {'':35} {'first export':>20} {'later exports':>21}")
    say(f"  {'destination':20} {'form':12} runs {'rows':>8} {'bytes':>10} {'rows':>8} {'bytes':>12}  status")
    for name, form, flow_id in flows:
        answer = client.call("GET", f"{BASE}/runs?property=flowId=={flow_id}&orderby=createdAt&limit=100")
        metrics = [run["metrics"] for run in answer["items"]]
        rows = [entry.get("recordSummary", {}).get("outputRecordCount", 0) for entry in metrics] or [0]
        sizes = [entry.get("sizeSummary", {}).get("outputBytes", 0) for entry in metrics] or [0]
        first, later = f"{rows[0]:8,} {sizes[0]:10,}", f"{sum(rows[1:]):8,} {sum(sizes[1:]):12,}"
        states = sorted({entry["statusSummary"]["status"] for entry in metrics})
        say(f"  {name:20} {form:12} {len(metrics):4} {first} {later}  {', '.join(states)}")
        reasons = [error["message"] for entry in metrics for error in entry["statusSummary"].get("errors", [])]
        for reason in dict.fromkeys(reasons):
            say(f"    {reason}")


def _show_files(client: Client, export_dir: Path) -> None:
    """This demo's files: the first few of the first destination, a row for each other."""
    items = client.call("GET", "/__emulator/exports")["items"]
    total = sum(item["size"] for item in items)
    say(f"\nFiles: {len(items)} part files of this demo, {total / 1e6:.1f} MB, in {str(export_dir).rstrip('/')}/")
    by_destination: dict[str, list[dict[str, Any]]] = {}
    for item in items:
        by_destination.setdefault(item["path"].split("/")[0], []).append(item)
    for number, (destination, files) in enumerate(by_destination.items()):
        say(f"  {destination:24} {len(files):3} files {sum(file['size'] for file in files):12,} bytes")
        for file in files[: SHOWN_FILES if number == 0 else 0]:
            folder, _, name = file["path"].removeprefix(destination + "/").rpartition("/")
            say(f"    {folder}/\n      {name}")


def _called() -> str:
    """This program as it was called: its bare name only where that leads to it, as in an activated environment."""
    called = Path(sys.argv[0])
    if called.name == "__main__.py":
        return "python -m flow_service_emulator"
    found = shutil.which(called.name)
    return called.name if found is not None and Path(found).resolve() == called.resolve() else str(called)
