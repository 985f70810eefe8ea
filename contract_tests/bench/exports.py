"""Large exports, each figure beside its floor: rows a second, memory, the longest wait of another client, equal bytes.

`python -m contract_tests.bench.exports` measures all of it in some minutes, `… exports speed 200000` one part with other numbers:

- `month`: thirty days of three-hourly exports to six destinations, 1,440 of them;
- `speed [rows]`: one export end to end through a server, and the file writer alone, fed with ready-made columns;
- `memory [rows]`: how far the server's memory rises above that of a server just started, for the given number of rows;
- `files [rows]`: a user's own files, NDJSON and Parquet: how fast they are looked through, and how fast they come out;
- `same [python …]`: whether two servers, one for each interpreter, give the same files for the same seed and requests.
"""

from __future__ import annotations

import hashlib
import random
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import httpx

from contract_tests.support import FROZEN_NOW, Api, serving
from contract_tests.tutorial import DESTINATIONS, S3
from flow_service_emulator.catalog import load_catalog
from flow_service_emulator.files.folders import open_folder
from flow_service_emulator.files.row_encoding import encode_ndjson, encode_parquet
from flow_service_emulator.files.writers import FileForm, write_parts
from flow_service_emulator.rows.seeded import BATCH_ROWS, GeneratedRows

if TYPE_CHECKING:
    from arro3.core import RecordBatch

LIKE = "5ff749e75b636cea4c32bc07"
"""Loyalty Members: fifteen columns, among them objects and arrays of objects; 570 bytes a row as JSON."""
FORMS = ({"datasetFileType": "PARQUET", "compression": "GZIP"}, {"datasetFileType": "JSON", "compression": "GZIP"})
ONCE = {"interval": 0, "timeUnit": "day", "exportMode": "DAILY_FULL_EXPORT", "startTime": FROZEN_NOW}
RAMP = 16
"""Batches of ready-made columns, given again and again."""


def month() -> None:
    """1,440 exports of the default datasets."""
    with tempfile.TemporaryDirectory() as folder, serving(Path(folder)) as process:
        api = Api(process.url)
        schedule = {"interval": 3, "timeUnit": "hour", "startTime": FROZEN_NOW + 60}
        flows = [api.flow(destination, schedule) for destination in DESTINATIONS]
        began = time.perf_counter()
        runs = api.advance(30 * 86_400)
        passed = time.perf_counter() - began
        records = sum(len(_all_runs(api, flow)) for flow in flows)
        failed = sum(run["status"] != "success" for run in runs)
        print(f"month: {len(runs)} exports in {passed:.2f} s, {failed} failed, {records} run records read")


def _all_runs(api: Api, flow_id: str) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = []
    params = {"property": f"flowId=={flow_id}"}
    while True:
        page = api.get("/runs", params=params).json()
        found += page["items"]
        if "next" not in page["_links"]:
            return found
        params = {"continuationToken": page["_links"]["next"]["href"].split("=")[1]}


def speed(rows: int = 2_000_000) -> None:
    """End to end and ready-made in turn, twice each."""
    for form in FORMS:
        whole, ready, waits = [], [], []
        for _ in range(2):
            seconds, wait, _, size = _export(rows, form)
            whole.append(rows / seconds)
            waits.append(wait)
            ready.append(rows / _ready_made(rows, form))
        print(
            f"speed: {rows:,} rows as {' '.join(form.values())}: {max(whole):,.0f} rows/s end to end, {max(ready):,.0f} rows/s "
            f"ready-made ({max(whole) / max(ready):.2f}), {size / rows:.0f} bytes a row; longest wait of another client "
            f"{min(waits) * 1000:.0f} ms",
            flush=True,
        )


def memory(rows: int = 10_000_000) -> None:
    for form in FORMS:
        seconds, wait, risen, size = _export(rows, form)
        print(
            f"memory: {rows:,} rows as {' '.join(form.values())}: {risen / 1e6:.0f} MB above idle, {rows / seconds:,.0f} rows/s, "
            f"{size / 1e6:,.0f} MB, longest wait {wait * 1000:.0f} ms",
            flush=True,
        )


def _export(rows: int, form: dict[str, str]) -> tuple[float, float, int, int]:
    """Seconds, longest wait of another client, bytes of memory above idle, bytes of files: of one export by a new server."""
    with tempfile.TemporaryDirectory() as folder, serving(Path(folder)) as process:
        api = Api(process.url)
        api.http.timeout = httpx.Timeout(3600)
        idle = _memory(process.process.pid, "VmRSS")
        api.control("PUT", "/datasets/large", {"like": LIKE, "rows": rows})
        api.control("PUT", "/datasets/small", {"like": LIKE, "rows": 20_000})
        for dataset in ("small", "large"):  # the small one loads what an export needs
            api.flow(S3, ONCE, datasets=[dataset], **form)
            with _Waiting(process.url) as waiting:
                began = time.perf_counter()
                (run,) = api.advance(0)
                seconds = time.perf_counter() - began
            assert run["status"] == "success"
        files = [file for file in api.control("GET", "/exports")["items"] if file["dataset"] == "large"]
        assert sum(file["rows"] for file in files) == rows
        return (
            seconds,
            waiting.longest,
            _memory(process.process.pid, "VmHWM") - idle,
            sum(file["size"] for file in files),
        )


