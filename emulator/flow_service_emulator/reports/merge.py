"""Several contract reports made one, and what a report says beyond an older one, its baseline."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, Final

from flow_service_emulator.reports.words import REPORT_FORMAT, SEVERITIES, identity

MAX_FINDINGS: Final = 50
"""Findings of one rule, as in the report of one server."""


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


def beyond(report: Mapping[str, Any], baseline: Mapping[str, Any]) -> dict[str, Any]:
    """The report without the findings that `baseline`, an older report, has as well.

    The same finding is one of the same rule, operation, place and kind, in whichever request and of whichever client. A rule
    of which nothing is left counts as not met. `summary.known` says how many findings are left out. Requests and coverage stay
    as they are. Raises NoReport when one of the two is no contract report of this version.
    """
    known = set(_identities(merged([baseline])))
    new = merged([report])
    before = len(list(_identities(new)))
    for severity in SEVERITIES:
        rules = [_beyond(rule, known) for rule in new[f"{severity}s"]]
        new[f"{severity}s"] = [rule for rule in rules if rule["findings"]]
        new["summary"][f"{severity}s"] = len(new[f"{severity}s"])
    new["summary"]["known"] = new["summary"].get("known", 0) + before - len(list(_identities(new)))
    return new | {"rules": _counted(new["rules"], new)}


def _merged(reports: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    rules = {rule["id"]: rule for report in reports for rule in report["rules"]}
    met = {severity: _rules(rule for report in reports for rule in report[f"{severity}s"]) for severity in SEVERITIES}
    coverage = _coverage([report["coverage"] for report in reports])
    verdicts = [report["summary"]["verdicts"] for report in reports]
    known = [report["summary"]["known"] for report in reports if "known" in report["summary"]]
    told = {f"{severity}s": [met[severity][name] for name in rules if name in met[severity]] for severity in SEVERITIES}
    return {
        "format": REPORT_FORMAT,
        "emulator": reports[-1]["emulator"],
        "now": max(report["now"] for report in reports),
        "summary": {
            "requests": sum(report["summary"]["requests"] for report in reports),
            "verdicts": {name: sum(each[name] for each in verdicts) for name in verdicts[0]},
            **{name: len(met) for name, met in told.items()},
            **({"known": sum(known)} if known else {}),
            "coverage": {name: {"met": len(part["met"]), "total": part["total"]} for name, part in coverage.items()},
        },
        **told,
        "coverage": coverage,
        "rules": _counted(rules.values(), told),
        "unmatchedFaults": [rule for report in reports for rule in report["unmatchedFaults"]],
    }


def _counted(rules: Iterable[Mapping[str, Any]], told: Mapping[str, Any]) -> list[dict[str, Any]]:
    """The rules with how often they were met."""
    counts = {rule["id"]: rule["count"] for severity in SEVERITIES for rule in told[f"{severity}s"]}
    return [{**rule, "count": counts.get(rule["id"], 0)} for rule in rules]


def _identities(report: Mapping[str, Any]) -> Iterator[tuple[str, ...]]:
    for severity in SEVERITIES:
        for rule in report[f"{severity}s"]:
            for finding in rule["findings"]:
                yield rule["id"], *identity(finding)


def _beyond(rule: Mapping[str, Any], known: set[tuple[str, ...]]) -> dict[str, Any]:
    """A rule with the findings that are not known. A request can have several of them, so their sum may be too much."""
    left = [finding for finding in rule["findings"] if (rule["id"], *identity(finding)) not in known]
    return {**rule, "findings": left, "count": min(rule["count"], sum(finding["count"] for finding in left))}


def _rules(told: Iterable[Mapping[str, Any]]) -> dict[str, dict[str, Any]]:
    """The rules that were broken or warned of, by id, with the findings of all reports."""
    rules: dict[str, dict[str, Any]] = {}
    findings: dict[str, dict[tuple[str, str, str], dict[str, Any]]] = {}
    for each in told:
        rule = rules.setdefault(each["id"], {**each, "count": 0})
        rule["count"] += each["count"]
        places = findings.setdefault(each["id"], {})
        for finding in each["findings"]:
            key = identity(finding)
            if key in places:
                places[key] |= {"count": places[key]["count"] + finding["count"], "last": finding["last"]}
            elif len(places) < MAX_FINDINGS:
                places[key] = dict(finding)
    for name, rule in rules.items():
        rule["findings"] = sorted(findings[name].values(), key=lambda finding: -finding["count"])
    return rules


def _coverage(parts: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """By dimension, what at least one report has met, how often, and what none has."""
    merged: dict[str, Any] = {}
    for dimension in dict.fromkeys(name for part in parts for name in part):
        each = [part[dimension] for part in parts if dimension in part]
        met: dict[str, dict[str, Any]] = {}
        for entry in (entry for part in each for entry in part["met"]):
            known = met.setdefault(entry["name"], {**entry, "count": 0})
            known["count"] += entry["count"]
        never = {entry["name"]: entry for part in each for entry in part["never"] if entry["name"] not in met}
        merged[dimension] = {"total": len(met) + len(never), "met": [*met.values()], "never": [*never.values()]}
    return merged
