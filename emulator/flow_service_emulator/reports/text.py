"""The contract report for a terminal."""

from __future__ import annotations

import re
import textwrap
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, Final

from flow_service_emulator.reports.words import (
    TITLES,
    UNMATCHED,
    Detail,
    counted,
    grouped,
    left_out,
    printable,
    quality,
    told,
    unmatched,
    verdict,
    where,
)

WIDTH: Final = 100
ALL_NAMES: Final = "  Every name: report --coverage full, ?coverage=full, or the report as HTML or JSON."
MAX_SHOWN: Final = 10
"""Findings shown of one rule."""
_RED, _YELLOW, _GREEN, _BOLD, _DIM, _END = "\x1b[31m", "\x1b[33m", "\x1b[32m", "\x1b[1m", "\x1b[2m", "\x1b[0m"
_SECTIONS: Final = (
    ("violations", _RED, "VIOLATIONS: the real service refuses this"),
    ("warnings", _YELLOW, "WARNINGS: works, but is undocumented, deprecated or fragile"),
)
Paint = Callable[[str, str], str]


def text_report(report: Mapping[str, Any], *, colour: bool = False, coverage: Detail = "short") -> str:
    """The report as lines of text. `coverage` is how much is said of it."""

    def paint(code: str, text: str) -> str:
        return f"{code}{text}{_END}" if colour else text

    return "\n".join(line.rstrip() for line in _lines(report, paint, coverage)) + "\n"


def _lines(report: Mapping[str, Any], paint: Paint, coverage: Detail) -> Iterator[str]:
    requests = report["summary"]["requests"]
    colour = {"bad": _RED, "good": _GREEN, "unknown": _YELLOW}[quality(report)]
    seen = f"{counted(requests, 'request')}, " if requests else ""
    yield paint(_BOLD, f"Contract report: {seen}") + paint(colour, verdict(report))
    if known := left_out(report):
        yield known
    for key, code, title in _SECTIONS:
        if report[key]:
            yield from ("", paint(code + _BOLD, title))
        for rule in report[key]:
            yield from _rule(rule, paint)
    if rules := unmatched(report):
        yield from ("", paint(_BOLD, UNMATCHED))
        yield from (line for rule in rules for line in _wrapped("  - ", rule))
    yield from ("", paint(_BOLD, "COVERAGE: what this client has met, and what it never has"))
    dimension = _dimension if coverage == "full" else _dimension_in_short
    for name, part in report["coverage"].items():
        yield from dimension(TITLES.get(name, name), part, paint)
    if coverage == "short" and any(part["never"] for part in report["coverage"].values()):
        yield paint(_DIM, ALL_NAMES)


def _rule(rule: Mapping[str, Any], paint: Paint) -> Iterator[str]:
    code = f" [{rule['code']}]" if "code" in rule else ""
    yield ""
    yield f"  {paint(_BOLD, rule['title'])} ({rule['id']}{code}, {counted(rule['count'], 'request')})"
    yield from _wrapped("    fix:    ", rule["fix"])
    yield from _wrapped("    source: ", rule["source"])
    for finding in rule["findings"][:MAX_SHOWN]:
        yield from _wrapped("    - ", ": ".join(filter(None, told(finding))))
        times = f", {finding['count']:,} times" if finding["count"] > 1 else ""
        yield from (paint(_DIM, line) for line in _wrapped("      ", where(finding) + times))
    if len(rule["findings"]) > MAX_SHOWN:
        yield f"    and {len(rule['findings']) - MAX_SHOWN} more places"


def _dimension(title: str, part: Mapping[str, Any], paint: Paint) -> Iterator[str]:
    yield ""
    yield f"  {paint(_BOLD, title)}: {len(part['met'])} of {part['total']}"
    for lead, names in (("    met:   ", part["met"]), ("    never: ", part["never"])):
        if names:
            yield from _wrapped(lead, _listed(names))


def _dimension_in_short(title: str, part: Mapping[str, Any], paint: Paint) -> Iterator[str]:
    """One line: how much was met and how often, and of what was not as much as has room."""
    line = f": {len(part['met'])} of {part['total']}"
    if part["met"]:
        line += f", {counted(sum(entry['count'] for entry in part['met']), 'time')}"
    names = [printable(entry["title"]) for entry in part["never"]]
    room = WIDTH - len(title) - len(line) - len("  ; never  and 999 more")
    shown = [name for index, name in enumerate(names) if len(", ".join(names[: index + 1])) + 2 <= room]
    left = len(names) - len(shown)
    if names:
        line += "; never " + (", ".join(shown) + (f" and {left} more" if left else "") if shown else f"{left} of them")
    yield f"  {paint(_BOLD, title)}{line}"


def _listed(names: Sequence[Mapping[str, Any]]) -> str:
    """Names for a line that is wrapped between them: the first word, a method or a code, stays with what follows."""
    return ", ".join(name.replace(" ", "\N{NO-BREAK SPACE}", 1) for name in grouped(names))


def _wrapped(lead: str, text: str) -> Iterator[str]:
    text = printable(re.sub(r"[ \t\r\n]+", " ", text))
    lines = textwrap.wrap(text, WIDTH - len(lead), break_long_words=False, break_on_hyphens=False) or [""]
    for index, line in enumerate(lines):
        yield (lead if index == 0 else " " * len(lead)) + line.replace("\N{NO-BREAK SPACE}", " ")
