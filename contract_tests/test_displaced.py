"""A data folder that is deleted, moved or replaced while the server runs: every change is refused with the reason, none is lost.

What is written to a file that was opened before arrives there, and nobody ever finds it; so it must not be answered 201.
"""

from __future__ import annotations

import shutil
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from contract_tests.support import Api, assert_error, serving
from contract_tests.tutorial import S3, SOURCE_CONNECTION

if sys.platform == "win32":
    pytest.skip("Windows lets nobody move or delete a file that is open", allow_module_level=True)


def delete(data: Path) -> None:
    shutil.rmtree(data)


def move(data: Path) -> None:
    data.rename(data.with_name("elsewhere"))


def put_another_folder(data: Path) -> None:
    move(data)
    shutil.copytree(data.with_name("elsewhere"), data)


def put_another_log(data: Path) -> None:
    shutil.copy(data / "entities.log", data / "copy")
    (data / "copy").replace(data / "entities.log")


def put_a_folder_for_the_log(data: Path) -> None:
    (data / "entities.log").rename(data / "was")
    (data / "entities.log").mkdir()


def empty_the_log(data: Path) -> None:
    (data / "entities.log").write_bytes(b"")


WAYS = {
    delete: "removed or moved",
    move: "removed or moved",
    put_another_folder: "replaced by another file",
    put_another_log: "replaced by another file",
    put_a_folder_for_the_log: "",
    empty_the_log: "changed by another program",
}


CASES = [
    pytest.param(way, told, fresh, id=f"{way.__name__}-{'just-opened' if fresh else 'written-to'}")
    for way, told in WAYS.items()
    for fresh in (False, True)
    if not (way is put_another_log and fresh)  # The copy of a log that has not been written to is as good as the log.
]


@pytest.mark.parametrize(("displace", "told", "fresh"), CASES)
def test_no_change_is_taken_that_nobody_would_find(
    tmp_path: Path, displace: Callable[[Path], None], told: str, fresh: bool
) -> None:
    """`fresh` is a server that has written nothing yet, and so has not opened the log to write to it."""
    data = tmp_path / "data"
    if fresh:
        with serving(tmp_path / "first", "--data-dir", str(data)):
            pass
    with serving(tmp_path, "--data-dir", str(data)) as process:
        api = Api(process.url)
        if not fresh:
            schedule = {"interval": 3, "timeUnit": "hour", "startTime": int(api.control("GET", "/clock")["now"]) + 60}
            api.flow(S3, schedule)
        state = api.control("GET", "/state")
        displace(data)
        refused = [
            api.post("/sourceConnections", SOURCE_CONNECTION),
            api.http.post("/__emulator/clock/advance", json={"seconds": 7200}),
            api.http.post("/__emulator/reset"),
            api.http.put("/__emulator/state", json=state),
        ]
        for answer in refused:
            assert_error(answer, "store-unavailable")
            assert told in answer.json()["detail"]
        left = api.control("GET", "/state")
        assert left["store"]["tables"] == state["store"]["tables"]
        assert left["clock"] == state["clock"]
        api.close()


def test_it_goes_on_where_the_folder_is_put_back(tmp_path: Path) -> None:
    data = tmp_path / "data"
    with serving(tmp_path, "--data-dir", str(data)) as process:
        api = Api(process.url)
        kept = [api.created("sourceConnections", SOURCE_CONNECTION)]
        move(data)
        assert_error(api.post("/sourceConnections", SOURCE_CONNECTION), "store-unavailable")
        data.with_name("elsewhere").rename(data)
        kept.append(api.created("sourceConnections", SOURCE_CONNECTION))
        api.close()
    with serving(tmp_path, "--data-dir", str(data)) as process:
        api = Api(process.url)
        assert [item["id"] for item in api.items("/sourceConnections")] == kept[::-1]
        api.close()


def test_a_server_on_the_old_path_loses_nothing(tmp_path: Path) -> None:
    data = tmp_path / "data"
    with serving(tmp_path / "one", "--data-dir", str(data)) as one:
        first = Api(one.url)
        own = first.created("sourceConnections", SOURCE_CONNECTION)
        move(data)
        with serving(tmp_path / "other", "--data-dir", str(data)) as other:
            second = Api(other.url)
            kept = [second.created("sourceConnections", SOURCE_CONNECTION)]
            assert_error(first.http.post("/__emulator/reset"), "store-unavailable")
            assert_error(first.post("/sourceConnections", SOURCE_CONNECTION), "store-unavailable")
            kept.append(second.created("sourceConnections", SOURCE_CONNECTION))
            second.close()
        first.close()
    for folder, there in ((data, kept[::-1]), (data.with_name("elsewhere"), [own])):
        with serving(tmp_path, "--data-dir", str(folder)) as process:
            api = Api(process.url)
            assert [item["id"] for item in api.items("/sourceConnections")] == there
            api.close()


def test_two_servers_that_got_into_one_folder_lose_nothing(tmp_path: Path) -> None:
    """The lock was deleted. The first one to write goes on, the other one is told."""
    data = tmp_path / "data"
    with serving(tmp_path / "one", "--data-dir", str(data)) as one:
        first = Api(one.url)
        kept = [first.created("sourceConnections", SOURCE_CONNECTION)]
        (data / "lock").unlink()
        assert_error(first.http.post("/__emulator/reset"), "store-unavailable")
        with serving(tmp_path / "other", "--data-dir", str(data)) as other:
            second = Api(other.url)
            kept.append(second.created("sourceConnections", SOURCE_CONNECTION))
            assert_error(first.post("/sourceConnections", SOURCE_CONNECTION), "store-unavailable")
            assert_error(first.http.post("/__emulator/reset"), "store-unavailable")
            kept.append(second.created("sourceConnections", SOURCE_CONNECTION))
            second.close()
        first.close()
    with serving(tmp_path, "--data-dir", str(data)) as process:
        api = Api(process.url)
        assert [item["id"] for item in api.items("/sourceConnections")] == kept[::-1]
        api.close()
