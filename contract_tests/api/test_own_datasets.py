"""A user's own datasets, by call and in files of a fixtures folder: exported like any other, and what is wrong is said.

Source: documentation, "Export your own datasets".
"""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx
import pyarrow
import pyarrow.parquet
import pytest

from contract_tests.support import FROZEN_NOW, Api, assert_error, violations
from contract_tests.tutorial import FIRST_DATASET, S3, SOURCE_CONNECTION

pytestmark = pytest.mark.emulator_only
HOUR = 3600
SCHEDULE = {"interval": 3, "timeUnit": "hour", "startTime": FROZEN_NOW}
RECORDS = [
    {"n": number, "text": f'a; "{number}", é', "half": number / 2, "even": number % 2 == 0} for number in range(3_000)
]


def as_csv(records: list[dict[str, Any]]) -> bytes:
    text = io.StringIO()
    writer = csv.DictWriter(text, records[0])
    writer.writeheader()
    writer.writerows({**record, "even": str(record["even"]).lower()} for record in records)
    return text.getvalue().encode()


def as_parquet(records: list[dict[str, Any]]) -> bytes:
    sink = io.BytesIO()
    pyarrow.parquet.write_table(pyarrow.Table.from_pylist(records), sink, row_group_size=1_100)
    return sink.getvalue()


FORMS: dict[str, Callable[[list[dict[str, Any]]], bytes]] = {
    "json": lambda records: json.dumps(records).encode(),
    "ndjson": lambda records: b"\xef\xbb\xbf" + b"".join(json.dumps(record).encode() + b"\r\n" for record in records),
    "csv": as_csv,
    "parquet": as_parquet,
}


TYPES = {"csv": "text/csv", "ndjson": "application/x-ndjson", "parquet": "application/vnd.apache.parquet"}


def upload(api: Api, body: Any, dataset: str = "mine") -> httpx.Response:
    """PUTs JSON, or `(format, content)`."""
    form, content = body if isinstance(body, tuple) else ("json", json.dumps(body))
    headers = {"Content-Type": TYPES.get(form, "application/json")}
    return api.http.put(f"/__emulator/datasets/{dataset}", content=content, headers=headers)


def put(api: Api, dataset: str, **body: Any) -> dict[str, Any]:
    answer: dict[str, Any] = api.control("PUT", f"/datasets/{dataset}", body)
    return answer


def next_rows(api: Api, seconds: int = 3 * HOUR) -> list[Any]:
    """The rows of the one run that falls due, which succeeds."""
    (run,) = api.advance(seconds)
    assert run["status"] == "success", api.item(f"/runs/{run['id']}")
    items = api.control("GET", "/exports", params={"run": run["id"]})["items"]
    texts = [api.http.get(f"/__emulator/exports/{item['path']}").text for item in items]
    return [json.loads(line) for text in texts for line in text.split("\n") if line]


# --- by call ----------------------------------------------------------------------------------------------------------


ORDERS: list[dict[str, Any]] = [
    {"id": 1, "lines": [{"sku": "A-1", "tags": ["x", None]}], "customer": {"name": "Zoë", "vip": True}, "note": None},
    {"id": 2, "total": 10.5, "coupon": "é\u2028\n\\", "lines": [], "customer": {"name": ""}, "long": "x" * 70_000},
    {"id": -(2**63), "total": 1e-9, "lines": [{"sku": "", "tags": []}], "empty": {}},
]


def test_records_come_out_as_they_went_in(api: Api) -> None:
    assert put(api, "orders", name="Orders", records=ORDERS)["rows"] == 3
    api.flow(S3, SCHEDULE, datasets=["orders"])
    without_null = [{key: value for key, value in record.items() if value not in (None, {})} for record in ORDERS]
    assert next_rows(api, 0) == without_null
    told = api.control("GET", "/datasets/orders")
    assert (told["id"], told["name"], told["origin"], told["rows"]) == ("orders", "Orders", "call", 3)


def test_only_appended_records_are_new(api: Api) -> None:
    put(api, "log", records=RECORDS)
    api.flow(S3, SCHEDULE, datasets=["log"])
    assert next_rows(api, 0) == RECORDS
    more = [*RECORDS, {"n": 1.5, "late": True}, {"n": -1}]
    put(api, "log", records=more)
    assert next_rows(api) == more[3_000:]
    put(api, "log", records=more)
    assert next_rows(api) == []
    changed = [{**RECORDS[0], "n": 7}, *RECORDS[1:5]]
    put(api, "log", records=changed)
    assert next_rows(api) == changed
    assert api.control("DELETE", "/datasets/log") == {"deleted": 1}
    (run,) = api.advance(3 * HOUR)
    (error,) = api.item(f"/runs/{run['id']}")["metrics"]["statusSummary"]["errors"]
    assert run["status"] == "failed" and error["message"] == "Job aborted. The dataset log is not eligible any more"
    put(api, "log", records=[{"n": 2}])
    assert next_rows(api) == [{"n": 2}]


