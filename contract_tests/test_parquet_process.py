"""The process that reads uploaded Parquet: how it ends, and who is told what. Its own code runs, with a line before or within it."""

from __future__ import annotations

import asyncio
import io
import json
import logging
import os
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from contract_tests.in_process import LocalEmulator
from contract_tests.support import assert_error
from flow_service_emulator.datasets import parquet_process
from flow_service_emulator.datasets.parquet_process import Unread, rows_of_parquet
from flow_service_emulator.server import formatter
from flow_service_emulator.settings import Settings

PARQUET = "application/vnd.apache.parquet"
OTHER_START = (
    "import json, os, signal, sys; sys.path[:] = json.loads(sys.argv[1])\n"
    "signal.signal(signal.SIGINT, signal.default_int_handler)\n"  # where the tests run in the background, it is ignored
    "from flow_service_emulator.datasets import parquet_process as its\n{}\nits.main()"
)
"""How the process starts, with room for a line that changes what it does."""
LONG = "import time; time.sleep(30)"
"""A process that goes on for long, whatever becomes of its input."""
only_posix = pytest.mark.skipif(os.name == "nt", reason="Windows has no such signals")


def parquet(rows: int) -> bytes:
    target = io.BytesIO()
    pq.write_table(pa.table({"a": list(range(rows))}), target)
    return target.getvalue()


@pytest.fixture
def started(monkeypatch: pytest.MonkeyPatch) -> list[subprocess.Popen[bytes]]:
    """The processes that a test starts."""
    processes: list[subprocess.Popen[bytes]] = []
    real: Callable[..., subprocess.Popen[bytes]] = subprocess.Popen

    def start(*args: Any, **options: Any) -> subprocess.Popen[bytes]:
        processes.append(real(*args, **options))
        return processes[-1]

    monkeypatch.setattr(subprocess, "Popen", start)
    return processes


def go_on() -> None:
    """Nothing ends the reading."""


def upload_over(tmp_path: Path, spoil: Callable[[], None]) -> httpx.Response:
    """What a PUT of two rows is answered once `spoil` was called; the dataset that it would have replaced is looked at afterwards."""

    async def scenario() -> httpx.Response:
        async with LocalEmulator(Settings(export_dir=tmp_path)) as emulator:
            await emulator.control("PUT", "/datasets/x", {"records": [{"kept": 1}]})
            before = await emulator.control("GET", "/datasets/x")
            spoil()
            headers = {"Content-Type": PARQUET}
            answer = await emulator.http.put("/__emulator/datasets/x", content=parquet(2), headers=headers)
            further = await emulator.http.post("/__emulator/datasets/x/records", content=parquet(2), headers=headers)
            assert further.status_code == answer.status_code
            assert await emulator.control("GET", "/datasets/x") == before
            return answer

    return asyncio.run(scenario())


@only_posix
@pytest.mark.parametrize("signal_name", ["SIGINT", "SIGTERM", "SIGKILL"])
@pytest.mark.parametrize("rows", ["", "yield b'{\"a\":1}\\n'; sys.stdout.flush(); "], ids=["before", "between"])
def test_a_process_that_somebody_ends_has_read_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, signal_name: str, rows: str
) -> None:
    """Whether no row or some have been written by then: another try may succeed, and the dataset is as it was."""
    line = f"def _rows(content):\n    {rows}os.kill(os.getpid(), signal.{signal_name}); yield b''\nits._rows = _rows"
    answer = upload_over(tmp_path, lambda: monkeypatch.setattr(parquet_process, "_START", OTHER_START.format(line)))
    assert signal_name in assert_error(answer, "control-unavailable")["detail"]
    assert answer.headers["retry-after"] == "1"


def test_a_process_that_ends_too_early_has_read_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    """Also in good order: what is there of its rows is not taken for all of them."""
    line = "print('{\"a\":1}', flush=True); sys.exit()"
    monkeypatch.setattr(parquet_process, "_START", OTHER_START.format(line))
    with pytest.raises(Unread, match="the exit status 0"):
        rows_of_parquet(parquet(2), go_on)


