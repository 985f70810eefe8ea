"""Kills a server in the middle of its work, again and again, and looks for anything that it had promised and lost.

`python -m contract_tests.bench.kills 12` kills twelve times, under four writers and exports. The user's card does it twice.
"""

from __future__ import annotations

import random
import sys
import tempfile
import threading
import time
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path

import httpx

from contract_tests.support import Api, serving
from contract_tests.tutorial import S3, SOURCE_CONNECTION

WRITERS = 4
LONGEST = 0.6
"""Seconds from the first write to the kill, at most."""
Known = dict[str, str | None]
"""Each entity's etag as last acknowledged; None for one whose deletion was."""


@dataclass
class Writer:
    """One client that creates, changes and deletes entities of its own, and remembers what it was told."""

    url: str
    rng: random.Random
    told: Known = field(default_factory=dict)
    uncertain: str | None = None
    """The entity whose change was under way at the end."""
    answered: int = 0
    refused: list[str] = field(default_factory=list)

    def run(self) -> None:
        """Works until the server is gone."""
        with closing(Api(self.url)) as api:
            try:
                while True:
                    self._step(api)
                    self.uncertain = None
            except httpx.TransportError:
                return

    def _step(self, api: Api) -> None:
        own = [entity_id for entity_id, etag in self.told.items() if etag]
        chance = self.rng.random()
        if not own or chance < 0.6:
            answer = api.post("/sourceConnections", SOURCE_CONNECTION)
        else:
            self.uncertain = self.rng.choice(own)
            path = f"/sourceConnections/{self.uncertain}"
            change = [{"op": "replace", "path": "/name", "value": f"name {chance}"}]
            answer = api.patch(path, self.told[self.uncertain], change) if chance < 0.9 else api.delete(path)
        self.answered += 1
        if answer.status_code >= 300:
            self.refused.append(f"{answer.status_code} {answer.text}")
        elif answer.content:
            self.told[answer.json()["id"]] = answer.json()["etag"]
        elif self.uncertain is not None:
            self.told[self.uncertain] = None


@dataclass
class Verdict:
    """What a number of rounds came to."""

    kills: int = 0
    answered: int = 0
    wrong: list[str] = field(default_factory=list)
    slowest_start: float = 0.0


def rounds(folder: Path, count: int, seed: int) -> Verdict:
    """Kills a server over one data folder `count` times and checks all after each."""
    verdict, rng, known = Verdict(), random.Random(seed), Known()
    data = folder / "data"
    while True:
        began = time.perf_counter()
        with serving(folder, "--data-dir", str(data), "--rows-per-file", "300") as server:
            verdict.slowest_start = max(verdict.slowest_start, time.perf_counter() - began)
            with closing(Api(server.url)) as api:
                api.advance(0)  # what falls due is over, so that no file is half written
                left = [path for path in data.iterdir() if path.name not in ("entities.log", "lock")]
                verdict.wrong += [f"left behind: {path}" for path in (*left, *server.export_dir.rglob("*.unfinished"))]
                for entity_id, etag in known.items():
                    answer = api.get(f"/sourceConnections/{entity_id}")
                    found = answer.json()["items"][0]["etag"] if answer.status_code == 200 else None
                    if found != etag:
                        verdict.wrong.append(f"{entity_id}: {etag} was acknowledged, {found} is there")
                if verdict.kills == count:
                    return verdict
                api.flow(S3, {"interval": 3, "timeUnit": "hour", "startTime": int(api.control("GET", "/clock")["now"])})
            writers = [Writer(server.url, random.Random(rng.random())) for _ in range(WRITERS)]
            threads = [threading.Thread(target=writer.run) for writer in writers]
            threads.append(threading.Thread(target=_export, args=(server.url,)))
            for thread in threads:
                thread.start()
            time.sleep(rng.random() * LONGEST)
            server.process.kill()
            for thread in threads:
                thread.join()
        verdict.kills += 1
        for writer in writers:
            verdict.answered += writer.answered
            verdict.wrong += writer.refused
            known |= {entity_id: etag for entity_id, etag in writer.told.items() if entity_id != writer.uncertain}
            known.pop(writer.uncertain or "", None)


def _export(url: str) -> None:
    """Exports, one hour after the other, until the server is gone."""
    with closing(Api(url)) as api:
        try:
            while True:
                api.advance(10_800)
        except httpx.TransportError:
            return


def main() -> int:
    with tempfile.TemporaryDirectory() as folder:
        verdict = rounds(Path(folder), int(sys.argv[1]) if len(sys.argv) > 1 else 12, seed=int(time.time()))
    print(
        f"{verdict.kills} kills survived, {verdict.answered} answers to writers, {len(verdict.wrong)} wrong, "
        f"slowest start {verdict.slowest_start:.2f} s"
    )
    for line in verdict.wrong[:20]:
        print("  " + line)
    return 1 if verdict.wrong else 0


if __name__ == "__main__":
    sys.exit(main())
