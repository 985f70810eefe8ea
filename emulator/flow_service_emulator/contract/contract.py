"""Holds every request against the contract, and keeps the sums: what was refused, what is fragile, what was never tried.

The sums are bounded and do not depend on what the journal still has.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from typing import Any, Final

from flow_service_emulator import __version__
from flow_service_emulator.catalog import Catalog
from flow_service_emulator.contract.coverage import DIMENSIONS, Coverage, what_is_there
from flow_service_emulator.contract.habits import Habits, refused_etag
from flow_service_emulator.contract.headers import (
    API_KEY,
    AUTHORIZATION,
    ORG,
    REQUIRED,
    SANDBOX,
    header_warnings,
    missing_headers,
)
from flow_service_emulator.contract.leniences import Leniences
from flow_service_emulator.contract.places import message_of, place_and_kind
from flow_service_emulator.contract.rules import NOT_THE_CLIENTS, Rule, contract_rules
from flow_service_emulator.contract.sighting import Finding, Sighting
from flow_service_emulator.contract.sources import source_url
from flow_service_emulator.reports.words import REPORT_FORMAT, identity
from flow_service_emulator.settings import LATEST_TIME
from flow_service_emulator.validation.validation import SchemaValidator

MAX_PLACES: Final = 50
"""Findings of one rule told apart by operation, place and kind; what comes on top is only counted."""
MAX_OF_REQUEST: Final = 20
ANY: Final = "*"
EVERYWHERE: Final = (AUTHORIZATION, API_KEY, ORG, SANDBOX)
"""Places that are the same for all operations; what is found there is told once, with ANY as its operation."""
MAX_MESSAGE: Final = 500
OK, WARNING, VIOLATION, INJECTED, FAILED = "ok", "warning", "violation", "injected", "failed"
VERDICTS: Final = (OK, WARNING, VIOLATION, INJECTED, FAILED)
"""Nothing to say; works, but; refused; a fault rule's doing; the emulator's own failure."""

Key = tuple[str, str, str, str]
"""What tells findings apart: rule, operation, place, kind."""

_INDEX: Final = r"\[\d+\]"
_COUNT: Final = {"type": "integer", "minimum": 0, "maximum": 2**52}
_COUNTS: Final = {"type": "object", "additionalProperties": _COUNT}
_AT: Final = {"type": "number", "minimum": 0, "maximum": LATEST_TIME}
_TEXT: Final = {"type": "string"}
_WHERE: Final = {
    "type": "object",
    "required": ["entry", "requestId", "method", "path", "status", "at"],
    "properties": {
        "entry": _COUNT,
        **dict.fromkeys(("requestId", "method", "path"), _TEXT),
        "status": _COUNT,
        "at": _AT,
    },
}
_FINDING: Final = {
    "type": "object",
    "required": ["rule", "operation", "place", "kind", "message", "count", "first", "last"],
    "properties": {
        **dict.fromkeys(("rule", "operation", "place", "kind", "message"), _TEXT),
        "count": _COUNT,
        "first": _WHERE,
        "last": _WHERE,
    },
}
_PAGE: Final = {
    "type": "object",
    "required": ["operation", "entry", "path", "at"],
    "properties": {"operation": _TEXT, "path": _TEXT, "entry": _COUNT, "at": _AT},
}
SNAPSHOT: Final = {
    "type": "object",
    "required": ["counts", "rules", "findings", "coverage", "habits"],
    "properties": {
        "counts": _COUNTS,
        "rules": _COUNTS,
        "findings": {"type": "array", "items": _FINDING},
        "coverage": {"type": "object", "required": list(DIMENSIONS), "additionalProperties": _COUNTS},
        "habits": {
            "type": "object",
            "required": ["deleted", "shown", "pages"],
            "properties": {
                "deleted": {"type": "array", "items": _TEXT},
                "shown": {
                    "type": "array",
                    "items": {"type": "array", "items": [_TEXT, _AT], "minItems": 2, "maxItems": 2},
                },
                "pages": {
                    "type": "array",
                    "items": {"type": "array", "items": [_TEXT, _PAGE], "minItems": 2, "maxItems": 2},
                },
            },
        },
    },
}
"""The shape of the contract's part of a snapshot."""


