"""JSON Schemas (draft 7) made ready for use: copied, checked once, and their `conditional` turned into plain draft 7.

`conditional` is the connection specs' own keyword on a property's schema, for example
`{"field": "flowSpec.attributes._workflow", "operator": "CONTAINS", "value": "DATASETS"}`. Where its condition is
false the property is neither required nor applicable (reference: "Where the sources disagree"). The field is looked
up in the context of the check where that has its first segment, and otherwise beside the property itself. The
condition and the `required` that it concerns stand in the same schema object.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from typing import Any, Final
from urllib.parse import unquote

import jsonschema_rs
import orjson

from flow_service_emulator.validation.bounds import PatternError, ecma_pattern

Schema = dict[str, Any]
Condition = tuple[str, Schema]
"""The first segment of a conditional's field, and its test as a schema of the object that has this."""

_DRAFT_7: Final = "http://json-schema.org/draft-07/schema#"
_NAMED: Final = frozenset({"properties", "patternProperties", "dependencies", "definitions"})
"""The keywords that hold a schema for each of several names."""
_HOLDING: Final = frozenset(
    {*("items", "additionalItems", "contains", "propertyNames", "additionalProperties", "not", "if", "then", "else")}
    | {"allOf", "anyOf", "oneOf"}
)
"""The keywords that hold one schema, or a list of them."""
# `$schema` and `$id` would lead the library away from this one schema; the content keywords only annotate here.
_IGNORED: Final = ("$schema", "$id", "contentEncoding", "contentMediaType")
_OPERATORS: Final = {
    "CONTAINS": ("contains", True),
    "NOT_CONTAINS": ("contains", False),
    "EQUALS": ("equals", True),
    "NOT_EQUALS": ("equals", False),
}


class SchemaError(ValueError):
    """A schema that cannot be used. `place` is a JSON pointer (RFC 6901) into it, `reason` says what is wrong."""

    def __init__(self, place: str, reason: str) -> None:
        super().__init__(f"{place}: {reason}" if place else reason)
        self.place = place
        self.reason = reason


class PreparedSchema:
    """A checked copy of a schema. Raises SchemaError for what is no draft 7, patterns and conditionals included.

    Only references into the schema itself (`#`, `#/…`) are supported.
    """

    def __init__(self, schema: Mapping[str, Any]) -> None:
        self.schema: Schema = copied(schema)
        try:
            jsonschema_rs.meta.validate({**self.schema, "$schema": _DRAFT_7})
        except jsonschema_rs.ValidationError as fault:
            raise SchemaError(_pointer(*fault.instance_path), fault.message) from fault
        self._conditions: dict[str, Condition] = {}
        """Each distinct `conditional`, by its text."""
        self.has_passwords = False
        """Whether any field is a password."""
        for place, part in every_part(self.schema):
            for keyword in _IGNORED:
                part.pop(keyword, None)
            self._check(place, part)
            self.has_passwords |= part.get("format") == "password"

    def resolved(self, context: Mapping[str, Any], *, beside: bool = True) -> Schema:
        """A copy in plain draft 7: conditions that `context` knows the field of are decided, the others as `if` and `then`.

        Without `beside`, those others are taken for false.
        """
        tests = {key: _undecided(condition, context) for key, condition in self._conditions.items()}
        root: Schema = copied(self.schema)
        for _, part in every_part(root):
            if part.get("additionalProperties") is False:
                part.setdefault("properties", {})  # else jsonschema_rs does not say which names are refused
            for name, schema in list(_conditional_properties(part)):
                test = tests[_key(schema["conditional"])]
                if test is not True:
                    _take_out(part, name, test or None if beside else None)
        return root

    def _check(self, place: tuple[str, ...], part: Schema) -> None:
        if "pattern" in part:
            _check_pattern(part["pattern"], (*place, "pattern"))
        for pattern in part.get("patternProperties", ()):
            _check_pattern(pattern, (*place, "patternProperties", pattern))
        if "$ref" in part:
            try:
                part_at(self.schema, part["$ref"])
            except LookupError as fault:
                raise SchemaError(_pointer(*place, "$ref"), f"no such part of this schema: {part['$ref']}") from fault
        for name, schema in _conditional_properties(part):
            conditional = schema["conditional"]
            reason = _fault_of(conditional)
            if reason is not None:
                raise SchemaError(_pointer(*place, "properties", name, "conditional"), reason)
            self._conditions[_key(conditional)] = _condition(conditional)


