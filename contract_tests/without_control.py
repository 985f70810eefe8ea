"""The emulator as another implementation would be: with the machine's time, and without its control calls.

`python -m contract_tests.without_control --export-dir DIR` prints where it listens.
"""

from __future__ import annotations

import argparse
from pathlib import Path

from starlette.types import Receive, Scope, Send

from flow_service_emulator.app import create_app
from flow_service_emulator.clock import Clock
from flow_service_emulator.emulator import Emulator
from flow_service_emulator.server import Server, open_socket, set_up_logging
from flow_service_emulator.settings import Settings


class WithoutControl:
    """An emulator in front of which nobody gets at its own calls: they answer 404."""

    def __init__(self, emulator: Emulator) -> None:
        self._emulator = emulator
        self.app = self

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http" and scope["path"].startswith("/__emulator"):
            await send({"type": "http.response.start", "status": 404, "headers": []})
            await send({"type": "http.response.body", "body": b"not here"})
        else:
            await self._emulator.app(scope, receive, send)

    def stop(self) -> None:
        self._emulator.stop()

    async def look_at_files(self) -> None:
        await self._emulator.look_at_files()


def main() -> None:
    """Serves until SIGTERM."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--port", type=int, default=0)
    parser.add_argument("--export-dir", type=Path, required=True)
    parser.add_argument("--clock", choices=["real"], default="real")
    parser.add_argument("--check-auth", action="store_true")
    options = parser.parse_args()
    set_up_logging("text")
    emulator = create_app(Settings(export_dir=options.export_dir, check_auth=options.check_auth), Clock(options.clock))
    with open_socket("127.0.0.1", options.port) as listener:
        Server(WithoutControl(emulator), listener).run([listener])  # type: ignore[arg-type]


if __name__ == "__main__":
    main()
