"""What no HTTP client sends: the server stays up, keeps its memory bounded, and goes on answering the others."""

from __future__ import annotations

import asyncio
import contextlib
import random
import socket
import sys
import time
import tracemalloc
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from contract_tests.bench.processes import resident_bytes
from contract_tests.support import Api, ServerProcess, serving
from contract_tests.tutorial import BASE, SOURCE_CONNECTION
from flow_service_emulator.serving.reception import Reception

MEGABYTE = 1_000_000
HEAD = f"POST {BASE}/connections HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer t\r\nx-api-key: k\r\nx-gw-ims-org-id: o\r\nContent-Type: application/json\r\n"
CHUNKED = HEAD + "Transfer-Encoding: chunked\r\n\r\n"
PAYLOADS: dict[str, bytes] = {
    "nothing": b"",
    "HTTP/0.9": b"GET /\r\n",
    "HTTP/0.9 without an end": b"GET /",
    "another protocol": b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + bytes(range(256)),
    "HTTP/2": b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\x00\x00\x12\x04\x00\x00\x00\x00\x00",
    "HTTP/9.9": b"GET / HTTP/9.9\r\nHost: x\r\n\r\n",
    "HTTP/1.0": b"GET /__emulator/health HTTP/1.0\r\n\r\n",
    "no host": b"GET / HTTP/1.1\r\n\r\n",
    "two hosts": b"GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n",
    "zero bytes": b"\0" * 70_000,
    "line ends": b"\r\n" * 50_000,
    "a long line": b"GET /" + b"a" * 200_000,
    "a long path": b"GET /" + b"a" * 60_000 + b" HTTP/1.1\r\nHost: x\r\n\r\n",
    "a broken path": b"GET /%ff%fe/%zz/../../\xe4 HTTP/1.1\r\nHost: x\r\n\r\n",
    "an absolute path": b"GET http://evil.example/__emulator/health HTTP/1.1\r\nHost: x\r\n\r\n",
    "a star": b"OPTIONS * HTTP/1.1\r\nHost: x\r\n\r\n",
    "CONNECT": b"CONNECT localhost:22 HTTP/1.1\r\nHost: localhost:22\r\n\r\nSSH-2.0-x\r\n",
    "an upgrade": b"GET / HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n\r\n",
    "a header without a colon": b"GET / HTTP/1.1\r\nHost: x\r\nnonsense\r\n\r\n",
    "a header of controls": b"GET / HTTP/1.1\r\nHost: x\r\nx-a: \x00\x01\x7f\r\n\r\n",
    "a negative length": HEAD.encode() + b"Content-Length: -1\r\n\r\n{}",
    "a length of no number": HEAD.encode() + b"Content-Length: 1e3\r\n\r\n{}",
    "two lengths": HEAD.encode() + b"Content-Length: 2\r\nContent-Length: 3\r\n\r\n{} ",
    "a length and chunks": HEAD.encode()
    + b"Content-Length: 2\r\nTransfer-Encoding: chunked\r\n\r\n2\r\n{}\r\n0\r\n\r\n",
    "a length beyond all": HEAD.encode() + b"Content-Length: 99999999999999999999\r\n\r\n{}",
    "a length and no body": HEAD.encode() + b"Content-Length: 100\r\n\r\n{",
    "a chunk without a size": CHUNKED.encode() + b"\r\n{}\r\n0\r\n\r\n",
    "a chunk of a strange size": CHUNKED.encode() + b"zz\r\n{}\r\n",
    "a chunk beyond all": CHUNKED.encode() + b"ffffffffffffffffffff\r\n{}",
    "a chunk longer than said": CHUNKED.encode() + b"1\r\n{}{}{}\r\n0\r\n\r\n",
    "a long extension of a chunk": CHUNKED.encode() + b"1;" + b"a" * 200_000,
    "chunks without an end": CHUNKED.encode() + b"2\r\n{}\r\n",
    "many trailers": CHUNKED.encode() + b"0\r\n" + b"a: b\r\n" * 20_000 + b"\r\n",
    "many requests at once": b"GET /__emulator/health HTTP/1.1\r\nHost: localhost\r\n\r\n" * 200,
}


@pytest.fixture(scope="module")
def target(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServerProcess]:
    """A server of this file's own, since its memory is looked at."""
    with serving(tmp_path_factory.mktemp("raw")) as process:
        yield process


@contextlib.contextmanager
def connected(server: ServerProcess) -> Iterator[socket.socket]:
    """A plain connection to the server."""
    address = urlsplit(server.url)
    with socket.create_connection((address.hostname, address.port), timeout=10) as opened:
        yield opened


def throw(server: ServerProcess, payload: bytes) -> bytes:
    """Sends bytes, closes the sending side, and answers the first of what comes back."""
    with connected(server) as opened, contextlib.suppress(OSError):
        opened.sendall(payload)
        opened.shutdown(socket.SHUT_WR)
        return opened.recv(200)
    return b""


