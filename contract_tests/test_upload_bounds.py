"""What a user's own bytes may cost: uploads and dataset files are bounded, and none of them ends the server."""

from __future__ import annotations

import asyncio
import io
import json
import os
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from contract_tests.bench.processes import resident_bytes
from contract_tests.in_process import LocalEmulator
from contract_tests.support import Api, ServerProcess, assert_error, serving
from flow_service_emulator.datasets import bounds
from flow_service_emulator.datasets.bounds import (
    MAX_ARRAY_VALUES,
    MAX_PLACES,
    MAX_TEXT_MEMORY,
    MAX_VALUES,
    TooMuch,
    check_values,
    text_memory,
)
from flow_service_emulator.datasets.csv_columns import CsvColumns
from flow_service_emulator.datasets.folder_check import check_folder
from flow_service_emulator.datasets.library import Library
from flow_service_emulator.datasets.record_files import read_file
from flow_service_emulator.settings import Settings

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


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("bounds")


@pytest.fixture(scope="module")
def server(folder: Path) -> Iterator[ServerProcess]:
    """A server of this file's own, since its memory is looked at."""
    (folder / "fixtures" / "datasets").mkdir(parents=True)
    with serving(folder, "--fixtures", str(folder / "fixtures")) as process:
        yield process


@pytest.fixture
def api(server: ServerProcess, folder: Path) -> Iterator[Api]:
    for file in (folder / "fixtures" / "datasets").iterdir():
        file.unlink()
    client = Api(server.url)
    client.control("POST", "/reset")
    yield client
    client.close()


def upload(api: Api, body: bytes, kind: str, dataset: str = "x") -> httpx.Response:
    return api.http.put(f"/__emulator/datasets/{dataset}", content=body, headers={"Content-Type": kind})


