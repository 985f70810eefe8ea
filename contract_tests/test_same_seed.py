"""The same seed, the same requests: the same files under the same names, however fast the client and the machine are."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from contract_tests.in_process import LocalEmulator
from contract_tests.support import FROZEN_NOW
from contract_tests.tutorial import BASE, DATASET, DESTINATIONS
from flow_service_emulator.settings import Settings

HOUR = 3600
LOYALTY = "5ff749e75b636cea4c32bc07"


async def exported(folder: Path, seed: int, patience: float) -> dict[str, bytes]:
    """What is exported while a client asks for things, waiting so many seconds after each of them."""
    async with LocalEmulator(Settings(export_dir=folder, seed=seed)) as emulator:
        await emulator.control("PUT", "/datasets/mine", {"records": [{"a": 1}, {"a": 2}], "rowsPerHour": 2})
        for index, destination in enumerate(DESTINATIONS):
            form = {"datasetFileType": ("JSON", "PARQUET")[index % 2], "compression": ("GZIP", "NONE")[index // 2 % 2]}
            source = await emulator.source(DATASET["dataSetId"], LOYALTY, "mine")
            body = destination.flow(
                source, await emulator.target(destination, **form), interval=3, timeUnit="hour", startTime=FROZEN_NOW
            )
            flow = await emulator.created("flows", body)  # its first export begins now, beside the next requests
            await asyncio.sleep(patience)
            await emulator.created("runs", {"flowId": flow})
            await asyncio.sleep(patience)
        await emulator.advance(6 * HOUR)
        assert (await emulator.http.get(f"{BASE}/runs?count=true")).json() == {"count": 4 * len(DESTINATIONS)}
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_the_same_seed_gives_the_same_files(tmp_path: Path) -> None:
    quick = asyncio.run(exported(tmp_path / "quick", 7, 0))
    slow = asyncio.run(exported(tmp_path / "slow", 7, 0.03))
    assert sorted(quick) == sorted(slow)
    assert [name for name in quick if quick[name] != slow[name]] == []


def test_another_seed_gives_other_files(tmp_path: Path) -> None:
    first, second = (asyncio.run(exported(tmp_path / str(seed), seed, 0)) for seed in (7, 8))
    assert len(first) == len(second)
    assert not {name for name in first if name.count("/")} & set(second)


@asynccontextmanager
async def seeded(folder: Path) -> AsyncIterator[LocalEmulator]:
    async with LocalEmulator(Settings(export_dir=folder, seed=7)) as emulator:
        yield emulator


def test_a_reset_begins_the_ids_anew(tmp_path: Path) -> None:
    """So that what a test sees does not depend on the tests before it."""

    async def twice() -> tuple[list[str], list[str]]:
        async with seeded(tmp_path) as emulator:
            first = [await emulator.source(DATASET["dataSetId"]) for _ in range(3)]
            await emulator.control("POST", "/reset")
            return first, [await emulator.source(DATASET["dataSetId"]) for _ in range(3)]

    first, second = asyncio.run(twice())
    assert first == second
    assert len(set(first)) == 3


def test_a_snapshot_goes_on_alike_wherever_it_is_put_back(tmp_path: Path) -> None:
    """In a server of the same seed, whose first ids are those that the snapshot has already, and back in its own."""

    async def everywhere() -> tuple[list[str], str, str]:
        async with seeded(tmp_path / "one") as emulator, seeded(tmp_path / "other") as other:
            there = [await emulator.source(DATASET["dataSetId"]) for _ in range(3)]
            state = await emulator.control("GET", "/state")
            await emulator.source(DATASET["dataSetId"])
            for each in (emulator, other):
                await each.control("PUT", "/state", state)
            return there, await emulator.source(DATASET["dataSetId"]), await other.source(DATASET["dataSetId"])

    there, own, others = asyncio.run(everywhere())
    assert own == others
    assert own not in there


def test_without_a_seed_every_id_is_new(tmp_path: Path) -> None:
    async def twice() -> list[str]:
        async with LocalEmulator(Settings(export_dir=tmp_path)) as emulator:
            first = await emulator.source(DATASET["dataSetId"])
            await emulator.control("POST", "/reset")
            return [first, await emulator.source(DATASET["dataSetId"])]

    assert len(set(asyncio.run(twice()))) == 2
