"""The query language of lists: `property`, `orderby`, `limit`, `continuationToken`, `count`.

`parse` turns a request's parameters into a `ListQuery`, `run` applies it to records. Source: reference,
section "Sorting, filtering, paging". What the reference leaves open: a list without `limit` is a full page of
100; `limit`, `orderby`, `count` and `continuationToken` may be given once, and a second one is refused; a
token's own filter, projection, order and limit win over those repeated beside it.
"""

from __future__ import annotations

import heapq
import operator
import re
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from operator import attrgetter
from typing import Any, Final, Protocol

import orjson

from emulator.errors import ServiceError
from emulator.query.fields import BOOLEANS, echo
from emulator.query.filters import EQUALS, Filter, parse_filter, split_filter
from emulator.query.order import CREATED_AT, Order, Position, parse_order
from emulator.query.token import decode_token, encode_token

MAX_LIMIT: Final = 100
DEFAULT_LIMIT: Final = MAX_LIMIT
"""The reference gives a greatest page and no default, so that a list without `limit` is one greatest page."""
DEFAULT_WINDOW: Final = 20
MAX_PROPERTIES: Final = 20
MAX_TEXT_CHARS: Final = 16_000
"""How long `property` and `orderby` may be together, so that a token, which carries them, stays usable in a
URL."""
MAX_SEARCHED_FILTERS: Final = 4
"""In how many filters' needles an entity's bytes are searched before it is decoded; more would cost more than
decoding."""

_PROPERTY, _ORDERBY, _LIMIT, _COUNT, _TOKEN = "property", "orderby", "limit", "count", "continuationToken"
_LIST_PARAMS: Final = frozenset({_PROPERTY, _ORDERBY, _LIMIT, _COUNT, _TOKEN})
_WINDOW_PARAMS: Final = frozenset({"outputType", "outputField", "start", "limit", "properties"})
_WHOLE: Final = re.compile(r"[0-9]{1,9}")
_NAME: Final = re.compile(r"[\w$@-]{1,100}")

Params = Sequence[tuple[str, str]]
"""A query string's names and values, decoded, in order."""


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
class ListQuery:
    """What a client asked of a list. `properties` and `orderby` are the texts that `filters`, `projection`
    and `order` were read from; `after` is the position of the last item already seen."""

    collection: str
    properties: tuple[str, ...] = ()
    orderby: str | None = None
    filters: tuple[Filter, ...] = ()
    projection: frozenset[str] | None = None
    order: Order = field(default_factory=Order)
    limit: int = DEFAULT_LIMIT
    count: bool = False
    after: Position | None = None

    def exact(self, field: str) -> str | None:
        """The one text that `field` must equal (`flowId==…`, or `targetConnectionIds[]==…`), if a filter says so.

        Whoever has an index of the field can give `run` the records of that text alone.
        """
        for condition in self.filters:
            if (
                condition.path.text.removesuffix("[]") == field
                and condition.operator is EQUALS
                and not condition.ignore_case
            ):
                values = condition.wanted.values
                return values[0].text if len(values) == 1 and not values[0].null else None
        return None


@dataclass(frozen=True, slots=True)
class Page:
    """One page: the items as JSON, the token of the next page if there is one, and the count if that was
    asked for."""

    items: list[bytes]
    next_token: str | None = None
    count: int | None = None


@dataclass(frozen=True, slots=True)
class PageWindow:
    """What a client asked of `/connectionSpecs/{id}/configs`; `properties` None means whole items."""

    start: int
    limit: int
    properties: tuple[str, ...] | None


def parse(params: Params, *, collection: str, fields: Collection[str]) -> ListQuery:
    """Reads the parameters of a list request; `fields` are the top-level fields that the collection's
    entities can have.

    Raises ServiceError: 1401, 1432, 1433, 1440, 1443, 1448, 1449, 1450, 1451, 1452 or 1453.
    """
    single = _single_values(params, _LIST_PARAMS, several=_PROPERTY)
    properties = tuple(value for name, value in params if name == _PROPERTY)
    limit = _whole(single[_LIMIT], _LIMIT, least=1, most=MAX_LIMIT) if _LIMIT in single else None
    count = _boolean(single[_COUNT], _COUNT) if _COUNT in single else False
    if count and limit is not None:
        raise ServiceError("limit-with-count")
    query = _read_query(collection, properties, single.get(_ORDERBY), limit or DEFAULT_LIMIT, fields)
    if _TOKEN in single:
        query = _read_token(single[_TOKEN], collection, fields)
    return replace(query, count=count)


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


def parse_page_window(params: Params) -> PageWindow:
    """Reads the parameters of `/connectionSpecs/{id}/configs`. Raises ServiceError: 1451 or 1452.

    Source: reference, section "Endpoints": `outputType` and `outputField` are required and have one value
    each.
    """
    single = _single_values(params, _WINDOW_PARAMS)
    for name, wanted in (("outputType", "activationDatasets"), ("outputField", "datasets")):
        if single.get(name) != wanted:
            raise ServiceError("value-invalid", value=echo(single.get(name, "(missing)")), field=name)
    properties = None
    if "properties" in single:
        properties = tuple(part.strip() for part in single["properties"].split(","))
        if len(properties) > MAX_LIMIT or not all(_NAME.fullmatch(name) for name in properties):
            raise ServiceError("value-invalid", value=echo(single["properties"]), field="properties")
    return PageWindow(
        start=_whole(single.get("start", "0"), "start", least=0),
        limit=_whole(single.get(_LIMIT, str(DEFAULT_WINDOW)), _LIMIT, least=1, most=MAX_LIMIT),
        properties=properties,
    )


