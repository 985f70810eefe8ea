"""What is called after each export: a command or an address, which decides with it how the run ends."""

from __future__ import annotations

import asyncio
import json
import os
import shlex
import socket
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from threading import Thread
from typing import Any

import pytest

from contract_tests.support import FROZEN_NOW, Api, ServerProcess, assert_error, serving, started
from contract_tests.tutorial import FIRST_DATASET, S3, SECOND_DATASET
from flow_service_emulator.exports.after_export import AfterExport
from flow_service_emulator.settings import read_settings
from flow_service_emulator.testing import FlowService, FlowServiceError, FlowServiceServer
from flow_service_emulator.testing.exported import file_rows

TOLD: dict[str, Any] = {
    "runId": "r-1",
    "dir": "/exports",
    "scheduledAt": 1767225600,
    "files": [{"path": "sftp/a b=ü.json"}, {"path": "sftp/2.json"}],
    "run": {"id": "r-1"},
}


def call(*words: str) -> tuple[bool, str]:
    return asyncio.run(AfterExport(words, 30).tell(TOLD))


def gone(pid: Path) -> bool:
    """Whether the process with the id in a file has ended; it is given a moment for that."""
    stat = Path(f"/proc/{int(pid.read_text())}/stat")
    for _ in range(500):
        if not stat.exists() or stat.read_text().split()[2] == "Z":
            return True
        time.sleep(0.02)
    return False


