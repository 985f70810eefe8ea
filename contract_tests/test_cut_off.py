"""Runs that are cut off, while their datasets are made ready or while they are written, by a kill, an end or a reset.

Each stays on record as failed, and the only export of a flow is made anew.
"""

from __future__ import annotations

import asyncio
import logging
import shutil
import threading
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import httpx
import pytest

from contract_tests.in_process import LocalEmulator
from contract_tests.support import FROZEN_NOW, assert_error
from contract_tests.tutorial import BASE, S3
from flow_service_emulator.datasets import dataset_files, record_files
from flow_service_emulator.datasets.library import Library
from flow_service_emulator.datasets.record_rows import GoOn
from flow_service_emulator.exports.exporter import Exporter
from flow_service_emulator.settings import Settings
from flow_service_emulator.store.store import Store, StoreError

HOUR = 3600
ROWS = 200_000
ENDED = "Job aborted. The server ended while the run was in progress"
LOYALTY = "5ff749e75b636cea4c32bc07"
ONCE = {"interval": 0, "timeUnit": "day", "exportMode": "DAILY_FULL_EXPORT", "startTime": FROZEN_NOW + 60}
LAST = {"interval": 3, "timeUnit": "hour", "startTime": FROZEN_NOW + 60, "endTime": FROZEN_NOW + HOUR}
"""A schedule with a single instant too."""


def settings_of(folder: Path) -> Settings:
    return Settings(export_dir=folder / "exports", data_dir=folder / "data")


def as_if_killed(folder: Path) -> Settings:
    """What a server leaves that is killed now: a copy of its folders."""
    shutil.copytree(folder, folder / "killed")
    return settings_of(folder / "killed")


async def flow_of(emulator: LocalEmulator, schedule: dict[str, Any], dataset: str = "own", rows: int = 3) -> str:
    await emulator.control("PUT", f"/datasets/{dataset}", {"like": LOYALTY, "rows": rows})
    flow = S3.flow(await emulator.source(dataset), await emulator.target(S3), **schedule)
    return await emulator.created("flows", flow)


def advance(emulator: LocalEmulator, seconds: float) -> asyncio.Task[httpx.Response]:
    return asyncio.create_task(emulator.http.post("/__emulator/clock/advance", json={"seconds": seconds}))


async def ends(emulator: LocalEmulator) -> list[tuple[str, str]]:
    """Status of every run, and why it failed; newest first."""
    items = (await emulator.http.get(f"{BASE}/runs")).json()["items"]
    states = [item["metrics"]["statusSummary"] for item in items]
    return [(state["status"], state.get("errors", [{"message": ""}])[0]["message"]) for state in states]


async def exported_rows(emulator: LocalEmulator) -> int:
    return sum(item["rows"] for item in (await emulator.control("GET", "/exports"))["items"])


