"""Several contract reports made one say what one report of all the same requests says; and what one says beyond an older one."""

from __future__ import annotations

import json
from collections.abc import Sequence
from copy import deepcopy
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from contract_tests.support import Api, RunReport
from contract_tests.tutorial import BASE, DATA_LAKE
from flow_service_emulator.reports.forms import FORMATS, rendered
from flow_service_emulator.reports.report import (
    REPORT_FORMAT,
    NoReport,
    all_rules,
    beyond,
    identity,
    left_out,
    merged,
    verdict,
)

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
CHOICES = st.lists(st.integers(0, len(REQUESTS) - 1), max_size=5)
# the client resets by itself
few = settings(max_examples=10, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])


def reported(api: Api, choices: Sequence[int]) -> dict[str, Any]:
    """The report of some of the requests alone."""
    api.control("POST", "/reset")
    for choice in choices:
        method, path, body = REQUESTS[choice]
        api.http.request(method, BASE + path, json=body)
    return api.report()


def told(report: dict[str, Any]) -> Any:
    """A report without what depends on when and in which order things were met."""
    plain = deepcopy(report)
    del plain["now"]
    for rule in (*plain["violations"], *plain["warnings"]):
        for finding in rule["findings"]:
            del finding["first"], finding["last"]
        rule["findings"].sort(key=identity)
    for part in plain["coverage"].values():
        for names in (part["met"], part["never"]):
            names.sort(key=lambda entry: entry["name"])
    return plain


def identities(report: dict[str, Any]) -> set[tuple[str, ...]]:
    """The findings of a report."""
    return {(rule["id"], *identity(finding)) for rule in all_rules(report) for finding in rule["findings"]}


@few
@given(st.lists(CHOICES, min_size=1, max_size=4))
def test_parts_together_are_the_whole(api: Api, parts: list[list[int]]) -> None:
    reports = [reported(api, part) for part in parts]
    whole = told(reported(api, [choice for part in parts for choice in part]))
    assert told(merged(reports)) == whole
    assert told(merged([merged(reports[:1]), *reports[1:]])) == whole  # bit by bit is the same


def test_first_and_last_are_those_of_all(api: Api) -> None:
    first, second = reported(api, [1]), reported(api, [1])
    (rule,) = merged([first, second])["violations"]
    (finding,) = rule["findings"]
    assert (rule["count"], finding["count"]) == (2, 2)
    assert finding["first"]["requestId"] == first["violations"][0]["findings"][0]["first"]["requestId"]
    assert finding["last"]["requestId"] == second["violations"][0]["findings"][0]["last"]["requestId"]


@pytest.mark.parametrize("bad", [{"format": REPORT_FORMAT - 1}, {"format": REPORT_FORMAT}, [], None])
def test_no_report_is_refused(api: Api, bad: Any) -> None:
    for reports in ([bad], [api.report(), bad], []):
        with pytest.raises(NoReport):
            merged(reports)


def test_the_command_takes_saved_reports_together(api: Api, tmp_path: Path, run_report: RunReport) -> None:
    for name, choices in (("a", [1]), ("b", [0])):
        (tmp_path / f"{name}.json").write_text(json.dumps(reported(api, choices)))
    status, text, _ = run_report(tmp_path / "a.json", tmp_path / "b.json")
    assert status == 1 and text.startswith("Contract report: 2 requests, 1 rule violated, no warnings")
    assert run_report(tmp_path / "b.json")[0] == 0
    (tmp_path / "deep.json").write_text("[" * 100_000)
    (tmp_path / "none.json").write_text("{}")
    for flag in ((), ("--baseline",)):
        for name, reason in (
            ("missing.json", "cannot read"),
            ("none.json", "no contract report"),
            ("deep.json", "no contract report"),
            (".", "cannot read"),
        ):
            status, text, errors = run_report(tmp_path / "b.json", *flag, tmp_path / name)
            assert (status, text) == (2, "") and reason in errors and len(errors.splitlines()) == 1


# --- beyond a baseline ------------------------------------------------------------------------------------------------


@few
@given(CHOICES, CHOICES)
def test_what_is_left_is_what_the_baseline_does_not_have(api: Api, now: list[int], then: list[int]) -> None:
    report, baseline = reported(api, now), reported(api, then)
    given = deepcopy((report, baseline))
    left = beyond(report, baseline)
    assert identities(left) == identities(report) - identities(baseline)
    assert left["summary"]["known"] == len(identities(report) & identities(baseline))
    for severity in ("violations", "warnings"):
        assert left["summary"][severity] == len(left[severity])
        for rule in left[severity]:
            assert rule["findings"] and rule["count"] <= sum(finding["count"] for finding in rule["findings"])
    assert {rule["id"] for rule in left["rules"] if rule["count"]} == {name for name, *_ in identities(left)}
    assert (report, baseline) == given, "what was given is not changed"
    assert identities(beyond(report, report)) == set()
    assert beyond(left, baseline) == left, "and so it is the second time"
    assert merged([left, left])["summary"]["known"] == 2 * left["summary"]["known"]
    assert "known" not in merged([report])["summary"]


@pytest.mark.parametrize("form", FORMATS)
def test_all_forms_say_how_many_are_known(api: Api, form: str) -> None:
    report, baseline = reported(api, [1, 7, 3]), reported(api, [1, 3])
    left = beyond(report, baseline)
    text = rendered(left, form)
    assert left_out(left).startswith("2 findings known") and left_out(report) == ""
    assert form == "json" or left_out(left) in text
    assert ("list:runs" in str(left["violations"]), "flows/none" in text) == (True, False)
    nothing = rendered(beyond(report, report), form)
    assert "taken every request" not in nothing, "some were refused, only not for anything new"
    assert verdict(beyond(report, report)) == "no new violations, no new warnings"
    assert verdict(report) == "2 rules violated, warnings of 1 rule"
    if form == "junit":
        root = ElementTree.fromstring(nothing)
        assert (root.get("failures"), root.get("skipped")) == ("0", "0")


def test_the_command_beside_a_baseline(api: Api, tmp_path: Path, run_report: RunReport) -> None:
    """What was there before fails nothing; the same mistake at another place, or another one at the same, does."""
    old, new = tmp_path / "old.json", tmp_path / "new.json"
    configs = f"/connectionSpecs/{DATA_LAKE}/configs?outputField=datasets"
    api.get(configs)
    api.get("/flows/")
    assert run_report("--url", api.url, "--output", old)[0] == 1
    beside = ("--url", api.url, "--baseline", old)
    assert run_report(*beside, "--fail-on", "warning")[0] == 0
    api.get("/runs/")
    assert run_report(*beside)[0] == 0
    status, text, _ = run_report(*beside, "--fail-on", "warning")
    first, second, *_ = text.splitlines()
    assert (status, first) == (1, "Contract report: 3 requests, no new violations, new warnings of 1 rule")
    assert second == "2 findings known from the baseline, left out here" and "/runs" in text
    api.get(f"{configs}&outputType=x")
    status, _, errors = run_report(*beside, "--output", new)
    said = "1 rule violated, new warnings of 1 rule; 2 findings known from the baseline, left out here"
    assert (status, errors) == (1, f"{new}: {said}\n")
    (rule,) = json.loads(new.read_text())["violations"]
    assert (rule["count"], [finding["place"] for finding in rule["findings"]]) == (1, ["query.outputType"])
