"""Answers of megabytes: sent in pieces between which others get their turn, and of which only what is kept is masked."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from contract_tests.in_process import HEADERS, LocalEmulator
from contract_tests.support import assert_error
from contract_tests.tutorial import BASE, SOURCE_CONNECTION
from flow_service_emulator.control import state_calls
from flow_service_emulator.pieces import AT_ONCE, Pieces
from flow_service_emulator.settings import Settings

LARGE = {**SOURCE_CONNECTION, "description": "d" * 300_000}


def run(folder: Path, scenario: Callable[[LocalEmulator], Awaitable[None]]) -> None:
    async def whole() -> None:
        async with LocalEmulator(Settings(export_dir=folder)) as emulator:
            await scenario(emulator)

    asyncio.run(whole())


async def sent(
    emulator: LocalEmulator, path: str, meanwhile: Callable[[], Awaitable[None]] | None = None
) -> tuple[dict[bytes, bytes], list[bytes]]:
    """The headers of an answer, and its body in the pieces in which it went out; `meanwhile` happens after the first."""
    path, _, query = path.partition("?")
    headers = [(name.lower().encode(), value.encode()) for name, value in HEADERS.items()]
    scope = {"type": "http", "method": "GET", "path": path, "query_string": query.encode(), "headers": headers}
    scope["headers"] = [*headers, (b"host", b"127.0.0.1")]
    answered: dict[bytes, bytes] = {}
    pieces: list[bytes] = []

    async def receive() -> Any:
        return {"type": "http.request", "body": b""}

    async def send(message: Any) -> None:
        if message["type"] == "http.response.start":
            assert message["status"] == 200
            answered.update(message["headers"])
            return
        pieces.append(message["body"])
        if meanwhile is not None and len(pieces) == 1:
            await meanwhile()

    await emulator.app(scope, receive, send)
    return answered, pieces


@pytest.mark.parametrize("path", [f"{BASE}/sourceConnections", "/__emulator/state"])
def test_others_get_their_turn_between_two_pieces(tmp_path: Path, path: str) -> None:
    async def scenario(emulator: LocalEmulator) -> None:
        for _ in range(5):
            await emulator.created("sourceConnections", LARGE)
        turns = 0

        async def other() -> None:
            nonlocal turns
            while True:
                await asyncio.sleep(0)
                turns += 1

        others = asyncio.create_task(other())
        headers, pieces = await sent(emulator, path)
        others.cancel()
        body = b"".join(pieces)
        assert int(headers[b"content-length"]) == len(body) > 5 * 300_000
        assert max(map(len, pieces)) <= AT_ONCE
        assert turns >= len(pieces) - 2 > 3
        assert b"d" * 300_000 in body
        assert orjson.loads(body) == (await emulator.http.get(path)).json()

    run(tmp_path, scenario)


def test_a_snapshot_is_of_one_moment(tmp_path: Path) -> None:
    """Whatever is created, changed and deleted while it goes out."""

    async def scenario(emulator: LocalEmulator) -> None:
        ids = [await emulator.created("sourceConnections", {**LARGE, "name": name}) for name in ("one", "two")]
        before = await emulator.control("GET", "/state")

        async def meanwhile() -> None:
            await emulator.created("sourceConnections", SOURCE_CONNECTION)
            await emulator.patch(
                f"/sourceConnections/{ids[0]}", {"op": "replace", "path": "/description", "value": "x"}
            )
            await emulator.http.delete(f"{BASE}/sourceConnections/{ids[1]}")

        _, pieces = await sent(emulator, "/__emulator/state", meanwhile)
        assert orjson.loads(b"".join(pieces)) == before
        assert (await emulator.control("GET", "/state"))["store"] != before["store"]

    run(tmp_path, scenario)


def test_a_snapshot_that_could_not_be_put_back_is_not_given(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It says how large it would be, and what of it is."""

    async def scenario(emulator: LocalEmulator) -> None:
        await emulator.created("sourceConnections", LARGE)
        snapshot = (await emulator.http.get("/__emulator/state")).content
        assert (await emulator.http.put("/__emulator/state", content=snapshot)).status_code == 200
        snapshot = (await emulator.http.get("/__emulator/state")).content
        monkeypatch.setattr(state_calls, "MAX_CONTROL_BYTES", len(snapshot))
        assert (await emulator.http.get("/__emulator/state")).content == snapshot
        monkeypatch.setattr(state_calls, "MAX_CONTROL_BYTES", len(snapshot) - 1)
        assert_error(
            await emulator.http.get("/__emulator/state"),
            "snapshot-too-large",
            size=len(snapshot),
            limit=len(snapshot) - 1,
            part="store",
        )

    run(tmp_path, scenario)


def test_a_page_that_was_not_fetched_is_told_of_a_long_list_too(tmp_path: Path) -> None:
    """What announces it stands behind all that the journal keeps."""

    async def scenario(emulator: LocalEmulator) -> None:
        for _ in range(101):
            await emulator.created("sourceConnections", {**SOURCE_CONNECTION, "description": "d" * 3_000})
        for fetched in (False, True):
            path = f"{BASE}/sourceConnections"
            page = (await emulator.http.get(path)).json()
            token = page["_links"]["next"]["href"].partition("?")[2]
            if fetched:
                await emulator.http.get(f"{path}?{token}")
            report = await emulator.control("GET", "/contract")
            told = [each["id"] for each in report["warnings"] if "page" in each["id"]]
            assert bool(told) is not fetched, report["warnings"]
            await emulator.control("DELETE", "/requests")

    run(tmp_path, scenario)


@given(st.lists(st.integers(0, 5 * AT_ONCE // 2), max_size=6))
def test_pieces_are_all_there_and_none_is_long(sizes: list[int]) -> None:
    given_pieces = [bytes([number]) * size for number, size in enumerate(sizes)]
    pieces = Pieces(given_pieces)
    blocks = list(pieces)
    assert b"".join(blocks) == b"".join(given_pieces)
    assert pieces.size == sum(sizes)
    assert max(map(len, blocks), default=0) <= AT_ONCE
