"""Hostile clients: strange bytes, floods, slow and huge bodies, heads without an end, mute connections, answers that nobody
fetches, while honest clients go on looking things up, one on a connection that it keeps and one on a new one each time.

`python -m contract_tests.bench.siege 30` besieges a server of its own for thirty seconds.
"""

from __future__ import annotations

import asyncio
import contextlib
import multiprocessing
import random
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from contract_tests.bench.client import Connection
from contract_tests.bench.load import HEADERS
from contract_tests.bench.processes import open_files, resident_bytes
from contract_tests.support import Api, serving
from contract_tests.test_raw_bytes import CHUNKED, HEAD, PAYLOADS
from contract_tests.tutorial import BASE, SOURCE_CONNECTION

STRANGE, SLOW, HEADLESS, MUTE, HUGE, UNREAD = 8, 200, 100, 300, 200, 20
"""How many there are of each kind at a time."""
HUGE_BYTES = 256_000_000
Hostile = Callable[[asyncio.StreamReader, asyncio.StreamWriter, random.Random], Awaitable[None]]
"""What a hostile client does with a connection, until the server ends it."""


@dataclass
class Siege:
    """What came of it. Times are seconds, as the honest clients met them; memory is the server's, in bytes."""

    kept: list[float] = field(default_factory=list)
    """On a connection that is kept."""
    new: list[float] = field(default_factory=list)
    """On a new connection each."""
    tried: Counter[str] = field(default_factory=Counter)
    """Connections of each kind of hostile client."""
    peak: int = 0


def besiege(url: str, entity_id: str, seconds: float, pid: int, kinds: Mapping[str, int]) -> Siege:
    """Hostile clients, as many of each kind as `kinds` says, for so many seconds; in a process of their own, lest the honest
    ones wait for them and not for the server."""
    siege = Siege()
    ours, theirs = multiprocessing.Pipe()
    context = multiprocessing.get_context("spawn")
    hostile = context.Process(target=_attack, args=(url, dict(kinds), theirs), daemon=True)
    hostile.start()
    try:
        ours.recv()  # once they have begun
        asyncio.run(_hold_out(url, entity_id, time.monotonic() + seconds, pid, siege))
    finally:
        ours.send(None)
        siege.tried = ours.recv()
        hostile.join()
    return siege


async def _hold_out(url: str, entity_id: str, end: float, pid: int, siege: Siege) -> None:
    await asyncio.gather(
        _honest(url, entity_id, end, siege.kept, keep=True),
        _honest(url, entity_id, end, siege.new, keep=False),
        _weigh(pid, end, siege),
    )


def _attack(url: str, kinds: Mapping[str, int], told: Any) -> None:
    """The hostile clients' process. It goes on until it is told something."""
    tried: Counter[str] = Counter()

    async def attack() -> None:
        told.send(None)
        hostile = [
            asyncio.create_task(_hostile(url, KINDS[kind], random.Random(number), tried, kind))
            for kind, count in kinds.items()
            for number in range(count)
        ]
        await asyncio.to_thread(told.recv)
        for task in hostile:
            task.cancel()
        await asyncio.gather(*hostile, return_exceptions=True)

    asyncio.run(attack())
    told.send(tried)


async def _honest(url: str, entity_id: str, end: float, took: list[float], *, keep: bool) -> None:
    connection = Connection(url)
    while time.monotonic() < end:
        began = time.monotonic()
        answer = await connection.send("GET", f"{BASE}/sourceConnections/{entity_id}")
        assert answer.status == 200
        took.append(time.monotonic() - began)
        if not keep:
            connection.close()
        await asyncio.sleep(0.01)
    connection.close()


async def _weigh(pid: int, end: float, siege: Siege) -> None:
    while time.monotonic() < end:
        siege.peak = max(siege.peak, resident_bytes(pid))
        await asyncio.sleep(0.1)


async def _hostile(url: str, does: Hostile, rng: random.Random, tried: Counter[str], kind: str) -> None:
    """One connection after the other."""
    address = urlsplit(url)
    while True:
        tried[kind] += 1
        writer = None
        try:
            reader, writer = await asyncio.open_connection(address.hostname, address.port)
            await does(reader, writer, rng)
        except (OSError, EOFError):
            await asyncio.sleep(0.05)
        finally:
            if writer is not None:
                writer.transport.abort()


