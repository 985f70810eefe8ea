"""What a list's query finds: filters, the order, and one page of it with the token of the next.

Values of different types have an order too, that of document databases: missing, null, booleans, numbers, texts, arrays,
objects; arrays are all alike, and so are objects. Entities that are alike stand newest first, except that an ascending
`createdAt` puts the oldest first, so that `createdAt` and `-createdAt` are each other's reverse whatever the clock did.
"""

from __future__ import annotations

import base64
import hashlib
import heapq
from collections.abc import Iterable, Iterator, Mapping, Sequence, Sized
from dataclasses import dataclass
from itertools import islice
from typing import Any, Final, NamedTuple, Protocol

import orjson

from flow_service_emulator.query.fields import FieldPath
from flow_service_emulator.query.filters import Filter

MAX_LIMIT: Final = 100
MAX_KEY_CHARS: Final = 256
"""Texts are compared by their first characters only, so that a position stays small."""
CHECK_BYTES: Final = 8
_RANKS: Final[Mapping[type, int]] = {type(None): 1, bool: 2, int: 3, float: 3, str: 4, list: 5, dict: 6}

SortKey = tuple[int, Any]
"""(rank of the type, comparable value)"""


class Record(Protocol):
    """A stored entity: `seq` is its number in creation order (unique), and `raw` its JSON."""

    @property
    def seq(self) -> int: ...
    @property
    def raw(self) -> bytes: ...


class Records(Iterable[Record], Sized, Protocol):
    """The records of a collection, newest first."""


class Position(NamedTuple):
    """Where an entity stands: its sort keys, one for each field of the order, and its number in creation order."""

    keys: Sequence[SortKey]
    seq: int


class Found(NamedTuple):
    """A record that a page may have."""

    position: Position
    raw: bytes


@dataclass(frozen=True, slots=True)
class Page:
    """One page: the items as JSON, the token of the next page if there is one, and the count if that was asked for."""

    items: list[bytes]
    next_token: str | None = None
    count: int | None = None


class _Falling:
    """A sort key turned around."""

    __slots__ = ("key",)

    def __init__(self, key: SortKey) -> None:
        self.key = key

    def __lt__(self, other: _Falling) -> bool:
        return other.key < self.key

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _Falling) and other.key == self.key


@dataclass(frozen=True, slots=True)
class ListQuery:
    """What a client asked of a list."""

    collection: str
    properties: tuple[str, ...] = ()
    orderby: str | None = None
    """These two are the texts that the next three were read from."""
    filters: tuple[Filter, ...] = ()
    projection: frozenset[str] | None = None
    order: tuple[tuple[FieldPath, bool], ...] = ()
    """(path, whether it falls) of each field; without fields it is newest first."""
    limit: int = MAX_LIMIT
    count: bool = False
    after: Position | None = None
    """Where the last item stood that was seen already."""

    def exact(self, field: str) -> str | None:
        """The one text that `field` must equal (`flowId==…`, or `targetConnectionIds[]==…`), if a filter says so.

        Whoever has an index of the field can give `run` the records of that text alone.
        """
        exact = (each.exact for each in self.filters if each.path.text.removesuffix("[]") == field)
        return next((text for text in exact if text is not None), None)

    def token(self, position: Position) -> str:
        """A continuation token: this query and the last item's position, as opaque, URL-safe text without `=`.

        Its checksum guards against accidents (a token cut short, made up or of another version) and is no secret.
        """
        payload = orjson.dumps([self.collection, self.properties, self.orderby, self.limit, [*position]])
        return base64.urlsafe_b64encode(checksum(payload) + payload).rstrip(b"=").decode()

    def comparable(self, position: Position) -> tuple[Any, ...]:
        """A position as something that sorts in this order."""
        pairs = zip(self.order, position.keys, strict=True)
        keys = [_Falling(key) if falls else key for (_, falls), key in pairs]
        oldest_first = any(path.text == "createdAt" and not falls for path, falls in self.order)
        return *keys, position.seq if oldest_first else -position.seq


def run(query: ListQuery, records: Records) -> Page:
    """One page of the records that match, or their count.

    Entities that exist throughout are seen exactly once over all pages, whatever is created or deleted meanwhile; one
    whose sort field is changed while a client pages moves, and may be seen twice or not at all.
    """
    if query.count:
        return Page([], count=sum(1 for _ in _matching(query, records)) if query.filters else len(records))
    found = _first_by_fields(query, records) if query.order else _newest(query, records)
    page = found[: query.limit]
    items = [_projected(each.raw, query.projection) for each in page]
    return Page(items, next_token=query.token(page[-1].position) if len(found) > query.limit else None)


def checksum(payload: bytes) -> bytes:
    return hashlib.blake2b(payload, digest_size=CHECK_BYTES, person=b"continuation").digest()


def _newest(query: ListQuery, records: Iterable[Record]) -> list[Found]:
    """The page's records and the one after it; stops as soon as they are found."""
    if query.after is not None:
        last = query.after.seq
        records = (record for record in records if record.seq < last)
    pairs = _matching(query, records) if query.filters else ((record, record.raw, None) for record in records)
    return [Found(Position((), record.seq), raw) for record, raw, _ in islice(pairs, query.limit + 1)]


def _first_by_fields(query: ListQuery, records: Iterable[Record]) -> list[Found]:
    """The same for any other order: decodes every record, and keeps no more than a page of them."""
    after = None if query.after is None else query.comparable(query.after)

    def placed() -> Iterator[tuple[tuple[Any, ...], Found]]:
        for record, raw, entity in _matching(query, records):
            position = Position([_sort_key(path.values(entity)) for path, _ in query.order], record.seq)
            key = query.comparable(position)
            if after is None or key > after:
                yield key, Found(position, raw)

    return [found for _, found in heapq.nsmallest(query.limit + 1, placed())]


def _matching(query: ListQuery, records: Iterable[Record]) -> Iterator[tuple[Record, bytes, Any]]:
    """The records that meet every filter, with their JSON and its value."""
    for record in records:
        raw = record.raw  # once: another thread may change the record meanwhile
        entity = orjson.loads(raw)
        if all(condition.matches(entity) for condition in query.filters):
            yield record, raw, entity


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


def _projected(raw: bytes, projection: frozenset[str] | None) -> bytes:
    if projection is None:
        return raw
    return orjson.dumps({name: value for name, value in orjson.loads(raw).items() if name in projection})
