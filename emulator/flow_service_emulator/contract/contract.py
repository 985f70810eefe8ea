"""Holds every request against the contract, and keeps the sums: what was refused, what is fragile, what was met and what never.

The sums are bounded and do not depend on what the journal still has.
"""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, Final, TypeVar
from urllib.parse import parse_qs

from flow_service_emulator import __version__
from flow_service_emulator.api.exchange import Exchange, read_json
from flow_service_emulator.api.operations import Operation
from flow_service_emulator.catalog import Catalog
from flow_service_emulator.contract.hints import AUTHORIZATION, Hints, header
from flow_service_emulator.contract.judge import ORG, SANDBOX, Judge
from flow_service_emulator.contract.rules import DIMENSIONS, Rule, contract_rules, what_is_there
from flow_service_emulator.entities import Scope
from flow_service_emulator.errors import ServiceError
from flow_service_emulator.masking import replaced
from flow_service_emulator.reports.report import MAX_FINDINGS, built, by_count, identity
from flow_service_emulator.validation.validation import Finding

Value = TypeVar("Value")
MAX_MESSAGE: Final = 500
MAX_REMEMBERED: Final = 5_000
"""Deleted entities, and pages; what was seen longest ago is forgotten first."""
WHOLE_PAGE: Final = 20
"""A smaller `limit` is taken as asking for the first few on purpose."""
ANY: Final = "*"
EVERYWHERE: Final = (AUTHORIZATION, "headers.x-api-key", ORG, SANDBOX)
"""Places that are the same for all operations; what is found there is told once, with ANY as its operation."""
OK, WARNING, VIOLATION, INJECTED, FAILED = "ok", "warning", "violation", "injected", "failed"
VERDICTS: Final = (OK, WARNING, VIOLATION, INJECTED, FAILED)
"""Nothing to say; works, but; refused; a fault rule's doing; the emulator's own failure."""
_NOTHING: Final[Mapping[str, Any]] = {
    "verdicts": {}, "rules": {}, "findings": (), "coverage": {name: {} for name in DIMENSIONS},
    "deleted": (), "pages": {},
}  # fmt: skip
_INDEX: Final = re.compile(r"\[\d+\]")
_END: Final = b'"}}}'
"""How a list ends that announces a next page."""
_MORE: Final = re.compile(rb'"end":(\d+),"total":\d+,"hasNext":true\}\}$')
"""How a list of datasets ends that has more."""


