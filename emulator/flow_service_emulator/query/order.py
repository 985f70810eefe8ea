"""Orders of the query language: `orderby=name,-createdAt`, and the position of an entity in such an order.

Values of different types have an order too, that of document databases: missing, null, booleans, numbers,
texts, arrays, objects; arrays are all alike, and so are objects. Entities that are alike stand newest first,
except that an ascending `createdAt` puts the oldest first, so that `createdAt` and `-createdAt` are each
other's reverse whatever the clock did.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, NamedTuple

from flow_service_emulator.errors import ServiceError
from flow_service_emulator.query.fields import FieldPath, echo

CREATED_AT: Final = "createdAt"
MAX_ORDER_FIELDS: Final = 8
MAX_KEY_CHARS: Final = 256
"""Texts are compared by their first characters only, so that a position stays small."""

SortKey = tuple[int, Any]
"""(rank of the type, comparable value)"""

_MISSING, _NULL, _BOOLEAN, _NUMBER, _TEXT, _ARRAY, _OBJECT = range(7)
_RANKS: Final[Mapping[type, int]] = {
    type(None): _NULL,
    bool: _BOOLEAN,
    int: _NUMBER,
    float: _NUMBER,
    str: _TEXT,
    list: _ARRAY,
    dict: _OBJECT,
}
_WORDED_ORDER: Final = re.compile(r"[\s:]+(asc|desc|ascending|descending)", re.IGNORECASE)


class _Falling:
    """A sort key turned around."""

    __slots__ = ("key",)

    def __init__(self, key: SortKey) -> None:
        self.key = key

    def __lt__(self, other: _Falling) -> bool:
        return other.key < self.key

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _Falling) and other.key == self.key


class Position(NamedTuple):
    """Where an entity stands: its sort keys, one for each field of the order, and its number in creation order."""

    keys: Sequence[SortKey]
    seq: int


class OrderField(NamedTuple):
    """One field of an order."""

    path: FieldPath
    descending: bool


@dataclass(frozen=True, slots=True)
class Order:
    """The order of a list; without fields it is newest first."""

    fields: tuple[OrderField, ...] = ()

    @property
    def oldest_first(self) -> bool:
        """How entities stand that are alike in every field."""
        return next((not field.descending for field in self.fields if field.path.text == CREATED_AT), False)

    def position(self, entity: Any, seq: int) -> Position:
        """Where a decoded entity stands."""
        return Position([sort_key(field.path.values(entity)) for field in self.fields], seq)

    def comparable(self, position: Position) -> tuple[Any, ...]:
        """The position as something that sorts in this order."""
        keys = [
            _Falling(key) if field.descending else key for field, key in zip(self.fields, position.keys, strict=True)
        ]
        return *keys, position.seq if self.oldest_first else -position.seq


def sort_key(found: Sequence[Any]) -> SortKey:
    """The sort key of what an entity has at a path."""
    if not found:
        return (_MISSING, 0)
    value = found[0]
    rank = _RANKS[type(value)]
    if rank == _TEXT:
        return (rank, value[:MAX_KEY_CHARS])
    if rank == _BOOLEAN:
        return (rank, int(value))
    return (rank, value if rank == _NUMBER else 0)


def parse_order(text: str, fields: Collection[str]) -> Order:
    """Reads an `orderby`. Raises ServiceError sort-order-invalid (1432), orderby-field-invalid (1433) or
    1453.

    A `+` in a query string arrives as a space, so that a leading space means ascending too. A field that
    comes again later has nothing left to order and is ignored.
    """
    parts = text.split(",", MAX_ORDER_FIELDS)
    if len(parts) > MAX_ORDER_FIELDS:
        raise ServiceError("query-value-invalid", value=f"of more than {MAX_ORDER_FIELDS} orderby fields")
    order: dict[str, OrderField] = {}
    for part in parts:
        descending = part.startswith("-")
        name = part[1:] if part.startswith(("-", "+", " ")) else part
        name = name.rstrip()
        if not name or not (name[0].isalnum() or name[0] in "_$@") or _worded(name):
            raise ServiceError("sort-order-invalid")
        path = FieldPath.parse(name, fields)
        if path is None or "[]" in name or path.kind in ("object", "array"):
            raise ServiceError("orderby-field-invalid", field=echo(name))
        order.setdefault(name, OrderField(path, descending))
    return Order(tuple(order.values()))


def _worded(name: str) -> bool:
    """Whether the order was written as a word, as in `name desc`, instead of a sign."""
    match = _WORDED_ORDER.search(name[-24:])
    return match is not None and name.endswith(match[0])
