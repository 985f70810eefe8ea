"""What a server takes in at once, and how long it waits: slow heads and bodies, answers that nobody fetches, crowds, large bodies.

Each test has a server of its own, within the test's event loop, with bounds so small that they are soon reached.
"""

from __future__ import annotations

import asyncio
import contextlib
import gc
import json
import socket
import sys
from collections.abc import AsyncIterator, Callable, Coroutine
from pathlib import Path
from typing import Any

import httpx
import pytest

from contract_tests.bench.client import Answer, read_answer
from contract_tests.support import FROZEN_NOW, assert_error
from contract_tests.tutorial import BASE, SOURCE_CONNECTION
from flow_service_emulator.app import create_app
from flow_service_emulator.clock import Clock
from flow_service_emulator.server import OPEN_FILES, Server, allowed_files, open_socket
from flow_service_emulator.serving.connections import LendingProtocol, look_at
from flow_service_emulator.serving.reception import Limits
from flow_service_emulator.settings import Settings

HEAD = (
    "{method} {path} HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer t\r\nx-api-key: k\r\nx-gw-ims-org-id: o\r\n"
    "Content-Type: application/json\r\nContent-Length: {length}\r\n\r\n"
)
SOON = Limits(seconds=0.03)
BODY = json.dumps(SOURCE_CONNECTION).encode()


class Client:
    """One connection."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader, self._writer = reader, writer

    async def send(self, data: bytes) -> None:
        self._writer.write(data)
        await self._writer.drain()

    async def begin(self, method: str, path: str, length: int, body: bytes = b"") -> None:
        """Sends a request's head and the beginning of its body."""
        await self.send(HEAD.format(method=method, path=path, length=length).encode() + body)

    async def ask(self) -> Answer:
        """Sends a whole request, and answers its answer."""
        await self.begin("GET", "/__emulator/health", 0)
        return await self.answer()

    async def answer(self) -> Answer:
        return await asyncio.wait_for(read_answer(self._reader), 20)

    async def end(self) -> bytes:
        """What still comes until the server closes the connection."""
        with contextlib.suppress(ConnectionError):
            return await asyncio.wait_for(self._reader.read(), 20)
        return b""

    def close(self) -> None:
        self._writer.close()


class Served:
    """A running server, and connections to it."""

    def __init__(self, server: Server, listener: socket.socket) -> None:
        self.address = listener.getsockname()
        self.opened: list[Any] = []
        self.connections: set[Any] = server.server_state.connections

    async def connect(self) -> Client:
        client = Client(*await asyncio.open_connection(*self.address))
        self.opened.append(client)
        return client

    async def until(self, holds: Callable[[], bool]) -> None:
        """Waits for something to be so."""
        async with asyncio.timeout(20):
            while not holds():
                await asyncio.sleep(0.005)

    def close(self) -> None:
        for client in self.opened:
            client.close()


@contextlib.asynccontextmanager
async def served(folder: Path, limits: Limits) -> AsyncIterator[Served]:
    """A server whose ticks come every few milliseconds."""
    app = create_app(Settings(export_dir=folder / "exports"), Clock("frozen", now=FROZEN_NOW))
    with open_socket("127.0.0.1", 0) as listener:
        server = Server(app, listener, limits)
        server.config.load()
        server.lifespan = server.config.lifespan_class(server.config)
        await server.startup([listener])
        gc.unfreeze()

        async def tick() -> None:
            while True:
                await server.on_tick(0)
                await asyncio.sleep(0.005)

        ticking = asyncio.create_task(tick())
        there = Served(server, listener)
        try:
            yield there
        finally:
            there.close()
            await there.until(lambda: not there.connections)
            ticking.cancel()
            for each in server.servers:
                each.close()
            await server.lifespan.shutdown()


def run(folder: Path, limits: Limits, test: Callable[[Served], Coroutine[Any, Any, None]]) -> None:
    async def whole() -> None:
        async with served(folder, limits) as there:
            await test(there)

    asyncio.run(whole())


def checked(answer: Answer, name: str) -> None:
    """The answer is the error of this name."""
    assert_error(httpx.Response(answer.status, headers=answer.headers, content=answer.body), name)


def test_a_head_that_never_ends_is_answered_408(tmp_path: Path) -> None:
    async def test(there: Served) -> None:
        client = await there.connect()
        await client.send(b"GET /__emulator/health HTTP/1.1\r\nHost: localh")
        answer = await client.answer()
        assert (answer.status, answer.headers["connection"]) == (408, "close")
        assert await client.end() == b""

    run(tmp_path, SOON, test)


def test_a_second_head_that_never_ends_is_answered_408(tmp_path: Path) -> None:
    async def test(there: Served) -> None:
        client = await there.connect()
        assert (await client.ask()).status == 200
        await client.send(b"GET /")
        assert (await client.answer()).status == 408

    run(tmp_path, SOON, test)


