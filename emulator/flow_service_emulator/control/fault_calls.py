"""The control calls that set injected faults, `/__emulator/faults` and `/__emulator/scenarios`, and how a rule is read.

What a rule names must be there; whether it can ever match is not proved, `matched` says whether it did.
"""

from __future__ import annotations

import fnmatch
from collections.abc import Iterable
from http import HTTPStatus
from itertools import count
from typing import Any, Final, NamedTuple

from flow_service_emulator.api.exchange import Exchange, Reply
from flow_service_emulator.control.inputs import TEXT, Context, check, invalid, json_object, takes, unknown
from flow_service_emulator.errors import ErrorTable, ServiceError
from flow_service_emulator.faults.rules import COUNTS, FIELDS, KINDS, Rule, fields_of, stages_of
from flow_service_emulator.validation.validation import SchemaValidator
from flow_service_emulator.validation.violation_text import literal

MAX_RULES: Final = 100
CONTROL_ONLY: Final = "a control call"
"""How the error table marks what the service itself never answers."""
RULES: Final = takes({"rules": {"type": "array"}})
KIND: Final = SchemaValidator({"type": "object", "properties": {"kind": {"enum": list(KINDS)}}, "required": ["kind"]})


class Vocabulary(NamedTuple):
    """What rules may name. `seed` is what `rate` is drawn from where a rule has no seed of its own."""

    operations: Iterable[str]
    errors: ErrorTable
    destinations: Iterable[str]
    seed: int


async def get_faults(context: Context, exchange: Exchange) -> Reply:
    """The rules in their order, with how often each has matched and fired."""
    return _shown(context.faults.rules)


async def put_faults(context: Context, exchange: Exchange) -> Reply:
    """Put one rule, `{"rules": [...]}` or `{"scenario": name}` in the place of all that are there."""
    context.faults.set(_asked(context, exchange))
    return _shown(context.faults.rules)


async def add_faults(context: Context, exchange: Exchange) -> Reply:
    """Put one rule, `{"rules": [...]}` or `{"scenario": name}` behind those that are there, and answer what was added."""
    there = context.faults.rules
    added = _asked(context, exchange, taken=[rule.id for rule in there])
    context.faults.set([*there, *added])
    return _shown(added)


async def delete_faults(context: Context, exchange: Exchange) -> Reply:
    """Delete the rule that the path names, or all."""
    there = context.faults.rules
    rule_id = exchange.path_params.get("id")
    kept = [rule for rule in there if rule_id is not None and rule.id != rule_id]
    if rule_id is not None and len(kept) == len(there):
        ids = ", ".join(rule.id for rule in kept) or "none"
        raise ServiceError("control-not-found", reason=f"there is no rule {rule_id[:60]!r}; there are: {ids}")
    context.faults.set(kept)
    return Reply({"deleted": len(there) - len(kept)})


async def list_scenarios(context: Context, exchange: Exchange) -> Reply:
    """The named bundles of rules, each with what happens and what a good client does about it."""
    return Reply({"items": [{"name": name, **scenario} for name, scenario in context.catalog.scenarios.items()]})


def _shown(rules: Iterable[Rule]) -> Reply:
    return Reply({"rules": [rule.as_json() for rule in rules]})


def _asked(context: Context, exchange: Exchange, taken: Iterable[str] = ()) -> list[Rule]:
    """The rules that a body asks for, all or none. A scenario's are for the `org` and `sandbox` beside its name."""
    catalog, body = context.catalog, json_object(exchange)
    destinations = [spec.destination.folder for spec in catalog.connection_specs.values() if spec.destination]
    words = Vocabulary(context.operations, catalog.errors, destinations, context.settings.seed or 0)
    if "kind" in body:
        body = {"rules": [body]}
    if "rules" in body:
        check(body, RULES)
        return read_rules(body["rules"], words, taken=taken)
    if "scenario" not in body:
        example = '{"kind": "delay", "seconds": 0.5}'
        raise invalid(f'a rule such as {example}, "rules" (an array) or "scenario" is needed', "", catalog.scenarios)
    check(body, takes({"scenario": {"enum": list(catalog.scenarios)}, "org": TEXT, "sandbox": TEXT}))
    name = body.pop("scenario")
    rules = [{**rule, **body} for rule in catalog.scenarios[name]["rules"]]
    return read_rules(rules, words, taken=taken, prefix=name)


def read_rules(
    value: list[Any], words: Vocabulary, *, taken: Iterable[str] = (), prefix: str | None = None
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
        says = _read_rule(item, words, f"rules[{index}]")
        if "id" not in says:
            made = (f"{prefix or says['kind']}-{number}" for number in count(1))
            says = {"id": next(each for each in made if each not in ids | given), **says}
        if says["id"] in ids:
            raise invalid(f"rules[{index}].id: {says['id']!r} is there already", f"rules[{index}].id")
        ids.add(says["id"])
        rules.append(Rule(says))
    return rules


def _read_rule(value: Any, words: Vocabulary, place: str) -> dict[str, Any]:
    """What a rule says, with its defaults. What answers tell beside it is ignored, so that an answer can be sent again."""
    check(value, KIND, place)
    kind = value["kind"]
    read = {
        name: content for name, content in value.items() if name not in COUNTS and (name, content) != ("times", None)
    }
    if isinstance(read.get("method"), str):
        read["method"] = read["method"].upper()
    errors = {
        each.name: each.code for each in words.errors.kinds.values() if not each.applies_to.startswith(CONTROL_ONLY)
    }
    if isinstance(read.get("error"), str):
        code = read["error"].removeprefix("FLOW-")
        read["error"] = next((name for name, its in errors.items() if its and its == code), read["error"])
    named = {"stage": stages_of(kind), "error": errors, "destination": words.destinations}
    fields = {name: {"enum": list(named[name])} if name in named else FIELDS[name] for name in fields_of(kind)}
    check(read, takes(fields, *KINDS[kind].needed), place)
    if "operation" in read and not fnmatch.filter(words.operations, read["operation"]):
        raise unknown(f"{place}.operation", read["operation"], words.operations)
    defaults: dict[str, Any] = dict(KINDS[kind].defaults)
    if "header" in read:
        read["header"] = {name.lower(): glob for name, glob in read["header"].items()}
    if kind == "error":
        error = words.errors.kinds[read["error"]]
        for name in read.get("fields", {}):
            if name not in error.message_fields:
                reason = f"{place}.fields: the message of {error.name} has no field {literal(name)}"
                raise invalid(reason, f"{place}.fields.{name[:60]}", sorted(error.message_fields))
        if error.status == HTTPStatus.TOO_MANY_REQUESTS:
            defaults["retryAfter"] = KINDS["rate-limit"].defaults["retryAfter"]
    if "nth" in read:
        defaults["times"] = 1
    if "rate" in read:
        defaults["seed"] = words.seed
    return {**defaults, **read}
