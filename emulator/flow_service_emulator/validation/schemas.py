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

from flow_service_emulator.validation.patterns import PatternError, ecma_pattern

Schema = dict[str, Any]

NOTHING: Final[Schema] = {"not": {}}
"""The schema that no value fits."""

MAX_COPY_DEPTH: Final = 200
"""Levels down to which `copied` makes copies; deeper parts are shared with the original."""

_DRAFT_7: Final = "http://json-schema.org/draft-07/schema#"
# The keywords that hold schemas: one, a list of them, or one for each name.
_ONE: Final = (
    *("items", "additionalItems", "contains", "propertyNames", "additionalProperties"),
    *("not", "if", "then", "else"),
)
_SEVERAL: Final = ("items", "allOf", "anyOf", "oneOf")
_NAMED: Final = ("properties", "patternProperties", "dependencies", "definitions")
_HOLDING: Final = frozenset((*_ONE, *_SEVERAL, *_NAMED))
# `$schema` and `$id` would lead the libraries away from this one schema; the content keywords only annotate here.
_IGNORED: Final = ("$schema", "$id", "contentEncoding", "contentMediaType")
_PLAIN: Final = frozenset({str, int, float, bool, type(None)})
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


class Condition:
    """One distinct `conditional`: its test as a draft 7 schema of the object that has the field's first segment."""

    __slots__ = ("_engine", "first_segment", "test")

    def __init__(self, conditional: Mapping[str, Any]) -> None:
        segments = str(conditional["field"]).split(".")
        kind, wanted = _OPERATORS[conditional["operator"]]
        value = conditional["value"]
        test: Schema = {"const": value} if kind == "equals" else _contains(value)
        for segment in reversed(segments):
            test = {"type": "object", "required": [segment], "properties": {segment: test}}
        self.first_segment = segments[0]
        self.test = test if wanted else {"not": test}
        self._engine = jsonschema_rs.Draft7Validator(self.test)

    def holds(self, context: Mapping[str, Any]) -> bool | None:
        """Whether the condition is true in `context`; None where that says nothing about its field."""
        if self.first_segment not in context:
            return None
        return self._engine.is_valid({self.first_segment: context[self.first_segment]})


class PreparedSchema:
    """A checked copy of a schema. Raises SchemaError for what is no draft 7, patterns and conditionals included.

    Only references into the schema itself (`#`, `#/…`) are supported.
    """

    def __init__(self, schema: Mapping[str, Any]) -> None:
        self.schema: Schema = copied(dict(schema))
        try:
            jsonschema_rs.meta.validate({**self.schema, "$schema": _DRAFT_7})
        except jsonschema_rs.ValidationError as fault:
            raise SchemaError(_pointer(*fault.instance_path), fault.message) from fault
        self._conditions: dict[str, Condition] = {}
        #: Whether some property names are matched by patterns.
        self.has_pattern_properties = False
        #: Whether any field is a password.
        self.has_passwords = False
        for place, part in every_part(self.schema):
            for keyword in _IGNORED:
                part.pop(keyword, None)
            self._check(place, part)
        for place, part in every_part(self.schema):
            if "$ref" in part and _applies_itself(self.schema, part):
                raise SchemaError(_pointer(*place, "$ref"), "this schema applies itself to one value without end")

    def outcomes(self, context: Mapping[str, Any]) -> tuple[bool | None, ...]:
        """What the schema's distinct conditions come to in `context`, in a fixed order. See Condition.holds."""
        return tuple(condition.holds(context) for condition in self._conditions.values())

    def resolved(self, outcomes: tuple[bool | None, ...]) -> Schema:
        """A copy in plain draft 7: conditions known from the context decided, the others as `if` and `then`."""
        decided = dict(zip(self._conditions, outcomes, strict=True))
        root: Schema = copied(self.schema)
        for _, part in every_part(root):
            _spell_out_false(part)
            for name, schema in list(_conditional_properties(part)):
                key = _key(schema["conditional"])
                if decided[key] is not True:
                    _take_out(part, name, self._conditions[key].test if decided[key] is None else None)
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
            self._conditions.setdefault(_key(conditional), Condition(conditional))
        self.has_pattern_properties |= "patternProperties" in part
        self.has_passwords |= part.get("format") == "password"


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