def test_a_connection_that_brings_nothing_is_closed(tmp_path: Path) -> None:
    async def test(there: Served) -> None:
        client = await there.connect()
        assert await client.end() == b""

    run(tmp_path, SOON, test)


def test_a_connection_that_is_kept_alive_is_not_taken_for_one(tmp_path: Path) -> None:
    async def test(there: Served) -> None:
        client, mute = await there.connect(), await there.connect()
        assert (await client.ask()).status == 200
        assert await mute.end() == b""
        assert (await client.ask()).status == 200

    run(tmp_path, SOON, test)


@pytest.mark.parametrize(("method", "path"), [("POST", f"{BASE}/sourceConnections"), ("PUT", "/__emulator/state")])
def test_a_body_that_never_ends_is_answered_408(tmp_path: Path, method: str, path: str) -> None:
    async def test(there: Served) -> None:
        client = await there.connect()
        await client.begin(method, path, len(BODY), BODY[:-1])
        answer = await client.answer()
        checked(answer, "request-timeout")
        assert answer.headers["connection"] == "close"
        assert await client.end() == b""
        other = await there.connect()
        await other.begin("GET", f"{BASE}/sourceConnections", 0)
        assert (await other.answer()).json()["items"] == []

    run(tmp_path, SOON, test)


def test_a_body_in_chunks_that_never_ends_is_answered_408(tmp_path: Path) -> None:
    async def test(there: Served) -> None:
        client = await there.connect()
        head = HEAD.format(method="POST", path=f"{BASE}/flows", length=0)
        await client.send(head.replace("Content-Length: 0", "Transfer-Encoding: chunked").encode() + b"1\r\n{\r\n")
        checked(await client.answer(), "request-timeout")

    run(tmp_path, SOON, test)


def test_a_slow_body_that_keeps_its_pace_is_waited_for(tmp_path: Path) -> None:
    async def test(there: Served) -> None:
        client, mute = await there.connect(), await there.connect()
        await client.begin("POST", f"{BASE}/sourceConnections", len(BODY), BODY[:100])
        assert await mute.end() == b""  # so it has been longer than `seconds`
        await client.send(BODY[100:])
        assert (await client.answer()).status == 201

    run(tmp_path, SOON._replace(bytes_per_second=1), test)


def test_the_rest_of_a_body_that_was_refused_is_not_waited_for(tmp_path: Path) -> None:
    async def test(there: Served) -> None:
        client = await there.connect()
        head = HEAD.format(method="PUT", path="/__emulator/state", length=1000)
        await client.send(head.replace("localhost", "evil.example").encode() + b"{")
        checked(await client.answer(), "host-not-allowed")
        assert await client.end() == b""

    run(tmp_path, SOON, test)


async def _fetch_nothing(there: Served) -> None:
    """A client that asks for a lot and reads nothing of it."""
    mute = socket.socket()
    there.opened.append(mute)
    mute.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    mute.setblocking(False)
    await asyncio.get_running_loop().sock_connect(mute, there.address)
    with contextlib.suppress(BlockingIOError):
        mute.send(b"GET /openapi.json HTTP/1.1\r\nHost: localhost\r\n\r\n" * 100)
    await there.until(lambda: any(connection.unread_bytes for connection in there.connections))


@pytest.mark.parametrize("limits", [SOON, Limits(unread_bytes=10_000, seconds=2)])
def test_answers_that_nobody_fetches_are_dropped(tmp_path: Path, limits: Limits) -> None:
    """After a while, and when there are too many of them."""

    async def test(there: Served) -> None:
        await _fetch_nothing(there)
        await there.until(lambda: not there.connections)

    run(tmp_path, limits, test)


class _Reader:
    """What `look_at` sees of a connection."""

    def __init__(self, unread_bytes: int, unchanged_since: float) -> None:
        self.unread_bytes, self.unchanged_since = unread_bytes, unchanged_since
        self.transport, self.aborted = self, False

    def look(self, now: float) -> None:
        pass

    def abort(self) -> None:
        self.aborted = True


@pytest.mark.parametrize(("room", "dropped"), [(1000, []), (599, [300]), (299, [300, 200]), (0, [300, 200]), (600, [])])
def test_of_too_many_answers_the_largest_go_that_nobody_fetches(room: int, dropped: list[int]) -> None:
    readers: list[Any] = [_Reader(100, 5.0), _Reader(300, 4.0), _Reader(200, 4.9)]
    look_at(readers, 5.0, room)
    assert sorted((each.unread_bytes for each in readers if each.aborted), reverse=True) == dropped


