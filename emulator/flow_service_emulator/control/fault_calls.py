"""The control calls that set injected faults: `/__emulator/faults` and `/__emulator/scenarios`."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, Final

from flow_service_emulator.api.exchange import Exchange, Reply
from flow_service_emulator.control.inputs import json_object
from flow_service_emulator.errors import ServiceError
from flow_service_emulator.faults.faults import Faults
from flow_service_emulator.faults.rules import Rule, RuleError, Vocabulary, read_rules
from flow_service_emulator.faults.scenarios import SCENARIOS

SCENARIO_FIELDS: Final = ("scenario", "org", "sandbox")


class FaultCalls:
    """The handlers. Every call is all or nothing; no call touches a request or a run that was hit before."""

    def __init__(self, faults: Faults, words: Vocabulary) -> None:
        self._faults = faults
        self._words = words

    async def get_faults(self, exchange: Exchange) -> Reply:
        """The rules in their order, with how often each has matched and fired."""
        return self._reply()

    async def put_faults(self, exchange: Exchange) -> Reply:
        """Put one rule, `{"rules": [...]}` or `{"scenario": name}` in the place of all that are there."""
        self._faults.set(self._read(exchange))
        return self._reply()

    async def add_faults(self, exchange: Exchange) -> Reply:
        """Put one rule, `{"rules": [...]}` or `{"scenario": name}` behind those that are there, and answer what was added."""
        added = self._read(exchange, taken=[rule.id for rule in self._faults.rules])
        self._faults.set([*self._faults.rules, *added])
        return Reply({"rules": [rule.as_json() for rule in added]})

    async def delete_faults(self, exchange: Exchange) -> Reply:
        count = len(self._faults.rules)
        self._faults.set(())
        return Reply({"deleted": count})

    async def delete_fault(self, exchange: Exchange) -> Reply:
        rule_id = exchange.path_params["id"]
        kept = [rule for rule in self._faults.rules if rule.id != rule_id]
        if len(kept) == len(self._faults.rules):
            there = ", ".join(rule.id for rule in kept) or "none"
            raise ServiceError("control-not-found", reason=f"there is no rule {rule_id[:60]!r}; there are: {there}")
        self._faults.set(kept)
        return Reply({"deleted": 1})

    async def list_scenarios(self, exchange: Exchange) -> Reply:
        """The named bundles of rules, each with what happens and what a good client does about it."""
        return Reply({"items": [{"name": name, **scenario} for name, scenario in SCENARIOS.items()]})

    def _reply(self) -> Reply:
        return Reply({"rules": [rule.as_json() for rule in self._faults.rules]})

    def _read(self, exchange: Exchange, taken: Iterable[str] = ()) -> list[Rule]:
        """The rules that a body asks for. Raises `control-invalid` with the place and, where known, the allowed values."""
        body = json_object(exchange, example='{"rules": [{"kind": "delay", "seconds": 0.5}]}')
        if "kind" in body:
            body = {"rules": [body]}
        try:
            if ("rules" in body) == ("scenario" in body):
                raise RuleError("", 'either "rules" (an array) or "scenario" (a name) is needed', SCENARIOS)
            if "scenario" in body:
                return read_rules(_scenario_rules(body), self._words, taken=taken, prefix=body["scenario"])
            _known(body, ("rules",))
            return read_rules(body["rules"], self._words, taken=taken)
        except RuleError as wrong:
            report = {"place": wrong.place} | ({"allowed": wrong.allowed} if wrong.allowed else {})
            raise ServiceError("control-invalid", reason=str(wrong), report=report) from None


def _scenario_rules(body: Mapping[str, Any]) -> list[dict[str, Any]]:
    """A scenario's rules, for one organization and sandbox only when the body names them."""
    name = body["scenario"]
    _known(body, SCENARIO_FIELDS)
    if not isinstance(name, str) or name not in SCENARIOS:
        raise RuleError("scenario", f"there is no scenario {str(name)[:60]!r}", SCENARIOS)
    narrowed = {field: body[field] for field in ("org", "sandbox") if field in body}
    return [{**rule, **narrowed} for rule in SCENARIOS[name]["rules"]]


def _known(body: Mapping[str, Any], names: tuple[str, ...]) -> None:
    for name in body:
        if name not in names:
            raise RuleError(name[:60], "there is no such field", names)
