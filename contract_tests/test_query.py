"""The query language against a naive reading of it, page by page, its errors, and lists of very many entities."""

from __future__ import annotations

import asyncio
import re
from collections import ChainMap
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from contract_tests.in_process import LocalEmulator
from contract_tests.tutorial import BASE, S3
from flow_service_emulator.errors import ServiceError
from flow_service_emulator.query.filters import Fields
from flow_service_emulator.query.query import Listed, Page, Record, parse, run
from flow_service_emulator.service.bodies import FIELDS as documented
from flow_service_emulator.service.service import LONG_LIST
from flow_service_emulator.settings import Settings

FIELDS: Fields = {**ChainMap(*map(dict, documented.values())), "x": None, "tags": None, "nested": None}
"""Documented fields, and three (`x`, `tags`, `nested`) whose type is not."""


class Shelf(list[Record]):
    """Records as the store gives them: newest first."""

    def __init__(self, *entities: dict[str, Any]) -> None:
        dated = [{"createdAt": 1_675_807_718_296 + seq, **entity} for seq, entity in enumerate(entities)]
        super().__init__(Listed(seq, orjson.dumps(entity)) for seq, entity in reversed([*enumerate(dated)]))


def ask(shelf: Shelf, *params: str, collection: str = "flows") -> Page:
    pairs = [(name, value) for name, _, value in (param.partition("=") for param in params)]
    return run(parse(pairs, collection=collection, fields=FIELDS), shelf)


def quoted(text: str) -> str:
    return '"' + text.replace("\\", "\\\\").replace('"', '\\"') + '"'


def names(page: Page) -> list[Any]:
    return [orjson.loads(item).get("name") for item in page.items]


@pytest.mark.parametrize("word", ["processing", "Processing", '"INPROGRESS"', "waiting,processing"])
def test_processing_is_in_progress(word: str) -> None:
    """Reference, Entities: `inProgress`/`processing`."""
    runs = Shelf({"metrics": {"statusSummary": {"status": "inProgress"}}})
    assert len(ask(runs, f"property=metrics.statusSummary.status=={word}", collection="runs").items) == 1
    assert not ask(runs, f"property=metrics.statusSummary.status!={word}", collection="runs").items
    assert not ask(Shelf({"name": "inProgress"}), "property=name==processing").items


@pytest.mark.parametrize(
    "name", ["a,b", "=b", "<>", 'say "hi"', "back\\slash", "", " edge ", "ünï☃", "line\nend\n", "null", "\0", ","]
)
def test_quoted_values_can_say_any_text(name: str) -> None:
    shelf = Shelf({"name": name}, {"name": "other"})
    assert names(ask(shelf, f"property=name=={quoted(name)}")) == [name]
    assert names(ask(shelf, f"property=name=={quoted(name)}, other")) == ["other", name]
    assert names(ask(shelf, f"property=name!={quoted(name)}")) == ["other"]


def test_a_value_is_compared_by_the_stored_type() -> None:
    stored = [5, 5.0, "5", "5.0", True, "true", None, "null", ["5"], {"5": 5}]
    shelf = Shelf(*({"name": place, "x": value} for place, value in enumerate(stored)))

    expected = {
        "x==5": [2, 1, 0], 'x=="5"': [2, 1, 0], "x==5.0": [3, 1, 0], "x==true": [5, 4], "x==null": [7, 6],
        'x=="null"': [7], "x[]==5": [8], "x.5==5": [9],
    }  # fmt: skip
    assert {condition: names(ask(shelf, f"property={condition}")) for condition in expected} == expected


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
                    {}, optional={"x": SCALARS, "list": st.lists(st.fixed_dictionaries({}, optional={"x": SCALARS}))}
                ),
            ),
            "createdAt": st.integers(1, 4),
        },
    ),
    max_size=12,
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


def naive_key(values: list[Any]) -> tuple[Any, ...]:
    """Missing, null, booleans, numbers, texts, arrays, objects; values of one type by their own order."""
    kinds = ["missing", "NoneType", "bool", "number", "str", "list", "dict"]
    word = type(values[0]).__name__ if values else "missing"
    kind = kinds.index("number" if word in ("int", "float") else word)
    return (kind, values[0]) if 2 <= kind <= 4 else (kind,)


