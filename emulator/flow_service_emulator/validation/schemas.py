"""The specs' JSON Schemas (draft 7): their errors, their `conditional`, and what they say about one place of a value.

`conditional` is the connection specs' own keyword on an outermost property, for example
`{"field": "flowSpec.attributes._workflow", "operator": "CONTAINS", "value": "DATASETS"}`. Where its condition is false the
property is neither required nor looked at (reference: "Where the sources disagree").
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from functools import cache
from typing import TYPE_CHECKING, Any, Final, NamedTuple

import jsonschema_rs
import orjson

from flow_service_emulator.validation.patterns import OPTIONS, PatternKeyword, matches

if TYPE_CHECKING:
    from jsonschema import ValidationError

Schema = dict[str, Any]
Keys = tuple[str | int, ...]
"""Where a value stands in another: names of properties and numbers of items."""

_DRAFT_7: Final = "http://json-schema.org/draft-07/schema#"
_OPERATORS: Final = {
    "CONTAINS": (False, False),
    "NOT_CONTAINS": (False, True),
    "EQUALS": (True, False),
    "NOT_EQUALS": (True, True),
}
"""Operator -> (whether it asks for equality, whether it is negated)."""
_ITEM: Final = 0
"""Stands for any item of an array."""


class SchemaError(ValueError):
    """A schema that cannot be used. `place` is a JSON pointer (RFC 6901) into it, `reason` says what is wrong."""

    def __init__(self, place: str, reason: str) -> None:
        super().__init__(f"{place}: {reason}" if place else reason)
        self.place = place
        self.reason = reason


class Engine:
    """A schema with both of its engines: jsonschema_rs says a quick yes, and of what is left jsonschema says what is wrong.

    Raises SchemaError for what is no draft 7, has a pattern that is none or refers elsewhere.
    """

    def __init__(self, schema: Mapping[str, Any]) -> None:
        self._schema = {key: value for key, value in schema.items() if key not in ("$schema", "$id")}
        try:
            jsonschema_rs.meta.validate({**self._schema, "$schema": _DRAFT_7})
            self._quick = jsonschema_rs.Draft7Validator(
                self._schema,
                validate_formats=False,
                keywords={"pattern": PatternKeyword},
                pattern_options=OPTIONS,  # of patternProperties
                retriever=_retrieve,
            )
        except jsonschema_rs.ValidationError as fault:
            raise SchemaError(_pointer(fault.instance_path), fault.message) from fault

    def is_valid(self, value: Any) -> bool:
        """Whether the value is valid beyond doubt: jsonschema_rs also holds it against `contentEncoding`, an annotation."""
        return self._quick.is_valid(value)

    def errors(self, value: Any) -> Iterator[ValidationError]:
        """What jsonschema finds wrong, in the order of the schema."""
        yield from _validator_class()(self._schema).iter_errors(value)


@cache
def _validator_class() -> Any:
    """jsonschema's validator of draft 7, with patterns in bounded time, and without its quadratic `uniqueItems`."""
    # on first use: a server that has not refused anything yet does not pay for it
    from jsonschema import Draft7Validator, ValidationError
    from jsonschema.validators import extend

    unique = jsonschema_rs.Draft7Validator({"uniqueItems": True})

    def pattern(validator: Any, limit: str, value: Any, schema: Any) -> Iterator[ValidationError]:
        if isinstance(value, str) and not matches(limit, value):
            yield ValidationError("pattern")

    def unique_items(validator: Any, limit: bool, value: Any, schema: Any) -> Iterator[ValidationError]:
        if limit and not unique.is_valid(value):
            yield ValidationError("uniqueItems")

    return extend(Draft7Validator, {"pattern": pattern, "uniqueItems": unique_items})


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
            holds = _same(found, self.value)
        elif isinstance(found, list):
            holds = any(_same(item, self.value) for item in found)
        else:
            holds = isinstance(found, str) and isinstance(self.value, str) and self.value in found
        return holds is not self.negated


def conditions(schema: Mapping[str, Any]) -> list[Condition]:
    """The conditions of a schema. Raises SchemaError for a `conditional` that is not understood."""
    found = []
    for name, part in schema.get("properties", {}).items():
        if not isinstance(part, dict) or "conditional" not in part:
            continue
        place, conditional = _pointer(("properties", name, "conditional")), part["conditional"]
        if (
            not isinstance(conditional, dict)
            or not isinstance(conditional.get("field"), str)
            or "value" not in conditional
        ):
            raise SchemaError(place, "a conditional has a field (a dotted path), an operator and a value")
        operator = conditional.get("operator")
        if not isinstance(operator, str) or operator not in _OPERATORS:
            raise SchemaError(place, f'unknown operator "{operator}"; known are {", ".join(_OPERATORS)}')
        found.append(
            Condition(name, tuple(conditional["field"].split(".")), *_OPERATORS[operator], conditional["value"])
        )
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
        self.names = {name for part in self.parts for key in ("properties", "required") for name in part.get(key, ())}
        is_open = any(part.get("additionalProperties") or "patternProperties" in part for part in self.parts)
        self.is_closed = any(part.get("properties") for part in self.parts) and not is_open
        """Whether an object here has no other fields than `names`."""
        self._root = root
        self._below: dict[str | int | None, Place] = {}

    def below(self, key: str | int) -> Place:
        """The place of a field or an item of the value here."""
        known = _ITEM if isinstance(key, int) else key if key in self.names else None
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


def _same(one: Any, other: Any) -> bool:
    return type(one) is type(other) and bool(one == other)


def _retrieve(uri: str) -> Any:
    raise LookupError("only parts of the same schema can be referred to")


def _pointer(keys: Iterable[str | int]) -> str:
    return "".join("/" + str(key).replace("~", "~0").replace("/", "~1") for key in keys)
