"""The query language of lists: `property`, `orderby`, `limit`, `continuationToken`, `count`, and the page that it asks for.

Source: reference, section "Sorting, filtering, paging". What the reference leaves open: a list without `limit` is a full page of
100; `limit`, `orderby`, `count` and `continuationToken` may be given once, and a second one is refused; a token's own filter,
projection, order and limit win over those repeated beside it. Values of different types have an order too, that of document
databases: missing, null, booleans, numbers, texts, arrays, objects; arrays are all alike, and so are objects. Entities that are
alike stand newest first, except that an ascending `createdAt` puts the oldest first, so that `createdAt` and `-createdAt` are each
other's reverse whatever the clock did.
"""

from __future__ import annotations

import base64
import binascii
import heapq
import re
from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Sequence, Sized
from functools import cmp_to_key
from itertools import islice
from operator import itemgetter
from typing import Any, Final, NamedTuple, Protocol

import orjson

from flow_service_emulator.errors import ServiceError
from flow_service_emulator.query.filters import (
    ARRAY,
    BOOLEANS,
    MISSING_RANK,
    OBJECT,
    FieldPath,
    Fields,
    Filter,
    Ranked,
    doubts,
    parse_filter,
    ranked,
    top_level,
    value_invalid,
)
from flow_service_emulator.validation.validation import Finding
from flow_service_emulator.validation.violation_text import echo

MAX_LIMIT: Final = 100
MAX_KEY_CHARS: Final = 256
"""Texts are ordered by their first characters only, so that a token, which carries them, stays usable in a URL."""

_PROPERTY, _ORDERBY, _LIMIT, _COUNT, _TOKEN = "property", "orderby", "limit", "count", "continuationToken"
_LIST_PARAMS: Final = (_PROPERTY, _ORDERBY, _LIMIT, _COUNT, _TOKEN)
_WHOLE: Final = re.compile(r"[0-9]{1,9}")
_WORDED_ORDER: Final = re.compile(r"[\s:](asc|desc|ascending|descending)\Z", re.IGNORECASE)

Params = Sequence[tuple[str, str]]
"""A query string's names and values, decoded, in order."""


@cmp_to_key
def _falling(one: Ranked, other: Ranked) -> int:
    """A sort key turned around."""
    return (one < other) - (one > other)


class Record(Protocol):
    """A stored entity: `seq` is its number in creation order (unique), and `raw` its JSON."""

    @property
    def seq(self) -> int: ...
    @property
    def raw(self) -> bytes: ...


class Listed(NamedTuple):
    """A record that no store holds."""

    seq: int
    raw: bytes


class Records(Iterable[Record], Sized, Protocol):
    """The records of a collection, newest first."""


class Position(NamedTuple):
    """Where an entity stands: its sort keys, one for each field of the order, and its number in creation order."""

    keys: Sequence[Ranked]
    seq: int


class Page(NamedTuple):
    """One page: the items as JSON, the token of the next page if there is one, and the count if that was asked for."""

    items: list[bytes]
    next_token: str | None = None
    total: int | None = None


class ListQuery(NamedTuple):
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
    counting: bool = False
    after: Position | None = None
    """Where the last item stood that was seen already."""

    def exact(self, field: str) -> str | None:
        """The one text that `field` must equal (`flowId==…`, or `targetConnectionIds[]==…`), if a filter says so.

        Whoever has an index of the field can give `run` the records of that text alone.
        """
        exact = (each.exact for each in self.filters if each.path.text.removesuffix("[]") == field)
        return next((text for text in exact if text is not None), None)

    def token(self, position: Position) -> str:
        """A continuation token: this query and the last item's position, as opaque, URL-safe text without `=`."""
        payload = orjson.dumps([self.collection, self.properties, self.orderby, self.limit, [*position]])
        return base64.urlsafe_b64encode(payload).rstrip(b"=").decode()

    def comparable(self, position: Position) -> tuple[Any, ...]:
        """A position as something that sorts in this order."""
        pairs = zip(self.order, position.keys, strict=True)
        oldest_first = any(path.text == "createdAt" and not falls for path, falls in self.order)
        seq = position.seq if oldest_first else -position.seq
        return *(_falling(key) if falls else key for (_, falls), key in pairs), seq


