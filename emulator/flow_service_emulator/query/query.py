"""The query language of lists: `property`, `orderby`, `limit`, `continuationToken`, `count`.

`parse` turns a request's parameters into a `ListQuery`, which `pages.run` applies to records. Source: reference,
section "Sorting, filtering, paging". What the reference leaves open: a list without `limit` is a full page of
100; `limit`, `orderby`, `count` and `continuationToken` may be given once, and a second one is refused; a
token's own filter, projection, order and limit win over those repeated beside it.
"""

from __future__ import annotations

import base64
import binascii
import re
from collections import Counter
from collections.abc import Collection, Sequence
from dataclasses import replace
from typing import Final, NamedTuple

import orjson

from flow_service_emulator.errors import ServiceError
from flow_service_emulator.query.fields import BOOLEANS, FieldPath, echo, value_invalid
from flow_service_emulator.query.filters import Filter, parse_filter
from flow_service_emulator.query.pages import CHECK_BYTES, MAX_LIMIT, ListQuery, Position, checksum

DEFAULT_WINDOW: Final = 20
MAX_PROPERTIES: Final = 20
MAX_ORDER_FIELDS: Final = 8
MAX_TEXT_CHARS: Final = 16_000
"""How long `property` and `orderby` may be together, so that a token, which carries them, stays usable in a
URL."""

_PROPERTY, _ORDERBY, _LIMIT, _COUNT, _TOKEN = "property", "orderby", "limit", "count", "continuationToken"
_LIST_PARAMS: Final = frozenset({_PROPERTY, _ORDERBY, _LIMIT, _COUNT, _TOKEN})
_WINDOW_PARAMS: Final = frozenset({"outputType", "outputField", "start", "limit", "properties"})
_WHOLE: Final = re.compile(r"[0-9]{1,9}")
_WORDED_ORDER: Final = re.compile(r"[\s:](asc|desc|ascending|descending)\Z", re.IGNORECASE)
_NAME: Final = re.compile(r"[\w$@-]{1,100}")

Params = Sequence[tuple[str, str]]
"""A query string's names and values, decoded, in order."""


class PageWindow(NamedTuple):
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
    query = _read_query(collection, properties, single.get(_ORDERBY), limit or MAX_LIMIT, fields)
    if _TOKEN in single:
        query = _read_token(single[_TOKEN], collection, fields)
    return replace(query, count=count)


def parse_page_window(params: Params) -> PageWindow:
    """Reads the parameters of `/connectionSpecs/{id}/configs`. Raises ServiceError: 1451 or 1452.

    Source: reference, section "Endpoints": `outputType` and `outputField` are required and have one value
    each.
    """
    single = _single_values(params, _WINDOW_PARAMS)
    for name, wanted in (("outputType", "activationDatasets"), ("outputField", "datasets")):
        if single.get(name) != wanted:
            raise value_invalid(single.get(name, "(missing)"), name, [wanted])
    properties = None
    if "properties" in single:
        properties = tuple(part.strip() for part in single["properties"].split(","))
        if len(properties) > MAX_LIMIT or not all(_NAME.fullmatch(name) for name in properties):
            raise value_invalid(
                single["properties"], "properties", f"names of fields, {MAX_LIMIT} at most, with commas between them"
            )
    return PageWindow(
        start=_whole(single.get("start", "0"), "start", least=0),
        limit=_whole(single.get(_LIMIT, str(DEFAULT_WINDOW)), _LIMIT, least=1, most=MAX_LIMIT),
        properties=properties,
    )


def _single_values(params: Params, known: Collection[str], several: str | None = None) -> dict[str, str]:
    """The parameters that may be given once, by name. Refuses unknown names and repetitions."""
    for name, _ in params:
        if name not in known:
            raise ServiceError("query-param-unknown", param=echo(name))
    times = Counter(name for name, _ in params if name != several)
    for name, number in times.items():
        if number > 1:
            given = ", ".join(value for other, value in params if other == name)
            raise value_invalid(given, name, "one value")
    return {name: value for name, value in params if name != several}


def _whole(text: str, name: str, *, least: int, most: int | None = None) -> int:
    number = int(text) if _WHOLE.fullmatch(text) else -1
    if number < least or (most is not None and number > most):
        allowed = f"a whole number from {least}" + (f" to {most}" if most is not None else " on")
        raise value_invalid(text, name, allowed)
    return number


def _boolean(text: str, name: str) -> bool:
    """`true` or `false` in any letter case: a real client sends Python's `False`."""
    value = BOOLEANS.get(text.lower())
    if value is None:
        raise value_invalid(text, name, list(BOOLEANS))
    return value


def _read_query(
    collection: str, properties: tuple[str, ...], orderby: str | None, limit: int, fields: Collection[str]
) -> ListQuery:
    if len(properties) > MAX_PROPERTIES:
        raise ServiceError("query-value-invalid", value=f"of more than {MAX_PROPERTIES} property parameters")
    if sum(map(len, properties)) + len(orderby or "") > MAX_TEXT_CHARS:
        raise ServiceError("query-value-invalid", value=f"of more than {MAX_TEXT_CHARS} characters")
    filters: list[Filter] = []
    names: set[str] = set()
    for text in properties:
        condition = parse_filter(text, collection=collection, fields=fields)
        if condition is None:
            names |= _read_projection(text, fields)
        else:
            filters.append(condition)
    order = () if orderby is None else _read_order(orderby, fields)
    return ListQuery(collection, properties, orderby, tuple(filters), frozenset(names) or None, order, limit)


def _read_projection(text: str, fields: Collection[str]) -> set[str]:
    names = {name.strip() for name in text.split(",")}
    if "" in names:
        raise ServiceError("query-value-invalid", value=echo(text))
    unknown = sorted(name for name in names if name not in fields)
    if unknown:
        raise ServiceError("filter-field-invalid", field=echo(unknown[0]))
    return names


def _read_order(text: str, fields: Collection[str]) -> tuple[tuple[FieldPath, bool], ...]:
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
    return tuple(order.values())


def _read_token(token: str, collection: str, fields: Collection[str]) -> ListQuery:
    """The query that a token carries. Raises ServiceError value-invalid (1452) for a token that no page of
    this collection gave."""
    try:
        data = base64.b64decode(token + "=" * (-len(token) % 4), altchars=b"-_", validate=True)
        payload = data[CHECK_BYTES:]
        if data[:CHECK_BYTES] != checksum(payload):
            raise ValueError("made up or damaged")
        name, properties, orderby, limit, (keys, seq) = orjson.loads(payload)
        after = Position([(rank, value) for rank, value in keys], seq)
        query = replace(_read_query(name, tuple(properties), orderby, limit, fields), after=after)
        if name != collection or query.token(after) != token:
            raise ValueError("of another collection, or spelt otherwise")
    except (ValueError, binascii.Error) as error:
        raise value_invalid(token, _TOKEN, "the token of a next page, as it was answered") from error
    return query
