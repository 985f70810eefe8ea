"""The words that all forms of the contract report have in common."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, Final, Literal

REPORT_FORMAT: Final = 3
"""The version of the report's shape. 3: it has the rules of faults that nothing has met."""
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
_UNPRINTABLE: Final = re.compile(
    "[^\t\n\r\x20-\x7e\xa0-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]"
    "|[\u061c\u200b\u200e\u200f\u2028-\u202e\u2060-\u206f\ufeff\ufff9-\ufffb\U000e0000-\U000e007f]"
)
"""What is no character of XML; and, of those that are, what breaks lines, turns the direction of writing or is not seen."""


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


def identity(finding: Mapping[str, Any]) -> tuple[str, str, str]:
    """What tells a finding from the others of its rule: operation, place and kind."""
    return finding["operation"], finding["place"], finding["kind"]


def told(finding: Mapping[str, Any]) -> tuple[str, str]:
    """The place of a finding, empty when its message has it already, be it with the number of an item; and the message."""
    pattern = re.escape(finding["place"]).replace(r"\[\]", r"\[\d+\]")
    return "" if re.search(pattern, finding["message"]) else finding["place"], finding["message"]


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
    return _UNPRINTABLE.sub("\N{REPLACEMENT CHARACTER}", text)


def counted(number: int, thing: str) -> str:
    """`1 request`, `2 requests`."""
    return f"{number:,} {thing}" if number == 1 else f"{number:,} {thing}s"


def where(finding: Mapping[str, Any]) -> str:
    """Which request a finding was made in first, in which test, or that it cannot be looked up any more.

    `POST /data/…/flows (request 12, status 400, in tests/test_flows.py::test_create)`
    """
    first = finding["first"]
    test = f", in {first['test']}" if "test" in first else ""
    gone = "" if test or first.get("inJournal", True) else ", not in the journal any more"
    return f"{first['method']} {first['path']} (request {first['entry']}{gone}, status {first['status']}{test})"
