"""What a flow did not export while it was disabled, or before its schedule was changed, is over: after a restart too."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from contract_tests.in_process import LocalEmulator
from contract_tests.support import FROZEN_NOW
from contract_tests.tutorial import BASE, S3
from flow_service_emulator.settings import Settings

HOUR = 3600
ORDERS = "5ef3e3259ad2a1191ab7dd7d"
SCHEDULE = {"interval": 3, "timeUnit": "hour", "startTime": FROZEN_NOW + 60}
WAYS = ["restart", "snapshot"]


@asynccontextmanager
async def taken_up(settings: Settings, emulator: LocalEmulator, way: str) -> AsyncIterator[LocalEmulator]:
    """The emulator after it has read everything anew."""
    if way == "restart":
        await emulator.__aexit__(None, None, None)
        async with LocalEmulator(settings) as again:
            yield again
    else:
        await emulator.control("PUT", "/state", await emulator.control("GET", "/state"))
        yield emulator
        await emulator.__aexit__(None, None, None)


async def started(settings: Settings) -> tuple[LocalEmulator, str]:
    """An emulator, and a flow of it that has exported once."""
    emulator = LocalEmulator(settings)
    await emulator.__aenter__()
    flow = S3.flow(await emulator.source(ORDERS), await emulator.target(S3), **SCHEDULE)
    flow_id = await emulator.created("flows", flow)
    assert len(await emulator.advance(HOUR)) == 1
    return emulator, flow_id


async def act(emulator: LocalEmulator, flow_id: str, op: str) -> None:
    response = await emulator.http.post(f"{BASE}/flows/{flow_id}/action?op={op}")
    assert response.status_code == 200, response.text


@pytest.mark.parametrize("way", WAYS)
def test_what_was_skipped_while_a_flow_was_disabled_stays_so(tmp_path: Path, way: str) -> None:
    async def scenario() -> None:
        settings = Settings(export_dir=tmp_path / "exports", data_dir=tmp_path / "data")
        emulator, flow_id = await started(settings)
        await act(emulator, flow_id, "disable")
        assert await emulator.advance(6 * HOUR) == []
        await act(emulator, flow_id, "enable")
        assert await emulator.advance(0) == []
        async with taken_up(settings, emulator, way) as again:
            assert await again.advance(0) == []
            (run,) = await again.advance(3 * HOUR)
            assert run["scheduledAt"] == FROZEN_NOW + 60 + 9 * HOUR

    asyncio.run(scenario())


@pytest.mark.parametrize("way", WAYS)
def test_a_start_that_is_moved_to_the_past_brings_no_export(tmp_path: Path, way: str) -> None:
    async def scenario() -> None:
        settings = Settings(export_dir=tmp_path / "exports", data_dir=tmp_path / "data")
        emulator, flow_id = await started(settings)
        moved = FROZEN_NOW + HOUR - 300
        await emulator.patch(
            f"/flows/{flow_id}", {"op": "replace", "path": "/scheduleParams/startTime", "value": moved}
        )
        assert await emulator.advance(0) == []
        async with taken_up(settings, emulator, way) as again:
            assert await again.advance(0) == []
            (run,) = await again.advance(3 * HOUR)
            assert run["scheduledAt"] == moved + 3 * HOUR

    asyncio.run(scenario())


@pytest.mark.parametrize("way", WAYS)
def test_a_flow_that_never_ran_makes_its_first_export_when_it_is_enabled(tmp_path: Path, way: str) -> None:
    async def scenario() -> None:
        settings = Settings(export_dir=tmp_path / "exports", data_dir=tmp_path / "data")
        emulator = LocalEmulator(settings)
        await emulator.__aenter__()
        flow = S3.flow(await emulator.source(ORDERS), await emulator.target(S3), **SCHEDULE)
        flow_id = await emulator.created("flows", flow)
        for op in ("disable", "enable", "disable"):
            await act(emulator, flow_id, op)
        assert await emulator.advance(HOUR) == []
        async with taken_up(settings, emulator, way) as again:
            await act(again, flow_id, "enable")
            assert len(await again.advance(0)) == 1

    asyncio.run(scenario())
