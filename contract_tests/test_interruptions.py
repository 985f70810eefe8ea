"""What goes on beside a long call, what ends it, and how an export that goes wrong in an unheard-of way leaves the others alone."""

from __future__ import annotations

import asyncio
import logging
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
from contract_tests.tutorial import BASE, S3, SFTP
from flow_service_emulator.clock import random_source
from flow_service_emulator.datasets import user_datasets
from flow_service_emulator.datasets.content import difference
from flow_service_emulator.datasets.library import Library
from flow_service_emulator.entities import new_entity
from flow_service_emulator.exports.exporter import Exporter
from flow_service_emulator.exports.plan import ExportPlan
from flow_service_emulator.settings import Settings

HOUR, DAY = 3600, 86_400
SCHEDULE = {"interval": 3, "timeUnit": "hour", "startTime": FROZEN_NOW + 60}
LOYALTY = "5ff749e75b636cea4c32bc07"
MANY = 20_000
"""Entities of a snapshot that takes a while to read."""


def large_snapshot(state: dict[str, Any]) -> bytes:
    """A snapshot with many connections more."""
    rng, scope = random_source(1), ("TEST@AdobeOrg", "prod")
    spec = {"id": S3.spec, "version": "1.0"}
    first = state["store"]["nextSeq"]
    table = state["store"]["tables"].setdefault("connections/TEST@AdobeOrg/prod", {})
    for number in range(first, first + MANY):
        body = {"name": f"connection {number}", "state": "enabled", "connectionSpec": spec}
        table[str(number)] = new_entity(body, scope=scope, rng=rng, now_ms=FROZEN_NOW * 1000)
    state["store"]["nextSeq"] = first + MANY
    return orjson.dumps(state)


