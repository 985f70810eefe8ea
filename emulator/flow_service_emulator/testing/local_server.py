"""A server process of a test run's own: on a free port, with its own folders, ended whatever becomes of the test run."""

from __future__ import annotations

import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

from flow_service_emulator.settings import environment_without_settings, variable_name, variables
from flow_service_emulator.testing.client import FlowServiceError
from flow_service_emulator.testing.flow_service import DEFAULT_ORG, DEFAULT_SANDBOX, FlowService, FlowServiceServer

START_SECONDS = 30.0
END_SECONDS = 6.0
MAX_SERVERS = 4
"""Servers of one pool at the same time; the one used longest ago makes room."""
EXPORT_DIR, PORT = variable_name("export_dir"), variable_name("port")
_SAYS = "listening on "


@contextmanager
def running_server(
    folder: Path, flags: Sequence[str] = (), settings: Mapping[str, str] | None = None
) -> Iterator[FlowServiceServer]:
    """Start `serve` with `flags` and `settings` (variables), its log and its files in `folder`, and end it afterwards.

    Raises FlowServiceError with the end of the log when it does not start.
    """
    folder.mkdir(parents=True, exist_ok=True)
    log = folder / "server.log"
    settings = {PORT: "0", EXPORT_DIR: str(folder / "exports"), **(settings or {})}
    with log.open("wb") as errors:
        process = subprocess.Popen(
            # -P: nothing where the tests run may shadow a module
            [sys.executable, "-P", "-m", "flow_service_emulator.tethered", "serve", *flags],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=errors,
            env=environment_without_settings() | settings,
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
        yield FlowServiceServer(line.removeprefix(_SAYS), Path(settings[EXPORT_DIR]), log=log)
    finally:
        overdue.cancel()
        process.stdin.close()
        try:
            process.wait(END_SECONDS)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
        process.stdout.close()


@contextmanager
def start_server(*, export_dir: Path | str | None = None, **settings: Any) -> Iterator[FlowService]:
    """A server of one's own without pytest, or for a fixture of wider scope, on a free port unless `port` names one.

    `settings` are those of `serve`, by their names: `start_server(seed=7, orgs=("A", "B"))`; time stands still unless `clock` says
    otherwise. Files go to `export_dir`, or to a folder that is gone afterwards. Raises FlowServiceError when the server does not
    start, and TypeError for a setting that does not exist.
    """
    with tempfile.TemporaryDirectory(prefix="flow-service-") as folder:
        how = variables({"clock": "frozen", "export_dir": export_dir, **settings})
        with running_server(Path(folder), (), how) as server:
            orgs, sandboxes = (
                names(settings.get("orgs") or DEFAULT_ORG),
                names(settings.get("sandboxes") or DEFAULT_SANDBOX),
            )
            service = FlowService(server, org=orgs[0], sandbox=sandboxes[0])
            if settings.get("check_auth"):
                service.fetch_token()
                service.reset()  # what was fetched here is no request of a client's
            yield service


def names(given: str | Iterable[str]) -> list[str]:
    """Names in a sequence, or in a text with commas."""
    return given.split(",") if isinstance(given, str) else list(given)


def log_end(log: Path) -> str:
    """The last lines of a server's log."""
    return "\n".join(log.read_text("utf-8", "replace").splitlines()[-20:]) or "(it said nothing)"


class ServerPool:
    """Servers by how they are started, each when it is first asked for. Ends them all when it is closed."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._started = 0
        self._servers: dict[str, tuple[FlowServiceServer, ExitStack]] = {}

    def server(self, flags: Sequence[str], settings: Mapping[str, str]) -> FlowServiceServer:
        """The server with these flags and settings. Raises FlowServiceError when it does not start."""
        key = repr((flags, sorted(settings.items())))
        found = self._servers.pop(key, None)
        if found is None:
            while len(self._servers) >= MAX_SERVERS:
                self._servers.pop(next(iter(self._servers)))[1].close()
            self._started += 1
            stack = ExitStack()
            folder = self._folder / f"server-{self._started}"
            found = stack.enter_context(running_server(folder, flags, settings)), stack
        self._servers[key] = found  # used last, ended last
        return found[0]

    def close(self) -> None:
        while self._servers:
            self._servers.popitem()[1][1].close()
