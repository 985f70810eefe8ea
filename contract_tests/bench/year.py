"""A server left running: days of emulated time with flows that export, and what it takes of the machine meanwhile.

`python -m contract_tests.bench.year 365 100 24` is a year with a hundred flows that export every 24 hours.
"""

from __future__ import annotations

import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

from contract_tests.bench.load import HEADERS
from contract_tests.bench.processes import bytes_below, open_files, resident_bytes
from contract_tests.support import Api, serving
from contract_tests.tutorial import DESTINATIONS

DAY = 86_400
KEPT_RUNS = 10


@dataclass(frozen=True)
class Sample:
    """What the server takes at the end of a day: memory, open files, records of runs, the data folder's and the exports' bytes."""

    day: int
    memory: int
    files: int
    runs: int
    data: int
    exports: int


def run(folder: Path, days: int, flows: int, hours: int) -> tuple[list[Sample], int]:
    """Lets days pass; answers a sample for each (the exports' bytes only at the end) and how many runs there were."""
    samples, count = [], 0
    data = folder / "data"
    with serving(folder, "--data-dir", str(data), "--keep-runs", str(KEPT_RUNS)) as process:
        api = Api(process.url, org=HEADERS["x-gw-ims-org-id"])
        now = int(api.control("GET", "/clock")["now"])
        for number in range(flows):
            start = now + 60 * (number + 1)
            schedule = {"interval": hours, "timeUnit": "hour", "startTime": start, "endTime": start + (days + 1) * DAY}
            api.flow(DESTINATIONS[number % len(DESTINATIONS)], schedule)
        for day in range(1, days + 1):
            done = api.advance(DAY)
            count += len(done)
            failed = [run["id"] for run in done if run["status"] != "success"]
            assert not failed, api.get(f"/runs/{failed[0]}").text
            kept = api.get("/runs", params={"count": "true"}).json()["count"]
            pid = process.process.pid
            size = bytes_below(process.export_dir) if day == days else 0
            samples.append(Sample(day, resident_bytes(pid), open_files(pid), kept, bytes_below(data), size))
        api.close()
    return samples, count


def main() -> int:
    days, flows, hours = (int(text) for text in (*sys.argv[1:], *("365", "100", "24")[len(sys.argv) - 1 :]))
    began = time.perf_counter()
    with tempfile.TemporaryDirectory() as folder:
        samples, runs = run(Path(folder), days, flows, hours)
    passed = time.perf_counter() - began
    print(
        f"{days} days, {flows} flows, {runs} runs in {passed:.0f} s ({runs / passed:.0f} a second), {samples[-1].exports / 1e6:.0f} MB exported"
    )
    for sample in samples[:: max(1, days // 12)] + samples[-1:]:
        print(
            f"  day {sample.day}: {sample.memory / 1e6:.1f} MB, {sample.files} open files, {sample.runs} runs kept, {sample.data / 1e6:.2f} MB in the data folder"
        )
    return 0


if __name__ == "__main__":
    sys.exit(main())
