"""Exported files as their readers see them: pyarrow, polars and DuckDB find the published types, and the same rows in all forms."""

from __future__ import annotations

import asyncio
import datetime
import gzip
import io
import json
from collections.abc import Callable, Iterator, Mapping
from decimal import Decimal
from pathlib import Path
from typing import Any, NamedTuple

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from contract_tests.support import Api, serving
from contract_tests.tutorial import DATA_LAKE, S3
from flow_service_emulator.data.datasets.content import Job
from flow_service_emulator.data.datasets.reader import Reader
from flow_service_emulator.testing.client import encoded
from flow_service_emulator.testing.controls import types_of

FORMS = {
    "json": ("JSON", "NONE"),
    "json.gz": ("JSON", "GZIP"),
    "parquet": ("PARQUET", "NONE"),
    "gz.parquet": ("PARQUET", "GZIP"),
}
"""Extension -> the target connection's parameters."""
OWN = ("typed", "further", "made", "records", "alike")
COMPARED = 60
"""Rows of each file that are compared one by one."""
UTC = datetime.UTC
NOON = datetime.datetime(2026, 1, 31, 12, 30, 15, 250_000, tzinfo=UTC)

TYPED = pa.table(
    {
        "byte": pa.array([1, None, -128], pa.int8()),
        "short": pa.array([1, None, -32768], pa.int16()),
        "int": pa.array([1, None, -(2**31)], pa.int32()),
        "long": pa.array([1, None, 2**63 - 1], pa.int64()),
        "number": pa.array([0.5, None, 1e300]),
        "single": pa.array([0.5, None, 2.0], pa.float32()),
        "truth": pa.array([True, None, False]),
        "text": pa.array(["a", None, "\u00fc\U0001f600"]),
        "category": pa.array(["a", None, "a"]).dictionary_encode(),
        "day": pa.array([NOON.date(), None, datetime.date(1969, 7, 20)]),
        "instant": pa.array([NOON, None, NOON], pa.timestamp("ms", "UTC")),
        "moment": pa.array([NOON, None, NOON], pa.timestamp("us", "UTC")),
        "money": pa.array([Decimal("1.10"), None, Decimal("-9999999.99")], pa.decimal128(9, 2)),
        "map": pa.array([[("a", 1), ("b", None)], None, []], pa.map_(pa.string(), pa.int32())),
        "list": pa.array([["a", "b"], None, []]),
        "object": pa.array([{"a": 1, "b": [{"c": NOON}]}, None, {"a": None, "b": []}]),
    }
)
"""A user's dataset with every type."""
SCHEMA = {
    "$schema": "http://json-schema.org/draft-06/schema#",
    "type": "object",
    "properties": {
        "byte": {"type": "integer", "minimum": -128, "maximum": 128},
        "short": {"type": "integer", "meta:xdmType": "short"},
        "int": {"type": "integer"},
        "long": {"type": "integer", "minimum": -9007199254740992, "maximum": 9007199254740992},
        "number": {"type": "number"},
        "truth": {"type": "boolean"},
        "text": {"type": "string", "pattern": "^.*$", "examples": ["a", "b"]},
        "day": {"type": "string", "format": "date"},
        "instant": {"type": "string", "format": "date-time"},
        "map": {"type": "object", "additionalProperties": {"type": "integer", "meta:xdmType": "long"}},
        "identityMap": {
            "type": "object",
            "additionalProperties": {
                "type": "array",
                "items": {"type": "object", "properties": {"id": {"type": "string"}, "primary": {"type": "boolean"}}},
            },
        },
        "list": {"type": "array", "items": {"type": "string"}},
        "object": {"type": "object", "properties": {"a": {"type": "integer"}}},
    },
}
RECORD = {
    "byte": 1, "short": 2, "int": 3, "long": 2**53, "number": 1, "truth": True, "text": "a", "day": "2026-01-31",
    "instant": "2026-01-31T13:30:15.250+01:00", "map": {"x": 1, "y": None},
    "identityMap": {"ECID": [{"id": "1", "primary": True}]}, "list": ["a", None], "object": {"a": 1},
}  # fmt: skip


class Exported(NamedTuple):
    files: Mapping[tuple[str, str], Path]
    """(dataset, extension) -> the part file."""
    schemas: Mapping[str, dict[str, Any]]


