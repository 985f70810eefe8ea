"""The specs' JSON Schemas (draft 7) compiled, with their `conditional`.

jsonschema_rs decides, and matches patterns in bounded time: the published Google bucket pattern takes a backtracking engine
without a limit longer than anyone would wait. It refuses what ECMA-262 does not know and translates most of the rest.

`conditional` is the connection specs' own keyword on an outermost property, for example
`{"field": "flowSpec.attributes._workflow", "operator": "CONTAINS", "value": "DATASETS"}`. Where its condition is false the
property is neither required nor looked at (reference: "Where the sources disagree").
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, Final, NamedTuple

import jsonschema_rs
import orjson

Schema = dict[str, Any]
Keys = tuple[str | int, ...]
"""Where a value stands in another: names of properties and numbers of items."""

_DRAFT_7: Final = "http://json-schema.org/draft-07/schema#"
_OPTIONS: Final = jsonschema_rs.FancyRegexOptions(backtrack_limit=10_000, size_limit=350_000)
"""The published patterns need at most 128 steps back for any value that matches (measured), so that with this limit a verdict
is never wrong for them, and comes within a millisecond. `size_limit` is the bytes of a compiled pattern."""
_LEFT_OUT: Final = frozenset({"$schema", "$id", "contentEncoding", "contentMediaType"})
"""What jsonschema_rs would go by; the last two are annotations in draft 7."""
_OPERATORS: Final = {
    "CONTAINS": (False, False),
    "NOT_CONTAINS": (False, True),
    "EQUALS": (True, False),
    "NOT_EQUALS": (True, True),
}
"""Operator -> (whether it asks for equality, whether it is negated)."""


class SchemaError(ValueError):
    """A schema that cannot be used. `place` is a JSON pointer (RFC 6901) into it, `reason` says what is wrong."""

    def __init__(self, place: str, reason: str) -> None:
        super().__init__(f"{place}: {reason}" if place else reason)
        self.place = place
        self.reason = reason


def compiled(schema: Mapping[str, Any]) -> jsonschema_rs.Draft7Validator:
    """The validator of a schema. Raises SchemaError for what is no draft 7, has a pattern that is none or refers elsewhere."""
    plain = _plain(schema)
    try:
        jsonschema_rs.meta.validate({**plain, "$schema": _DRAFT_7})
        return jsonschema_rs.Draft7Validator(
            plain, validate_formats=False, pattern_options=_OPTIONS, retriever=_retrieve
        )
    except jsonschema_rs.ValidationError as fault:
        raise SchemaError(_pointer(fault.instance_path), fault.message) from fault


def _plain(schema: Any) -> Any:
    if isinstance(schema, list):
        return [_plain(part) for part in schema]
    if not isinstance(schema, Mapping):
        return schema
    return {name: _plain(part) for name, part in schema.items() if name not in _LEFT_OUT}


class Condition(NamedTuple):
    """The `conditional` of the property `name`: its field as keys, whether it asks for equality, whether it is negated."""

    name: str
    field: Keys
    equality: bool
    negated: bool
    value: Any


def conditions(schema: Mapping[str, Any]) -> list[Condition]:
    """The conditions of a schema. Raises SchemaError for a `conditional` that is not understood."""
    found = []
    for name, part in schema.get("properties", {}).items():
        if not isinstance(part, dict) or "conditional" not in part:
            continue
        place, conditional = _pointer(("properties", name, "conditional")), part["conditional"]
        match conditional:
            case {"field": str(field), "operator": operator, "value": str(value)}:
                if operator not in _OPERATORS:
                    raise SchemaError(place, f'unknown operator "{operator}"; known are {", ".join(_OPERATORS)}')
                found.append(Condition(name, tuple(field.split(".")), *_OPERATORS[operator], value))
            case _:
                reason = "a conditional has a field (a dotted path), an operator and a value, each a text"
                raise SchemaError(place, reason)
    if orjson.dumps(schema).count(b'"conditional":') > len(found):
        raise SchemaError("", "a conditional stands in an outermost property; deeper ones are not supported")
    return found


def without(schema: Mapping[str, Any], names: frozenset[str]) -> Schema:
    """The schema, with nothing asked of the properties of these names."""
    changed = dict(schema)
    if names:
        changed["properties"] = {**schema["properties"], **dict.fromkeys(names, True)}
        changed["required"] = [name for name in schema.get("required", ()) if name not in names]
    return changed


def _retrieve(uri: str) -> Any:
    raise LookupError("only parts of the same schema can be referred to")


def _pointer(keys: Iterable[str | int]) -> str:
    return "".join("/" + str(key).replace("~", "~0").replace("/", "~1") for key in keys)