def parse(
    params: Params,
    collection: str,
    fields: Fields,
    *,
    most: int = MAX_LIMIT,
    warnings: list[Finding] | None = None,
) -> ListQuery:
    """Reads the parameters of a list request; `fields` are what the collection's entities can have.

    `most` is the largest limit. `warnings` is told of what may be meant otherwise.

    Raises ServiceError: 1401, 1432, 1433, 1440, 1443, 1448, 1449, 1450, 1451, 1452 or 1453.
    """
    single = single_values(params, _LIST_PARAMS, several=_PROPERTY)
    properties = tuple(value for name, value in params if name == _PROPERTY)
    limit = whole(single[_LIMIT], _LIMIT, least=1, most=most) if _LIMIT in single else None
    count = single.get(_COUNT, "false").lower()  # a real client sends Python's `False`
    if count not in BOOLEANS:
        raise value_invalid(single[_COUNT], _COUNT, list(BOOLEANS))
    if BOOLEANS[count] and limit is not None:
        raise ServiceError("limit-with-count")
    query = _read_query(collection, properties, single.get(_ORDERBY), limit or MAX_LIMIT, fields)
    if _TOKEN in single:
        query = _read_token(single[_TOKEN], collection, fields)
    if warnings is not None:
        warnings += doubts(properties)
    return query._replace(counting=BOOLEANS[count])


def run(query: ListQuery, records: Records) -> Page:
    """One page of the records that match, or their count.

    Entities that exist throughout are seen exactly once over all pages, whatever is created or deleted meanwhile; one
    whose sort field is changed while a client pages moves, and may be seen twice or not at all.
    """
    if query.counting:
        return Page([], total=sum(1 for _ in _matching(query, records)) if query.filters else len(records))
    found = _first_by_fields(query, records) if query.order else _newest(query, records)
    page = found[: query.limit]
    items = [raw if query.projection is None else _projected(raw, query.projection) for _, raw in page]
    return Page(items, next_token=query.token(page[-1][0]) if len(found) > query.limit else None)


def _newest(query: ListQuery, records: Iterable[Record]) -> list[tuple[Position, bytes]]:
    """The page's records and the one after it; stops as soon as they are found."""
    if query.after is not None:
        last = query.after.seq
        records = (record for record in records if record.seq < last)
    pairs = _matching(query, records) if query.filters else ((record.seq, record.raw, None) for record in records)
    return [(Position((), seq), raw) for seq, raw, _ in islice(pairs, query.limit + 1)]


def _first_by_fields(query: ListQuery, records: Iterable[Record]) -> list[tuple[Position, bytes]]:
    """The same for any other order: decodes every record, and keeps no more than a page of them."""
    after = None if query.after is None else query.comparable(query.after)

    def placed() -> Iterator[tuple[tuple[Any, ...], tuple[Position, bytes]]]:
        for seq, raw, entity in _matching(query, records):
            position = Position([sort_key(path.values(entity)) for path, _ in query.order], seq)
            key = query.comparable(position)
            if after is None or key > after:
                yield key, (position, raw)

    return [found for _, found in heapq.nsmallest(query.limit + 1, placed(), key=itemgetter(0))]


def _matching(query: ListQuery, records: Iterable[Record]) -> Iterator[tuple[int, bytes, Any]]:
    """Number, JSON and value of the records that meet every filter."""
    for record in records:
        raw = record.raw  # once: another thread may change the record meanwhile
        entity = orjson.loads(raw)
        if all(condition.matches(entity) for condition in query.filters):
            yield record.seq, raw, entity