def test_where_there_is_no_room_for_another_connection_the_longest_idle_one_goes(tmp_path: Path) -> None:
    async def test(there: Served) -> None:
        first, second, third = [await there.connect() for _ in range(3)]
        assert [(await client.ask()).status for client in (first, second, third)] == [200, 200, 200]
        assert isinstance(next(iter(there.connections)), LendingProtocol)
        await asyncio.sleep(0.05)  # a look that finds something changed would set the times anew
        for age, client in enumerate((second, third, first)):
            port = client._writer.get_extra_info("sockname")[1]
            next(each for each in there.connections if each.client[1] == port).unchanged_since = age
        fourth = await there.connect()
        assert (await fourth.ask()).status == 200
        assert await second.end() == b""
        assert [(await client.ask()).status for client in (first, third, fourth)] == [200, 200, 200]

    run(tmp_path, Limits(connections=3), test)


def test_where_all_connections_are_busy_another_is_refused(tmp_path: Path) -> None:
    async def test(there: Served) -> None:
        busy = [await there.connect() for _ in range(2)]
        for client in busy:
            await client.begin("POST", f"{BASE}/sourceConnections", len(BODY), BODY[:-1])
        await there.until(lambda: [each.idle for each in there.connections] == [False, False])
        another = await there.connect()
        answer = await another.answer()
        assert (answer.status, answer.headers["retry-after"], answer.headers["connection"]) == (503, "1", "close")
        assert await another.end() == b""
        for client in busy:
            await client.send(BODY[-1:])
            assert (await client.answer()).status == 201
        assert (await (await there.connect()).ask()).status == 200

    run(tmp_path, Limits(connections=2), test)


def test_bodies_share_the_room_that_there_is_for_them(tmp_path: Path) -> None:
    async def test(there: Served) -> None:
        first, second = await there.connect(), await there.connect()
        padded = BODY + b" " * 600_000
        await first.begin("POST", f"{BASE}/sourceConnections", len(padded), padded[:-1])
        await there.until(lambda: any(not each.idle for each in there.connections))
        assert (await second.ask()).status == 200
        await second.begin("POST", f"{BASE}/sourceConnections", len(padded), padded)
        answer = await second.answer()
        checked(answer, "server-busy")
        assert answer.headers["retry-after"] == "1"
        await first.send(padded[-1:])
        assert (await first.answer()).status == 201
        for _ in range(3):  # whose room is given back each time
            await second.begin("POST", f"{BASE}/sourceConnections", len(padded), padded)
            assert (await second.answer()).status == 201

    run(tmp_path, Limits(body_bytes=1_000_000), test)


def test_a_body_that_is_broken_off_gives_its_room_back(tmp_path: Path) -> None:
    async def test(there: Served) -> None:
        padded = BODY + b" " * 600_000
        for _ in range(3):
            client = await there.connect()
            await client.begin("POST", f"{BASE}/sourceConnections", len(padded), padded[:-1])
            await there.until(lambda: any(not each.idle for each in there.connections))
            client.close()
            await there.until(lambda: not there.connections)
        client = await there.connect()
        await client.begin("POST", f"{BASE}/sourceConnections", len(padded), padded)
        assert (await client.answer()).status == 201

    run(tmp_path, Limits(body_bytes=1_000_000), test)


@pytest.mark.parametrize(
    ("method", "path", "error"),
    [
        ("PUT", "/__emulator/state", "control-invalid"),
        ("PUT", "/__emulator/datasets/mine", "control-invalid"),
        ("POST", "/__emulator/state", "body-too-large"),
        ("PUT", "/__emulator/clock", "body-too-large"),
        ("PUT", "/__emulator/faults", "body-too-large"),
        ("POST", "/__emulator/reset", "body-too-large"),
        ("POST", f"{BASE}/flows", "body-too-large"),
    ],
)
def test_only_a_snapshot_and_a_dataset_may_be_large(tmp_path: Path, method: str, path: str, error: str) -> None:
    async def test(there: Served) -> None:
        client = await there.connect()
        await client.begin(method, path, 1_000_002, b"[" + b" " * 1_000_000 + b"]")
        checked(await client.answer(), error)

    run(tmp_path, Limits(), test)


@pytest.mark.skipif(sys.platform == "win32", reason="there is no such limit")
def test_the_number_of_open_files_is_raised_where_the_system_lets_it(monkeypatch: pytest.MonkeyPatch) -> None:
    import resource

    asked: list[tuple[int, int]] = []
    monkeypatch.setattr(resource, "setrlimit", lambda which, limits: asked.append(limits))
    monkeypatch.setattr(resource, "getrlimit", lambda which: (256, 1_000))
    assert allowed_files() == 1_000
    monkeypatch.setattr(resource, "getrlimit", lambda which: (256, resource.RLIM_INFINITY))
    assert allowed_files() == OPEN_FILES
    assert asked == [(1_000, 1_000), (OPEN_FILES, resource.RLIM_INFINITY)]
    monkeypatch.setattr(resource, "getrlimit", lambda which: (1_000_000, 1_000_000))
    assert allowed_files() == 1_000_000
    assert len(asked) == 2
