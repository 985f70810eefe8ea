"""Answers of megabytes."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest

from contract_tests.in_process import LocalEmulator
from contract_tests.support import assert_error
from contract_tests.tutorial import BASE, SOURCE_CONNECTION
from flow_service_emulator.control import state_calls
from flow_service_emulator.settings import Settings

LARGE = {**SOURCE_CONNECTION, "description": "d" * 300_000}


def run(folder: Path, scenario: Callable[[LocalEmulator], Awaitable[None]]) -> None:
    async def whole() -> None:
        async with LocalEmulator(Settings(export_dir=folder)) as emulator:
            await scenario(emulator)

    asyncio.run(whole())


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