def parts_on_same_value(root: Schema, part: Schema) -> list[Any]:
    """The schemas that `part` itself applies to the very value that it applies to, in its order; `not` left out."""
    if "$ref" in part:
        return [part_at(root, part["$ref"])]  # in draft 7, what stands beside it is ignored
    parts = [part[keyword] for keyword in ("if", "then", "else") if keyword in part]
    for keyword in ("allOf", "anyOf", "oneOf"):
        parts += part.get(keyword, [])
    return [*parts, *part.get("dependencies", {}).values()]


def part_at(root: Schema, reference: str) -> Any:
    """The part of `root` that a `$ref` means. Raises LookupError."""
    if reference == "#":
        return root
    if not reference.startswith("#/"):
        raise LookupError(reference)
    part: Any = root
    for segment in unquote(reference[2:]).split("/"):
        name = segment.replace("~1", "/").replace("~0", "~")
        part = part[int(name)] if isinstance(part, list) and name.isdecimal() else _member(part, name)
    if not isinstance(part, dict | bool):
        raise LookupError(reference)
    return part


def copied(value: Any, depth: int = 0) -> Any:
    """A deep copy of JSON data, mappings as dicts and sequences as lists; below MAX_COPY_DEPTH levels it is shared."""
    if depth >= MAX_COPY_DEPTH or isinstance(value, str):
        return value
    # Most values in a large body are plain ones; not calling oneself for those makes this four times as fast.
    if isinstance(value, list | tuple):
        return [item if type(item) in _PLAIN else copied(item, depth + 1) for item in value]
    if isinstance(value, Mapping):
        return {key: item if type(item) in _PLAIN else copied(item, depth + 1) for key, item in value.items()}
    return value


def _applies_itself(root: Schema, part: Schema) -> bool:
    seen: set[int] = set()
    waiting = parts_on_same_value(root, part)
    while waiting:
        reached = waiting.pop()
        if reached is part:
            return True
        if isinstance(reached, dict) and id(reached) not in seen:
            seen.add(id(reached))
            waiting += [*parts_on_same_value(root, reached), reached.get("not")]
    return False


def _member(part: Any, name: str) -> Any:
    if not isinstance(part, dict):
        raise LookupError(name)
    return part[name]


def _parts_below(part: Schema) -> Iterator[tuple[tuple[str, ...], Any]]:
    if _HOLDING.isdisjoint(part):  # as most are
        return
    for keyword in _ONE:
        if isinstance(part.get(keyword), dict):
            yield (keyword,), part[keyword]
    for keyword in _SEVERAL:
        if isinstance(part.get(keyword), list):
            yield from (((keyword, str(index)), schema) for index, schema in enumerate(part[keyword]))
    for keyword in _NAMED:
        yield from (((keyword, name), schema) for name, schema in part.get(keyword, {}).items())


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


def _contains(value: Any) -> Schema:
    """A text that has `value` in it, or an array that has it as an item."""
    forms: list[Schema] = [{"type": "array", "contains": {"const": value}}]
    if isinstance(value, str):
        literal = re.sub(r"[\\^$.*+?()\[\]{}|/]", r"\\\g<0>", value)
        forms.append({"type": "string", "pattern": literal})
    return {"anyOf": forms}


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


def _spell_out_false(part: Schema) -> None:
    """Writes NOTHING for `false`: at that one jsonschema loses the place of the value."""
    if _HOLDING.isdisjoint(part):
        return
    for keyword in _ONE:
        if part.get(keyword) is False and not keyword.startswith("additional"):
            part[keyword] = NOTHING
    for keyword in _SEVERAL:
        if isinstance(part.get(keyword), list):
            part[keyword] = [NOTHING if schema is False else schema for schema in part[keyword]]
    for keyword in _NAMED:
        if keyword in part:
            part[keyword] = {name: NOTHING if schema is False else schema for name, schema in part[keyword].items()}


def _key(conditional: Mapping[str, Any]) -> str:
    return json.dumps([conditional["field"], conditional["operator"], conditional["value"]], sort_keys=True)


def _pointer(*keys: str | int) -> str:
    return "".join("/" + str(key).replace("~", "~0").replace("/", "~1") for key in keys)