def files(rows: int = 500_000) -> None:
    dataset = load_catalog().datasets[LIKE]
    source = GeneratedRows(
        dataset_id="file", schema=dataset.schema, seed=0, rows=rows, rows_per_hour=0, anchor=FROZEN_NOW
    )
    for extension in (".ndjson", ".parquet"):
        with tempfile.TemporaryDirectory() as name:
            folder = Path(name)
            (folder / "fixtures" / "datasets").mkdir(parents=True)
            with serving(folder, "--fixtures", str(folder / "fixtures")) as process:
                api = Api(process.url)
                api.http.timeout = httpx.Timeout(3600)
                idle = _memory(process.process.pid, "VmRSS")
                with (folder / "fixtures" / "datasets" / f"mine{extension}").open("wb") as file:
                    if extension == ".parquet":
                        encode_parquet(source.batches(0, rows), source.arrow_schema, file, gzip=True)
                    else:
                        encode_ndjson(source.batches(0, rows), source.arrow_schema, file)
                    size = file.tell()
                with _Waiting(process.url) as waiting:
                    began = time.perf_counter()
                    api.control("GET", "/datasets/mine")
                    looked = time.perf_counter()
                    api.flow(S3, ONCE, datasets=["mine"], **FORMS[1])
                    (run,) = api.advance(0)
                    ended = time.perf_counter()
                assert run["status"] == "success"
                print(
                    f"files: {rows:,} rows of {extension}, {size / 1e6:,.0f} MB: looked through at {rows / (looked - began):,.0f} "
                    f"rows/s, exported as JSON GZIP at {rows / (ended - looked):,.0f} rows/s, "
                    f"{(_memory(process.process.pid, 'VmHWM') - idle) / 1e6:.0f} MB above idle, longest wait {waiting.longest * 1000:.0f} ms",
                    flush=True,
                )


def _memory(pid: int, what: str) -> int:
    """Bytes (Linux only)."""
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith(what):
            return int(line.split()[1]) * 1024
    return 0


class _Waiting:
    """Another client that asks for the server's health a hundred times a second, and notes how long it has to wait."""

    def __init__(self, url: str) -> None:
        self.longest = 0.0
        self._url = url
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._ask)

    def __enter__(self) -> _Waiting:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._thread.join()

    def _ask(self) -> None:
        with httpx.Client(base_url=self._url, trust_env=False, timeout=60) as client:
            client.get("/__emulator/health")
            while not self._over.wait(0.01):
                began = time.perf_counter()
                client.get("/__emulator/health")
                self.longest = max(self.longest, time.perf_counter() - began)


def _ready_made(rows: int, form: dict[str, str]) -> float:
    """Seconds that the file writer alone takes for columns that are there already."""
    dataset = load_catalog().datasets[LIKE]
    source = GeneratedRows(
        dataset_id="large", schema=dataset.schema, seed=0, rows=rows, rows_per_hour=0, anchor=FROZEN_NOW
    )
    ready = list(source.batches(0, RAMP * BATCH_ROWS))

    def batches() -> Iterator[RecordBatch]:
        left = rows
        while left:
            for batch in ready:
                part = batch.slice(0, min(left, batch.num_rows))
                left -= part.num_rows
                if part.num_rows:
                    yield part

    with tempfile.TemporaryDirectory() as place, open_folder(Path(place), ()) as folder:
        began = time.perf_counter()
        write_parts(
            folder,
            batches(),
            schema=source.arrow_schema,
            form=FileForm("JSON" if form["datasetFileType"] == "JSON" else "PARQUET", form["compression"] == "GZIP"),
            rows_per_file=500_000,
            rng=random.Random(1),
        )
        return time.perf_counter() - began


def same(*pythons: str) -> None:
    """The digests of all files and their names, of servers that are asked the same."""
    script = f"import sys; sys.path[:0] = {[str(Path(__file__).parents[2])]!r}; from contract_tests.bench.exports import tell_digest; tell_digest()"
    digests: dict[str, list[str]] = {}
    for python in (*pythons, *([sys.executable] * max(1, 2 - len(pythons)))):
        done = subprocess.run([python, "-c", script], capture_output=True, text=True, check=True)
        digests.setdefault(done.stdout.strip(), []).append(python)
    for digest, by in digests.items():
        print(f"same: {digest} by {', '.join(by)}")
    print("same: byte for byte" if len(digests) == 1 else "same: NO")


def tell_digest() -> None:
    """Prints a digest of what one server exports: every form, every destination, several days."""
    with tempfile.TemporaryDirectory() as folder, serving(Path(folder), "--seed", "7") as process:
        api = Api(process.url)
        api.control("PUT", "/datasets/mine", {"records": [{"a": 1, "b": [{"c": "é"}]}, {"a": 2.5}], "rowsPerHour": 3})
        for index, destination in enumerate(DESTINATIONS):
            form = {"datasetFileType": ("JSON", "PARQUET")[index % 2], "compression": ("GZIP", "NONE")[index // 2 % 2]}
            schedule = {"interval": 6, "timeUnit": "hour", "startTime": FROZEN_NOW + 60 * index}
            api.flow(destination, schedule, datasets=["5ef3e3259ad2a1191ab7dd7d", LIKE, "mine"], **form)
        api.advance(3 * 86_400)
        digest = hashlib.sha256()
        paths = sorted(path for path in process.export_dir.rglob("*") if path.is_file())
        for path in paths:
            digest.update(f"{path.relative_to(process.export_dir)}\0".encode() + path.read_bytes())
        print(f"{digest.hexdigest()[:32]} of {len(paths)} files")


def main() -> None:
    parts = {"month": month, "speed": speed, "memory": memory, "files": files}
    if not sys.argv[1:]:
        for part in parts.values():
            part()
        same()
    elif sys.argv[1] == "same":
        same(*sys.argv[2:])
    else:
        parts[sys.argv[1]](*map(int, sys.argv[2:]))


if __name__ == "__main__":
    main()
