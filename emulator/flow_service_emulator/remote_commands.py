"""The commands `wait`, `status`, `advance` and `reset`: they ask a server that runs somewhere."""

from __future__ import annotations

from argparse import Namespace
from collections import Counter
from datetime import UTC, datetime
from typing import Any

from flow_service_emulator.reports.report import counted
from flow_service_emulator.testing.client import ControlClient, wait_until_ready


def wait(wanted: Namespace) -> None:
    """Return when the server answers. Raises FlowServiceError when it does not in time; so do all of these where it is not there."""
    wait_until_ready(wanted.url, wanted.timeout)
    print(f"ready: {wanted.url}")


def advance(wanted: Namespace) -> None:
    """Move time on, and show the exports on the way."""
    given = {name: getattr(wanted, name) for name in ("seconds", "minutes", "hours", "days", "to")}
    body = {name: value for name, value in given.items() if value is not None}
    answer = ControlClient(wanted.url).call("POST", "/clock/advance", body)
    for run in answer["runs"]:
        print(f"{_shown(run['scheduledAt'])}  {run['status']:9} flow {run['flowId']}  run {run['id']}")
        if "error" in run:
            print(f"  {run['error']}")
    ends = Counter(run["status"] for run in answer["runs"])
    told = ", ".join(f"{number} {status}" for status, number in ends.items())
    print(f"it is {_shown(answer['now'])}; {counted(len(answer['runs']), 'export')}{told and f': {told}'}")


def reset(wanted: Namespace) -> None:
    """Make the server forget everything; with `exports` the exported files go, too."""
    ControlClient(wanted.url).call("POST", "/reset", exports="true" if wanted.exports else None)
    print(f"{wanted.url} has forgotten everything" + (", and its exported files are gone" if wanted.exports else ""))


def status(wanted: Namespace) -> None:
    """Show the server at a glance."""
    seen: dict[str, Any] = ControlClient(wanted.url).call("GET", "/overview")
    clock, counts = seen["clock"], seen["counts"]
    due = "none" if seen["next"] is None else _shown(seen["next"])
    bad = {name: number for name, number in seen["verdicts"].items() if number and name != "ok"}
    lines = {
        "server": f"{wanted.url}, version {seen['version']}, dashboard at {wanted.url}/__emulator/",
        "clock": f"{clock['mode']}, {_shown(clock['now'])}",
        "flows": f"{counts['flows']}, next export: {due}",
        "runs": str(counts["runs"]),
        "requests": ", ".join([str(counts["requests"]), *(f"{number} {name}" for name, number in bad.items())]),
        "faults": ", ".join(rule["id"] for rule in seen["faults"]) or "none",
    }
    for name, text in lines.items():
        print(f"{name:9} {text}")


def _shown(at: float) -> str:
    return datetime.fromtimestamp(at, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
