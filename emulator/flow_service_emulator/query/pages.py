"""Pages of records: what a list's query finds, without decoding more of it than it must."""

from __future__ import annotations

import heapq
import operator
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from operator import attrgetter
from typing import Any, Final, Protocol

import orjson

from flow_service_emulator.query.filters import Filter
from flow_service_emulator.query.order import CREATED_AT, Position
from flow_service_emulator.query.query import ListQuery
from flow_service_emulator.query.token import encode_token

MAX_SEARCHED_FILTERS: Final = 4
"""In how many filters' needles an entity's bytes are searched before it is decoded; more would cost more than
decoding."""


class Record(Protocol):
    """A stored entity: `seq` is its number in creation order (unique), `created_at` its `createdAt` in
    milliseconds, and `raw` its JSON, compact as orjson writes it."""

    @property
    def seq(self) -> int: ...
    @property
    def created_at(self) -> int: ...
    @property
    def raw(self) -> bytes: ...


class Records(Protocol):
    """All records of a collection, newest first; reversed() gives the oldest first."""

    def __iter__(self) -> Iterator[Record]: ...
    def __reversed__(self) -> Iterator[Record]: ...
    def __len__(self) -> int: ...


Columns = Mapping[str, Callable[[Any], Any]]
"""Top-level field -> how to read it from a record without decoding `raw`; None means that only `raw` says."""


@dataclass(frozen=True, slots=True)
class Page:
    """One page: the items as JSON, the token of the next page if there is one, and the count if that was
    asked for."""

    items: list[bytes]
    next_token: str | None = None
    count: int | None = None


def run(query: ListQuery, records: Records, *, columns: Columns | None = None) -> Page:
    """One page of the records that match, or their count.

    `columns` are fields that the caller's records carry beside their JSON; filters on these, and an order by one of
    them, decode nothing.
    Entities that exist throughout are seen exactly once over all pages, whatever is created or deleted
    meanwhile; one whose sort field is changed while a client pages moves, and may be seen twice or not at
    all.
    """
    columns = {CREATED_AT: attrgetter("created_at"), **(columns or {})}
    if query.count:
        return Page([], count=_count(query, records, columns))
    if query.order.by_creation:
        found, position = _first_by_creation(query, records, columns)
    else:
        first = _first_by_column(query, records, columns)
        found, position = first or _first_by_fields(query, records, columns)
    items = [_projected(record.raw, query.projection) for record in found]
    if position is None:
        return Page(items)
    payload = [query.collection, query.properties, query.orderby, query.limit, position.as_json()]
    return Page(items, next_token=encode_token(payload))


class _TooFar(Exception):
    """More records would have to be looked at."""


class _Beginning:
    """Records of which no more than `most` are given, one after the other; then a walk through them raises _TooFar."""

    def __init__(self, records: Records, most: int) -> None:
        self._records = records
        self._most = most

    def __len__(self) -> int:
        return len(self._records)

    def __iter__(self) -> Iterator[Record]:
        return self._walk(iter(self._records))

    def __reversed__(self) -> Iterator[Record]:
        return self._walk(reversed(self._records))

    def _walk(self, records: Iterator[Record]) -> Iterator[Record]:
        yield from islice(records, self._most)
        for _ in records:
            raise _TooFar


def run_within(query: ListQuery, records: Records, most: int, *, columns: Columns | None = None) -> Page | None:
    """What `run` answers, where it has to look at `most` records at most for that; else None."""
    if len(records) > most and not query.looks_at_some:
        return None
    try:
        return run(query, _Beginning(records, most), columns=columns)
    except _TooFar:
        return None


def _count(query: ListQuery, records: Records, columns: Columns) -> int:
    if not query.filters:
        return len(records)
    return sum(1 for _ in _matching(query.filters, records, columns))


def _first_by_creation(query: ListQuery, records: Records, columns: Columns) -> tuple[list[Record], Position | None]:
    """The page's records and, if more follow, its last position; for orders that need no decoding, stopping
    early."""
    ascending = query.order.oldest_first
    source: Iterable[Record] = reversed(records) if ascending else iter(records)
    if query.order.fields:
        # Creation order need not be time order: a user may put the clock back. What is in order sorts fast.
        source = sorted(source, key=attrgetter("created_at"), reverse=not ascending)
    found: list[Record] = []
    for record in _matching(query.filters, _following(query, source), columns):
        if len(found) == query.limit:
            last = found[-1]
            return found, query.order.position({CREATED_AT: last.created_at}, last.seq)
        found.append(record)
    return found, None


