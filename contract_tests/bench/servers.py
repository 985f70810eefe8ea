"""The servers that are measured: each in a process of its own, started in the same way."""

from __future__ import annotations

import contextlib
import http.client
import os
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

REPOSITORY = Path(__file__).parent.parent.parent
FLOOR = ("contract_tests.bench.floor", "0")


@dataclass(frozen=True)
class Running:
    """A server that is measured. `process_id` is None for one that was there before."""

    name: str
    url: str
    process_id: int | None
    started_in: float
    """Seconds from the start of the process to its first answer."""


def emulator_command(folder: Path, *flags: str) -> tuple[str, ...]:
    """The emulator as users start it, with its files below `folder`."""
    return (
        "flow_service_emulator",
        "serve",
        "--port",
        "0",
        "--clock",
        "frozen",
        "--export-dir",
        str(folder / "exports"),
        *flags,
    )


@contextlib.contextmanager
def started(name: str, command: Sequence[str], folder: Path) -> Iterator[Running]:
    """A server process, until the block ends. `command` is a module and its arguments; it prints its URL when it is ready."""
    with (folder / f"{name}.log").open("a") as log:
        began = time.perf_counter()
        process = subprocess.Popen(
            [sys.executable, "-m", *command],
            cwd=REPOSITORY,
            env=_environment(folder),
            stdout=subprocess.PIPE,
            stderr=log,
            text=True,
        )
        try:
            assert process.stdout is not None
            line = process.stdout.readline()
            if "http://" not in line:
                raise RuntimeError(f"{name} did not start: {(folder / f'{name}.log').read_text()}")
            url = line.split()[-1]
            _ask(url)
            yield Running(name, url, process.pid, time.perf_counter() - began)
        finally:
            process.kill()
            process.wait()
            if process.stdout is not None:
                process.stdout.close()


def _environment(folder: Path) -> dict[str, str]:
    """Compiled modules are kept, as they are where the emulator is installed, but none of them in the checkout."""
    kept = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
    return {**kept, "PYTHONPYCACHEPREFIX": str(folder / "compiled")}


def _ask(url: str) -> None:
    address = urlsplit(url)
    connection = http.client.HTTPConnection(address.hostname or "", address.port, timeout=10)
    connection.request("GET", "/__emulator/health")
    assert connection.getresponse().status == 200
    connection.close()
