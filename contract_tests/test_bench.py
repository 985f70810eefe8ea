"""The benchmark, kept from rotting: all its parts, at the session's server and for a moment. What it measures is not judged here."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import pytest

from contract_tests.bench import __main__ as command
from contract_tests.bench import floor, load, measures
from contract_tests.bench.servers import REPOSITORY, Contender, Running, emulator
from contract_tests.support import ServerProcess
from contract_tests.tutorial import BASE, SOURCE_CONNECTION

BRIEF = measures.Plan(rounds=1, seconds=0.02, warmup=0.0, requests=40, entities=60, rows=60, days=0.125)


@pytest.mark.slow
def test_every_part_gives_its_lines(
    server: ServerProcess, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    @contextmanager
    def at_the_sessions(contender: Contender, *flags: str) -> Iterator[Running]:
        yield Running(contender.name, server.url, server.process.pid, 0.1)

    monkeypatch.setattr(Contender, "started", at_the_sessions)
    monkeypatch.setattr(measures, "run", lambda task: asyncio.run(load.Crowd(task).run()))
    (tmp_path / ".venv" / "bin").mkdir(parents=True)
    (tmp_path / ".venv" / "bin" / "flow-service-emulator").touch()
    file = tmp_path / "results.json"
    assert command.main(["--old", str(tmp_path), "--json", str(file)], BRIEF) == 0
    lines = [line.strip("|").split("|") for line in capsys.readouterr().out.splitlines() if line.startswith("|")]
    assert [cell.strip() for cell in lines[0]] == ["what", "emulator", "floor", "old", "of floor", "of old"]
    results = json.loads(file.read_bytes())["results"]
    assert [line[0].strip() for line in lines[2:]] == [result["what"] for result in results]
    assert len(results) == 2 + 18 + 1 + 12 + 5
    for result, line in zip(results, lines[2:], strict=True):
        assert set(result["values"]) in ({"emulator", "old"}, {"emulator", "floor", "old"})
        assert line[1].strip().endswith(result["unit"])


def test_a_checkout_without_an_environment_is_named(tmp_path: Path) -> None:
    assert Path(emulator("emulator", REPOSITORY, tmp_path).command[1]).is_file()
    with pytest.raises(FileNotFoundError, match="has no flow-service-emulator"):
        emulator("old", tmp_path, tmp_path)


def test_the_floor_creates_finds_and_refuses() -> None:
    async def talk() -> None:
        async with httpx.AsyncClient(
            transport=httpx.ASGITransport(app=floor.app()), base_url=f"http://floor{BASE}"
        ) as http:
            made = await http.post("/sourceConnections", json=SOURCE_CONNECTION)
            found = await http.get(f"/sourceConnections/{made.json()['id']}")
            listed = await http.get("/sourceConnections", params={"property": f"name=={SOURCE_CONNECTION['name']}"})
            assert found.json() == listed.json() and found.json()["items"][0]["name"] == SOURCE_CONNECTION["name"]
            assert (await http.post("/sourceConnections", json={})).status_code == 400

    asyncio.run(talk())
