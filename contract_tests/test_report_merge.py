"""Several contract reports made one say what one report of all the same requests says."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from contract_tests.support import Api
from contract_tests.tutorial import BASE
from flow_service_emulator.reports.report import REPORT_FORMAT, NoReport, identity, merged

REQUESTS: tuple[tuple[str, str, Any], ...] = (
    ("GET", "/flows?limit=5", None),
    ("GET", "/flows/none", None),
    ("GET", "/runs?limit=many", None),
    ("POST", "/connections", {"name": "x"}),
    ("POST", "/sourceConnections", {"name": "x", "unknown": 1}),
    ("POST", "/sourceConnections", {"name": 5}),
    ("POST", "/sourceConnections", {}),
    ("GET", "/runs?limit=1&count=true", None),
    ("PATCH", "/flows/none", [{"op": "Replace", "path": "/name", "value": "x"}]),
    ("GET", "/connectionSpecs?property=name==x", None),
)


def send(api: Api, choice: int) -> None:
    method, path, body = REQUESTS[choice]
    api.http.request(method, BASE + path, json=body)


def report(api: Api) -> dict[str, Any]:
    answer: dict[str, Any] = api.http.get("/__emulator/contract").json()
    return answer


def told(report: dict[str, Any]) -> Any:
    """A report without what depends on when and in which order things were met."""
    plain = json.loads(json.dumps(report))
    del plain["now"]
    for rule in (*plain["violations"], *plain["warnings"]):
        for finding in rule["findings"]:
            del finding["first"], finding["last"]
        rule["findings"].sort(key=identity)
    for part in plain["coverage"].values():
        for names in (part["met"], part["never"]):
            names.sort(key=lambda entry: entry["name"])
    return plain


@settings(
    max_examples=10, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)  # it resets by itself
@given(st.lists(st.lists(st.integers(0, len(REQUESTS) - 1), max_size=5), min_size=1, max_size=4))
def test_parts_together_are_the_whole(api: Api, parts: list[list[int]]) -> None:
    reports = []
    for part in parts:
        api.http.post("/__emulator/reset")
        for choice in part:
            send(api, choice)
        reports.append(report(api))
    api.http.post("/__emulator/reset")
    for choice in (choice for part in parts for choice in part):
        send(api, choice)
    whole = told(report(api))
    assert told(merged(reports)) == whole
    assert told(merged([merged(reports[:1]), *reports[1:]])) == whole  # bit by bit is the same


def test_first_and_last_are_those_of_all(api: Api) -> None:
    send(api, 1)
    first = report(api)
    api.http.post("/__emulator/reset")
    send(api, 1)
    second = report(api)
    (rule,) = merged([first, second])["violations"]
    (finding,) = rule["findings"]
    assert (rule["count"], finding["count"]) == (2, 2)
    assert finding["first"]["requestId"] == first["violations"][0]["findings"][0]["first"]["requestId"]
    assert finding["last"]["requestId"] == second["violations"][0]["findings"][0]["last"]["requestId"]


@pytest.mark.parametrize("bad", [{"format": REPORT_FORMAT - 1}, {"format": REPORT_FORMAT}, [], None])
def test_no_report_is_refused(api: Api, bad: Any) -> None:
    for reports in ([bad], [report(api), bad], []):
        with pytest.raises(NoReport):
            merged(reports)


def test_the_command_takes_saved_reports_together(api: Api, tmp_path: Path) -> None:
    def command(*arguments: str | Path) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "-m", "flow_service_emulator", "report", *map(str, arguments)],
            capture_output=True,
            text=True,
        )

    send(api, 1)
    (tmp_path / "a.json").write_text(json.dumps(report(api)))
    api.http.post("/__emulator/reset")
    send(api, 0)
    (tmp_path / "b.json").write_text(json.dumps(report(api)))
    both = command(tmp_path / "a.json", tmp_path / "b.json")
    assert both.returncode == 1 and both.stdout.startswith("Contract report: 2 requests, 1 rule violated, no warnings")
    assert command(tmp_path / "b.json").returncode == 0
    (tmp_path / "bad.json").write_text("[" * 100_000)
    for name, reason in (("none.json", "cannot read"), ("bad.json", "is no contract report"), (".", "cannot read")):
        failed = command(tmp_path / "b.json", tmp_path / name)
        assert failed.returncode == 2 and not failed.stdout
        assert reason in failed.stderr and len(failed.stderr.splitlines()) == 1
