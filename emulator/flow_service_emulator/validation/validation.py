"""JSON Schema (draft 7) with ECMA-262 patterns in bounded time, the specs' `conditional`, and passwords never shown.

jsonschema_rs decides. Its own messages quote the value, and so passwords: the sentences are in `violation_text.py`.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any, Final, NamedTuple

import orjson
from jsonschema_rs import Draft7Validator, FancyRegexOptions, ValidationError, ValidationErrorKind

from flow_service_emulator.validation.bounds import (
    BACKTRACK_LIMIT,
    LARGE_PROGRAM,
    MAX_DEPTH,
    PatternKeyword,
    ecma_pattern,
    is_shallow,
)
from flow_service_emulator.validation.schemas import PreparedSchema, Schema, SchemaError, part_at
from flow_service_emulator.validation.violation_text import literal, path_text, violation_text

__all__ = ["MASK", "ContractWarning", "Reading", "SchemaError", "SchemaValidator", "Violation"]

MASK: Final = "****"
"""What stands in the place of a password."""

MAX_VIOLATIONS: Final = 50
"""Violations that are reported of one value; warnings and unknown fields likewise."""

MAX_VALUES: Final = 5_000
"""Values (counting those inside others) up to which a value that is not valid is searched for what is wrong."""

_WITHOUT_EXAMPLE: Final = frozenset({"enum", "const", "additionalProperties", "propertyNames", "false"})

Keys = tuple[str | int, ...]
"""Where a value stands in another: names of properties and numbers of items."""


class Violation(NamedTuple):
    """One thing wrong in a body.

    `path` is its place: `params.bucketName`, `params.datasets[0].dataSetId`, the property itself for one that is
    missing, and empty for the body as a whole. `message` is one sentence without its full stop, `rule` the JSON Schema
    keyword (or `size` for a value that is too large to be searched), `pattern` the pattern for the rule of that name,
    and `example` a valid value, where one is known.
    """

    path: str
    message: str
    rule: str
    pattern: str | None = None
    example: Any | None = None

    def as_json(self) -> dict[str, Any]:
        """The fields that have a value."""
        return {name: value for name, value in self._asdict().items() if value is not None}


class ContractWarning(NamedTuple):
    """Something that works here and is undocumented, deprecated or fragile: for the contract report, not an error."""

    rule: str
    path: str
    message: str


class Reading(NamedTuple):
    """A value as it is meant: `value` has enum texts in their documented letter case, `warnings` tells which had another.

    `unknown` is where it has fields that the schema does not name although it names others beside them.
    """

    value: Any
    warnings: list[ContractWarning]
    unknown: list[Keys]


class SchemaValidator:
    """Checks, reads and masks the values of one JSON Schema (draft 7); compiled once.

    `examples` is an example object that holds a valid value for each property. Raises SchemaError for a schema that is
    not draft 7, has a pattern that is not ECMA-262, or a `conditional` that is not known. Formats and content encodings
    are annotations, as in draft 7: what the real service does with them is not known, so nothing is refused for them.
    """

    def __init__(self, schema: Mapping[str, Any], examples: Mapping[str, Any] | None = None) -> None:
        self.schema: Mapping[str, Any] = schema
        """The schema as it was given."""
        self._examples = examples or {}
        self._prepared = PreparedSchema(schema)
        self.has_passwords = self._prepared.has_passwords
        self._whole = Place(self._prepared.schema, [self._prepared.schema])
        self._engines: dict[bytes, _Engine] = {}

    def violations(
        self, value: Any, *, path: str = "", context: Mapping[str, Any] | None = None, stored: Any = None
    ) -> list[Violation]:
        """Everything wrong with `value`, in the order of the schema, at most MAX_VIOLATIONS; empty when it is valid.

        `path` is the place of `value` in the body; `context` is where conditions look for their fields, such as
        `{"flowSpec": {"attributes": {"_workflow": "DATASETS"}}}`. `stored` is the value that is there now, in a change:
        a password that is masked in both is as valid as it was.
        """
        engine = self._engine(context or {})
        if engine.validator.is_valid(value):
            return []
        if not is_shallow(value, MAX_DEPTH, MAX_VALUES):
            place = path or "the body"
            message = f"{place} has more than {MAX_VALUES:,} values or {MAX_DEPTH} levels, too many to check"
            return [Violation(path, message, "size")]
        found: dict[tuple[str, str], Violation] = {}
        for limit, error in engine.errors(value):
            if self.has_passwords and self._is_as_stored(error, stored):
                continue
            for violation in self._told(error, limit, path):
                found.setdefault((violation.path, violation.message), violation)
        mistyped = {violation.path for violation in found.values() if violation.rule == "type"}
        told = [each for each in found.values() if each.rule == "type" or each.path not in mistyped]
        return told[:MAX_VIOLATIONS]

    def read(self, value: Any, path: str = "") -> Reading:
        """The value as it is meant; the same object where nothing in it has to change. `path` is its place in the body."""
        warnings: list[ContractWarning] = []
        unknown: list[Keys] = []
        return Reading(_read(value, self._whole, (), path, warnings, unknown), warnings, unknown)

    def mask(self, value: Any) -> Any:
        """A copy in which every password is MASK, whatever was given in its place; the value itself if there is none."""
        return _masked(value, self._whole) if self.has_passwords else value

    def _engine(self, context: Mapping[str, Any]) -> _Engine:
        key = orjson.dumps(context)
        engine = self._engines.get(key)
        if engine is None:
            engine = self._engines[key] = _Engine(self._prepared.resolved(context))
        return engine

    def _told(self, error: ValidationError, limit: Any, path: str) -> Iterator[Violation]:
        kind = error.kind
        rule = "false" if kind.name == "falseSchema" else kind.name
        for keys in _places(error):
            place = path_text(path, keys)
            several = isinstance(kind, ValidationErrorKind.OneOfMultipleValid)
            hidden = any(self._whole.at(keys[:end]).is_password for end in range(len(keys) + 1))
            message = violation_text(place, rule, limit, error.instance, hidden=hidden, several=several)
            example = None if rule in _WITHOUT_EXAMPLE else self._example(keys)
            if example is not None and not isinstance(example, dict | list):
                message += f"; a valid example is {literal(example)}"
            yield Violation(place, message, rule, limit if rule == "pattern" else None, example)

    def _example(self, keys: Keys) -> Any:
        """The example's value at a place, the first item of an array standing for all; else one of the schema's own."""
        example = value_at(self._examples or None, (0 if isinstance(key, int) else key for key in keys))
        if example is None:
            own = (part["examples"][0] for part in self._whole.at(keys).parts if part.get("examples"))
            example = next(own, None)
        return example

    def _is_as_stored(self, error: ValidationError, stored: Any) -> bool:
        """Whether an error is about a password that is masked in the value and in the stored one."""
        keys = error.instance_path
        if error.instance == MASK and value_at(stored, keys) == MASK and self._whole.at(keys).is_password:
            return True
        forms = getattr(error.kind, "context", ())
        return any(
            form and all(self._is_as_stored(below, stored) for below in form) for form in forms
        )  # an empty one fits


class _Engine:
    """The engine of a schema in one context."""

    def __init__(self, schema: Schema) -> None:
        self._schema = schema
        self.validator = Draft7Validator(
            schema,
            validate_formats=False,
            keywords={"pattern": PatternKeyword},
            pattern_options=FancyRegexOptions(backtrack_limit=BACKTRACK_LIMIT, size_limit=LARGE_PROGRAM),
        )

    def errors(self, value: Any) -> list[tuple[Any, ValidationError]]:
        """The errors in the order of the schema, each with what the schema has under its keyword."""
        found = [(*self._origin(error), error) for error in self.validator.iter_errors(value)]
        found.sort(key=lambda each: each[0])
        return [(limit, error) for _, limit, error in found]

    def _origin(self, error: ValidationError) -> tuple[list[int], Any]:
        """Where the schema says it, as a number for each step (and for an array the item's), and what it says there."""
        order: list[int] = []
        items = (key for key in error.instance_path if isinstance(key, int))
        part: Any = self._schema
        for step in error.evaluation_path:
            order.append(step if isinstance(step, int) else list(part).index(step))
            part = part[step]
            if step == "items":
                order.append(next(items, 0))
            elif step == "$ref" and isinstance(part, str):
                part = part_at(self._schema, part)
        return order, part


def value_at(value: Any, keys: Iterable[str | int]) -> Any:
    """What stands at a place of a value; None where there is none."""
    for key in keys:
        if isinstance(value, Mapping):
            value = value.get(key)
        elif isinstance(value, list) and isinstance(key, int) and key < len(value):
            value = value[key]
        else:
            return None
    return value


def _places(error: ValidationError) -> list[Keys]:
    """What an error is about: for one on the names of properties, these."""
    keys: Keys = tuple(error.instance_path)
    kind = error.kind
    if isinstance(kind, ValidationErrorKind.Required):
        return [(*keys, kind.property)]
    if isinstance(kind, ValidationErrorKind.AdditionalProperties):
        return [(*keys, name) for name in kind.unexpected[:MAX_VIOLATIONS]]
    if isinstance(kind, ValidationErrorKind.PropertyNames):
        return [(*keys, str(kind.error.instance))]
    return [keys]


def _read(value: Any, place: Place, keys: Keys, path: str, warnings: list[ContractWarning], unknown: list[Keys]) -> Any:
    """A value as it is meant; fills the lists on the way."""
    if isinstance(value, str):
        option = place.words.get(value) or place.words.get(value.casefold(), value)
        if option != value and len(warnings) < MAX_VIOLATIONS:
            where = path_text(path, keys)
            text = f"{where}: {literal(value)} is taken as {literal(option)}, which is how the value is documented"
            warnings.append(ContractWarning("enum-letter-case", where, text))
        return option
    if isinstance(value, dict):
        unknown += [(*keys, name) for name in place.unnamed(value)[: MAX_VIOLATIONS - len(unknown)]]
    elif not isinstance(value, list):
        return value
    changed: dict[Any, Any] = {}
    for key, item in value.items() if isinstance(value, dict) else enumerate(value):
        below = place.below(key)
        if below.words if isinstance(item, str) else below.parts:
            meant = _read(item, below, (*keys, key), path, warnings, unknown)
            if meant is not item:
                changed[key] = meant
    if not changed:
        return value
    if isinstance(value, dict):
        return {**value, **changed}
    return [changed.get(index, item) for index, item in enumerate(value)]


def _masked(value: Any, place: Place) -> Any:
    if place.is_password:
        return MASK
    if not place.parts or not isinstance(value, dict | list):
        return value
    if isinstance(value, dict):
        return {name: _masked(item, place.below(name)) for name, item in value.items()}
    return [_masked(item, place.below(index)) for index, item in enumerate(value)]


class Place:
    """One place of the values of a schema, whose references and patterns have been checked.

    `parts` is every schema object that may concern the place, whichever way it is reached; there is none where the schema
    says nothing.
    """

    __slots__ = ("_below", "_is_closed", "_longest", "_names", "_patterns", "_root", "is_password", "parts", "words")

    def __init__(self, root: Schema, schemas: Iterable[Any]) -> None:
        self.parts = _on_same_value(root, schemas)
        self.is_password = any(part.get("format") == "password" for part in self.parts)
        """Whether a value here must never be shown."""
        options = [option for part in self.parts for option in part.get("enum", ()) if isinstance(option, str)]
        self.words = {option.casefold(): option for option in reversed(options)} | {
            option: option for option in options
        }
        """Text in any letter case -> how an enum has it."""
        named = any(part.get("properties") for part in self.parts)
        self._is_closed = named and not any(part.get("additionalProperties", False) is not False for part in self.parts)
        self._root = root
        self._names = {name for part in self.parts for key in ("properties", "required") for name in part.get(key, ())}
        self._patterns = [pattern for part in self.parts for pattern in part.get("patternProperties", ())]
        tuples = [part["items"] for part in self.parts if isinstance(part.get("items"), list)]
        self._longest = max(map(len, tuples), default=0)
        self._below: dict[str | int, Place] = {}

    def unnamed(self, value: dict[str, Any]) -> list[str]:
        """The fields of an object here that the schema does not name although it names others, and no others are allowed."""
        if not self._is_closed or value.keys() <= self._names:
            return []
        patterns = [ecma_pattern(pattern) for pattern in self._patterns]
        return [name for name in value if name not in self._names and not any(each.matches(name) for each in patterns)]

    def below(self, key: str | int) -> Place:
        """The place of a field or an item of the value here."""
        if isinstance(key, int):
            key = min(key, self._longest)
        elif self._is_closed and key not in self._names and not self._patterns:
            return NOWHERE
        place = self._below.get(key)
        if place is None:
            schemas = (schema for part in self.parts for schema in _schemas_below(part, key))
            place = Place(self._root, schemas)
            if isinstance(key, int) or key in self._names:  # of other names there is no end
                self._below[key] = place
        return place

    def at(self, keys: Iterable[str | int]) -> Place:
        """The place that the keys lead to."""
        place = self
        for key in keys:
            place = place.below(key)
        return place


def _on_same_value(root: Schema, schemas: Iterable[Any]) -> list[Schema]:
    """The schemas and all those that they apply to the same value; `not` left out."""
    found: dict[int, Schema] = {}
    waiting = list(schemas)
    while waiting:
        part = waiting.pop(0)
        if not isinstance(part, dict) or id(part) in found:
            continue
        found[id(part)] = part
        if "$ref" in part:  # in draft 7, what stands beside it is ignored
            waiting.append(part_at(root, part["$ref"]))
            continue
        waiting += [part[keyword] for keyword in ("if", "then", "else") if keyword in part]
        for keyword in ("allOf", "anyOf", "oneOf"):
            waiting += part.get(keyword, ())
        waiting += part.get("dependencies", {}).values()
    return [part for part in found.values() if "$ref" not in part]


def _schemas_below(part: Schema, key: str | int) -> list[Any]:
    if isinstance(key, int):
        items = part.get("items")
        if isinstance(items, list):
            items = items[key] if key < len(items) else part.get("additionalItems")
        return [items, part.get("contains")]
    patterned = part.get("patternProperties", {}).items()
    schemas = [schema for pattern, schema in patterned if ecma_pattern(pattern).matches(key)]
    if key in part.get("properties", ()):
        schemas.append(part["properties"][key])
    return schemas or [part.get("additionalProperties")]


NOWHERE: Final = Place({}, [])
"""A place that the schema says nothing of."""
