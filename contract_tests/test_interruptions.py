"""Advances, runs and snapshots that a reset, a snapshot, the end of the server or a kill interrupts.

A run that was cut off stays on record as failed, and the only export of a flow is made again.
"""

from __future__ import annotations

import asyncio
import shutil
import signal
import threading
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import httpx
import orjson
import pytest

from contract_tests.in_process import LocalEmulator
from contract_tests.support import FROZEN_NOW, Api, assert_error, serving
from contract_tests.tutorial import BASE, S3
from flow_service_emulator.data.datasets.library import Library
from flow_service_emulator.settings import Settings

HOUR, DAY = 3600, 86_400
EVERY_3_HOURS = {"interval": 3, "timeUnit": "hour", "startTime": FROZEN_NOW + 60}
ONCE = {"interval": 0, "timeUnit": "day", "exportMode": "DAILY_FULL_EXPORT", "startTime": FROZEN_NOW + 60}
LAST = {"interval": 3, "timeUnit": "hour", "startTime": FROZEN_NOW + 60, "endTime": FROZEN_NOW + HOUR}
"""A schedule with a single instant too."""
LOYALTY = "5ff749e75b636cea4c32bc07"
ROWS = 100_000
"""So many that their export can be interrupted."""
MANY = 20_000
"""Entities of a snapshot that takes a while to read."""


def settings_of(folder: Path) -> Settings:
    return Settings(export_dir=folder / "exports", data_dir=folder / "data")


def advance(emulator: LocalEmulator, seconds: float) -> asyncio.Task[httpx.Response]:
    return asyncio.create_task(emulator.http.post("/__emulator/clock/advance", json={"seconds": seconds}))


async def ends(emulator: LocalEmulator) -> list[str]:
    """Status of every run, newest first."""
    items = (await emulator.http.get(f"{BASE}/runs")).json()["items"]
    return [item["metrics"]["statusSummary"]["status"] for item in items]


async def exported_rows(emulator: LocalEmulator) -> int:
    return sum(item["rows"] for item in (await emulator.control("GET", "/exports"))["items"])


async def large_flow(emulator: LocalEmulator, schedule: dict[str, Any]) -> str:
    await emulator.control("PUT", "/datasets/own", {"like": LOYALTY, "rows": ROWS})
    return await emulator.created("flows", S3.flow(await emulator.source("own"), await emulator.target(S3), **schedule))


async def being_written(emulator: LocalEmulator) -> None:
    while not (await emulator.control("GET", "/exports"))["inProgress"]:
        await asyncio.sleep(0.001)


@pytest.mark.parametrize(("schedule", "killed"), [(ONCE, True), (ONCE, False), (LAST, True)])
async def test_an_only_export_that_is_cut_off_is_made_again(
    tmp_path: Path, schedule: dict[str, Any], killed: bool
) -> None:
    left = settings_of(tmp_path)
    async with LocalEmulator(left) as emulator:
        await large_flow(emulator, schedule)
        advancing = advance(emulator, HOUR)
        await being_written(emulator)
        if killed:  # what a server leaves then
            shutil.copytree(tmp_path, tmp_path / "killed")
            left = settings_of(tmp_path / "killed")
        emulator.app.stop()
        assert_error(await advancing, "server-ending")
    async with LocalEmulator(left) as emulator:
        assert [run["status"] for run in await emulator.advance(0)] == ["success"]
        assert await emulator.advance(DAY) == []
        assert await ends(emulator) == ["success", "failed"]
        assert await exported_rows(emulator) == ROWS


async def test_a_cut_off_run_that_was_asked_for_does_not_bring_the_export_of_the_schedule_again(tmp_path: Path) -> None:
    async with LocalEmulator(settings_of(tmp_path)) as emulator:
        flow = await large_flow(emulator, ONCE)
        await emulator.advance(60)
        await emulator.created("runs", {"flowId": flow})
        await being_written(emulator)
        emulator.app.stop()
    async with LocalEmulator(settings_of(tmp_path)) as emulator:
        assert await ends(emulator) == ["failed", "success"]
        assert await emulator.advance(DAY) == []


@asynccontextmanager
async def many_exports(tmp_path: Path) -> AsyncIterator[tuple[LocalEmulator, asyncio.Task[httpx.Response]]]:
    """An emulator that is about some 400 exports: an advance of 50 days, the first of whose runs are over."""
    async with LocalEmulator(settings_of(tmp_path)) as emulator:
        await emulator.control("PUT", "/datasets/own", {"records": [{"n": n} for n in range(10)]})
        flow = S3.flow(await emulator.source("own"), await emulator.target(S3), **EVERY_3_HOURS)
        await emulator.created("flows", flow)
        advancing = advance(emulator, 50 * DAY)
        while not await ends(emulator):
            await asyncio.sleep(0.001)
        yield emulator, advancing


