"""Control calls for the clock: what they take, and what they do to a clock that runs or that somebody else moves meanwhile."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from typing import Any

import pytest

from contract_tests.in_process import LocalEmulator
from contract_tests.support import FROZEN_NOW, Api, ServerProcess, assert_error, serving
from contract_tests.tutorial import BASE, DATASET, S3
from flow_service_emulator.exports import pieces, runner
from flow_service_emulator.settings import LATEST_TIME, Settings, read_settings
from flow_service_emulator.store.store import Store, StoreError

HOUR, DAY = 3600, 86_400
LONG_AGO = 1_675_900_800
"""2023-02-09T00:00:00Z."""
EVERY_THREE_HOURS = {
    "interval": 3,
    "timeUnit": "hour",
    "startTime": FROZEN_NOW + 60,
    "endTime": FROZEN_NOW + 36_500 * DAY,
}
RUNNING = [{"mode": "real"}, {"mode": "accelerated", "speed": 10_000}]


# --- what they take -----------------------------------------------------------------------------------------------


def test_who_writes_too_few_digits_is_told_how_to_write_them() -> None:
    with pytest.raises(ValueError, match=r"--now: .*as epoch seconds, write 86400\.0"):
        read_settings({"now": "86400"}, {})
    assert read_settings({"now": "86400.0"}, {}).now == DAY


@pytest.mark.parametrize("text", ["2026-01-01T01:00:00Z", "2026-01-01T01:00", "1767229200"])
def test_a_time_is_read_alike_wherever_a_call_takes_one(api: Api, text: str) -> None:
    assert api.control("POST", f"/clock/advance?to={text}")["now"] == FROZEN_NOW + HOUR
    assert api.control("PUT", "/clock", {"now": text})["now"] == FROZEN_NOW + HOUR
    assert reset(api, {"now": text}).json()["now"] == FROZEN_NOW + HOUR


ADVANCE = ("POST", "/clock/advance")
REFUSED: list[tuple[str, str, Any, str]] = [
    (*ADVANCE, None, 'is needed, such as {"hours": 3} or {"to": '),
    (*ADVANCE, {}, 'either a length (seconds, minutes, hours, days) or "to" is needed'),
    (*ADVANCE, {"hours": 1, "to": "2027-01-01"}, "either a length"),
    (*ADVANCE, {"seconds": -1}, "seconds must be at least 0, got -1"),
    (*ADVANCE, {"days": 1, "hours": "3h"}, 'hours must be a number, got the string "3h"'),
    (*ADVANCE, {"days": 10**7}, "the clock ends at"),
    (*ADVANCE, {"days": 10**30}, "days must be at most 253370764799, got"),
    ("POST", "/clock/advance?hours=1", {"to": "2027-01-01"}, "either a length"),
    (*ADVANCE, {"to": "soon"}, "to must be a time: epoch seconds"),
    (*ADVANCE, {"to": "2025-01-01"}, "time cannot go backwards"),
    (*ADVANCE, {"to": "86400"}, "as epoch seconds, write 86400.0"),
    (*ADVANCE, {"to": [1]}, "to must be a number or a string"),
    (*ADVANCE, {"seconds": 1, "org": 5}, "org must be a string, got the number 5"),
    ("PUT", "/clock", {"mode": "frozen", "speed": 5}, 'speed goes with "mode": "accelerated"'),
    ("PUT", "/clock", {"mode": "accelerated"}, "speed is needed"),
    ("POST", "/reset?export=true", None, "export is unknown; allowed: keep, exports"),
    ("POST", "/reset?keep=contract&keep=contract", None, "keep was given twice"),
    ("POST", "/reset?keep=clock", None, 'keep: "clock" is unknown; allowed: store, faults'),
    ("GET", "/overview?name=a", None, "name is unknown; allowed: flow"),
    ("GET", "/contract?format=json&format=html", None, "format was given twice"),
    ("DELETE", "/requests?limit=1", None, "nothing is taken here"),
    *(
        ("POST", "/reset", {"clock": clock}, word)
        for clock, word in (
            *((5, "clock"), (None, "clock"), ({"mode": "slow"}, "mode"), ({"mode": None}, "mode"), ({"at": 5}, "at")),
            *(({"now": now}, "now") for now in (-1, "soon", "2026-02-30", "9" * 400, "nan", True, 1e30)),
            *(({"speed": speed}, "speed") for speed in (1e10, 100, True)),
            ({"mode": "accelerated", "speed": 0}, "speed"),
            ({"mode": "real", "speed": 100}, "speed"),
            ({"mode": "accelerated"}, "speed"),
        )
    ),
]


@pytest.mark.parametrize(("method", "path", "body", "reason"), REFUSED)
def test_what_would_not_be_heard_is_refused(api: Api, method: str, path: str, body: Any, reason: str) -> None:
    connection = api.created("connections", S3.base_connection())
    answer = api.http.request(method, f"/__emulator{path}", **({} if body is None else {"json": body}))
    assert reason in assert_error(answer, "control-invalid")["detail"]
    assert api.control("GET", "/clock") == {"mode": "frozen", "now": FROZEN_NOW, "speed": 0}
    assert api.item(f"/connections/{connection}")["id"] == connection


# --- a reset with a clock -----------------------------------------------------------------------------------------


def reset(api: Api, clock: Any) -> Any:
    return api.http.post("/__emulator/reset", json={"clock": clock})


def test_time_starts_in_the_past(api: Api) -> None:
    """The datasets begin there, too: the first export has as many rows as one at the usual start."""
    rows = []
    for now in (FROZEN_NOW, LONG_AGO):
        assert reset(api, {"now": now}).json() == {"status": "ok", "now": now}
        api.flow(S3, {"interval": 3, "timeUnit": "hour", "startTime": now + 60})
        (run,) = api.advance(60)
        assert run["scheduledAt"] == now + 60
        rows.append(sum(file["rows"] for file in api.control("GET", "/exports")["items"]))
    assert rows[0] == rows[1] > 0


@pytest.mark.parametrize("now", [0, LATEST_TIME])
def test_the_first_and_the_last_instant(api: Api, now: float) -> None:
    """Everything works at both ends of the clock: exports, credentials with an end, a dataset that is put there."""
    reset(api, {"now": now})
    flow = api.flow(S3, {"interval": 0, "timeUnit": "day", "startTime": int(now), "exportMode": "DAILY_FULL_EXPORT"})
    (run,) = api.advance(0)
    assert (run["flowId"], run["status"]) == (flow, "success")
    path = "/data/foundation/connectors/landingzone/credentials?type=dlz_destination"
    assert api.http.get(path).status_code == 200
    api.control("PUT", "/datasets/young", {"like": DATASET["dataSetId"], "rows": 10, "rowsPerHour": 1})
    api.control("DELETE", "/datasets/young")


def test_the_clock_that_is_told_can_be_sent_back(api: Api) -> None:
    for mode in ({"mode": "real"}, {"mode": "accelerated", "speed": 7}, {"mode": "frozen"}):
        told = api.control("PUT", "/clock", mode)
        sent = {"mode": told["mode"], "speed": told["speed"]}
        assert api.control("PUT", "/clock", sent)["speed"] == told["speed"]
        assert reset(api, sent).status_code == 200
        assert api.control("GET", "/clock")["speed"] == told["speed"]


def test_an_accelerated_server_keeps_its_own_speed(tmp_path: Path) -> None:
    """It is the mode that the server started with which counts, not the one that a request has set."""
    with serving(tmp_path, "--clock", "100") as process:
        api = Api(process.url)
        api.control("PUT", "/clock", {"mode": "frozen"})
        for clock in ({"mode": "accelerated"}, {"speed": 200}, {"now": LONG_AGO}):
            assert reset(api, clock).status_code == 200
            told = api.control("GET", "/clock")
            assert (told["mode"], told["speed"]) == ("accelerated", clock.get("speed", 100))
        api.close()


# --- organizations ------------------------------------------------------------------------------------------------


def test_an_advance_tells_of_one_organization_or_sandbox(api: Api, server: ServerProcess) -> None:
    """As the tests on a shared server ask it to, each for its own. What it does not tell is told to whoever asks for it."""
    schedule = {**EVERY_THREE_HOURS, "startTime": int(api.control("GET", "/clock")["now"]) + 60}
    one, two = Api(server.url, org="ONE@AdobeOrg"), Api(server.url, org="TWO@AdobeOrg", sandbox="dev")
    flows = [each.flow(S3, schedule) for each in (one, two)]

    def told(**body: Any) -> list[str]:
        return [run["flowId"] for run in api.control("POST", "/clock/advance", body)["runs"]]

    assert told(seconds=60, org="ONE@AdobeOrg") == flows[:1]
    assert told(seconds=3 * HOUR, org="ONE@AdobeOrg", sandbox="prod") == flows[:1]
    assert told(seconds=0, sandbox="other") == []
    assert told(seconds=0, org="TWO@AdobeOrg") == [flows[1], flows[1]]
    assert told(seconds=3 * HOUR) == flows
    assert told(seconds=0) == []
    every, theirs, ours, none = (
        {file["path"] for file in api.control("GET", "/exports", params=wanted)["items"]}
        for wanted in ({}, {"org": "TWO@AdobeOrg"}, {"sandbox": "prod"}, {"org": "ONE@AdobeOrg", "sandbox": "dev"})
    )
    assert every == theirs | ours and theirs and ours and not theirs & ours and not none
    one.close()
    two.close()


# --- a clock that runs, or that others move meanwhile -------------------------------------------------------------


@asynccontextmanager
async def exporting(folder: Path, *, max_exports: int = 1000) -> AsyncIterator[tuple[LocalEmulator, str]]:
    """An emulator with a flow that exports every three hours, and the flow's id."""
    async with LocalEmulator(Settings(export_dir=folder, max_exports=max_exports)) as emulator:
        await emulator.control("PUT", "/datasets/own", {"records": [{"n": 1}]})
        source, target = await emulator.source("own"), await emulator.target(S3)
        yield emulator, await emulator.created("flows", S3.flow(source, target, **EVERY_THREE_HOURS))