def _following(query: ListQuery, source: Iterable[Record]) -> Iterable[Record]:
    """The records behind the last item already seen."""
    if query.after is None:
        return source
    seq = query.after.seq
    if not query.order.fields:
        return (record for record in source if record.seq < seq)
    last = (query.after.keys[0][1], seq)
    if query.order.oldest_first:
        return (record for record in source if (record.created_at, record.seq) > last)
    return (record for record in source if (record.created_at, record.seq) < last)


def _first_by_column(
    query: ListQuery, records: Records, columns: Columns
) -> tuple[list[Record], Position | None] | None:
    """The same for an order by one column; None where another column, or not all records' values, would be needed."""
    (order, *others) = query.order.fields
    read = columns.get(order.path.column or "")
    if read is None or others:
        return None
    matching = list(_matching(query.filters, records, columns))
    values = list(map(read, matching))
    types = set(map(type, values))
    if query.after is not None:
        (_, last), last_seq = query.after.keys[0], query.after.seq
        types.add(type(last))
    if types not in ({str}, {int}, set()):
        return None
    places: Iterable[int] = range(len(values))  # numbers: a pair for every record would keep the garbage collector busy
    if query.after is not None:
        is_behind = operator.lt if order.descending else operator.gt
        places = (
            place
            for place, value in enumerate(values)
            if is_behind(value, last) or (value == last and matching[place].seq < last_seq)
        )
    # Both keep those in their place, newest first, that are alike.
    first = heapq.nlargest if order.descending else heapq.nsmallest
    found = first(query.limit + 1, places, key=values.__getitem__)
    page = [matching[place] for place in found[: query.limit]]
    if len(found) <= query.limit:
        return page, None
    # As it was when the order was made: the record may have been changed since, while this goes on in a thread.
    end = values[found[query.limit - 1]]
    return page, query.order.position({order.path.column: end}, page[-1].seq)


def _first_by_fields(query: ListQuery, records: Records, columns: Columns) -> tuple[list[Record], Position | None]:
    """The same for any other order: decodes whatever may match, and keeps no more than a page of it."""
    order = query.order
    after = None if query.after is None else order.comparable(query.after)

    def placed() -> Iterator[tuple[tuple[Any, ...], Position, Record]]:
        source, filters = _sifted(query.filters, records, columns)
        for record in source:
            entity = orjson.loads(record.raw)
            if all(each.matches(entity) for each in filters):
                position = order.position(entity, record.seq)
                key = order.comparable(position)
                if after is None or key > after:
                    yield key, position, record

    found = heapq.nsmallest(query.limit + 1, placed())
    page = [record for _, _, record in found[: query.limit]]
    # The position as it was when the order was made: the record may have been changed since, while this goes on in a thread.
    return page, found[query.limit - 1][1] if len(found) > query.limit else None


def _matching(filters: Sequence[Filter], source: Iterable[Record], columns: Columns) -> Iterable[Record]:
    source, undecided = _sifted(filters, source, columns)
    if not undecided:
        return source

    def decided(record: Record) -> bool:
        entity = orjson.loads(record.raw)
        return all(each.matches(entity) for each in undecided)

    return filter(decided, source)


def _sifted(
    filters: Sequence[Filter], source: Iterable[Record], columns: Columns
) -> tuple[Iterable[Record], list[Filter]]:
    """The records that may match, sifted without decoding any, and the filters that are still to be asked."""
    undecided = []
    for each in filters:
        read = columns.get(each.path.column or "")
        if read is None:
            undecided.append(each)
        else:
            source = filter(_column_check(each, read), source)
    for each in [each for each in undecided if each.needles][:MAX_SEARCHED_FILTERS]:
        source = filter(_bytes_check(each), source)
    return source, undecided


def _column_check(condition: Filter, read: Callable[[Any], Any]) -> Callable[[Record], bool]:
    """Asks a column, and where that does not say, the JSON."""
    texts = condition.texts

    def check(record: Record) -> bool:
        value = read(record)
        if texts is not None and type(value) is str:
            return value in texts
        return condition.matches(orjson.loads(record.raw)) if value is None else condition.matches_value(value)

    return check


def _bytes_check(condition: Filter) -> Callable[[Record], bool]:
    if condition.ignore_case or len(condition.needles) > 1:
        return lambda record: condition.may_match(record.raw)
    needle = condition.needles[0]
    return lambda record: needle in record.raw


def _projected(raw: bytes, projection: frozenset[str] | None) -> bytes:
    if projection is None:
        return raw
    return orjson.dumps({name: value for name, value in orjson.loads(raw).items() if name in projection})