async def reset(emulator: LocalEmulator) -> None:
    await emulator.control("POST", "/reset")


async def put_state(emulator: LocalEmulator) -> None:
    await emulator.control("PUT", "/state", await emulator.control("GET", "/state"))


@pytest.mark.parametrize("interrupt", [reset, put_state])
async def test_a_reset_and_a_snapshot_end_the_advances_that_are_under_way(
    tmp_path: Path, interrupt: Callable[[LocalEmulator], Any]
) -> None:
    async with many_exports(tmp_path) as (emulator, advancing):
        further = {"now": FROZEN_NOW + 60 * DAY}
        waiting = asyncio.create_task(emulator.http.put("/__emulator/clock", json=further))
        await asyncio.sleep(0)  # it waits for its turn
        await interrupt(emulator)
        for response in (await advancing, await waiting):
            detail = assert_error(response, "control-conflict")["detail"]
            assert "was broken off after" in detail
        assert (await emulator.control("GET", "/clock"))["now"] < FROZEN_NOW + 50 * DAY
        await emulator.advance(1)


async def test_a_server_that_ends_says_so_to_an_advance_and_makes_up_for_the_rest(tmp_path: Path) -> None:
    async with many_exports(tmp_path) as (emulator, advancing):
        emulator.app.stop()
        assert_error(await advancing, "server-ending")
        reached = (await emulator.control("GET", "/clock"))["now"]
        assert reached < FROZEN_NOW + 50 * DAY
        assert_error(await emulator.http.post("/__emulator/reset"), "server-ending")
    async with LocalEmulator(settings_of(tmp_path)) as emulator:
        assert (await emulator.control("GET", "/clock"))["now"] == reached
        assert [run["status"] for run in await emulator.advance(3 * HOUR)] == ["success"]


def test_sigterm_ends_an_advance_with_an_answer(tmp_path: Path) -> None:
    """Over a real connection: 503, not a success that has half of the runs."""
    with serving(tmp_path, "--data-dir", str(tmp_path / "data")) as process:
        api = Api(process.url)
        api.control("PUT", "/datasets/large", {"like": LOYALTY, "rows": 4 * ROWS})
        api.flow(S3, EVERY_3_HOURS, datasets=["large"])
        answers: list[httpx.Response] = []
        advance = {"seconds": 50 * DAY}

        def ask() -> None:
            answers.append(httpx.post(f"{process.url}/__emulator/clock/advance", json=advance, timeout=60))

        asking = threading.Thread(target=ask)
        asking.start()
        while not api.control("GET", "/exports")["inProgress"]:
            pass
        api.close()
        assert process.stop(signal.SIGTERM) == 0
        asking.join()
        assert_error(answers[0], "server-ending")
    with serving(tmp_path, "--data-dir", str(tmp_path / "data")) as process:
        api = Api(process.url)
        assert api.control("GET", "/clock")["now"] == FROZEN_NOW + 60
        api.close()


def large_snapshot(state: dict[str, Any]) -> bytes:
    """A snapshot with many connections more: as many as take a while to read."""
    ((first, connection),) = (table := state["store"]["tables"]["connections/TEST@AdobeOrg/prod"]).items()
    table |= {
        str(int(first) + number): {**connection, "id": f"{number:08}{connection['id'][8:]}"}
        for number in range(1, MANY)
    }
    state["store"]["nextSeq"] += MANY
    return orjson.dumps(state)


@pytest.mark.parametrize("ending", [False, True])
async def test_other_requests_are_answered_while_a_snapshot_is_read_and_the_end_of_the_server_ends_that(
    tmp_path: Path, ending: bool
) -> None:
    async with LocalEmulator(Settings(export_dir=tmp_path)) as emulator:
        await emulator.created("connections", S3.base_connection())
        content = large_snapshot(await emulator.control("GET", "/state"))
        putting = asyncio.create_task(emulator.http.put("/__emulator/state", content=content))
        await asyncio.sleep(0)  # it begins
        for _ in range(3):
            assert (await emulator.http.get("/__emulator/health")).status_code == 200
        assert not putting.done()
        if ending:
            emulator.app.stop()
            assert_error(await putting, "server-ending")
        else:
            assert (await putting).status_code == 200
        items = (await emulator.http.get(f"{BASE}/connections?limit=50")).json()["items"]
        assert len(items) == (1 if ending else 50)


class Panic(BaseException):
    """What arro3 raises where its Rust code panics is no Exception either."""


async def test_a_panic_ends_its_request_only(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async def panic(*_: Any) -> None:
        raise Panic("range end out of bounds")

    async with LocalEmulator(Settings(export_dir=tmp_path)) as emulator:
        with monkeypatch.context() as patched:
            patched.setattr(Library, "refresh", panic)
            assert_error(await emulator.http.post(f"{BASE}/sourceConnections", json={}), "internal-error")
        await emulator.source(LOYALTY)
