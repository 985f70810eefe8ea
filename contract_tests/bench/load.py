"""The load generator: a process of its own, so that what is measured is the server and not the client.

Reads a `Load` as JSON on standard input, writes what came of it as JSON on standard output. Each connection is kept alive and
has one request under way.
"""

from __future__ import annotations

import asyncio
import json
import random
import subprocess
import sys
import time
from collections import Counter
from dataclasses import asdict, dataclass
from typing import Any
from urllib.parse import urlsplit

HEADERS = {
    "Authorization": "Bearer bench-token",
    "x-api-key": "bench-key",
    "x-gw-ims-org-id": "BENCH@AdobeOrg",
    "x-sandbox-name": "prod",
}
"""What every request to the service carries."""


@dataclass(frozen=True)
class Load:
    """What is asked for: `connections` at a time for `seconds`, or until `count` requests are answered."""

    url: str
    requests: list[str]
    """Whole HTTP requests, as Latin-1 text; each is the next one drawn at random (with `in_order`, each is sent once)."""
    connections: int = 1
    seconds: float = 2.0
    warmup: float = 0.3
    """Seconds at the beginning that are not counted."""
    in_order: bool = False
    keep_bodies: bool = False


@dataclass(frozen=True)
class Outcome:
    """What came of it. Times are milliseconds."""

    per_second: float
    answered: int
    p50: float
    p99: float
    slowest: float
    statuses: dict[str, int]
    broken: int
    """Connections that ended before their answer."""
    bodies: list[str]

    @property
    def failures(self) -> int:
        """Answers that are no success, and connections that broke."""
        return self.broken + sum(count for status, count in self.statuses.items() if not status.startswith("2"))


def request(method: str, url: str, path: str, body: Any = None, headers: dict[str, str] | None = None) -> str:
    """A whole HTTP request as text."""
    data = "" if body is None else json.dumps(body)
    lines = [f"{method} {path} HTTP/1.1", f"Host: {urlsplit(url).netloc}"]
    lines += [f"{name}: {value}" for name, value in {**HEADERS, **(headers or {})}.items()]
    if body is not None:
        lines += ["Content-Type: application/json", f"Content-Length: {len(data)}"]
    return "\r\n".join([*lines, "", data])


def run(load: Load) -> Outcome:
    """Runs a load in a process of its own. Raises OSError when the server cannot be reached."""
    command = [sys.executable, "-m", __name__ if __name__ != "__main__" else "contract_tests.bench.load"]
    done = subprocess.run(command, input=json.dumps(asdict(load)), capture_output=True, text=True)
    if done.returncode:
        raise OSError((done.stderr.strip() or "no answer").splitlines()[-1])
    return Outcome(**json.loads(done.stdout))


class _Client(asyncio.Protocol):
    """One connection: sends a request, waits for the whole answer, notes how long it took, and again."""

    def __init__(self, crowd: Crowd) -> None:
        self._crowd = crowd
        self._buffer = b""
        self._needed = 0
        self._sent = 0.0
        self._status = b""
        self._busy = False
        self._transport: asyncio.Transport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport
        self._next()

    def connection_lost(self, exc: Exception | None) -> None:
        if self._busy:
            self._crowd.broken += 1
        self._crowd.ended()

    def data_received(self, data: bytes) -> None:
        self._buffer = self._buffer + data if self._buffer else data
        if not self._needed:
            end = self._buffer.find(b"\r\n\r\n")
            if end < 0:
                return
            head = self._buffer[:end].lower()
            self._status = head[9:12]
            at = head.find(b"content-length:")
            length = int(head[at + 15 :].split(b"\r\n", 1)[0]) if at >= 0 else 0
            self._needed = end + 4 + length
            self._start = end + 4
        if len(self._buffer) >= self._needed:
            self._crowd.note(time.perf_counter() - self._sent, self._status, self._buffer[self._start : self._needed])
            self._buffer, self._needed, self._busy = b"", 0, False
            self._next()

    def _next(self) -> None:
        assert self._transport is not None
        request = self._crowd.next_request()
        if request is None:
            self._transport.close()
            return
        self._busy = True
        self._sent = time.perf_counter()
        self._transport.write(request)


class Crowd:
    """All connections of a load, and what they noted."""

    def __init__(self, load: Load) -> None:
        self._load = load
        self._requests = [text.encode("latin-1") for text in load.requests]
        self._queue = iter(self._requests)
        self._rng = random.Random(1)
        self._open = load.connections
        self._start = 0.0
        self._times: list[float] = []
        self._last = 0.0
        self.statuses: Counter[str] = Counter()
        self.bodies: list[str] = []
        self.broken = 0

    async def run(self) -> Outcome:
        address = urlsplit(self._load.url)
        loop = asyncio.get_running_loop()
        self._done = loop.create_future()
        self._start = time.perf_counter() + (0 if self._load.in_order else self._load.warmup)
        self._end = self._start + self._load.seconds
        for _ in range(self._load.connections):
            await loop.create_connection(lambda: _Client(self), address.hostname or "", address.port or 80)
        await self._done
        times = sorted(self._times) or [0.0]
        passed = max(self._last - self._start, 1e-9)
        return Outcome(
            per_second=len(self._times) / passed,
            answered=len(self._times),
            p50=1000 * times[len(times) // 2],
            p99=1000 * times[min(len(times) * 99 // 100, len(times) - 1)],
            slowest=1000 * times[-1],
            statuses=dict(self.statuses),
            broken=self.broken,
            bodies=self.bodies,
        )

    def next_request(self) -> bytes | None:
        if self._load.in_order:
            return next(self._queue, None)
        return (
            None if time.perf_counter() >= self._end else self._requests[int(self._rng.random() * len(self._requests))]
        )

    def note(self, seconds: float, status: bytes, body: bytes) -> None:
        self._last = time.perf_counter()
        self.statuses[status.decode("latin-1")] += 1
        if self._last >= self._start:
            self._times.append(seconds)
        if self._load.keep_bodies:
            self.bodies.append(body.decode())

    def ended(self) -> None:
        self._open -= 1
        if not self._open and not self._done.done():
            self._done.set_result(None)


if __name__ == "__main__":
    print(json.dumps(asdict(asyncio.run(Crowd(Load(**json.load(sys.stdin))).run()))))
