"""Filters of the query language: `property=<path><operator><value>`.

The operators are a table of small objects. A filter answers in two ways: `may_match` looks at an entity's
undecoded JSON and says when it certainly does not match, `matches` looks at the decoded entity.
"""

from __future__ import annotations

import operator
import re
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import orjson

from flow_service_emulator.errors import ServiceError
from flow_service_emulator.query.fields import BOOLEANS, FieldPath, echo, value_invalid

MAX_VALUES: Final = 1000
MAX_NEEDLES: Final = 8
"""More values than this are cheaper to look up in the decoded entity than to search for in its bytes."""

_OPERATOR: Final = re.compile(r"[=!<>~]+")
_NUMBER: Final = re.compile(r"-?[0-9]{1,40}(\.[0-9]{1,40})?([eE][+-]?[0-9]{1,3})?")
_QUOTED: Final = re.compile(r'"((?:[^"\\]|\\.)*+)"\s*(?=,|\Z)', re.DOTALL)
_STATUS_WORDS: Final[Mapping[str, frozenset[str]]] = {
    "runs": frozenset({"status", "state"}),
    "flows": frozenset({"lastRunDetails.state"}),
}
"""Collection -> the paths, or their last names, of run status words, which compare without regard to case."""
_SAME_STATUS: Final[Mapping[str, str]] = {"processing": "inProgress"}
"""A status word in lower case -> the other name that it is stored by (reference: Entities, Run)."""


@dataclass(frozen=True, slots=True)
class Value:
    """One value of a filter. A value in double quotes is compared like any other, but is never `null`."""

    text: str
    quoted: bool = False

    @property
    def number(self) -> int | float | None:
        """The value as a number, if it is one."""
        if _NUMBER.fullmatch(self.text) is None:
            return None
        return int(self.text) if self.text.lstrip("-").isdecimal() else float(self.text)

    @property
    def boolean(self) -> bool | None:
        """The value as a boolean, if it is one; real clients also send Python's `True`."""
        return BOOLEANS.get(self.text.lower())

    @property
    def null(self) -> bool:
        """Whether the value means JSON's null."""
        return self.text == "null" and not self.quoted


class Wanted:
    """The values of one filter, ready for comparing with what is stored, whose type decides how."""

    __slots__ = ("_booleans", "_ignore_case", "_null", "_number", "_numbers", "_text", "_texts", "values")

    def __init__(self, values: Sequence[Value], *, ignore_case: bool) -> None:
        self.values = values
        self._ignore_case = ignore_case
        self._text = self._folded(self._stored_as(values[0]))
        self._texts = frozenset(self._folded(self._stored_as(value)) for value in values)
        self._number = values[0].number
        self._numbers = frozenset(value.number for value in values if value.number is not None)
        self._booleans = frozenset(value.boolean for value in values if value.boolean is not None)
        self._null = any(value.null for value in values)

    @property
    def texts(self) -> frozenset[str]:
        """The wanted values as texts."""
        return frozenset(value.text for value in self.values)

    def _stored_as(self, value: Value) -> str:
        return _SAME_STATUS.get(value.text.lower(), value.text) if self._ignore_case else value.text

    def _folded(self, text: str) -> str | bytes:
        # bytes.lower() changes ASCII letters only, so that the search in undecoded JSON agrees with it.
        return text.encode().lower() if self._ignore_case else text

    def includes(self, stored: Any) -> bool:
        """Whether a stored value equals one of the wanted ones."""
        if isinstance(stored, str):
            return self._folded(stored) in self._texts
        if isinstance(stored, bool):
            return stored in self._booleans
        if isinstance(stored, int | float):
            return stored in self._numbers
        return stored is None and self._null

    def compares(self, stored: Any, compare: Callable[[Any, Any], bool]) -> bool:
        """Whether a stored number or text stands in this order to the (single) wanted value."""
        if isinstance(stored, str):
            return compare(self._folded(stored), self._text)
        if isinstance(stored, bool) or not isinstance(stored, int | float):
            return False
        return self._number is not None and compare(stored, self._number)

    def needles(self, key: str | None) -> tuple[bytes, ...]:
        """Byte strings of which one is in the JSON of every entity that has a wanted value under `key`; empty
        if unknown.

        `key` None is any place. Numbers have several spellings, so they give no needles.
        """
        if len(self.values) > MAX_NEEDLES or self._numbers:
            return ()
        lead = b"" if key is None else orjson.dumps(key) + b":"
        needles = [lead + orjson.dumps(self._stored_as(value)) for value in self.values]
        needles += [lead + orjson.dumps(boolean) for boolean in sorted(self._booleans)]
        if self._null:
            needles.append(lead + b"null")
        return tuple(needle.lower() if self._ignore_case else needle for needle in needles)


@dataclass(frozen=True, slots=True)
class Operator:
    """One operator of the table. An entity meets a condition if `accepts` says yes to any of the values that
    it has at the path, or, for a `negated` operator, to none of them."""

    symbol: str
    accepts: Callable[[Wanted, Any], bool]
    negated: bool = False
    takes_several: bool = False
    ordering: bool = False


def _ordering(symbol: str, compare: Callable[[Any, Any], bool]) -> Operator:
    return Operator(symbol, lambda wanted, stored: wanted.compares(stored, compare), ordering=True)


