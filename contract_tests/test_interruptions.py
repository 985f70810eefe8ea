"""Runs, advances and snapshots that a kill, the end of the server, a reset or a snapshot interrupts.

A run that was cut off stays on record as failed, and its files are gone. What it was to export comes with the next one; the only
export of a flow is made again.
"""

from __future__ import annotations

import asyncio
import logging
import re
import shutil
import signal
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import orjson
import pytest

from contract_tests.in_process import LocalEmulator, stored
from contract_tests.support import FROZEN_NOW, assert_error, started
from contract_tests.tutorial import BASE, S3
from flow_service_emulator.data.datasets.library import Library
from flow_service_emulator.exports import files, runner
from flow_service_emulator.settings import Settings
from flow_service_emulator.store.store import Store, StoreError

HOUR, DAY = 3600, 86_400
EVERY_3_HOURS = {"interval": 3, "timeUnit": "hour", "startTime": FROZEN_NOW}
LATER = {**EVERY_3_HOURS, "startTime": FROZEN_NOW + 60}
ONCE = {"interval": 0, "timeUnit": "day", "exportMode": "DAILY_FULL_EXPORT", "startTime": FROZEN_NOW + 60}
LAST = {**LATER, "endTime": FROZEN_NOW + HOUR}
"""A schedule with a single instant too."""
LOYALTY = "5ff749e75b636cea4c32bc07"
SMALL, LARGE = 3, 100_000
MANY = 20_000
"""Entities of a snapshot that takes a while to read."""
KILLED = ("failed", "Job aborted. The server ended while the run was in progress")


def advance(emulator: LocalEmulator, seconds: float) -> asyncio.Task[httpx.Response]:
    return asyncio.create_task(emulator.http.post("/__emulator/clock/advance", json={"seconds": seconds}))


async def large_flow(emulator: LocalEmulator, schedule: dict[str, Any]) -> str:
    """A flow whose export of a small dataset and then a large one can be interrupted."""
    for name, rows in (("small", SMALL), ("large", LARGE)):
        await emulator.control("PUT", f"/datasets/{name}", {"like": LOYALTY, "rows": rows})
    return await emulator.flow("small", "large", **schedule)


async def being_written(emulator: LocalEmulator) -> None:
    """Until some of the large dataset's rows are written."""
    while not [line for line in await emulator.exports("inProgress") if line["dataset"] == "large" and line["rows"]]:
        await asyncio.sleep(0.001)


async def begin(emulator: LocalEmulator) -> str:
    flow = await large_flow(emulator, EVERY_3_HOURS)
    await being_written(emulator)
    return flow


async def rows_of_each(emulator: LocalEmulator) -> list[int]:
    return [item["rows"] for item in await emulator.exports()]


# --- runs -------------------------------------------------------------------------------------------------------------


