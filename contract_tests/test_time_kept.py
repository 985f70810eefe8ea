"""A data folder keeps time: a server that starts again goes on where it was, and exports nothing twice."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from contract_tests.support import FROZEN_NOW, Api, ServerProcess, serving
from contract_tests.tutorial import S3

HOUR = 3600
EVERY_THREE_HOURS = {"interval": 3, "timeUnit": "hour", "startTime": FROZEN_NOW + 60}


@contextmanager
def started(folder: Path, *flags: str) -> Iterator[tuple[Api, ServerProcess]]:
    """A server with the folder's data and exports, and a client of it."""
    data, exports = folder / "data", folder / "exports"
    with serving(folder / "server", "--data-dir", str(data), *flags, export_dir=exports) as process:
        api = Api(process.url)
        with api.http:
            yield api, process


def manifests(folder: Path) -> list[Path]:
    return sorted((folder / "exports").rglob("manifest-*.json"))


def test_a_frozen_clock_goes_on_where_it_was(tmp_path: Path) -> None:
    """The same command again: the time that was reached stands, although `--now` names an earlier one."""
    with started(tmp_path) as (api, _):
        api.flow(S3, EVERY_THREE_HOURS)
        assert len(api.advance(HOUR)) == 1
    with started(tmp_path) as (api, _):
        assert api.control("GET", "/clock") == {"mode": "frozen", "now": FROZEN_NOW + HOUR, "speed": 0}
        assert [run["scheduledAt"] for run in api.advance(4 * HOUR)] == [FROZEN_NOW + 60 + 3 * HOUR]
    assert len(manifests(tmp_path)) == 2


def test_without_a_start_time_a_frozen_clock_stood_still_meanwhile(tmp_path: Path) -> None:
    with started(tmp_path, "--clock", "frozen") as (api, _):
        now = api.control("GET", "/clock")["now"]
        api.control("POST", "/clock/advance", {"seconds": 5})
    with started(tmp_path, "--clock", "frozen") as (api, _):
        assert api.control("GET", "/clock")["now"] == now + 5


def test_a_later_start_time_is_taken(tmp_path: Path) -> None:
    with started(tmp_path) as (api, _):
        api.advance(HOUR)
    with started(tmp_path, "--clock", "frozen", "--now", str(FROZEN_NOW + 9 * HOUR)) as (api, _):
        assert api.control("GET", "/clock")["now"] == FROZEN_NOW + 9 * HOUR


def test_real_time_that_was_moved_ahead_does_not_fall_back(tmp_path: Path) -> None:
    with started(tmp_path, "--clock", "real") as (api, _):
        ahead = api.control("POST", "/clock/advance", {"seconds": 24 * HOUR})["now"]
    with started(tmp_path, "--clock", "real") as (api, _):
        assert api.control("GET", "/clock")["now"] >= ahead


def test_a_kill_after_an_advance_loses_no_time(tmp_path: Path) -> None:
    with started(tmp_path) as (api, process):
        api.advance(HOUR)
        process.stop(signal.SIGKILL)
    with started(tmp_path) as (api, _):
        assert api.control("GET", "/clock")["now"] == FROZEN_NOW + HOUR


def test_a_reset_begins_anew_for_good(tmp_path: Path) -> None:
    with started(tmp_path) as (api, _):
        api.advance(HOUR)
        api.control("POST", "/reset")
    with started(tmp_path) as (api, _):
        assert api.control("GET", "/clock")["now"] == FROZEN_NOW


def test_an_instant_that_was_exported_for_is_not_exported_for_again(tmp_path: Path) -> None:
    """Whatever the clock says: a snapshot can be put back into a server whose time is earlier."""
    with started(tmp_path) as (api, _):
        api.flow(S3, EVERY_THREE_HOURS)
        api.advance(HOUR)
        state = api.control("GET", "/state")
        state["clock"]["now"] = FROZEN_NOW
        api.control("PUT", "/state", state)
        assert [run["scheduledAt"] for run in api.advance(4 * HOUR)] == [FROZEN_NOW + 60 + 3 * HOUR]
