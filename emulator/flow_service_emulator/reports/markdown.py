"""The contract report as Markdown, for the summary of a CI job: what is wrong first, the coverage folded.

It is GitHub's Markdown (https://github.github.com/gfm/), in which HTML's `details` folds.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from itertools import islice
from typing import Any, Final

from flow_service_emulator.reports.report import (
    SEVERITIES,
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

SIGNS: Final = {"good": "✅", "bad": "❌", "unknown": "❔"}
MAX_SHOWN: Final = 10
"""Findings shown of one rule: a summary is at most a megabyte."""


def markdown_report(report: Mapping[str, Any]) -> str:
    return printable("".join(f"{line}\n" for line in _lines(report)))


def _lines(report: Mapping[str, Any]) -> Iterator[str]:
    requests = counted(report["summary"]["requests"], "request")
    yield from (f"## {SIGNS[quality(report)]} Flow Service contract report", "")
    yield f"{requests}: **{verdict(report)}**" + (f" ({left_out(report)})" if left_out(report) else "")
    for severity in SEVERITIES:
        for rule in report[f"{severity}s"]:
            yield from _rule(rule)
    if rules := unmatched(report):
        yield from ("", f"### {UNMATCHED}", "", *(f"- {_text(rule)}" for rule in rules))
    yield from ("", "<details><summary>Coverage</summary>", "", "| what | met | never met |", "|---|---|---|")
    for dimension, part in report["coverage"].items():
        never = ", ".join(_text(name) for name in grouped(part["never"]))
        yield f"| {TITLES.get(dimension, dimension)} | {len(part['met'])} of {part['total']} | {never} |"
    yield from ("", "</details>")


def _rule(rule: Mapping[str, Any]) -> Iterator[str]:
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
