"""The command line and the settings: what is wrong is refused, by the name under which it was given, and before anything starts."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread

import pytest

from contract_tests.support import FROZEN_NOW, Api, serving
from contract_tests.tutorial import FIRST_DATASET
from flow_service_emulator.app import create_app
from flow_service_emulator.cli import main
from flow_service_emulator.clock import Clock
from flow_service_emulator.exports.exported_files import ExportFolderError
from flow_service_emulator.settings import Settings, read_settings, variables_of_kubernetes

OF_KUBERNETES = """
PORT=tcp://10.0.0.1:8080 SERVICE_HOST=10.0.0.1 SERVICE_PORT=8080 SERVICE_PORT_HTTP=8080 PORT_8080_TCP=tcp://10.0.0.1:8080
PORT_8080_TCP_PROTO=tcp PORT_8080_TCP_PORT=8080 PORT_8080_TCP_ADDR=10.0.0.1 NEXT_SERVICE_HOST=10.0.0.2 NEXT_PORT=udp://10.0.0.2:53
"""


def run(*arguments: str | Path, cwd: Path | None = None) -> subprocess.CompletedProcess[str]:
    """A command that ends by itself."""
    command = [sys.executable, "-m", "flow_service_emulator", *map(str, arguments)]
    return subprocess.run(command, cwd=cwd, capture_output=True, text=True, timeout=60)


@pytest.mark.parametrize(
    ("flag", "told"),
    [
        ("--export-dir", "nothing can be written to the export folder file: it is a file; --export-dir or FLOW_EMULATOR_EXPORT_DIR names another"),
        ("--data-dir", "cannot use the data folder file: it is a file; --data-dir names another"),
        ("--fixtures", "--fixtures: a folder is needed, and that is a file, got 'file'"),
    ],
)  # fmt: skip
def test_a_file_is_no_folder(tmp_path: Path, flag: str, told: str) -> None:
    (tmp_path / "file").touch()
    refused = run("serve", "--port", "0", flag, "file", cwd=tmp_path)
    assert refused.returncode in (1, 2)
    assert (refused.stdout, refused.stderr) == ("", f"flow-service-emulator: {told}\n")


def test_a_port_in_use(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        refused = run("serve", "--port", str(taken.getsockname()[1]), cwd=tmp_path)
    assert refused.returncode == 1
    assert refused.stderr.endswith(": Address already in use; --port or FLOW_EMULATOR_PORT names another\n")


@pytest.mark.skipif(sys.platform == "win32", reason="needs a shell")
@pytest.mark.parametrize("command", ["--help", "serve --help", "check-fixtures", "demo"])
def test_a_closed_pipe_is_no_error(command: str, tmp_path: Path) -> None:
    """Nobody reads any more: the reader's end is closed before anything is written."""
    reader, writer = os.pipe()
    os.close(reader)
    with os.fdopen(writer, "wb") as closed:
        words = [sys.executable, "-m", "flow_service_emulator", *command.split()]
        done = subprocess.run(words, cwd=tmp_path, stdout=closed, stderr=subprocess.PIPE, text=True, timeout=60)
    assert (done.returncode, done.stderr) == (0, "")


def test_commands_for_a_running_server(api: Api) -> None:
    """`wait`, `status`, `advance` and `reset`, each with the address of the server."""

    def told(command: str, *arguments: str) -> str:
        done = run(command, "--url", api.url, *arguments)
        assert (done.returncode, done.stderr) == (0, "")
        return done.stdout

    wanted = {"dataset": FIRST_DATASET, "destination": "sftp", "schedule": {"startTime": FROZEN_NOW + 60}}
    flow = api.http.post("/__emulator/flows", json=wanted).json()["id"]
    api.get("/flows/none")
    assert told("wait") == f"ready: {api.url}\n"
    assert run("status", "--url", f"{api.url}/__emulator/").returncode == 0  # as copied from the browser
    lines = told("advance", "--hours", "3", "--minutes", "1").splitlines()
    first, second, end = (line.partition("  run ")[0] for line in lines)
    assert first == f"2026-01-01T00:01:00Z  success   flow {flow}"
    assert second == f"2026-01-01T03:01:00Z  success   flow {flow}"
    assert end == "it is 2026-01-01T03:01:00Z; 2 exports: 2 success"
    assert told("advance", "--to", "2026-01-01T04:00:00Z") == "it is 2026-01-01T04:00:00Z; 0 exports\n"
    status = told("status")
    assert (
        """
clock     frozen, 2026-01-01T04:00:00Z
flows     1, next export: 2026-01-01T06:01:00Z
runs      2
requests  1, 1 violation
"""
        in status
    )
    api.control("PUT", "/faults", {"kind": "run", "message": "The bucket is full."})
    _, why, end = told("advance", "--hours", "3").splitlines()
    assert (why, end) == ("  The bucket is full.", "it is 2026-01-01T07:00:00Z; 1 export: 1 failed")
    assert "its exported files are gone" in told("reset", "--exports")
    assert api.items("/flows") == api.control("GET", "/exports")["items"] == []


