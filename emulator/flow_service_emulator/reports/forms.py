"""The contract report in its five forms; each is made of the report's JSON alone, by the server or by the command."""

from __future__ import annotations

import re
import textwrap
from collections.abc import Callable, Iterator, Mapping, Sequence
from itertools import islice
from pathlib import Path
from typing import Any, Final

import orjson

from flow_service_emulator.reports.report import (
    SEVERITIES,
    TITLES,
    UNMATCHED,
    Detail,
    Severity,
    all_rules,
    counted,
    grouped,
    identity,
    left_out,
    printable,
    quality,
    told,
    unmatched,
    verdict,
)

FORMATS: Final[Mapping[str, str]] = {
    "json": "application/json",
    "text": "text/plain; charset=utf-8",
    "junit": "application/xml; charset=utf-8",
    "html": "text/html; charset=utf-8",
    "markdown": "text/markdown; charset=utf-8",
}
"""The forms, and the content type of each."""
ENDINGS: Final[Mapping[str, str]] = {
    ".html": "html",
    ".json": "json",
    ".xml": "junit",
    ".txt": "text",
    ".md": "markdown",
}
"""Ending of a file's name -> the form that belongs into it."""
WIDTH: Final = 100
SIGNS: Final = {"good": "✅", "bad": "❌", "unknown": "❔"}
MAX_SHOWN: Final = 10
"""Findings shown of one rule in Markdown: a summary is at most a megabyte."""
ALL_NAMES: Final = "  Every name: report --coverage full, ?coverage=full, or the report as HTML or JSON."
_RED, _YELLOW, _GREEN, _BOLD, _DIM, _END = "\x1b[31m", "\x1b[33m", "\x1b[32m", "\x1b[1m", "\x1b[2m", "\x1b[0m"
_SECTIONS: Final = (
    ("violations", _RED, "VIOLATIONS: the real service refuses this"),
    ("warnings", _YELLOW, "WARNINGS: works, but is undocumented, deprecated or fragile"),
)
Paint = Callable[[str, str], str]


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

    `fail_on` is from which severity on JUnit's test cases fail; `colour` is for terminals, and `coverage` for texts.
    """
    if form == "text":
        return text_report(report, colour=colour, coverage=coverage)
    if form == "junit":
        return junit_report(report, fail_on)
    if form == "html":
        from flow_service_emulator.reports.html import html_report

        return html_report(report)
    if form == "markdown":
        return markdown_report(report)
    return orjson.dumps(report, option=orjson.OPT_INDENT_2).decode() + "\n"


def fails(report: Mapping[str, Any], fail_on: Severity) -> bool:
    """Whether the report has what `fail_on` names, or worse."""
    return bool(report["violations"]) or (fail_on == "warning" and bool(report["warnings"]))


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
    either = ", or the service and the emulator disagree" if "comparison" in report else ""
    for key, code, title in _SECTIONS:
        if report[key]:
            yield from ("", paint(code + _BOLD, title + either))
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
    for place, message, where in told(rule):
        yield from _wrapped("    - ", ": ".join(filter(None, (place, message))))
        yield from (paint(_DIM, line) for line in _wrapped("      ", where))


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
    text, below = printable(re.sub(r"[ \t\r\n]+", " ", text)), " " * len(lead)
    wrapper = textwrap.TextWrapper(WIDTH, lead, below, break_long_words=False, break_on_hyphens=False)
    for line in wrapper.wrap(text) or [lead]:
        yield line.replace("\N{NO-BREAK SPACE}", " ")


def markdown_report(report: Mapping[str, Any]) -> str:
    """For the summary of a CI job: what is wrong first, the coverage folded, by HTML in GitHub's Markdown."""
    return printable("".join(f"{line}\n" for line in _markdown_lines(report)))


