"""The contract report: its shape, several made one, what is new beside a baseline, and the words all its forms share."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Final, Literal

REPORT_FORMAT: Final = 4
"""The version of the report's shape. 4: findings have a fix of their own."""
MAX_FINDINGS: Final = 500
"""Findings of one rule told apart by operation, place and kind; what comes on top is only counted."""
Severity = Literal["violation", "warning"]
SEVERITIES: Final[tuple[Severity, ...]] = ("violation", "warning")
"""What is refused, and what works but is fragile; the worse first."""
TITLES: Final[Mapping[str, str]] = {
    "operations": "operations",
    "parameters": "query parameters accepted",
    "fields": "body fields accepted",
    "destinations": "destinations",
    "fileForms": "file forms",
    "statuses": "statuses",
    "errors": "error codes",
}
"""Dimension of the coverage -> what people call it."""
Detail = Literal["short", "full"]
DETAILS: Final[tuple[Detail, ...]] = ("short", "full")
"""How much a text says of the coverage: a line for each dimension, or every name."""
UNMATCHED: Final = "Rules of injected faults that nothing has met"
_UNPRINTABLE: Final = (
    "[^\t\n\r\x20-\x7e\xa0-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]"
    "|[\u061c\u200b\u200e\u200f\u2028-\u202e\u2060-\u206f\ufeff\ufff9-\ufffb\U000e0000-\U000e007f]"
)
"""What is no character of XML; and, of those that are, what breaks lines, turns the direction of writing or is not seen. Compiled on first use: it takes two milliseconds."""


class NoReport(ValueError):
    """What was given is no contract report of this version."""


def built(
    rules: Sequence[Mapping[str, Any]], coverage: Mapping[str, Any], *,
    requests: int, verdicts: Mapping[str, int], known: int | None = None, **rest: Any,
) -> dict[str, Any]:  # fmt: skip
    """A report of all `rules`, each with its `count` and `findings`; `rest` are `emulator`, `now` and `unmatchedFaults`."""
    met = {f"{name}s": [rule for rule in rules if rule["count"] and rule["severity"] == name] for name in SEVERITIES}
    return {
        "format": REPORT_FORMAT,
        "summary": {
            "requests": requests,
            "verdicts": verdicts,
            **{name: len(rules) for name, rules in met.items()},
            **({} if known is None else {"known": known}),
            "coverage": {name: {"met": len(part["met"]), "total": part["total"]} for name, part in coverage.items()},
        },
        **met,
        "coverage": coverage,
        "rules": [{name: value for name, value in rule.items() if name != "findings"} for rule in rules],
        **rest,
    }


