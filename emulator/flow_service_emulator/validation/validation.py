"""Bodies held against JSON Schemas: what is wrong, what is lenient, and what is a password.

jsonschema_rs decides. Its own messages quote the value, and so passwords: the sentences are in `violation_text.py`.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any, Final, NamedTuple

import orjson
from jsonschema_rs import Draft7Validator, ValidationError, ValidationErrorKind

from flow_service_emulator.validation.schemas import (
    Condition,
    Keys,
    Schema,
    SchemaError,
    compiled,
    conditions,
    without,
)
from flow_service_emulator.validation.violation_text import literal, path_text, violation_text

__all__ = ["MASK", "Finding", "Keys", "SchemaError", "SchemaValidator", "Violation", "value_at"]

MASK: Final = "****"
"""What stands in the place of a password."""
MAX_DEPTH: Final = 64
"""Levels of objects and arrays inside each other, at most."""
MAX_VALUES: Final = 5_000
"""Values (counting those inside others) up to which a value that is not valid is searched for what is wrong."""
MAX_VIOLATIONS: Final = 50
"""Violations that are reported of one value."""
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


class Finding(NamedTuple):
    """A rule that a request met: why it was refused, or what works here and is undocumented, deprecated or fragile.

    `place` is where in the request: `query.limit`, `headers.if-match`, `params.bucketName` for a field of the body,
    `/scheduleParams/interval` for what a patch names, and a path for what no route takes; empty for all of it. `kind` is which
    way of several the rule was broken in, such as `required` or `enum`; empty where it has one. `fix` is how this very mistake
    is fixed; empty where the rule's own fix says all. Findings that differ in one of these but the message are different.
    """

    rule: str
    place: str
    message: str
    kind: str = ""
    fix: str = ""


class SchemaValidator:
    """Checks, reads and masks the values of one JSON Schema (draft 7); compiled when it is first needed.

    `examples` is an example object that holds a valid value for each property. Raises SchemaError for a `conditional` that is not
    understood; `compiled` says whether the rest can be used. Formats are annotations, as in draft 7: what the real service does
    with them is not known, so nothing is refused for them.
    """

    def __init__(self, schema: Schema, examples: Mapping[str, Any] | None = None) -> None:
        self.schema = schema
        self._examples = examples or {}
        self._compiled: dict[frozenset[str], Draft7Validator] = {}
        """One for each set of properties whose condition is false, made when it is first needed."""
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
        validator = self._compiled.get(unasked)
        if validator is None:
            validator = self._compiled[unasked] = compiled(without(self.schema, unasked))
        if validator.is_valid(value):
            return []
        if not is_shallow(value, MAX_DEPTH, MAX_VALUES):
            message = (
                f"{path or 'the body'} has more than {MAX_VALUES:,} values or {MAX_DEPTH} levels, too many to check"
            )
            return [Violation(path, message, "size")]
        found: dict[tuple[str, str], tuple[Keys, Violation]] = {}
        for error in validator.iter_errors(value):
            keys = tuple(error.instance_path)
            if error.instance == MASK == value_at(stored, keys) and self._whole.at(keys).is_password:
                continue
            for each in self._told(error, value, path):
                found.setdefault((each[1].path, each[1].message), each)
        mistyped = {each.path for _, each in found.values() if each.rule == "type"}
        told = [pair for pair in found.values() if pair[1].rule == "type" or pair[1].path not in mistyped]
        told.sort(key=lambda pair: self._whole.order(pair[0]))
        return [violation for _, violation in told[:MAX_VIOLATIONS]]

    def applicable(self, context: Mapping[str, Any]) -> Schema:
        """The schema in a context; a property whose condition is false is `True` there."""
        return without(self.schema, self._unasked({}, context))

    def read(self, value: Any, path: str = "") -> tuple[Any, list[Finding], list[Keys]]:
        """The value as it is meant, with enum texts in their documented letter case; the same object where nothing changes.

        With it a warning for each text that had another letter case, and where there are fields that the schema does not name
        although it names others beside them. `path` is the place of the value in the body.
        """
        warnings: list[Finding] = []
        unknown: list[Keys] = []
        return _read(value, self._whole, (), path, warnings, unknown), warnings, unknown

    def mask(self, value: Any) -> Any:
        """A copy in which every password is MASK, whatever was given in its place; the value itself if there is none."""
        return _masked(value, self._whole) if self.has_passwords else value

    def _unasked(self, value: Any, context: Mapping[str, Any]) -> frozenset[str]:
        """The properties whose condition is false."""
        return frozenset([each.name for each in self._conditions if not _holds(each, value, context)])

    def _told(self, error: ValidationError, value: Any, path: str) -> Iterator[tuple[Keys, Violation]]:
        """The violations of an error, each with its place in the value."""
        rule, several = str(error.schema_path[-1]), isinstance(error.kind, ValidationErrorKind.OneOfMultipleValid)
        limit = value_at(self.schema, error.schema_path)
        names: list[str] = []  # of the properties that it is about, where it is not about the object
        match error.kind:
            case ValidationErrorKind.Required(property=name):
                names = [name]
            case ValidationErrorKind.AdditionalProperties(unexpected=unexpected):
                names = sorted(unexpected, key=list(value_at(value, error.instance_path)).index)
            case ValidationErrorKind.PropertyNames(error=inner):
                rule, names = "propertyNames", [str(inner.instance)]
            case ValidationErrorKind.FalseSchema():
                rule = "false"
        keys = tuple(error.instance_path)
        for place in [(*keys, name) for name in names] or [keys]:
            where = path_text(path, place)
            hidden = any(self._whole.at(place[:end]).is_password for end in range(len(place) + 1))
            message = violation_text(where, rule, limit, error.instance, hidden=hidden, several=several)
            example = None if rule in _WITHOUT_EXAMPLE else self._example(place)
            if example is not None and not isinstance(example, dict | list):
                message += f"; a valid example is {literal(example)}"
            yield place, Violation(where, message, rule, limit if rule == "pattern" else None, example)

    def _example(self, keys: Keys) -> Any:
        """The example's value at a place, the first item of an array standing for all; else one of the schema's own."""
        example = value_at(self._examples or None, (0 if isinstance(key, int) else key for key in keys))
        if example is None:
            own = (part["examples"][0] for part in self._whole.at(keys).parts if part.get("examples"))
            example = next(own, None)
        return example


def _holds(condition: Condition, value: Any, context: Mapping[str, Any]) -> bool:
    """Whether it is true; its field is looked up in `context` where that knows it, and else in the value itself."""
    found = value_at(context if condition.field[0] in context else value, condition.field)
    if condition.equality:
        return (found == condition.value) is not condition.negated
    return (isinstance(found, str | list) and condition.value in found) is not condition.negated


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


def _read(value: Any, place: Place, keys: Keys, path: str, warnings: list[Finding], unknown: list[Keys]) -> Any:
    """A value as it is meant; fills the lists on the way."""
    if isinstance(value, str):
        option = place.words.get(value) or place.words.get(value.casefold(), value)
        if option != value:
            where = path_text(path, keys)
            text = f"{where}: {literal(value)} is taken as {literal(option)}, which is how the value is documented"
            warnings.append(Finding("enum-letter-case", where, text))
        return option
    if not place.parts or not isinstance(value, dict | list):
        return value
    if place.is_closed and isinstance(value, dict):
        unknown += [(*keys, name) for name in value if name not in place.names]
    pairs = value.items() if isinstance(value, dict) else enumerate(value)
    meant = {key: _read(item, place.below(key), (*keys, key), path, warnings, unknown) for key, item in pairs}
    if isinstance(value, dict):
        return meant if meant != value else value
    return list(meant.values()) if list(meant.values()) != value else value


def _masked(value: Any, place: Place) -> Any:
    if place.is_password:
        return MASK
    if not place.parts or not isinstance(value, dict | list):
        return value
    if isinstance(value, dict):
        return {name: _masked(item, place.below(name)) for name, item in value.items()}
    return [_masked(item, place.below(index)) for index, item in enumerate(value)]


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
