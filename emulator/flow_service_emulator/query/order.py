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

MAX_ORDER_FIELDS: Final = 8
MAX_KEY_CHARS: Final = 256
"""Texts are compared by their first characters only, so that a position stays small."""

SortKey = tuple[int, Any]
"""(rank of the type, comparable value)"""

_RANKS: Final[Mapping[type, int]] = {type(None): 1, bool: 2, int: 3, float: 3, str: 4, list: 5, dict: 6}
_WORDED_ORDER: Final = re.compile(r"[\s:](asc|desc|ascending|descending)\Z", re.IGNORECASE)


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


@dataclass(frozen=True, slots=True)
class Order:
    """The order of a list: (path, whether it falls) of each field; without fields it is newest first."""

    fields: tuple[tuple[FieldPath, bool], ...] = ()

    def position(self, entity: Any, seq: int) -> Position:
        """Where a decoded entity stands."""
        return Position([_sort_key(path.values(entity)) for path, _ in self.fields], seq)

    def comparable(self, position: Position) -> tuple[Any, ...]:
        """The position as something that sorts in this order."""
        pairs = zip(self.fields, position.keys, strict=True)
        keys = [_Falling(key) if falls else key for (_, falls), key in pairs]
        oldest_first = any(path.text == "createdAt" and not falls for path, falls in self.fields)
        return *keys, position.seq if oldest_first else -position.seq


def _sort_key(found: Sequence[Any]) -> SortKey:
    """The sort key of what an entity has at a path."""
    if not found:
        return (0, 0)
    value = found[0]
    if isinstance(value, str):
        value = value[:MAX_KEY_CHARS]
    elif not isinstance(value, int | float):
        return (_RANKS[type(value)], 0)
    return (_RANKS[type(value)], value)


def parse_order(text: str, fields: Collection[str]) -> Order:
    """Reads an `orderby`. Raises ServiceError sort-order-invalid (1432), orderby-field-invalid (1433) or 1453.

    A `+` in a query string arrives as a space, so that a leading space means ascending too. A field that
    comes again later has nothing left to order and is ignored.
    """
    parts = text.split(",", MAX_ORDER_FIELDS)
    if len(parts) > MAX_ORDER_FIELDS:
        raise ServiceError("query-value-invalid", value=f"of more than {MAX_ORDER_FIELDS} orderby fields")
    order: dict[str, tuple[FieldPath, bool]] = {}
    for part in parts:
        name = (part[1:] if part.startswith(("-", "+", " ")) else part).rstrip()
        if not name or not (name[0].isalnum() or name[0] in "_$@") or _WORDED_ORDER.search(name[-24:]):
            raise ServiceError("sort-order-invalid")
        path = FieldPath.parse(name, fields)
        if path is None or "[]" in name or path.kind in ("object", "array"):
            raise ServiceError("orderby-field-invalid", field=echo(name))
        order.setdefault(name, (path, part.startswith("-")))
    return Order(tuple(order.values()))
