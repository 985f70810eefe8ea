"""What a contract report says beyond an older one."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest
from hypothesis import given
from hypothesis import strategies as st

from contract_tests.support import Api
from contract_tests.tutorial import DATA_LAKE
from flow_service_emulator.cli import main
from flow_service_emulator.reports.forms import FORMATS, rendered
from flow_service_emulator.reports.report import (
    REPORT_FORMAT,
    SEVERITIES,
    beyond,
    identity,
    left_out,
    merged,
    verdict,
)

WHERE = {"entry": 1, "requestId": "r", "method": "GET", "path": "/p", "status": 400, "at": 0.0}
RULES = ("violated", "broken", "warned", "hinted")


def made(findings: list[tuple[int, int, int]]) -> dict[str, Any]:
    """A report of findings, each given by its rule, its place and how often it was met."""
    by_rule: dict[int, dict[int, int]] = {}
    for rule, place, count in findings:
        by_rule.setdefault(rule, {})[place] = count
    entries = [
        {
            "id": RULES[rule], "severity": SEVERITIES[rule // 2], "title": "t", "source": "s", "fix": "m.", "count": sum(places.values()),
            "findings": [
                {"operation": "o", "place": f"p{place // 2}", "kind": f"k{place % 2}", "message": f"m{place}", "fix": "", "count": count, "first": WHERE, "last": WHERE}
                for place, count in places.items()
            ],
        }
        for rule, places in by_rule.items()
    ]  # fmt: skip
    of = {severity: [entry for entry in entries if entry["severity"] == severity] for severity in SEVERITIES}
    rules = [{"id": name, "severity": SEVERITIES[index // 2], "title": "t", "source": "s", "fix": "m.", "count": 0} for index, name in enumerate(RULES)]  # fmt: skip
    return {
        "format": REPORT_FORMAT, "emulator": "0", "now": 0.0,
        "summary": {"requests": 9, "verdicts": dict.fromkeys(("ok", "warning", "violation", "injected", "failed"), 0), "violations": len(of["violation"]), "warnings": len(of["warning"]), "coverage": {}},
        "violations": of["violation"], "warnings": of["warning"], "coverage": {}, "rules": rules, "unmatchedFaults": [],
    }  # fmt: skip


def identities(report: dict[str, Any]) -> set[tuple[str, ...]]:
    """The findings of a report."""
    return {
        (entry["id"], *identity(finding))
        for severity in SEVERITIES
        for entry in report[f"{severity}s"]
        for finding in entry["findings"]
    }


FINDINGS = st.lists(st.tuples(st.integers(0, 3), st.integers(0, 5), st.integers(1, 3)), max_size=8)


@given(FINDINGS, FINDINGS)
def test_what_is_left_is_what_the_baseline_does_not_have(now: list[Any], then: list[Any]) -> None:
    report, baseline = made(now), made(then)
    left = beyond(report, baseline)
    assert identities(left) == identities(report) - identities(baseline)
    assert left["summary"]["known"] == len(identities(report) & identities(baseline))
    for severity in SEVERITIES:
        assert left["summary"][f"{severity}s"] == len(left[f"{severity}s"])
    for entry in (*left["violations"], *left["warnings"]):
        assert entry["findings"] and entry["count"] == sum(finding["count"] for finding in entry["findings"])
    told = {entry["id"]: entry["count"] for entry in (*left["violations"], *left["warnings"])}
    assert {rule["id"]: rule["count"] for rule in left["rules"]} == dict.fromkeys(RULES, 0) | told
    assert (report, baseline) == (made(now), made(then)), "what was given is not changed"
    assert identities(beyond(report, report)) == set()
    assert beyond(left, baseline) == left, "and so it is the second time"


def test_known_ones_are_summed_up_by_a_merge() -> None:
    report = made([(0, 1, 1), (2, 1, 1), (2, 2, 1)])
    left = beyond(report, made([(0, 1, 1), (2, 2, 5)]))
    assert merged([left, left])["summary"]["known"] == 4
    assert "known" not in merged([report])["summary"]


@pytest.mark.parametrize("form", FORMATS)
def test_all_forms_say_how_many_are_known(form: str) -> None:
    report = made([(0, 1, 1), (0, 2, 1), (2, 1, 1)])
    left = beyond(report, made([(0, 1, 1), (2, 1, 1)]))
    text = rendered(left, form)
    if form != "json":
        assert left_out(left) in text
    assert left_out(left).startswith("2 findings known") and left_out(report) == ""
    assert ("m2" in text, "m1" in text) == (True, False)
    nothing = rendered(beyond(report, report), form)
    assert ("taken every request" in nothing) is False, "some were refused, only not for anything new"
    assert verdict(beyond(report, report)) == "no new violations, no new warnings"
    assert verdict(report) == "1 rule violated, warnings of 1 rule"
    if form == "junit":
        root = ElementTree.fromstring(nothing)
        assert (root.get("failures"), root.get("skipped")) == ("0", "0")


def test_the_command(api: Api, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """What was there before fails nothing; the same mistake at another place, or another one at the same, does."""
    old = tmp_path / "old.json"
    configs = f"/connectionSpecs/{DATA_LAKE}/configs?outputField=datasets"

    def report(*arguments: object) -> tuple[int, str, str]:
        status = main(["report", "--url", api.url, *map(str, arguments)])
        captured = capsys.readouterr()
        return status, captured.out, captured.err

    api.get(configs)
    api.get("/flows/")
    assert report("--output", old)[0] == 1
    assert report("--baseline", old, "--fail-on", "warning")[0] == 0
    api.get("/runs/")
    assert report("--baseline", old)[0] == 0
    status, text, _ = report("--baseline", old, "--fail-on", "warning")
    first, second, *_ = text.splitlines()
    assert (status, first) == (1, "Contract report: 3 requests, no new violations, new warnings of 1 rule")
    assert second == "2 findings known from the baseline, left out here"
    assert "list:runs" not in second and "/runs" in text
    api.get(f"{configs}&outputType=x")
    status, _, told = report("--baseline", old, "--output", tmp_path / "new.json")
    assert (status, told) == (
        1,
        f"{tmp_path / 'new.json'}: 1 rule violated, new warnings of 1 rule; 2 findings known from the baseline, left out here\n",
    )
    (entry,) = json.loads((tmp_path / "new.json").read_text())["violations"]
    assert (entry["count"], [finding["place"] for finding in entry["findings"]]) == (1, ["query.outputType"])
    for name, reason in (("none.json", "cannot read"), ("bad.json", "no contract report")):
        (tmp_path / "bad.json").write_text("{}")
        status, text, told = report("--baseline", tmp_path / name)
        assert (status, text) == (2, "") and reason in told
