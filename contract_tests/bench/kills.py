"""Kills a server in the middle of its work, again and again, and looks for anything that it had promised and lost.

`python -m contract_tests.bench.kills 50` does fifty rounds; the tests do a few.
"""

from __future__ import annotations

import http.client
import json
import random
import signal
import sys
import tempfile
import threading
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from contract_tests.bench.load import HEADERS
from contract_tests.support import Api, serving
from contract_tests.tutorial import BASE, S3, SOURCE_CONNECTION

WRITERS = 4
LONGEST = 0.6
"""Seconds from the first write to the kill, at most."""


@dataclass
class Writer:
    """One client that creates, changes and deletes entities of its own, and remembers what it was told."""

    url: str
    rng: random.Random
    acknowledged: dict[str, str | None] = field(default_factory=dict)
    """Each entity's etag as last acknowledged; None for one whose deletion was."""
    uncertain: str | None = None
    """The entity whose change was under way at the end."""
    answered: int = 0
    refused: list[tuple[int, str]] = field(default_factory=list)

    def run(self) -> None:
        """Works until the server is gone."""
        address = urlsplit(self.url)
        connection = http.client.HTTPConnection(address.hostname or "", address.port, timeout=20)
        try:
            while True:
                self._step(connection)
        except (OSError, http.client.HTTPException):
            return
        finally:
            connection.close()

    def _step(self, connection: http.client.HTTPConnection) -> None:
        own = [entity_id for entity_id, etag in self.acknowledged.items() if etag]
        self.uncertain = self.rng.choice(own) if own and self.rng.random() < 0.4 else None
        if self.uncertain is None:
            answer = self._send(connection, "POST", "/sourceConnections", SOURCE_CONNECTION)
            self.acknowledged[answer["id"]] = answer["etag"]
        elif self.rng.random() < 0.7:
            change = [{"op": "replace", "path": "/name", "value": f"name {self.rng.random()}"}]
            etag = self.acknowledged[self.uncertain]
            answer = self._send(connection, "PATCH", f"/sourceConnections/{self.uncertain}", change, {"If-Match": etag})
            self.acknowledged[self.uncertain] = answer["etag"]
        else:
            self._send(connection, "DELETE", f"/sourceConnections/{self.uncertain}")
            self.acknowledged[self.uncertain] = None
        self.uncertain = None

    def _send(
        self, connection: http.client.HTTPConnection, method: str, path: str, body: Any = None, headers: Any = None
    ) -> Any:
        sent = {**HEADERS, "Content-Type": "application/json", **(headers or {})}
        connection.request(method, BASE + path, None if body is None else json.dumps(body), sent)
        response = connection.getresponse()
        text = response.read()
        self.answered += 1
        if response.status >= 300:
            self.refused.append((response.status, text.decode()))
        return json.loads(text or b"{}")


@dataclass
class Verdict:
    """What a number of rounds came to."""

    rounds: int = 0
    acknowledged: int = 0
    lost: list[str] = field(default_factory=list)
    strays: list[str] = field(default_factory=list)
    refused: list[tuple[int, str]] = field(default_factory=list)
    slowest_start: float = 0.0
    """Seconds of the slowest start over what was left, the process's own start included."""


def rounds(folder: Path, count: int, seed: int = 0) -> Verdict:
    """Kills a server over one data folder `count` times, each time under writers and exports, and checks all after each."""
    verdict, rng = Verdict(), random.Random(seed)
    data, exports = folder / "data", folder / "exports"
    known: dict[str, str | None] = {}
    for _ in range(count + 1):
        began = time.perf_counter()
        with serving(folder, "--data-dir", str(data), "--rows-per-file", "300", export_dir=exports) as process:
            verdict.slowest_start = max(verdict.slowest_start, time.perf_counter() - began)
            _finish_exports(process.url)
            verdict.strays += strays(data, exports)
            _compare(process.url, known, verdict)
            if verdict.rounds == count:
                break
            writers = [Writer(process.url, random.Random(rng.random())) for _ in range(WRITERS)]
            _kill_under(process.url, process.process, writers, rng.random() * LONGEST)
            verdict.rounds += 1
        for writer in writers:
            verdict.acknowledged += writer.answered
            verdict.refused += writer.refused
            known |= {
                entity_id: etag for entity_id, etag in writer.acknowledged.items() if entity_id != writer.uncertain
            }
    return verdict


def _kill_under(url: str, process: Any, writers: list[Writer], seconds: float) -> None:
    api = Api(url, org=HEADERS["x-gw-ims-org-id"])
    api.flow(S3, {"interval": 3, "timeUnit": "hour", "startTime": int(api.control("GET", "/clock")["now"])})
    api.close()
    threads = [threading.Thread(target=writer.run) for writer in writers]
    threads.append(threading.Thread(target=_advance, args=(url,)))
    for thread in threads:
        thread.start()
    time.sleep(seconds)
    process.send_signal(signal.SIGKILL)
    process.wait()
    for thread in threads:
        thread.join()


def _advance(url: str) -> None:
    """Exports, one hour after the other, until the server is gone."""
    address = urlsplit(url)
    connection = http.client.HTTPConnection(address.hostname or "", address.port, timeout=20)
    try:
        while True:
            connection.request(
                "POST", "/__emulator/clock/advance", '{"seconds": 10800}', {"Content-Type": "application/json"}
            )
            connection.getresponse().read()
    except (OSError, http.client.HTTPException):
        return
    finally:
        connection.close()


def _finish_exports(url: str) -> None:
    """Waits for the exports that the kill broke off, which the next start begins again: their files are no strays."""
    api = Api(url, org=HEADERS["x-gw-ims-org-id"])
    api.advance(0)
    api.close()


def _compare(url: str, known: dict[str, str | None], verdict: Verdict) -> None:
    """Notes every entity that is not as it was last acknowledged."""
    address = urlsplit(url)
    connection = http.client.HTTPConnection(address.hostname or "", address.port, timeout=20)
    for entity_id, etag in known.items():
        connection.request("GET", f"{BASE}/sourceConnections/{entity_id}", headers=HEADERS)
        response = connection.getresponse()
        body = json.loads(response.read())
        found = body["items"][0]["etag"] if response.status == 200 else None
        if found != etag:
            verdict.lost.append(f"{entity_id}: {etag} was acknowledged, {found} is there")
    connection.close()


def strays(data: Path, exports: Path) -> list[str]:
    """Files that a killed server left behind: anything but the log and its lock, and unfinished exports."""
    left = [str(path) for path in data.iterdir() if path.name not in ("entities.log", "lock")]
    return left + [str(path) for path in exports.rglob("*.unfinished")]


def main() -> int:
    with tempfile.TemporaryDirectory() as folder:
        verdict = rounds(Path(folder), int(sys.argv[1]) if len(sys.argv) > 1 else 50, seed=int(time.time()))
    print(
        f"{verdict.rounds} kills survived, {verdict.acknowledged} answers to writers, {len(verdict.lost)} changes lost, "
        f"{len(verdict.strays)} stray files, {len(verdict.refused)} refusals, slowest start {verdict.slowest_start:.2f} s"
    )
    for line in (*verdict.lost[:10], *verdict.strays[:10], *map(str, verdict.refused[:10])):
        print("  " + line)
    return 1 if verdict.lost or verdict.strays or verdict.refused else 0


if __name__ == "__main__":
    sys.exit(main())
