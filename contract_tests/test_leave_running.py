"""A server left running for days of emulated time: what it takes of the machine stays as it was."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from contract_tests.bench.processes import bytes_below, open_files, resident_bytes
from contract_tests.support import FROZEN_NOW, Api, serving
from contract_tests.tutorial import AZURE_BLOB, S3

DAY, KEPT_RUNS = 86_400, 10


@pytest.mark.skipif(sys.platform != "linux", reason="memory and open files are read from /proc")
def test_days_of_exports_leave_memory_files_and_records_flat(tmp_path: Path) -> None:
    data = tmp_path / "data"
    with serving(tmp_path, "--data-dir", str(data), "--keep-runs", str(KEPT_RUNS)) as process:
        api, pid = Api(process.url), process.process.pid
        for number, destination in enumerate((S3, AZURE_BLOB), 1):
            start = FROZEN_NOW + 60 * number
            schedule = {"interval": 3, "timeUnit": "hour", "startTime": start, "endTime": start + 20 * DAY}
            api.flow(destination, schedule)
        taken = []
        for days in (5, 5):
            runs = api.advance(days * DAY)
            assert len(runs) == days * 2 * 8 and {run["status"] for run in runs} == {"success"}
            assert api.get("/runs?count=true").json()["count"] == 2 * KEPT_RUNS
            taken.append((resident_bytes(pid), open_files(pid)))
        api.close()
    early, late = taken
    assert late[1] <= early[1]
    assert late[0] - early[0] < 6_000_000
    assert bytes_below(data) < 5_000_000