@pytest.fixture(scope="module")
def exported(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Exported]:
    folder = tmp_path_factory.mktemp("consumers")
    with serving(folder, "--rows-per-file", "100000") as server:
        api = Api(server.url)
        content = io.BytesIO()
        pq.write_table(TYPED, content)
        kind = {"Content-Type": "application/vnd.apache.parquet"}
        for name in ("typed", "further"):
            put = api.http.put(f"/__emulator/datasets/{name}", content=content.getvalue(), headers=kind)
            assert put.status_code == 200, put.text
        further = {
            "byte": 2, "short": 2, "single": 0.25, "day": "2026-02-28", "instant": "2026-01-31T12:30:15.25Z", "money": 1.5,
            "map": {"z": 3}, "category": "b", "object": {"a": 2, "b": [{"c": "2026-01-31T12:30:15.250Z"}]},
        }  # fmt: skip
        api.control("POST", "/datasets/further/records", [further])
        api.control("PUT", "/datasets/made", {"schema": SCHEMA, "rows": 100})
        api.control("PUT", "/datasets/records", {"schema": SCHEMA, "records": [RECORD]})
        api.control("PUT", "/datasets/alike", {"like": "records", "rows": 50})
        api.control("PUT", "/state", api.control("GET", "/state"))
        configs = f"/connectionSpecs/{DATA_LAKE}/configs?outputType=activationDatasets&outputField=datasets&limit=100"
        datasets = [dataset["id"] for dataset in api.items(configs)]
        for file_type, compression in FORMS.values():
            api.flow(S3, datasets=datasets, datasetFileType=file_type, compression=compression)
        assert {run["status"] for run in api.advance(3600)} == {"success"}
        schemas = {name: api.control("GET", f"/datasets/{name}")["schema"] for name in datasets}
        api.close()
        files = {}
        for path in server.export_dir.glob("*/*/*/*/*/*/part-*"):
            files[path.parent.parent.name, path.name.split(".", 1)[1]] = path
        assert len(files) == len(FORMS) * len(datasets)
        yield Exported(files, schemas)


def published(schema: Mapping[str, Any]) -> pa.DataType:
    """The Parquet type of a JSON Schema, as the service's documentation has it."""
    types = schema["type"] if isinstance(schema["type"], list) else [schema["type"]]
    schema = {**schema, "type": next(name for name in types if name != "null")}
    if schema["type"] == "object":
        if schema.get("meta:xdmType") == "map" or "additionalProperties" in schema:
            values = schema.get("additionalProperties") or next(iter(schema["properties"].values()))
            return pa.map_(pa.string(), published(values))
        return pa.struct([(name, published(part)) for name, part in schema["properties"].items()])
    if schema["type"] == "array":
        return pa.list_(published(schema["items"]))
    if schema["type"] == "integer":
        bounds: dict[Any, str] = {(-128, 128): "byte", (-32768, 32768): "short", (-(2**53), 2**53): "long"}
        named = schema.get("meta:xdmType") or bounds.get((schema.get("minimum"), schema.get("maximum")), "int")
        return {"byte": pa.int8(), "short": pa.int16(), "int": pa.int32(), "long": pa.int64()}[named]
    if schema["type"] == "string" and "enum" not in schema:
        known = {"date-time": pa.timestamp("ms", "UTC"), "date": pa.date32()}
        return known.get(schema.get("format", ""), pa.string())
    return {"string": pa.string(), "number": pa.float64(), "boolean": pa.bool_()}[schema["type"]]


def shape(type_: pa.DataType) -> Any:
    """A type without what may be null, and without the names of items."""
    if pa.types.is_struct(type_):
        return [(field.name, shape(field.type)) for field in type_]
    if pa.types.is_map(type_):
        return {"map": shape(type_.item_type)}
    return [shape(type_.value_type)] if pa.types.is_list(type_) else str(type_)


def test_parquet_has_the_published_types(exported: Exported) -> None:
    for name, schema in exported.schemas.items():
        for extension in ("parquet", "gz.parquet"):
            found = shape(pa.struct(pq.read_schema(exported.files[name, extension])))
            if name not in ("typed", "further"):
                assert found == shape(published(schema)), name
            else:
                wanted = TYPED.schema.set(8, pa.field("category", pa.string()))
                assert found == shape(pa.struct(wanted)), name
    metadata = pq.ParquetFile(exported.files["typed", "gz.parquet"]).metadata
    assert {metadata.row_group(0).column(index).compression for index in range(metadata.num_columns)} == {"GZIP"}


