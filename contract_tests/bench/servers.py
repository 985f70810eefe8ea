"""The servers that are measured: each in a process of its own, started in the same way, and what it takes of the machine."""

from __future__ import annotations

import contextlib
import http.client
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

from contract_tests.bench.processes import processor_seconds, resident_bytes

REPOSITORY = Path(__file__).parent.parent.parent
FLOOR = (sys.executable, "-m", "contract_tests.bench.floor")
COMMAND = "flow-service-emulator"


@dataclass(frozen=True)
class Running:
    """A server that is measured."""

    name: str
    url: str
    pid: int
    started_in: float
    """Seconds from the start of the process to its first answer."""

    @property
    def memory(self) -> float:
        """Megabytes that it has in use."""
        return resident_bytes(self.pid) / 1e6

    @property
    def processor(self) -> float:
        """Seconds that it has had a processor."""
        return processor_seconds(self.pid)


@dataclass(frozen=True)
class Contender:
    """The emulator of one checkout, or the floor. It is only ever started as a process, never imported."""

    name: str
    command: tuple[str, ...]
    folder: Path
    """For files and logs."""

    @contextlib.contextmanager
    def started(self, *flags: str) -> Iterator[Running]:
        """A process of it, until the block ends; the floor takes no flags."""
        self.folder.mkdir(parents=True, exist_ok=True)
        serve = ("serve", "--port", "0", "--clock", "frozen", "--export-dir", str(self.folder / "exports"), *flags)
        with (self.folder / "server.log").open("a+") as log:
            began = time.perf_counter()
            process = subprocess.Popen(
                self.command if self.command == FLOOR else (*self.command, *serve),
                cwd=REPOSITORY, env=self._environment(), stdout=subprocess.PIPE, stderr=log, text=True,
            )  # fmt: skip
            try:
                assert process.stdout is not None
                line = process.stdout.readline()
                if "http://" not in line:
                    log.seek(0)
                    raise RuntimeError(f"{self.name} did not start: {log.read()}")
                url = line.split()[-1]
                _ask(url)
                yield Running(self.name, url, process.pid, time.perf_counter() - began)
            finally:
                process.kill()
                process.wait()
                if process.stdout is not None:
                    process.stdout.close()

    def _environment(self) -> dict[str, str]:
        """Compiled modules are kept, as they are where the emulator is installed, but none of them in the checkout."""
        kept = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
        return {**kept, "PYTHONPYCACHEPREFIX": str(self.folder / "compiled")}


def emulator(name: str, checkout: Path, folder: Path) -> Contender:
    """The emulator that a checkout's own environment has installed. Raises FileNotFoundError where it has none."""
    own = checkout == REPOSITORY
    scripts = Path(sys.executable).parent if own else checkout.absolute() / ".venv" / "bin"
    if not (scripts / COMMAND).is_file():
        raise FileNotFoundError(f"{scripts} has no {COMMAND}: the checkout needs an environment, `.venv`, with it")
    python = sys.executable if own else str(scripts / "python")
    return Contender(name, (python, str(scripts / COMMAND)), folder / name)


def _ask(url: str) -> None:
    address = urlsplit(url)
    connection = http.client.HTTPConnection(address.hostname or "", address.port, timeout=10)
    connection.request("GET", "/__emulator/health")
    assert connection.getresponse().status == 200
    connection.close()
