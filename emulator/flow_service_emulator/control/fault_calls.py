"""The control calls that set injected faults: `/__emulator/faults` and `/__emulator/scenarios`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from flow_service_emulator.api.exchange import Exchange, Reply, decode_json
from flow_service_emulator.datasets.library import Library
from flow_service_emulator.entities import Scope
from flow_service_emulator.errors import ServiceError
from flow_service_emulator.faults.faults import Armed, Faults
from flow_service_emulator.faults.fields import RuleError, Vocabulary
from flow_service_emulator.faults.rules import Rule, read_rules
from flow_service_emulator.faults.scenarios import SCENARIOS
from flow_service_emulator.store.store import Store

SCENARIO_FIELDS: Final = ("scenario", "org", "sandbox")
MAX_LISTED: Final = 20
"""Ids that an answer lists as allowed, at most."""


class FaultCalls:
    """The handlers. Every call is all or nothing; no call touches a request or a run that was hit before."""

    def __init__(self, *, faults: Faults, words: Vocabulary, store: Store, library: Library) -> None:
        self._faults = faults
        self._words = words
        self._store = store
        self._library = library

    async def get_faults(self, exchange: Exchange) -> Reply:
        """The rules in their order, with how often each has matched and fired."""
        return self._reply()

    async def put_faults(self, exchange: Exchange) -> Reply:
        """Puts one rule, `{"rules": [...]}` or `{"scenario": name}` in the place of all that are there."""
        rules = self._read(_several(_body(exchange)), taken=())
        self._faults.set(Armed(rule) for rule in rules)
        return self._reply()

    async def add_faults(self, exchange: Exchange) -> Reply:
        """Puts one rule, `{"rules": [...]}` or `{"scenario": name}` behind those that are there; answers what was added."""
        body = _several(_body(exchange))
        rules = self._read(body, taken=[entry.rule.id for entry in self._faults.armed])
        self._faults.add(rules)
        added = {rule.id for rule in rules}
        return Reply({"rules": [entry.as_json() for entry in self._faults.armed if entry.rule.id in added]})

    async def delete_faults(self, exchange: Exchange) -> Reply:
        count = len(self._faults.armed)
        self._faults.set(())
        return Reply({"deleted": count})

    async def delete_fault(self, exchange: Exchange) -> Reply:
        rule_id = exchange.path_params["id"]
        if not self._faults.remove(rule_id):
            there = ", ".join(entry.rule.id for entry in self._faults.armed) or "none"
            raise ServiceError("control-not-found", reason=f"there is no rule {rule_id[:60]!r}; there are: {there}")
        return Reply({"deleted": 1})

    async def list_scenarios(self, exchange: Exchange) -> Reply:
        """The named bundles of rules, each with what happens and what a good client does about it."""
        return Reply({"items": [scenario.as_json() for scenario in SCENARIOS.values()]})

    def _reply(self) -> Reply:
        return Reply({"rules": [entry.as_json() for entry in self._faults.armed]})

    def _read(self, body: Mapping[str, Any], taken: Any) -> list[Rule]:
        """The rules that a body asks for. Raises `control-invalid` with the place and, where known, the allowed values."""
        try:
            if ("rules" in body) == ("scenario" in body):
                raise RuleError("", 'either "rules" (an array) or "scenario" (a name) is needed', SCENARIOS)
            if "scenario" in body:
                return read_rules(_scenario_rules(body), self._words, taken=taken, prefix=body["scenario"])
            _known(body, ("rules",))
            rules = read_rules(body["rules"], self._words, taken=taken)
            for index, rule in enumerate(rules):
                self._check_existing(rule, f"rules[{index}]")
        except RuleError as wrong:
            report = {"place": wrong.place, "allowed": list(wrong.allowed)} if wrong.allowed else {"place": wrong.place}
            reason = str(wrong) if wrong.is_whole else f'{wrong}, all listed in this answer\'s "allowed"'
            raise ServiceError("control-invalid", reason=reason, report=report) from None
        return rules

    def _check_existing(self, rule: Rule, place: str) -> None:
        """A run rule's flow and dataset must be there: their ids come from the server, so an unknown one could never match."""
        if rule.flow is not None:
            flows = [(scope, record.id) for scope, record in self._store.everywhere("flows") if _within(rule, scope)]
            if all(flow_id != rule.flow for _, flow_id in flows):
                allowed = [flow_id for _, flow_id in flows[-MAX_LISTED:]]
                raise RuleError(f"{place}.flow", f"there is no flow {rule.flow[:60]!r} where the rule looks", allowed)
        if rule.dataset is not None and not self._library.has(rule.dataset):
            allowed = [dataset["id"] for dataset in self._library.page(0, MAX_LISTED)]
            raise RuleError(
                f"{place}.dataset", f"there is no dataset {rule.dataset[:60]!r} that can be exported", allowed
            )


def _body(exchange: Exchange) -> dict[str, Any]:
    """The body of a control call: a JSON object, whatever content type came with it."""
    body = decode_json(exchange.body) if exchange.body.strip() else None
    if not isinstance(body, dict):
        raise ServiceError(
            "control-invalid", reason='a JSON object is needed, such as {"rules": [{"kind": "delay", "seconds": 0.5}]}'
        )
    return body


def _several(body: dict[str, Any]) -> dict[str, Any]:
    """A body that is one rule, as one with several."""
    return {"rules": [body]} if "kind" in body else body


def _scenario_rules(body: Mapping[str, Any]) -> list[dict[str, Any]]:
    """A scenario's rules, for one organization and sandbox only when the body names them."""
    name = body["scenario"]
    _known(body, SCENARIO_FIELDS)
    if not isinstance(name, str) or name not in SCENARIOS:
        raise RuleError("scenario", f"there is no scenario {str(name)[:60]!r}", SCENARIOS)
    narrowed = {field: body[field] for field in ("org", "sandbox") if field in body}
    return [{**rule, **narrowed} for rule in SCENARIOS[name].rules]


def _known(body: Mapping[str, Any], names: tuple[str, ...]) -> None:
    for name in body:
        if name not in names:
            raise RuleError(name[:60], "there is no such field", names)


def _within(rule: Rule, scope: Scope) -> bool:
    org, sandbox = scope
    return rule.org in (None, org) and rule.sandbox in (None, sandbox)
