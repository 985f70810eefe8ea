"""A client of the control calls for tests, with nothing but the standard library, and what such a call lists."""

from __future__ import annotations

import json
import time
from abc import abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing
from datetime import UTC, date, datetime
from functools import partial
from http.client import HTTPConnection, HTTPException, HTTPSConnection
from types import MappingProxyType
from typing import Any, TypeVar, overload
from urllib.parse import quote, urlencode, urlsplit

__tracebackhide__ = True  # pytest then shows the line of the test, and not what goes on in here

TIMEOUT_SECONDS = 600.0
"""How long an answer may take: an advance of the clock answers when all its files are written."""
POLL_SECONDS = 0.1
REASONS = ("detail", "errorMessage", "message", "error_description")
"""Where the sentence stands in an error's body, whatever its family."""
T = TypeVar("T")


class FlowServiceError(Exception):
    """The emulator refused a control call, could not be reached, or did not start. Its text says why.

    `status` is the answer's, None without an answer; `allowed` is what could stand there, where the emulator knows it.
    """

    def __init__(self, message: str, status: int | None = None, allowed: Sequence[Any] = ()) -> None:
        super().__init__(message)
        self.status = status
        self.allowed = tuple(allowed)


class ControlClient:
    """Calls to one server, each on a connection of its own. Every call may raise FlowServiceError.

    `scope` is the organization and sandbox of the test that calls, where it shares the server; else empty.
    """

    def __init__(
        self, url: str, *, timeout: float = TIMEOUT_SECONDS, scope: Mapping[str, str] = MappingProxyType({})
    ) -> None:
        self.scope = scope
        url = url.rstrip("/").removesuffix("/__emulator")  # as copied from the dashboard's address
        address = urlsplit(url)
        if address.scheme not in ("http", "https") or not address.hostname:
            raise FlowServiceError(f"an address such as http://127.0.0.1:8080 is needed, got {url!r}")
        kind = HTTPSConnection if address.scheme == "https" else HTTPConnection
        self._connect = partial(kind, address.hostname, address.port, timeout=timeout)
        self._url = url
        self._prefix = address.path

    def call(self, method: str, path: str, body: Any = None, **query: Any) -> Any:
        """Answer a control call's JSON; `path` is below `/__emulator`, None in `query` is left out."""
        data = None if body is None else encoded(body)
        answer = self.send(method, f"/__emulator{path}", data, {"Content-Type": "application/json"}, **query)
        try:
            return json.loads(answer)
        except ValueError:
            raise FlowServiceError(f"what answers at {self._url} is no Flow Service emulator") from None

    def send(
        self, method: str, path: str, data: bytes | None = None, headers: Mapping[str, str] | None = None, **query: Any
    ) -> bytes:
        """Answer the body of a success."""
        query = given(**query)
        target = self._prefix + quote(path) + (f"?{urlencode(query)}" if query else "")
        with closing(self._connect()) as connection:
            try:
                connection.request(method, target, data, dict(headers or {}))
                response = connection.getresponse()
                status, answer = response.status, response.read()
            except (OSError, HTTPException) as failure:
                reason = str(failure) or type(failure).__name__
                raise FlowServiceError(f"the Flow Service emulator at {self._url} does not answer: {reason}") from None
        if status >= 300:
            try:
                body = json.loads(answer)
            except ValueError:
                body = None
            body = body if isinstance(body, dict) else {}
            told = next((body[name] for name in REASONS if name in body), status)
            raise FlowServiceError(f"{method} {path}: {told}", status, body.get("allowed") or ())
        return answer


def wait_until_ready(url: str, seconds: float) -> None:
    """Return when the server at `url` answers. Raises FlowServiceError when it does not for so long."""
    client, end = ControlClient(url, timeout=seconds + 1), time.monotonic() + seconds
    while True:
        try:
            client.call("GET", "/health")
            return
        except FlowServiceError:
            if time.monotonic() > end:
                raise
        time.sleep(POLL_SECONDS)


def given(**fields: Any) -> dict[str, Any]:
    """The fields that are not None."""
    return {name: value for name, value in fields.items() if value is not None}


def encoded(body: Any) -> bytes:
    """A body as JSON, with datetimes and dates in it. Raises TypeError or ValueError for what JSON does not have."""
    try:
        return json.dumps(body, default=_plain).encode()
    except (TypeError, ValueError) as reason:
        raise type(reason)(str(reason)) from None  # without the inside of the JSON library


def _plain(value: Any) -> Any:
    """A datetime without a zone is in UTC."""
    if isinstance(value, Mapping):
        return dict(value)
    if isinstance(value, datetime):
        return (value if value.tzinfo else value.replace(tzinfo=UTC)).isoformat()
    if isinstance(value, date):
        return value.isoformat()
    raise TypeError(f"{type(value).__name__} cannot be sent as JSON: {value!r}")


class Part:
    """A part of what a test sees of a server."""

    def __init__(self, client: ControlClient) -> None:
        self._client = client


class Listed(Part, Sequence[T]):
    """What a server lists, as a sequence. It is asked for again with each use."""

    none = "there are {} of them"
    """What an index beyond the end says."""

    @abstractmethod
    def _all(self) -> list[T]: ...

    @abstractmethod
    def __repr__(self) -> str: ...

    def __len__(self) -> int:
        return len(self._all())

    def __iter__(self) -> Iterator[T]:
        return iter(self._all())

    @overload
    def __getitem__(self, index: int) -> T: ...
    @overload
    def __getitem__(self, index: slice) -> list[T]: ...
    def __getitem__(self, index: int | slice) -> T | list[T]:
        found = self._all()
        if isinstance(index, int) and not -len(found) <= index < len(found):
            raise IndexError(self.none.format(len(found)))
        return found[index]
