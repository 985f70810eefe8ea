"""The contract report as one HTML page that stands alone: no scripts, no fonts, nothing loaded; for phones and for paper too.

It has links to the sources of the rules, which nothing follows but a reader.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime
from html import escape
from typing import Any, Final

from flow_service_emulator.reports.words import (
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
    where,
)

SECTIONS: Final = (
    (
        "violations",
        "The real service refuses this.",
        "No violations: the real service would have taken every request.",
    ),
    ("warnings", "This works, but it is undocumented, deprecated or fragile.", "No warnings."),
)
"""(key of the report, what it means, what is said when it is empty)."""
STYLE: Final = """
:root { color-scheme: light dark; --text: #1c1f23; --dim: #565d66; --page: #fff; --card: #f5f6f8; --line: #d3d8de;
  --bad: #b3261e; --warn: #8a5a00; --good: #1b6e3c; --link: #0b57c2; }
@media (prefers-color-scheme: dark) { :root { --text: #e8eaed; --dim: #a9b1ba; --page: #16181b; --card: #202327; --line: #3b4047;
  --bad: #ff8a80; --warn: #ffc266; --good: #7bd69b; --link: #8ab8ff; } }
* { box-sizing: border-box; }
body { margin: 0; background: var(--page); color: var(--text); font: 1rem/1.5 system-ui, sans-serif; overflow-wrap: anywhere; }
header, main, footer { max-width: 62rem; margin: 0 auto; padding: 1rem; }
h1 { font-size: 1.6rem; line-height: 1.2; margin: 0 0 .25rem; }
h2 { font-size: 1.3rem; margin: 2.5rem 0 .25rem; padding-top: .5rem; border-top: 2px solid var(--line); }
h3 { font-size: 1.05rem; margin: 0 0 .25rem; }
p { margin: .25rem 0; }
a { color: var(--link); }
nav a { display: inline-block; padding: .5rem .75rem .5rem 0; }
code, .request { font-family: ui-monospace, monospace; font-size: .875em; }
.dim, .request { color: var(--dim); }
.bad { color: var(--bad); } .warn { color: var(--warn); } .good { color: var(--good); }
.verdict { font-size: 1.15rem; font-weight: 600; }
.numbers { display: grid; grid-template-columns: repeat(auto-fit, minmax(9rem, 1fr)); gap: .75rem; margin: 1rem 0; padding: 0; list-style: none; }
.numbers li, article { background: var(--card); border: 1px solid var(--line); border-radius: .5rem; padding: .75rem 1rem; }
.numbers strong { display: block; font-size: 1.5rem; line-height: 1.2; }
article { margin: .75rem 0; border-left: .3rem solid var(--line); }
article.violation { border-left-color: var(--bad); } article.warning { border-left-color: var(--warn); }
dl { display: grid; grid-template-columns: max-content 1fr; gap: .15rem .75rem; margin: .5rem 0; }
dt { color: var(--dim); } dd { margin: 0; }
.findings { margin: .5rem 0 0; padding-left: 1.2rem; } .findings li { margin: .4rem 0; }
.bar { height: .5rem; border: 1px solid var(--dim); border-radius: .25rem; overflow: hidden; max-width: 24rem; }
.bar span { display: block; height: 100%; background: var(--dim); -webkit-print-color-adjust: exact; print-color-adjust: exact; }
.names { margin: .25rem 0 .75rem; padding-left: 1.2rem; columns: 20rem; column-gap: 2rem; font-size: .9rem; }
.names li { break-inside: avoid; }
@media (max-width: 30rem) { dl { grid-template-columns: 1fr; } dd { margin-bottom: .35rem; } }
@media print {
  :root { --text: #000; --dim: #444; --page: #fff; --card: #fff; --line: #888; --bad: #8c1d18; --warn: #6b4600; --good: #14532d; }
  nav { display: none; } body { font-size: 10pt; } header, main, footer { max-width: none; padding: 0; }
  article, .numbers li { break-inside: avoid; } h2, h3 { break-after: avoid; }
}
"""


def html_report(report: Mapping[str, Any]) -> str:
    """The report as a page."""
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
<nav aria-label="Sections"><a href="#violations">Violations</a><a href="#warnings">Warnings</a><a href="#coverage">Coverage</a></nav>
</header><main>"""
    yield from _numbers(report["summary"])
    for key, meaning, empty in SECTIONS:
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
    for finding in rule["findings"]:
        place, message = map(escape, told(finding))
        times = f", {finding['count']:,} times in all" if finding["count"] > 1 else ""
        yield f"<li>{f'<code>{place}</code> ' if place else ''}{message}"
        yield f'<br><span class="request">{escape(where(finding))}{times}</span></li>'
    yield "</ul></article>"


def _source(rule: Mapping[str, Any]) -> str:
    """What a rule rests on, as a link where its address is known; a report that was saved may have anything for one."""
    name, address = escape(rule["source"]), str(rule.get("sourceUrl", ""))
    return f'<a href="{escape(address)}" rel="noreferrer">{name}</a>' if address.startswith("https://") else name


def _dimension(title: str, part: Mapping[str, Any]) -> Iterator[str]:
    met, total = len(part["met"]), part["total"]
    share = 100 * met / total if total else 0
    yield f"<article><h3>{title[:1].upper()}{title[1:]}: {met} of {total}</h3>"
    yield f'<div class="bar" aria-hidden="true"><span style="width:{share:.0f}%"></span></div>'
    for heading, names in (("Met", part["met"]), ("Never met", part["never"])):
        if names:
            yield f"<p><strong>{heading}</strong></p>{_list('names', [*grouped(names)])}"
    yield "</article>"


def _list(kind: str, items: Sequence[str]) -> str:
    return f'<ul class="{kind}">{"".join(f"<li>{escape(item)}</li>" for item in items)}</ul>'