# --- cost ---------------------------------------------------------------------------------------------------------------------


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="memory is read from /proc")
@pytest.mark.parametrize(
    ("kind", "body", "reason"),
    [
        pytest.param(
            PARQUET, lambda: parquet(pa.table({"a": ["x" * 250_000] * 8_192})), "bytes as JSON", id="one text, many rows"
        ),
        pytest.param(
            PARQUET, lambda: parquet(pa.table({"a": pa.nulls(4 * MAX_VALUES)})), "values", id="many rows of nothing"
        ),
        pytest.param(
            CSV,
            lambda: ("," .join(f"c{i:0200}" for i in range(1_000)) + "\n" + ("," * 999 + "\n") * 2_000).encode(),
            "bytes as JSON",
            id="long names, many rows",
        ),
        pytest.param(
            PARQUET,
            lambda: parquet(pa.table({"a": ["x" * 200_000_000]}), use_dictionary=False),
            "bytes of memory",
            id="one page that unpacks to hundreds of megabytes",
            marks=pytest.mark.skipif(sys.platform != "linux", reason="only Linux bounds a process's memory"),
        ),
        pytest.param(
            NDJSON,
            lambda: json.dumps({f"f{i}": i for i in range(2_000)}).encode() + b'\n{"f0":1}' * (MAX_PLACES // 2_000),
            "values",
            id="many fields that only one record has",
        ),
        pytest.param(
            NDJSON,
            lambda: b'{"a":[{%s}]}\n{"a":[%s{}]}' % (
                b",".join(b'"f%d":1' % i for i in range(1_900)), b"{}," * (MAX_PLACES // 1_900)),
            "values",
            id="many fields that only one item has",
        ),
        pytest.param(
            NDJSON,
            lambda: ('{"a":"\U0001f600' + "x" * 2_000 + '"}\n').encode() * (MAX_TEXT_MEMORY // 8_000),
            "take as text",
            id="a few wide characters among many others",
        ),
        pytest.param(JSON, lambda: b'{"records":[' + b"{}," * MAX_VALUES + b"{}]}", "values", id="empty records"),
        pytest.param(NDJSON, lambda: b"{}\n" * (MAX_VALUES + 1), "values", id="empty records by the line"),
        pytest.param(NDJSON, lambda: b"\n" * (MAX_VALUES + 1), "values", id="empty lines"),
    ],
)  # fmt: skip
def test_what_is_made_of_an_upload_is_bounded(
    api: Api, server: ServerProcess, kind: str, body: Any, reason: str
) -> None:
    """A few bytes can be many rows. What is too much is refused before it is made, and the server says where it can go."""
    before = resident_bytes(server.process.pid)
    peak, ended = 0, threading.Event()

    def watch() -> None:
        nonlocal peak
        while not ended.wait(0.005):
            peak = max(peak, resident_bytes(server.process.pid))

    watching = threading.Thread(target=watch)
    watching.start()
    try:
        refusal = assert_error(upload(api, body(), kind), "control-invalid")["detail"]
    finally:
        ended.set()
        watching.join()
    assert reason in refusal and "--fixtures" in refusal
    assert peak - before < 500 * MEGABYTE
    assert api.http.get("/__emulator/datasets/x").status_code == 404


def test_a_body_that_is_too_large_is_not_read(api: Api) -> None:
    response = upload(api, b" " * 64_000_001, NDJSON)
    assert "64000000" in assert_error(response, "body-too-large")["detail"]


def test_a_wide_csv_is_read_a_few_rows_at_a_time() -> None:
    wide = CsvColumns((",".join(f"{'n' * 500}{i}" for i in range(1_000)) + "\n" + ("," * 999 + "\n") * 100).encode())
    assert wide.survey(lambda rows: None) == 100
    assert max(batch.num_rows for batch in wide.batches()) < 70


def test_commas_within_texts_are_no_values(api: Api) -> None:
    """A record for each shape, with all of its corners in one text, which has quotes in it as well."""
    corners = '"POLYGON" \\\\ ((' + "7.5 47.5, " * (MAX_VALUES // 300) + "))\\"
    for kind in (JSON, NDJSON):
        lines = [json.dumps({"id": number, "wkt": corners}) for number in range(310)]
        body = ('{"records": [' + ",".join(lines) + "]}" if kind == JSON else "\n".join(lines)).encode()
        assert body.count(b",") > MAX_VALUES
        response = upload(api, body, kind)
        assert response.status_code == 200, response.text
        assert response.json()["rows"] == len(lines)


TEXTS = st.text(st.sampled_from('\\"{[,a\n\u20ac'), max_size=6)


@given(
    st.recursive(TEXTS, lambda inner: st.lists(inner, max_size=4) | st.dictionaries(TEXTS, inner, max_size=4)),
    st.integers(1, 9),
)
def test_values_are_counted_without_what_texts_are_like(value: Any, piece_bytes: int) -> None:
    """Wherever the pieces end in which they are counted: never too few, and never too many either."""

    def marks(part: Any) -> int:
        """How many commas, braces and brackets stand before a value in this part and its parts."""
        if isinstance(part, str):
            return 0
        return max(1, len(part)) + sum(map(marks, part.values() if isinstance(part, dict) else part))

    content = json.dumps(value, ensure_ascii=False).encode()
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(bounds, "_PIECE_BYTES", piece_bytes)
        check_values(content, marks(value))
        if len(content) > marks(value) - 1 >= 0:
            with pytest.raises(TooMuch):
                check_values(content, marks(value) - 1)


@given(st.text(max_size=20))
def test_the_memory_of_a_text_is_known_before_it_is_made(text: str) -> None:
    alone = sys.getsizeof(text) - sys.getsizeof(text[:0])
    assert abs(text_memory(text.encode()) - alone) < 100


def test_records_with_few_of_many_fields_come_out_as_they_went_in(api: Api, folder: Path) -> None:
    """With so many columns a batch has few rows."""
    lines = [{f"f{i}": i for i in range(1_500)}, *({f"f{i % 1_500}": i} for i in range(3_000))]
    (folder / "fixtures" / "datasets" / "wide.ndjson").write_text("".join(json.dumps(line) + "\n" for line in lines))
    assert api.control("GET", "/datasets/wide")["rows"] == len(lines)
    source = read_file(folder / "fixtures" / "datasets" / "wide.ndjson").source
    batches = list(source.batches(0, len(lines)))
    assert sum(batch.num_rows for batch in batches) == len(lines)
    assert max(batch.num_rows for batch in batches) < 1_500


# --- names and bytes that cannot be -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("kind", "body", "reason"),
    [
        (CSV, b"a\0b,c\n1,2\n", "column 1: the name has the character NUL in it"),
        (CSV, b"c," + b"n" * 1_001 + b"\n1,2\n", "column 2: the name has 1001 characters; at most 1000 are possible"),
        (CSV, b"a" * 2_000_000 + b"\n1\n", "the first line has to have the columns' names"),
        (NDJSON, b'{"a\\u0000b": 1}\n', "record 1, field a\0b: the name has the character NUL in it"),
        (JSON, b'{"records": [{"a": {"b\\u0000": 1}}]}', "the name has the character NUL in it"),
        (JSON, b'{"records": [{"' + b"n" * 1_001 + b'": 1}]}', "the name has 1001 characters"),
        (JSON, b'{"schema": {"type": "object", "properties": {"a\\u0000": {"type": "string"}}}, "rows": 1}', "column"),
    ],
)
def test_names_that_no_column_can_have(api: Api, kind: str, body: bytes, reason: str) -> None:
    assert reason in assert_error(upload(api, body, kind), "control-invalid")["detail"]


WHOLE = {
    PARQUET: parquet(pa.table({"a": [1, 2, 3], "b": ["x", None, "z"], "c": [[1.5], [], None]})),
    CSV: b"a,b,c\n1,x,true\n2,,false\n3,\"z\n\",true\n",
    NDJSON: b'{"a":1,"b":"x"}\n{"a":2,"b":null}\n{"a":3.5,"b":"z"}\n',
}  # fmt: skip
CHANGES = st.lists(st.tuples(st.integers(0, 2_000), st.binary(min_size=1, max_size=3)), min_size=1, max_size=5)


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.sampled_from(sorted(WHOLE)), CHANGES)
@example(CSV, [(0, b"\0")])
def test_any_bytes_are_a_dataset_or_refused(api: Api, kind: str, changes: list[tuple[int, bytes]]) -> None:
    """As an upload and as a file: no byte that is changed gives an answer of 5xx or ends the server."""
    body = bytearray(WHOLE[kind])
    for place, junk in changes:
        place %= len(body)
        body[place : place + len(junk)] = junk
    response = upload(api, bytes(body), kind)
    assert response.status_code in (200, 400), response.text
    assert api.http.get("/__emulator/datasets/x").status_code in (200, 404)


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.sampled_from(sorted(WHOLE)), CHANGES)
def test_any_bytes_of_a_file_are_a_dataset_or_a_problem(
    api: Api, folder: Path, kind: str, changes: list[tuple[int, bytes]]
) -> None:
    body = bytearray(WHOLE[kind])
    for place, junk in changes:
        place %= len(body)
        body[place : place + len(junk)] = junk
    ending = {PARQUET: "parquet", CSV: "csv", NDJSON: "ndjson"}[kind]
    (folder / "fixtures" / "datasets" / f"own.{ending}").write_bytes(body)
    assert "own" in {item["id"] for item in api.control("GET", "/datasets")["items"]}


def test_a_panic_is_answered_like_any_other_fault(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What arro3 raises where it panics is no `Exception`."""

    class PanicException(BaseException):
        pass

    def panic(library: Library) -> list[Any]:
        raise PanicException("index out of bounds")

    async def scenario() -> None:
        async with LocalEmulator(Settings(export_dir=tmp_path)) as emulator:
            with monkeypatch.context() as patched:
                patched.setattr(Library, "facts", panic)
                assert_error(await emulator.http.get("/__emulator/datasets"), "internal-error")
            assert (await emulator.http.get("/__emulator/datasets")).status_code == 200

    asyncio.run(scenario())


# --- what lies in the folder ----------------------------------------------------------------------------------------------------


@pytest.mark.skipif(os.name == "nt", reason="Windows has neither pipes nor such names")
def test_only_files_are_read(api: Api, folder: Path) -> None:
    """A pipe would be waited for without an end. A link to a file is one, as some build systems link every file."""
    datasets = folder / "fixtures" / "datasets"
    (folder / "elsewhere.csv").write_text("a\n1\n")
    (datasets / "linked.csv").symlink_to(folder / "elsewhere.csv")
    (datasets / "loop.csv").symlink_to("loop.csv")
    (datasets / "gone.csv").symlink_to("nowhere.csv")
    os.mkfifo(datasets / "pipe.ndjson")
    odd = os.fsencode(datasets) + b"/\xff.csv"
    Path(os.fsdecode(odd)).write_text("a\n1\n")
    try:
        items = {item.get("file"): item for item in api.control("GET", "/datasets")["items"]}
    finally:
        Path(os.fsdecode(odd)).unlink()
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


def test_a_json_file_of_very_many_values_is_a_problem(api: Api, folder: Path) -> None:
    file = folder / "fixtures" / "datasets" / "many.json"
    file.write_bytes(b"[" + b"{}," * MAX_ARRAY_VALUES + b"{}]")
    (item,) = [item for item in api.control("GET", "/datasets")["items"] if item["id"] == "many"]
    assert f"more than {MAX_ARRAY_VALUES} values" in item["problem"] and ".ndjson" in item["problem"]
