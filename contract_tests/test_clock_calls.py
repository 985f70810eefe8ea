"""Calls that move a clock which is running, or that somebody else moves at the same time."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from typing import Any

import pytest

from contract_tests.in_process import LocalEmulator
from contract_tests.support import FROZEN_NOW, Api, ServerProcess, assert_error
from contract_tests.tutorial import BASE, S3
from flow_service_emulator.clock import MAX_SPEED
from flow_service_emulator.exports.exporter import Exporter
from flow_service_emulator.settings import Settings
from flow_service_emulator.store.store import Store, StoreError

HOUR, DAY = 3600, 86_400
EVERY_THREE_HOURS = {
    "interval": 3,
    "timeUnit": "hour",
    "startTime": FROZEN_NOW + 60,
    "endTime": FROZEN_NOW + 36_500 * DAY,
}
RUNNING = [{"mode": "real"}, {"mode": "accelerated", "speed": 10_000}]


@asynccontextmanager
async def exporting(folder: Path, *, max_exports: int = 1000) -> AsyncIterator[tuple[LocalEmulator, str]]:
    """An emulator with a flow that exports every three hours, and the flow's id."""
    async with LocalEmulator(Settings(export_dir=folder, max_exports=max_exports)) as emulator:
        await emulator.control("PUT", "/datasets/own", {"records": [{"n": 1}]})
        source, target = await emulator.source("own"), await emulator.target(S3)
        yield emulator, await emulator.created("flows", S3.flow(source, target, **EVERY_THREE_HOURS))


class HeldExports:
    """Every export waits in its thread until `let_go`."""

    def __init__(self) -> None:
        self.begun = threading.Event()
        self._go_on = threading.Event()

    async def until_begun(self) -> None:
        assert await asyncio.to_thread(self.begun.wait, 30)

    def let_go(self) -> None:
        self._go_on.set()

    def wait(self) -> None:
        self.begun.set()
        assert self._go_on.wait(30)


@pytest.fixture
def held_exports(monkeypatch: pytest.MonkeyPatch) -> Iterator[HeldExports]:
    held, write = HeldExports(), Exporter.write

    def waiting(self: Exporter, run: Any) -> None:
        held.wait()
        write(self, run)

    monkeypatch.setattr(Exporter, "write", waiting)
    yield held
    held.let_go()


@contextmanager
def full_disk() -> Iterator[None]:
    def refuse(self: Store, changes: Sequence[Any]) -> None:
        raise StoreError("no space left on device")

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Store, "write", refuse)
        yield


async def clock(emulator: LocalEmulator) -> dict[str, Any]:
    told: dict[str, Any] = await emulator.control("GET", "/clock")
    return told


@pytest.mark.parametrize("running", RUNNING)
def test_a_running_clock_is_frozen_at_a_later_instant(tmp_path: Path, running: Any) -> None:
    """At that very instant, after the exports on the way."""

    async def scenario() -> None:
        async with exporting(tmp_path) as (emulator, _):
            later = FROZEN_NOW + 40 * DAY
            await emulator.control("PUT", "/clock", running)
            told = await emulator.control("PUT", "/clock", {"mode": "frozen", "now": later})
            assert told == await clock(emulator) == {"mode": "frozen", "now": later, "speed": 0}
            runs = (await emulator.http.get(f"{BASE}/runs?count=true")).json()
            assert runs["count"] == 40 * 8

    asyncio.run(scenario())


@pytest.mark.parametrize("running", RUNNING)
def test_a_running_clock_goes_on_in_its_mode_from_a_later_instant(tmp_path: Path, running: Any) -> None:
    async def scenario() -> None:
        async with exporting(tmp_path) as (emulator, _):
            await emulator.control("PUT", "/clock", running)
            told = await emulator.control("PUT", "/clock", {"now": FROZEN_NOW + 40 * DAY})
            assert told["mode"] == running["mode"] and told["now"] >= FROZEN_NOW + 40 * DAY
            assert (await clock(emulator))["now"] > told["now"]

    asyncio.run(scenario())