def all_rules(report: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Every rule with its findings, those that were not met with none."""
    met = {rule["id"]: rule for name in SEVERITIES for rule in report[f"{name}s"]}
    return [met.get(rule["id"], {**rule, "count": 0, "findings": []}) for rule in report["rules"]]


def merged(reports: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """One report that says what all of `reports` say together, oldest first, in the same shape.

    Raises NoReport when there is none, or when one of them is no contract report of this version.
    """
    if not reports:
        raise NoReport("there is no report")
    if any(not isinstance(report, Mapping) or report.get("format") != REPORT_FORMAT for report in reports):
        raise NoReport("this is no contract report of this version")
    try:
        summaries = [report["summary"] for report in reports]
        known = [summary["known"] for summary in summaries if "known" in summary]
        return built(
            _summed(rule for report in reports for rule in all_rules(report)),
            _coverage([report["coverage"] for report in reports]),
            requests=sum(summary["requests"] for summary in summaries),
            verdicts={name: sum(each["verdicts"][name] for each in summaries) for name in summaries[0]["verdicts"]},
            known=sum(known) if known else None,
            emulator=reports[-1]["emulator"],
            now=max(report["now"] for report in reports),
            unmatchedFaults=[rule for report in reports for rule in report["unmatchedFaults"]],
        )
    except (AttributeError, KeyError, TypeError):
        raise NoReport("this is no whole contract report") from None


def read_report(file: Path) -> dict[str, Any]:
    """A report that was saved as JSON. Raises NoReport for a file with anything else, or none."""
    try:
        return merged([json.loads(file.read_bytes())])
    except OSError as reason:
        raise NoReport(f"cannot read {file}: {reason.strerror or reason}") from None
    except (ValueError, RecursionError):
        raise NoReport(f"{file} is no contract report in JSON of this version") from None


def beyond(report: Mapping[str, Any], baseline: Mapping[str, Any]) -> dict[str, Any]:
    """The report without the findings that `baseline`, an older report, has as well.

    The same finding is one of the same rule, operation, place and kind, in whichever request and of whichever client. A rule
    of which nothing is left counts as not met. `summary.known` says how many findings are left out. Requests and coverage stay
    as they are. Raises NoReport when one of the two is no contract report of this version.
    """
    old = {(rule["id"], *identity(each)) for rule in all_rules(merged([baseline])) for each in rule["findings"]}
    new = merged([report])
    summary, rules, known = new["summary"], [], new["summary"].get("known", 0)
    for rule in all_rules(new):
        left = [finding for finding in rule["findings"] if (rule["id"], *identity(finding)) not in old]
        known += len(rule["findings"]) - len(left)
        count = min(rule["count"], sum(finding["count"] for finding in left))  # a request can have several of them
        rules.append({**rule, "findings": left, "count": count})
    rest = {name: new[name] for name in ("emulator", "now", "unmatchedFaults")}
    return built(
        rules, new["coverage"], requests=summary["requests"], verdicts=summary["verdicts"], known=known, **rest
    )


def _summed(rules: Iterable[Mapping[str, Any]]) -> list[dict[str, Any]]:
    summed: dict[str, dict[str, Any]] = {}
    for rule in rules:
        known = summed.setdefault(rule["id"], {**rule, "count": 0, "findings": {}})
        known["count"] += rule["count"]
        findings = known["findings"]
        for finding in rule["findings"]:
            key = identity(finding)
            if key in findings:
                findings[key] |= {"count": findings[key]["count"] + finding["count"], "last": finding["last"]}
            elif len(findings) < MAX_FINDINGS:
                findings[key] = dict(finding)
    return [{**rule, "findings": by_count(rule["findings"].values())} for rule in summed.values()]


def by_count(findings: Iterable[dict[str, Any]]) -> list[dict[str, Any]]:
    """The findings, those that were met most often first."""
    return sorted(findings, key=lambda finding: -finding["count"])


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


def verdict(report: Mapping[str, Any]) -> str:
    """The report in a few words: `2 rules violated, warnings of 1 rule`."""
    summary = report["summary"]
    if not summary["requests"]:
        return "no request was seen"
    violated, warned, new = summary["violations"], summary["warnings"], "new " if "known" in summary else ""
    violations = f"{counted(violated, 'rule')} violated" if violated else f"no {new}violations"
    return f"{violations}, {new}warnings of {counted(warned, 'rule')}" if warned else f"{violations}, no {new}warnings"


def quality(report: Mapping[str, Any]) -> Literal["good", "bad", "unknown"]:
    """How it went; unknown for a report of no requests, whose client may never have reached the emulator."""
    if report["summary"]["violations"]:
        return "bad"
    return "good" if report["summary"]["requests"] else "unknown"


def left_out(report: Mapping[str, Any]) -> str:
    """How many findings are not told because a baseline has them; empty for a report without a baseline."""
    known = report["summary"].get("known")
    return "" if known is None else f"{counted(known, 'finding')} known from the baseline, left out here"


def unmatched(report: Mapping[str, Any]) -> list[str]:
    """The rules of injected faults that nothing has met: `error: list:flows (id 3f)`."""
    return [
        f"{rule['kind']}: {rule.get('operation') or rule.get('path') or 'any request'} (id {rule['id']})"
        for rule in report["unmatchedFaults"]
    ]


def identity(finding: Mapping[str, Any]) -> tuple[str, ...]:
    """What tells a finding from the others of its rule: operation, place, kind, and how it is fixed."""
    return finding["operation"], finding["place"], finding["kind"], finding["fix"]


def told(rule: Mapping[str, Any]) -> Iterator[tuple[str, str, str]]:
    """Of each finding the place, empty when the message has it already; the message and its fix; and where it was met.

    `POST /data/…/flows (request 12, status 400, in tests/test_flows.py::test_create), 3 times`
    """
    for finding in rule["findings"]:
        place, first, count = finding["place"], finding["first"], finding["count"]
        named = re.search(re.escape(place).replace(r"\[\]", r"\[\d+\]"), finding["message"])
        test = f", in {first['test']}" if "test" in first else ""
        where = f"{first['method']} {first['path']} (request {first['entry']}, status {first['status']}{test})"
        message = f"{finding['message'].rstrip('.')}. {finding['fix']}" if finding["fix"] else finding["message"]
        yield "" if named else place, message, where + (f", {count:,} times" if count > 1 else "")


def grouped(names: Iterable[Mapping[str, Any]]) -> Iterator[str]:
    """The titles of what is covered, those put together that share what stands before a colon: `GET /flows (limit, count)`."""
    groups: dict[str, list[str]] = {}
    for entry in names:
        before, colon, after = entry["title"].partition(": ")
        groups.setdefault(before, []).extend([after] if colon else [])
    for before, members in groups.items():
        yield f"{before} ({', '.join(members)})" if members else before


def printable(text: str) -> str:
    """A text that any page, XML document or terminal can take: what a client sent may have control characters in it."""
    return re.sub(_UNPRINTABLE, "\N{REPLACEMENT CHARACTER}", text)


def counted(number: int, thing: str) -> str:
    """`1 request`, `2 requests`."""
    return f"{number:,} {thing}" if number == 1 else f"{number:,} {thing}s"
