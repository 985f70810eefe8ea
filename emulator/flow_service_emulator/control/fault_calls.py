"""The control calls that set injected faults: `/__emulator/faults` and `/__emulator/scenarios`."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from flow_service_emulator.api.exchange import Exchange, Reply
from flow_service_emulator.control.inputs import json_object
from flow_service_emulator.errors import ServiceError
from flow_service_emulator.faults.faults import Faults
from flow_service_emulator.faults.rules import READ_ONLY, Rule, RuleError, Vocabulary, read_rules


class FaultCalls:
    """The handlers. Every call is all or nothing; no call touches a request or a run that was hit before.

    The rules and their counts are a part of the emulator's state. A rate limit that is on ends with the snapshot: it counts the
    machine's seconds.
    """

    def __init__(self, faults: Faults, words: Vocabulary, scenarios: Mapping[str, Mapping[str, Any]]) -> None:
        """`scenarios` are those of `fixtures/scenarios.json`."""
        self._faults = faults
        self._words = words
        self._scenarios = scenarios
        self.restore = faults.set

    def reset(self) -> None:
        self._faults.set(())

    def snapshot(self) -> list[dict[str, Any]]:
        return [{**rule.as_json(), "expired": list(rule.expired)} for rule in self._faults.rules]

    def read(self, snapshot: Any) -> list[Rule]:
        """Raise ValueError, saying what is wrong, for what is no snapshot of rules."""
        try:
            plain = [{name: entry[name] for name in entry if name != "expired"} for entry in snapshot]
            rules = read_rules(plain, self._words)
            for rule, entry in zip(rules, snapshot, strict=True):
                rule.matched, rule.fired, rule.repeats = (int(entry[name]) for name in READ_ONLY)
                rule.expired = dict.fromkeys(entry["expired"])
        except (LookupError, TypeError):
            raise ValueError("rules with their counts are needed") from None
        return rules

    async def get_faults(self, exchange: Exchange) -> Reply:
        """The rules in their order, with how often each has matched and fired."""
        return _shown(self._faults.rules)

    async def put_faults(self, exchange: Exchange) -> Reply:
        """Put one rule, `{"rules": [...]}` or `{"scenario": name}` in the place of all that are there."""
        self._faults.set(self._asked(exchange))
        return _shown(self._faults.rules)

    async def add_faults(self, exchange: Exchange) -> Reply:
        """Put one rule, `{"rules": [...]}` or `{"scenario": name}` behind those that are there, and answer what was added."""
        added = self._asked(exchange, taken=[rule.id for rule in self._faults.rules])
        self._faults.set([*self._faults.rules, *added])
        return _shown(added)

    async def delete_faults(self, exchange: Exchange) -> Reply:
        """Delete the rule that the path names, or all."""
        there = self._faults.rules
        rule_id = exchange.path_params.get("id")
        kept = [rule for rule in there if rule_id is not None and rule.id != rule_id]
        if rule_id is not None and len(kept) == len(there):
            ids = ", ".join(rule.id for rule in kept) or "none"
            raise ServiceError("control-not-found", reason=f"there is no rule {rule_id[:60]!r}; there are: {ids}")
        self._faults.set(kept)
        return Reply({"deleted": len(there) - len(kept)})

    async def list_scenarios(self, exchange: Exchange) -> Reply:
        """The named bundles of rules, each with what happens and what a good client does about it."""
        return Reply({"items": [{"name": name, **scenario} for name, scenario in self._scenarios.items()]})

    def _asked(self, exchange: Exchange, taken: Iterable[str] = ()) -> list[Rule]:
        """The rules that a body asks for. Raises `control-invalid` with the place and, where known, the allowed values."""
        body = json_object(exchange, example='{"rules": [{"kind": "delay", "seconds": 0.5}]}')
        if "kind" in body:
            body = {"rules": [body]}
        try:
            if ("rules" in body) == ("scenario" in body):
                raise RuleError("", 'either "rules" (an array) or "scenario" (a name) is needed', self._scenarios)
            known = ("rules",) if "rules" in body else ("scenario", "org", "sandbox")
            for name in body:
                if name not in known:
                    raise RuleError(name[:60], f'there is no field "{name[:60]}"', known)
            if "rules" in body:
                return read_rules(body["rules"], self._words, taken=taken)
            name = body.pop("scenario")
            if not isinstance(name, str) or name not in self._scenarios:
                raise RuleError("scenario", f"there is no scenario {str(name)[:60]!r}", self._scenarios)
            rules = [
                {**rule, **body} for rule in self._scenarios[name]["rules"]
            ]  # for the org and sandbox that it names
            return read_rules(rules, self._words, taken=taken, prefix=name)
        except RuleError as wrong:
            report = {"place": wrong.place} | ({"allowed": wrong.allowed} if wrong.allowed else {})
            raise ServiceError("control-invalid", reason=str(wrong), report=report) from None


def _shown(rules: Iterable[Rule]) -> Reply:
    return Reply({"rules": [rule.as_json() for rule in rules]})
