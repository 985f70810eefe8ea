"""Conditions of the query language, `property=<path><operator><value>`, and the field paths in them.

A path (`name`, `connectionSpec.id`, `inheritedAttributes.targetConnections[].id`) begins with one of the collection's fields;
deeper names are free, as `params` differ from spec to spec. Where the documentation gives a field's type, a path or a value that
cannot fit it is refused at once instead of silently matching nothing. Source: reference, sections "Entities" and "Sorting,
filtering, paging".
"""

from __future__ import annotations

import operator
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any, Final, NamedTuple

from flow_service_emulator.errors import ServiceError
from flow_service_emulator.validation.validation import Finding
from flow_service_emulator.validation.violation_text import echo

BOOLEANS: Final[Mapping[str, bool]] = {"true": True, "false": False}

_STEP: Final = re.compile(r"""([^\s.,\[\]"'=!<>~]+)(\[\])?""")
_OPERATOR: Final = re.compile(r"[=!<>~]+")
_NUMBER: Final = re.compile(r"-?[0-9]{1,40}(\.[0-9]{1,40})?([eE][+-]?[0-9]{1,3})?")
_VALUE: Final = re.compile(r'\s*(?:"((?:[^"\\]|\\.)*+)"\s*|([^\s",][^,]*))(,|\Z)', re.DOTALL)
_FURTHER: Final = re.compile(r"[^\s,=!<>](?:==|!=|<=?|>=?)[^\s,=!<>]")
_STATUS_WORDS: Final[Mapping[str, frozenset[str]]] = {
    "runs": frozenset({"status", "state"}),
    "flows": frozenset({"lastRunDetails.state"}),
}
"""Collection -> the paths, or their last names, of run status words, which compare without regard to case."""
_ELSEWHERE: Final[Mapping[tuple[str, str], str]] = {("runs", "state"): "metrics.statusSummary.status"}
"""(collection, field) that filters know by another name than the entities (reference, Beyond the tutorial: `state` of a run)."""
_SAME_STATUS: Final[Mapping[str, str]] = {"processing": "inprogress"}
"""A status word -> the other name that it is stored by (reference: Entities, Run)."""
Ranked = tuple[int, Any]
"""A value with the rank of its type, since `1` and `true` are alike in Python; of null, arrays and objects the rank alone."""
MISSING_RANK, NULL, BOOLEAN, NUMBER, TEXT, ARRAY, OBJECT = range(7)
_RANKS: Final[Mapping[type, int]] = {
    type(None): NULL, bool: BOOLEAN, int: NUMBER, float: NUMBER, str: TEXT, list: ARRAY, dict: OBJECT
}  # fmt: skip


def ranked(value: Any) -> Ranked:
    return _RANKS[type(value)], value if isinstance(value, str | int | float) else 0


_KINDS: Final = {
    "string": TEXT, "integer": NUMBER, "number": NUMBER, "boolean": BOOLEAN, "object": OBJECT, "array": ARRAY
}  # fmt: skip
"""Type of JSON Schema -> rank."""
Fields = Mapping[str, int | None]
"""Path -> rank of what the documentation says is there; None where it says nothing, or several. What is deeper may be anything."""


def field_kinds(schema: Mapping[str, Any], path: str = "") -> dict[str, int | None]:
    """The fields of a JSON Schema's values, at any depth: `params`, `params.datasets`, `params.datasets[]`."""
    types = schema.get("type")
    found = {path: _KINDS.get(types) if isinstance(types, str) else None} if path else {}
    for name, part in schema.get("properties", {}).items():
        found |= field_kinds(part, f"{path}.{name}".lstrip("."))
    if "items" in schema:
        found |= field_kinds(schema["items"], f"{path}[]")
    return found


def top_level(fields: Fields) -> frozenset[str]:
    """The fields that stand in no other."""
    return frozenset(path for path in fields if "." not in path and "[" not in path)