def test_other_requests_are_answered_while_a_snapshot_is_read(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with LocalEmulator(Settings(export_dir=tmp_path)) as emulator:
            content = large_snapshot(await emulator.control("GET", "/state"))
            putting = asyncio.create_task(emulator.http.put("/__emulator/state", content=content))
            await asyncio.sleep(0)  # it begins
            for _ in range(3):
                assert (await emulator.http.get("/__emulator/health")).status_code == 200
            assert not putting.done()
            assert (await putting).status_code == 200
            assert len((await emulator.http.get(f"{BASE}/connections?limit=50")).json()["items"]) == 50

    asyncio.run(scenario())


def test_a_server_that_ends_does_not_read_a_snapshot_to_its_end(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with LocalEmulator(Settings(export_dir=tmp_path)) as emulator:
            kept = await emulator.created("connections", S3.base_connection())
            content = large_snapshot(await emulator.control("GET", "/state"))
            putting = asyncio.create_task(emulator.http.put("/__emulator/state", content=content))
            await asyncio.sleep(0)  # it begins
            emulator.app.stop()
            assert_error(await putting, "server-ending")
            items = (await emulator.http.get(f"{BASE}/connections")).json()["items"]
            assert [item["id"] for item in items] == [kept]

    asyncio.run(scenario())


@asynccontextmanager
async def many_exports(
    tmp_path: Path, rows: int = 10
) -> AsyncIterator[tuple[LocalEmulator, asyncio.Task[httpx.Response]]]:
    """An emulator that is about some 400 exports: an advance of 50 days, the first of whose runs are over."""
    async with LocalEmulator(Settings(export_dir=tmp_path / "exports", data_dir=tmp_path / "data")) as emulator:
        await emulator.control("PUT", "/datasets/own", {"records": [{"n": n} for n in range(rows)]})
        flow = S3.flow(await emulator.source("own"), await emulator.target(S3), **SCHEDULE)
        await emulator.created("flows", flow)
        advance = {"seconds": 50 * DAY}
        advancing = asyncio.create_task(emulator.http.post("/__emulator/clock/advance", json=advance))
        while not (await emulator.http.get(f"{BASE}/runs")).json()["items"]:
            await asyncio.sleep(0.001)
        yield emulator, advancing


async def reset(emulator: LocalEmulator) -> None:
    await emulator.control("POST", "/reset")


async def put_state(emulator: LocalEmulator) -> None:
    await emulator.control("PUT", "/state", await emulator.control("GET", "/state"))


@pytest.mark.parametrize("interrupt", [reset, put_state])
def test_a_reset_and_a_snapshot_end_the_advances_that_are_under_way(
    tmp_path: Path, interrupt: Callable[[LocalEmulator], Any]
) -> None:
    async def scenario() -> None:
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

    asyncio.run(scenario())


def test_a_server_that_ends_says_so_to_an_advance_and_makes_up_for_the_rest(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with many_exports(tmp_path) as (emulator, advancing):
            emulator.app.stop()
            assert_error(await advancing, "server-ending")
            reached = (await emulator.control("GET", "/clock"))["now"]
            assert reached < FROZEN_NOW + 50 * DAY
            assert_error(await emulator.http.post("/__emulator/reset"), "server-ending")
        async with LocalEmulator(Settings(export_dir=tmp_path / "exports", data_dir=tmp_path / "data")) as emulator:
            assert (await emulator.control("GET", "/clock"))["now"] == reached
            assert [run["status"] for run in await emulator.advance(3 * HOUR)] == ["success"]

    asyncio.run(scenario())


def test_sigterm_ends_an_advance_with_an_answer(tmp_path: Path) -> None:
    """Over a real connection: 503, not a success that has half of the runs."""
    with serving(tmp_path, "--data-dir", str(tmp_path / "data")) as process:
        api = Api(process.url)
        api.control("PUT", "/datasets/large", {"like": LOYALTY, "rows": 400_000})
        api.flow(S3, SCHEDULE, datasets=["large"])
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


class Panic(BaseException):
    """What arro3 raises where its Rust code panics is no Exception either."""


def panic_once(monkeypatch: pytest.MonkeyPatch, owner: type, name: str) -> None:
    """Lets a method panic the first time that it is called."""
    real = getattr(owner, name)
    panicked: list[bool] = []

    def method(*args: Any, **options: Any) -> Any:
        if not panicked:
            panicked.append(True)
            raise Panic("range end out of bounds")
        return real(*args, **options)

    monkeypatch.setattr(owner, name, method)


def test_a_panic_while_a_run_is_planned_is_that_run_s_failure(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async def scenario() -> None:
        async with LocalEmulator(Settings(export_dir=tmp_path)) as emulator:
            source = await emulator.source(LOYALTY)
            for destination in (S3, SFTP):
                await emulator.created(
                    "flows", destination.flow(source, await emulator.target(destination), **SCHEDULE)
                )
            panic_once(monkeypatch, ExportPlan, "pieces")
            panic_once(monkeypatch, Library, "prepare")
            runs = await emulator.advance(HOUR)
            assert [run["status"] for run in runs] == ["failed", "success"]
            (run,) = (await emulator.http.get(f"{BASE}/runs/{runs[0]['id']}")).json()["items"]
            (error,) = run["metrics"]["statusSummary"]["errors"]
            assert "range end out of bounds" in error["message"]

    asyncio.run(scenario())


def test_a_panic_anywhere_else_does_not_end_the_exports_of_other_flows(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """By themselves, without an advance: it is logged, and the next flow is exported."""

    async def scenario() -> None:
        async with LocalEmulator(Settings(export_dir=tmp_path)) as emulator:
            source, now = await emulator.source(LOYALTY), {**SCHEDULE, "startTime": FROZEN_NOW}
            panic_once(monkeypatch, Exporter, "start")
            await emulator.created("flows", S3.flow(source, await emulator.target(S3), **now))
            while not any("in a way that it must not" in line for line in caplog.messages):
                await asyncio.sleep(0.01)
            flow = await emulator.created("flows", SFTP.flow(source, await emulator.target(SFTP), **now))
            while not (await emulator.control("GET", f"/exports?flow={flow}"))["items"]:
                await asyncio.sleep(0.01)

    with caplog.at_level(logging.ERROR):
        asyncio.run(scenario())


class Held:
    """Holds up what is done in a thread: `begun` once it is at it, and done when `go_on` is set."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, module: Any, name: str) -> None:
        self.begun, self.go_on = threading.Event(), threading.Event()
        self.calls = 0
        self._real = getattr(module, name)
        monkeypatch.setattr(module, name, self._held)

    def _held(self, *args: Any) -> Any:
        found = self._real(*args)
        self.calls += 1
        self.begun.set()
        assert self.go_on.wait(30)
        return found

    async def until_begun(self) -> None:
        assert await asyncio.to_thread(self.begun.wait, 30)


def test_a_dataset_that_is_deleted_while_it_is_put_is_kept_whole(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What there is to write is found beside other requests. Where these have changed the dataset, it is found anew."""

    async def scenario() -> None:
        settings = Settings(export_dir=tmp_path / "exports", data_dir=tmp_path / "data")
        async with LocalEmulator(settings) as emulator:
            records = [{"n": 1}]
            await emulator.control("PUT", "/datasets/own", {"records": records})
            held = Held(monkeypatch, user_datasets, "difference")
            again = {"records": records, "name": "again"}
            putting = asyncio.create_task(emulator.control("PUT", "/datasets/own", again))
            await held.until_begun()
            await emulator.control("GET", "/health")
            await emulator.control("DELETE", "/datasets/own")
            held.go_on.set()
            assert (await putting)["rows"] == 1
            assert held.calls == 2
        async with LocalEmulator(settings) as emulator:
            kept = await emulator.control("GET", "/datasets/own")
            assert (kept["name"], kept["rows"]) == ("again", 1)

    asyncio.run(scenario())


def test_an_id_that_a_file_takes_while_a_dataset_is_put_is_the_file_s(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def scenario() -> None:
        folder = tmp_path / "fixtures" / "datasets"
        folder.mkdir(parents=True)
        async with LocalEmulator(Settings(export_dir=tmp_path / "exports", fixtures=tmp_path / "fixtures")) as emulator:
            held = Held(monkeypatch, user_datasets, "difference")
            body = {"records": [{"n": 1}]}
            putting = asyncio.create_task(emulator.http.put("/__emulator/datasets/own", json=body))
            await held.until_begun()
            (folder / "own.csv").write_text("a\n1\n2\n")
            assert (await emulator.control("GET", "/datasets/own"))["rows"] == 2
            held.go_on.set()
            assert_error(await putting, "control-conflict")
            assert (await emulator.control("GET", "/datasets/own"))["origin"] == "file"

    asyncio.run(scenario())


def test_a_server_that_ends_does_not_look_for_what_to_write(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async def scenario() -> None:
        async with LocalEmulator(Settings(export_dir=tmp_path)) as emulator:

            def ended(*args: Any) -> Any:
                emulator.app.stop()
                return difference(*args)

            monkeypatch.setattr(user_datasets, "difference", ended)
            body = {"records": [{"n": 1}]}
            assert_error(await emulator.http.put("/__emulator/datasets/own", json=body), "server-ending")

    asyncio.run(scenario())
