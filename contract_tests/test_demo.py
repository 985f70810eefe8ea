"""The demo: what it shows, and where something is in its way: a folder that cannot be written to, earlier files, an interrupt."""

from __future__ import annotations

import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import httpx
import pytest

from flow_service_emulator import demo
from flow_service_emulator.cli import main

DEMO = [sys.executable, "-m", "flow_service_emulator", "demo", "--export-dir"]


def test_a_folder_that_cannot_be_written_to_is_told(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "file").touch()
    assert main(["demo", "--export-dir", f"{tmp_path}/file/exports"]) == 1
    said = capsys.readouterr()
    assert said.out == ""
    assert said.err.startswith("flow-service-emulator: the Flow Service emulator did not start (exit status 1)")
    assert f"nothing can be written to the export folder {tmp_path}/file/exports: " in said.err


def test_exports_that_fail_are_told_with_the_reason_and_earlier_files_left(tmp_path: Path) -> None:
    """One destination is shown in full, the others in a row each, and everything fits a terminal of 100 columns."""
    (tmp_path / "sftp").write_text("a file in place of the destination's folder")
    earlier = tmp_path / "amazon-s3" / "my-bucket" / "part-00000-tid-1.json"
    earlier.parent.mkdir(parents=True)
    earlier.write_text("{}\n")
    run = subprocess.run([*DEMO, "."], cwd=tmp_path, capture_output=True, text=True, timeout=60, check=False)
    assert run.returncode == 1
    assert re.search(r"\n  SFTP .*  failed\n    .*Job aborted", run.stdout)
    for told in ("48 exports, 40 of them with success\n", "Files: 40 part files of this demo, ", "spec: 1 item\n"):
        assert told in run.stdout
    assert run.stdout.count("/targetConnections") == 1 and run.stdout.count("part-00000-") == demo.SHOWN_FILES
    assert max(map(len, run.stdout.splitlines())) <= 100
    assert earlier.read_text() == "{}\n"
    assert len(list(tmp_path.rglob("part-*"))) == 41


def test_it_says_how_to_go_on_by_the_name_it_was_called_by(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    program = tmp_path / "bin" / "flow-service-emulator"
    program.parent.mkdir()
    program.touch(0o755)
    monkeypatch.chdir(tmp_path)
    for called, path, name in (
        ("bin/flow-service-emulator", "/nowhere", "bin/flow-service-emulator"),
        (str(program), str(program.parent), "flow-service-emulator"),
        ("/somewhere/emulator/__main__.py", str(program.parent), "python -m flow_service_emulator"),
    ):
        monkeypatch.setattr(sys, "argv", [called, "demo"])
        monkeypatch.setenv("PATH", path)
        assert demo._called() == name


@pytest.mark.skipif(sys.platform == "win32", reason="needs POSIX signals")
@pytest.mark.usefixtures("interruptible")
@pytest.mark.parametrize("lines", [0, 5])
def test_an_interrupt_ends_it_without_a_traceback(lines: int, tmp_path: Path) -> None:
    """At the start, and during the steps."""
    with subprocess.Popen([*DEMO, str(tmp_path)], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        assert process.stdout and process.stderr
        if not lines:  # the first that its server does is to mark the folder
            while not any(tmp_path.iterdir()):
                time.sleep(0.01)
        for _ in range(lines):
            process.stdout.readline()
        process.send_signal(signal.SIGINT)
        _, errors = process.communicate(timeout=30)
    assert (process.returncode, errors) == (130, "")


@pytest.mark.skipif(sys.platform == "win32", reason="needs POSIX signals")
@pytest.mark.usefixtures("interruptible")
def test_it_keeps_the_server_until_it_is_interrupted(tmp_path: Path) -> None:
    with subprocess.Popen([*DEMO, str(tmp_path), "--keep"], stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout
        told = next(line for line in process.stdout if "until Ctrl+C" in line)
        url = told.split()[-1]
        seen = httpx.get(f"{url}overview", trust_env=False).json()
        assert (seen["counts"]["flows"], seen["counts"]["runs"]) == (6, 48)
        process.send_signal(signal.SIGINT)
        assert "How to go on" in process.stdout.read()
    assert process.returncode == 0
    with pytest.raises(httpx.ConnectError):
        httpx.get(url, trust_env=False)