class FieldPath(NamedTuple):
    """A place in an entity."""

    text: str
    steps: tuple[tuple[str, bool], ...]
    """(name, whether `[]` follows it)"""
    kind: int | None
    """The rank of what is there by the documentation."""

    @classmethod
    def parse(cls, text: str, fields: Fields) -> FieldPath | None:
        """Reads a path; None when it is malformed, of an unknown field, or cannot fit the documented types."""
        steps: list[tuple[str, bool]] = []
        path, kind = "", None
        for part in text.split("."):
            step = _STEP.fullmatch(part)
            if step is None or kind not in (None, OBJECT):
                return None
            steps.append((step[1], step[2] is not None))
            path += step[1]
            kind = fields.get(path)
            if step[2] is not None:
                if kind not in (None, ARRAY):
                    return None
                path += "[]"
                kind = fields.get(path)
            path += "."
        return cls(text, tuple(steps), kind) if steps[0][0] in fields else None

    def values(self, entity: Any) -> list[Any]:
        """What stands at this place: nothing, one value, or one for each item of the arrays on the way."""
        found = [entity]
        for name, reaches in self.steps:
            found = [value[name] for value in found if isinstance(value, dict) and name in value]
            if reaches:
                found = [item for value in found if isinstance(value, list) for item in value]
        return found


def readings(text: str, *, quoted: bool = False) -> list[Ranked]:
    """What a value of a filter may mean: what is stored decides. In double quotes it is never `null`.

    Real clients also send Python's `True`.
    """
    found: list[Ranked] = [(TEXT, text)]
    if text.lower() in BOOLEANS:
        found.append((BOOLEAN, BOOLEANS[text.lower()]))
    if _NUMBER.fullmatch(text):
        found.append((NUMBER, int(text) if text.lstrip("-").isdecimal() else float(text)))
    if text == "null" and not quoted:
        found.append((NULL, 0))
    return found


OPERATORS: Final[Mapping[str, Callable[[Any, Any], bool] | None]] = {
    "==": None, "!=": None, "<": operator.lt, ">": operator.gt, "<=": operator.le, ">=": operator.ge
}  # fmt: skip
"""Operator -> how it compares, where it goes by an order."""


class Filter(NamedTuple):
    """One condition. An entity meets it if any of the values that it has at the path does; `!=` if none of them is equal.

    An entity without the field meets `!=` only.
    """

    path: FieldPath
    compare: Callable[[Any, Any], bool] | None
    negated: bool
    wanted: frozenset[Ranked]
    status: bool
    """Whether it is about a run's status, in any letter case."""
    exact: str | None
    """The one text that the field must equal, where it is as simple as that."""

    def matches(self, entity: Any) -> bool:
        """Whether a decoded entity meets the condition."""
        return any(map(self._accepts, self.path.values(entity))) != self.negated

    def _accepts(self, stored: Any) -> bool:
        rank, value = ranked(_folded(stored) if self.status and isinstance(stored, str) else stored)
        if self.compare is None:
            return (rank, value) in self.wanted
        return rank in (TEXT, NUMBER) and any(
            rank == other and self.compare(value, limit) for other, limit in self.wanted
        )


