"""Hostile clients: strange bytes, header floods and slow bodies, while an honest client goes on looking things up.

`python -m contract_tests.bench.siege 30` besieges a server of its own for thirty seconds.
"""

from __future__ import annotations

import asyncio
import contextlib
import random
import sys
import tempfile
import time
from pathlib import Path
from urllib.parse import urlsplit

from contract_tests.bench.client import Connection
from contract_tests.bench.load import HEADERS
from contract_tests.bench.processes import open_files, resident_bytes
from contract_tests.support import Api, serving
from contract_tests.test_raw_bytes import CHUNKED, HEAD, PAYLOADS
from contract_tests.tutorial import BASE, SOURCE_CONNECTION

SLOW, STRANGE = 200, 8


async def besiege(url: str, entity_id: str, seconds: float) -> tuple[list[float], int]:
    """How long (seconds) each of the honest client's answers took, and how many hostile inputs there were."""
    end = time.monotonic() + seconds
    tried = [0]
    hostile = [_slow(url, end, number) for number in range(SLOW)] + [
        _strange(url, end, number, tried) for number in range(STRANGE)
    ]
    honest = asyncio.create_task(_honest(url, entity_id, end))
    await asyncio.gather(*hostile)
    return await honest, tried[0] + SLOW


async def _honest(url: str, entity_id: str, end: float) -> list[float]:
    connection, took = Connection(url), []
    while time.monotonic() < end:
        began = time.monotonic()
        answer = await connection.send("GET", f"{BASE}/sourceConnections/{entity_id}")
        assert answer.status == 200
        took.append(time.monotonic() - began)
        await asyncio.sleep(0.005)
    connection.close()
    return took


async def _slow(url: str, end: float, number: int) -> None:
    """A body of a megabyte, a little at a time: with a length, or in chunks of a byte."""
    address = urlsplit(url)
    with contextlib.suppress(OSError):
        _, writer = await asyncio.open_connection(address.hostname, address.port)
        writer.write((CHUNKED if number % 2 else HEAD + "Content-Length: 1000000\r\n\r\n").encode())
        while time.monotonic() < end:
            writer.write(b"1\r\na\r\n" * 4 if number % 2 else b"a" * 5_000)
            await writer.drain()
            await asyncio.sleep(0.2)
        writer.close()


async def _strange(url: str, end: float, number: int, tried: list[int]) -> None:
    address, rng = urlsplit(url), random.Random(number)
    payloads = list(PAYLOADS.values())
    while time.monotonic() < end:
        payload = rng.choice(payloads)
        if rng.random() < 0.5:
            payload = payload[: rng.randrange(len(payload) + 1)] + rng.randbytes(rng.randrange(50))
        with contextlib.suppress(OSError):
            reader, writer = await asyncio.open_connection(address.hostname, address.port)
            writer.write(payload)
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(reader.read(1000), 0.05)
            writer.close()
        tried[0] += 1


def main() -> int:
    seconds = float(sys.argv[1]) if len(sys.argv) > 1 else 30.0
    with tempfile.TemporaryDirectory() as folder, serving(Path(folder)) as process:
        api = Api(process.url, org=HEADERS["x-gw-ims-org-id"])
        entity_id = api.created("sourceConnections", SOURCE_CONNECTION)
        pid = process.process.pid
        before, files = resident_bytes(pid), open_files(pid)
        took, tried = asyncio.run(besiege(process.url, entity_id, seconds))
        after = resident_bytes(pid)
        time.sleep(1)
        took.sort()
        print(
            f"{tried} hostile inputs in {seconds:.0f} s, {len(took)} honest look-ups: 50% within {1000 * took[len(took) // 2]:.1f} ms, "
            f"99% within {1000 * took[len(took) * 99 // 100]:.1f} ms, slowest {1000 * took[-1]:.0f} ms; memory {before / 1e6:.0f} -> {after / 1e6:.0f} MB, "
            f"open files {files} -> {open_files(pid)} afterwards"
        )
        assert api.item(f"/sourceConnections/{entity_id}")["id"] == entity_id
        if "Traceback" in process.log.read_text():
            print(process.log.read_text()[-3000:])
            return 1
        api.close()
    return 0


if __name__ == "__main__":
    sys.exit(main())
