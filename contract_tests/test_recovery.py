"""Long exports: how far they are, and what is left of them when the server is killed, ended, or put back to a snapshot.

What was being exported then comes with the next export.
"""

from __future__ import annotations

import asyncio
import logging
import re
import shutil
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from contract_tests.in_process import LocalEmulator
from contract_tests.support import FROZEN_NOW
from contract_tests.tutorial import BASE, S3
from flow_service_emulator.exports import files, runner
from flow_service_emulator.settings import Settings

HOUR = 3600
LOYALTY = "5ff749e75b636cea4c32bc07"
SCHEDULE = {"interval": 3, "timeUnit": "hour", "startTime": FROZEN_NOW}
SMALL, LARGE = 3, 100_000


def settings_of(folder: Path) -> Settings:
    return Settings(export_dir=folder / "exports", data_dir=folder / "data")


async def begin(emulator: LocalEmulator) -> str:
    """A flow whose export of a small dataset and then a large one is under way: some of the large one's rows are written."""
    for name, rows in (("small", SMALL), ("large", LARGE)):
        await emulator.control("PUT", f"/datasets/{name}", {"like": LOYALTY, "rows": rows})
    flow = S3.flow(await emulator.source("small", "large"), await emulator.target(S3), **SCHEDULE)
    flow_id = await emulator.created("flows", flow)
    while not [line for line in await writing(emulator) if line["dataset"] == "large" and line["rows"]]:
        await asyncio.sleep(0.01)
    return flow_id


async def writing(emulator: LocalEmulator) -> list[dict[str, Any]]:
    lines: list[dict[str, Any]] = (await emulator.control("GET", "/exports"))["inProgress"]
    return lines


async def runs(emulator: LocalEmulator) -> list[dict[str, Any]]:
    items: list[dict[str, Any]] = (await emulator.http.get(f"{BASE}/runs")).json()["items"]
    return items


async def ends(emulator: LocalEmulator) -> list[tuple[str, str]]:
    """Status of every run, and why it failed; newest first."""
    states = [run["metrics"]["statusSummary"] for run in await runs(emulator)]
    return [(state["status"], state.get("errors", [{"message": ""}])[0]["message"]) for state in states]


def files_in(folder: Path) -> list[Path]:
    return [path for path in folder.rglob("*") if path.is_file() and path.name != ".gitignore"]


async def test_what_a_killed_server_leaves_goes_and_comes_with_the_next_export(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    copied, slices = threading.Event(), files._slices

    def held(*given: Any) -> Iterator[Any]:
        for number, taken in enumerate(slices(*given)):
            yield taken
            assert number < 3 or copied.wait(30)

    monkeypatch.setattr(files, "_slices", held)
    killed = settings_of(tmp_path / "killed")
    async with LocalEmulator(settings_of(tmp_path / "server")) as emulator:
        flow = await begin(emulator)
        shutil.copytree(tmp_path / "server", tmp_path / "killed")
        copied.set()
    names = [path.name for path in files_in(killed.export_dir)]
    assert [name[0] for name in sorted(names)] == [".", "p"]  # the large dataset's is unfinished
    async with LocalEmulator(killed) as emulator:
        assert files_in(killed.export_dir) == []
        assert await ends(emulator) == [("failed", "Job aborted. The server ended while the run was in progress")]
        (run,) = await runs(emulator)
        assert "outputRecordCount" not in run["metrics"]["recordSummary"]
        (kept,) = (await emulator.http.get(f"{BASE}/flows/{flow}")).json()["items"]
        assert kept["lastRunDetails"]["state"] == "failed"
        assert await emulator.advance(0) == []
        (after,) = await emulator.advance(3 * HOUR)
        items = (await emulator.control("GET", "/exports"))["items"]
        assert [(item["run"], item["rows"]) for item in items] == [(after["id"], SMALL), (after["id"], LARGE)]


async def test_runs_that_waited_or_were_under_way_end_as_failed_when_the_server_does(tmp_path: Path) -> None:
    async with LocalEmulator(settings_of(tmp_path)) as emulator:
        await emulator.created("runs", {"flowId": await begin(emulator)})
    assert files_in(tmp_path / "exports") == []
    async with LocalEmulator(settings_of(tmp_path)) as emulator:
        waited, under_way = await ends(emulator)
        assert waited == ("failed", "Job aborted. The server ended while the run was in progress")
        assert under_way[0] == "failed" and "cancelled after" in under_way[1]


async def test_a_snapshot_taken_during_a_run_has_it_failed(tmp_path: Path) -> None:
    async with LocalEmulator(settings_of(tmp_path)) as emulator:
        await begin(emulator)
        state = await emulator.control("GET", "/state")
        await emulator.advance(0)
        assert len(list(tmp_path.rglob("part-*"))) == 2
        await emulator.control("PUT", "/state", state)
        assert not list(tmp_path.rglob("part-*"))
        assert [status for status, _ in await ends(emulator)] == ["failed"]
        await emulator.advance(3 * HOUR)
        items = (await emulator.control("GET", "/exports"))["items"]
        assert [item["rows"] for item in items] == [SMALL, LARGE]


async def test_a_run_whose_flow_is_deleted_while_it_waits_fails(tmp_path: Path) -> None:
    async with LocalEmulator(settings_of(tmp_path)) as emulator:
        flow = await begin(emulator)
        await emulator.created("runs", {"flowId": flow})
        assert (await emulator.http.delete(f"{BASE}/flows/{flow}")).status_code == 202
        await emulator.advance(0)
        assert (await ends(emulator))[0] == ("failed", "Job aborted. The flow was deleted while the run waited")


def test_progress_is_told_in_the_run_the_list_and_the_log(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(runner, "PROGRESS_SECONDS", 0.01)

    async def scenario() -> None:
        async with LocalEmulator(settings_of(tmp_path)) as emulator:
            await begin(emulator)
            states, lines = [], []
            while line := [line for line in await writing(emulator) if line["dataset"] == "large"]:
                lines += line
                states += [run["metrics"] for run in await runs(emulator)]
                await asyncio.sleep(0.01)
            counts = [state["recordSummary"]["outputRecordCount"] for state in states]
            assert counts == sorted(counts) and len(set(counts)) > 2
            inside = next(state for state, count in zip(states, counts, strict=True) if SMALL < count < SMALL + LARGE)
            target = inside["recordSummary"]["targetSummaries"][0]
            assert sum(entity["outputRecordCount"] for entity in target["entitySummaries"]) > SMALL
            assert inside["sizeSummary"]["outputBytes"] > 0
            assert {line["expectedRows"] for line in lines} == {LARGE}
            assert len({line["rows"] for line in lines}) > 1

    with caplog.at_level(logging.INFO, "emulator.exports"):
        asyncio.run(scenario())
    assert re.search(r"run \S+ of flow \S+: [\d,]+ of 100,003 rows \(\d+ %\), [\d.]+ MB, [\d,]+ rows/s", caplog.text)
