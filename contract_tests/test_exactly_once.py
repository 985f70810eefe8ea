"""First full, then incremental, and every row exactly once, whatever happens to the flow, its data and the server.

Source: reference, section "Schedule": the first export has every row, later ones only rows added since the one before.
"""

from __future__ import annotations

import asyncio
import json
import tempfile
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from contract_tests.in_process import LocalEmulator, stored
from contract_tests.support import FROZEN_NOW
from contract_tests.tutorial import BASE, S3

HOUR = 3600
RECORDS, MADE_UP, BUILT_IN = "records", "made-up", "5f5f38314f34e62e599463d4"
BUCKETS = ("first-bucket", "second-bucket")
SCHEMA = {"type": "object", "required": ["_id"], "properties": {"_id": {"type": "string"}}}
SCHEDULE = {"interval": 3, "timeUnit": "hour", "startTime": FROZEN_NOW}

Step = tuple[Any, ...]
STEPS = st.one_of(
    st.tuples(st.just("advance"), st.sampled_from([1, 3, 7, 13])),
    st.tuples(st.just("grow"), st.integers(1, 4)),
    st.tuples(st.just("toggle")),
    st.tuples(st.just("restart"), st.booleans()),
    st.tuples(st.just("fail"), st.sampled_from(["before", "during", "after"])),
    st.tuples(st.just("block")),
    st.tuples(st.just("run")),
    st.tuples(st.just("adhoc"), st.sampled_from([RECORDS, MADE_UP])),
    st.tuples(st.just("schedule"), st.sampled_from([6, 8, 24])),
    st.tuples(st.just("sources"), st.integers(0, 3)),
    st.tuples(st.just("snapshot")),
)