class Sums:
    """What has been counted, and what is remembered of earlier requests, for every organization and sandbox apart.

    A snapshot is the same as JSON; what is none raises LookupError, TypeError or ValueError.
    """

    def __init__(self, stored: Mapping[str, Any] = _NOTHING) -> None:
        self.verdicts: Counter[str] = Counter(stored["verdicts"])
        self.rules: Counter[str] = Counter(stored["rules"])
        self.findings: dict[tuple[str, ...], dict[str, Any]] = {
            (finding["rule"], *identity(finding)): dict(finding) for finding in stored["findings"]
        }
        self.places = Counter(rule for rule, *_ in self.findings)
        self.met = {name: Counter[str](stored["coverage"][name]) for name in DIMENSIONS}
        self.deleted = dict.fromkeys(stored["deleted"], True)
        self.pages: dict[str, dict[str, Any]] = dict(stored["pages"])
        """The pages that were announced and not fetched: the `operation`, and which request announced it (`where`)."""

    def snapshot(self) -> dict[str, Any]:
        return {
            "verdicts": dict(self.verdicts), "rules": dict(self.rules),
            "findings": [dict(finding) for finding in self.findings.values()],
            "coverage": {dimension: dict(counts) for dimension, counts in self.met.items()},
            "deleted": list(self.deleted), "pages": dict(self.pages),
        }  # fmt: skip

    def add(self, finding: Finding, exchange: Exchange) -> None:
        operation = ANY if finding.place in EVERYWHERE else exchange.name
        place = _INDEX.sub("[]", finding.place)
        key = (finding.rule, operation, place, finding.kind, finding.fix)
        known = self.findings.get(key)
        if known is not None:
            known |= {"count": known["count"] + 1, "last": exchange.where}
        elif self.places[finding.rule] < MAX_FINDINGS:
            self.places[finding.rule] += 1
            self.findings[key] = {
                "rule": finding.rule, "operation": operation, "place": place, "kind": finding.kind,
                "message": finding.message[:MAX_MESSAGE], "fix": finding.fix, "count": 1, "first": exchange.where, "last": exchange.where,
            }  # fmt: skip

    def cover(self, exchange: Exchange, body: Any) -> None:
        """Counts what was met: an operation, status or error however it came about, the rest when it was accepted."""
        name, met = exchange.operation, self.met
        if exchange.status:
            met["statuses"][str(exchange.status)] += 1
        if exchange.error is not None:
            met["errors"][exchange.error] += 1
        if name is None:
            return
        met["operations"][name] += 1
        if not exchange.was_taken:
            return
        if exchange.query_string:
            met["parameters"].update({f"{name} {part.partition('=')[0]}" for part in exchange.query_string.split("&")})
        if isinstance(body, dict):
            for field, value in body.items():
                met["fields"][f"{name} {field}"] += 1
                met["fields"].update(f"{name} {field}.{below}" for below in (value if isinstance(value, dict) else ()))
            if name == "create:targetConnections":
                params = body.get("params", {})
                met["destinations"][body["connectionSpec"]["id"]] += 1
                if "datasetFileType" in params:
                    met["fileForms"][f"{params['datasetFileType']} {params.get('compression', 'NONE')}".upper()] += 1

    def remember(self, exchange: Exchange) -> None:
        """Remembers what was deleted and which next page was announced, and forgets the page that was fetched."""
        name, query = exchange.operation or "", exchange.query_string
        if not exchange.was_taken or not name.startswith(("delete:", "list")):
            return
        announced = ""
        if name.startswith("delete:"):
            _put(self.deleted, exchange.place, True)
        elif name.startswith("list:"):
            if "continuationToken=" in query:
                self._fetched(exchange, _parameter(query, "continuationToken"))
            if exchange.answer.endswith(_END):
                announced = exchange.answer.rpartition(b"?continuationToken=")[2].removesuffix(_END).decode()
        else:
            self._fetched(exchange, _parameter(query, "start") or "0")
            if more := _MORE.search(exchange.answer[-200:]):
                announced = str(int(more[1]) + 1)
        limit = _parameter(query, "limit") if announced and "limit" in query else ""
        if announced and not (limit.isdecimal() and int(limit) < WHOLE_PAGE):
            _put(self.pages, f"{exchange.place}\n{announced}", {"operation": name, "where": exchange.where})

    def _fetched(self, exchange: Exchange, page: str) -> None:
        self.pages.pop(f"{exchange.place}\n{page}", None)

    def pages_not_followed(self) -> list[dict[str, Any]]:
        """A finding for each operation that announced pages which have not been fetched by now."""
        found: dict[str, dict[str, Any]] = {}
        message = "the answer announced a next page, which was not asked for"
        for page in self.pages.values():
            new = {"operation": page["operation"], "place": "", "kind": "", "message": message, "fix": "", "count": 0}
            finding = found.setdefault(page["operation"], new | {"first": page["where"]})
            finding |= {"count": finding["count"] + 1, "last": page["where"]}
        return list(found.values())


