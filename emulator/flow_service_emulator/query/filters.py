"""Filters of the query language: `property=<path><operator><value>`. The operators are a table of small objects."""

from __future__ import annotations

import operator
import re
from collections.abc import Callable, Collection, Mapping
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


Typed = tuple[str, Any]
"""A value with its type, since `1` and `true` are alike in Python: ("text" | "number" | "boolean" | "null" | "other", value)."""


def typed(stored: Any) -> Typed:
    """A stored value with its type."""
    match stored:
        case str():
            return "text", stored
        case bool():
            return "boolean", stored
        case int() | float():
            return "number", stored
    return "null" if stored is None else "other", None


def readings(text: str, *, quoted: bool = False) -> list[Typed]:
    """What a value of a filter may mean: what is stored decides. In double quotes it is never `null`.

    Real clients also send Python's `True`.
    """
    found: list[Typed] = [("text", text)]
    if text.lower() in BOOLEANS:
        found.append(("boolean", BOOLEANS[text.lower()]))
    if _NUMBER.fullmatch(text):
        found.append(("number", int(text) if text.lstrip("-").isdecimal() else float(text)))
    if text == "null" and not quoted:
        found.append(("null", None))
    return found


class Operator(NamedTuple):
    """One operator of the table: `compare` for those of an order, and whether the answer is turned around."""

    compare: Callable[[Any, Any], bool] | None = None
    negated: bool = False


OPERATORS: Final[Mapping[str, Operator]] = {
    "==": Operator(),
    "!=": Operator(negated=True),
    "<": Operator(operator.lt),
    ">": Operator(operator.gt),
    "<=": Operator(operator.le),
    ">=": Operator(operator.ge),
}


@dataclass(frozen=True, slots=True)
class Filter:
    """One condition. An entity meets it if any of the values that it has at the path does; `!=` if none of them is equal.

    An entity without the field meets `!=` only.
    """

    path: FieldPath
    operator: Operator
    wanted: frozenset[Typed]
    status: bool
    """Whether it is about a run's status, in any letter case."""
    exact: str | None
    """The one text that the field must equal, where it is as simple as that."""

    def matches(self, entity: Any) -> bool:
        """Whether a decoded entity meets the condition."""
        return any(map(self._accepts, self.path.values(entity))) != self.operator.negated

    def _accepts(self, stored: Any) -> bool:
        kind, value = typed(_folded(stored) if self.status and isinstance(stored, str) else stored)
        compare = self.operator.compare
        if compare is None:
            return (kind, value) in self.wanted
        return kind in ("text", "number") and any(
            kind == other and compare(value, limit) for other, limit in self.wanted
        )


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
    _check_fit(field, symbol, values)
    words = _STATUS_WORDS.get(collection, frozenset())
    status = field.text in words or field.steps[-1][0] in words
    only = values[0] if symbol == "==" and len(values) == 1 and not status and ("null", None) not in values[0] else None
    wanted = {(kind, _folded(read) if status and kind == "text" else read) for each in values for kind, read in each}
    return Filter(field, found, frozenset(wanted), status, only[0][1] if only else None)


def _folded(word: str) -> str:
    """A run's status as it is compared."""
    return _SAME_STATUS.get(word.lower(), word.lower())


def _check_fit(field: FieldPath, symbol: str, values: list[list[Typed]]) -> None:
    """Whether operator and values suit the field's documented type; without one, `true` and `false` still have no order."""
    ordering = OPERATORS[symbol].compare is not None
    kinds = [{kind for kind, _ in value} for value in values]
    unsupported = ServiceError("filter-operator-unsupported-for-field", operator=symbol, field=echo(field.text))
    if field.kind in ("object", "array"):
        raise unsupported
    if ordering and len(values) > 1:
        raise ServiceError("filter-operator-single-value", operator=symbol)
    if ordering and (field.kind == "boolean" or (field.kind is None and "boolean" in kinds[0])):
        raise unsupported
    for value, possible in zip(values, kinds, strict=True):
        if field.kind in ("number", "boolean") and field.kind not in possible:
            raise value_invalid(value[0][1], field.text, "a number" if field.kind == "number" else list(BOOLEANS))


def parse_values(text: str) -> list[list[Typed]]:
    r"""The readings of `a,"b,c",d`, split at the commas outside double quotes. Raises ServiceError query-value-invalid (1453).

    Inside double quotes `\"` is a quote and `\\` a backslash; an etag, which has its own quotes, is
    `"\"00…\""`. Two quotes alone are the empty text; a value without any character is an error.
    """
    values: list[list[Typed]] = []
    rest = text
    while len(values) < MAX_VALUES:
        quoted = _QUOTED.match(rest)
        if quoted is not None:
            values.append(readings(re.sub(r'\\(["\\])', r"\1", quoted[1]), quoted=True))
            rest = rest[quoted.end() :]
        else:
            bare, comma, tail = rest.partition(",")
            values.append(readings(bare.strip()))
            if not bare.strip() or bare.startswith('"'):
                raise ServiceError("query-value-invalid", value=echo(text))
            rest = comma + tail
        if not rest:
            return values
        rest = rest[1:].lstrip()
    raise ServiceError("query-value-invalid", value=f"of more than {MAX_VALUES} values")
