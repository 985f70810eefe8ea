"""The contract report as one HTML page that stands alone: no scripts, no fonts, nothing loaded; for phones and for paper too.

It has links to the sources of the rules, which nothing follows but a reader.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime
from html import escape
from pathlib import Path
from typing import Any, Final

from flow_service_emulator.reports.report import (
    TITLES,
    UNMATCHED,
    counted,
    grouped,
    left_out,
    printable,
    quality,
    told,
    unmatched,
    verdict,
)

SECTIONS: Final = (
    ("violations", "The real service refuses this.", "No violations: the real service would have taken every request."),
    ("warnings", "This works, but it is undocumented, deprecated or fragile.", "No warnings."),
)
"""(key of the report, what it means, what is said when it is empty)."""
STYLE: Final = (Path(__file__).parent / "report.css").read_text("utf-8")


def html_report(report: Mapping[str, Any]) -> str:
    """The report as a page; `dashboard` in it is an address that leads to it, where it is shown by a server."""
    return printable("".join(f"{line}\n" for line in _page(report)))


def _page(report: Mapping[str, Any]) -> Iterator[str]:
    at = datetime.fromtimestamp(report["now"], UTC).strftime("%Y-%m-%d %H:%M:%S UTC")
    said, known = verdict(report), left_out(report)
    yield f"""<!doctype html>
<html lang="en">
<head><meta charset="utf-8"><meta name="viewport" content="width=device-width, initial-scale=1">
<title>Flow Service contract report: {escape(said)}</title>
<style>{STYLE}</style></head>
<body><header><h1>Flow Service contract report</h1>
<p class="verdict {quality(report)}">{escape(said[:1].upper() + said[1:])}</p>
{f"<p>{escape(known)}</p>" if known else ""}
<p class="dim">What this client sent to the emulator, held against what the real service takes. Emulator time {at}.</p>
<nav aria-label="Sections"><a href="#violations">Violations</a><a href="#warnings">Warnings</a><a href="#coverage">Coverage</a>{_dashboard(report)}</nav>
</header><main>"""
    yield from _numbers(report["summary"])
    for key, meaning, empty in SECTIONS:
        if "comparison" in report:
            meaning = f"{meaning[:-1]}, or the service and the emulator disagree."
        if known or quality(report) == "unknown":
            empty = f"No new {key}." if known else f"No {key}: no request was seen."
        yield f'<section aria-labelledby="{key}"><h2 id="{key}">{key.title()}</h2>'
        yield f'<p class="dim">{meaning if report[key] else empty}</p>'
        for rule in report[key]:
            yield from _rule(rule)
        yield "</section>"
    if rules := unmatched(report):
        yield f'<section aria-labelledby="faults"><h2 id="faults">{UNMATCHED}</h2>{_list("findings", rules)}</section>'
    yield """<section aria-labelledby="coverage"><h2 id="coverage">Coverage</h2>
<p class="dim">What this client has met, and what it never has. Query parameters and body fields count where the request was accepted.</p>"""
    for dimension, part in report["coverage"].items():
        yield from _dimension(TITLES.get(dimension, dimension), part)
    yield "</section></main>"
    yield f'<footer><p class="dim">flow-service-emulator {escape(report["emulator"])}</p></footer></body></html>'


def _dashboard(report: Mapping[str, Any]) -> str:
    return f'<a href="{escape(report["dashboard"])}">Dashboard</a>' if "dashboard" in report else ""


def _numbers(summary: Mapping[str, Any]) -> Iterator[str]:
    """The sums at the top."""
    verdicts = summary["verdicts"]
    yield '<ul class="numbers">'
    for number, text, kind in (
        (summary["requests"], "requests", ""),
        (verdicts["violation"], "refused for a violation", "bad"),
        (verdicts["warning"], "with a warning", "warn"),
        (verdicts["injected"], "met an injected fault", ""),
    ):
        yield f'<li><strong class="{kind if number else ""}">{number:,}</strong> {text}</li>'
    yield "</ul>"


def _rule(rule: Mapping[str, Any]) -> Iterator[str]:
    code = f" <code>{escape(rule['code'])}</code>" if "code" in rule else ""
    yield f"""<article class="{escape(rule["severity"])}"><h3>{escape(rule["title"])}</h3>
<p class="dim"><code>{escape(rule["id"])}</code>{code}, {counted(rule["count"], "request")}</p>
<dl><dt>How to fix it</dt><dd>{escape(rule["fix"])}</dd><dt>Source</dt><dd>{_source(rule)}</dd></dl>
<ul class="findings">"""
    shown = ""
    for finding, texts in zip(rule["findings"], told(rule), strict=True):
        place, message, where = map(escape, texts)
        yield f"<li><div>{f'<code>{place}</code> ' if place else ''}{message}"
        yield f'<br><span class="request">{where}</span></div>'
        sent = finding.get("sent", "")
        if sent and sent != shown:  # what one request has wrong in two places is shown once
            shown = sent
            yield f'<pre tabindex="0">{escape(sent)}</pre>'
        yield "</li>"
    yield "</ul></article>"


def _source(rule: Mapping[str, Any]) -> str:
    """What a rule rests on, as a link where its address is known."""
    name = escape(rule["source"])
    return f'<a href="{escape(rule["sourceUrl"])}" rel="noreferrer">{name}</a>' if "sourceUrl" in rule else name


def _dimension(title: str, part: Mapping[str, Any]) -> Iterator[str]:
    met, total = len(part["met"]), part["total"]
    share = 100 * met / total if total else 0
    yield f"<details><summary><h3>{title[:1].upper()}{title[1:]}: {met} of {total}</h3>"
    yield f'<div class="bar" aria-hidden="true"><span style="width:{share:.0f}%"></span></div></summary>'
    for heading, names in (("Met", part["met"]), ("Never met", part["never"])):
        if names:
            yield f"<p><strong>{heading}</strong></p>{_list('names', [*grouped(names)])}"
    yield "</details>"


def _list(kind: str, items: Sequence[str]) -> str:
    return f'<ul class="{kind}">{"".join(f"<li>{escape(item)}</li>" for item in items)}</ul>'
