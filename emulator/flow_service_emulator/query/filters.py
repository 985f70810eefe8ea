"""Filters of the query language: `property=<path><operator><value>`. The operators are a table of small objects."""

from __future__ import annotations

import operator
import re
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, NamedTuple

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


class Value:
    """One value of a filter, ready for comparing with what is stored, whose type decides how.

    A value in double quotes is compared like any other, but is never `null`. Real clients also send Python's `True`.
    """

    __slots__ = ("boolean", "null", "number", "text")

    def __init__(self, text: str, *, quoted: bool = False) -> None:
        self.text = text
        self.null = text == "null" and not quoted
        self.boolean = BOOLEANS.get(text.lower())
        self.number: int | float | None = None
        if _NUMBER.fullmatch(text):
            self.number = int(text) if text.lstrip("-").isdecimal() else float(text)


class Wanted:
    """The values of one filter, by type. With `status` they are run status words, in any letter case."""

    __slots__ = ("_null", "_others", "_status", "_texts", "first")

    def __init__(self, values: Sequence[Value], *, status: bool) -> None:
        self.first = values[0]
        self._status = status
        self._texts = frozenset(self.folded(value.text) for value in values)
        others = [(type(other) is bool, other) for value in values for other in (value.boolean, value.number)]
        self._others = frozenset(pair for pair in others if pair[1] is not None)
        self._null = any(value.null for value in values)

    def folded(self, text: str) -> str:
        if not self._status:
            return text
        return _SAME_STATUS.get(text.lower(), text.lower())

    def includes(self, stored: Any) -> bool:
        """Whether a stored value equals one of the wanted ones."""
        if isinstance(stored, str):
            return self.folded(stored) in self._texts
        if isinstance(stored, int | float):
            return (type(stored) is bool, stored) in self._others
        return stored is None and self._null


class Operator(NamedTuple):
    """One operator of the table. An entity meets a condition if `accepts` says yes to any of the values that
    it has at the path, or, for a `negated` operator, to none of them."""

    symbol: str
    accepts: Callable[[Wanted, Any], bool]
    negated: bool = False
    ordering: bool = False


def _ordering(symbol: str, compare: Callable[[Any, Any], bool]) -> Operator:
    """An operator that asks whether a stored number or text stands in an order to the (single) wanted value."""

    def accepts(wanted: Wanted, stored: Any) -> bool:
        if isinstance(stored, str):
            return compare(wanted.folded(stored), wanted.folded(wanted.first.text))
        if isinstance(stored, bool) or not isinstance(stored, int | float):
            return False
        return wanted.first.number is not None and compare(stored, wanted.first.number)

    return Operator(symbol, accepts, ordering=True)


OPERATORS: Final[Mapping[str, Operator]] = {
    each.symbol: each
    for each in (
        Operator("==", Wanted.includes),
        Operator("!=", Wanted.includes, negated=True),
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


def parse_filter(text: str, *, collection: str, fields: Collection[str]) -> Filter | None:
    """Reads one `property`; None when there is no operator, which is a projection.

    The operator is the whole run of operator characters, so that `===` is one wrong operator and not `==` and a value; a
    value that starts with such a character goes into double quotes. Raises ServiceError: 1440, 1443, 1448, 1449, 1450,
    1452 or 1453.
    """
    match = _OPERATOR.search(text)
    if match is None:
        return None
    path, symbol, value = text[: match.start()].strip(), match[0], text[match.end() :].strip()
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
    if found.ordering and len(values) > 1:
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