class HeldExports:
    """Every export waits in its thread until it is let go on."""

    def __init__(self) -> None:
        self._begun = threading.Event()
        self.go_on = threading.Event()

    async def until_begun(self) -> None:
        assert await asyncio.to_thread(self._begun.wait, 30)

    def write(self, *run: Any, **how: Any) -> None:
        self._begun.set()
        assert self.go_on.wait(30)
        WRITE(*run, **how)


WRITE = pieces.write


@pytest.fixture
def held_exports(monkeypatch: pytest.MonkeyPatch) -> Iterator[HeldExports]:
    held = HeldExports()
    monkeypatch.setattr(pieces, "write", held.write)
    monkeypatch.setattr(runner, "FEW_ROWS", -1)  # always in the worker thread
    yield held
    held.go_on.set()


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
async def test_a_running_clock_is_moved_and_frozen_or_goes_on(tmp_path: Path, running: Any) -> None:
    """At that very instant, after the exports on the way; what is refused leaves its mode."""
    async with exporting(tmp_path) as (emulator, _):
        later = FROZEN_NOW + 40 * DAY
        await emulator.control("PUT", "/clock", running)
        refused = await emulator.http.put("/__emulator/clock", json={"mode": "frozen", "now": later + 36_000 * DAY})
        assert "more than 1000 exports" in assert_error(refused, "control-invalid")["detail"]
        with full_disk():
            response = await emulator.http.put("/__emulator/clock", json={"mode": "frozen", "now": later})
        assert_error(response, "store-unavailable")
        present = await clock(emulator)
        assert present["mode"] == running["mode"] and present["now"] < later
        told = await emulator.control("PUT", "/clock", {"now": later})
        assert told["mode"] == running["mode"] and told["now"] >= later
        assert (await clock(emulator))["now"] > told["now"]
        told = await emulator.control("PUT", "/clock", {"mode": "frozen", "now": later + 40 * DAY})
        assert told == await clock(emulator) == {"mode": "frozen", "now": later + 40 * DAY, "speed": 0}
        assert (await emulator.http.get(f"{BASE}/runs?count=true")).json()["count"] == 80 * 8