def naive_order(shelf: Shelf, fields: list[tuple[str, bool]]) -> list[int]:
    oldest_first = next((not falling for path, falling in fields if path == "createdAt"), False)
    found = [(record.seq, orjson.loads(record.raw)) for record in (reversed(shelf) if oldest_first else shelf)]
    for path, falling in reversed(fields):
        found.sort(key=lambda pair, path=path: naive_key(naive_values(pair[1], path)), reverse=falling)  # type: ignore[misc]
    return [seq for seq, _ in found]


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
    assert seen == naive_order(shelf, fields)
    assert [len(page.items) for page in pages[:-1]] == [limit] * (len(pages) - 1)
    assert pages[-1].items or not entities


# Tokens


def test_tokens_are_opaque_url_safe_and_small() -> None:
    """Long texts are ordered by their beginning."""
    shelf = Shelf(*({"name": letter * 300 + tail} for letter in "ba" for tail in ("y" * 9000, "x" * 9000)))
    pages = list(all_pages(shelf, "orderby=name,description", "limit=1", "property=name!=☃"))
    assert [orjson.loads(page.items[0])["name"][299:301] for page in pages] == ["ax", "ay", "bx", "by"]
    assert all(re.fullmatch(r"[A-Za-z0-9_-]{20,500}", page.next_token or "x" * 20) for page in pages)


TEXTS = st.one_of(
    st.text(),
    st.text(alphabet='nameidx.[]=!<>~,"\\ +-01', max_size=40),
    st.sampled_from(["," * 10_240, '"' * 10_240, "x." * 5_120, "[]" * 5_120, "\\" * 10_240, '"\\' * 5_120]),
)
ANY_VALUE = st.one_of(TEXTS, TEXTS.map("name==".__add__), TEXTS.map('name=="'.__add__), TEXTS.map("x.".__add__))


@given(
    st.lists(
        st.tuples(st.sampled_from(["property", "orderby", "limit", "count", "continuationToken"]), ANY_VALUE),
        max_size=3,
    )
)
@settings(max_examples=200, deadline=None)
def test_whatever_is_sent_is_a_page_or_an_error(params: list[tuple[str, str]]) -> None:
    shelf = Shelf({"name": "a", "x": {"y": [1]}})
    try:
        assert len(run(parse(params, collection="runs", fields=FIELDS), shelf).items) <= 1
    except ServiceError as error:
        assert all(len(str(value)) <= 100 for value in error.fields.values())


# Very many entities


async def filled(emulator: LocalEmulator, count: int) -> tuple[str, list[dict[str, Any]]]:
    """Gives the emulator a connection, and `count` more from a snapshot. Answers the first one's id, and the others."""
    first = await emulator.created("connections", S3.base_connection())
    state = await emulator.control("GET", "/state")
    (name,) = (name for name in state["store"]["tables"] if name.startswith("connections/"))
    ((seq, entity),) = state["store"]["tables"][name].items()
    others = [
        {**entity, "id": f"00000000-0000-4000-8000-{n:012}", "createdBy": f"user {n * 7919 % count:06}"}
        for n in range(count)
    ]
    state["store"]["tables"][name] |= {str(int(seq) + n): other for n, other in enumerate(others, start=1)}
    state["store"]["nextSeq"] = int(seq) + count + 1
    await emulator.control("PUT", "/state", state)
    return first, others


def test_others_are_answered_while_a_long_list_is_looked_through(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with LocalEmulator(Settings(export_dir=tmp_path)) as emulator:
            first, others = await filled(emulator, 20 * LONG_LIST)
            answered: list[str] = []

            async def ask(path: str, what: str) -> list[dict[str, Any]]:
                response = await emulator.http.get(f"{BASE}/connections{path}")
                assert response.status_code == 200, response.text
                answered.append(what)
                items: list[dict[str, Any]] = response.json()["items"]
                return items

            users = sorted((other["createdBy"] for other in others), reverse=True)
            for query, expected in (("orderby=-createdBy&limit=5", users[:5]), ("property=createdBy==nobody", [])):
                answered.clear()
                items, *_ = await asyncio.gather(
                    ask(f"?{query}", "list"), *(ask(f"/{first}", "look-up") for _ in range(20))
                )
                assert answered == ["look-up"] * 20 + ["list"]
                assert [item["createdBy"] for item in items] == expected

    asyncio.run(scenario())