EQUALS: Final = Operator("==", Wanted.includes, takes_several=True)
OPERATORS: Final[Mapping[str, Operator]] = {
    each.symbol: each
    for each in (
        EQUALS,
        Operator("!=", Wanted.includes, negated=True, takes_several=True),
        _ordering("<", operator.lt),
        _ordering(">", operator.gt),
        _ordering("<=", operator.le),
        _ordering(">=", operator.ge),
    )
}


@dataclass(frozen=True, slots=True)
class Filter:
    """One condition. An entity without the field meets `!=` only."""

    path: FieldPath
    operator: Operator
    wanted: Wanted
    needles: tuple[bytes, ...]
    ignore_case: bool

    def matches(self, entity: Any) -> bool:
        """Whether a decoded entity meets the condition."""
        accepts, wanted = self.operator.accepts, self.wanted
        return any(accepts(wanted, stored) for stored in self.path.values(entity)) != self.operator.negated

    @property
    def texts(self) -> frozenset[str] | None:
        """The texts of which an entity must have one to meet the condition; None where it is not as simple as that."""
        return None if self.operator is not EQUALS or self.ignore_case else self.wanted.texts

    def matches_value(self, stored: Any) -> bool:
        """Whether an entity that has just this value at the path meets the condition."""
        return self.operator.accepts(self.wanted, stored) != self.operator.negated

    def may_match(self, raw: bytes) -> bool:
        """False only if the entity of this JSON certainly does not meet the condition. Needs `needles`."""
        if self.ignore_case:
            raw = raw.lower()
        return any(needle in raw for needle in self.needles)


def split_filter(text: str) -> tuple[str, str, str] | None:
    """Path, operator and value of a `property`, not yet checked; None when there is no operator, which is a
    projection.

    The operator is the whole run of operator characters, so that `===` is one wrong operator and not `==` and
    a value; a value that starts with such a character goes into double quotes.
    """
    match = _OPERATOR.search(text)
    if match is None:
        return None
    return text[: match.start()].strip(), match[0], text[match.end() :].strip()


def parse_filter(path: str, symbol: str, value: str, *, collection: str, fields: Collection[str]) -> Filter:
    """Reads the parts of one filter. Raises ServiceError: 1440, 1443, 1448, 1449, 1450, 1452 or 1453."""
    found = OPERATORS.get(symbol)
    if found is None:
        # "~" is the pattern-matching operator of other Platform services: a real operator that this service
        # does not have (1440). Anything else, such as "=", "=>" or "===", is no operator anywhere (1450).
        name = "filter-operator-not-implemented" if "~" in symbol else "filter-operator-invalid"
        raise ServiceError(name, operator=echo(symbol))
    if not path:
        raise ServiceError("query-value-invalid", value=echo(symbol + value))
    field = FieldPath.parse(path, fields)
    if field is None:
        raise ServiceError("filter-field-invalid", field=echo(path))
    values = parse_values(value)
    _check_fit(field, found, values)
    last = field.steps[-1][0]
    words = _STATUS_WORDS.get(collection, frozenset())
    ignore_case = field.text in words or last in words
    wanted = Wanted(values, ignore_case=ignore_case)
    needles = wanted.needles(None if field.steps[-1][1] else last) if found is EQUALS else ()
    return Filter(field, found, wanted, needles, ignore_case)


def _check_fit(field: FieldPath, found: Operator, values: Sequence[Value]) -> None:
    """Whether operator and values suit the field's documented type; without one, `true` and `false` still
    have no order."""
    unsupported = ServiceError("filter-operator-unsupported-for-field", operator=found.symbol, field=echo(field.text))
    if field.kind in ("object", "array"):
        raise unsupported
    if len(values) > 1 and not found.takes_several:
        raise ServiceError("filter-operator-single-value", operator=found.symbol)
    unordered = field.kind == "boolean" or (field.kind is None and values[0].boolean is not None)
    if found.ordering and unordered:
        raise unsupported
    for value in values:
        if field.kind == "number" and value.number is None:
            raise value_invalid(value.text, field.text, "a number")
        if field.kind == "boolean" and value.boolean is None:
            raise value_invalid(value.text, field.text, list(BOOLEANS))


def parse_values(text: str) -> list[Value]:
    r"""Splits `a,"b,c",d` at the commas outside double quotes. Raises ServiceError query-value-invalid
    (1453).

    Inside double quotes `\"` is a quote and `\\` a backslash; an etag, which has its own quotes, is
    `"\"00…\""`. Two quotes alone are the empty text; a value without any character is an error.
    """
    values: list[Value] = []
    rest = text
    while True:
        if rest.startswith('"'):
            value, rest = _quoted(rest, text)
        else:
            bare, comma, tail = rest.partition(",")
            value, rest = Value(bare.strip()), comma + tail
            if not value.text:
                raise ServiceError("query-value-invalid", value=echo(text))
        values.append(value)
        if len(values) > MAX_VALUES:
            raise ServiceError("query-value-invalid", value=f"of more than {MAX_VALUES} values")
        if not rest:
            return values
        rest = rest[1:].lstrip()


def _quoted(rest: str, whole: str) -> tuple[Value, str]:
    match = _QUOTED.match(rest)
    if match is None:
        raise ServiceError("query-value-invalid", value=echo(whole))
    return Value(re.sub(r'\\(["\\])', r"\1", match[1]), quoted=True), rest[match.end() :]