async def test_a_reset_that_breaks_off_a_change_of_the_clock_has_the_last_word(
    tmp_path: Path, held_exports: HeldExports
) -> None:
    async with exporting(tmp_path) as (emulator, _):
        change = {"mode": "real", "now": FROZEN_NOW + DAY}
        changing = asyncio.create_task(emulator.http.put("/__emulator/clock", json=change))
        await held_exports.until_begun()
        resetting = asyncio.create_task(emulator.control("POST", "/reset"))
        await asyncio.sleep(0)
        advancing = asyncio.create_task(emulator.control("POST", "/clock/advance", {"seconds": 8 * HOUR}))
        assert (await clock(emulator)) == {"mode": "frozen", "now": FROZEN_NOW + 60, "speed": 0}
        held_exports.go_on.set()
        assert (await resetting)["now"] == FROZEN_NOW
        assert_error(await changing, "control-conflict")
        assert (await advancing)["now"] == FROZEN_NOW + 8 * HOUR
        assert (await clock(emulator)) == {"mode": "frozen", "now": FROZEN_NOW + 8 * HOUR, "speed": 0}


async def test_advances_at_once_add_up(tmp_path: Path) -> None:
    """One to an instant that has become the past meanwhile is refused."""
    async with exporting(tmp_path) as (emulator, _):
        answers = [asyncio.create_task(emulator.advance(DAY)) for _ in range(8)]
        await asyncio.sleep(0)
        late = await emulator.http.post("/__emulator/clock/advance", json={"to": FROZEN_NOW + DAY})
        assert "time cannot go backwards" in assert_error(late, "control-invalid")["detail"]
        assert [len(await runs) for runs in answers] == [8] * 8
        assert (await clock(emulator))["now"] == FROZEN_NOW + 8 * DAY