@only_posix
def test_a_crash_is_the_file_s_fault_and_is_logged(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """With the end of what the process complained of, in which nothing controls a terminal."""
    line = (
        "def _rows(content):\n    print('x' * 5_000 + chr(27) + 'why', file=sys.stderr, flush=True)\n"
        "    os.kill(os.getpid(), signal.SIGSEGV)\nits._rows = _rows"
    )
    with caplog.at_level(logging.WARNING):
        answer = upload_over(tmp_path, lambda: monkeypatch.setattr(parquet_process, "_START", OTHER_START.format(line)))
    assert "SIGSEGV" in assert_error(answer, "control-invalid")["detail"]
    logged = next(
        formatter("text").format(record) for record in caplog.records if "reads Parquet" in record.getMessage()
    )
    assert logged.endswith("x\\x1bwhy")
    assert "x" * 1_000 in logged and "x" * 2_000 not in logged


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux bounds a process's memory")
def test_bounds_that_are_lower_already_stay(monkeypatch: pytest.MonkeyPatch) -> None:
    """A container may allow less than the process would allow itself."""
    line = (
        "import arro3.io, resource; from pathlib import Path\n"
        "pages = int(Path('/proc/self/statm').read_text().split()[0])\n"
        "resource.setrlimit(resource.RLIMIT_AS, (pages * 4096 + 160_000_000,) * 2)\n"
        "resource.setrlimit(resource.RLIMIT_CPU, (5, 5))"
    )
    monkeypatch.setattr(parquet_process, "_START", OTHER_START.format(line))
    assert [json.loads(row) for row in rows_of_parquet(parquet(2), go_on).splitlines()] == [{"a": 0}, {"a": 1}]


def test_bounds_that_cannot_be_set_are_not_the_file_s_fault(monkeypatch: pytest.MonkeyPatch) -> None:
    line = "def refused():\n    raise ValueError('not allowed')\nits._bound_process = refused"
    monkeypatch.setattr(parquet_process, "_START", OTHER_START.format(line))
    with pytest.raises(Unread, match="the exit status 1"):
        rows_of_parquet(parquet(2), go_on)


def test_a_machine_without_room_for_a_process_is_not_the_file_s_fault(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*args: Any, **options: Any) -> None:
        raise BlockingIOError(11, "Resource temporarily unavailable")

    answer = upload_over(tmp_path, lambda: monkeypatch.setattr(subprocess, "Popen", refuse))
    assert "Resource temporarily unavailable" in assert_error(answer, "control-unavailable")["detail"]


def test_a_process_without_a_thread_to_talk_to_it_is_ended(
    monkeypatch: pytest.MonkeyPatch, started: list[subprocess.Popen[bytes]]
) -> None:
    def refuse(thread: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    monkeypatch.setattr(parquet_process, "_START", LONG)
    with monkeypatch.context() as patched:
        patched.setattr(threading.Thread, "start", refuse)
        with pytest.raises(Unread, match="can't start new thread"):
            rows_of_parquet(parquet(2), go_on)
    assert started[0].returncode not in (None, 0)


def test_a_process_is_given_up_while_it_reads(
    monkeypatch: pytest.MonkeyPatch, started: list[subprocess.Popen[bytes]]
) -> None:
    """One that would go on for long, and takes nothing of an input that no pipe holds, is killed, not waited for."""
    monkeypatch.setattr(parquet_process, "_START", LONG)

    def end() -> None:
        raise InterruptedError

    with pytest.raises(InterruptedError):
        rows_of_parquet(bytes(1_000_000), end)
    assert started[0].returncode not in (None, 0), "it came to its own end"


def test_a_panic_of_the_reader_is_told_without_its_code() -> None:
    """Bytes that begin and end as Parquet does, and say in between that there are gigabytes of it."""
    with pytest.raises(ValueError, match=r"^this Parquet file cannot be read: Parquet file too small\. Size is 16 but"):
        rows_of_parquet(b"PAR1nonsensePAR1", go_on)