def every_part(root: Schema) -> Iterator[tuple[tuple[str, ...], Schema]]:
    """Every schema object in `root`, itself first, each once, with the keys that lead to it.

    A part may be changed in place when it is handed out: what is below it is looked for only then.
    """
    seen: set[int] = set()
    waiting: list[tuple[tuple[str, ...], Any]] = [((), root)]
    while waiting:
        place, part = waiting.pop()
        if not isinstance(part, dict) or id(part) in seen:
            continue
        seen.add(id(part))
        yield place, part
        below = [((*place, *keys), schema) for keys, schema in _parts_below(part)]
        waiting.extend(reversed(below))
        if isinstance(part.get("$ref"), str):
            waiting.append(((*place, "$ref"), part_at(root, part["$ref"])))


def part_at(root: Schema, reference: str) -> Any:
    """The part of `root` that a `$ref` means. Raises LookupError."""
    if reference == "#":
        return root
    if not reference.startswith("#/"):
        raise LookupError(reference)
    part: Any = root
    for segment in unquote(reference[2:]).split("/"):
        name = segment.replace("~1", "/").replace("~0", "~")
        if isinstance(part, list) and name.isdecimal():
            part = part[int(name)]
        elif isinstance(part, dict):
            part = part[name]
        else:
            raise LookupError(reference)
    if isinstance(part, dict | bool):
        return part
    raise LookupError(reference)


def copied(value: Any) -> Any:
    """A deep copy of JSON data."""
    return orjson.loads(orjson.dumps(value))


def _parts_below(part: Schema) -> Iterator[tuple[tuple[str, ...], Any]]:
    for keyword, value in part.items():
        if keyword in _NAMED:
            yield from (((keyword, name), schema) for name, schema in value.items())
        elif keyword in _HOLDING and isinstance(value, list):
            yield from (((keyword, str(index)), schema) for index, schema in enumerate(value))
        elif keyword in _HOLDING:
            yield (keyword,), value


def _conditional_properties(part: Schema) -> Iterator[tuple[str, Schema]]:
    for name, schema in part.get("properties", {}).items():
        if isinstance(schema, dict) and "conditional" in schema:
            yield name, schema


def _check_pattern(pattern: str, place: tuple[str, ...]) -> None:
    try:
        ecma_pattern(pattern)
    except PatternError as fault:
        raise SchemaError(_pointer(*place), str(fault)) from fault


def _fault_of(conditional: Any) -> str | None:
    if not isinstance(conditional, dict) or not isinstance(conditional.get("field"), str) or "value" not in conditional:
        return "a conditional has a field (a dotted path), an operator and a value"
    operator = conditional.get("operator")
    if operator not in tuple(_OPERATORS):
        return f"unknown operator {json.dumps(operator)}; known are {', '.join(_OPERATORS)}"
    return None


def _condition(conditional: Mapping[str, Any]) -> Condition:
    segments = conditional["field"].split(".")
    kind, wanted = _OPERATORS[conditional["operator"]]
    value = conditional["value"]
    test: Schema = {"const": value} if kind == "equals" else _contains(value)
    for segment in reversed(segments):
        test = {"type": "object", "required": [segment], "properties": {segment: test}}
    return segments[0], test if wanted else {"not": test}


def _contains(value: Any) -> Schema:
    """A text that has `value` in it, or an array that has it as an item."""
    forms: list[Schema] = [{"type": "array", "contains": {"const": value}}]
    if isinstance(value, str):
        literal = re.sub(r"[\\^$.*+?()\[\]{}|/]", r"\\\g<0>", value)
        forms.append({"type": "string", "pattern": literal})
    return {"anyOf": forms}


def _undecided(condition: Condition, context: Mapping[str, Any]) -> Schema | bool:
    """Whether a condition is true in `context`; its test where that says nothing about its field."""
    segment, test = condition
    if segment not in context:
        return test
    return jsonschema_rs.Draft7Validator(test).is_valid({segment: context[segment]})


def _take_out(part: Schema, name: str, test: Schema | None) -> None:
    """Makes a property one that nothing is asked of, except (with a test) where the test of the object holds."""
    schema = {key: value for key, value in part["properties"][name].items() if key != "conditional"}
    then: Schema = {"properties": {name: schema}}
    part["properties"][name] = True
    if name in part.get("required", ()):
        part["required"] = [other for other in part["required"] if other != name]
        then["required"] = [name]
    if test is not None:
        part["allOf"] = [*part.get("allOf", ()), {"if": test, "then": then}]


def _key(conditional: Mapping[str, Any]) -> str:
    return json.dumps([conditional["field"], conditional["operator"], conditional["value"]], sort_keys=True)


def _pointer(*keys: str | int) -> str:
    return "".join("/" + str(key).replace("~", "~0").replace("/", "~1") for key in keys)
