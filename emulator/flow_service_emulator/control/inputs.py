"""What control calls take, in the query and in the body: read, and held against a JSON Schema. Whatever is wrong is `control-invalid`."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from difflib import get_close_matches
from typing import Any, Final

from flow_service_emulator.api.exchange import Exchange, decode_json
from flow_service_emulator.errors import ServiceError
from flow_service_emulator.instants import epoch_seconds, hint
from flow_service_emulator.settings import LATEST_TIME
from flow_service_emulator.validation.validation import SchemaValidator
from flow_service_emulator.validation.violation_text import literal

CONTROL: Final = "/__emulator"
"""Where the control calls are."""
ANYTHING: Final[Mapping[str, Any]] = {}
TEXT: Final = {"type": "string", "minLength": 1}
OBJECT: Final = {"type": "object"}
TIME: Final = {"type": ["number", "string"]}
"""What `instant` reads."""
MAX_TOLD: Final = 20
"""A longer list of what is allowed is not told whole in a sentence."""


def invalid(reason: str, place: str = "", allowed: Iterable[Any] = (), given: Any = None) -> ServiceError:
    """A refusal. The answer has the `place`, such as `rules[0].kind`, and all that is `allowed` there, where that is known.

    The sentence has a short list whole, and of a long one what is spelt most like `given`, and how many there are.
    """
    options = list(dict.fromkeys(each if isinstance(each, str) else literal(each) for each in allowed))
    if len(options) > MAX_TOLD:
        nearest = get_close_matches(given[:100], options) if isinstance(given, str) else []
        reason += f"; nearest: {', '.join(nearest)}" if nearest else ""
        reason += f'; {len(options)} are allowed, all listed in this answer\'s "allowed"'
    elif options:
        reason += f"; allowed: {', '.join(options)}"
    told = {"place": place, "allowed": options}
    return ServiceError("control-invalid", reason=reason, report={name: part for name, part in told.items() if part})


def unknown(place: str, given: Any, allowed: Iterable[str]) -> ServiceError:
    """The refusal of a value that is none of those allowed."""
    return invalid(f"{place}: {literal(given)} is unknown", place, allowed, given)


def takes(
    fields: Mapping[str, Mapping[str, Any]], *needed: str, example: Mapping[str, Any] | None = None
) -> SchemaValidator:
    """What an object is held against: the JSON Schema of each of its fields, and which are `needed`. It has no others.

    `example` has valid values, which refusals show.
    """
    schema = {"type": "object", "properties": fields, "required": list(needed), "additionalProperties": False}
    return SchemaValidator(schema, example)


NOTHING: Final = takes({})


def check(value: Any, validator: SchemaValidator, place: str = "") -> None:
    """Raise `control-invalid` for the first thing that is wrong in a value of this place."""
    fields = validator.schema["properties"]
    wrong = validator.violations(value, path=place)
    # unknown names first: one that is misspelt is missing as well
    for violation in sorted(wrong, key=lambda each: each.rule != "additionalProperties"):
        name = violation.path.removeprefix(f"{place}.")
        if violation.rule == "additionalProperties":
            told = f"{violation.path[:60]} is unknown" + ("" if fields else "; nothing is taken here")
            raise invalid(told, violation.path, fields, name)
        allowed = fields.get(name, {}).get("enum", ())
        if violation.rule == "enum" and name in fields:
            raise unknown(violation.path, value[name], allowed)
        raise invalid(violation.message, violation.path, allowed)


def taken(exchange: Exchange, validator: SchemaValidator) -> dict[str, Any]:
    """The query's parameters and the body's fields, whatever content type came with it, held against a schema.

    A parameter that is given twice is refused: only one would be heard.
    """
    found: dict[str, Any] = {}
    for name, value in exchange.query:
        if name in found:
            raise invalid(f"{name[:60]} was given twice")
        number = validator.schema["properties"].get(name, {}).get("type") in ("integer", "number")
        found[name] = int(value) if number and re.fullmatch("[0-9]{1,8}", value) else value
    if exchange.method in ("POST", "PUT"):
        found |= json_object(exchange)
    check(found, validator)
    return found


def json_object(exchange: Exchange) -> dict[str, Any]:
    """The body; an empty object where there is none."""
    body = decode_json(exchange.body) if exchange.body.strip() else {}
    if not isinstance(body, dict):
        raise invalid(f"the body must be an object, got {literal(body)}")
    return body


def instant(name: str, value: float | str) -> float:
    """A time in epoch seconds, sent so or in ISO 8601."""
    try:
        at = epoch_seconds(value)
    except (ValueError, OverflowError):
        at = -1.0
    if not 0 <= at <= LATEST_TIME:
        raise invalid(
            f'{name} must be a time: epoch seconds from 0 to {LATEST_TIME:.0f}, or such as "2026-01-01T00:00:00Z"; '
            f"got {literal(value)}{hint(value)}",
            name,
        )
    return at
