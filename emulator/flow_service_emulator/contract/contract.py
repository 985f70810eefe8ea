"""Holds every request against the contract, and keeps the sums: what was refused, what is fragile, what was never tried.

The sums are bounded and do not depend on what the journal still has.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

from flow_service_emulator import __version__
from flow_service_emulator.catalog import Catalog
from flow_service_emulator.contract.coverage import Coverage, what_is_there
from flow_service_emulator.contract.habits import Habits
from flow_service_emulator.contract.judge import AUTHORIZATION, ORG, SANDBOX, Judge
from flow_service_emulator.contract.rules import Rule, contract_rules
from flow_service_emulator.contract.seen import Finding, Seen
from flow_service_emulator.reports.words import REPORT_FORMAT, identity

MAX_PLACES: Final = 50
"""Findings of one rule told apart by operation, place and kind; what comes on top is only counted."""
MAX_MESSAGE: Final = 500
ANY: Final = "*"
EVERYWHERE: Final = (AUTHORIZATION, "headers.x-api-key", ORG, SANDBOX)
"""Places that are the same for all operations; what is found there is told once, with ANY as its operation."""
OK, WARNING, VIOLATION, INJECTED, FAILED = "ok", "warning", "violation", "injected", "failed"
VERDICTS: Final = (OK, WARNING, VIOLATION, INJECTED, FAILED)
"""Nothing to say; works, but; refused; a fault rule's doing; the emulator's own failure."""
_INDEX: Final = re.compile(r"\[\d+\]")


class _Sums:
    """What has been counted. The same as JSON is a snapshot; raises LookupError or TypeError for what is none."""

    def __init__(self, snapshot: Mapping[str, Any] | None = None) -> None:
        stored: Mapping[str, Any] = snapshot or {"verdicts": {}, "rules": {}, "findings": [], "coverage": None}
        self.verdicts: Counter[str] = Counter(stored["verdicts"])
        self.rules: Counter[str] = Counter(stored["rules"])
        self.findings: dict[tuple[str, ...], dict[str, Any]] = {
            (finding["rule"], *identity(finding)): dict(finding) for finding in stored["findings"]
        }
        self.places = Counter(rule for rule, *_ in self.findings)
        self.coverage = Coverage(stored["coverage"])

    def snapshot(self) -> dict[str, Any]:
        findings = [dict(finding) for finding in self.findings.values()]
        return {
            "verdicts": dict(self.verdicts),
            "rules": dict(self.rules),
            "findings": findings,
            "coverage": {dimension: dict(counts) for dimension, counts in self.coverage.met.items()},
        }

    def add(self, finding: Finding, seen: Seen) -> None:
        operation = ANY if finding.place in EVERYWHERE else seen.name
        place = _INDEX.sub("[]", finding.place)
        key = (finding.rule, operation, place, finding.kind)
        known = self.findings.get(key)
        if known is not None:
            known["count"] += 1
            known["last"] = seen.where
        elif self.places[finding.rule] < MAX_PLACES:
            self.places[finding.rule] += 1
            self.findings[key] = {
                "rule": finding.rule, "operation": operation, "place": place, "kind": finding.kind,
                "message": finding.message[:MAX_MESSAGE], "count": 1, "first": seen.where, "last": seen.where,
            }  # fmt: skip


class Contract:
    """The judge of requests, and the keeper of the report.

    `document` gives the OpenAPI description, which says what there is to be met; `unmatched` the rules of injected faults that
    no request has met.
    """

    def __init__(
        self,
        catalog: Catalog,
        *,
        now: Callable[[], float],
        document: Callable[[], Mapping[str, Any]],
        unmatched: Callable[[], Sequence[Mapping[str, Any]]] = tuple,
    ) -> None:
        self.rules: dict[str, Rule] = contract_rules(catalog)
        self._catalog = catalog
        self._judge = Judge(catalog, self.rules)
        self._now = now
        self._document = document
        self._unmatched = unmatched
        self._there: dict[str, dict[str, str]] | None = None
        self.reset()

    def reset(self) -> None:
        self._sums = _Sums()
        self._habits = Habits()

    def clear(self) -> None:
        """Empties the report. What was deleted is still known."""
        self._sums = _Sums()
        self._habits.pages.clear()

    def judge(self, seen: Seen) -> tuple[str, list[Finding]]:
        """The verdict on a request, one of VERDICTS, and what it rests on. Adds both to the report."""
        sums = self._sums
        findings = self._judge.findings(seen, self._habits)
        sums.coverage.note(seen)
        self._habits.note(seen)
        if findings:
            sums.rules.update({finding.rule for finding in findings})
            for finding in findings:
                sums.add(finding, seen)
        verdict = self._verdict(seen, findings)
        sums.verdicts[verdict] += 1
        return verdict, findings

    def verdicts(self) -> dict[str, int]:
        """How many requests there were of each verdict."""
        return {verdict: self._sums.verdicts[verdict] for verdict in VERDICTS}

    def report(self) -> dict[str, Any]:
        """The whole report as JSON."""
        if self._there is None:
            self._there = what_is_there(self._document(), self._catalog)
        counts = Counter(self._sums.rules)
        findings: dict[str, list[dict[str, Any]]] = {}
        for finding in self._sums.findings.values():
            findings.setdefault(finding["rule"], []).append(finding)
        if pages := self._pages_not_followed():
            findings["page-not-followed"] = pages
            counts["page-not-followed"] = sum(page["count"] for page in pages)
        told = [self._told(rule, counts[rule.id], findings.get(rule.id, [])) for rule in self.rules.values()]
        violations = [rule for rule in told if rule["count"] and rule["severity"] == VIOLATION]
        warnings = [rule for rule in told if rule["count"] and rule["severity"] == WARNING]
        coverage = self._sums.coverage.report(self._there)
        return {
            "format": REPORT_FORMAT,
            "emulator": __version__,
            "now": self._now(),
            "summary": {
                "requests": self._sums.verdicts.total(),
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
            "rules": [{name: value for name, value in rule.items() if name != "findings"} for rule in told],
            "unmatchedFaults": list(self._unmatched()),
        }

    def snapshot(self) -> dict[str, Any]:
        return self._sums.snapshot() | {"habits": self._habits.snapshot()}

    def read(self, snapshot: Any) -> tuple[_Sums, Habits]:
        """Raises ValueError for what is no snapshot of the report."""
        try:
            return _Sums(snapshot), Habits(**snapshot["habits"])
        except (LookupError, TypeError, ValueError):
            raise ValueError("this is no snapshot of the contract report") from None

    def restore(self, read: tuple[_Sums, Habits]) -> None:
        self._sums, self._habits = read

    def _verdict(self, seen: Seen, findings: Sequence[Finding]) -> str:
        exchange = seen.exchange
        if findings and VIOLATION in [self.rules[finding.rule].severity for finding in findings]:
            return VIOLATION
        if exchange.fault is not None:
            return INJECTED
        if exchange.error is not None and not findings and exchange.error not in self.rules:
            return FAILED
        return WARNING if findings else OK

    def _pages_not_followed(self) -> list[dict[str, Any]]:
        """A finding for each operation that announced pages which have not been fetched by now."""
        found: dict[str, dict[str, Any]] = {}
        message = "the answer announced a next page, which was not asked for"
        for page in self._habits.pages.values():
            new = {"operation": page["operation"], "place": "", "kind": "", "message": message, "count": 0}
            finding = found.setdefault(page["operation"], new | {"first": page["where"]})
            finding |= {"count": finding["count"] + 1, "last": page["where"]}
        return list(found.values())

    @staticmethod
    def _told(rule: Rule, count: int, findings: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
        told = [{name: value for name, value in finding.items() if name != "rule"} for finding in findings]
        return rule.as_json() | {"count": count, "findings": sorted(told, key=lambda finding: -finding["count"])}
