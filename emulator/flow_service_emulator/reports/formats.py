"""The contract report in its four forms; each is made of the report's JSON alone, by the server or by the command."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

import orjson

from flow_service_emulator.reports.words import Detail, Severity

FORMATS: Final[Mapping[str, str]] = {
    "json": "application/json",
    "text": "text/plain; charset=utf-8",
    "junit": "application/xml; charset=utf-8",
    "html": "text/html; charset=utf-8",
}
"""The forms, and the content type of each."""
ENDINGS: Final[Mapping[str, str]] = {".html": "html", ".json": "json", ".xml": "junit", ".txt": "text"}
"""Ending of a file's name -> the form that belongs into it."""


def form_of(path: Path) -> str | None:
    """The form that a file's ending asks for; None for another ending."""
    return ENDINGS.get(path.suffix.lower())


def form_named(name: str) -> str:
    """The form of a name, which may also be the ending of its files: `xml` is `junit`. Other names stay as they are."""
    return name if name in FORMATS else ENDINGS.get(f".{name}", name)


def rendered(
    report: Mapping[str, Any],
    form: str,
    fail_on: Severity = "violation",
    *,
    colour: bool = False,
    coverage: Detail = "short",
) -> str:
    """The report in one of FORMATS.

    `fail_on` is from which severity on JUnit's test cases fail; `colour` is for terminals, and `coverage` for texts. A form is
    imported when it is asked for first: a server that is not asked does not pay for it.
    """
    if form == "text":
        from flow_service_emulator.reports.text import text_report

        return text_report(report, colour=colour, coverage=coverage)
    if form == "junit":
        from flow_service_emulator.reports.junit import junit_report

        return junit_report(report, fail_on)
    if form == "html":
        from flow_service_emulator.reports.html import html_report

        return html_report(report)
    return orjson.dumps(report, option=orjson.OPT_INDENT_2).decode() + "\n"


def fails(report: Mapping[str, Any], fail_on: Severity) -> bool:
    """Whether the report has what `fail_on` names, or worse."""
    return bool(report["violations"]) or (fail_on == "warning" and bool(report["warnings"]))