class Contract:
    """The judge of requests, and the keeper of the report.

    `table` are the service's operations, and `document` gives the OpenAPI description of them, which says what there is to be
    met; `whereabouts` in which scopes and collections an id is; `unmatched` the rules of injected faults that no request has met.
    """

    def __init__(
        self,
        catalog: Catalog,
        *,
        now: Callable[[], float],
        table: Sequence[Operation] = (),
        document: Callable[[], Mapping[str, Any]] = dict,
        whereabouts: Callable[[str], Iterable[tuple[Scope, str]]] = lambda entity_id: (),
        unmatched: Callable[[], Sequence[Mapping[str, Any]]] = tuple,
    ) -> None:
        self.rules: dict[str, Rule] = contract_rules(catalog)
        self._catalog = catalog
        self._judge = Judge(catalog)
        self._hints = Hints(catalog, self.rules, table, whereabouts)
        self._now = now
        self._document = document
        self._unmatched = unmatched
        self._there: dict[str, dict[str, str]] | None = None
        self._sums = Sums()

    def clear(self) -> None:
        """Empties the report. What was deleted is still known."""
        self._sums = Sums({**_NOTHING, "deleted": self._sums.deleted})

    def explain(self, exchange: Exchange, error: ServiceError, secrets: Sequence[str]) -> None:
        """Notes what a refusal says about the client, and the hint, without these secrets."""
        was_deleted = error.name == "resource-not-found" and exchange.place in self._sums.deleted
        findings, line = self._hints.explain(
            exchange, error, exchange.problem, now=self._now(), was_deleted=was_deleted
        )
        exchange.findings = [Finding(*replaced(list(finding), secrets)) for finding in findings]
        exchange.hint = header(replaced(line, secrets))

    def judge(self, exchange: Exchange, more: Iterable[Finding] = ()) -> tuple[str, list[Finding]]:
        """The verdict on a request, one of VERDICTS, and what it rests on. Adds both to the report, and `more` findings."""
        sums = self._sums
        body = read_json(exchange.body) if exchange.body and exchange.was_taken else None
        findings = [*self._judge.findings(exchange, body), *more]
        sums.cover(exchange, body)
        sums.remember(exchange)
        verdict = WARNING if findings else OK
        if findings:
            broken = {finding.rule for finding in findings}
            sums.rules.update(broken)
            for finding in findings:
                sums.add(finding, exchange)
            if any(self.rules[rule]["severity"] == VIOLATION for rule in broken):
                verdict = VIOLATION
        if verdict != VIOLATION and exchange.fault is not None:
            verdict = INJECTED
        elif verdict == OK and exchange.error is not None and exchange.error not in self.rules:
            verdict = FAILED
        sums.verdicts[verdict] += 1
        return verdict, findings

    def verdicts(self) -> dict[str, int]:
        """How many requests there were of each verdict."""
        return {verdict: self._sums.verdicts[verdict] for verdict in VERDICTS}

    def report(self) -> dict[str, Any]:
        """The whole report as JSON."""
        sums = self._sums
        counts = Counter(sums.rules)
        findings: defaultdict[str, list[dict[str, Any]]] = defaultdict(list)
        for finding in sums.findings.values():
            findings[finding["rule"]].append({name: value for name, value in finding.items() if name != "rule"})
        findings["page-not-followed"] = sums.pages_not_followed()
        counts["page-not-followed"] = len(sums.pages)
        return built(
            [
                {**rule, "count": counts[name], "findings": by_count(findings[name])}
                for name, rule in self.rules.items()
            ],
            self._coverage(),
            requests=sums.verdicts.total(),
            verdicts=self.verdicts(),
            emulator=__version__,
            now=self._now(),
            unmatchedFaults=list(self._unmatched()),
        )

    def snapshot(self) -> dict[str, Any]:
        return self._sums.snapshot()

    def restore(self, read: Sums) -> None:
        self._sums = read

    def _coverage(self) -> dict[str, Any]:
        """For each dimension what was met, with how often, and what was not."""
        if self._there is None:
            self._there = what_is_there(self._document(), self._catalog)
        report = {}
        for dimension, counts in self._sums.met.items():
            names = self._there[dimension].items()
            met = [{"name": name, "title": title, "count": counts[name]} for name, title in names if name in counts]
            never = [{"name": name, "title": title} for name, title in names if name not in counts]
            report[dimension] = {"total": len(names), "met": met, "never": never}
        return report


def _put(entries: dict[str, Value], key: str, value: Value) -> None:
    entries.pop(key, None)
    entries[key] = value
    if len(entries) > MAX_REMEMBERED:
        del entries[next(iter(entries))]


def _parameter(query: str, name: str) -> str:
    return parse_qs(query, keep_blank_values=True).get(name, [""])[-1]
