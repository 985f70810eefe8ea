"""JSON Schema with ECMA-262 patterns in bounded time, the specs' `conditional`, and passwords that are never shown.

The schema's own checks are in `schemas.py`, the engines in `draft7.py`, the sentences in `violation_text.py`.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from functools import cached_property
from typing import Any, Final, NamedTuple

from flow_service_emulator.validation.draft7 import Kept, QuickCheck, full_check, preload
from flow_service_emulator.validation.schema_places import MAX_DEPTH, Keys, Parts, Places, is_password
from flow_service_emulator.validation.schemas import NOTHING, PreparedSchema, SchemaError, copied
from flow_service_emulator.validation.violation_text import literal, path_text, violation_text

MASK: Final = "****"
"""What stands in the place of a password."""

MAX_VIOLATIONS: Final = 50
"""Violations that are reported of one value; warnings likewise."""

MAX_VALUES: Final = 5_000
"""Values (counting those inside others) up to which a value that is not valid is searched for what is wrong."""

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
        fields = {
            "path": self.path,
            "message": self.message,
            "rule": self.rule,
            "pattern": self.pattern,
            "example": self.example,
        }
        return {name: value for name, value in fields.items() if value is not None}


class ContractWarning(NamedTuple):
    """Something accepted that the real service may not accept; `rule` is a word such as `enum-letter-case`."""

    rule: str
    path: str
    message: str


class SchemaValidator:
    """Checks, completes and masks the values of one JSON Schema (draft 7); compiled once.

    `examples` is an example object that holds a valid value for each property. Raises SchemaError for a schema that is
    not draft 7, has a pattern that is not ECMA-262, or a `conditional` that is not known. Formats and content encodings
    are annotations, as in draft 7: what the real service does with them is not known, so nothing is refused for them.
    """

    def __init__(self, schema: Mapping[str, Any], examples: Mapping[str, Any] | None = None) -> None:
        self.schema: Mapping[str, Any] = schema
        """The schema as it was given."""
        self._examples = examples or {}
        self._prepared = PreparedSchema(schema)
        self.has_passwords: bool = self._prepared.has_passwords
        self._places = Places(self._prepared.schema)
        self._engines: dict[tuple[bool | None, ...], _Engines] = {}

    def violations(
        self, value: Any, *, path: str = "", context: Mapping[str, Any] | None = None, kept: Any = None
    ) -> list[Violation]:
        """Everything wrong with `value`, in the order of the schema, at most MAX_VIOLATIONS; empty when it is valid.

        `path` is the place of `value` in the body; `context` is where conditions look for their fields, such as
        `{"flowSpec": {"attributes": {"_workflow": "DATASETS"}}}`. `kept` is the value that is stored now, in a change:
        a password that is masked in both is as valid as it was.
        """
        outcomes = self._prepared.outcomes(context or {})
        engines = self._engines.get(outcomes)
        if engines is None:
            engines = self._engines[outcomes] = _Engines(self._prepared, outcomes)
        if engines.quick is not None and engines.quick.accepts(value):
            return []
        if _is_vast(value):
            place = path or "the body"
            message = f"{place} has more than {MAX_VALUES:,} values or {MAX_DEPTH} levels, too many to check"
            return [Violation(path, message, "size")]
        if kept is not None and self.has_passwords:
            value = self._with_kept(value, kept)
        found: dict[tuple[str, str], Violation] = {}
        for error in engines.full.iter_errors(value):
            violation = self._violation(error, path)
            found.setdefault((violation.path, violation.message), violation)
            if len(found) == MAX_VIOLATIONS:
                break
        mistyped = {violation.path for violation in found.values() if violation.rule == "type"}
        return [each for each in found.values() if each.rule == "type" or each.path not in mistyped]

    def canonical(self, value: Any, *, path: str = "") -> tuple[Any, list[ContractWarning]]:
        """A deep copy whose enum strings have the documented letter case, and a warning about each that had another."""
        warnings: list[ContractWarning] = []

        def documented(given: Any, parts: Parts, keys: Keys) -> Any:
            option = _documented(given, parts)
            if option is None:
                return given
            if len(warnings) < MAX_VIOLATIONS:
                place = path_text(path, keys)
                text = f"{place}: {literal(given)} is taken as {literal(option)}, which is how the value is documented"
                warnings.append(ContractWarning("enum-letter-case", place, text))
            return option

        return self._places.rebuilt(value, documented), warnings

    def undocumented(self, value: Any) -> Iterator[Keys]:
        """Where `value` has fields that the schema does not name although it names others beside them."""
        return self._places.undocumented(value)

    def mask(self, value: Any) -> Any:
        """A deep copy in which every password is MASK, whatever was given in its place."""
        if not self.has_passwords:
            return copied(value)
        return self._places.rebuilt(
            value,
            lambda given, parts, keys: MASK if is_password(parts) else given,
            too_deep=lambda given: MASK,
        )

    @cached_property
    def password_paths(self) -> tuple[str, ...]:
        """Where passwords may stand: `s3SecretKey`, `keys[].secret`; `*` for a property of any name."""
        return tuple(self._places.password_paths())

    def _violation(self, error: Any, path: str) -> Violation:
        keys: Keys = tuple(error.absolute_path)
        place = path_text(path, keys)
        rule = "false" if error.validator is None or error.schema == NOTHING else error.validator
        message = violation_text(
            place,
            rule,
            error.validator_value,
            error.instance,
            hidden=self._places.is_hidden(keys),
            several=not error.context,
        )
        example = None if rule in _WITHOUT_EXAMPLE else self._example(keys)
        if example is not None and not isinstance(example, dict | list):
            message += f"; a valid example is {literal(example)}"
        return Violation(place, message, rule, error.validator_value if rule == "pattern" else None, example)

    def _example(self, keys: Keys) -> Any:
        """The example's value at a place, the first item of an array standing for all; else one of the schema's own."""
        example: Any = self._examples or None
        for key in keys:
            example = _member(example, 0 if isinstance(key, int) else key)
        if example is None:
            own = [part["examples"] for part in self._places.parts_at(keys) if part.get("examples")]
            example = own[0][0] if own else None
        return copied(example)

    def _with_kept(self, value: Any, stored: Any) -> Any:
        """A copy whose masked passwords are Kept where the stored value has the mask at the same place."""

        def marked(given: Any, parts: Parts, keys: Keys) -> Any:
            if given != MASK or not is_password(parts):
                return given
            there = stored
            for key in keys:
                there = _member(there, key)
            return Kept(given) if there == MASK else given

        return self._places.rebuilt(value, marked)


class _Engines:
    """The two engines for one outcome of a schema's conditions."""

    def __init__(self, prepared: PreparedSchema, outcomes: tuple[bool | None, ...]) -> None:
        self._schema = prepared.resolved(outcomes)
        self.quick: QuickCheck | None = None
        # With patternProperties there is no quick check: it would match those patterns by its own rules.
        if not prepared.has_pattern_properties:
            self.quick = QuickCheck(self._schema)

    @cached_property
    def full(self) -> Any:
        """The jsonschema validator, made when something is wrong for the first time."""
        return full_check(self._schema)


def _documented(value: Any, parts: Parts) -> str | None:
    """The enum's own spelling of a string in another letter case; None where there is nothing to change."""
    if not isinstance(value, str):
        return None
    options = [option for part in parts for option in part.get("enum", ()) if isinstance(option, str)]
    if not options or value in options:
        return None
    return next((option for option in options if option.casefold() == value.casefold()), None)


def _member(value: Any, key: str | int) -> Any:
    if isinstance(value, dict | Mapping):
        return value.get(key)
    if isinstance(value, list) and isinstance(key, int) and key < len(value):
        return value[key]
    return None


def _is_vast(value: Any) -> bool:
    """Whether the value has more than MAX_VALUES values or MAX_DEPTH levels; found out in bounded time."""
    level, seen = [value], 0
    for _ in range(MAX_DEPTH + 1):
        containers = [item for item in level if isinstance(item, dict | list)]
        if not containers:
            return False
        seen += sum(len(item) for item in containers)
        if seen > MAX_VALUES:
            return True
        level = [below for item in containers for below in (item.values() if isinstance(item, dict) else item)]
    return True


__all__ = ["MASK", "ContractWarning", "SchemaError", "SchemaValidator", "Violation", "preload"]
