"""Pages of records: what a list's query finds."""

from __future__ import annotations

import heapq
from collections.abc import Iterable, Iterator, Sequence, Sized
from dataclasses import dataclass
from itertools import islice
from typing import Any, Protocol

import orjson

from flow_service_emulator.query.order import Position, SortKey
from flow_service_emulator.query.query import ListQuery


class Record(Protocol):
    """A stored entity: `seq` is its number in creation order (unique), and `raw` its JSON."""

    @property
    def seq(self) -> int: ...
    @property
    def raw(self) -> bytes: ...


class Records(Iterable[Record], Sized, Protocol):
    """The records of a collection, newest first."""


@dataclass(frozen=True, slots=True)
class Page:
    """One page: the items as JSON, the token of the next page if there is one, and the count if that was asked for."""

    items: list[bytes]
    next_token: str | None = None
    count: int | None = None


def run(query: ListQuery, records: Records) -> Page:
    """One page of the records that match, or their count.

    Entities that exist throughout are seen exactly once over all pages, whatever is created or deleted meanwhile; one
    whose sort field is changed while a client pages moves, and may be seen twice or not at all.
    """
    if query.count:
        return Page([], count=sum(1 for _ in _matching(query, records)) if query.filters else len(records))
    found = _first_by_fields(query, records) if query.order.fields else _newest(query, records)
    page = found[: query.limit]
    items = [_projected(raw, query.projection) for _, _, raw in page]
    return Page(items, next_token=query.token(Position(*page[-1][:2])) if len(found) > query.limit else None)


Found = tuple[Sequence[SortKey], int, bytes]
"""A record that a page may have: its position's keys and number, and its JSON."""


def _newest(query: ListQuery, records: Iterable[Record]) -> list[Found]:
    """The page's records and the one after it; stops as soon as they are found."""
    if query.after is not None:
        last = query.after.seq
        records = (record for record in records if record.seq < last)
    if query.filters:
        return [((), seq, raw) for seq, raw, _ in islice(_matching(query, records), query.limit + 1)]
    return [((), record.seq, record.raw) for record in islice(records, query.limit + 1)]


def _first_by_fields(query: ListQuery, records: Iterable[Record]) -> list[Found]:
    """The same for any other order: decodes every record, and keeps no more than a page of them."""
    order = query.order
    after = None if query.after is None else order.comparable(query.after)

    def placed() -> Iterator[tuple[tuple[Any, ...], Found]]:
        for seq, raw, entity in _matching(query, records):
            position = order.position(entity, seq)
            key = order.comparable(position)
            if after is None or key > after:
                yield key, (position.keys, seq, raw)

    return [found for _, found in heapq.nsmallest(query.limit + 1, placed())]


def _matching(query: ListQuery, records: Iterable[Record]) -> Iterator[tuple[int, bytes, Any]]:
    """Number, JSON and value of the records that meet every filter."""
    for record in records:
        raw = record.raw  # once: another thread may change the record meanwhile
        entity = orjson.loads(raw)
        if all(condition.matches(entity) for condition in query.filters):
            yield record.seq, raw, entity


def _projected(raw: bytes, projection: frozenset[str] | None) -> bytes:
    if projection is None:
        return raw
    return orjson.dumps({name: value for name, value in orjson.loads(raw).items() if name in projection})
