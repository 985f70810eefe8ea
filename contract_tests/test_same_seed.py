"""The same seed, the same requests: the same files under the same names, however fast the client and the machine are."""

from __future__ import annotations

import asyncio
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


async def test_the_same_seed_gives_the_same_files_and_another_one_others(tmp_path: Path) -> None:
    quick = await exported(tmp_path / "quick", 7, 0)
    slow = await exported(tmp_path / "slow", 7, 0.03)
    other = await exported(tmp_path / "other", 8, 0)
    assert sorted(quick) == sorted(slow)
    assert [name for name in quick if quick[name] != slow[name]] == []
    assert len(quick) == len(other)
    assert not {name for name in quick if name.count("/")} & set(other)


async def sources(emulator: LocalEmulator, count: int) -> list[str]:
    return [await emulator.source(DATASET["dataSetId"]) for _ in range(count)]


async def test_a_reset_begins_the_ids_anew_where_there_is_a_seed(tmp_path: Path) -> None:
    """So that what a test sees does not depend on the tests before it."""
    for seed in (7, None):
        async with LocalEmulator(Settings(export_dir=tmp_path, seed=seed)) as emulator:
            first = await sources(emulator, 3)
            await emulator.control("POST", "/reset")
            again = await sources(emulator, 3)
        assert len({*first, *again}) == (3 if seed else 6)
        assert (first == again) == bool(seed)


async def test_a_snapshot_goes_on_alike_wherever_it_is_put_back(tmp_path: Path) -> None:
    """In a server of the same seed, whose first ids are those that the snapshot has already, and back in its own."""
    settings = [Settings(export_dir=tmp_path / name, seed=7) for name in ("one", "other")]
    async with LocalEmulator(settings[0]) as emulator, LocalEmulator(settings[1]) as other:
        there = await sources(emulator, 3)
        state = await emulator.control("GET", "/state")
        await sources(emulator, 1)
        for each in (emulator, other):
            await each.control("PUT", "/state", state)
        own = await sources(emulator, 1)
        assert own == await sources(other, 1)
        assert own[0] not in there
