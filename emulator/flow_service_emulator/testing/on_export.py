"""Functions of the test's own process that are called with each run that ends: the other end of the call after each export."""

from __future__ import annotations

import json
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler
from socketserver import TCPServer
from threading import Thread
from typing import Any

__tracebackhide__ = True  # pytest then shows the line of the test, and not what goes on in here

ToBeCalled = Callable[[dict[str, Any]], object]


class Receiver(TCPServer):  # an HTTPServer would look up this machine's name, which can take seconds
    """Listens on the loopback, and calls `functions` one after the other, in a thread of its own.

    What one raises is the answer, with which the run fails; `end` and `raise_failure` raise it in the test as well.
    """

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.url = f"http://127.0.0.1:{self.server_address[1]}/"
        self.functions: list[ToBeCalled] = []
        self.failure: BaseException | None = None
        Thread(target=self.serve_forever, args=(0.05,), daemon=True).start()

    def raise_failure(self) -> None:
        failure, self.failure = self.failure, None
        if failure is not None:
            raise failure

    def end(self) -> None:
        self.shutdown()
        self.server_close()
        self.raise_failure()


class _Handler(BaseHTTPRequestHandler):
    server: Receiver

    def do_POST(self) -> None:
        run, status, said = json.loads(self.rfile.read(int(self.headers["Content-Length"]))), 200, ""
        try:
            for function in self.server.functions:
                function(run)
        except BaseException as failure:  # what pytest raises is no Exception
            self.server.failure = self.server.failure or failure
            status, said = 500, f"{type(failure).__name__}: {failure}"
        self.send_response(status)
        self.end_headers()
        self.wfile.write(said.encode("utf-8", "replace"))

    def log_message(self, *_: object) -> None:
        """Nothing: standard error is the test's."""