class NeverReady:
    """Datasets are not made ready until `over`: somebody is in the middle of looking through them."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.begun = asyncio.Event()
        self._monkeypatch = monkeypatch
        monkeypatch.setattr(Library, "prepare", self._prepare)

    async def _prepare(self, *_: Any) -> None:
        self.begun.set()
        await asyncio.sleep(10)  # where nobody ends it

    def over(self) -> None:
        self._monkeypatch.undo()


@pytest.mark.parametrize("schedule", [ONCE, LAST])
def test_a_server_that_is_killed_while_a_dataset_is_looked_through_exports_anew(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, schedule: dict[str, Any]
) -> None:
    async def scenario() -> None:
        async with LocalEmulator(settings_of(tmp_path)) as emulator:
            await flow_of(emulator, schedule)
            never = NeverReady(monkeypatch)
            advancing = advance(emulator, HOUR)
            await never.begun.wait()
            assert await ends(emulator) == [("waiting", "")]
            left = as_if_killed(tmp_path)
            emulator.app.stop()
            assert_error(await advancing, "server-ending")
        never.over()
        async with LocalEmulator(left) as emulator:
            assert [run["status"] for run in await emulator.advance(0)] == ["success"]
            assert await emulator.advance(24 * HOUR) == []
            assert await ends(emulator) == [("success", ""), ("failed", ENDED)]
            assert await exported_rows(emulator) == 3

    asyncio.run(scenario())


def test_a_server_that_ends_while_a_dataset_is_looked_through_says_so_and_exports_anew(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    async def scenario() -> None:
        async with LocalEmulator(settings_of(tmp_path)) as emulator:
            await flow_of(emulator, ONCE)
            never = NeverReady(monkeypatch)
            advancing = advance(emulator, HOUR)
            await never.begun.wait()
            emulator.app.stop()
            assert_error(await advancing, "server-ending")
            assert await ends(emulator) == [("failed", ENDED)]
        never.over()
        async with LocalEmulator(settings_of(tmp_path)) as emulator:
            assert [run["status"] for run in await emulator.advance(0)] == ["success"]

    with caplog.at_level(logging.INFO, "emulator.scheduler"):
        asyncio.run(scenario())
    assert f"failed ({ENDED})" in caplog.text


@pytest.mark.parametrize("killed", [True, False])
def test_an_only_export_that_is_cut_off_while_it_is_written_is_made_anew(tmp_path: Path, killed: bool) -> None:
    async def scenario() -> None:
        async with LocalEmulator(settings_of(tmp_path)) as emulator:
            await flow_of(emulator, ONCE, rows=ROWS)
            advancing = advance(emulator, HOUR)
            while not (await emulator.control("GET", "/exports"))["inProgress"]:
                await asyncio.sleep(0.001)
            left = as_if_killed(tmp_path) if killed else settings_of(tmp_path)
            emulator.app.stop()
            assert_error(await advancing, "server-ending")
        async with LocalEmulator(left) as emulator:
            assert [run["status"] for run in await emulator.advance(0)] == ["success"]
            assert [status for status, _ in await ends(emulator)] == ["success", "failed"]
            assert await exported_rows(emulator) == ROWS

    asyncio.run(scenario())


def test_a_reset_that_cannot_be_made_leaves_an_only_export_to_be_made(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: Any) -> None:
        raise StoreError("the disk is full")

    async def scenario() -> None:
        async with LocalEmulator(settings_of(tmp_path)) as emulator:
            await flow_of(emulator, ONCE)
            never = NeverReady(monkeypatch)
            advancing = advance(emulator, HOUR)
            await never.begun.wait()
            never.over()
            monkeypatch.setattr(Store, "clear", full)
            assert_error(await emulator.http.post("/__emulator/reset"), "store-unavailable")
            assert_error(await advancing, "control-conflict")
            assert [run["status"] for run in await emulator.advance(0)][-1:] == ["success"]
            assert [status for status, _ in await ends(emulator)] == ["success", "failed"]

    asyncio.run(scenario())


def test_a_run_that_was_asked_for_and_is_cut_off_does_not_bring_the_export_of_the_schedule_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def scenario() -> None:
        async with LocalEmulator(settings_of(tmp_path)) as emulator:
            flow = await flow_of(emulator, ONCE)
            await emulator.advance(60)
            never = NeverReady(monkeypatch)
            await emulator.created("runs", {"flowId": flow})
            await never.begun.wait()
            left = as_if_killed(tmp_path)
            emulator.app.stop()
        never.over()
        async with LocalEmulator(left) as emulator:
            assert [status for status, _ in await ends(emulator)] == ["failed", "success"]
            assert await emulator.advance(24 * HOUR) == []

    asyncio.run(scenario())


def test_a_run_that_cannot_be_started_does_not_wait_for_ever(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    class Panic(BaseException):
        """As arro3 raises it."""

    def panic(*_: Any) -> None:
        raise Panic("range end out of bounds")

    async def scenario() -> None:
        async with LocalEmulator(settings_of(tmp_path)) as emulator:
            await flow_of(emulator, {**ONCE, "startTime": FROZEN_NOW + 1})
            monkeypatch.setattr(Exporter, "start", panic)
            assert (await advance(emulator, 1)).status_code == 500
            assert await ends(emulator) == [("failed", "Job aborted. range end out of bounds")]

    asyncio.run(scenario())


class LongFile:
    """A dataset file that is being looked through for as long as nobody ends that; later it is an ordinary one."""

    def __init__(self, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.begun, self.ended = threading.Event(), threading.Event()
        self._real = record_files.read_file
        self.fixtures = folder / "fixtures"
        (self.fixtures / "datasets").mkdir(parents=True)
        self.write("a\n1\n2\n")
        monkeypatch.setattr(dataset_files, "read_file", self._read)

    def write(self, text: str) -> None:
        (self.fixtures / "datasets" / "own.csv").write_text(text)

    def _read(self, path: Path, before: Any, go_on: GoOn) -> Any:
        if self.begun.is_set() or path.read_text().count("\n") < 4:
            return self._real(path, before, go_on)
        self.begun.set()
        try:
            for _ in range(20_000):  # some seconds, where nobody ends it
                go_on()
                time.sleep(0.001)
        finally:
            self.ended.set()
        return self._real(path, before, go_on)


async def reset(emulator: LocalEmulator) -> None:
    await emulator.control("POST", "/reset")


async def put_state(emulator: LocalEmulator) -> None:
    await emulator.control("PUT", "/state", await emulator.control("GET", "/state"))


@pytest.mark.parametrize("interrupt", [reset, put_state])
def test_a_reset_and_a_snapshot_end_the_look_through_a_file(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    interrupt: Callable[[LocalEmulator], Awaitable[None]],
) -> None:
    async def scenario() -> None:
        file = LongFile(tmp_path, monkeypatch)
        async with LocalEmulator(Settings(export_dir=tmp_path / "exports", fixtures=file.fixtures)) as emulator:
            flow = S3.flow(await emulator.source("own"), await emulator.target(S3), **ONCE)
            await emulator.created("flows", flow)
            file.write("a\n1\n2\n3\n4\n")
            advancing = advance(emulator, HOUR)
            assert await asyncio.to_thread(file.begun.wait, 30)
            ended = asyncio.create_task(asyncio.to_thread(file.ended.wait, 60))
            await interrupt(emulator)
            assert_error(await advancing, "control-conflict")
            await ended
            assert (await emulator.control("GET", "/datasets/own"))["rows"] == 4  # nothing is left stopped

    with caplog.at_level(logging.INFO):
        asyncio.run(scenario())
    assert "Job aborted. A reset, or a snapshot that is put back, took its place" in caplog.text
    assert "cannot be used" not in caplog.text


def test_a_request_for_a_file_that_is_looked_through_when_the_server_ends_is_told_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    async def scenario() -> None:
        file = LongFile(tmp_path, monkeypatch)
        async with LocalEmulator(Settings(export_dir=tmp_path / "exports", fixtures=file.fixtures)) as emulator:
            file.write("a\n1\n2\n3\n4\n")
            asking = asyncio.create_task(emulator.http.get("/__emulator/datasets/own"))
            assert await asyncio.to_thread(file.begun.wait, 30)
            emulator.app.stop()
            assert_error(await asking, "server-ending")

    asyncio.run(scenario())
    assert "cannot be used" not in caplog.text


def test_other_threads_have_their_turn_at_each_step_of_a_look_through_a_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Clock:
        """Counts the rests."""

        rests = 0

        def sleep(self, seconds: float) -> None:
            assert seconds > 0
            self.rests += 1

    async def scenario() -> None:
        folder, clock = tmp_path / "fixtures" / "datasets", Clock()
        folder.mkdir(parents=True)
        monkeypatch.setattr(dataset_files, "time", clock)
        (folder / "own.csv").write_text("a\n" + "1\n" * 30_000)
        async with LocalEmulator(Settings(export_dir=tmp_path / "exports", fixtures=folder.parent)) as emulator:
            assert (await emulator.control("GET", "/datasets/own"))["rows"] == 30_000
        assert clock.rests >= 4

    asyncio.run(scenario())


def test_the_look_at_the_start_ends_with_the_server_and_is_no_failure(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """Nobody waits for it, so that whatever it raised would be told as the failure of a forgotten task."""

    async def scenario() -> None:
        file = LongFile(tmp_path, monkeypatch)
        file.write("a\n1\n2\n3\n4\n")
        async with LocalEmulator(Settings(export_dir=tmp_path / "exports", fixtures=file.fixtures)) as emulator:
            looking = asyncio.create_task(emulator.app.look_at_files())
            assert await asyncio.to_thread(file.begun.wait, 30)
            emulator.app.stop()
            await looking
        assert "cannot be used" not in caplog.text

    asyncio.run(scenario())