def sort_key(found: Sequence[Any]) -> Ranked:
    """The sort key of what an entity has at a path."""
    if not found:
        return MISSING_RANK, 0
    value = found[0]
    return ranked(value[:MAX_KEY_CHARS] if isinstance(value, str) else value)


def _projected(raw: bytes, projection: frozenset[str]) -> bytes:
    return orjson.dumps({name: value for name, value in orjson.loads(raw).items() if name in projection})


def single_values(params: Params, known: Collection[str], several: str | None = None) -> dict[str, str]:
    """The parameters that may be given once, by name. Refuses unknown names and repetitions."""
    for name, _ in params:
        if name not in known:
            raise ServiceError("query-param-unknown", place=f"query.{echo(name)}", known=known, param=echo(name))
    for name, times in Counter(name for name, _ in params if name != several).items():
        if times > 1:
            raise value_invalid(", ".join(value for other, value in params if other == name), name, "one value")
    return {name: value for name, value in params if name != several}


def whole(text: str, name: str, *, least: int, most: int | None = None) -> int:
    number = int(text) if _WHOLE.fullmatch(text) else -1
    if number < least or (most is not None and number > most):
        raise value_invalid(text, name, f"a whole number from {least}" + (f" to {most}" if most is not None else " on"))
    return number


def _read_query(
    collection: str, properties: tuple[str, ...], orderby: str | None, limit: int, fields: Fields
) -> ListQuery:
    filters: list[Filter] = []
    names: set[str] = set()
    for text in properties:
        condition = parse_filter(text, collection=collection, fields=fields)
        if condition is not None:
            filters.append(condition)
            continue
        for name in text.split(","):
            if not name.strip():
                raise ServiceError("query-value-invalid", value=echo(text))
            if name.strip() not in top_level(fields):
                raise ServiceError("filter-field-invalid", field=echo(name.strip()))
            names.add(name.strip())
    order = () if orderby is None else _read_order(orderby, fields)
    return ListQuery(collection, properties, orderby, tuple(filters), frozenset(names) or None, order, limit)


def _read_order(text: str, fields: Fields) -> tuple[tuple[FieldPath, bool], ...]:
    """Reads an `orderby`. Raises ServiceError sort-order-invalid (1432) or orderby-field-invalid (1433).

    A `+` in a query string arrives as a space, so that a leading space means ascending too. A field that
    comes again later has nothing left to order and is ignored.
    """
    order: dict[str, tuple[FieldPath, bool]] = {}
    for part in text.split(","):
        name = (part[1:] if part.startswith(("-", "+", " ")) else part).rstrip()
        if not name or not (name[0].isalnum() or name[0] in "_$@") or _WORDED_ORDER.search(name[-24:]):
            raise ServiceError("sort-order-invalid")
        path = FieldPath.parse(name, fields)
        if path is None or "[]" in name or path.kind in (OBJECT, ARRAY):
            raise ServiceError("orderby-field-invalid", field=echo(name))
        order.setdefault(name, (path, part.startswith("-")))
    return tuple(order.values())


def _read_token(token: str, collection: str, fields: Fields) -> ListQuery:
    """The query that a token carries. Raises ServiceError value-invalid (1452) for one that no page of this collection gave."""
    try:
        payload = base64.b64decode(token + "=" * (-len(token) % 4), altchars=b"-_", validate=True)
        name, properties, orderby, limit, (keys, seq) = orjson.loads(payload)
        after = Position([(rank, value) for rank, value in keys], seq)
        query = _read_query(name, tuple(properties), orderby, limit, fields)._replace(after=after)
        if name != collection or query.token(after) != token:
            raise ValueError("of another collection, or spelt otherwise")
    except (ValueError, TypeError, binascii.Error) as error:
        raise value_invalid(token, _TOKEN, "the token of a next page, as it was answered") from error
    return query
