"""The query language against a naive reading of it, page by page, and every error by name."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cmp_to_key
from operator import ge, gt, le, lt
from pathlib import Path
from typing import Any

import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from flow_service_emulator.entities import SERVER_FIELDS
from flow_service_emulator.errors import ErrorTable, ServiceError
from flow_service_emulator.query.pages import Page, Record, run
from flow_service_emulator.query.query import parse
from flow_service_emulator.service.bodies import FIELDS as documented

ERRORS = ErrorTable.from_rows(
    json.loads((Path(__file__).parents[1] / "fixtures" / "errors.json").read_text(encoding="utf-8"))
)
FIELDS = SERVER_FIELDS.union(*documented.values(), ("x", "tags", "nested"))
"""Documented fields, and three (`x`, `tags`, `nested`) whose type is not."""


@dataclass(frozen=True, slots=True)
class Stored:
    seq: int
    raw: bytes


class Shelf:
    """Records as the store gives them."""

    def __init__(self, *entities: dict[str, Any]) -> None:
        self.records: list[Stored] = []
        for entity in entities:
            self.add(entity)

    def add(self, entity: dict[str, Any]) -> None:
        seq = self.records[-1].seq + 1 if self.records else 0
        entity.setdefault("createdAt", 1_675_807_718_296 + seq)
        self.records.append(Stored(seq, orjson.dumps(entity)))

    def __iter__(self) -> Iterator[Record]:
        return reversed(self.records)

    def __len__(self) -> int:
        return len(self.records)


def ask(shelf: Shelf, *params: str, collection: str = "flows") -> Page:
    pairs = [(name, value) for name, _, value in (param.partition("=") for param in params)]
    return run(parse(pairs, collection=collection, fields=FIELDS), shelf)


def quoted(text: str) -> str:
    return '"' + text.replace("\\", "\\\\").replace('"', '\\"') + '"'


def names(page: Page) -> list[Any]:
    return [orjson.loads(item).get("name") for item in page.items]


def refused(*params: str, collection: str = "flows") -> ServiceError:
    with pytest.raises(ServiceError) as raised:
        ask(Shelf(), *params, collection=collection)
    return raised.value


# What the documentation shows


FLOW = {
    "id": "f-1",
    "name": "maria-db",
    "description": "Test description",
    "state": "enabled",
    "createdAt": 1_675_807_718_297,
    "targetConnectionIds": ["t-1", "t-2"],
    "scheduleParams": {"interval": 3, "timeUnit": "hour"},
    "inheritedAttributes": {
        "properties": {"isDestinationFlow": True},
        "targetConnections": [{"id": "t-1", "connectionSpec": {"id": "4fce964d", "version": "1.0"}}],
    },
    "transformations": [{"params": {"segmentSelectors": {"selectors": [{"value": {"id": "5722a16f"}}]}}}],
    "lastRunDetails": {"id": "r-1", "state": "success"},
}
RUN: dict[str, Any] = {
    "id": "r-1",
    "flowId": "f-1",
    "metrics": {
        "durationSummary": {"startedAtUTC": 1_600_000_000_000},
        "statusSummary": {"status": "success"},
        "recordSummary": {"targetSummaries": [{"entitySummaries": [{"id": "dataset:068d"}]}]},
    },
}


@pytest.mark.parametrize(
    ("condition", "holds"),
    [
        ('name=="maria-db"', True),
        ("name!=a,maria-db", False),
        ("createdAt>1e12", True),
        ("scheduleParams.interval==3.0", True),
        ("targetConnectionIds[]!=t-3,t-2", False),
        ("inheritedAttributes.properties.isDestinationFlow==True", True),
        ("transformations[].params.segmentSelectors.selectors[].value.id==5722a16f", True),
        ("lastRunDetails.state==SUCCESS", True),
        ("lastRunDetails.state!=Success", False),
        ("x!=1", True),
        (" name == maria-db ", True),
    ],
)
def test_conditions_on_flows(condition: str, holds: bool) -> None:
    shelf = Shelf(FLOW)
    assert len(ask(shelf, f"property={condition}").items) == holds
    assert ask(shelf, f"property={condition}", "count=true").count == holds


@pytest.mark.parametrize("word", ["processing", "Processing", '"INPROGRESS"', "waiting,processing"])
def test_processing_is_in_progress(word: str) -> None:
    """Reference, Entities: `inProgress`/`processing`."""
    runs = Shelf({"metrics": {"statusSummary": {"status": "inProgress"}}})
    assert len(ask(runs, f"property=metrics.statusSummary.status=={word}", collection="runs").items) == 1
    assert not ask(runs, f"property=metrics.statusSummary.status!={word}", collection="runs").items
    assert not ask(Shelf({"name": "inProgress"}), "property=name==processing").items


@pytest.mark.parametrize(
    "name",
    ["a,b", "=b", "<>", 'say "hi"', "back\\slash", "", " edge ", "ünï☃", "line\nend\n", "null", "\0", ","],
)
def test_quoted_values_can_say_any_text(name: str) -> None:
    shelf = Shelf({"name": name}, {"name": "other"})
    assert names(ask(shelf, f"property=name=={quoted(name)}")) == [name]
    assert names(ask(shelf, f"property=name=={quoted(name)}, other")) == ["other", name]
    assert names(ask(shelf, f"property=name!={quoted(name)}")) == ["other"]


def test_a_value_is_compared_by_the_stored_type() -> None:
    stored = [5, 5.0, "5", "5.0", True, "true", None, "null", ["5"], {"5": 5}]
    shelf = Shelf(*({"name": place, "x": value} for place, value in enumerate(stored)))

    assert names(ask(shelf, "property=x==5")) == [2, 1, 0]
    assert names(ask(shelf, 'property=x=="5"')) == [2, 1, 0]
    assert names(ask(shelf, "property=x==5.0")) == [3, 1, 0]
    assert names(ask(shelf, "property=x==true")) == [5, 4]
    assert names(ask(shelf, "property=x==null")) == [7, 6]
    assert names(ask(shelf, 'property=x=="null"')) == [7]
    assert names(ask(shelf, "property=x[]==5")) == [8]
    assert names(ask(shelf, "property=x.5==5")) == [9]


# Filters and orders against a naive reading


SCALARS = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-3, 3),
    st.sampled_from([0.5, -1.0, 2.0]),
    st.sampled_from(["", "a", "b", "A", "true", "2", "null", 'q"', "c,d", "ü"]),
)
ENTITIES = st.lists(
    st.fixed_dictionaries(
        {},
        optional={
            "name": st.sampled_from(["a", "b", "ab", ""]),
            "x": st.one_of(SCALARS, st.lists(SCALARS, max_size=2)),
            "tags": st.one_of(st.lists(SCALARS, max_size=3), SCALARS),
            "nested": st.one_of(
                SCALARS,
                st.fixed_dictionaries(
                    {},
                    optional={
                        "x": SCALARS,
                        "list": st.lists(st.fixed_dictionaries({}, optional={"x": SCALARS})),
                    },
                ),
            ),
            "createdAt": st.integers(1, 4),
        },
    ),
    max_size=12,
)
CONDITIONS = st.tuples(
    st.sampled_from(["name", "x", "tags[]", "nested.x", "nested.list[].x", "createdAt"]),
    st.sampled_from(["==", "!=", "<", ">", "<=", ">="]),
    st.lists(
        st.sampled_from(["a", "b", "A", "1", "2.0", "-1", "0.5", "null", "c,d", 'q"', ""]),
        min_size=1,
        max_size=3,
    ),
)


def naive_values(value: Any, path: str) -> list[Any]:
    head, _, rest = path.partition(".")
    name = head.removesuffix("[]")
    if not isinstance(value, dict) or name not in value:
        return []
    inner = [value[name]]
    if head.endswith("[]"):
        inner = value[name] if isinstance(value[name], list) else []
    return [found for item in inner for found in (naive_values(item, rest) if rest else [item])]


def naive_number(text: str) -> float | None:
    return float(text) if re.fullmatch(r"-?\d+(\.\d+)?", text) else None


def naive_match(entity: Any, path: str, symbol: str, texts: Sequence[str]) -> bool:
    def equal(stored: Any) -> bool:
        if isinstance(stored, str):
            return stored in texts
        if isinstance(stored, bool):
            return str(stored).lower() in texts
        return isinstance(stored, int | float) and stored in [naive_number(text) for text in texts]

    def ordered(stored: Any) -> bool:
        compare = {"<": lt, ">": gt, "<=": le, ">=": ge}[symbol]
        if isinstance(stored, str):
            return bool(compare(stored, texts[0]))
        number = naive_number(texts[0])
        if isinstance(stored, bool) or not isinstance(stored, int | float) or number is None:
            return False
        return bool(compare(stored, number))

    values = naive_values(entity, path)
    if symbol == "==":
        return any(map(equal, values))
    if symbol == "!=":
        return not any(map(equal, values))
    return any(map(ordered, values))


@given(ENTITIES, st.lists(CONDITIONS, min_size=1, max_size=2))
@settings(max_examples=180, deadline=None)
def test_filters_find_what_a_naive_reading_finds(entities: list[Any], conditions: list[Any]) -> None:
    shelf = Shelf(*entities)
    params, expected = [], [orjson.loads(record.raw) for record in shelf]
    for path, symbol, texts in conditions:
        wanted = texts if symbol in ("==", "!=") else texts[:1]
        if path == "createdAt":
            wanted = [text for text in wanted if naive_number(text) is not None] or ["2"]
        params.append(f"property={path}{symbol}{','.join(map(quoted, wanted))}")
        expected = [entity for entity in expected if naive_match(entity, path, symbol, wanted)]
    assert [orjson.loads(item) for item in ask(shelf, *params).items] == expected
    assert ask(shelf, *params, "count=true").count == len(expected)


def naive_compare(one: Any, other: Any) -> int:
    """Missing, null, booleans, numbers, texts, arrays, objects; values of one type by their own order."""
    kinds = ["missing", "NoneType", "bool", "number", "str", "list", "dict"]

    def kind(values: list[Any]) -> int:
        word = type(values[0]).__name__ if values else "missing"
        return kinds.index("number" if word in ("int", "float") else word)

    if kind(one) != kind(other):
        return kind(one) - kind(other)
    if kinds[kind(one)] in ("bool", "number", "str"):
        return bool(one[0] > other[0]) - bool(one[0] < other[0])
    return 0


def naive_order(records: list[Record], fields: list[tuple[str, bool]]) -> list[int]:
    oldest_first = next((not falling for path, falling in fields if path == "createdAt"), False)

    def compare(one: Record, other: Record) -> int:
        for path, falling in fields:
            verdict = naive_compare(
                naive_values(orjson.loads(one.raw), path), naive_values(orjson.loads(other.raw), path)
            )
            if verdict:
                return -verdict if falling else verdict
        return one.seq - other.seq if oldest_first else other.seq - one.seq

    return [record.seq for record in sorted(records, key=cmp_to_key(compare))]


ORDERS = st.lists(
    st.tuples(st.sampled_from(["name", "x", "nested.x", "createdAt"]), st.booleans()),
    max_size=3,
    unique_by=lambda field: field[0],
)


def orderby(fields: list[tuple[str, bool]], plus: str = "") -> list[str]:
    return ["orderby=" + ",".join(("-" if falling else plus) + path for path, falling in fields)] if fields else []


def all_pages(shelf: Shelf, *params: str) -> Iterator[Page]:
    for _ in range(200):
        page = ask(shelf, *params)
        yield page
        if page.next_token is None:
            return
        params = (f"continuationToken={page.next_token}",)
    raise AssertionError("the pages do not end")


@given(ENTITIES, ORDERS, st.sampled_from(["", "+", " "]), st.integers(1, 5))
@settings(max_examples=180, deadline=None)
def test_orders_and_pages_agree_with_a_naive_sort(
    entities: list[Any], fields: list[tuple[str, bool]], plus: str, limit: int
) -> None:
    shelf = Shelf(*({**entity, "id": str(place)} for place, entity in enumerate(entities)))
    pages = list(all_pages(shelf, f"limit={limit}", *orderby(fields, plus)))
    seen = [int(orjson.loads(item)["id"]) for page in pages for item in page.items]
    assert seen == naive_order(list(shelf), fields)
    assert [len(page.items) for page in pages[:-1]] == [limit] * (len(pages) - 1)
    assert pages[-1].items or not entities


def test_long_texts_are_ordered_by_their_beginning_and_tokens_stay_small() -> None:
    shelf = Shelf(*({"name": letter * 300 + tail} for letter in "ba" for tail in ("y" * 9000, "x" * 9000)))
    pages = list(all_pages(shelf, "orderby=name,description", "limit=1"))
    assert [orjson.loads(page.items[0])["name"][:301] for page in pages] == [
        "a" * 300 + "x",
        "a" * 300 + "y",
        "b" * 300 + "x",
        "b" * 300 + "y",
    ]
    assert all(len(page.next_token or "") < 500 for page in pages)


# Tokens


LONG_FILTER = "property=id==" + ",".join(f"{place:032x}" for place in range(300))


@pytest.mark.parametrize("params", [("orderby=name",), (), ("property=name!=☃",), (LONG_FILTER.replace("==", "!="),)])
def test_tokens_are_opaque_and_url_safe(params: tuple[str, ...]) -> None:
    token = ask(Shelf({"name": "a"}, {"name": "b"}), "limit=1", *params).next_token
    assert token is not None
    assert re.fullmatch(r"[A-Za-z0-9_-]{20,16000}", token)


@given(
    st.integers(0, 10_000),
    st.sampled_from("AaZz09_-="),
    st.sampled_from(["replace", "insert", "delete", "cut"]),
)
@settings(max_examples=150, deadline=None)
def test_a_changed_token_is_refused(place: int, letter: str, change: str) -> None:
    shelf = Shelf({"name": "a"}, {"name": "b"})
    token = ask(shelf, "limit=1", "orderby=name").next_token or ""
    place %= len(token)
    changed = {
        "replace": token[:place] + letter + token[place + 1 :],
        "insert": token[:place] + letter + token[place:],
        "delete": token[:place] + token[place + 1 :],
        "cut": token[:place],
    }[change]
    if changed != token:
        error = refused(f"continuationToken={changed}")
        assert (error.name, error.fields["field"]) == ("value-invalid", "continuationToken")


# Errors


UNSUPPORTED, FIELD = "filter-operator-unsupported-for-field", "filter-field-invalid"
QUERY, VALUE = "query-value-invalid", "value-invalid"
IS_FLOW = "inheritedAttributes.properties.isDestinationFlow"
CASES: list[tuple[str, str, dict[str, str]]] = [
    ("limit=20&count=true", "limit-with-count", {}),
    ("orderby=", "sort-order-invalid", {}),
    ("orderby=-", "sort-order-invalid", {}),
    ("orderby=*name", "sort-order-invalid", {}),
    ("orderby=++name", "sort-order-invalid", {}),
    ("orderby=name desc", "sort-order-invalid", {}),
    ("orderby=nosuch", "orderby-field-invalid", {"field": "nosuch"}),
    ("orderby=name,-nosuch", "orderby-field-invalid", {"field": "nosuch"}),
    ("orderby=name.first", "orderby-field-invalid", {"field": "name.first"}),
    ("orderby=params", "orderby-field-invalid", {"field": "params"}),
    ("orderby=targetConnectionIds[]", "orderby-field-invalid", {"field": "targetConnectionIds[]"}),
    ("property=name~=a", "filter-operator-not-implemented", {"operator": "~="}),
    ("property=name~a", "filter-operator-not-implemented", {"operator": "~"}),
    ("property=name=a", "filter-operator-invalid", {"operator": "="}),
    ("property=name===a", "filter-operator-invalid", {"operator": "==="}),
    ("property=name=>a", "filter-operator-invalid", {"operator": "=>"}),
    ("property=name<>a", "filter-operator-invalid", {"operator": "<>"}),
    ("property=name" + "=" * 9000, "filter-operator-invalid", {"operator": "=" * 97 + "..."}),
    ("property=createdAt<1,2", "filter-operator-single-value", {"operator": "<"}),
    ('property=name>="a","b"', "filter-operator-single-value", {"operator": ">="}),
    ("property=params<1", UNSUPPORTED, {"operator": "<", "field": "params"}),
    ("property=targetConnectionIds==a", UNSUPPORTED, {"operator": "==", "field": "targetConnectionIds"}),
    (f"property={IS_FLOW}>=1", UNSUPPORTED, {"operator": ">=", "field": IS_FLOW}),
    ("property=x<true", UNSUPPORTED, {"operator": "<", "field": "x"}),
    ("property=nosuch==a", FIELD, {"field": "nosuch"}),
    ("property=name[]==a", FIELD, {"field": "name[]"}),
    ("property=x..y==a", FIELD, {"field": "x..y"}),
    (
        "property=inheritedAttributes.targetConnections.id==a",
        FIELD,
        {"field": "inheritedAttributes.targetConnections.id"},
    ),
    ("property=" + "x." * 16 + "x==a", FIELD, {"field": "x." * 16 + "x"}),
    ("property=" + "x" * 5000 + "==a", FIELD, {"field": "x" * 97 + "..."}),
    ("property=name,nosuch", FIELD, {"field": "nosuch"}),
    ("property=connectionSpec.id", FIELD, {"field": "connectionSpec.id"}),
    ("Limit=5", "query-param-unknown", {"param": "Limit"}),
    ("orderBy=name", "query-param-unknown", {"param": "orderBy"}),
    ("limit=0", VALUE, {"value": "0", "field": "limit"}),
    ("limit=101", VALUE, {"value": "101", "field": "limit"}),
    ("limit=", VALUE, {"value": "", "field": "limit"}),
    ("limit=٣", VALUE, {"value": "٣", "field": "limit"}),
    ("limit=1&limit=2", VALUE, {"value": "1, 2", "field": "limit"}),
    ("orderby=name&orderby=id", VALUE, {"value": "name, id", "field": "orderby"}),
    ("count=true&count=false", VALUE, {"value": "true, false", "field": "count"}),
    ("count=", VALUE, {"value": "", "field": "count"}),
    ("continuationToken=made-up", VALUE, {"value": "made-up", "field": "continuationToken"}),
    ("property=createdAt>yesterday", VALUE, {"value": "yesterday", "field": "createdAt"}),
    (f"property={IS_FLOW}==maybe", VALUE, {"value": "maybe", "field": IS_FLOW}),
    ("property=", QUERY, {"value": ""}),
    ("property=name,,id", QUERY, {"value": "name,,id"}),
    ("property===a", QUERY, {"value": "==a"}),
    ("property=name==", QUERY, {"value": ""}),
    ("property=name==a,", QUERY, {"value": "a,"}),
    ('property=name=="a', QUERY, {"value": '"a'}),
    ('property=name=="a"b', QUERY, {"value": '"a"b'}),
    ('property=name=="a\\"', QUERY, {"value": '"a\\"'}),
    ("property=name==" + "a," * 2000 + "a", QUERY, {"value": "of more than 1000 values"}),
    ("property=name==a&" * 21 + "limit=1", QUERY, {"value": "of more than 20 property parameters"}),
    ("property=name==" + "a" * 20_000, QUERY, {"value": "of more than 16000 characters"}),
    ("orderby=" + "name," * 2000, QUERY, {"value": "of more than 8 orderby fields"}),
]


@pytest.mark.parametrize(("query", "name", "fields"), CASES, ids=[query[:50] for query, _, _ in CASES])
def test_errors_by_name(query: str, name: str, fields: dict[str, str]) -> None:
    error = refused(*query.split("&"))
    assert (error.name, error.fields) == (name, fields)
    status, body = ERRORS.answer(error, "request-1")
    assert status == 400
    orjson.dumps(body)


def test_every_error_of_the_query_language_is_shown() -> None:
    shown = {
        kind.name
        for kind in ERRORS.kinds.values()
        if re.search(r"list endpoint|property filter|orderby|query param", kind.applies_to)
    }
    assert {name for _, name, _ in CASES} == shown


TEXTS = st.one_of(
    st.text(),
    st.text(alphabet='nameidx.[]=!<>~,"\\ +-01', max_size=40),
    st.sampled_from(
        ["a" * 10_240, "," * 10_240, '"' * 10_240, "x." * 5_120, "[]" * 5_120, "\\" * 10_240, '"\\' * 5_120]
    ),
)


@given(
    st.lists(
        st.tuples(
            st.sampled_from(["property", "orderby", "limit", "count", "continuationToken", "properties"]),
            st.one_of(TEXTS, TEXTS.map("name==".__add__), TEXTS.map('name=="'.__add__), TEXTS.map("x.".__add__)),
        ),
        max_size=3,
    )
)
@settings(max_examples=250, deadline=None)
def test_whatever_is_sent_is_a_page_or_a_documented_error(params: list[tuple[str, str]]) -> None:
    try:
        page = run(parse(params, collection="runs", fields=FIELDS), Shelf(FLOW, RUN))
    except ServiceError as error:
        status, body = ERRORS.answer(error, "request-1")
        assert status == 400
        assert len(orjson.dumps(body)) < 3000
    else:
        assert len(page.items) <= 2
