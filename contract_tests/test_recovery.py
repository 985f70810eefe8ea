"""Long exports: how far they are, and what is left of them when the server is killed, ended, or put back to a snapshot.

What was being exported then comes with the next export.
"""

from __future__ import annotations

import asyncio
import logging
import re
import shutil
import signal
import time
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

import flow_service_emulator.exports.scheduler
from contract_tests.in_process import LocalEmulator
from contract_tests.support import FROZEN_NOW, Api, ServerProcess, serving
from contract_tests.tutorial import BASE, S3
from flow_service_emulator.settings import Settings

HOUR = 3600
LOYALTY = "5ff749e75b636cea4c32bc07"
SCHEDULE = {"interval": 3, "timeUnit": "hour", "startTime": FROZEN_NOW}
SMALL, LARGE = 3, 400_000


def begin(api: Api) -> str:
    """A flow whose export of a small dataset and then a large one begins at once."""
    api.control("PUT", "/datasets/small", {"records": [{"n": number} for number in range(SMALL)]})
    api.control("PUT", "/datasets/large", {"like": LOYALTY, "rows": LARGE})
    return api.flow(S3, SCHEDULE, datasets=["small", "large"], datasetFileType="PARQUET")


def until_rows(api: Api, least: int) -> list[dict[str, Any]]:
    """What is being written, as soon as it has so many rows of the large dataset."""
    limit = time.monotonic() + 30
    while time.monotonic() < limit:
        writing: list[dict[str, Any]] = api.control("GET", "/exports")["inProgress"]
        if writing and writing[-1]["rows"] >= least:
            return writing
    raise AssertionError("the export did not come so far")


def visible(process: ServerProcess) -> set[str]:
    """The names of the files that a client of the storage would see."""
    return {path.name for path in process.export_dir.rglob("*") if path.is_file() and not path.name.startswith(".")}


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM])
def test_what_a_server_leaves_when_it_ends_in_the_middle(tmp_path: Path, number: signal.Signals) -> None:
    data = ("--data-dir", str(tmp_path / "data"))
    with serving(tmp_path, *data) as process:
        api = Api(process.url)
        flow = begin(api)
        until_rows(api, 30_000)
        (run,) = api.items("/runs")
        api.close()
        assert process.stop(number) in (0, -number)
        assert not [name for name in visible(process) if name.endswith(".parquet") and name not in small_parts(process)]
    with serving(tmp_path, *data) as process:
        api = Api(process.url)
        assert visible(process) == set()
        assert not list(process.export_dir.rglob("*.unfinished"))
        ended = api.item(f"/runs/{run['id']}")["metrics"]
        assert ended["statusSummary"]["status"] == "failed"
        assert ended["recordSummary"]["outputRecordCount"] == 0
        assert api.item(f"/flows/{flow}")["lastRunDetails"]["state"] == "failed"
        assert api.advance(0) == []
        (after,) = api.advance(3 * HOUR)
        items = api.control("GET", "/exports")["items"]
        assert {item["run"] for item in items} == {after["id"]}
        assert [sum(item["rows"] for item in items if item["dataset"] == name) for name in ("small", "large")] == [
            SMALL,
            LARGE,
        ]
        api.close()


def test_what_a_killed_server_without_a_data_folder_left_unfinished_goes_at_the_next_start(tmp_path: Path) -> None:
    with serving(tmp_path) as process:
        api = Api(process.url)
        begin(api)
        until_rows(api, 30_000)
        api.close()
        process.stop(signal.SIGKILL)
        assert list(process.export_dir.rglob("*.unfinished"))
    with serving(tmp_path) as process:
        assert not list(process.export_dir.rglob("*.unfinished"))


def test_a_start_leaves_the_export_of_another_server_alone(tmp_path: Path) -> None:
    """Two servers on one folder by accident: both go on, and the second one says what it found."""
    with serving(tmp_path / "first") as first:
        api = Api(first.url)
        begin(api)
        until_rows(api, 30_000)
        with serving(tmp_path / "second", export_dir=first.export_dir) as second:
            warning = second.log.read_text()
            assert "another server uses the export folder" in warning
            assert "same --seed, or a copy of its data folder" in warning
            other = Api(second.url)
            other.flow(S3, SCHEDULE)
            assert [run["status"] for run in (*api.advance(0), *other.advance(0))] == ["success", "success"]
            other.close()
        assert "another server" not in first.log.read_text()
        api.close()


