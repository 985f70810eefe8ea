"""Entries of the journal for people: each request on a line, and below a bad one why it is bad and how to fix it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

MAX_FINDINGS = 5
NOTHING = "No requests came in."


def explained(entries: Iterable[Mapping[str, Any]]) -> str:
    """The entries as text, in their order."""
    return "\n".join(line for entry in entries for line in _lines(entry)) or NOTHING


def _lines(entry: Mapping[str, Any]) -> list[str]:
    query = f"?{entry['query']}" if entry["query"] else ""
    status = entry["status"] or "no answer"
    verdict = "" if entry["verdict"] == "ok" else f"  [{entry['verdict']}]"
    lines = [
        f"#{entry['number']} {entry['method']} {entry['path']}{query} -> {status} ({entry['durationMs']:.1f} ms){verdict}"
    ]
    if entry["fault"]:
        lines.append(f"     by the fault rule {entry['fault']}")
    findings = entry["findings"]
    fixed: set[str] = set()
    for finding in findings[:MAX_FINDINGS]:
        lines.append(f"     {finding['rule']}: {finding['message']}")
        if finding.get("fix") and finding["rule"] not in fixed:
            fixed.add(finding["rule"])
            lines.append(f"     to fix it: {finding['fix']}")
    if len(findings) > MAX_FINDINGS:
        lines.append(f"     and {len(findings) - MAX_FINDINGS} more")
    if entry["status"] >= 400 and not findings and (said := _said(entry["answer"].get("body"))):
        lines.append(f"     {said}")
    return lines


def _said(body: Any) -> str:
    """The sentence of an error's body."""
    if not isinstance(body, dict):
        return ""
    names = ("errorMessage", "message", "detail", "error_description")
    return next((str(body[name]) for name in names if body.get(name)), "")
