"""Data files with a few bytes changed, in the folder and by PUT: none of them ends the server, or keeps another from being read.

`python -m contract_tests.bench.mutated_files 500` tries so many of each format with a server of its own.
"""

from __future__ import annotations

import datetime
import io
import json
import random
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from contract_tests.support import Api, serving
from contract_tests.tutorial import S3

TYPES = {
    "csv": "text/csv",
    "json": "application/json",
    "ndjson": "application/x-ndjson",
    "parquet": "application/vnd.apache.parquet",
}
"""Format -> the content type of a body of it."""
ROWS = 200


def whole(format_: str) -> bytes:
    """A file with nothing wrong in it."""
    rows = [{"n": n, "t": f"no. {n}", "x": n / 4, "b": n % 2 == 0} for n in range(ROWS)]
    if format_ == "json":
        return json.dumps(rows).encode()
    if format_ == "ndjson":
        return "".join(json.dumps(row) + "\n" for row in rows).encode()
    if format_ == "csv":
        return "".join(",".join(map(str, line)) + "\n" for line in ["ntxb", *(row.values() for row in rows)]).encode()
    start = datetime.datetime(2026, 1, 1, tzinfo=datetime.UTC)
    table = pa.Table.from_pylist(rows)
    further = {
        "i": pa.array([None, *range(ROWS - 1)], pa.int16()),
        "d": pa.array([start.date()] * ROWS),
        "z": pa.array([start] * ROWS, pa.timestamp("ms", "UTC")),
        "e": pa.array([Decimal("1.10")] * ROWS, pa.decimal128(9, 2)),
        "m": pa.array([[("k", n)] for n in range(ROWS)], pa.map_(pa.string(), pa.int32())),
        "l": pa.array([[{"a": n}] * (n % 3) for n in range(ROWS)]),
    }
    for name, column in further.items():
        table = table.append_column(name, column)
    target = io.BytesIO()
    pq.write_table(table, target, compression="none")
    return target.getvalue()


def mutated(format_: str, count: int, seed: int = 1) -> Iterator[bytes]:
    """Files of a format with three bytes changed, each other ones."""
    good, dice = whole(format_), random.Random(f"{format_}/{seed}")
    others = range(256) if format_ == "parquet" else b'0123456789.,-eEux"{}[]:\n\t\0\xff'
    for _ in range(count):
        content = bytearray(good)
        for _ in range(3):
            content[dice.randrange(len(content))] = dice.choice(others)
        yield bytes(content)


def in_folder(folder: Path, count: int, seed: int = 1) -> None:
    """Puts mutated files, and a good one, of each format into a folder."""
    folder.mkdir(parents=True, exist_ok=True)
    for format_ in TYPES:
        (folder / f"good-{format_}.{format_}").write_bytes(whole(format_))
        for index, content in enumerate(mutated(format_, count, seed)):
            (folder / f"{format_}-{index}.{format_}").write_bytes(content)


def check_folder(api: Api, count: int) -> Counter[str]:
    """How many files of each format are to be had, and how many have a problem. Raises AssertionError."""
    items = [
        item
        for item in api.control("GET", "/datasets", timeout=900)["items"]
        if item["id"].split("-")[0] in ("good", *TYPES)
    ]
    assert len(items) == (count + 1) * len(TYPES)
    assert all(item["rows"] == ROWS for item in items if item["id"].startswith("good-"))
    usable = [item["id"] for item in items if "problem" not in item]
    for form in ("JSON", "PARQUET"):
        for start in range(0, len(usable), 20):
            api.flow(S3, datasets=usable[start : start + 20], datasetFileType=form)
    api.advance(3 * 3600)
    return Counter(f"{item['id'].split('-')[0]} {'refused' if 'problem' in item else 'read'}" for item in items)


def put_all(api: Api, format_: str, count: int, seed: int = 1) -> Counter[str]:
    """PUTs mutated files; answers how often each status came. Raises AssertionError for another than 200 and 400."""
    found: Counter[str] = Counter()
    for content in mutated(format_, count, seed):
        if format_ == "json":
            content = b'{"records": ' + content + b"}"
        response = api.http.put(
            f"/__emulator/datasets/put-{format_}", content=content, headers={"Content-Type": TYPES[format_]}
        )
        assert response.status_code in (200, 400), response.text
        found[f"{format_} {response.status_code}"] += 1
    return found


def main(count: int, seed: int) -> None:
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        in_folder(folder / "fixtures" / "datasets", count, seed)
        began = time.monotonic()
        with serving(folder, "--fixtures", str(folder / "fixtures")) as server:
            api = Api(server.url)
            print(f"folder: {dict(check_folder(api, count))}, {time.monotonic() - began:.0f} s")
            for format_ in TYPES:
                began = time.monotonic()
                print(f"PUT: {dict(put_all(api, format_, count, seed))}, {time.monotonic() - began:.0f} s")
            assert server.process.poll() is None
            api.close()


if __name__ == "__main__":
    main(int(sys.argv[1]), int(sys.argv[2]) if len(sys.argv) > 2 else 1)