async def test_what_a_killed_server_leaves_goes_and_comes_with_the_next_export(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    copied, slices = threading.Event(), files._slices

    def held(*given: Any) -> Iterator[Any]:
        for number, taken in enumerate(slices(*given)):
            yield taken
            assert number < 3 or copied.wait(30)

    monkeypatch.setattr(files, "_slices", held)
    killed = tmp_path / "killed" / "exports"
    async with LocalEmulator(stored(tmp_path / "server")) as emulator:
        flow = await begin(emulator)
        shutil.copytree(tmp_path / "server", tmp_path / "killed")
        copied.set()
    names = sorted(path.name for path in killed.rglob("*part-*"))
    assert [name[0] for name in names] == [".", "p"]  # the large dataset's is unfinished
    async with LocalEmulator(stored(tmp_path / "killed")) as emulator:
        assert not list(killed.rglob("*part-*"))
        assert await emulator.ends() == [KILLED]
        (run,) = (await emulator.http.get(f"{BASE}/runs")).json()["items"]
        assert "outputRecordCount" not in run["metrics"]["recordSummary"]
        (kept,) = (await emulator.http.get(f"{BASE}/flows/{flow}")).json()["items"]
        assert kept["lastRunDetails"]["state"] == "failed"
        assert await emulator.advance(0) == []
        (after,) = await emulator.advance(3 * HOUR)
        assert {item["run"] for item in await emulator.exports()} == {after["id"]}
        assert await rows_of_each(emulator) == [SMALL, LARGE]


async def test_runs_that_waited_or_were_under_way_end_as_failed_when_the_server_does(tmp_path: Path) -> None:
    async with LocalEmulator(stored(tmp_path)) as emulator:
        await emulator.created("runs", {"flowId": await begin(emulator)})
    assert not list(tmp_path.rglob("*part-*"))
    async with LocalEmulator(stored(tmp_path)) as emulator:
        waited, (status, problem) = await emulator.ends()
        assert (waited, status) == (KILLED, "failed") and "cancelled after" in problem


async def test_a_snapshot_taken_during_a_run_has_it_failed(tmp_path: Path) -> None:
    async with LocalEmulator(stored(tmp_path)) as emulator:
        await begin(emulator)
        state = await emulator.control("GET", "/state")
        await emulator.advance(0)
        assert len(list(tmp_path.rglob("part-*"))) == 2
        await emulator.control("PUT", "/state", state)
        assert not list(tmp_path.rglob("part-*"))
        assert [status for status, _ in await emulator.ends()] == ["failed"]
        await emulator.advance(3 * HOUR)
        assert await rows_of_each(emulator) == [SMALL, LARGE]


async def test_a_run_whose_flow_is_deleted_while_it_waits_fails(tmp_path: Path) -> None:
    async with LocalEmulator(stored(tmp_path)) as emulator:
        flow = await begin(emulator)
        await emulator.created("runs", {"flowId": flow})
        assert (await emulator.http.delete(f"{BASE}/flows/{flow}")).status_code == 202
        await emulator.advance(0)
        assert (await emulator.ends())[0] == ("failed", "Job aborted. The flow was deleted while the run waited")


@pytest.mark.parametrize(("schedule", "killed"), [(ONCE, True), (ONCE, False), (LAST, True)])
async def test_an_only_export_that_is_cut_off_is_made_again(
    tmp_path: Path, schedule: dict[str, Any], killed: bool
) -> None:
    left = tmp_path / "server"
    async with LocalEmulator(stored(left)) as emulator:
        await large_flow(emulator, schedule)
        advancing = advance(emulator, HOUR)
        await being_written(emulator)
        if killed:  # what a server leaves then
            left = shutil.copytree(left, tmp_path / "killed")
        emulator.app.stop()
        assert_error(await advancing, "server-ending")
        assert_error(await emulator.http.post("/__emulator/reset"), "server-ending")
    async with LocalEmulator(stored(left)) as emulator:
        assert [run["status"] for run in await emulator.advance(0)] == ["success"]
        assert await emulator.advance(DAY) == []
        assert [status for status, _ in await emulator.ends()] == ["success", "failed"]
        assert await rows_of_each(emulator) == [SMALL, LARGE]


async def test_a_cut_off_run_that_was_asked_for_does_not_bring_the_export_of_the_schedule_again(tmp_path: Path) -> None:
    async with LocalEmulator(stored(tmp_path)) as emulator:
        flow = await large_flow(emulator, ONCE)
        await emulator.advance(60)
        await emulator.created("runs", {"flowId": flow})
        await being_written(emulator)
        emulator.app.stop()
    async with LocalEmulator(stored(tmp_path)) as emulator:
        assert [status for status, _ in await emulator.ends()] == ["failed", "success"]
        assert await emulator.advance(DAY) == []


async def test_an_only_export_that_a_refused_reset_cuts_off_is_made_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: Any) -> None:
        raise StoreError("no space left on device")

    async with LocalEmulator(stored(tmp_path)) as emulator:
        await large_flow(emulator, ONCE)
        advancing = advance(emulator, HOUR)
        await being_written(emulator)
        with monkeypatch.context() as disk:
            disk.setattr(Store, "replace_all", full)
            assert_error(await emulator.http.post("/__emulator/reset"), "store-unavailable")
        assert_error(await advancing, "control-conflict")
        assert [run["status"] for run in await emulator.advance(0)] == ["failed", "success"]


