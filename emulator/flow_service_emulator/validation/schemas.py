"""The specs' JSON Schemas (draft 7): compiled, with their `conditional`, and what they say about one place of a value.

jsonschema_rs decides, and matches patterns in bounded time: the published Google bucket pattern takes a backtracking engine
without a limit longer than anyone would wait. It refuses what ECMA-262 does not know and translates most of the rest; `.` (which
leaves out four line ends in ECMA-262, one in Rust) and `\\b` (whose words are of ASCII letters) are translated here.

`conditional` is the connection specs' own keyword on an outermost property, for example
`{"field": "flowSpec.attributes._workflow", "operator": "CONTAINS", "value": "DATASETS"}`. Where its condition is false the
property is neither required nor looked at (reference: "Where the sources disagree").
"""

from __future__ import annotations

import re
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
_TOKEN: Final = re.compile(r"\\.|\[(?:\\.|[^\]\\])*\]|\.", re.DOTALL)
_IN_RUST: Final = {
    ".": r"[^\n\r\u2028\u2029]",
    r"\b": "(?:(?<=[0-9A-Za-z_])(?![0-9A-Za-z_])|(?<![0-9A-Za-z_])(?=[0-9A-Za-z_]))",
    r"\B": "(?:(?<=[0-9A-Za-z_])(?=[0-9A-Za-z_])|(?<![0-9A-Za-z_])(?![0-9A-Za-z_]))",
}
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
    plain = _for_rust(schema)
    try:
        jsonschema_rs.meta.validate({**plain, "$schema": _DRAFT_7})
        return jsonschema_rs.Draft7Validator(
            plain, validate_formats=False, pattern_options=_OPTIONS, retriever=_retrieve
        )
    except jsonschema_rs.ValidationError as fault:
        raise SchemaError(_pointer(fault.instance_path), fault.message) from fault


def _for_rust(schema: Any) -> Any:
    if isinstance(schema, list):
        return [_for_rust(part) for part in schema]
    if not isinstance(schema, Mapping):
        return schema
    plain = {name: _for_rust(part) for name, part in schema.items() if name not in _LEFT_OUT}
    if isinstance(plain.get("pattern"), str):
        plain["pattern"] = _TOKEN.sub(lambda token: _IN_RUST.get(token[0], token[0]), plain["pattern"])
    return plain


class Condition(NamedTuple):
    """The `conditional` of the property `name`, with its field as keys."""

    name: str
    field: Keys
    equality: bool
    negated: bool
    value: Any

    def holds(self, value: Any, context: Mapping[str, Any]) -> bool:
        """Whether it is true; its field is looked up in `context` where that knows it, and else in the value itself."""
        found = value_at(context if self.field[0] in context else value, self.field)
        if self.equality:
            return (found == self.value) is not self.negated
        return (isinstance(found, str | list) and self.value in found) is not self.negated


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


def value_at(value: Any, keys: Iterable[str | int]) -> Any:
    """What stands at a place of a value; None where there is none."""
    for key in keys:
        if isinstance(value, dict):
            value = value.get(key)
        elif isinstance(value, list) and isinstance(key, int) and key < len(value):
            value = value[key]
        else:
            return None
    return value


class Place:
    """One place of the values of a schema. `parts` are all schema objects that may concern it, whichever way it is reached."""

    def __init__(self, root: Schema, schemas: Iterable[Any]) -> None:
        self.parts = _on_same_value(root, schemas)
        self.is_password = any(part.get("format") == "password" for part in self.parts)
        """Whether a value here must never be shown."""
        options = [option for part in self.parts for option in part.get("enum", ()) if isinstance(option, str)]
        self.words = {option.casefold(): option for option in options} | {option: option for option in options}
        """Text in any letter case -> how an enum has it."""
        self.names = [name for part in self.parts for key in ("properties", "required") for name in part.get(key, ())]
        is_open = any(part.get("additionalProperties") or "patternProperties" in part for part in self.parts)
        self.is_closed = any(part.get("properties") for part in self.parts) and not is_open
        """Whether an object here has no other fields than `names`."""
        self._root = root
        self._below: dict[str | int | None, Place] = {}

    def below(self, key: str | int) -> Place:
        """The place of a field or an item of the value here."""
        known = 0 if isinstance(key, int) else key if key in self.names else None
        place = self._below.get(known)
        if place is None:
            schemas = [schema for part in self.parts for schema in _schemas_below(part, key)]
            place = self._below[known] = Place(self._root, schemas)
        return place

    def at(self, keys: Iterable[str | int]) -> Place:
        """The place that the keys lead to."""
        place = self
        for key in keys:
            place = place.below(key)
        return place

    def order(self, keys: Iterable[str | int]) -> list[int]:
        """What places sort by in the order of the schema, and of the items of arrays."""
        place, order = self, []
        for key in keys:
            order.append(key if isinstance(key, int) else [*place.names, key].index(key))
            place = place.below(key)
        return order


def _on_same_value(root: Schema, schemas: Iterable[Any]) -> list[Schema]:
    """The schemas, and those that they apply to the same value."""
    found: list[Schema] = []
    waiting = list(schemas)
    for part in waiting:
        if not isinstance(part, dict) or any(part is other for other in found):
            continue
        found.append(part)
        for keyword in ("allOf", "anyOf", "oneOf"):
            waiting += part.get(keyword, ())
        waiting += [part[keyword] for keyword in ("if", "then", "else") if keyword in part]
        if "$ref" in part:
            steps = part["$ref"].lstrip("#").split("/")[1:]
            waiting.append(value_at(root, [step.replace("~1", "/").replace("~0", "~") for step in steps]))
    return found


def _schemas_below(part: Schema, key: str | int) -> list[Any]:
    """What may concern a field or an item; for a name that is not listed all of `patternProperties`, whatever the pattern."""
    if isinstance(key, int):
        items = part.get("items")
        return items if isinstance(items, list) else [items]
    if key in part.get("properties", ()):
        return [part["properties"][key]]
    return [part.get("additionalProperties"), *part.get("patternProperties", {}).values()]


def _retrieve(uri: str) -> Any:
    raise LookupError("only parts of the same schema can be referred to")


def _pointer(keys: Iterable[str | int]) -> str:
    return "".join("/" + str(key).replace("~", "~0").replace("/", "~1") for key in keys)
