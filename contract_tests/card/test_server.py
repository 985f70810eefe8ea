"""The commands: a container's start, the demo, the tests' own command, a kill and the restart, the snapshot there and back."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from contextlib import closing, suppress
from pathlib import Path
from typing import Any

import httpx

from contract_tests.support import FROZEN_NOW, Api, ServerProcess, started
from contract_tests.tutorial import DESTINATIONS, FIRST_DATASET, S3, SOURCE_CONNECTION

ROOT = Path(__file__).parents[2]
COMMAND = [sys.executable, "-m", "flow_service_emulator"]
HOUR = 3600
EVERY_THREE_HOURS = {"interval": 3, "timeUnit": "hour", "startTime": FROZEN_NOW}


def rows_under(folder: Path) -> list[Any]:
    return [json.loads(line) for path in sorted(folder.rglob("part-*")) for line in path.read_text().splitlines()]


def test_a_container_starts_says_so_is_healthy_and_stops(tmp_path: Path) -> None:
    """With the image's own command, variables and health check, beside what Kubernetes sets for a Service of this name."""
    dockerfile = (ROOT / "Dockerfile").read_text("utf-8").replace("\\\n", " ").rpartition("\nFROM ")[2]
    assert '\nENTRYPOINT ["flow-service-emulator"]\nCMD ["serve"]' in dockerfile
    settings = dict(re.findall(r"\b(FLOW_EMULATOR_\w+)=(\S+)", dockerfile)) | {
        "FLOW_EMULATOR_EXPORT_DIR": str(tmp_path / "exports"),
        "FLOW_EMULATOR_PORT": "tcp://10.0.0.1:8080",
    }
    serve, settings = [*COMMAND, "serve", "--port", "0"], os.environ | settings
    with subprocess.Popen(serve, env=settings, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout
        line = process.stdout.readline()
        found = re.fullmatch(r"listening on http://0\.0\.0\.0:(\d+)\n", line)
        assert found, line
        url = f"http://127.0.0.1:{found[1]}/__emulator"
        assert httpx.get(f"{url}/health", trust_env=False).json()["status"] == "ok"
        check = json.loads(re.findall(r"HEALTHCHECK.*?CMD (\[.*\])", dockerfile)[0])
        assert check == ["bash", "/opt/emulator/docker.health"]
        check[1] = str(ROOT / "emulator" / "docker.health")
        subprocess.run(check, env={**os.environ, "FLOW_EMULATOR_PORT": found[1]}, check=True)
        process.send_signal(signal.SIGTERM)
        assert process.wait(20) == 0


def test_the_two_commands_of_the_readme(tmp_path: Path) -> None:
    """What they do once the package is installed: the demo, and tests that are found."""
    readme = (ROOT / "README.md").read_text("utf-8")
    commands = [re.findall(rf"<!-- {name} -->\n```sh\n.* && (.*)\n", readme) for name in ("demo", "tests")]
    assert commands == [[".venv/bin/flow-service-emulator demo"], [".venv/bin/python -m pytest"]]
    run = subprocess.run([*COMMAND, "demo"], cwd=tmp_path, capture_output=True, text=True, timeout=60)
    assert run.returncode == 0 and "48 exports, 48 of them with success" in run.stdout, run.stderr
    assert {path.name for path in (tmp_path / "exports").glob("[!.]*")} == {each.folder for each in DESTINATIONS}
    assert len(list((tmp_path / "exports").rglob("part-*"))) == 48
    found = [sys.executable, "-m", "pytest", "-n", "0", "-q", "--collect-only", "contract_tests/api"]
    subprocess.run(found, cwd=ROOT, stdout=subprocess.DEVNULL, timeout=60, check=True)


def kill_at_work(api: Api, server: ServerProcess, told: list[str], seconds: float) -> None:
    """Kills a server under exports and a writer, which adds the ids that it was told."""

    def until_it_ends(work: Callable[[], object]) -> None:
        with suppress(httpx.TransportError):
            while True:
                work()

    with closing(api.other()) as other:
        writing = lambda: told.append(api.created("sourceConnections", SOURCE_CONNECTION))  # noqa: E731
        exporting = lambda: other.advance(3 * HOUR)  # noqa: E731
        threads = [threading.Thread(target=until_it_ends, args=(work,)) for work in (writing, exporting)]
        for thread in threads:
            thread.start()
        time.sleep(seconds)
        server.process.kill()
        for thread in threads:
            thread.join()


def has_all(api: Api, told: list[str]) -> bool:
    """Whether all that was acknowledged is there, and at most one more for each of two kills."""
    count = api.get("/sourceConnections", params={"count": "true"}).json()["count"] - 1  # without the flow's own
    return len(told) <= count <= len(told) + 2 and all(api.item(f"/sourceConnections/{each}") for each in told[-50:])


def test_a_killed_server_loses_nothing_and_exports_no_row_twice(tmp_path: Path) -> None:
    """Killed twice; afterwards all that was acknowledged is there, and the files have each row once."""
    data, told = ("--data-dir", str(tmp_path / "data"), "--rows-per-file", "400"), list[str]()
    with started(tmp_path, *data) as (api, server):
        api.control("PUT", "/datasets/many", {"like": FIRST_DATASET, "rows": 5_000, "rowsPerHour": 300})
        flow = api.flow(S3, EVERY_THREE_HOURS, datasets=["many"])
        kill_at_work(api, server, told, 0.3)
    with started(tmp_path, *data) as (api, server):
        assert has_all(api, told)
        kill_at_work(api, server, told, 0.7)
    with started(tmp_path, *data) as (api, server):
        assert len(told) > 5 and has_all(api, told)
        passed = int(api.control("GET", "/clock")["now"]) - FROZEN_NOW
        now = FROZEN_NOW + (passed // (3 * HOUR) + 1) * 3 * HOUR
        assert api.control("POST", "/clock/advance", {"to": now})["runs"][-1]["flowId"] == flow
        found = [row["_id"] for row in rows_under(server.export_dir)]
        assert len(found) == len(set(found)) >= 5_000
        api.flow(S3, {**EVERY_THREE_HOURS, "startTime": now}, datasets=["many"], bucketName="fresh")
        api.advance(0)
        assert {row["_id"] for row in rows_under(server.export_dir / "amazon-s3" / "fresh")} == set(found)


def test_a_snapshot_goes_back_and_to_another_server(tmp_path: Path) -> None:
    with started(tmp_path / "one") as (here, one), started(tmp_path / "other") as (there, other):
        here.control("PUT", "/datasets/mine", {"records": [{"n": n} for n in range(40)], "rowsPerHour": 4})
        flow = here.flow(S3, EVERY_THREE_HOURS, datasets=["mine"])
        assert len(here.advance(HOUR)) == 1
        state = here.control("GET", "/state")
        before = {name: here.items(f"/{name}") for name in ("connections", "targetConnections", "flows", "runs")}
        later = here.created("sourceConnections", SOURCE_CONNECTION)
        assert len(here.advance(2 * HOUR)) == 1
        second = rows_under(one.export_dir)[40:]
        for api in (here, there):
            api.control("PUT", "/state", state)
            assert {name: api.items(f"/{name}") for name in before} == before
            assert api.get(f"/sourceConnections/{later}").status_code == 404
            assert api.control("GET", "/clock")["now"] == FROZEN_NOW + HOUR
            (run,) = api.advance(2 * HOUR)
            assert (run["flowId"], run["scheduledAt"], run["status"]) == (flow, FROZEN_NOW + 3 * HOUR, "success")
        # the second export again, under the same name: the rows that were added since the first, wherever it runs
        assert len(second) == 12 and rows_under(one.export_dir)[40:] == second == rows_under(other.export_dir)