@pytest.mark.parametrize("way_out", ["reset", "delete"])
async def test_too_large_a_backlog_is_named_and_left(tmp_path: Path, held_exports: HeldExports, way_out: str) -> None:
    """An accelerated clock waits for its exports: it would leave behind any number of them. Real time does not."""
    async with exporting(tmp_path, max_exports=10) as (emulator, flow):
        await emulator.control("PUT", "/clock", {"mode": "accelerated", "speed": 1e9})
        await held_exports.until_begun()
        present = await clock(emulator)
        assert await clock(emulator) == present
        await emulator.control("PUT", "/clock", {"mode": "frozen"})
        emulator.clock.move_to(present["now"] + 365 * DAY)
        for method, path, body in (
            ("POST", "/clock/advance", {"seconds": 0}),
            ("PUT", "/clock", {"now": present["now"] + 366 * DAY}),
        ):
            refused = await emulator.http.request(method, f"/__emulator{path}", json=body)
            assert "more than 10 exports" in assert_error(refused, "control-invalid")["detail"]
        call = {"reset": ("POST", "/__emulator/reset"), "delete": ("DELETE", f"{BASE}/flows/{flow}")}[way_out]
        leaving = asyncio.create_task(emulator.http.request(*call))
        await clock(emulator)
        held_exports.go_on.set()
        assert (await leaving).is_success
        await emulator.advance(0)