def _single_values(params: Params, known: Collection[str], several: str | None = None) -> dict[str, str]:
    """The parameters that may be given once, by name. Refuses unknown names, repetitions and what is no
    Unicode text."""
    for name, _ in params:
        if name not in known:
            raise ServiceError("query-param-unknown", param=echo(name))
    for _, value in params:
        try:
            value.encode()
        except UnicodeEncodeError as error:
            raise ServiceError("query-value-invalid", value=echo(value)) from error
    times = Counter(name for name, _ in params if name != several)
    for name, number in times.items():
        if number > 1:
            given = ", ".join(value for other, value in params if other == name)
            raise ServiceError("value-invalid", value=echo(given), field=name)
    return {name: value for name, value in params if name != several}


def _whole(text: str, name: str, *, least: int, most: int | None = None) -> int:
    number = int(text) if _WHOLE.fullmatch(text) else -1
    if number < least or (most is not None and number > most):
        raise ServiceError("value-invalid", value=echo(text), field=name)
    return number


def _boolean(text: str, name: str) -> bool:
    """`true` or `false` in any letter case: a real client sends Python's `False`."""
    value = BOOLEANS.get(text.lower())
    if value is None:
        raise ServiceError("value-invalid", value=echo(text), field=name)
    return value


def _read_query(
    collection: str, properties: tuple[str, ...], orderby: str | None, limit: int, fields: Collection[str]
) -> ListQuery:
    if len(properties) > MAX_PROPERTIES:
        raise ServiceError("query-value-invalid", value=f"of more than {MAX_PROPERTIES} property parameters")
    if sum(map(len, properties)) + len(orderby or "") > MAX_TEXT_CHARS:
        raise ServiceError("query-value-invalid", value=f"of more than {MAX_TEXT_CHARS} characters")
    filters: list[Filter] = []
    projection: set[str] = set()
    for text in properties:
        parts = split_filter(text)
        if parts is None:
            projection |= _read_projection(text, fields)
        else:
            filters.append(parse_filter(*parts, collection=collection, fields=fields))
    return ListQuery(
        collection=collection,
        properties=properties,
        orderby=orderby,
        filters=tuple(filters),
        projection=frozenset(projection) or None,
        order=Order() if orderby is None else parse_order(orderby, fields),
        limit=limit,
    )


def _read_projection(text: str, fields: Collection[str]) -> set[str]:
    names = {name.strip() for name in text.split(",")}
    if "" in names:
        raise ServiceError("query-value-invalid", value=echo(text))
    unknown = sorted(name for name in names if name not in fields)
    if unknown:
        raise ServiceError("filter-field-invalid", field=echo(unknown[0]))
    return names


def _read_token(token: str, collection: str, fields: Collection[str]) -> ListQuery:
    """The query that a token carries. Raises ServiceError value-invalid (1452) for a token that no page of
    this collection gave."""
    refusal = ServiceError("value-invalid", value=echo(token), field=_TOKEN)
    try:
        payload = decode_token(token)
        match payload:
            case [str() as name, [*properties], str() | None as orderby, int() as limit, position]:
                if name != collection or not all(isinstance(text, str) for text in properties):
                    raise refusal
                query = _read_query(name, tuple(properties), orderby, limit, fields)
                after = Position.from_json(position)
            case _:
                raise refusal
    except ValueError as error:
        raise refusal from error
    if not 1 <= limit <= MAX_LIMIT or not query.order.fits(after):
        raise refusal
    return replace(query, after=after)


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
    found = [matching[place] for place in first(query.limit + 1, places, key=values.__getitem__)]
    if len(found) <= query.limit:
        return found, None
    end = found[query.limit - 1]
    return found[: query.limit], query.order.position({order.path.column: read(end)}, end.seq)


def _first_by_fields(query: ListQuery, records: Records, columns: Columns) -> tuple[list[Record], Position | None]:
    """The same for any other order: decodes whatever may match, and keeps no more than a page of it."""
    order = query.order
    after = None if query.after is None else order.comparable(query.after)

    def placed() -> Iterator[tuple[tuple[Any, ...], Record]]:
        source, filters = _sifted(query.filters, records, columns)
        for record in source:
            entity = orjson.loads(record.raw)
            if all(each.matches(entity) for each in filters):
                key = order.comparable(order.position(entity, record.seq))
                if after is None or key > after:
                    yield key, record

    found = [record for _, record in heapq.nsmallest(query.limit + 1, placed())]
    if len(found) <= query.limit:
        return found, None
    last = found[query.limit - 1]
    return found[: query.limit], order.position(orjson.loads(last.raw), last.seq)


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