@pytest.mark.parametrize("running", RUNNING)
def test_a_change_of_a_running_clock_that_is_refused_leaves_its_mode(tmp_path: Path, running: Any) -> None:
    async def scenario() -> None:
        async with exporting(tmp_path) as (emulator, _):
            await emulator.control("PUT", "/clock", running)
            freeze = {"mode": "frozen", "now": FROZEN_NOW + 36_500 * DAY}
            refused = await emulator.http.put("/__emulator/clock", json=freeze)
            assert "more than 1000 exports" in assert_error(refused, "control-invalid")["detail"]
            with full_disk():
                response = await emulator.http.put("/__emulator/clock", json={**freeze, "now": FROZEN_NOW + 40 * DAY})
            assert_error(response, "store-unavailable")
            present = await clock(emulator)
            assert present["mode"] == running["mode"] and present["now"] < FROZEN_NOW + 40 * DAY
            assert (await clock(emulator))["now"] > present["now"]

    asyncio.run(scenario())


def test_a_reset_that_breaks_off_a_change_of_the_clock_has_the_last_word(
    tmp_path: Path, held_exports: HeldExports
) -> None:
    async def scenario() -> None:
        async with exporting(tmp_path) as (emulator, _):
            change = {"mode": "real", "now": FROZEN_NOW + DAY}
            changing = asyncio.create_task(emulator.http.put("/__emulator/clock", json=change))
            await held_exports.until_begun()
            assert (await clock(emulator)) == {"mode": "frozen", "now": FROZEN_NOW + 60, "speed": 0}
            resetting = asyncio.create_task(emulator.control("POST", "/reset"))
            await asyncio.sleep(0)
            held_exports.let_go()
            await resetting
            assert_error(await changing, "control-conflict")
            assert (await clock(emulator)) == {"mode": "frozen", "now": FROZEN_NOW, "speed": 0}

    asyncio.run(scenario())


