"""A full disk: a clear answer for the write, reads go on, and with room again so do writes.

The disk is full by a limit on the size of files, which Linux can set for a running process; a write beyond it fails as one to
a full disk does, after a part of it was written.
"""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from contract_tests.support import ServerProcess, assert_error, started
from contract_tests.tutorial import S3, SOURCE_CONNECTION

if sys.platform != "linux":
    pytest.skip("only Linux can limit a running process", allow_module_level=True)

import resource


def limit_files(process: ServerProcess, size: int | None) -> None:
    """Lets no file of the server's grow beyond `size` bytes; None lifts the limit."""
    _, most = resource.prlimit(process.process.pid, resource.RLIMIT_FSIZE)
    resource.prlimit(process.process.pid, resource.RLIMIT_FSIZE, (most if size is None else size, most))


def test_a_full_disk_refuses_writes_and_nothing_else(tmp_path: Path) -> None:
    log = tmp_path / "data" / "entities.log"
    with started(tmp_path, "data") as (api, process):
        kept = [api.created("sourceConnections", SOURCE_CONNECTION) for _ in range(5)]
        before = api.item(f"/sourceConnections/{kept[0]}")
        whole = log.read_bytes()

        limit_files(process, len(whole) + 100)
        for _ in range(3):
            assert_error(api.post("/sourceConnections", SOURCE_CONNECTION), "store-unavailable")
            change = [{"op": "replace", "path": "/name", "value": "another name"}]
            assert_error(api.patch(f"/sourceConnections/{kept[0]}", before["etag"], change), "store-unavailable")
        assert api.item(f"/sourceConnections/{kept[0]}") == before
        assert {item["id"] for item in api.items("/sourceConnections")} == set(kept)
        assert log.read_bytes() == whole

        limit_files(process, None)
        kept.append(api.created("sourceConnections", SOURCE_CONNECTION))
    with started(tmp_path, "data") as (api, process):
        assert {item["id"] for item in api.items("/sourceConnections")} == set(kept)


def test_an_export_to_a_full_disk_fails_and_the_next_one_does_not(tmp_path: Path) -> None:
    with started(tmp_path) as (api, process):
        now = int(api.control("GET", "/clock")["now"])
        flow = api.flow(S3, {"interval": 3, "timeUnit": "hour", "startTime": now})
        limit_files(process, 2000)
        (failed,) = api.advance(10800)[-1:]
        assert failed["status"] == "failed"
        assert list(process.export_dir.rglob("part-*")) == []
        assert list(process.export_dir.rglob("*.unfinished")) == []
        limit_files(process, None)
        (done,) = api.advance(10800)[-1:]
        assert (done["flowId"], done["status"]) == (flow, "success")
        assert list(process.export_dir.rglob("part-*")) != []


def test_exports_that_the_full_data_folder_put_off_are_made_up_for(tmp_path: Path) -> None:
    log = tmp_path / "data" / "entities.log"
    with started(tmp_path, "data") as (api, process):
        now = int(api.control("GET", "/clock")["now"])
        flow = api.flow(S3, {"interval": 3, "timeUnit": "hour", "startTime": now + 60})
        limit_files(process, log.stat().st_size + 50)
        assert_error(api.post("/runs", {"flowId": flow}), "store-unavailable")
        for room in range(50, 20_000, 400):  # none for the first record of the run; then none for its last
            limit_files(process, log.stat().st_size + room)
            response = api.http.post("/__emulator/clock/advance", json={"seconds": 60})
            assert_error(response, "store-unavailable")
            if b"inProgress" in log.read_bytes():
                break
        limit_files(process, None)
        runs = api.advance(3 * 3600)
        assert [run["scheduledAt"] for run in runs] == [now + 60, now + 60 + 3 * 3600]
        assert {run["status"] for run in runs} == {"success"}
        assert {run["id"] for run in runs} == {run["id"] for run in api.items("/runs")}
        assert api.control("GET", "/exports")["items"] != []


def test_a_change_of_time_or_of_everything_that_cannot_be_written_is_not_made(tmp_path: Path) -> None:
    """Its refusal says that the change was not made: so time stands where it was, and all entities are there."""
    with started(tmp_path, "data") as (api, process):
        api.flow(S3, {"interval": 3, "timeUnit": "hour", "startTime": int(api.control("GET", "/clock")["now"]) + 3600})
        api.advance(60)
        state = api.control("GET", "/state")
        past = {**state, "clock": {**state["clock"], "now": state["clock"]["now"] - 30}}
        calls = [
            ("PUT", "/clock", {"mode": "accelerated", "speed": 60}),
            ("PUT", "/clock", {"now": state["clock"]["now"] + 60}),
            ("POST", "/clock/advance", {"seconds": 60}),
            ("POST", "/clock/advance", {"seconds": 7200}),
            ("POST", "/reset", {"clock": {"now": 1_700_000_000}}),
            ("POST", "/reset?keep=store", {"clock": {"now": 1_700_000_000}}),
            ("PUT", "/state", past),
        ]
        for method, path, body in calls:
            limit_files(process, 20)
            response = api.http.request(method, f"/__emulator{path}", json=body)
            assert_error(response, "store-unavailable")
            assert api.control("GET", "/clock") == state["clock"]
            assert api.control("GET", "/state")["store"]["tables"] == state["store"]["tables"]
        limit_files(process, None)
        api.control("POST", "/reset")
        assert api.items("/flows") == []


def test_a_reset_is_made_or_refused_however_much_room_there_is(tmp_path: Path) -> None:
    """Also when there is room for the reset itself and not for what is kept of the files with datasets."""
    log, fixtures = tmp_path / "data" / "entities.log", tmp_path / "fixtures"
    (fixtures / "datasets").mkdir(parents=True)
    for number in range(6):
        (fixtures / "datasets" / f"records{number}.ndjson").write_text('{"a": 1}\n' * 50)
    with started(tmp_path, "data", "--fixtures", str(fixtures)) as (api, process):
        api.items("/connectionSpecs")
        api.control("GET", "/datasets/records0")
        made = 0
        for room in range(50, 2500, 150):
            limit_files(process, None)
            connection = api.created("connections", S3.base_connection())
            api.advance(60)
            now = api.control("GET", "/clock")["now"]
            limit_files(process, room)
            response = api.http.post("/__emulator/reset")
            if response.status_code == 200:
                made += 1
                assert api.items("/connections") == []
                assert api.control("GET", "/clock")["now"] < now
            else:
                assert_error(response, "store-unavailable")
                assert api.item(f"/connections/{connection}")["id"] == connection
                assert api.control("GET", "/clock")["now"] == now
            assert api.control("GET", "/datasets/records0")["rows"] == 50
        assert 0 < made < 17
        limit_files(process, None)
        assert api.control("GET", "/datasets/records0")["rows"] == 50
        assert b"dataset/records5" in log.read_bytes()
