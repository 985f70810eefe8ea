"""A list that must look at very many entities does not keep other requests waiting."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import orjson
import pytest

from contract_tests.in_process import LocalEmulator
from contract_tests.tutorial import BASE, S3
from flow_service_emulator.query.pages import run, run_within
from flow_service_emulator.query.query import parse
from flow_service_emulator.service.service import LONG_LIST
from flow_service_emulator.settings import Settings
from flow_service_emulator.store.records import Record
from flow_service_emulator.store.store import COLUMNS, Store


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


def test_others_are_answered_while_a_long_list_is_sorted(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with LocalEmulator(Settings(export_dir=tmp_path)) as emulator:
            first, others = await filled(emulator, 4 * LONG_LIST)
            answered: list[str] = []

            async def ask(path: str, what: str) -> list[dict[str, Any]]:
                response = await emulator.http.get(f"{BASE}/connections{path}")
                assert response.status_code == 200, response.text
                answered.append(what)
                items: list[dict[str, Any]] = response.json()["items"]
                return items

            items, *_ = await asyncio.gather(
                ask("?orderby=-createdBy&limit=5", "list"), *(ask(f"/{first}", "look-up") for _ in range(20))
            )
            assert answered == ["look-up"] * 20 + ["list"]
            users = sorted((other["createdBy"] for other in others), reverse=True)
            assert [item["createdBy"] for item in items] == users[:5]

    asyncio.run(scenario())


class Counted(list[Record]):
    """Records that count how many of them are looked at."""

    looked = 0

    def __iter__(self) -> Iterator[Record]:
        for record in super().__iter__():
            self.looked += 1
            yield record


def test_a_page_that_is_found_soon_needs_no_look_at_the_whole_list() -> None:
    scope, fields = ("org", "sandbox"), frozenset({"id", "name", "description"})
    store = Store(None)
    for n in range(100):
        store.insert(scope, "connections", {"id": f"{n}", "name": f"n{n % 5}", "description": f"{n % 50}"})
    for params, looked, found in [
        ({"limit": "10"}, 11, True),
        ({"limit": "12", "property": "name==n4"}, 60, False),  # the newest of each five
        ({"limit": "9", "property": "name==n4"}, 46, True),
        ({"limit": "1", "property": "description==49"}, 51, True),
        ({"limit": "10", "property": "name==nobody"}, 60, False),
        ({"limit": "10", "orderby": "name"}, 0, False),
        ({"count": "true"}, 0, False),
    ]:
        records = Counted(store.records(scope, "connections"))
        query = parse(list(params.items()), collection="connections", fields=fields)
        page = run_within(query, records, 59, columns=COLUMNS)
        assert (page is not None, records.looked) == (found, looked), params
        if page is not None:
            assert page == run(query, records, columns=COLUMNS)


@pytest.mark.parametrize("order", ["updatedAt", "-updatedAt", "description", "-description", "description,-updatedAt"])
def test_the_next_page_begins_where_the_last_entity_stood_when_the_order_was_made(order: str) -> None:
    """While a thread looks through the list, another request changes that entity: it stands at the list's other end now."""
    scope, fields = ("org", "sandbox"), frozenset({"id", "createdAt", "updatedAt", "description"})
    other_end: dict[str, Any] = (
        {"updatedAt": 0, "description": ""} if order[0] == "-" else {"updatedAt": 10**15, "description": "~"}
    )
    store = Store(None)
    for n in range(30):
        store.insert(scope, "connections", {"id": f"{n:02}", "createdAt": n, "updatedAt": n, "description": f"{n:02}"})
    last = "20" if order[0] == "-" else "09"

    class ChangedOnceSeen(list[Record]):
        def __iter__(self) -> Iterator[Record]:
            yield from super().__iter__()
            store.replace(scope, "connections", {"id": last, "createdAt": 0, **other_end})

    def updated_at(record: Record) -> int:
        asked[record.id] += 1
        return int(record.id) if asked[record.id] == 1 else other_end["updatedAt"]

    asked: Counter[str] = Counter()
    records = ChangedOnceSeen(store.records(scope, "connections"))
    query = parse([("orderby", order), ("limit", "10")], collection="connections", fields=fields)
    first = run(query, records, columns={"updatedAt": updated_at})
    assert first.next_token is not None
    assert [orjson.loads(item)["id"] for item in first.items][-1] == last
    query = parse([("continuationToken", first.next_token)], collection="connections", fields=fields)
    second = [
        orjson.loads(item)["id"] for item in run(query, store.records(scope, "connections"), columns=COLUMNS).items
    ]
    assert second == [f"{n:02}" for n in (range(19, 9, -1) if order[0] == "-" else range(10, 20))]


def test_entities_come_and_go_while_a_long_list_is_looked_through(tmp_path: Path) -> None:
    """Whoever was there throughout is in it exactly once."""

    async def scenario() -> None:
        async with LocalEmulator(Settings(export_dir=tmp_path)) as emulator:
            going, others = await filled(emulator, LONG_LIST + 50)
            seen: list[str] = []
            url = f"{BASE}/connections?orderby=createdBy&limit=100"
            while url:
                asked = asyncio.create_task(emulator.http.get(url))
                await emulator.created("connections", S3.base_connection())
                if len(seen) == 200:
                    await emulator.http.delete(f"{BASE}/connections/{going}")
                body = (await asked).json()
                seen += [item["id"] for item in body["items"]]
                following = body["_links"].get("next", {}).get("href", "")
                url = following and f"{BASE}/connections{following[following.index('?') :]}"
            ids = {other["id"] for other in others}
            assert sorted(id for id in seen if id in ids) == sorted(ids)

    asyncio.run(scenario())
