"""`POST /__emulator/reset` with a clock in its body, and what the pytest plugin needs beside it."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import pytest

from contract_tests.support import FROZEN_NOW, Api, ServerProcess, assert_error, serving
from contract_tests.tutorial import DATASET, S3
from flow_service_emulator.clock import Clock
from flow_service_emulator.settings import LATEST_TIME, environment_of_tests

LONG_AGO = 1_675_900_800
"""2023-02-09T00:00:00Z."""


def reset(api: Api, clock: Any) -> Any:
    return api.http.post("/__emulator/reset", json={"clock": clock})


def test_time_starts_in_the_past(api: Api) -> None:
    """The datasets begin there, too: the first export has as many rows as one at the usual start."""
    rows = []
    for now in (FROZEN_NOW, LONG_AGO):
        assert reset(api, {"now": now}).json() == {"status": "ok", "now": now}
        assert api.control("GET", "/clock")["mode"] == "frozen"
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


def test_mode_and_speed(api: Api) -> None:
    assert reset(api, {"mode": "accelerated", "speed": 1000, "now": LONG_AGO}).status_code == 200
    clock = api.control("GET", "/clock")
    assert (clock["mode"], clock["speed"]) == ("accelerated", 1000)
    assert LONG_AGO <= clock["now"] < LONG_AGO + 60_000


def test_the_speed_that_is_told_can_be_sent_back(api: Api) -> None:
    for mode, speed in (("frozen", 0), ("real", 1)):
        assert reset(api, {"mode": mode, "speed": speed}).status_code == 200
        assert api.control("GET", "/clock")["speed"] == speed


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


@pytest.mark.parametrize("body", [None, {}, {"clock": {}}])
def test_without_a_word_it_starts_as_the_server_did(api: Api, body: Any) -> None:
    reset(api, {"now": LONG_AGO, "mode": "real"})
    api.control("POST", "/reset", body)
    clock = api.control("GET", "/clock")
    assert (clock["mode"], clock["now"]) == ("frozen", FROZEN_NOW)


@pytest.mark.parametrize(
    ("clock", "word"),
    [
        (5, "clock"),
        (None, "clock"),
        ({"mode": "slow"}, "mode"),
        ({"mode": None}, "mode"),
        ({"now": -1}, "now"),
        ({"now": "soon"}, "now"),
        ({"now": "2026-02-30"}, "now"),
        ({"now": "9" * 400}, "now"),
        ({"now": "nan"}, "now"),
        ({"now": True}, "now"),
        ({"now": 1e30}, "now"),
        ({"mode": "accelerated", "speed": 0}, "speed"),
        ({"speed": 1e10}, "speed"),
        ({"speed": 100}, "speed"),
        ({"mode": "frozen", "speed": 5}, "speed"),
        ({"mode": "real", "speed": 100}, "speed"),
        ({"mode": "accelerated"}, "speed"),
        ({"at": 5}, "at"),
    ],
)
def test_a_clock_that_cannot_be_leaves_all_as_it_is(api: Api, clock: Any, word: str) -> None:
    connection = api.created("connections", S3.base_connection())
    report = assert_error(reset(api, clock), "control-invalid")
    assert f'"{word}"' in report["detail"]
    assert api.item(f"/connections/{connection}")["id"] == connection
    assert api.control("GET", "/clock")["now"] == FROZEN_NOW


@pytest.mark.parametrize(
    "text", ["2026-01-01T01:00:00Z", "2026-01-01T02:00:00+01:00", "2026-01-01T01:00", "1767229200"]
)
def test_time_in_iso_8601(api: Api, text: str) -> None:
    """Wherever a control call takes a time; UTC where the text names no zone."""
    assert api.control("POST", "/clock/advance", {"to": text})["now"] == FROZEN_NOW + 3600
    assert api.control("PUT", "/clock", {"now": text})["now"] == FROZEN_NOW + 3600
    assert reset(api, {"now": text}).json()["now"] == FROZEN_NOW + 3600


@pytest.mark.parametrize(
    ("method", "path", "body", "reason"),
    [
        ("POST", "/clock/advance", None, 'a body is needed, such as {"seconds": 10800}'),
        ("POST", "/clock/advance", {"seconds": -1}, "time cannot go backwards"),
        ("POST", "/clock/advance", {"to": "soon"}, '"to" must be a time: epoch seconds'),
        ("POST", "/clock/advance", {"to": "2025-01-01"}, "time cannot go backwards"),
        ("POST", "/clock/advance", {"to": [1]}, '"to" must be a time: epoch seconds'),
        ("PUT", "/clock", {"mode": "frozen", "speed": 5}, '"speed" goes with "mode": "accelerated"'),
        ("PUT", "/clock", {"speed": 5}, '"speed" goes with "mode": "accelerated"'),
        ("PUT", "/clock", {"mode": "accelerated"}, '"speed" is needed'),
        ("POST", "/reset?export=true", None, '"export" is unknown; known are exports, keep'),
    ],
)
def test_what_would_not_be_heard_is_refused(api: Api, method: str, path: str, body: Any, reason: str) -> None:
    answer = (
        api.http.request(method, f"/__emulator{path}", json=body)
        if body
        else api.http.request(method, f"/__emulator{path}")
    )
    assert reason in assert_error(answer, "control-invalid")["detail"]
    assert api.control("GET", "/clock") == {"mode": "frozen", "now": FROZEN_NOW, "speed": 0}


def test_the_clock_that_is_told_can_be_sent_back(api: Api) -> None:
    for mode in ({"mode": "real"}, {"mode": "accelerated", "speed": 7}, {"mode": "frozen"}):
        told = api.control("PUT", "/clock", mode)
        assert api.control("PUT", "/clock", {"mode": told["mode"], "speed": told["speed"]})["speed"] == told["speed"]


def test_a_clock_set_off_keeps_what_is_not_named() -> None:
    clock = Clock("frozen", now=100.0, wall=lambda: 0.0, ticks=lambda: 0.0)
    clock.set_off({"now": 5})
    assert (clock.mode, clock.now()) == ("frozen", 5)
    clock.set_off({"mode": "accelerated", "speed": math.e})
    assert (clock.mode, clock.now(), clock.speed) == ("accelerated", 5, math.e)


def test_exports_of_an_organization_and_a_sandbox(api: Api, server: ServerProcess) -> None:
    other = Api(server.url, org="OTHER@AdobeOrg", sandbox="dev")
    for client in (api, other):
        client.flow(S3, {"interval": 3, "timeUnit": "hour", "startTime": FROZEN_NOW + 60})
    api.advance(60)
    every = api.control("GET", "/exports")["items"]
    theirs = api.control("GET", "/exports", params={"org": "OTHER@AdobeOrg"})["items"]
    ours = api.control("GET", "/exports", params={"org": "TEST@AdobeOrg", "sandbox": "prod"})["items"]
    assert len(theirs) == len(ours) >= 1 and {file["run"] for file in theirs}.isdisjoint(file["run"] for file in ours)
    assert sorted(file["path"] for file in every) == sorted(file["path"] for file in theirs + ours)
    assert theirs == api.control("GET", "/exports", params={"sandbox": "dev"})["items"]
    assert api.control("GET", "/exports", params={"org": "TEST@AdobeOrg", "sandbox": "dev"})["items"] == []
    other.close()


def test_a_test_run_s_server_is_given_no_settings_by_the_environment() -> None:
    assert environment_of_tests({"PATH": "/bin", "FLOW_EMULATOR_DATA_DIR": "/production"}) == {"PATH": "/bin"}