class Life:
    """One flow with two targets, and all that happens to it."""

    def __init__(self, folder: Path) -> None:
        self.settings = stored(folder, rows_per_file=70)
        self.now = self.latest = float(FROZEN_NOW)
        self.records = 80
        self.flow = ""
        self.sources: list[str] = []

    async def begin(self, emulator: LocalEmulator) -> None:
        await self.put_records(emulator)
        await emulator.control("PUT", f"/datasets/{MADE_UP}", {"schema": SCHEMA, "rows": 9, "rowsPerHour": 0.7})
        self.sources = [
            await emulator.source(RECORDS),
            await emulator.source(MADE_UP, RECORDS),
            await emulator.source(BUILT_IN),
        ]
        targets = [await emulator.target(S3, bucketName=bucket) for bucket in BUCKETS]
        self.flow = await self.created(emulator, targets, **SCHEDULE)

    async def created(self, emulator: LocalEmulator, targets: list[str], **schedule: Any) -> str:
        both = {"sourceConnectionIds": self.sources, "targetConnectionIds": targets}
        return await emulator.created("flows", S3.flow(self.sources[0], targets[0], **schedule) | both)

    async def put_records(self, emulator: LocalEmulator) -> None:
        records = [{"n": number, "text": f"no. {number}"} for number in range(self.records)]
        await emulator.control("PUT", f"/datasets/{RECORDS}", {"name": "Records", "records": records})

    async def live(self, steps: list[Step]) -> None:
        """Takes the steps, a new server after each restart, and looks at what was exported at the end."""
        emulator = LocalEmulator(self.settings, now=self.now)
        await emulator.__aenter__()
        try:
            await self.begin(emulator)
            for name, *arguments in steps:
                if name == "restart":
                    await emulator.__aexit__(None, None, None)
                    self.now = FROZEN_NOW if arguments[0] else self.now
                    emulator = LocalEmulator(self.settings, now=self.now)
                    await emulator.__aenter__()
                else:
                    step: Callable[..., Awaitable[None]] = getattr(self, f"do_{name}")
                    await step(emulator, *arguments)
            await self.check(emulator)
        finally:
            await emulator.__aexit__(None, None, None)

    async def do_advance(self, emulator: LocalEmulator, hours: int) -> None:
        await emulator.advance(hours * HOUR)
        self.now = (await emulator.control("GET", "/clock"))["now"]
        self.latest = max(self.latest, self.now)

    async def do_grow(self, emulator: LocalEmulator, more: int) -> None:
        self.records += more
        await self.put_records(emulator)

    async def do_toggle(self, emulator: LocalEmulator) -> None:
        """Disables the flow if it is enabled, and the other way round."""
        await emulator.act(self.flow, "disable" if await self.state(emulator) == "enabled" else "enable")

    async def state(self, emulator: LocalEmulator) -> str:
        return str((await emulator.http.get(f"{BASE}/flows/{self.flow}")).json()["items"][0]["state"])

    async def do_fail(self, emulator: LocalEmulator, stage: str) -> None:
        rule = {"kind": "run", "flow": self.flow, "stage": stage, "times": 1}
        await emulator.control("PUT", "/faults", {"rules": [rule]})
        await self.do_advance(emulator, 6)

    async def do_block(self, emulator: LocalEmulator) -> None:
        """A file stands where the second target's bucket has to be, while exports fall due."""
        await emulator.advance(0)  # no run is under way while the folder is moved
        folder, aside = self.settings.export_dir / S3.folder / BUCKETS[1], self.settings.export_dir / "aside"
        folder.parent.mkdir(exist_ok=True)
        if folder.exists():
            folder.rename(aside)
        folder.write_text("in the way")
        await self.do_advance(emulator, 3)
        folder.unlink()
        if aside.exists():
            aside.rename(folder)

    async def do_run(self, emulator: LocalEmulator) -> None:
        response = await emulator.http.post(f"{BASE}/runs", json={"flowId": self.flow})
        assert response.status_code in (201, 400), response.text  # 400 while the flow is disabled

    async def do_adhoc(self, emulator: LocalEmulator, dataset: str) -> None:
        wanted = {"flowId": self.flow, "datasets": [{"id": dataset}]}
        path = "/data/core/activation/disflowprovider/adhocrun"
        response = await emulator.http.post(path, json={"activationInfo": {"destinations": [wanted]}})
        assert response.status_code in (200, 400), response.text

    async def do_schedule(self, emulator: LocalEmulator, hours: int) -> None:
        change = {"op": "replace", "path": "/scheduleParams/interval", "value": hours}
        await emulator.patch(f"/flows/{self.flow}", change)

    async def do_sources(self, emulator: LocalEmulator, left_out: int) -> None:
        kept = [source for index, source in enumerate(self.sources) if index != left_out]
        await emulator.patch(f"/flows/{self.flow}", {"op": "replace", "path": "/sourceConnectionIds", "value": kept})

    async def do_snapshot(self, emulator: LocalEmulator) -> None:
        """A snapshot that is put back at once changes nothing."""
        await emulator.advance(0)  # no run is waiting then
        await emulator.control("PUT", "/state", await emulator.control("GET", "/state"))

    async def check(self, emulator: LocalEmulator) -> None:
        """After a last good run of everything, the exported rows are those of the datasets, each once and in order."""
        await self.do_sources(emulator, 3)
        if await self.state(emulator) == "disabled":
            await self.do_toggle(emulator)
        await emulator.control("DELETE", "/faults")
        await emulator.advance(self.latest - self.now)  # a clock that was put back has to catch up first
        await self.do_run(emulator)
        runs = await emulator.advance(0)
        assert [run["status"] for run in runs] == ["success"]
        once = {"interval": 0, "timeUnit": "day", "exportMode": "DAILY_FULL_EXPORT", "startTime": FROZEN_NOW}
        whole = await self.created(emulator, [await emulator.target(S3, bucketName=BUCKETS[0])], **once)
        await emulator.advance(0)
        for dataset in (RECORDS, MADE_UP, BUILT_IN):
            expected = await self.exported(emulator, whole, dataset, BUCKETS[0])
            assert len(expected) == (await emulator.control("GET", f"/datasets/{dataset}"))["rows"]
            for bucket in BUCKETS:
                assert await self.exported(emulator, self.flow, dataset, bucket) == expected
        assert [row["n"] for row in await self.exported(emulator, self.flow, RECORDS, BUCKETS[1])] == list(
            range(self.records)
        )
        assert not list(self.settings.export_dir.rglob("*.unfinished"))

    async def exported(self, emulator: LocalEmulator, flow: str, dataset: str, bucket: str) -> list[dict[str, Any]]:
        """The rows of a flow's dataset in one bucket, in the order of the runs and their files."""
        items = (await emulator.control("GET", "/exports", params={"flow": flow, "dataset": dataset}))["items"]
        paths = [item["path"] for item in items if item["path"].startswith(f"{S3.folder}/{bucket}/")]
        texts = [(self.settings.export_dir / path).read_text("utf-8") for path in paths]
        return [json.loads(line) for text in texts for line in text.splitlines()]


@settings(max_examples=5, deadline=None, derandomize=True, suppress_health_check=[HealthCheck.too_slow])
@given(st.lists(STEPS, max_size=10))
@example([
    *(("advance", 3), ("grow", 2), ("fail", "during"), ("toggle",), ("advance", 7), ("toggle",), ("restart", False)),
    ("advance", 7),
])  # fmt: skip
@example([("advance", 13), ("restart", True), ("run",), ("restart", False), ("run",)])
@example([
    *(("run",), ("adhoc", RECORDS), ("grow", 1), ("adhoc", RECORDS), ("block",), ("run",), ("sources", 0)),
    ("advance", 7),
])  # fmt: skip
def test_every_row_is_exported_exactly_once(steps: list[Step]) -> None:
    with tempfile.TemporaryDirectory() as folder:
        asyncio.run(Life(Path(folder)).live(steps))