def test_advances_at_once_add_up(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with exporting(tmp_path) as (emulator, _):
            answers = await asyncio.gather(*(emulator.advance(DAY) for _ in range(8)))
            assert [len(runs) for runs in answers] == [8] * 8
            assert (await clock(emulator))["now"] == FROZEN_NOW + 8 * DAY

    asyncio.run(scenario())


def test_an_advance_tells_of_one_organization_or_sandbox(api: Api, server: ServerProcess) -> None:
    """As the tests on a shared server ask it to, each for its own. What it does not tell is told to whoever asks for it."""
    schedule = {**EVERY_THREE_HOURS, "startTime": int(api.control("GET", "/clock")["now"]) + 60}
    one, two = (Api(server.url, org=f"{name}@AdobeOrg") for name in ("ONE", "TWO"))
    flows = [each.flow(S3, schedule) for each in (one, two)]

    def told(**body: Any) -> list[str]:
        return [run["flowId"] for run in api.control("POST", "/clock/advance", body)["runs"]]

    assert told(seconds=60, org="ONE@AdobeOrg") == flows[:1]
    assert told(seconds=3 * HOUR, org="ONE@AdobeOrg", sandbox="prod") == flows[:1]
    assert told(seconds=0, sandbox="other") == []
    assert told(seconds=0, org="TWO@AdobeOrg") == [flows[1], flows[1]]
    assert told(seconds=3 * HOUR) == flows
    assert told(seconds=0) == []
    for name in ("org", "sandbox"):
        response = api.http.post("/__emulator/clock/advance", json={"seconds": 1, name: 5})
        assert_error(response, "control-invalid", reason=f'"{name}" must be a text; got 5')
    one.close()
    two.close()


@pytest.mark.parametrize(
    ("body", "last"), [({"seconds": 8 * HOUR}, FROZEN_NOW + 8 * HOUR), ({"to": FROZEN_NOW + DAY}, FROZEN_NOW + DAY)]
)
def test_an_advance_after_a_reset_sets_out_from_where_the_reset_has_put_time(
    tmp_path: Path, held_exports: HeldExports, body: Any, last: float
) -> None:
    async def scenario() -> None:
        async with exporting(tmp_path) as (emulator, flow):
            response = await emulator.http.post(f"{BASE}/runs", json={"flowId": flow})
            assert response.status_code == 201, response.text
            await held_exports.until_begun()
            emulator.app._works.clock.move_to(FROZEN_NOW + 10 * DAY)
            resetting = asyncio.create_task(emulator.control("POST", "/reset"))
            await asyncio.sleep(0)
            advancing = asyncio.create_task(emulator.control("POST", "/clock/advance", body))
            await clock(emulator)  # both wait
            held_exports.let_go()
            assert (await resetting)["now"] == FROZEN_NOW
            assert (await advancing)["now"] == last

    asyncio.run(scenario())


def test_an_advance_to_what_has_become_the_past_meanwhile_is_refused(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with exporting(tmp_path) as (emulator, _):
            advancing = asyncio.create_task(emulator.advance(2 * DAY))
            await asyncio.sleep(0)
            late = await emulator.http.post("/__emulator/clock/advance", json={"to": FROZEN_NOW + DAY})
            assert "time cannot go backwards" in assert_error(late, "control-invalid")["detail"]
            assert len(await advancing) == 16

    asyncio.run(scenario())


def test_an_accelerated_clock_waits_for_its_exports(tmp_path: Path, held_exports: HeldExports) -> None:
    """Else it would leave behind any number of them, for the next advance to wait for."""

    async def scenario() -> None:
        async with exporting(tmp_path) as (emulator, _):
            await emulator.control("PUT", "/clock", {"mode": "accelerated", "speed": MAX_SPEED})
            await held_exports.until_begun()
            present = await clock(emulator)
            assert await clock(emulator) == present
            frozen = await emulator.control("PUT", "/clock", {"mode": "frozen"})
            assert frozen["now"] == present["now"]
            held_exports.let_go()
            await emulator.advance(0)

    asyncio.run(scenario())


@pytest.mark.parametrize("way_out", ["reset", "state", "delete", "disable"])
def test_too_large_a_backlog_is_named_and_left(tmp_path: Path, held_exports: HeldExports, way_out: str) -> None:
    async def scenario() -> None:
        async with exporting(tmp_path, max_exports=10) as (emulator, flow):
            state = await emulator.control("GET", "/state")
            emulator.app._works.clock.move_to(FROZEN_NOW + 365 * DAY)
            emulator.app._works.scheduler.clock_changed()
            await held_exports.until_begun()
            for method, path, body in (
                ("POST", "/clock/advance", {"seconds": 0}),
                ("PUT", "/clock", {"now": FROZEN_NOW + 366 * DAY}),
            ):
                refused = await emulator.http.request(method, f"/__emulator{path}", json=body)
                assert "more than 10 exports are due already" in assert_error(refused, "control-conflict")["detail"]
            if way_out == "reset":
                leaving = asyncio.create_task(emulator.http.post("/__emulator/reset"))
            elif way_out == "state":
                leaving = asyncio.create_task(emulator.http.put("/__emulator/state", json=state))
            elif way_out == "disable":
                leaving = asyncio.create_task(emulator.http.post(f"{BASE}/flows/{flow}/action?op=disable"))
            else:
                leaving = asyncio.create_task(emulator.http.delete(f"{BASE}/flows/{flow}"))
            await clock(emulator)
            held_exports.let_go()
            assert (await leaving).is_success
            await emulator.advance(0)

    asyncio.run(scenario())


def test_a_data_folder_keeps_the_time_that_a_running_clock_was_moved_to(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with exporting(tmp_path) as (emulator, _):
            await emulator.control("PUT", "/clock", {"mode": "real"})
            await emulator.control("PUT", "/clock", {"mode": "frozen", "now": FROZEN_NOW + DAY})
            assert emulator.app._works.store.get_meta("time") == FROZEN_NOW + DAY

    asyncio.run(scenario())