def parse_filter(text: str, *, collection: str, fields: Fields) -> Filter | None:
    """Reads one `property`; None when there is no operator, which is a projection.

    The operator is the whole run of operator characters, so that `===` is one wrong operator and not `==` and a value; a
    value that starts with such a character goes into double quotes. Raises ServiceError: 1440, 1443, 1448, 1449, 1450,
    1452 or 1453.
    """
    match = _OPERATOR.search(text)
    if match is None:
        return None
    path, symbol, value = text[: match.start()].strip(), match[0], text[match.end() :].strip()
    path = _ELSEWHERE.get((collection, path), path)
    if symbol not in OPERATORS:
        # "~" is the pattern-matching operator of other Platform services: a real operator that this service
        # does not have (1440). Anything else, such as "=", "=>" or "===", is no operator anywhere (1450).
        name = "filter-operator-not-implemented" if "~" in symbol else "filter-operator-invalid"
        raise ServiceError(name, kind=echo(symbol), operator=echo(symbol))
    if not path:
        raise ServiceError("query-value-invalid", value=echo(symbol + value))
    field = FieldPath.parse(path, fields)
    if field is None:
        raise ServiceError("filter-field-invalid", field=echo(path))
    values = parse_values(value)
    _check_fit(field, symbol, values)
    words = _STATUS_WORDS.get(collection, frozenset())
    status = field.text in words or field.steps[-1][0] in words
    only = values[0] if symbol == "==" and len(values) == 1 and not status and (NULL, 0) not in values[0] else None
    wanted = {(rank, _folded(read) if status and rank == TEXT else read) for each in values for rank, read in each}
    return Filter(field, OPERATORS[symbol], symbol == "!=", frozenset(wanted), status, only[0][1] if only else None)


def doubts(properties: Iterable[str]) -> Iterator[Finding]:
    """A warning for each `property` whose value holds a further operator: `flowId==X,status==failed`, or an encoded `&`."""
    for text in properties:
        match = _OPERATOR.search(text)
        if match and _FURTHER.search(re.sub(r'"(?:[^"\\]|\\.)*+"', "", text[match.end() :])):
            told = f"the value of the filter {echo(text)} holds a further operator, which is a part of the value here"
            yield Finding("filter-value-operator", "query.property", told)


def _folded(word: str) -> str:
    """A run's status as it is compared."""
    return _SAME_STATUS.get(word.lower(), word.lower())


def _check_fit(field: FieldPath, symbol: str, values: list[list[Ranked]]) -> None:
    """Whether operator and values suit the field's documented type; without one, `true` and `false` still have no order."""
    ordering = OPERATORS[symbol] is not None
    ranks = [{rank for rank, _ in value} for value in values]
    composed = field.kind in (OBJECT, ARRAY)
    unordered = composed or field.kind == BOOLEAN or (field.kind is None and BOOLEAN in ranks[0])
    if not composed and ordering and len(values) > 1:
        raise ServiceError("filter-operator-single-value", operator=symbol)
    if composed or (ordering and unordered):
        raise ServiceError("filter-operator-unsupported-for-field", operator=symbol, field=echo(field.text))
    for value, possible in zip(values, ranks, strict=True):
        if field.kind in (NUMBER, BOOLEAN) and field.kind not in possible:
            allowed = "a number" if field.kind == NUMBER else list(BOOLEANS)
            raise value_invalid(value[0][1], field.text, allowed, place="query.property")


def parse_values(text: str) -> list[list[Ranked]]:
    r"""The readings of `a,"b,c",d`, split at the commas outside double quotes. Raises ServiceError query-value-invalid (1453).

    Inside double quotes `\"` is a quote and `\\` a backslash; an etag, which has its own quotes, is
    `"\"00…\""`. Two quotes alone are the empty text; a value without any character is an error.
    """
    values: list[list[Ranked]] = []
    end, comma = 0, ","
    while comma:
        match = _VALUE.match(text, end)
        if match is None:
            raise ServiceError("query-value-invalid", value=echo(text))
        quoted, bare, comma = match.groups()
        values.append(
            readings(bare.strip()) if quoted is None else readings(re.sub(r'\\(["\\])', r"\1", quoted), quoted=True)
        )
        end = match.end()
    return values


MISSING: Final = "(missing)"


def value_invalid(value: str, field: str, allowed: str | list[str], *, place: str = "") -> ServiceError:
    """Row 1452-400, whose report says what is allowed: the values, or in words which. `value` is MISSING for none."""
    place, kind = place or f"query.{field}", "required" if value == MISSING else ""
    report = {"allowed": allowed}
    return ServiceError("value-invalid", place=place, kind=kind, value=echo(value), field=echo(field), report=report)