def test_a_command_gets_the_run_in_three_ways(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As JSON, as variables, and where its words ask for it; the server's own settings it does not get."""
    monkeypatch.setenv("FLOW_EMULATOR_DATA_DIR", "/production")
    monkeypatch.setenv("CONSUMER_KEY", "test")
    script = tmp_path / "call.py"
    script.write_text(
        "import json, os, sys\n"
        "told = json.load(sys.stdin)\n"
        "assert told['run'] == {'id': 'r-1'}, told\n"
        "own = {name: value for name, value in os.environ.items() if name.startswith(('EXPORT_', 'FLOW_', 'CONSUMER_'))}\n"
        "print(json.dumps([sys.argv[1:], own]))\n"
    )
    ok, answer = call(sys.executable, str(script), "{dir}/sftp", "{runId}", "{unknown} ${dir}", "*")
    assert ok, answer
    variables = {
        "EXPORT_RUN_ID": "r-1",
        "EXPORT_DIR": "/exports",
        "EXPORT_SCHEDULED_AT": "1767225600",
        "EXPORT_FILES": "sftp/a b=ü.json\nsftp/2.json",
        "CONSUMER_KEY": "test",
    }
    status, _, said = answer.partition(": ")
    assert status == "exit status 0"
    assert json.loads(said) == [["/exports/sftp", "r-1", "{unknown} $/exports", "*"], variables]


@pytest.mark.parametrize(
    ("script", "answer"),
    [
        ("exit 0", "exit status 0"),
        ("echo one; echo two >&2; echo; exit 3", "exit status 3: two"),
        ("kill -9 $$", "ended by signal 9"),
        ("printf 'a\\377b' ; exit 1", "exit status 1: a�b"),
        # what a command leaves running is not waited for
        ("sleep 60 & exit 0", "exit status 0"),
    ],
)
def test_how_a_command_ends(script: str, answer: str) -> None:
    assert call("sh", "-c", script) == (answer == "exit status 0", answer)


def test_a_call_that_is_ended_leaves_nothing_running(tmp_path: Path) -> None:
    pid = tmp_path / "pid"

    async def ended() -> None:
        calling = asyncio.create_task(AfterExport(("sh", "-c", f"sleep 60 & echo $! > {pid}; wait"), 30).tell(TOLD))
        while not (pid.exists() and pid.read_text().endswith("\n")):
            await asyncio.sleep(0.02)
        calling.cancel()
        await calling

    with pytest.raises(asyncio.CancelledError):
        asyncio.run(ended())
    assert gone(pid)


def test_a_command_that_cannot_be_started(tmp_path: Path) -> None:
    script = tmp_path / "no-program"
    script.write_text("data")
    script.chmod(0o755)
    assert call(str(tmp_path / "gone")) == (False, os.strerror(2))
    assert call(str(script)) == (False, os.strerror(8))


@pytest.fixture
def answering() -> Iterator[Callable[[bytes], str]]:
    """Makes an address that answers a request with these bytes and hangs up; empty bytes for none."""
    sockets: list[socket.socket] = []
    threads: list[Thread] = []

    def address(answer: bytes) -> str:
        listener = socket.create_server(("127.0.0.1", 0))
        sockets.append(listener)

        def serve() -> None:
            connection, _ = listener.accept()
            with connection:
                request = b""
                while b'"run":{"id":"r-1"}}' not in request:
                    request += connection.recv(65_536)
                sockets.append(connection)
                requests.append(request)
                connection.sendall(answer)

        threads.append(Thread(target=serve, daemon=True))
        threads[-1].start()
        return f"http://127.0.0.1:{listener.getsockname()[1]}/exported?to=me"

    requests: list[bytes] = []
    yield address
    for listener in sockets:
        listener.close()
    for thread in threads:
        thread.join(10)
    for request in requests:
        assert request.startswith(b"POST /exported?to=me HTTP/1.1\r\nhost: 127.0.0.1:")
        assert b"\r\ncontent-type: application/json\r\n" in request


@pytest.mark.parametrize(
    ("sent", "answer"),
    [
        (b"HTTP/1.1 204 No Content\r\n\r\n", "HTTP 204"),
        (b"HTTP/1.0 200 OK\r\n\r\nstored\n", "HTTP 200: stored"),
        (b"HTTP/1.1 200 OK\r\ncontent-length: 3\r\nconnection: close\r\n\r\nabc", "HTTP 200: abc"),
        (b'HTTP/1.1 500 Oops\r\ncontent-length: 99\r\n\r\n{\n  "why": "full"\n}', 'HTTP 500: { "why": "full" }'),
        (b"HTTP/1.1 302 Found\r\nlocation: /\r\ncontent-length: 0\r\n\r\n", "HTTP 302"),
        (b"SSH-2.0-OpenSSH_9.2\r\n", "what answers there does not speak HTTP"),
        (b"", "it hung up without an answer"),
    ],
)
def test_what_an_address_answers(sent: bytes, answer: str, answering: Callable[[bytes], str]) -> None:
    assert call(answering(sent)) == (answer.startswith("HTTP 20"), answer)


def test_an_address_where_nobody_listens() -> None:
    with socket.create_server(("127.0.0.1", 0)) as closed:
        port = closed.getsockname()[1]
    assert call(f"http://127.0.0.1:{port}/") == (False, f"Connect call failed ('127.0.0.1', {port})")


@pytest.mark.parametrize(
    ("given", "reason"),
    [
        ("https://example.org/x", "an address such as http://127.0.0.1:9000/exported is needed"),
        ("http:///x", "an address such as"),
        ("http://127.0.0.1:99999/", "Port out of range"),
        ("ftp://127.0.0.1/", "an address such as"),
        (
            "no-such-command --flag",
            "a command or an http:// address is needed, and there is no command 'no-such-command'",
        ),
        ("sh -c 'exit", "No closing quotation"),
        ("  ", "a command or an http:// address is needed, got"),
    ],
)
def test_what_cannot_be_called_is_said_at_the_start(given: str, reason: str) -> None:
    with pytest.raises(ValueError, match="--after-export") as raised:
        read_settings({"after_export": given}, {})
    assert reason in str(raised.value)


def test_what_can_be_called() -> None:
    assert read_settings({"after_export": "sh -c 'a b' {dir}"}, {}).after_export == ("sh", "-c", "a b", "{dir}")
    assert read_settings({}, {"FLOW_EMULATOR_AFTER_EXPORT": "http://h/x?y"}).after_export == ("http://h/x?y",)


# --- with a server


def commanded(folder: Path, script: str) -> str:
    """A command that runs a script in Python."""
    (folder / "call.py").write_text(script)
    return shlex.join([sys.executable, str(folder / "call.py")])


COLLECT = """
import json, os, pathlib, sys
told = json.load(sys.stdin)
with open(os.environ["TOLD"], "a") as collected:
    print(json.dumps(told), file=collected)
there = [(pathlib.Path(told["dir"]) / path).is_file() for path in os.environ["EXPORT_FILES"].split("\\n") if path]
print("files:", there)
sys.exit(pathlib.Path(os.environ["TOLD"]).with_name("fails").exists() and "the bucket is full")
"""


def test_a_run_ends_when_the_call_has_ended_and_fails_with_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The failed run's files are gone, and the next export has its rows."""
    monkeypatch.setenv("TOLD", str(tmp_path / "told"))
    with serving(tmp_path, "--after-export", commanded(tmp_path, COLLECT)) as server:
        api = Api(server.url)
        schedule = {"interval": 3, "timeUnit": "hour", "startTime": FROZEN_NOW + 60}
        flow_id = api.flow(S3, schedule, datasets=[FIRST_DATASET, SECOND_DATASET])
        (first,) = api.advance(120)
        (told,) = map(json.loads, (tmp_path / "told").read_text().splitlines())
        record = api.item(f"/runs/{first['id']}")
        listed = api.control("GET", "/exports")
        folder = "amazon-s3/your-bucket-name/folder/subfolder"
        assert told == {
            "runId": first["id"],
            "flowId": flow_id,
            "org": api.org,
            "sandbox": "prod",
            "status": "success",
            "scheduledAt": FROZEN_NOW + 60,
            "destination": "amazon-s3",
            "container": "your-bucket-name",
            "folder": folder,
            "dir": str(server.export_dir.resolve()),
            "files": [{name: file[name] for name in ("path", "size", "rows", "dataset")} for file in listed["items"]],
            "manifests": told["manifests"],
            "run": record,
        }
        assert len(told["files"]) == len(told["manifests"]) == 2
        manifests = {str(path.relative_to(server.export_dir)) for path in server.export_dir.rglob("manifest-*")}
        assert {each["path"] for each in told["manifests"]} == manifests
        (call,) = listed["calls"]
        assert call["answer"] == "exit status 0: files: [True, True]"
        assert (call["run"], call["flow"], call["ok"]) == (first["id"], flow_id, True)
        assert api.control("GET", "/exports", params={"run": "other"})["calls"] == []

        (tmp_path / "fails").touch()
        (second,) = api.advance(3 * 3600)
        assert (second["status"], second["error"].rpartition(": ")[2]) == ("failed", "the bucket is full")
        record = api.item(f"/runs/{second['id']}")
        problem = "Job aborted. The call after the export failed: exit status 1: the bucket is full"
        assert record["metrics"]["statusSummary"]["errors"] == [
            {"code": "ACTIVATION_BATCH-0000-FAILED", "message": problem}
        ]
        assert "outputRecordCount" not in record["metrics"]["recordSummary"]
        assert not [path for path in server.export_dir.rglob("*") if second["id"] in path.name]
        told = json.loads((tmp_path / "told").read_text().splitlines()[-1])
        lost = sum(file["rows"] for file in told["files"])
        overview = {run["id"]: run["call"] for run in api.control("GET", "/overview")["runs"]}
        assert overview[first["id"]]["answer"] == call["answer"]
        assert overview[second["id"]]["ok"] is False

        (tmp_path / "fails").unlink()
        (third,) = api.advance(3 * 3600)
        told = json.loads((tmp_path / "told").read_text().splitlines()[-1])
        assert third["status"] == told["status"] == "success"
        assert sum(file["rows"] for file in told["files"]) > lost > 0

        # a run that had failed before is told of as well
        api.control("POST", "/faults", {"kind": "run"})
        (fourth,) = api.advance(3 * 3600)
        told = json.loads((tmp_path / "told").read_text().splitlines()[-1])
        assert fourth["status"] == told["status"] == "failed" and told["files"] == [] and told["folder"] == folder
        api.close()
    log = server.log.read_text()
    assert f"after run {second['id']}: " in log and "exit status 1: the bucket is full" in log


def test_an_advance_stops_at_the_first_call_without_an_end(tmp_path: Path) -> None:
    with serving(tmp_path, "--after-export", "sleep 60", "--after-export-timeout", "1") as server:
        api = Api(server.url)
        api.flow(S3, {"interval": 3, "timeUnit": "hour", "startTime": FROZEN_NOW + 60})
        answer = api.http.post("/__emulator/clock/advance", json={"seconds": 12 * 3600})
        assert_error(answer, "control-conflict")
        assert "stopped after 1 runs" in answer.text and "--after-export-timeout" in answer.text
        assert api.control("GET", "/clock")["now"] == FROZEN_NOW + 60
        (call,) = api.control("GET", "/exports")["calls"]
        assert call["answer"] == "did not end within 1 s" and not call["ok"]
        # a command can be given up for an address, until a reset; only an address
        for wrong in ("sleep 60", "", 7, "https://127.0.0.1/"):
            assert_error(api.http.put("/__emulator/after-export", json={"url": wrong}), "control-invalid")
        with socket.create_server(("127.0.0.1", 0)) as nobody:
            port = nobody.getsockname()[1]
        url = f"http://127.0.0.1:{port}/"
        assert api.control("PUT", "/after-export", {"url": url}) == {"call": url}
        told, run = api.advance(3 * 3600)  # the run of before is told now
        assert (told["status"], run["status"]) == ("failed", "failed")
        assert api.control("GET", "/exports")["calls"][-1]["call"] == url
        api.control("POST", "/reset")
        assert api.control("PUT", "/after-export", {"url": None}) == {"call": "sleep 60"}
        api.close()


@pytest.mark.parametrize("end", ["reset", "stop"])
def test_the_end_of_what_a_call_is_part_of_ends_it(end: str, tmp_path: Path) -> None:
    """A reset, or the end of the server: nothing is left, neither what was called nor the run's files. The next server makes the run."""
    pid = tmp_path / "pid"
    command = shlex.join(["sh", "-c", f"sleep 60 & echo $! > {pid}; wait"])
    with serving(
        tmp_path, "--after-export", command, "--clock", "real", "--data-dir", str(tmp_path / "data")
    ) as server:
        api = Api(server.url)
        once = {"interval": 0, "timeUnit": "day", "exportMode": "DAILY_FULL_EXPORT", "startTime": FROZEN_NOW}
        api.flow(S3, once)
        for _ in range(500):
            if pid.exists() and pid.read_text().endswith("\n"):
                break
            time.sleep(0.02)
        if end == "reset":
            api.control("POST", "/reset")
        api.close()
        assert server.stop() == 0
    assert gone(pid)
    assert not list(server.export_dir.rglob("part-*"))
    assert "s: ended before its time" in server.log.read_text()
    with started(tmp_path, "data") as (api, _):
        assert [run["status"] for run in api.advance(0)] == (["success"] if end == "stop" else [])


# --- functions of a test


HOURLY = {"interval": 3, "timeUnit": "hour", "startTime": FROZEN_NOW + 60}


@pytest.fixture
def service(server: ServerProcess, api: Api) -> Iterator[FlowService]:
    """With a flow that exports every three hours."""
    api.flow(S3, HOURLY)
    service = FlowService(FlowServiceServer(server.url, server.export_dir))
    yield service
    service.close()


def test_a_function_is_called_with_each_run(service: FlowService) -> None:
    """Before the advance returns, when the files are there. A reset ends it."""
    told: list[tuple[str, list[dict[str, Any]]]] = []

    @service.on_export
    def collect(run: dict[str, Any]) -> None:
        assert service.clock.now == run["scheduledAt"]  # it may ask the server
        told.append((run["runId"], [row for file in run["files"] for row in file_rows(Path(run["dir"], file["path"]))]))

    ended = service.clock.advance(hours=4)
    assert [run_id for run_id, _ in told] == [run["id"] for run in ended]
    assert [row for _, rows in told for row in rows] == service.exports.rows() != []
    service.reset()
    assert service.control("GET", "/exports")["calls"] == []
    service.on_export(lambda run: told.clear())  # again, to something else
    assert service.control("PUT", "/after-export", {"url": None}) == {"call": ""}


def test_what_a_function_raises_fails_the_run_and_the_test(service: FlowService) -> None:
    @service.on_export
    def full(run: dict[str, Any]) -> None:
        assert run["status"] == "failed", "the bucket is full"

    with pytest.raises(AssertionError, match="the bucket is full"):
        service.clock.advance(hours=1)
    (call,) = service.control("GET", "/exports")["calls"]
    assert call["answer"].startswith("HTTP 500: AssertionError: the bucket is full")
    assert not service.exports
    service.clock.freeze(service.clock.now + 3 * 3600)  # no advance: it comes at the end of the test
    with pytest.raises(AssertionError, match="the bucket is full"):
        service.close()
    (run,) = service.clock.advance(hours=3)  # nobody is told any more
    assert run["status"] == "success"


def test_a_shared_server_calls_nobody(server: ServerProcess) -> None:
    with pytest.raises(FlowServiceError, match="on_export needs a server of the test's own"):
        FlowService(FlowServiceServer(server.url, shared=True)).on_export(print)
