"""A crowd: many connections that read, create, patch the same entities and advance the clock, all at once.

`python -m contract_tests.bench.crowd 200 60` is two hundred connections for a minute; the tests do a smaller one.
"""

from __future__ import annotations

import asyncio
import random
import sys
import tempfile
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from contract_tests.bench.client import Connection
from contract_tests.bench.load import HEADERS
from contract_tests.support import Api, serving
from contract_tests.tutorial import BASE, S3, SOURCE_CONNECTION

SHARED = 5
"""Entities that everybody patches."""
HOURS = 3
"""The flow's interval, and how far each advance goes."""


@dataclass
class Gathering:
    """What a crowd did, and what it found wrong."""

    requests: int = 0
    patches: dict[str, int] = field(default_factory=dict)
    """Entity -> how many patches of it were acknowledged; each adds one to the number in its name."""
    conflicts: int = 0
    created: list[str] = field(default_factory=list)
    instants: list[float] = field(default_factory=list)
    """Where the clock stood after each advance, as it was answered."""
    runs: list[str] = field(default_factory=list)
    wrong: list[str] = field(default_factory=list)
    slowest: float = 0.0
    """Seconds of the slowest answer that was no advance."""


async def gather(url: str, shared: list[str], connections: int, seconds: float) -> Gathering:
    """Lets a crowd loose on a server for some seconds."""
    gathering = Gathering(patches=dict.fromkeys(shared, 0))
    end = time.monotonic() + seconds
    await asyncio.gather(
        *(_member(url, gathering, random.Random(number), end, advances=number < 2) for number in range(connections))
    )
    return gathering


async def _member(url: str, gathering: Gathering, rng: random.Random, end: float, *, advances: bool) -> None:
    connection = Connection(url)
    try:
        while time.monotonic() < end:
            if advances:
                await _advance(connection, gathering)
            else:
                await rng.choice((_read, _read, _create, _patch, _patch, _list))(connection, gathering, rng)
    except (OSError, EOFError) as broken:
        gathering.wrong.append(f"a connection broke: {broken!r}")
    finally:
        connection.close()


async def _send(
    connection: Connection,
    gathering: Gathering,
    method: str,
    path: str,
    body: Any = None,
    headers: Any = None,
    *,
    fine: tuple[int, ...],
) -> Any:
    began = time.monotonic()
    answer = await connection.send(method, path, body, headers)
    gathering.requests += 1
    if "/clock/" not in path:
        gathering.slowest = max(gathering.slowest, time.monotonic() - began)
    if answer.status not in fine:
        gathering.wrong.append(f"{method} {path}: {answer.status} {answer.body[:200]!r}")
    return answer.json() if answer.status < 300 and answer.body else None


async def _advance(connection: Connection, gathering: Gathering) -> None:
    answer = await _send(
        connection, gathering, "POST", "/__emulator/clock/advance", {"seconds": HOURS * 3600}, fine=(200,)
    )
    if answer is not None:
        gathering.instants.append(answer["now"])
        gathering.runs += [run["id"] for run in answer["runs"]]


async def _read(connection: Connection, gathering: Gathering, rng: random.Random) -> None:
    entity_id = rng.choice([*gathering.patches, *gathering.created[-50:]])
    _look_at(await _send(connection, gathering, "GET", f"{BASE}/sourceConnections/{entity_id}", fine=(200,)), gathering)


async def _list(connection: Connection, gathering: Gathering, rng: random.Random) -> None:
    _look_at(await _send(connection, gathering, "GET", f"{BASE}/sourceConnections?limit=20", fine=(200,)), gathering)


def _look_at(page: Any, gathering: Gathering) -> None:
    """Name and description of the crowd's entities are always patched together; apart, they are of a torn read."""
    for item in page["items"] if page else ():
        ours = item["name"].isdigit() or item["description"].isdigit()
        if item["etag"] != item["version"] or (ours and item["name"] != item["description"]):
            gathering.wrong.append(f"torn: {item}")