async def test_a_flow_that_is_deleted_while_its_run_is_made_ready_has_none(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made_ready, deleted = asyncio.Event(), asyncio.Event()

    async def refresh(_: Library) -> None:
        made_ready.set()
        await deleted.wait()

    async with LocalEmulator(stored(tmp_path)) as emulator:
        flow = await emulator.flow(LOYALTY, **LATER)
        with monkeypatch.context() as patched:
            patched.setattr(Library, "refresh", refresh)
            advancing = advance(emulator, HOUR)
            await made_ready.wait()
        assert (await emulator.http.delete(f"{BASE}/flows/{flow}")).status_code == 202
        deleted.set()
        assert (await advancing).json()["runs"] == await emulator.ends() == []


async def test_progress_is_told_in_the_run_the_list_and_the_log(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(runner, "PROGRESS_SECONDS", 0.01)
    caplog.set_level(logging.INFO, "emulator.exports")
    async with LocalEmulator(stored(tmp_path)) as emulator:
        await begin(emulator)
        states, lines = [], []
        while line := [line for line in await emulator.exports("inProgress") if line["dataset"] == "large"]:
            lines += line
            states += [run["metrics"] for run in (await emulator.http.get(f"{BASE}/runs")).json()["items"]]
            await asyncio.sleep(0.01)
    counts = [state["recordSummary"]["outputRecordCount"] for state in states]
    assert counts == sorted(counts) and len(set(counts)) > 2
    inside = next(state for state, count in zip(states, counts, strict=True) if SMALL < count < SMALL + LARGE)
    target = inside["recordSummary"]["targetSummaries"][0]
    assert sum(entity["outputRecordCount"] for entity in target["entitySummaries"]) > SMALL
    assert inside["sizeSummary"]["outputBytes"] > 0
    assert {line["expectedRows"] for line in lines} == {LARGE}
    assert len({line["rows"] for line in lines}) > 1
    assert re.search(r"run \S+ of flow \S+: [\d,]+ of 100,003 rows \(\d+ %\), [\d.]+ MB, [\d,]+ rows/s", caplog.text)


# --- advances and snapshots -------------------------------------------------------------------------------------------


async def reset(emulator: LocalEmulator) -> None:
    await emulator.control("POST", "/reset")


async def put_state(emulator: LocalEmulator) -> None:
    await emulator.control("PUT", "/state", await emulator.control("GET", "/state"))


@pytest.mark.parametrize("interrupt", [reset, put_state])
async def test_a_reset_and_a_snapshot_end_the_advances_that_are_under_way(
    tmp_path: Path, interrupt: Callable[[LocalEmulator], Any]
) -> None:
    async with LocalEmulator(stored(tmp_path)) as emulator:
        await emulator.control("PUT", "/datasets/own", {"records": [{"n": n} for n in range(10)]})
        await emulator.flow("own", **LATER)
        advancing = advance(emulator, 50 * DAY)  # some 400 exports
        while not await emulator.ends():
            await asyncio.sleep(0.001)
        further = {"now": FROZEN_NOW + 60 * DAY}
        waiting = asyncio.create_task(emulator.http.put("/__emulator/clock", json=further))
        await asyncio.sleep(0)  # it waits for its turn
        await interrupt(emulator)
        for response in (await advancing, await waiting):
            assert "was broken off after" in assert_error(response, "control-conflict")["detail"]
        assert (await emulator.control("GET", "/clock"))["now"] < FROZEN_NOW + 50 * DAY
        await emulator.advance(1)


def test_sigterm_ends_an_advance_with_an_answer(tmp_path: Path) -> None:
    """Over a real connection: 503, not a success that has half of the runs. The next server makes up for the rest."""
    with started(tmp_path, "data") as (api, process):
        api.control("PUT", "/datasets/large", {"like": LOYALTY, "rows": 4 * LARGE})
        api.flow(S3, LATER, datasets=["large"])
        answers: list[httpx.Response] = []
        advance = {"seconds": 50 * DAY}

        def ask() -> None:
            answers.append(httpx.post(f"{process.url}/__emulator/clock/advance", json=advance, timeout=60))

        asking = threading.Thread(target=ask)
        asking.start()
        while not api.control("GET", "/exports")["inProgress"]:
            pass
        assert process.stop(signal.SIGTERM) == 0
        asking.join()
        assert_error(answers[0], "server-ending")
    with started(tmp_path, "data") as (api, process):
        assert api.control("GET", "/clock")["now"] == FROZEN_NOW + 60
        assert [run["status"] for run in api.advance(3 * HOUR)] == ["success"]


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