def _markdown_lines(report: Mapping[str, Any]) -> Iterator[str]:
    requests = counted(report["summary"]["requests"], "request")
    yield from (f"## {SIGNS[quality(report)]} Flow Service contract report", "")
    yield f"{requests}: **{verdict(report)}**" + (f" ({left_out(report)})" if left_out(report) else "")
    for severity in SEVERITIES:
        for rule in report[f"{severity}s"]:
            yield from _markdown_rule(rule)
    if rules := unmatched(report):
        yield from ("", f"### {UNMATCHED}", "", *(f"- {_text(rule)}" for rule in rules))
    yield from ("", "<details><summary>Coverage</summary>", "", "| what | met | never met |", "|---|---|---|")
    for dimension, part in report["coverage"].items():
        never = ", ".join(_text(name) for name in grouped(part["never"]))
        yield f"| {TITLES.get(dimension, dimension)} | {len(part['met'])} of {part['total']} | {never} |"
    yield from ("", "</details>")


def _markdown_rule(rule: Mapping[str, Any]) -> Iterator[str]:
    code = f" {rule['code']}" if "code" in rule else ""
    address = str(rule.get("sourceUrl", ""))
    source = (
        f"[{_text(rule['source'])}]({address})"
        if re.fullmatch(r"https://[^\s()<>]+", address)
        else _text(rule["source"])
    )
    yield from ("", f"### {rule['severity'].title()}: {_text(rule['title'])}", "")
    yield f"`{rule['id']}`{code}, {counted(rule['count'], 'request')}. **Fix:** {_text(rule['fix'])} Source: {source}."
    yield ""
    for place, message, where in islice(told(rule), MAX_SHOWN):
        yield f"- {f'`{place}` ' if place and '`' not in place else ''}{_text(message)}<br>{_text(where)}"
    if len(rule["findings"]) > MAX_SHOWN:
        yield f"- and {len(rule['findings']) - MAX_SHOWN} more places"


def _text(text: str) -> str:
    """A text in one line, without what Markdown or HTML would make something of."""
    return re.sub(r"([\\`*_\[\]<>|#&~])", r"\\\1", " ".join(text.split()))


def junit_report(report: Mapping[str, Any], fail_on: Severity) -> str:
    """For build servers: each finding is a test case, and each rule that was kept; the coverage goes along as properties.

    A violation fails. What was only warned of is skipped with the warning as its reason, which build servers show without turning
    the build red; with `fail_on` `warning` it fails as well.
    """
    from xml.etree.ElementTree import Element, SubElement, indent, tostring  # who does not ask does not pay for it

    summary = report["summary"]
    properties = {"requests": str(summary["requests"])}
    properties |= {"baseline": known} if (known := left_out(report)) else {}
    properties |= {"unmatchedFaults": printable("; ".join(rules))} if (rules := unmatched(report)) else {}
    properties |= {
        f"coverage.{name}": f"{part['met']} of {part['total']}" for name, part in summary["coverage"].items()
    }
    root = Element("testsuites", name="Flow Service contract")
    for severity in SEVERITIES:
        suite = SubElement(root, "testsuite", name=f"{severity}s")
        named = SubElement(suite, "properties")
        for name, value in properties.items():
            SubElement(named, "property", name=name, value=value)
        fails = severity == "violation" or fail_on == "warning"
        for rule in (rule for rule in all_rules(report) if rule["severity"] == severity):
            about = {"classname": f"contract.{severity}.{rule['id']}", "time": "0"}
            if not rule["findings"]:
                SubElement(suite, "testcase", about, name=printable(rule["title"]))
            for finding, (place, message, where) in zip(rule["findings"], told(rule), strict=True):
                title = printable(" ".join(filter(None, identity(finding))))
                case = SubElement(suite, "testcase", about, name=title)
                summary = printable(": ".join(filter(None, (place, message))))
                outcome = SubElement(case, "failure" if fails else "skipped", message=summary)
                if fails:
                    outcome.set("type", rule["id"])
                fix = f"How to fix it: {finding['fix'] or rule['fix']}\nSource: {rule['source']}"
                text = printable(f"{summary}\n  {where}\n{fix}")
                (outcome if fails else SubElement(case, "system-out")).text = text
    for element in (*root, root):
        for count, tag in (("tests", "testcase"), ("failures", "failure"), ("errors", "error"), ("skipped", "skipped")):
            element.set(count, str(len(list(element.iter(tag)))))
    indent(root)
    return '<?xml version="1.0" encoding="UTF-8"?>\n' + tostring(root, encoding="unicode") + "\n"