def test_records_grow_by_being_repeated(api: Api) -> None:
    put(api, "log", records=[{"n": 1}, {"n": 2}, {"n": 3}], rowsPerHour=1.5)
    api.flow(S3, SCHEDULE, datasets=["log"])
    assert [row["n"] for row in next_rows(api, 0)] == [1, 2, 3]
    assert [row["n"] for row in next_rows(api)] == [1, 2, 3, 1]
    assert [row["n"] for row in next_rows(api)] == [2, 3, 1, 2, 3]
    put(api, "log", records=[{"n": 1}, {"n": 2}, {"n": 3}], rowsPerHour=0.5)
    assert [row["n"] for row in next_rows(api)] == [1]
    assert [row["n"] for row in next_rows(api)] == [2, 3]
    put(api, "log", records=[{"n": 1}, {"n": 2}, {"n": 3}, {"n": 4}])
    assert [row["n"] for row in next_rows(api)] == [1, 2, 3, 4]


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        ([], "a JSON object is needed"),
        ({"name": "x"}, 'one of "records", "schema" and "like" is needed'),
        ({"records": [], "like": FIRST_DATASET}, 'one of "records", "schema" and "like" is needed'),
        ({"records": [], "rows": 3}, "rows is unknown; allowed: name, rowsPerHour, records, schema"),
        ({"schema": {"type": "string", "default": 2**64}, "rows": 1}, "Integer exceeds 64-bit range"),
        ({"records": [], "name": ""}, "name must have at least 1 character"),
        ({"records": {"a": 1}}, "records must be an array"),
        ({"records": [{"a": 1}, 3]}, "record 2: a record is a JSON object, not 3"),
        ({"records": [{"a": 1}, {"a": "x"}]}, "record 2, field a: 'x' is a text, but the field is a whole number"),
        ({"records": [{"a": {"b": [{"c": 1}, {"c": [True]}]}}]}, "record 1, field a.b[].c: [...] is an array"),
        ({"records": [{}, {"a": {}}]}, "no record has a field with a value"),
        ({"records": [{f"f{n}": 1 for n in range(2_001)}]}, "more than 2000 different fields"),
        ({"records": [json.loads('{"a":' * 40 + "1" + "}" * 40)]}, "nested deeper than 32 levels"),
        ({"records": [], "rowsPerHour": 1}, "rowsPerHour needs records"),
        ({"records": [{"a": 1}], "rowsPerHour": -1}, "rowsPerHour must be at least 0, got -1"),
        ({"records": [{"a": 1}], "rowsPerHour": True}, "rowsPerHour must be a number, got true"),
        ({"like": FIRST_DATASET}, "rows is required but missing"),
        ({"like": FIRST_DATASET, "rows": 1.5}, "rows must be a whole number, got the number 1.5"),
        ({"like": FIRST_DATASET, "rows": 10**12}, "rows must be at most 100000000000, got 1000000000000"),
        ({"like": "nothing", "rows": 1}, '"like" must be the id of a dataset, got "nothing"'),
        ({"schema": [], "rows": 1}, '"schema": a JSON Schema (draft 7) is an object'),
        ({"schema": {"type": "objekt"}, "rows": 1}, '"schema" at /type: "objekt" is no type; known are array, boolean'),
        ({"schema": {"type": "string"}, "rows": 1}, "rows are objects"),
        ({"schema": {"properties": {"a": {"properties": {"b": {"enum": []}}}}}, "rows": 1}, 'the schema, property a.b: no type'),
        ({"schema": {"type": "object", "properties": {"a": {"$ref": "#/x"}}}, "rows": 1}, "'#/x' leads nowhere"),
        ({"schema": {"type": "object", "properties": {"a\0": {"type": "string"}}}, "rows": 1}, "column"),
        ({"records": [{"a": {"b\0": 1}}]}, "the name has the character NUL in it"),
        (("json", '{"records": [{"a": 1}, {"a": Infinity}]}'), "record 2, field a: inf is no number"),
        (("json", '{"records": [{"a": 1e999}]}'), "record 1, field a: inf is no number"),
        (("ndjson", '{"a":1}\n{"a":"x"}\n'), "record 2, field a: 'x' is a text, but the field is a whole number"),
        (("ndjson", '{"a":1}\n\n{"a":18446744073709551616}'), "record 2, field a: 18446744073709551616 is beyond 64 bits"),
        (("ndjson", '{"a":-9223372036854775809}'), "record 1, field a: -9223372036854775809 is beyond 64 bits"),
        (("ndjson", '{"a":9007199254740993}\n{"a":0.5}'), "field a: 9007199254740993 is among numbers with a point"),
        (("ndjson", '{"a":{"b":[1,NaN]}}'), "record 1, field a.b[]: nan is no number that JSON has"),
        (("ndjson", '{"a":1}\n{"a"'), "line 2 is not JSON"),
        (("ndjson", '{"a\\u0000b": 1}\n'), "record 1, field a\0b: the name has the character NUL in it"),
        (("csv", "a\0b,c\n1,2\n"), "record 1, field a\0b: the name has the character NUL in it"),
        (("parquet", "PAR1 or not"), "it cannot be read: Invalid Parquet file"),
    ],
)  # fmt: skip
def test_what_is_no_dataset_is_refused(api: Api, body: Any, reason: str) -> None:
    assert reason in assert_error(upload(api, body), "control-invalid")["detail"]
    assert_error(api.http.get("/__emulator/datasets/mine"), "control-not-found")
    source = {**SOURCE_CONNECTION, "params": {"datasets": [{"dataSetId": "mine"}]}}
    assert "params.datasets[0].dataSetId" in violations(api.post("/sourceConnections", source))