def test_a_server_with_a_copy_of_a_data_folder_leaves_the_files_of_the_original_s_run_alone(tmp_path: Path) -> None:
    """The run has the same id in both, and never ended as far as the copy knows."""

    async def scenario() -> None:
        exports = tmp_path / "exports"
        original, copied = (Settings(export_dir=exports, data_dir=tmp_path / name) for name in ("data", "copy"))
        async with LocalEmulator(original) as emulator:
            await emulator.control("PUT", "/datasets/small", {"like": LOYALTY, "rows": SMALL})
            await emulator.control("PUT", "/datasets/large", {"like": LOYALTY, "rows": LARGE})
            source, target = await emulator.source("small", "large"), await emulator.target(S3)
            await emulator.created("flows", S3.flow(source, target, **SCHEDULE))
            while not (await emulator.control("GET", "/exports"))["inProgress"]:
                await asyncio.sleep(0.001)
            state = await emulator.control("GET", "/state")
            while not list(exports.rglob("small/**/part-*")):
                await asyncio.sleep(0.001)
            shutil.copytree(tmp_path / "data", tmp_path / "copy")
            async with LocalEmulator(copied) as copy:
                (run,) = (await copy.http.get(f"{BASE}/runs")).json()["items"]
                assert run["metrics"]["statusSummary"]["status"] == "failed"
                await copy.control("PUT", "/state", state)
            assert [run["status"] for run in await emulator.advance(0)] == ["success"]
            items = (await emulator.control("GET", "/exports"))["items"]
            assert sum(item["rows"] for item in items) == SMALL + LARGE
        async with LocalEmulator(original) as emulator:  # alone again, it takes away what a snapshot says
            await emulator.control("PUT", "/state", state)
            assert not list(exports.rglob("part-*"))

    asyncio.run(scenario())


def test_unfinished_files_stay_until_no_server_uses_their_folder(tmp_path: Path) -> None:
    exports = tmp_path / "exports"
    unfinished = exports / S3.folder / ".part-00000-tid-1-x.json.unfinished"
    with ExitStack() as last:
        with ExitStack() as one:
            one.enter_context(serving(tmp_path / "one", export_dir=exports))
            last.enter_context(serving(tmp_path / "two", export_dir=exports))
            unfinished.parent.mkdir()
            unfinished.write_text("of the second server, say")
        with serving(tmp_path / "three", export_dir=exports):
            assert unfinished.exists()
    with serving(tmp_path / "four", export_dir=exports) as alone:
        assert not unfinished.exists()
        assert "another server" not in alone.log.read_text()


def small_parts(process: ServerProcess) -> set[str]:
    """The part files of the small dataset: complete before the large one's began."""
    return {path.name for path in process.export_dir.rglob("small/**/part-*")}


