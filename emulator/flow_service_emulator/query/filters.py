"""Filters of the query language: `property=<path><operator><value>`. The operators are a table of small objects."""

from __future__ import annotations

import operator
import re
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from flow_service_emulator.errors import ServiceError
from flow_service_emulator.query.fields import BOOLEANS, FieldPath, echo, value_invalid

MAX_VALUES: Final = 1000

_OPERATOR: Final = re.compile(r"[=!<>~]+")
_NUMBER: Final = re.compile(r"-?[0-9]{1,40}(\.[0-9]{1,40})?([eE][+-]?[0-9]{1,3})?")
_QUOTED: Final = re.compile(r'"((?:[^"\\]|\\.)*+)"\s*(?=,|\Z)', re.DOTALL)
_STATUS_WORDS: Final[Mapping[str, frozenset[str]]] = {
    "runs": frozenset({"status", "state"}),
    "flows": frozenset({"lastRunDetails.state"}),
}
"""Collection -> the paths, or their last names, of run status words, which compare without regard to case."""
_SAME_STATUS: Final[Mapping[str, str]] = {"processing": "inprogress"}
"""A status word -> the other name that it is stored by (reference: Entities, Run)."""


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

    __slots__ = ("_booleans", "_null", "_number", "_numbers", "_status", "_text", "_texts")

    def __init__(self, values: Sequence[Value], *, status: bool) -> None:
        self._status = status
        self._text = self._folded(values[0].text)
        self._texts = frozenset(self._folded(value.text) for value in values)
        self._number = values[0].number
        self._numbers = frozenset(value.number for value in values if value.number is not None)
        self._booleans = frozenset(value.boolean for value in values if value.boolean is not None)
        self._null = any(value.null for value in values)

    def _folded(self, text: str) -> str:
        if not self._status:
            return text
        text = text.lower()
        return _SAME_STATUS.get(text, text)

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


OPERATORS: Final[Mapping[str, Operator]] = {
    each.symbol: each
    for each in (
        Operator("==", Wanted.includes, takes_several=True),
        Operator("!=", Wanted.includes, negated=True, takes_several=True),
        _ordering("<", operator.lt),
        _ordering(">", operator.gt),
        _ordering("<=", operator.le),
        _ordering(">=", operator.ge),
    )
}


@dataclass(frozen=True, slots=True)
class Filter:
    """One condition. An entity without the field meets `!=` only.

    `exact` is the one text that the field must equal, where it is as simple as that.
    """

    path: FieldPath
    operator: Operator
    wanted: Wanted
    exact: str | None

    def matches(self, entity: Any) -> bool:
        """Whether a decoded entity meets the condition."""
        accepts, wanted = self.operator.accepts, self.wanted
        return any(accepts(wanted, stored) for stored in self.path.values(entity)) != self.operator.negated


def split_filter(text: str) -> tuple[str, str, str] | None:
    """Path, operator and value of a `property`, not yet checked; None when there is no operator, which is a projection.

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
    words = _STATUS_WORDS.get(collection, frozenset())
    status = field.text in words or field.steps[-1][0] in words
    is_exact = symbol == "==" and len(values) == 1 and not values[0].null and not status
    return Filter(field, found, Wanted(values, status=status), values[0].text if is_exact else None)


def _check_fit(field: FieldPath, found: Operator, values: Sequence[Value]) -> None:
    """Whether operator and values suit the field's documented type; without one, `true` and `false` still have no order."""
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
    r"""Splits `a,"b,c",d` at the commas outside double quotes. Raises ServiceError query-value-invalid (1453).

    Inside double quotes `\"` is a quote and `\\` a backslash; an etag, which has its own quotes, is
    `"\"00…\""`. Two quotes alone are the empty text; a value without any character is an error.
    """
    values: list[Value] = []
    rest = text
    while len(values) < MAX_VALUES:
        quoted = _QUOTED.match(rest)
        if quoted is not None:
            values.append(Value(re.sub(r'\\(["\\])', r"\1", quoted[1]), quoted=True))
            rest = rest[quoted.end() :]
        else:
            bare, comma, tail = rest.partition(",")
            values.append(Value(bare.strip()))
            if not bare.strip() or bare.startswith('"'):
                raise ServiceError("query-value-invalid", value=echo(text))
            rest = comma + tail
        if not rest:
            return values
        rest = rest[1:].lstrip()
    raise ServiceError("query-value-invalid", value=f"of more than {MAX_VALUES} values")