def plain(value: Any, type_: pa.DataType) -> Any:
    """A value as NDJSON has it, whatever a reader makes of it: nulls left out, instants in UTC."""
    if value is None:
        return None
    if pa.types.is_struct(type_):
        parts = {field.name: plain(value.get(field.name), field.type) for field in type_}
        return {name: part for name, part in parts.items() if part is not None}
    if pa.types.is_map(type_):
        told: Any = value.items() if isinstance(value, dict) else value
        pairs = [tuple(pair.values()) if isinstance(pair, dict) else pair for pair in told]
        return {key: plain(part, type_.item_type) for key, part in pairs if part is not None}
    if pa.types.is_list(type_):
        return [plain(item, type_.value_type) for item in value]
    if isinstance(value, datetime.datetime):
        return (value if value.tzinfo else value.replace(tzinfo=UTC)).astimezone(UTC).isoformat(timespec="milliseconds")
    if isinstance(value, datetime.date):
        return value.isoformat()
    if pa.types.is_timestamp(type_):
        return plain(datetime.datetime.fromisoformat(value), type_)
    return float(value) if isinstance(value, Decimal | float) else value


def by_pyarrow(path: Path) -> Any:
    return pq.read_table(path).slice(0, COMPARED).to_pylist()


def by_polars(path: Path) -> Any:
    return pytest.importorskip("polars").scan_parquet(path).head(COMPARED).collect().to_dicts()


def by_duckdb(path: Path) -> Any:
    duckdb = pytest.importorskip("duckdb")
    duckdb.execute("SET TimeZone = 'UTC'")
    found = duckdb.execute(f"FROM read_parquet('{path}') LIMIT {COMPARED}")
    names = [column[0] for column in found.description]
    return [dict(zip(names, row, strict=True)) for row in found.fetchall()]


def json_lines(path: Path) -> list[bytes]:
    text = path.read_bytes()
    return (gzip.decompress(text) if path.suffix == ".gz" else text).splitlines()


@pytest.mark.parametrize("read", [by_pyarrow, by_polars, by_duckdb])
def test_parquet_is_read_as_the_rows_that_json_has(exported: Exported, read: Callable[[Path], Any]) -> None:
    for name in exported.schemas:
        lines = json_lines(exported.files[name, "json"])
        assert json_lines(exported.files[name, "json.gz"]) == lines
        for extension in ("gz.parquet", "parquet")[: 2 if name in OWN else 1]:
            path = exported.files[name, extension]
            type_ = pa.struct(pq.read_schema(path))
            rows = read(path)
            assert pq.read_metadata(path).num_rows == len(lines)
            for row, line in zip(rows, lines[:COMPARED], strict=True):
                assert plain(row, type_) == plain(json.loads(line), type_), (name, extension)


def test_json_is_read_by_others(exported: Exported) -> None:
    polars, duckdb = pytest.importorskip("polars"), pytest.importorskip("duckdb")
    for name in exported.schemas:
        rows = len(json_lines(exported.files[name, "json"]))
        assert polars.read_ndjson(exported.files[name, "json"], infer_schema_length=None).height == rows
        for extension in ("json", "json.gz"):
            found = duckdb.sql(f"SELECT count(*) FROM read_json('{exported.files[name, extension]}')").fetchall()
            assert found == [(rows,)], name


def test_python_s_datetimes_and_dates_say_their_types() -> None:
    records = [
        {"a": 1, "b": [{"at": NOON}, {}]},
        {"at": NOON.replace(tzinfo=None), "day": NOON.date(), "b": [{"n": NOON.date()}]},
    ]
    body = encoded({"schema": types_of(records), "records": records})
    second = {"at": "2026-01-31T12:30:15.250000+00:00", "day": "2026-01-31", "b": [{"n": "2026-01-31"}]}
    assert json.loads(body)["records"][1] == second
    found = asyncio.run(Reader().read(Job("json", upload=True), body))
    assert shape(pa.struct(pa.schema(found.table.schema))) == [
        ("b", [[("at", "timestamp[ms, tz=UTC]"), ("n", "date32[day]")]]),
        ("at", "timestamp[ms, tz=UTC]"),
        ("day", "date32[day]"),
        ("a", "int64"),
    ]


def test_a_users_values_come_out_as_they_went_in(exported: Exported) -> None:
    typed = pq.read_table(exported.files["typed", "parquet"])
    assert typed.to_pylist() == TYPED.to_pylist()
    further = pq.read_table(exported.files["further", "parquet"]).to_pylist()
    assert further[:3] == TYPED.to_pylist()
    assert further[3]["money"] == Decimal("1.50") and further[3]["object"]["b"] == [{"c": NOON}]
    (record,) = pq.read_table(exported.files["records", "parquet"]).to_pylist()
    assert (record["instant"], record["day"]) == (NOON, NOON.date())
    assert record["map"] == [("x", 1), ("y", None)] and record["long"] == 2**53
