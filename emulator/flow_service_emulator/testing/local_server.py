"""A server process of a test run's own: on a free port, with its own folders, ended whatever becomes of the test run."""

from __future__ import annotations

import subprocess
import sys
import threading
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path

from flow_service_emulator.settings import environment_of_tests
from flow_service_emulator.testing.client import FlowServiceError
from flow_service_emulator.testing.flow_service import FlowServiceServer

START_SECONDS = 30.0
END_SECONDS = 6.0
MAX_SERVERS = 4
"""Servers of one pool at the same time; the one used longest ago makes room."""
_SAYS = "listening on "


@contextmanager
def running_server(
    folder: Path, flags: Sequence[str] = (), *, export_dir: Path | None = None
) -> Iterator[FlowServiceServer]:
    """Start `serve` with `flags`, its log and (unless `export_dir` is given) its files in `folder`, and end it afterwards.

    Raises FlowServiceError with the end of the log when it does not start.
    """
    folder.mkdir(parents=True, exist_ok=True)
    export_dir, log = export_dir or folder / "exports", folder / "server.log"
    serve = ["serve", "--port", "0", "--export-dir", str(export_dir), *flags]
    with log.open("wb") as errors:
        process = subprocess.Popen(
            # -P: nothing where the tests run may shadow a module
            [sys.executable, "-P", "-m", "flow_service_emulator.tethered", *serve],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=errors,
            env=environment_of_tests(),
            start_new_session=True,  # Ctrl-C in a debugger is meant for the test, not for the server
        )
    assert process.stdin is not None and process.stdout is not None
    overdue = threading.Timer(START_SECONDS, process.kill)
    overdue.start()
    try:
        line = process.stdout.readline().decode("utf-8", "replace").strip()
        overdue.cancel()
        if not line.startswith(_SAYS):
            status = process.wait(END_SECONDS)
            raise FlowServiceError(
                f"the Flow Service emulator did not start (exit status {status}); its log, {log}, ends:\n{log_end(log)}"
            )
        yield FlowServiceServer(line.removeprefix(_SAYS), export_dir, log=log)
    finally:
        overdue.cancel()
        process.stdin.close()
        try:
            process.wait(END_SECONDS)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
        process.stdout.close()


def log_end(log: Path) -> str:
    """The last lines of a server's log."""
    return "\n".join(log.read_text("utf-8", "replace").splitlines()[-20:]) or "(it said nothing)"


class ServerPool:
    """Servers by their flags, each started when it is first asked for. Ends them all when it is closed."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._started = 0
        self._servers: dict[tuple[str, ...], tuple[FlowServiceServer, ExitStack]] = {}

    def server(self, flags: Sequence[str]) -> FlowServiceServer:
        """The server with these flags. Raises FlowServiceError when it does not start."""
        key = tuple(flags)
        if key in self._servers:
            self._servers[key] = self._servers.pop(key)  # used last, ended last
        else:
            while len(self._servers) >= MAX_SERVERS:
                self._servers.pop(next(iter(self._servers)))[1].close()
            self._started += 1
            stack = ExitStack()
            server = stack.enter_context(running_server(self._folder / f"server-{self._started}", key))
            self._servers[key] = server, stack
        return self._servers[key][0]

    def close(self) -> None:
        while self._servers:
            self._servers.popitem()[1][1].close()
