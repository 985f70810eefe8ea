"""Bodies held against JSON Schemas: what is wrong, what is lenient, and what is a password.

jsonschema decides. Its own messages quote the value, and so passwords: the sentences are in `violation_text.py`.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any, Final, NamedTuple

import orjson

from flow_service_emulator.validation.patterns import matches
from flow_service_emulator.validation.schemas import (
    Engine,
    Keys,
    Place,
    Schema,
    SchemaError,
    conditions,
    value_at,
    without,
)
from flow_service_emulator.validation.violation_text import literal, path_text, violation_text

if TYPE_CHECKING:
    from jsonschema import ValidationError

__all__ = ["MASK", "ContractWarning", "Keys", "Reading", "SchemaError", "SchemaValidator", "Violation", "value_at"]

MASK: Final = "****"
"""What stands in the place of a password."""
MAX_DEPTH: Final = 64
"""Levels of objects and arrays inside each other, at most."""
MAX_VALUES: Final = 5_000
"""Values (counting those inside others) up to which a value that is not valid is searched for what is wrong."""
MAX_VIOLATIONS: Final = 50
"""Violations that are reported of one value; warnings and unknown fields likewise."""
_NONE: Final[frozenset[str]] = frozenset()
_WITHOUT_EXAMPLE: Final = frozenset({"enum", "const", "additionalProperties", "propertyNames", "false"})


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

    `examples` is an example object that holds a valid value for each property. Raises SchemaError. Formats are annotations,
    as in draft 7: what the real service does with them is not known, so nothing is refused for them.
    """

    def __init__(self, schema: Schema, examples: Mapping[str, Any] | None = None) -> None:
        self.schema = schema
        self._examples = examples or {}
        self._engines: dict[frozenset[str], Engine] = {_NONE: Engine(schema)}
        """One for each set of properties whose condition is false."""
        self._conditions = conditions(schema)
        self.has_passwords = b'"format":"password"' in orjson.dumps(schema)
        self._whole = Place(schema, [schema])

    def violations(
        self, value: Any, *, path: str = "", context: Mapping[str, Any] | None = None, stored: Any = None
    ) -> list[Violation]:
        """Everything wrong with `value`, in the order of the schema, at most MAX_VIOLATIONS; empty when it is valid.

        `path` is the place of `value` in the body; `context` is where conditions look for their fields, such as
        `{"flowSpec": {"attributes": {"_workflow": "DATASETS"}}}`. `stored` is the value that is there now, in a change:
        a password that is masked in both is as valid as it was.
        """
        unasked = self._unasked(value, context or {})
        engine = self._engines.get(unasked)
        if engine is None:
            engine = self._engines[unasked] = Engine(without(self.schema, unasked))
        if engine.is_valid(value):
            return []
        if not is_shallow(value, MAX_DEPTH, MAX_VALUES):
            place = path or "the body"
            message = f"{place} has more than {MAX_VALUES:,} values or {MAX_DEPTH} levels, too many to check"
            return [Violation(path, message, "size")]
        found: dict[tuple[str, str], Violation] = {}
        for error in engine.errors(value):
            keys = error.absolute_path
            if error.instance == MASK == value_at(stored, keys) and self._whole.at(keys).is_password:
                continue
            for violation in self._told(error, path):
                found.setdefault((violation.path, violation.message), violation)
        mistyped = {violation.path for violation in found.values() if violation.rule == "type"}
        told = [each for each in found.values() if each.rule == "type" or each.path not in mistyped]
        return told[:MAX_VIOLATIONS]

    def applicable(self, context: Mapping[str, Any]) -> Schema:
        """The schema in a context; a property whose condition is false is `True` there."""
        return without(self.schema, self._unasked({}, context))

    def read(self, value: Any, path: str = "") -> Reading:
        """The value as it is meant; the same object where nothing in it has to change. `path` is its place in the body."""
        warnings: list[ContractWarning] = []
        unknown: list[Keys] = []
        return Reading(_read(value, self._whole, (), path, warnings, unknown), warnings, unknown)

    def mask(self, value: Any) -> Any:
        """A copy in which every password is MASK, whatever was given in its place; the value itself if there is none."""
        return _masked(value, self._whole) if self.has_passwords else value

    def _unasked(self, value: Any, context: Mapping[str, Any]) -> frozenset[str]:
        """The properties whose condition is false."""
        if not self._conditions:
            return _NONE
        return frozenset([each.name for each in self._conditions if not each.holds(value, context)])

    def _told(self, error: ValidationError, path: str) -> Iterator[Violation]:
        rule, limit = str(error.validator or "false"), error.validator_value
        if "propertyNames" in error.absolute_schema_path:
            rule = "propertyNames"
        several = rule == "oneOf" and not error.context
        for keys in _places(error):
            place = path_text(path, keys)
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


def is_shallow(value: Any, depth: int = MAX_DEPTH, most: float = float("inf")) -> bool:
    """Whether a value is nested at most `depth` deep and holds at most `most` values.

    A loop, so that no depth can exhaust the stack; it stops where the answer is no.
    """
    level = [value] if isinstance(value, (dict, list)) else []
    for _ in range(depth):
        if not level:
            return True
        most -= sum(map(len, level))
        if most < 0:
            return False
        level = [
            member
            for container in level
            for member in (container.values() if isinstance(container, dict) else container)
            if isinstance(member, (dict, list))
        ]
    return not level


def _places(error: ValidationError) -> list[Keys]:
    """What an error is about: for one on the names of properties, these."""
    keys, value, limit = tuple(error.absolute_path), error.instance, error.validator_value
    if "propertyNames" in error.absolute_schema_path:
        return [(*keys, str(value))]
    if error.validator == "required":
        return [(*keys, name) for name in limit if name not in value]
    if error.validator == "additionalProperties":
        schema = error.schema
        known, patterns = schema.get("properties", ()), schema.get("patternProperties", ())
        extras = [name for name in value if name not in known and not any(matches(each, name) for each in patterns)]
        return [(*keys, name) for name in extras[:MAX_VIOLATIONS]]
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
    if not place.parts or not isinstance(value, dict | list):
        return value
    if isinstance(value, list):
        meant = [
            _read(item, place.below(index), (*keys, index), path, warnings, unknown) for index, item in enumerate(value)
        ]
        return meant if meant != value else value
    if place.is_closed:
        strange = [(*keys, name) for name in value if name not in place.names]
        unknown += strange[: MAX_VIOLATIONS - len(unknown)]
    changed = {}
    for name, item in value.items():
        below = place.below(name)
        if below.words if isinstance(item, str) else below.parts:
            option = _read(item, below, (*keys, name), path, warnings, unknown)
            if option is not item:
                changed[name] = option
    return {**value, **changed} if changed else value


def _masked(value: Any, place: Place) -> Any:
    if place.is_password:
        return MASK
    if not place.parts or not isinstance(value, dict | list):
        return value
    if isinstance(value, dict):
        return {name: _masked(item, place.below(name)) for name, item in value.items()}
    return [_masked(item, place.below(index)) for index, item in enumerate(value)]