def test_progress_is_told_in_the_run_the_list_and_the_log(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(flow_service_emulator.exports.scheduler, "PROGRESS_SECONDS", 0.01)
    rows = 150_000

    async def follow() -> tuple[list[dict[str, Any]], list[list[dict[str, Any]]]]:
        async with LocalEmulator(Settings(export_dir=tmp_path)) as emulator:
            await emulator.control("PUT", "/datasets/large", {"like": LOYALTY, "rows": rows})
            flow = await emulator.created(
                "flows", S3.flow(await emulator.source("large"), await emulator.target(S3), **SCHEDULE)
            )
            states: list[dict[str, Any]] = []
            lists: list[list[dict[str, Any]]] = []
            while not states or states[-1]["metrics"]["statusSummary"]["status"] in ("waiting", "inProgress"):
                items = (await emulator.http.get(f"{BASE}/runs")).json()["items"]
                states += items
                lists.append((await emulator.control("GET", "/exports"))["inProgress"])
                await asyncio.sleep(0.01)
            assert (await emulator.control("GET", "/exports", params={"flow": flow}))["inProgress"] == []
            return states, lists

    with caplog.at_level(logging.INFO, "emulator.scheduler"):
        states, lists = asyncio.run(follow())
    counts = [state["metrics"]["recordSummary"]["outputRecordCount"] for state in states]
    assert counts == sorted(counts)
    assert counts[-1] == rows
    assert len(set(counts)) > 2
    inside = next(state for state, count in zip(states, counts, strict=True) if 0 < count < rows)
    target = inside["metrics"]["recordSummary"]["targetSummaries"][0]
    assert target["entitySummaries"][0]["outputRecordCount"] == inside["metrics"]["recordSummary"]["outputRecordCount"]
    assert inside["metrics"]["sizeSummary"]["outputBytes"] > 0
    under_way = [lines[0] for lines in lists if lines and lines[0]["rows"]]
    assert all(line["dataset"] == "large" and line["expectedRows"] == rows for line in under_way)
    assert len({line["rows"] for line in under_way}) > 1
    assert re.search(
        r"run \S+ of flow \S+: [1-9][\d,]* of 150,000 rows \(\d+ %\), [\d.]+ MB, [\d,]+ rows/s", caplog.text
    )


def test_runs_that_waited_or_were_under_way_end_as_failed_when_the_server_does(tmp_path: Path) -> None:
    settings = Settings(export_dir=tmp_path / "exports", data_dir=tmp_path / "data")

    async def end_in_the_middle() -> None:
        async with LocalEmulator(settings) as emulator:
            await emulator.control("PUT", "/datasets/large", {"like": LOYALTY, "rows": LARGE})
            source, target = await emulator.source("large"), await emulator.target(S3)
            flow = await emulator.created("flows", S3.flow(source, target, **SCHEDULE))
            while not (await emulator.control("GET", "/exports"))["inProgress"]:
                await asyncio.sleep(0.01)
            await emulator.created("runs", {"flowId": flow})

    async def look() -> list[tuple[str, str]]:
        async with LocalEmulator(settings) as emulator:
            assert (await emulator.control("GET", "/exports"))["items"] == []
            items = (await emulator.http.get(f"{BASE}/runs")).json()["items"]
            summaries = [item["metrics"]["statusSummary"] for item in items]
            return [(summary["status"], summary["errors"][0]["message"]) for summary in summaries]

    asyncio.run(end_in_the_middle())
    ends = asyncio.run(look())
    assert [status for status, _ in ends] == ["failed", "failed"]
    assert any("cancelled after" in message for _, message in ends)
    assert any("The server ended while the run was in progress" in message for _, message in ends)
    assert not list(settings.export_dir.rglob("part-*"))


def test_a_snapshot_taken_during_a_run_has_it_failed(tmp_path: Path) -> None:
    settings = Settings(export_dir=tmp_path)

    async def scenario() -> None:
        async with LocalEmulator(settings) as emulator:
            await emulator.control("PUT", "/datasets/large", {"like": LOYALTY, "rows": 60_000})
            source, target = await emulator.source("large"), await emulator.target(S3)
            flow = await emulator.created("flows", S3.flow(source, target, **SCHEDULE))
            while not (await emulator.control("GET", "/exports"))["inProgress"]:
                await asyncio.sleep(0.005)
            state = await emulator.control("GET", "/state")
            await emulator.advance(0)
            assert len(list(settings.export_dir.rglob("part-*"))) == 1
            await emulator.control("PUT", "/state", state)
            assert not list(settings.export_dir.rglob("part-*"))
            (run,) = (await emulator.http.get(f"{BASE}/runs?property=flowId=={flow}")).json()["items"]
            assert run["metrics"]["statusSummary"]["status"] == "failed"
            await emulator.advance(3 * HOUR)
            (item,) = (await emulator.control("GET", "/exports"))["items"]
            assert item["rows"] == 60_000

    asyncio.run(scenario())


def test_a_run_whose_flow_is_deleted_while_it_waits_fails(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with LocalEmulator(Settings(export_dir=tmp_path)) as emulator:
            await emulator.control("PUT", "/datasets/large", {"like": LOYALTY, "rows": 60_000})
            source, target = await emulator.source("large"), await emulator.target(S3)
            first = await emulator.created("flows", S3.flow(source, target, **SCHEDULE))
            while not (await emulator.control("GET", "/exports"))["inProgress"]:
                await asyncio.sleep(0.005)
            run = await emulator.created("runs", {"flowId": first})
            response = await emulator.http.delete(f"{BASE}/flows/{first}")
            assert response.status_code == 202
            await emulator.advance(0)
            (item,) = (await emulator.http.get(f"{BASE}/runs/{run}")).json()["items"]
            assert item["metrics"]["statusSummary"]["errors"][0]["message"].endswith(
                "The flow was deleted while the run waited"
            )

    asyncio.run(scenario())
