"""A data folder keeps time: a server that starts again goes on where it was, and exports nothing twice or too late."""

from __future__ import annotations

import shutil
from datetime import UTC, datetime
from pathlib import Path

import pytest

from contract_tests.in_process import LocalEmulator, stored
from contract_tests.support import FROZEN_NOW
from flow_service_emulator.exports.schedule import implied_end

HOUR = 3600
ORDERS = "5ef3e3259ad2a1191ab7dd7d"
SCHEDULE = {"interval": 3, "timeUnit": "hour", "startTime": FROZEN_NOW + 60}
NEXT = FROZEN_NOW + 60 + 3 * HOUR


async def instants(emulator: LocalEmulator, seconds: float) -> list[int]:
    return [run["scheduledAt"] for run in await emulator.advance(seconds)]


async def now(emulator: LocalEmulator) -> float:
    return float((await emulator.control("GET", "/clock"))["now"])


async def test_time_goes_on_where_it_was(tmp_path: Path) -> None:
    given, folder = stored(tmp_path, now=FROZEN_NOW), stored(tmp_path)
    async with LocalEmulator(given) as emulator:
        await emulator.flow(ORDERS, **SCHEDULE)
        assert len(await emulator.advance(HOUR)) == 1
        shutil.copytree(tmp_path, tmp_path / "killed")
    for left in (given, stored(tmp_path / "killed", now=FROZEN_NOW)):  # the same command again
        async with LocalEmulator(left) as emulator:
            clock = await emulator.control("GET", "/clock")
            assert clock == {"mode": "frozen", "now": FROZEN_NOW + HOUR, "speed": 0}
            assert await instants(emulator, 4 * HOUR) == [NEXT]
    assert len(list((tmp_path / "exports").rglob("manifest-*.json"))) == 2
    async with LocalEmulator(folder, now=FROZEN_NOW + 20 * HOUR) as emulator:  # it stood still meanwhile
        assert await now(emulator) == FROZEN_NOW + 5 * HOUR
    later = FROZEN_NOW + 9 * HOUR
    async with LocalEmulator(stored(tmp_path, now=later), now=later) as emulator:
        assert await now(emulator) == later
        await emulator.control("POST", "/reset")
    async with LocalEmulator(folder) as emulator:
        assert await now(emulator) == later
    async with LocalEmulator(folder, mode="real") as emulator:
        ahead = (await emulator.control("POST", "/clock/advance", {"seconds": 24 * HOUR}))["now"]
    async with LocalEmulator(folder, mode="real") as emulator:  # real time does not fall back either
        assert await now(emulator) >= ahead


async def test_an_instant_that_was_exported_for_is_not_exported_for_again(tmp_path: Path) -> None:
    """Whatever the clock says: a snapshot can be put back into a server whose time is earlier."""
    async with LocalEmulator(stored(tmp_path)) as emulator:
        flow = await emulator.flow(ORDERS, **SCHEDULE)
        await emulator.advance(24 * HOUR)
        state = await emulator.control("GET", "/state")
        state["clock"]["now"] = FROZEN_NOW
        await emulator.control("PUT", "/state", state)
        await emulator.created("runs", {"flowId": flow})  # without a row: all there were by then are exported
        assert await instants(emulator, 25 * HOUR) == [FROZEN_NOW, NEXT + 21 * HOUR]
        there = (await emulator.control("GET", f"/datasets/{ORDERS}"))["rows"]
        assert sum(file["rows"] for file in await emulator.exports()) <= there


async def test_what_a_running_server_falls_behind_with_is_exported_instant_by_instant(tmp_path: Path) -> None:
    async with LocalEmulator(stored(tmp_path)) as emulator:
        await emulator.flow(ORDERS, **SCHEDULE)
        emulator.clock.move_to(FROZEN_NOW + 24 * HOUR)
        assert await instants(emulator, 0) == [FROZEN_NOW + 60 + n * 3 * HOUR for n in range(8)]


@pytest.mark.parametrize("way", ["restart", "snapshot"])
@pytest.mark.parametrize("what", ["disabled", "moved", "never ran"])
async def test_what_a_flow_did_not_export_is_over_after_a_restart_too(tmp_path: Path, way: str, what: str) -> None:
    """While it was disabled, or before its schedule was changed. A first export that was never made is still to be made."""
    emulator = LocalEmulator(stored(tmp_path))
    await emulator.__aenter__()
    flow, due = await emulator.flow(ORDERS, **SCHEDULE), NEXT
    if what == "never ran":
        for op in ("disable", "enable", "disable"):
            await emulator.act(flow, op)
    assert len(await emulator.advance(HOUR)) == (what != "never ran")
    if what == "disabled":
        await emulator.act(flow, "disable")
        assert await emulator.advance(6 * HOUR) == []
        await emulator.act(flow, "enable")
        due += 6 * HOUR
    elif what == "moved":
        start = FROZEN_NOW + HOUR - 300
        await emulator.patch(f"/flows/{flow}", {"op": "replace", "path": "/scheduleParams/startTime", "value": start})
        due = start + 3 * HOUR
    assert await emulator.advance(0) == []
    if way == "restart":
        await emulator.__aexit__(None, None, None)
        emulator = LocalEmulator(stored(tmp_path))
        await emulator.__aenter__()
    else:
        await emulator.control("PUT", "/state", await emulator.control("GET", "/state"))
    if what == "never ran":
        await emulator.act(flow, "enable")
        assert len(await emulator.advance(0)) == 1
    else:
        assert await emulator.advance(0) == []
        assert await instants(emulator, 3 * HOUR) == [due]
    await emulator.__aexit__(None, None, None)


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