def assert_well(server: ServerProcess) -> None:
    """The server answers others."""
    with connected(server) as opened:
        opened.sendall(b"GET /__emulator/health HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
        assert opened.recv(50).startswith(b"HTTP/1.1 200")
    assert server.process.poll() is None


@pytest.mark.parametrize("name", PAYLOADS)
def test_strange_bytes_are_survived(target: ServerProcess, name: str) -> None:
    answer = throw(target, PAYLOADS[name])
    assert not answer.startswith(b"HTTP/1.1 500")
    assert_well(target)


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    st.one_of(
        st.binary(max_size=300),
        st.builds(
            lambda name, at, junk: PAYLOADS[name][:at] + junk,
            st.sampled_from(sorted(PAYLOADS)),
            st.integers(0, 300),
            st.binary(max_size=30),
        ),
    )
)
def test_any_bytes_are_survived(target: ServerProcess, payload: bytes) -> None:
    throw(target, payload)
    assert_well(target)


def test_what_it_threw_at_the_server_left_no_exception_in_its_log(target: ServerProcess) -> None:
    throw(target, PAYLOADS["a broken path"])
    assert "Traceback" not in target.log.read_text()


@pytest.mark.parametrize("size", [40_000, 500_000])
@pytest.mark.parametrize(
    ("before", "after", "status"),
    [
        (b"GET /x?a=", b" HTTP/1.1\r\nHost: localhost\r\n\r\n", b"414 URI Too Long"),
        (b"GET /x HTTP/1.1\r\nHost: localhost\r\nx-a: ", b"\r\n\r\n", b"431 Request Header Fields Too Large"),
    ],
)
def test_a_head_that_is_too_long_is_told_so(
    target: ServerProcess, before: bytes, after: bytes, status: bytes, size: int
) -> None:
    """Also while the client is still sending it: no reset of the connection takes the answer away (RFC 9112, 9.6)."""
    with connected(target) as opened:
        opened.sendall(before + b"a" * size + after)
        received = b"".join(iter(lambda: opened.recv(65_536), b""))
    assert received.startswith(b"HTTP/1.1 " + status)
    assert b"too long" in received
    assert_well(target)


def test_a_flood_of_headers_is_cut_off(target: ServerProcess) -> None:
    line = b"x-flood: " + b"a" * 1000 + b"\r\n"
    sent = 0
    with connected(target) as opened, contextlib.suppress(ConnectionError):
        opened.sendall(b"GET / HTTP/1.1\r\nHost: x\r\n")
        for _ in range(20_000):
            opened.sendall(line)
            sent += len(line)
    assert sent < 20 * MEGABYTE
    assert_well(target)


@pytest.mark.skipif(sys.platform != "linux", reason="memory is read from /proc")
def test_bodies_without_an_end_hold_no_more_than_their_bytes(target: ServerProcess) -> None:
    """Forty connections, each of which has sent most of a megabyte and stops."""
    assert_well(target)
    before = resident_bytes(target.process.pid)
    address = urlsplit(target.url)
    opened = [socket.create_connection((address.hostname, address.port), timeout=10) for _ in range(40)]
    try:
        for each in opened:
            each.sendall(HEAD.encode() + b"Content-Length: 1000000\r\n\r\n" + b" " * 900_000)
        assert_well(target)
        assert resident_bytes(target.process.pid) - before < 40 * 1.5 * MEGABYTE
    finally:
        for each in opened:
            each.close()
    assert_well(target)


def test_a_body_in_tiny_pieces_takes_its_bytes_and_not_its_pieces() -> None:
    left = 100_000

    async def receive() -> dict[str, Any]:
        nonlocal left
        left -= 1
        return {"type": "http.request", "body": b"%02d" % (left % 100), "more_body": left > 0}

    tracemalloc.start()
    try:
        body = asyncio.run(Reception().read(receive, 1_000_000, announced=True))
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert len(body) == 200_000
    assert peak < 1_500_000


def test_clients_that_vanish_leave_no_connection_open(target: ServerProcess) -> None:
    if sys.platform != "linux":
        pytest.skip("open files are counted in /proc")
    files = Path(f"/proc/{target.process.pid}/fd")
    before = len(list(files.iterdir()))
    rng = random.Random(1)
    for _ in range(100):
        with connected(target) as opened:
            payload = PAYLOADS["a length and no body"]
            opened.sendall(payload[: rng.randrange(len(payload))])
    for _ in range(100):
        if len(list(files.iterdir())) <= before + 2:
            break
        time.sleep(0.02)
    else:
        pytest.fail(f"{len(list(files.iterdir())) - before} more files are open than before")


def test_a_client_that_only_stops_sending_gets_its_answer(target: ServerProcess) -> None:
    answer = throw(target, b"GET /__emulator/health HTTP/1.1\r\nHost: localhost\r\n\r\n")
    assert answer.startswith(b"HTTP/1.1 200")


def test_nothing_of_all_that_was_stored(target: ServerProcess) -> None:
    api = Api(target.url)
    assert api.items("/connections") == []
    api.created("sourceConnections", SOURCE_CONNECTION)
    api.close()


def test_head_and_body_arrive_together_and_in_order(target: ServerProcess) -> None:
    """Also those of many requests that were sent without waiting for answers."""
    one = b"GET /__emulator/health HTTP/1.1\r\nHost: localhost\r\n\r\n"
    with connected(target) as opened:
        opened.sendall(one * 20 + one.replace(b"\r\n\r\n", b"\r\nConnection: close\r\n\r\n"))
        received = b"".join(iter(lambda: opened.recv(65_536), b""))
    answers = received.split(b"HTTP/1.1 200 OK\r\n")[1:]
    assert len(answers) == 21
    assert all(answer.partition(b"\r\n\r\n")[2].startswith(b'{"status":"ok"') for answer in answers)
