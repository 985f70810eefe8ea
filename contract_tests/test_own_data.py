"""A user's own data: what is refused by name, what it may cost, and that rows keep their places."""

from __future__ import annotations

import asyncio
import base64
import io
import json
import os
import sys
import zlib
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from contract_tests.api.test_own_datasets import SCHEDULE, next_rows, upload
from contract_tests.bench.mutated_files import TYPES, in_folder, put_all
from contract_tests.bench.mutated_files import check_folder as check_mutated
from contract_tests.support import Api, assert_error, serving
from contract_tests.tutorial import S3
from flow_service_emulator.data.datasets import reader
from flow_service_emulator.data.datasets.content import Job
from flow_service_emulator.data.datasets.dataset import Dataset
from flow_service_emulator.data.datasets.reader import Reader
from flow_service_emulator.errors import ServiceError
from flow_service_emulator.folder_check import check_folder


def parquet(table: pa.Table, **options: Any) -> bytes:
    target = io.BytesIO()
    pq.write_table(table, target, compression="zstd", **options)
    return target.getvalue()


# --- what it may cost ----------------------------------------------------------------------------------------------------------


@pytest.mark.skipif(sys.platform != "linux", reason="memory is read from /proc, and bounded there")
@pytest.mark.parametrize(
    ("form", "body", "reason"),
    [
        ("parquet", lambda: pa.array(["x" * 250_000]).dictionary_encode().take([0] * 8_192), "bytes of memory"),
        ("json", lambda: b'{"records":[' + b"{}," * 20_000_000 + b"{}]}", "bytes of memory"),
    ],
    ids=["text", "none"],
)
def test_what_is_made_of_an_upload_is_bounded(api: Api, form: str, body: Any, reason: str) -> None:
    """A few bytes can be many rows. What is too much is refused, and the server says where it can go."""
    content = body() if form == "json" else parquet(pa.table({"a": body()}))
    refusal = assert_error(upload(api, (form, content), "x"), "control-invalid")["detail"]
    assert reason in refusal and "--fixtures" in refusal
    assert api.http.get("/__emulator/datasets/x").status_code == 404


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


def test_every_timestamp_of_a_parquet_file_is_in_utc(api: Api) -> None:
    """Those without a time zone are taken for it."""
    millis, at = 1_700_000_000_000, "2023-11-14T22:13:20Z"
    inner = pa.struct([("at", pa.timestamp("ms")), ("name", pa.string())])
    columns: dict[str, tuple[pa.Array, Any]] = {
        "plain": (pa.array([millis * 1000], pa.timestamp("us")), at),
        "offset": (pa.array([millis], pa.timestamp("ms", "+02:00")), at),
        "city": (pa.array([millis], pa.timestamp("ms", "Europe/Lisbon")), at),
        "nested": (pa.array([{"at": millis, "name": "x"}], inner), {"at": at, "name": "x"}),
        "listed": (pa.array([[millis, None]], pa.list_(pa.timestamp("ms"))), [at, None]),
        "large": (pa.array([[{"at": millis, "name": "x"}]], pa.large_list(inner)), [{"at": at, "name": "x"}]),
        "places": (
            pa.array([[{"name": "x"}]]).cast(pa.list_(pa.struct([("name", pa.large_string())]))),
            [{"name": "x"}],
        ),
    }
    upload(api, ("parquet", parquet(pa.table({name: column for name, (column, _) in columns.items()}))), "x")
    api.flow(S3, SCHEDULE, datasets=["x"])
    assert next_rows(api, 0) == [{name: wanted for name, (_, wanted) in columns.items()}]


def test_further_records_may_bring_columns_and_numbers_with_a_point(api: Api) -> None:
    upload(api, ("ndjson", b"".join(b'{"n":%d}\n' % number for number in range(1_200))), "x")
    for body in ([{"n": 1, "t": "a"}], {"records": [{"n": 0.5}]}, []):
        api.control("POST", "/datasets/x/records", body)
    told = api.control("GET", "/datasets/x")
    types = [part["type"] for part in told["schema"]["properties"].values()]
    assert (told["rows"], types) == (1_202, ["number", "string"])
    again = b"".join(b'{"n":%d.0}\n' % number for number in range(1_200)) + b'{"n":1,"t":"a"}\n{"n":0.5}\n{"n":7}\n'
    api.flow(S3, SCHEDULE, datasets=["x"])
    api.advance(0)
    assert upload(api, ("ndjson", again), "x").json()["rows"] == 1_203
    assert next_rows(api) == [{"n": 7.0}]


def test_further_values_of_a_map_have_its_type(api: Api) -> None:
    """Those of a map of whole numbers may be numbers with a point, and no value changes."""
    values = pa.array([[("a", 1)], None], pa.map_(pa.string(), pa.int64()))
    upload(api, ("parquet", parquet(pa.table({"m": values}))), "x")
    api.control("POST", "/datasets/x/records", [{"m": {"b": 1.5}}])
    api.flow(S3, SCHEDULE, datasets=["x"])
    assert next_rows(api, 0) == [{"m": {"a": 1.0}}, {}, {"m": {"b": 1.5}}]


# --- wrong bytes --------------------------------------------------------------------------------------------------------------


COUNT = 10
CRASHING = zlib.decompress(
    base64.b64decode(
        "eNqdUEEKwkAMTNd27QdSdmEPi2BRULFCxYMXL4LSQ/EHRRYUqta26tG7bxD8gW/yKabWmzdDwoSZMJCJZ6sAAV8WdQ81rRy5AoAGjdNqORVcqSyoi32xsazx"
        "h4f/eLRlFILgxXpjdgkyCJmwUmTIoynJoS3sdFuUJKDdZqJpUrMz+xI8IZVUPigyaHOQEyv9HNYH9xLB096NeQ/muwtF/wFZTLu+cOUcXBDkXcnCdwmgo7Mk"
        "P55M2V9nWT/J88NFn01ebA97PRoPhoNAqiqdJ01M0b0BhewqeA=="
    )
)
"""Parquet with three wrong bytes that ends the process which reads it: arro3 panics there where no panic can be caught."""


def test_files_with_wrong_bytes_are_listed_with_their_problem_and_the_others_are_exported(tmp_path: Path) -> None:
    in_folder(tmp_path / "fixtures" / "datasets", COUNT)
    (tmp_path / "fixtures" / "datasets" / "crashing.parquet").write_bytes(CRASHING)
    with serving(tmp_path, "--fixtures", str(tmp_path / "fixtures")) as server:
        api = Api(server.url)
        told = {item["id"]: item for item in api.control("GET", "/datasets", timeout=300)["items"]}
        assert "ends the process that reads it (SIGABRT)" in told["crashing"]["problem"]
        check_mutated(api, COUNT)
        for format_ in TYPES:
            put_all(api, format_, 4 if format_ == "parquet" else COUNT)
        api.close()