@pytest.mark.parametrize(
    ("arguments", "status"),
    [(("status",), 1), (("wait", "--timeout", "0"), 1), (("reset",), 1), (("report",), 2)],
    ids=lambda value: str(value),
)
def test_a_server_that_is_not_there_and_one_that_is_another(arguments: tuple[str, ...], status: int) -> None:
    """Each is told with its address."""
    nowhere = run(*arguments, "--url", "http://127.0.0.1:1")
    assert nowhere.returncode == status
    assert "the Flow Service emulator at http://127.0.0.1:1 does not answer: " in nowhere.stderr

    class Other(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            self.end_headers()
            self.wfile.write(b"<html>")

        do_POST = do_GET

    with ThreadingHTTPServer(("127.0.0.1", 0), Other) as server:
        Thread(target=server.serve_forever, args=(0.05,), daemon=True).start()
        url = f"http://127.0.0.1:{server.server_port}"
        other = run(*arguments, "--url", url)
        server.shutdown()
    assert other.returncode == status
    assert f"what answers at {url} is no Flow Service emulator" in other.stderr


def test_an_export_folder_that_another_user_has_marked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """To root, as whom tests may run, every folder is open; so the system's answer is put in its place."""
    (tmp_path / ".flow-service-emulator").touch()
    monkeypatch.setattr("os.access", lambda path, mode: path != tmp_path)
    with pytest.raises(ExportFolderError, match=r"nothing can be written to .*: Permission denied; --export-dir or"):
        create_app(Settings(export_dir=tmp_path), Clock("frozen"))


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (("serve", "--exprot-dir", "x"), "flow-service-emulator serve: error: unrecognized arguments: --exprot-dir x; did you mean --export-dir?"),
        (("serve", "--export", "x"), "did you mean --export-dir?"),
        (("report", "--form=html"), "flow-service-emulator report: error: unrecognized arguments: --form=html; did you mean --format?"),
        (("demo", "--zzz"), "flow-service-emulator demo: error: unrecognized arguments: --zzz\n"),
        (("repotr",), "argument COMMAND: invalid choice: 'repotr' (choose from "),
        (("repotr",), "; did you mean report?\n"),
        (("report", "--format", "htlm"), "; did you mean html?\n"),
        (("serve", "exports"), "flow-service-emulator serve: error: unrecognized arguments: exports\n"),
    ],
)  # fmt: skip
def test_an_unknown_flag_is_told_by_its_command(
    arguments: tuple[str, ...], told: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as ended:
        main(arguments)
    assert ended.value.code == 2
    assert told in capsys.readouterr().err


@pytest.mark.parametrize(
    ("name", "value", "reason"),
    [
        ("fixtures", "nothere", "a folder is needed, and there is none, got 'nothere'"),
        ("fixtures", __file__, "a folder is needed, and that is a file"),
        ("allowed_hosts", "http://x/y", "host names are needed, without a scheme, a port or a path"),
        ("allowed_hosts", "a.example.org,x/y", "host names are needed"),
        ("allowed_hosts", "a.example.org:8080", "host names are needed"),
    ],
)
def test_a_wrong_value_is_told_with_the_name_it_was_given_under(name: str, value: str, reason: str) -> None:
    flag, variable = "--" + name.replace("_", "-"), f"FLOW_EMULATOR_{name.upper()}"
    with pytest.raises(ValueError) as by_flag:
        read_settings({name: value}, {})
    assert str(by_flag.value).startswith(f"{flag}: {reason}")
    with pytest.raises(ValueError) as by_variable:
        read_settings({}, {variable: value})
    assert str(by_variable.value).startswith(f"{variable}: {reason}")


def test_host_names_and_addresses_are_taken() -> None:
    names = "a.example.org,.example.org,*,::1"
    assert read_settings({"allowed_hosts": names}, {}).allowed_hosts == tuple(names.split(","))


def test_what_kubernetes_sets_for_a_service_of_this_name_is_no_setting() -> None:
    of_kubernetes = dict(f"FLOW_EMULATOR_{pair}".split("=") for pair in OF_KUBERNETES.split())
    environment = {**of_kubernetes, "FLOW_EMULATOR_SEED": "1", "HOME": "/root"}
    assert read_settings({}, environment) == Settings(seed=1)
    assert variables_of_kubernetes(environment) == sorted(of_kubernetes)


@pytest.mark.parametrize("name", ["FLOW_EMULATOR_SERVICE", "FLOW_EMULATOR_PORTS", "FLOW_EMULATOR_EXPORT_PORT"])
def test_other_unknown_variables_are_refused(name: str) -> None:
    with pytest.raises(ValueError, match=f"{name}: no such setting; (did you mean FLOW_EMULATOR_|the settings are )"):
        read_settings({}, {name: "8080"})
    with pytest.raises(ValueError, match="FLOW_EMULATOR_PORT: a whole number is needed"):
        read_settings({}, {"FLOW_EMULATOR_PORT": "10.0.0.1:8080"})


def test_a_data_folder_that_is_further_on_is_told_beside_the_time_asked_for(tmp_path: Path) -> None:
    data = ("--data-dir", str(tmp_path / "data"), "--clock", "frozen", "--now")
    with serving(tmp_path, *data, str(FROZEN_NOW)) as server:
        server.stop()
    with serving(tmp_path, *data, "2020-01-01") as server:
        server.stop()
    (warning,) = [line for line in server.log.read_text().splitlines() if " WARNING " in line]
    assert "--now is ignored: time goes on from 2026-01-01 00:00:00 UTC, where the data folder left it" in warning


def with_file(folder: Path, name: str, content: bytes) -> tuple[str, str]:
    """The flag for fixtures with this file of records."""
    file = folder / "fixtures" / "datasets" / name
    file.parent.mkdir(parents=True)
    file.write_bytes(content)
    return "--fixtures", str(folder / "fixtures")


def test_a_start_says_where_the_page_is_and_which_dataset_files_cannot_be_used(tmp_path: Path) -> None:
    with serving(tmp_path, *with_file(tmp_path, "broken.csv", b"a,a\n1,2\n")) as server:
        for _ in range(100):  # nobody asks for datasets
            if "broken.csv" in (log := server.log.read_text()):
                break
            time.sleep(0.05)
    assert f"the dashboard is at {server.url}/__emulator/\n" in log
    assert "the dataset file broken.csv cannot be used: two columns are named 'a'" in log


def test_a_large_dataset_file_does_not_hold_up_the_end(tmp_path: Path) -> None:
    content = b'{"id": 1, "name": "a name"}\n' * 2_000_000
    with serving(tmp_path, *with_file(tmp_path, "large.ndjson", content)) as server:
        assert server.stop(timeout=3) == 0
    assert "large.ndjson" not in server.log.read_text()


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (("--output", "a.docx"), "--output: a name that ends in .html, .json, .xml, .txt, .md is needed, or --format"),
        (("--output", "contract"), "--output: a name that ends in"),
        (("--url", "http://127.0.0.1:1", "a.json"), "--url does not go with saved reports"),
        (("a.json", "./a.json"), "a.json is named twice"),
    ],
)
def test_a_report_that_would_not_be_the_one_meant_is_refused(
    arguments: tuple[str, ...], told: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["report", *arguments]) == 2
    assert told in capsys.readouterr().err
