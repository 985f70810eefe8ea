"""Several contract reports made one: of the tests of a run, of its workers, of the jobs that shared the work."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final

from flow_service_emulator.reports.words import REPORT_FORMAT, SEVERITIES, identity

MAX_FINDINGS: Final = 50
"""Findings kept of one rule, as in the report of one server."""


class NoReport(ValueError):
    """What was given is no contract report of this version."""


def merged(reports: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """One report that says what all of `reports` say together, oldest first, in the same shape.

    Raises NoReport when there is none, or when one of them is no contract report of this version.
    """
    if not reports:
        raise NoReport("there is no report")
    if any(not isinstance(report, Mapping) or report.get("format") != REPORT_FORMAT for report in reports):
        raise NoReport("this is no contract report of this version")
    try:
        return _merged(reports)
    except (AttributeError, KeyError, TypeError):
        raise NoReport("this is no whole contract report") from None


def _merged(reports: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    met = {severity: _rules(entry for report in reports for entry in report[f"{severity}s"]) for severity in SEVERITIES}
    coverage = _coverage([report["coverage"] for report in reports])
    rules = {rule["id"]: rule for report in reports for rule in report["rules"]}
    counts = {id_: entry["count"] for entries in met.values() for id_, entry in entries.items()}
    verdicts = [report["summary"]["verdicts"] for report in reports]
    known = [report["summary"]["known"] for report in reports if "known" in report["summary"]]
    return {
        "format": REPORT_FORMAT,
        "emulator": reports[-1]["emulator"],
        "now": max(report["now"] for report in reports),
        "summary": {
            "requests": sum(report["summary"]["requests"] for report in reports),
            "verdicts": {name: sum(each[name] for each in verdicts) for name in verdicts[0]},
            **{f"{severity}s": len(met[severity]) for severity in SEVERITIES},
            **({"known": sum(known)} if known else {}),
            "coverage": {name: {"met": len(part["met"]), "total": part["total"]} for name, part in coverage.items()},
        },
        **{f"{severity}s": [met[severity][id_] for id_ in rules if id_ in met[severity]] for severity in SEVERITIES},
        "coverage": coverage,
        "rules": [rule | {"count": counts.get(id_, 0)} for id_, rule in rules.items()],
    }


def _rules(entries: Iterable[Mapping[str, Any]]) -> dict[str, dict[str, Any]]:
    """The rules that were broken or warned of, by id, with the findings of all reports."""
    rules: dict[str, dict[str, Any]] = {}
    findings: dict[str, dict[tuple[str, str, str], dict[str, Any]]] = {}
    for entry in entries:
        rule = rules.setdefault(entry["id"], {**entry, "count": 0})
        rule["count"] += entry["count"]
        places = findings.setdefault(entry["id"], {})
        for finding in entry["findings"]:
            key = identity(finding)
            if key in places:
                places[key] |= {"count": places[key]["count"] + finding["count"], "last": finding["last"]}
            elif len(places) < MAX_FINDINGS:
                places[key] = dict(finding)
    for id_, rule in rules.items():
        rule["findings"] = sorted(findings[id_].values(), key=lambda finding: -finding["count"])
    return rules


def _coverage(parts: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """By dimension, what at least one report has met, how often, and what none has."""
    merged: dict[str, Any] = {}
    for dimension in dict.fromkeys(name for part in parts for name in part):
        each = [part[dimension] for part in parts if dimension in part]
        met: dict[str, dict[str, Any]] = {}
        for entry in (entry for part in each for entry in part["met"]):
            kept = met.setdefault(entry["name"], {**entry, "count": 0})
            kept["count"] += entry["count"]
        never = {entry["name"]: entry for part in each for entry in part["never"] if entry["name"] not in met}
        merged[dimension] = {
            "total": len(met) + len(never),
            "met": list(met.values()),
            "never": list(never.values()),
        }
    return merged
