"""A client of the control calls for tests, with nothing but the standard library."""

from __future__ import annotations

import json
import threading
from collections.abc import Mapping, Sequence
from datetime import date, datetime
from http.client import HTTPConnection, HTTPException, HTTPSConnection
from typing import Any
from urllib.parse import quote, urlencode, urlsplit

__tracebackhide__ = True  # pytest then shows the line of the test, and not what goes on in here

TIMEOUT_SECONDS = 600.0
"""How long an answer may take: an advance of the clock answers when all its files are written."""
REASONS = ("detail", "errorMessage", "message", "error_description")
"""Where the sentence stands in an error's body, whatever its family."""


class FlowServiceError(Exception):
    """The emulator refused a control call, could not be reached, or did not start. Its text says why.

    `status` is the answer's, None without an answer; `allowed` is what could stand there, where the emulator knows it.
    """

    def __init__(self, message: str, status: int | None = None, allowed: Sequence[Any] = ()) -> None:
        super().__init__(message)
        self.status = status
        self.allowed = tuple(allowed)


class ControlClient:
    """One connection that is kept open; safe to use from several threads. Every call may raise FlowServiceError."""

    def __init__(self, url: str, *, timeout: float = TIMEOUT_SECONDS) -> None:
        address = urlsplit(url)
        if address.scheme not in ("http", "https") or not address.hostname:
            raise FlowServiceError(f"an address such as http://127.0.0.1:8080 is needed, got {url!r}")
        kind = HTTPSConnection if address.scheme == "https" else HTTPConnection
        self._url = url
        self._prefix = address.path.rstrip("/")
        self._connection = kind(address.hostname, address.port, timeout=timeout)
        self._lock = threading.Lock()

    def call(self, method: str, path: str, body: Any = None, **query: Any) -> Any:
        """Answer a control call's JSON; `path` is below `/__emulator`, None in `query` is left out."""
        try:
            data = None if body is None else json.dumps(body, default=_plain).encode()
        except (TypeError, ValueError) as reason:
            raise type(reason)(str(reason)) from None  # without the inside of the JSON library
        return json.loads(self.send(method, f"/__emulator{path}", data, {"Content-Type": "application/json"}, **query))

    def send(
        self, method: str, path: str, data: bytes | None = None, headers: Mapping[str, str] | None = None, **query: Any
    ) -> bytes:
        """Answer the body of a success."""
        given = {name: value for name, value in query.items() if value is not None}
        target = self._prefix + quote(path) + (f"?{urlencode(given)}" if given else "")
        with self._lock:
            status, answer = self._exchange(method, target, data, dict(headers or {}))
        if status >= 300:
            try:
                body = json.loads(answer)
            except ValueError:
                body = None
            body = body if isinstance(body, dict) else {}
            reason = next((body[name] for name in REASONS if name in body), status)
            allowed = body.get("allowed")
            raise FlowServiceError(f"{method} {path}: {reason}", status, allowed if isinstance(allowed, list) else ())
        return answer

    def close(self) -> None:
        """Let go of the connection; the next call opens a new one."""
        with self._lock:
            self._connection.close()

    def _exchange(self, method: str, target: str, data: bytes | None, headers: dict[str, str]) -> tuple[int, bytes]:
        """Send once more where the server had closed an idle connection, of which the client hears only now."""
        while True:
            reused = self._connection.sock is not None
            try:
                self._connection.request(method, target, data, headers)
                response = self._connection.getresponse()
                return response.status, response.read()
            except (OSError, HTTPException) as failure:
                self._connection.close()
                if not reused or isinstance(failure, TimeoutError):
                    reason = str(failure) or type(failure).__name__
                    raise FlowServiceError(
                        f"the Flow Service emulator at {self._url} does not answer: {reason}"
                    ) from None


def _plain(value: Any) -> str:
    """A time as JSON has it, in a test's own records. Raises TypeError for any other value that JSON does not have."""
    if isinstance(value, (datetime, date)):
        return value.isoformat()
    raise TypeError(f"{type(value).__name__} cannot be sent as JSON: {value!r}")
