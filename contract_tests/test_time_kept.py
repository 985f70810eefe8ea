"""A data folder keeps time: a server that starts again goes on where it was, and exports nothing twice or too late."""

from __future__ import annotations

import shutil
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from pathlib import Path

import pytest

from contract_tests.in_process import LocalEmulator
from contract_tests.support import FROZEN_NOW
from contract_tests.tutorial import BASE, S3
from flow_service_emulator.exports.schedule import implied_end
from flow_service_emulator.settings import Settings

HOUR = 3600
ORDERS = "5ef3e3259ad2a1191ab7dd7d"
SCHEDULE = {"interval": 3, "timeUnit": "hour", "startTime": FROZEN_NOW + 60}


def settings_of(folder: Path, now: float | None = None) -> Settings:
    return Settings(export_dir=folder / "exports", data_dir=folder / "data", now=now)


async def begin(emulator: LocalEmulator) -> str:
    flow = S3.flow(await emulator.source(ORDERS), await emulator.target(S3), **SCHEDULE)
    return await emulator.created("flows", flow)


async def act(emulator: LocalEmulator, flow_id: str, op: str) -> None:
    response = await emulator.http.post(f"{BASE}/flows/{flow_id}/action?op={op}")
    assert response.status_code == 200, response.text


async def test_time_goes_on_where_it_was(tmp_path: Path) -> None:
    folder, given = settings_of(tmp_path), settings_of(tmp_path, FROZEN_NOW)
    async with LocalEmulator(given) as emulator:
        await begin(emulator)
        assert len(await emulator.advance(HOUR)) == 1
        shutil.copytree(tmp_path, tmp_path / "killed")
    for left in (given, settings_of(tmp_path / "killed", FROZEN_NOW)):  # the same command again
        async with LocalEmulator(left) as emulator:
            clock = await emulator.control("GET", "/clock")
            assert clock == {"mode": "frozen", "now": FROZEN_NOW + HOUR, "speed": 0}
            assert [run["scheduledAt"] for run in await emulator.advance(4 * HOUR)] == [FROZEN_NOW + 60 + 3 * HOUR]
    assert len(list((tmp_path / "exports").rglob("manifest-*.json"))) == 2
    async with LocalEmulator(folder, now=FROZEN_NOW + 20 * HOUR) as emulator:  # it stood still meanwhile
        assert (await emulator.control("GET", "/clock"))["now"] == FROZEN_NOW + 5 * HOUR
    later = FROZEN_NOW + 9 * HOUR
    async with LocalEmulator(settings_of(tmp_path, later), now=later) as emulator:
        assert (await emulator.control("GET", "/clock"))["now"] == later
        await emulator.control("POST", "/reset")
    async with LocalEmulator(folder) as emulator:
        assert (await emulator.control("GET", "/clock"))["now"] == later


async def test_real_time_that_was_moved_ahead_does_not_fall_back(tmp_path: Path) -> None:
    async with LocalEmulator(settings_of(tmp_path), mode="real") as emulator:
        ahead = (await emulator.control("POST", "/clock/advance", {"seconds": 24 * HOUR}))["now"]
    async with LocalEmulator(settings_of(tmp_path), mode="real") as emulator:
        assert (await emulator.control("GET", "/clock"))["now"] >= ahead


async def test_an_instant_that_was_exported_for_is_not_exported_for_again(tmp_path: Path) -> None:
    """Whatever the clock says: a snapshot can be put back into a server whose time is earlier."""
    async with LocalEmulator(settings_of(tmp_path)) as emulator:
        await begin(emulator)
        await emulator.advance(HOUR)
        state = await emulator.control("GET", "/state")
        state["clock"]["now"] = FROZEN_NOW
        await emulator.control("PUT", "/state", state)
        assert [run["scheduledAt"] for run in await emulator.advance(4 * HOUR)] == [FROZEN_NOW + 60 + 3 * HOUR]


@asynccontextmanager
async def taken_up(settings: Settings, emulator: LocalEmulator, way: str) -> AsyncIterator[LocalEmulator]:
    """The emulator after it has read everything again."""
    if way == "restart":
        await emulator.__aexit__(None, None, None)
        async with LocalEmulator(settings) as again:
            yield again
    else:
        await emulator.control("PUT", "/state", await emulator.control("GET", "/state"))
        yield emulator
        await emulator.__aexit__(None, None, None)


@pytest.mark.parametrize("way", ["restart", "snapshot"])
@pytest.mark.parametrize("what", ["disabled", "moved", "never ran"])
async def test_what_a_flow_did_not_export_is_over_after_a_restart_too(tmp_path: Path, way: str, what: str) -> None:
    """While it was disabled, or before its schedule was changed. A first export that was never made is still to be made."""
    settings = settings_of(tmp_path)
    emulator = LocalEmulator(settings)
    await emulator.__aenter__()
    flow_id, due = await begin(emulator), FROZEN_NOW + 60 + 3 * HOUR
    if what == "never ran":
        for op in ("disable", "enable", "disable"):
            await act(emulator, flow_id, op)
        assert await emulator.advance(HOUR) == []
    else:
        assert len(await emulator.advance(HOUR)) == 1
    if what == "disabled":
        await act(emulator, flow_id, "disable")
        assert await emulator.advance(6 * HOUR) == []
        await act(emulator, flow_id, "enable")
        due += 6 * HOUR
    elif what == "moved":
        start = FROZEN_NOW + HOUR - 300
        await emulator.patch(
            f"/flows/{flow_id}", {"op": "replace", "path": "/scheduleParams/startTime", "value": start}
        )
        due = start + 3 * HOUR
    assert await emulator.advance(0) == []
    async with taken_up(settings, emulator, way) as again:
        if what == "never ran":
            await act(again, flow_id, "enable")
            assert len(await again.advance(0)) == 1
        else:
            assert await again.advance(0) == []
            assert [run["scheduledAt"] for run in await again.advance(3 * HOUR)] == [due]


@pytest.mark.parametrize(
    ("created", "end"),
    [
        ("2026-01-01T00:00:30", "2026-07-01T00:00:30"),
        ("2026-12-31T23:59:59", "2027-06-30T23:59:59"),
        ("2026-08-31T06:00:00", "2027-02-28T06:00:00"),
        ("2027-08-30T06:00:00", "2028-02-29T06:00:00"),
    ],
)
def test_without_an_end_a_schedule_ends_the_same_day_six_months_later_or_the_last_of_that_month(
    created: str, end: str
) -> None:
    """Reference, Schedule: six months after creation when absent."""
    instants = [int(datetime.fromisoformat(text).replace(tzinfo=UTC).timestamp()) for text in (created, end)]
    assert implied_end(instants[0]) == instants[1]
