"""A user's own data: what is refused by name, what it may cost, and that rows keep their places."""

from __future__ import annotations

import asyncio
import io
import json
import os
import signal
import sys
from pathlib import Path
from typing import Any

import httpx
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from contract_tests.support import Api, assert_error
from flow_service_emulator.data.datasets import reader
from flow_service_emulator.data.datasets.content import FileFault, Job
from flow_service_emulator.data.datasets.dataset import Dataset
from flow_service_emulator.data.datasets.reader import Reader
from flow_service_emulator.data.datasets.reading import MAX_UPLOAD_ROWS
from flow_service_emulator.errors import ServiceError
from flow_service_emulator.folder_check import check_folder

CSV, NDJSON, PARQUET, JSON = (
    "text/csv",
    "application/x-ndjson",
    "application/vnd.apache.parquet",
    "application/json",
)
MEGABYTE = 1_000_000


def parquet(table: pa.Table, **options: Any) -> bytes:
    target = io.BytesIO()
    pq.write_table(table, target, compression="zstd", **options)
    return target.getvalue()


def upload(api: Api, body: bytes, kind: str, dataset: str = "x") -> httpx.Response:
    return api.http.put(f"/__emulator/datasets/{dataset}", content=body, headers={"Content-Type": kind})


# --- what is refused by name ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("kind", "body", "reason"),
    [
        (NDJSON, b'{"a":1}\n{"a":"x"}\n', "record 2, field a: 'x' is a text, but the field is a whole number"),
        (NDJSON, b'{"a":1}\n\n{"a":18446744073709551616}', "record 2, field a: 18446744073709551616 is beyond 64 bits"),
        (NDJSON, b'{"a":-9223372036854775809}', "record 1, field a: -9223372036854775809 is beyond 64 bits"),
        (NDJSON, b'{"a":9007199254740993}\n{"a":0.5}', "field a: 9007199254740993 is among numbers with a point"),
        (NDJSON, b'{"a":{"b":[1,NaN]}}', "record 1, field a.b[]: nan is no number that JSON has"),
        (JSON, b'{"records": [{"a": 1}, {"a": Infinity}]}', "record 2, field a: inf is no number"),
        (JSON, b'{"records": [{"a": 1e999}]}', "record 1, field a: inf is no number"),
        (NDJSON, b'{"a":1}\n{"a"', "line 2 is not JSON"),
        (CSV, b"a\0b,c\n1,2\n", "column 1: the name has the character NUL in it"),
        (CSV, b"c," + b"n" * 1_001 + b"\n1,2\n", "column 2: the name has 1001 characters; at most 1000 are possible"),
        (CSV, b"a" * 2_000_000 + b"\n1\n", "column 1: the name has 2000000 characters"),
        (NDJSON, b'{"a\\u0000b": 1}\n', "record 1, field a\0b: the name has the character NUL in it"),
        (JSON, b'{"records": [{"a": {"b\\u0000": 1}}]}', "the name has the character NUL in it"),
        (JSON, b'{"schema": {"type": "object", "properties": {"a\\u0000": {"type": "string"}}}, "rows": 1}', "column"),
        (PARQUET, b"PAR1 or not", "this is no Parquet file, or not the whole of it"),
    ],
)
def test_what_would_change_silently_or_cannot_be_is_refused(api: Api, kind: str, body: bytes, reason: str) -> None:
    assert reason in assert_error(upload(api, body, kind), "control-invalid")["detail"]


def test_json_that_is_none_is_malformed(api: Api) -> None:
    for body in (b'{"records": [', b'{"records": [{"a": tru}]}', b"\xff", b"[" * 3_000):
        assert_error(upload(api, body, JSON), "body-malformed")


# --- what it may cost ----------------------------------------------------------------------------------------------------------


@pytest.mark.skipif(sys.platform != "linux", reason="memory is read from /proc, and bounded there")
@pytest.mark.parametrize(
    ("kind", "body", "reason"),
    [
        pytest.param(
            PARQUET,
            lambda: parquet(pa.table({"a": pa.array(["x" * 250_000]).dictionary_encode().take([0] * 8_192)})),
            "bytes of memory",
            id="text",
        ),
        pytest.param(PARQUET, lambda: parquet(pa.table({"a": pa.nulls(MAX_UPLOAD_ROWS + 1)})), "rows", id="nothing"),
        pytest.param(JSON, lambda: b'{"records":[' + b"{}," * 20 * MEGABYTE + b"{}]}", "bytes of memory", id="none"),
    ],
)
def test_what_is_made_of_an_upload_is_bounded(api: Api, kind: str, body: Any, reason: str) -> None:
    """A few bytes can be many rows. What is too much is refused, and the server says where it can go."""
    refusal = assert_error(upload(api, body(), kind), "control-invalid")["detail"]
    assert reason in refusal and "--fixtures" in refusal
    assert api.http.get("/__emulator/datasets/x").status_code == 404


def test_a_body_that_is_too_large_is_not_read(api: Api) -> None:
    assert_error(upload(api, b" " * 64_000_001, NDJSON), "body-too-large")


