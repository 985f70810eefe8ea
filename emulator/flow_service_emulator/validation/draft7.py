"""The two engines that check a value against a plain draft 7 schema: a quick yes, and every violation in order.

jsonschema_rs says yes in microseconds, which is all that a valid value needs; whatever it does not say yes to goes to
jsonschema, whose answer counts and whose import (about 45 ms) is paid only then. Both match patterns by
`emulator.patterns`, and both take `format` and the content keywords as annotations, as draft 7 has them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from functools import cache
from math import isfinite
from typing import Any, Final

import jsonschema_rs

from flow_service_emulator.validation.patterns import ecma_pattern
from flow_service_emulator.validation.schemas import Schema


class Kept(str):
    """A masked password that stands in the stored value too: it is taken as valid."""

    __slots__ = ()


class QuickCheck:
    """The quick yes to a value of a schema without `patternProperties`."""

    def __init__(self, schema: Schema) -> None:
        self._engine = jsonschema_rs.Draft7Validator(
            schema, validate_formats=False, keywords={"pattern": _QuickPattern}
        )

    def accepts(self, value: Any) -> bool:
        """True for a valid value; False says that the other engine must look at it."""
        try:
            return self._engine.is_valid(value)
        except (ValueError, TypeError, OverflowError):  # not every Python value is one of Rust's
            return False


class _QuickPattern:
    """The keyword `pattern` of the quick check."""

    def __init__(self, parent_schema: dict[str, Any], value: Any, schema_path: list[str | int]) -> None:
        self._pattern = ecma_pattern(value)

    def validate(self, instance: Any) -> None:
        if isinstance(instance, str) and not self._pattern.matches(instance):
            raise ValueError


def full_check(schema: Schema) -> Any:
    """A jsonschema validator of draft 7 with the keywords of this module; its errors carry no message.

    An error of `required`, `additionalProperties` or `propertyNames` has the property as the last step of its path.
    """
    return _full_engine()(schema)


def preload() -> None:
    """Imports jsonschema now, so that the first value with something wrong does not wait for it."""
    _full_engine()


@cache
def _full_engine() -> Any:
    """The class of validators, made on first use."""
    from jsonschema.exceptions import ValidationError
    from jsonschema.validators import Draft7Validator, extend

    keywords = {name: _by_value(holds, ValidationError) for name, holds in _BY_VALUE.items()}
    keywords |= {name: _by_property(faulty, ValidationError) for name, faulty in _BY_PROPERTY.items()}
    keywords["type"] = _type(ValidationError)
    keywords["patternProperties"] = _pattern_properties
    keywords["additionalProperties"] = _additional_properties(ValidationError)
    return extend(Draft7Validator, keywords)


# jsonschema's own functions write the whole value into their messages, which costs time and would show passwords; and
# its `uniqueItems` takes quadratic time. So the keywords on single values are restated here.

Holds = Callable[[Any, Any], bool]
Keyword = Callable[[Any, Any, Any, Schema], Iterator[Exception]]
MakeError = Callable[..., Exception]


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _is_multiple(divisor: Any, value: Any) -> bool:
    from fractions import Fraction

    if isinstance(value, float) and not isfinite(value):
        return False
    dividend, divider = (Fraction(repr(n)) if isinstance(n, float) else Fraction(n) for n in (value, divisor))
    return (dividend / divider).denominator == 1


def identity(value: Any) -> Any:
    """A hashable value, equal for two JSON values just when JSON Schema calls them equal (1 and 1.0, but not true)."""
    if isinstance(value, dict):
        return ("object", frozenset((key, identity(item)) for key, item in value.items()))
    if isinstance(value, list | tuple):
        return ("array", tuple(identity(item) for item in value))
    return (type(value) is bool, value)


def _all_differ(items: list[Any]) -> bool:
    return len({identity(item) for item in items}) == len(items)


_BY_VALUE: Final[Mapping[str, Holds]] = {
    "enum": lambda options, value: any(identity(option) == identity(value) for option in options),
    "const": lambda expected, value: identity(expected) == identity(value),
    "pattern": lambda source, value: not isinstance(value, str) or ecma_pattern(source).matches(value),
    "minLength": lambda limit, value: not isinstance(value, str) or len(value) >= limit,
    "maxLength": lambda limit, value: not isinstance(value, str) or len(value) <= limit,
    "minimum": lambda limit, value: not _is_number(value) or value >= limit,
    "maximum": lambda limit, value: not _is_number(value) or value <= limit,
    "exclusiveMinimum": lambda limit, value: not _is_number(value) or value > limit,
    "exclusiveMaximum": lambda limit, value: not _is_number(value) or value < limit,
    "multipleOf": lambda divisor, value: not _is_number(value) or _is_multiple(divisor, value),
    "minItems": lambda limit, value: not isinstance(value, list) or len(value) >= limit,
    "maxItems": lambda limit, value: not isinstance(value, list) or len(value) <= limit,
    "uniqueItems": lambda wanted, value: not (wanted and isinstance(value, list)) or _all_differ(value),
    "minProperties": lambda limit, value: not isinstance(value, dict) or len(value) >= limit,
    "maxProperties": lambda limit, value: not isinstance(value, dict) or len(value) <= limit,
}


def _by_value(holds: Holds, error: MakeError) -> Keyword:
    def keyword(validator: Any, limit: Any, instance: Any, schema: Schema) -> Iterator[Exception]:
        if not isinstance(instance, Kept) and not holds(limit, instance):
            yield error("")

    return keyword


def _type(error: MakeError) -> Keyword:
    def keyword(validator: Any, names: Any, instance: Any, schema: Schema) -> Iterator[Exception]:
        types = [names] if isinstance(names, str) else names
        if not isinstance(instance, Kept) and not any(validator.is_type(instance, name) for name in types):
            yield error("")

    return keyword


def _names_missing(validator: Any, required: Any, instance: dict[str, Any], schema: Schema) -> list[str]:
    return [name for name in required if name not in instance]


def _names_refused(validator: Any, names: Any, instance: dict[str, Any], schema: Schema) -> list[str]:
    check = validator.evolve(schema=names)
    return [name for name in instance if not check.is_valid(name)]


_BY_PROPERTY: Final = {"required": _names_missing, "propertyNames": _names_refused}


def _by_property(faulty: Callable[..., list[str]], error: MakeError) -> Keyword:
    def keyword(validator: Any, limit: Any, instance: Any, schema: Schema) -> Iterator[Exception]:
        if isinstance(instance, dict):
            for name in faulty(validator, limit, instance, schema):
                yield error("", path=(name,))

    return keyword


def _pattern_properties(validator: Any, patterns: dict[str, Any], instance: Any, schema: Schema) -> Iterator[Exception]:
    if isinstance(instance, dict):
        for pattern, below in patterns.items():
            for name, value in instance.items():
                if ecma_pattern(pattern).matches(name):
                    yield from validator.descend(value, below, path=name, schema_path=pattern)


def _additional_properties(error: MakeError) -> Keyword:
    def keyword(validator: Any, below: Any, instance: Any, schema: Schema) -> Iterator[Exception]:
        if not isinstance(instance, dict):
            return
        patterns = [ecma_pattern(pattern) for pattern in schema.get("patternProperties", ())]
        for name, value in instance.items():
            if name in schema.get("properties", ()) or any(pattern.matches(name) for pattern in patterns):
                continue
            if below is False:
                yield error("", path=(name,))
            else:
                yield from validator.descend(value, below, path=name)

    return keyword
