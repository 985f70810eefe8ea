"""The contract report for a terminal."""

from __future__ import annotations

import re
import textwrap
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final

from flow_service_emulator.reports.words import (
    TITLES,
    Detail,
    counted,
    grouped,
    left_out,
    printable,
    quality,
    untold_place,
    verdict,
    where,
)

WIDTH: Final = 100
ALL_NAMES: Final = "  Every name: report --coverage full, ?coverage=full, or the report as HTML or JSON."
MAX_SHOWN: Final = 10
"""Findings shown of one rule."""
_RED, _YELLOW, _GREEN, _BOLD, _DIM, _END = "\x1b[31m", "\x1b[33m", "\x1b[32m", "\x1b[1m", "\x1b[2m", "\x1b[0m"


def text_report(report: Mapping[str, Any], *, colour: bool = False, coverage: Detail = "short") -> str:
    """The report as lines of text. `coverage` is how much is said of it."""
    return "\n".join(line.rstrip() for line in _lines(report, _Paint(colour), coverage)) + "\n"


class _Paint:
    """Colours, where they are wanted."""

    def __init__(self, colour: bool) -> None:
        self._colour = colour

    def __call__(self, code: str, text: str) -> str:
        return f"{code}{text}{_END}" if self._colour else text


def _lines(report: Mapping[str, Any], paint: _Paint, coverage: Detail) -> Iterator[str]:
    summary = report["summary"]
    colour = {"bad": _RED, "good": _GREEN, "unknown": _YELLOW}[quality(report)]
    seen = f"{counted(summary['requests'], 'request')}, " if summary["requests"] else ""
    yield paint(_BOLD, f"Contract report: {seen}") + paint(colour, verdict(report))
    if told := left_out(report):
        yield told
    for title, code, entries in (("VIOLATIONS: the real service refuses this", _RED, report["violations"]), ("WARNINGS: works, but is undocumented, deprecated or fragile", _YELLOW, report["warnings"])):  # fmt: skip
        if entries:
            yield from ("", paint(code + _BOLD, title))
        for entry in entries:
            yield from _rule(entry, paint)
    yield from ("", paint(_BOLD, "COVERAGE: what this client has met, and what it never has"))
    parts = {TITLES.get(dimension, dimension): part for dimension, part in report["coverage"].items()}
    if coverage == "full":
        for title, part in parts.items():
            yield from _dimension(title, part, paint)
        return
    for title, part in parts.items():
        yield _dimension_in_short(title, part, paint)
    if any(part["never"] for part in parts.values()):
        yield paint(_DIM, ALL_NAMES)


def _rule(entry: Mapping[str, Any], paint: _Paint) -> Iterator[str]:
    code = f" [{entry['code']}]" if "code" in entry else ""
    yield ""
    yield f"  {paint(_BOLD, entry['title'])} ({entry['id']}{code}, {counted(entry['count'], 'request')})"
    yield from _wrapped("    fix:   ", entry["fix"])
    yield from _wrapped("    source: ", entry["source"])
    for finding in entry["findings"][:MAX_SHOWN]:
        untold = untold_place(finding)
        yield from _wrapped("    - ", f"{untold}: {finding['message']}" if untold else finding["message"])
        times = f", {finding['count']:,} times" if finding["count"] > 1 else ""
        yield from (paint(_DIM, line) for line in _wrapped("      ", where(finding) + times))
    if len(entry["findings"]) > MAX_SHOWN:
        yield f"    and {len(entry['findings']) - MAX_SHOWN} more places"


def _dimension(title: str, part: Mapping[str, Any], paint: _Paint) -> Iterator[str]:
    met, total = len(part["met"]), part["total"]
    yield ""
    yield f"  {paint(_BOLD, title)}: {met} of {total}"
    if part["met"]:
        yield from _wrapped("    met:   ", _listed(part["met"]))
    if part["never"]:
        yield from _wrapped("    never: ", _listed(part["never"]))


def _dimension_in_short(title: str, part: Mapping[str, Any], paint: _Paint) -> str:
    """One line: how much was met and how often, and of what was not as much as has room."""
    line = f": {len(part['met'])} of {part['total']}"
    if part["met"]:
        line += f", {counted(sum(entry['count'] for entry in part['met']), 'time')}"
    names = [printable(entry["title"]) for entry in part["never"]]
    room = WIDTH - len(title) - len(line) - len("  ; never  and 999 more")
    shown: list[str] = []
    for name in names:
        room -= len(name) + len(", ")
        if room < 0:
            break
        shown.append(name)
    left = len(names) - len(shown)
    told = ", ".join(shown) + (f" and {left} more" if left and shown else f"{left} of them" if left else "")
    return f"  {paint(_BOLD, title)}{line}" + (f"; never {told}" if told else "")


def _listed(names: Sequence[Mapping[str, Any]]) -> str:
    """Names for a line that is wrapped between them: the first word, a method or a code, stays with what follows."""
    return ", ".join(name.replace(" ", "\N{NO-BREAK SPACE}", 1) for name in grouped(names))


def _wrapped(lead: str, text: str) -> Iterator[str]:
    width = max(WIDTH - len(lead), 20)
    text = printable(re.sub(r"[ \t\r\n]+", " ", text))
    lines = textwrap.wrap(text, width, break_long_words=False, break_on_hyphens=False) or [""]
    for index, line in enumerate(lines):
        line = line.replace("\N{NO-BREAK SPACE}", " ")
        yield (lead if index == 0 else " " * len(lead)) + line