def test_a_process_that_somebody_ends_has_read_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    job, content = Job("parquet", upload=True), parquet(pa.table({"a": [1]}))
    monkeypatch.setattr(reader, "_START", f"import os; os.kill(os.getpid(), {int(signal.SIGTERM)})")
    with pytest.raises(FileFault, match="SIGTERM"):
        asyncio.run(Reader().read(job, content))


@pytest.mark.parametrize("ending", [True, False])
def test_the_end_of_the_server_and_of_whoever_waits_end_the_reading(
    monkeypatch: pytest.MonkeyPatch, ending: bool
) -> None:
    async def scenario() -> None:
        reading = Reader()
        task = asyncio.create_task(reading.read(Job("parquet"), b""))
        await asyncio.sleep(0.2)
        if ending:
            reading.stop()
            with pytest.raises(ServiceError, match="server-ending"):
                await task
            with pytest.raises(ServiceError, match="server-ending"):
                await reading.read(Job("json"), b"[]")
        else:
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task

    monkeypatch.setattr(reader, "_START", "import time; time.sleep(30)")
    asyncio.run(asyncio.wait_for(scenario(), 20))


# --- what lies in the folder ----------------------------------------------------------------------------------------------------


@pytest.mark.skipif(os.name == "nt", reason="Windows has neither pipes nor such names")
def test_only_files_are_read(api: Api, files: Path, tmp_path: Path) -> None:
    """A pipe would be waited for without an end. A link to a file is one, as some build systems link every file."""
    (tmp_path / "elsewhere.csv").write_text("a\n1\n")
    (files / "linked.csv").symlink_to(tmp_path / "elsewhere.csv")
    (files / "loop.csv").symlink_to("loop.csv")
    (files / "gone.csv").symlink_to("nowhere.csv")
    os.mkfifo(files / "pipe.ndjson")
    odd = os.fsencode(files) + b"/\xff.csv"
    Path(os.fsdecode(odd)).write_text("a\n1\n")
    items = {item.get("file"): item for item in api.control("GET", "/datasets")["items"]}
    assert items["linked.csv"]["rows"] == 1
    assert "regular file" in items["pipe.ndjson"]["problem"]
    assert "symbolic links" in items["loop.csv"]["problem"]
    assert "1 to 64 letters" in items["\\xff.csv"]["problem"]
    assert "gone.csv" not in items


@pytest.mark.skipif(os.name == "nt", reason="Windows has no such pipes")
def test_a_pipe_does_not_hold_up_the_start(tmp_path: Path) -> None:
    """Fixtures are read before a server listens. In `datasets` a pipe is told of as a dataset's problem, once it does."""
    for name in ("datasets", "flow-specs"):
        (tmp_path / name).mkdir()
        os.mkfifo(tmp_path / name / "pipe.json")
        found = check_folder(tmp_path)
        assert [(fault.file.parent.name, fault.file.name) for fault in found.faults] == [(name, "pipe.json")]
        assert "no regular file" in found.faults[0].reason
        (tmp_path / name / "pipe.json").unlink()


def test_a_large_file_is_read_piece_by_piece(api: Api, files: Path) -> None:
    """With many columns a batch has few rows; what only some records have is null in the others."""
    lines = [{f"f{i}": i for i in range(1_500)}, *({f"f{i % 1_500}": i, "t": "x" * 400} for i in range(3_000))]
    (files / "wide.ndjson").write_text("".join(json.dumps(line) + "\n" for line in lines))
    assert api.control("GET", "/datasets/wide")["rows"] == len(lines)


# --- rows keep their places --------------------------------------------------------------------------------------------------


@settings(max_examples=60, deadline=None)
@given(st.integers(1, 2_500), st.integers(0, 9), st.integers(0, 9_000), st.integers(0, 9_000))
def test_repeated_records_at_any_positions(count: int, grown: int, first: int, length: int) -> None:
    content = "".join(f'{{"n":{number}}}\n' for number in range(count)).encode()
    found = asyncio.run(Reader().read(Job("ndjson"), content))
    rows = Dataset.own("x", "x", "call", found, rows_per_hour=1, grown=grown, base=5)
    assert rows.count_at(0) == count + grown + 5 and rows.count_at(3 * 3600) == count + grown + 8
    batches = list(rows.batches(first + 5, first + length + 5))
    values = [row["n"] for batch in batches for row in pa.record_batch(batch).to_pylist()]
    assert values == [position % count for position in range(first, first + length)]


def test_further_records_may_bring_columns_and_numbers_with_a_point(api: Api) -> None:
    upload(api, b"".join(b'{"n":%d}\n' % number for number in range(1_200)), NDJSON)
    for body in (b'[{"n":1,"t":"a"}]', b'{"records":[{"n":0.5}]}', b"[]"):
        answer = api.http.post("/__emulator/datasets/x/records", content=body, headers={"Content-Type": JSON})
        assert answer.status_code == 200, answer.text
    told = api.control("GET", "/datasets/x")
    assert (told["rows"], [part["type"] for part in told["schema"]["properties"].values()]) == (
        1_202,
        ["number", "string"],
    )
    again = b"".join(b'{"n":%d.0}\n' % number for number in range(1_200)) + b'{"n":1,"t":"a"}\n{"n":0.5}\n{"n":7}\n'
    assert upload(api, again, NDJSON).json()["rows"] == 1_203