def test_json_that_is_none_is_malformed(api: Api) -> None:
    for body in (b'{"records": [', b'{"records": [{"a": tru}]}', b"\xff", b"[" * 3_000):
        assert_error(upload(api, ("json", body)), "body-malformed")
    assert_error(upload(api, ("ndjson", b" " * 64_000_001)), "body-too-large")


def test_an_id_of_another_is_taken(api: Api, files: Path) -> None:
    (files / "taken.csv").write_text("a\n1\n")
    for taken, owner in ((FIRST_DATASET, "a dataset of the fixtures"), ("taken", "the file taken.csv")):
        for method, body in (("PUT", {"records": [{"a": 1}]}), ("DELETE", None)):
            response = api.http.request(method, f"/__emulator/datasets/{taken}", json=body)
            assert f"the id '{taken}' is that of {owner}" in assert_error(response, "control-conflict")["detail"]
    for method in ("GET", "DELETE"):
        assert_error(api.http.request(method, "/__emulator/datasets/none"), "control-not-found")
    put_oddly = api.http.put("/__emulator/datasets/a.b", json={"records": [{"a": 1}]})
    assert "1 to 64 letters, digits, - and _ only" in assert_error(put_oddly, "control-invalid")["detail"]


# --- in files ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("exported", ["JSON", "PARQUET"])
def test_files_are_exported_and_may_grow(api: Api, files: Path, export_dir: Path, form: str, exported: str) -> None:
    """While the server runs; a file that is gone fails the next run."""
    file = files / f"log.{form}"
    file.write_bytes(FORMS[form](RECORDS[:2_000]))
    api.flow(S3, SCHEDULE, datasets=["log"], datasetFileType=exported)
    found: list[Any] = []
    changed = [{**RECORDS[0], "n": -1}, *RECORDS[1:50]]
    for records in (RECORDS[:2_000], RECORDS, RECORDS, changed):
        if found:  # the first run may read the file by now
            file.write_bytes(FORMS[form](records))
        (run,) = api.advance(3 * HOUR if found else 0)
        assert run["status"] == "success"
        paths = [
            export_dir / item["path"] for item in api.control("GET", "/exports", params={"run": run["id"]})["items"]
        ]
        if exported == "PARQUET":
            found.append([row for path in paths for row in pyarrow.parquet.ParquetFile(path).read().to_pylist()])
        else:
            found.append([json.loads(line) for path in paths for line in path.read_bytes().splitlines()])
    assert found == [RECORDS[:2_000], RECORDS[2_000:], [], changed]
    file.unlink()
    assert [run["status"] for run in api.advance(3 * HOUR)] == ["failed"]


def test_columns_of_csv_are_typed_where_nothing_is_lost(api: Api, files: Path) -> None:
    lines = "zip;amount;count;vip;mixed;none;long;big\r\n007;1.50;3;true;1;;12345678901234567890;9007199254740993\r\n"
    (files / "log.csv").write_text(lines + '123;2;;false;x;"a;\nb";1;2')
    api.flow(S3, SCHEDULE, datasets=["log"])
    long, big = "12345678901234567890", 2**53 + 1
    assert next_rows(api, 0) == [
        {"zip": "007", "amount": 1.5, "count": 3, "vip": True, "mixed": "1", "long": long, "big": big},
        {"zip": "123", "amount": 2.0, "vip": False, "mixed": "x", "none": "a;\nb", "long": "1", "big": 2},
    ]