async def _create(connection: Connection, gathering: Gathering, rng: random.Random) -> None:
    body = {**SOURCE_CONNECTION, "name": "new", "description": "new"}
    answer = await _send(connection, gathering, "POST", f"{BASE}/sourceConnections", body, fine=(201,))
    if answer is not None:
        gathering.created.append(answer["id"])


async def _patch(connection: Connection, gathering: Gathering, rng: random.Random) -> None:
    """Adds one to the number that an entity carries, if nobody else was quicker."""
    entity_id = rng.choice(list(gathering.patches))
    path = f"{BASE}/sourceConnections/{entity_id}"
    page = await _send(connection, gathering, "GET", path, fine=(200,))
    if page is None:
        return
    item = page["items"][0]
    name = str(int(item["name"]) + 1)
    change = [{"op": "replace", "path": f"/{field}", "value": name} for field in ("name", "description")]
    answer = await _send(connection, gathering, "PATCH", path, change, {"If-Match": item["etag"]}, fine=(200, 412))
    if answer is None:
        gathering.conflicts += 1
    else:
        gathering.patches[entity_id] += 1


def check(api: Api, gathering: Gathering, started_at: float) -> None:
    """Adds to what is wrong whatever the server does not hold as it was answered."""
    for entity_id, patched in gathering.patches.items():
        name = api.item(f"/sourceConnections/{entity_id}")["name"]
        if name != str(patched):
            gathering.wrong.append(f"lost update: {patched} patches were acknowledged, and {name} are there")
    total = api.get("/sourceConnections", params={"count": "true"}).json()["count"]
    if total != len(gathering.created) + len(gathering.patches) + 1:
        gathering.wrong.append(f"{len(gathering.created)} creations were acknowledged; {total} entities are there")
    expected = [started_at + HOURS * 3600 * (number + 1) for number in range(len(gathering.instants))]
    if sorted(gathering.instants) != expected:
        gathering.wrong.append(
            f"advances were not one after the other: {sorted(gathering.instants)[:10]}, not {expected[:10]}"
        )
    if len(set(gathering.runs)) != len(gathering.runs):
        gathering.wrong.append("a run was answered twice")
    if abs(len(gathering.runs) - len(gathering.instants)) > 1:
        gathering.wrong.append(f"{len(gathering.runs)} runs in {len(gathering.instants)} advances")


def run(folder: Path, connections: int, seconds: float) -> Gathering:
    """A crowd before a server of its own, and what it found."""
    with serving(folder, "--data-dir", str(folder / "data")) as process:
        api = Api(process.url, org=HEADERS["x-gw-ims-org-id"])
        started_at = float(api.control("GET", "/clock")["now"])
        api.flow(S3, {"interval": HOURS, "timeUnit": "hour", "startTime": int(started_at) + HOURS * 3600})
        body = {**SOURCE_CONNECTION, "name": "0", "description": "0"}
        shared = [api.created("sourceConnections", body) for _ in range(SHARED)]
        gathering = asyncio.run(gather(process.url, shared, connections, seconds))
        check(api, gathering, started_at)
        api.close()
        if process.process.poll() is not None:
            gathering.wrong.append("the server has ended")
    return gathering


def main() -> int:
    connections, seconds = (int(text) for text in (*sys.argv[1:], "200", "60")[:2])
    with tempfile.TemporaryDirectory() as folder:
        found = run(Path(folder), connections, seconds)
    print(
        f"{connections} connections, {seconds} s: {found.requests} requests, {len(found.created)} creations, "
        f"{sum(found.patches.values())} patches and {found.conflicts} conflicts on {SHARED} entities, {len(found.instants)} advances, "
        f"{len(found.runs)} runs, slowest answer {1000 * found.slowest:.0f} ms, {len(found.wrong)} wrong"
    )
    for line in found.wrong[:20]:
        print("  " + line)
    return 1 if found.wrong else 0


if __name__ == "__main__":
    sys.exit(main())