class Contract:
    """The judge of requests, and the keeper of the report.

    `document` gives the OpenAPI description, which says what there is to be met; `expiry` is `Habits`'.
    """

    def __init__(
        self,
        catalog: Catalog,
        *,
        now: Callable[[], float],
        document: Callable[[], Mapping[str, Any]],
        expiry: Callable[[str], float | None],
    ) -> None:
        self.rules: dict[str, Rule] = contract_rules(catalog.errors)
        self._catalog = catalog
        self._leniences = Leniences(catalog)
        self._header_messages = {name: catalog.errors.kinds[name].message for name in REQUIRED}
        self._now = now
        self._document = document
        self._there: dict[str, dict[str, str]] | None = None
        self._coverage = Coverage()
        self._habits = Habits(expiry)
        self.reset()

    def reset(self) -> None:
        self._habits.reset()
        self.begin_anew()

    def begin_anew(self) -> None:
        """Empties the report."""
        self._counts: Counter[str] = Counter()
        self._rules: Counter[str] = Counter()
        self._findings: dict[Key, dict[str, Any]] = {}
        self._places: Counter[str] = Counter()
        self._coverage.reset()
        self._habits.begin_anew()

    def judge(self, seen: Sighting) -> tuple[str, list[Finding]]:
        """The verdict on a request, one of VERDICTS, and what it rests on. Adds both to the report."""
        findings = self._findings_of(seen)
        self._coverage.note(seen)
        if findings:
            findings = list(dict.fromkeys(findings))[:MAX_OF_REQUEST]
            for rule in {finding.rule for finding in findings}:
                self._rules[rule] += 1
            for finding in findings:
                self._tally(finding, seen)
        verdict = self._verdict(seen, findings)
        self._counts["requests"] += 1
        self._counts[verdict] += 1
        return verdict, findings

    def report(self) -> dict[str, Any]:
        """The whole report as JSON: `summary`, `violations`, `warnings`, `coverage`, and all `rules` with their counts."""
        if self._there is None:
            self._there = what_is_there(self._document(), self._catalog, self.rules)
        sums, findings = self._sums()
        met = [
            self._rule_report(rule, sums[rule.id], findings.get(rule.id, []))
            for rule in self.rules.values()
            if sums[rule.id]
        ]
        violations = [entry for entry in met if entry["severity"] == VIOLATION]
        warnings = [entry for entry in met if entry["severity"] == WARNING]
        coverage = self._coverage.report(self._there)
        return {
            "format": REPORT_FORMAT,
            "emulator": __version__,
            "now": self._now(),
            "summary": {
                "requests": self._counts["requests"],
                "verdicts": self.verdicts(),
                "violations": len(violations),
                "warnings": len(warnings),
                "coverage": {
                    name: {"met": len(part["met"]), "total": part["total"]} for name, part in coverage.items()
                },
            },
            "violations": violations,
            "warnings": warnings,
            "coverage": coverage,
            "rules": [_rule_json(rule) | {"count": sums[rule.id]} for rule in self.rules.values()],
        }

    def verdicts(self) -> dict[str, int]:
        """How many requests there were of each verdict."""
        return {verdict: self._counts[verdict] for verdict in VERDICTS}

    def snapshot(self) -> dict[str, Any]:
        return {
            "counts": dict(self._counts),
            "rules": dict(self._rules),
            "findings": [dict(finding) for finding in self._findings.values()],
            "coverage": self._coverage.snapshot(),
            "habits": self._habits.snapshot(),
        }

    def read(self, snapshot: Any) -> dict[str, Any]:
        """Raises ValueError, saying what is wrong, for what is no snapshot of the sums."""
        for violation in SchemaValidator(SNAPSHOT).violations(snapshot):
            raise ValueError(violation.message)
        sums: dict[str, Any] = snapshot
        return sums

    def restore(self, snapshot: dict[str, Any]) -> None:
        self._counts, self._rules = Counter(snapshot["counts"]), Counter(snapshot["rules"])
        self._findings = {_key(finding): dict(finding) for finding in snapshot["findings"]}
        self._places = Counter(finding["rule"] for finding in snapshot["findings"])
        self._coverage.restore(snapshot["coverage"])
        self._habits.restore(snapshot["habits"])

    def _findings_of(self, seen: Sighting) -> list[Finding]:
        exchange = seen.exchange
        findings = [Finding(warning.rule, warning.path, warning.message) for warning in exchange.warnings]
        self._habits.note(seen, findings)
        if exchange.error is not None:
            findings += self._refusal(seen)
        elif seen.body is not None or exchange.operation == "listConfigs":
            findings += self._leniences.note(seen)
        if exchange.path.startswith("/data/"):
            findings += missing_headers(seen, self._header_messages)
            findings += header_warnings(seen)
        return findings

    def _refusal(self, seen: Sighting) -> Iterator[Finding]:
        """What a refusal says about the client; nothing when a fault rule refused in the service's place."""
        exchange, error = seen.exchange, seen.exchange.error
        if exchange.injected or error in NOT_THE_CLIENTS:
            return
        if error == "version-mismatch":
            if exchange.fault is None:
                yield refused_etag(seen)
        elif error == "gateway-token-not-valid" and self._habits.knows_token(seen):
            return  # it had expired, which is a warning already
        elif error == "resource-not-found" and self._habits.was_deleted(seen):
            return
        elif error in self.rules and error not in REQUIRED:  # a missing header is told with all others
            violations = seen.report.get("violations")
            if isinstance(violations, list) and violations:
                for violation in violations[:MAX_OF_REQUEST]:
                    place, message, kind = (str(violation[name]) for name in ("path", "message", "rule"))
                    yield Finding(error, place, message, kind)
            elif "field" in seen.report:
                yield Finding(error, str(seen.report["field"]), message_of(seen))
            else:
                place, kind = place_and_kind(seen)
                yield Finding(error, place, message_of(seen), kind)

    def _verdict(self, seen: Sighting, findings: list[Finding]) -> str:
        if findings and VIOLATION in {
            self.rules[finding.rule].severity for finding in findings if finding.rule in self.rules
        }:
            return VIOLATION
        if seen.exchange.fault is not None:
            return INJECTED
        if seen.exchange.error in NOT_THE_CLIENTS:
            return FAILED
        return WARNING if findings else OK

    def _tally(self, finding: Finding, seen: Sighting) -> None:
        operation = ANY if finding.place in EVERYWHERE else seen.name
        key = (finding.rule, operation, re.sub(_INDEX, "[]", finding.place), finding.kind)
        kept = self._findings.get(key)
        if kept is None and self._places[finding.rule] >= MAX_PLACES:
            return
        where = {
            "entry": seen.number,
            "requestId": seen.exchange.request_id,
            "method": seen.exchange.method,
            "path": seen.path[:200],
            "status": seen.status,
            "at": seen.at,
        }
        if kept is None:
            rule, operation, place, kind = key
            message = finding.message[:MAX_MESSAGE]
            self._places[rule] += 1
            self._findings[key] = {
                "rule": rule, "operation": operation, "place": place, "kind": kind, "message": message, "count": 1,
                "first": where, "last": where,
            }  # fmt: skip
        else:
            kept["count"] += 1
            kept["last"] = where

    def _sums(self) -> tuple[Counter[str], dict[str, list[dict[str, Any]]]]:
        """Requests and findings by rule, with the pages that have not been followed by now."""
        sums, findings = Counter(self._rules), dict[str, list[dict[str, Any]]]()
        for finding in self._findings.values():
            findings.setdefault(finding["rule"], []).append(finding)
        pages: dict[str, dict[str, Any]] = {}
        for page in self._habits.open_pages():
            where = {
                "entry": page["entry"],
                "requestId": "",
                "method": "GET",
                "path": page["path"],
                "status": 200,
                "at": page["at"],
            }
            kept = pages.setdefault(
                page["operation"],
                {
                    "operation": page["operation"],
                    "place": "",
                    "kind": "",
                    "message": "the answer announced a next page, which was not asked for",
                    "count": 0,
                    "first": where,
                },
            )
            kept["count"] += 1
            kept["last"] = where
        if pages:
            findings["page-not-followed"] = list(pages.values())
            sums["page-not-followed"] = sum(page["count"] for page in pages.values())
        return sums, findings

    def _rule_report(self, rule: Rule, count: int, findings: list[dict[str, Any]]) -> dict[str, Any]:
        told = [{name: value for name, value in finding.items() if name != "rule"} for finding in findings]
        return _rule_json(rule) | {"count": count, "findings": sorted(told, key=lambda finding: -finding["count"])}


def _rule_json(rule: Rule) -> dict[str, Any]:
    """A rule without the fields that it does not have."""
    about = {
        "id": rule.id, "severity": rule.severity, "title": rule.title, "code": rule.code, "status": rule.status,
        "source": rule.source, "sourceUrl": source_url(rule.source), "fix": rule.fix,
    }  # fmt: skip
    return {name: value for name, value in about.items() if value not in ("", None)}


def _key(finding: Mapping[str, Any]) -> Key:
    return finding["rule"], *identity(finding)