async def _strange(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, rng: random.Random) -> None:
    payload = rng.choice(list(PAYLOADS.values()))
    if rng.random() < 0.5:
        payload = payload[: rng.randrange(len(payload) + 1)] + rng.randbytes(rng.randrange(50))
    writer.write(payload)
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(0.05):  # `wait_for` of Python 3.11 can swallow the end of the siege
            await reader.read(1000)


async def _slow(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, rng: random.Random) -> None:
    """A body of a megabyte, a little at a time: with a length, or in chunks of a byte."""
    chunked = rng.random() < 0.5
    writer.write((CHUNKED if chunked else HEAD + "Content-Length: 1000000\r\n\r\n").encode())
    while not reader.at_eof():
        writer.write(b"1\r\na\r\n" * 4 if chunked else b"a" * 5_000)
        await writer.drain()
        await asyncio.sleep(0.2)


async def _headless(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, rng: random.Random) -> None:
    """A head, a header at a time."""
    writer.write(b"GET / HTTP/1.1\r\n")
    while not reader.at_eof():
        writer.write(b"x-a: b\r\n")
        await writer.drain()
        await asyncio.sleep(0.5)


async def _mute(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, rng: random.Random) -> None:
    await reader.read(1)


async def _huge(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, rng: random.Random) -> None:
    """The largest body that a control call may have, as fast as it goes, and its last byte never."""
    head = f"PUT /__emulator/state HTTP/1.1\r\nHost: localhost\r\nContent-Length: {HUGE_BYTES}\r\n\r\n["
    writer.write(head.encode())
    piece = b" " * 65_536
    for _ in range(HUGE_BYTES // len(piece) - 1):
        writer.write(piece)
        await writer.drain()
        if reader.at_eof():
            return
    await reader.read()


async def _unread(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, rng: random.Random) -> None:
    """Asks for the largest answer there is, again and again, and fetches nothing."""
    writer.transport.pause_reading()  # type: ignore[attr-defined]  # asyncio's own have it
    while True:
        writer.write(b"GET /openapi.json HTTP/1.1\r\nHost: localhost\r\n\r\n" * 10)
        await writer.drain()
        await asyncio.sleep(0.1)


KINDS: Mapping[str, Hostile] = {
    "strange": _strange,
    "slow": _slow,
    "headless": _headless,
    "mute": _mute,
    "huge": _huge,
    "unread": _unread,
}
ALL: Mapping[str, int] = {
    "strange": STRANGE,
    "slow": SLOW,
    "headless": HEADLESS,
    "mute": MUTE,
    "huge": HUGE,
    "unread": UNREAD,
}


def _told(took: list[float]) -> str:
    took.sort()
    return (
        f"{len(took)} look-ups, 50% within {1000 * took[len(took) // 2]:.1f} ms, "
        f"99% within {1000 * took[len(took) * 99 // 100]:.1f} ms, slowest {1000 * took[-1]:.0f} ms"
    )


def main() -> int:
    seconds = float(sys.argv[1]) if len(sys.argv) > 1 else 30.0
    kinds = {kind: ALL[kind] for kind in sys.argv[2:]} or ALL
    with tempfile.TemporaryDirectory() as folder, serving(Path(folder)) as process:
        api = Api(process.url, org=HEADERS["x-gw-ims-org-id"])
        entity_id = api.created("sourceConnections", SOURCE_CONNECTION)
        pid = process.process.pid
        before, files = resident_bytes(pid), open_files(pid)
        siege = besiege(process.url, entity_id, seconds, pid, kinds)
        time.sleep(1)
        print(
            f"{seconds:.0f} s of {dict(siege.tried)}\non a kept connection: {_told(siege.kept)}\n"
            f"on a new one each time: {_told(siege.new)}\nmemory {before / 1e6:.0f} MB before, {siege.peak / 1e6:.0f} at most, "
            f"{resident_bytes(pid) / 1e6:.0f} afterwards; open files {files} before, {open_files(pid)} afterwards"
        )
        assert api.item(f"/sourceConnections/{entity_id}")["id"] == entity_id
        if "Traceback" in process.log.read_text():
            print(process.log.read_text()[-3000:])
            return 1
        api.close()
    return 0


if __name__ == "__main__":
    sys.exit(main())
