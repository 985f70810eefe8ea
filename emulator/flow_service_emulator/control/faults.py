"""The control calls that set injected faults, `/__emulator/faults` and `/__emulator/scenarios`, and how a rule is read.

What a rule names must be there; whether it can ever match is not proved, `matched` says whether it did.
"""

from __future__ import annotations

import fnmatch
from collections.abc import Iterable
from http import HTTPStatus
from itertools import count
from typing import Any, Final

from flow_service_emulator.api.exchange import Exchange, Reply
from flow_service_emulator.api.injection import SERVICE_PREFIXES
from flow_service_emulator.control.inputs import TEXT, check, invalid, json_object, takes, unknown
from flow_service_emulator.emulator import Emulator
from flow_service_emulator.errors import ServiceError
from flow_service_emulator.faults.rules import COUNTS, KINDS, Rule
from flow_service_emulator.validation.validation import SchemaValidator
from flow_service_emulator.validation.violation_text import literal

MAX_RULES: Final = 100
CONTROL_ONLY: Final = "a control call"
"""How the error table marks what the service itself never answers."""
RULES: Final = takes({"rules": {"type": "array"}})
KIND: Final = SchemaValidator({"type": "object", "properties": {"kind": {"enum": list(KINDS)}}, "required": ["kind"]})


async def get_faults(emulator: Emulator, exchange: Exchange) -> Reply:
    """The rules in their order, with how often each has matched and fired."""
    return _shown(emulator.faults.rules)


async def put_faults(emulator: Emulator, exchange: Exchange) -> Reply:
    """Put one rule, `{"rules": [...]}` or `{"scenario": name}` in the place of all that are there."""
    emulator.faults.set(_asked(emulator, exchange))
    return _shown(emulator.faults.rules)


async def add_faults(emulator: Emulator, exchange: Exchange) -> Reply:
    """Put one rule, `{"rules": [...]}` or `{"scenario": name}` behind those that are there, and answer what was added."""
    there = emulator.faults.rules
    added = _asked(emulator, exchange, taken=[rule.id for rule in there])
    emulator.faults.set([*there, *added])
    return _shown(added)


async def delete_faults(emulator: Emulator, exchange: Exchange) -> Reply:
    """Delete the rule that the path names, or all."""
    there = emulator.faults.rules
    rule_id = exchange.path_params.get("id")
    kept = [rule for rule in there if rule_id is not None and rule.id != rule_id]
    if rule_id is not None and len(kept) == len(there):
        ids = ", ".join(rule.id for rule in kept) or "none"
        raise ServiceError("control-not-found", reason=f"there is no rule {rule_id[:60]!r}; there are: {ids}")
    emulator.faults.set(kept)
    return Reply({"deleted": len(there) - len(kept)})


async def list_scenarios(emulator: Emulator, exchange: Exchange) -> Reply:
    """The named bundles of rules, each with what happens and what a good client does about it."""
    return Reply({"items": [{"name": name, **scenario} for name, scenario in emulator.catalog.scenarios.items()]})


def _shown(rules: Iterable[Rule]) -> Reply:
    return Reply({"rules": [rule.as_json() for rule in rules]})


def _asked(emulator: Emulator, exchange: Exchange, taken: Iterable[str] = ()) -> list[Rule]:
    """The rules that a body asks for, all or none. A scenario's are for the `org` and `sandbox` beside its name."""
    scenarios, body = emulator.catalog.scenarios, json_object(exchange)
    if "kind" in body:
        body = {"rules": [body]}
    if "rules" in body:
        check(body, RULES)
        return read_rules(emulator, body["rules"], taken=taken)
    if "scenario" not in body:
        example = '{"kind": "delay", "seconds": 0.5}'
        raise invalid(f'a rule such as {example}, "rules" (an array) or "scenario" is needed', "", scenarios)
    check(body, takes({"scenario": {"enum": list(scenarios)}, "org": TEXT, "sandbox": TEXT}))
    name = body.pop("scenario")
    rules = [{**rule, **body} for rule in scenarios[name]["rules"]]
    return read_rules(emulator, rules, taken=taken, prefix=name)


def read_rules(
    emulator: Emulator, value: list[Any], *, taken: Iterable[str] = (), prefix: str | None = None
) -> list[Rule]:
    """The rules in a JSON array. `taken` are ids in use; a rule without an id gets one made of `prefix` (or its kind) and a number.

    Raises `control-invalid` for the first rule that is refused.
    """
    ids = set(taken)
    if len(value) + len(ids) > MAX_RULES:
        raise invalid(f"rules: at most {MAX_RULES} can be there, these would make {len(value) + len(ids)}", "rules")
    given = {rule["id"] for rule in value if isinstance(rule, dict) and isinstance(rule.get("id"), str)}
    rules = []
    for index, item in enumerate(value):
        says = _read_rule(emulator, item, f"rules[{index}]")
        if "id" not in says:
            made = (f"{prefix or says['kind']}-{number}" for number in count(1))
            says = {"id": next(each for each in made if each not in ids | given), **says}
        if says["id"] in ids:
            raise invalid(f"rules[{index}].id: {says['id']!r} is there already", f"rules[{index}].id")
        ids.add(says["id"])
        rules.append(Rule(says))
    return rules


def _read_rule(emulator: Emulator, value: Any, place: str) -> dict[str, Any]:
    """What a rule says, with its defaults. What answers tell beside it is ignored, so that an answer can be sent again."""
    check(value, KIND, place)
    kind, catalog = KINDS[value["kind"]], emulator.catalog
    read = {name: told for name, told in value.items() if name not in COUNTS and (name, told) != ("times", None)}
    if isinstance(read.get("method"), str):
        read["method"] = read["method"].upper()
    errors = {each.name: each for each in catalog.errors.kinds.values() if not each.applies_to.startswith(CONTROL_ONLY)}
    if code := str(read.get("error", "")).removeprefix("FLOW-"):
        read["error"] = next((each.name for each in errors.values() if each.code == code), read["error"])
    folders = [spec.destination.folder for spec in catalog.connection_specs.values() if spec.destination]
    fields = dict(kind.fields)
    for name, options in (("error", [*errors]), ("destination", folders)):
        if name in fields:
            fields[name] = {"enum": options}
    check(read, takes(fields, *kind.needed), place)
    operations = [each.name for each in emulator.table if each.path.startswith(SERVICE_PREFIXES)]
    if "operation" in read and not fnmatch.filter(operations, read["operation"]):
        raise unknown(f"{place}.operation", read["operation"], operations)
    defaults = {name: schema["default"] for name, schema in fields.items() if "default" in schema}
    if "header" in read:
        read["header"] = {name.lower(): glob for name, glob in read["header"].items()}
    if "error" in read:
        error = errors[read["error"]]
        for name in read.get("fields", {}):
            if name not in error.message_fields:
                reason = f"{place}.fields: the message of {error.name} has no field {literal(name)}"
                raise invalid(reason, f"{place}.fields.{name[:60]}", sorted(error.message_fields))
        if error.status == HTTPStatus.TOO_MANY_REQUESTS:
            defaults["retryAfter"] = 1
    if "nth" in read:
        defaults["times"] = 1
    if "rate" in read:
        defaults["seed"] = emulator.settings.seed or 0
    return {**defaults, **read}
