"""A user's own datasets over time: what is new after a change, a restart, a reset, a snapshot (see `Dataset.following`)."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

from contract_tests.api.test_own_datasets import HOUR, ORDERS, SCHEDULE, next_rows, put
from contract_tests.in_process import LocalEmulator
from contract_tests.support import Api, assert_error, violations
from contract_tests.tutorial import BASE, DATA_LAKE, S3, SOURCE_CONNECTION
from flow_service_emulator.settings import Settings

LOYALTY = "5ff749e75b636cea4c32bc07"


def own(api: Api) -> dict[str, dict[str, Any]]:
    """The datasets that are not of the fixtures, by file or id."""
    items = api.control("GET", "/datasets")["items"]
    return {item.get("file", item["id"]): item for item in items if item["origin"] != "fixtures"}


# --- records ----------------------------------------------------------------------------------------------------------


def test_what_a_dataset_is_told_as(api: Api) -> None:
    answer = put(api, "orders", name="My Orders", records=ORDERS, rowsPerHour=2)
    facts = {"id": "orders", "name": "My Orders", "origin": "call", "rows": 3, "rowsPerHour": 2}
    assert answer == {**facts, "schema": answer["schema"]}
    columns = answer["schema"]["properties"]
    assert columns["total"] == {"type": "number"}
    assert columns["lines"]["items"]["properties"]["tags"] == {"type": "array", "items": {"type": "string"}}
    api.advance(90 * 60)
    assert api.control("GET", "/datasets/orders") == {**answer, "rows": 6}
    assert own(api) == {"orders": {**facts, "rows": 6}}
    told = api.control("GET", f"/datasets/{LOYALTY}")
    assert (told["origin"], told["rows"], told["schema"]["x-kind"]) == ("fixtures", 2515, "profile")
    params = {"outputType": "activationDatasets", "outputField": "datasets", "start": "35"}
    page = api.get(f"/connectionSpecs/{DATA_LAKE}/configs", params=params).json()
    built_in, listed = page["items"]
    assert (listed["id"], listed["name"], listed.keys()) == ("orders", "My Orders", built_in.keys())
    assert page["pageInfo"] == {"start": 35, "end": 36, "total": 37, "hasNext": False}


def test_a_body_of_many_megabytes_is_taken(api: Api) -> None:
    records = [{"n": number, "text": "x" * 1000} for number in range(3_000)]
    assert put(api, "long", records=records)["rows"] == 3_000
    api.flow(S3, SCHEDULE, datasets=["long"])
    assert next_rows(api, 0) == records


# --- what is new after a change ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "records", [[{"n": 1}], [{"n": 1}, {"n": 3}], [{"n": 7}, {"n": 1}, {"n": 2}], [{"m": 1}, {"m": 2}]]
)
def test_anything_but_appending_makes_all_records_new(api: Api, records: list[Any]) -> None:
    put(api, "log", records=[{"n": 1}, {"n": 2}])
    api.flow(S3, SCHEDULE, datasets=["log"])
    api.advance(0)
    put(api, "log", records=records)
    assert next_rows(api) == records
    put(api, "log", records=[*records, {"n": 9}])
    assert next_rows(api) == [{"n": 9}]


def test_rows_made_after_a_schema(api: Api) -> None:
    schema = {
        "type": "object",
        "required": ["_id", "level"],
        "properties": {
            "_id": {"type": "string"},
            "level": {"enum": [1, 2]},
            "at": {"type": "object", "properties": {"city": {"type": "string"}}},
        },
    }
    assert put(api, "made", schema=schema, rows=30, rowsPerHour=2)["schema"] == schema
    api.flow(S3, SCHEDULE, datasets=["made"])
    rows = next_rows(api, 0) + next_rows(api)
    assert len(rows) == len({row["_id"] for row in rows}) == 36
    assert {row["level"] for row in rows} == {1, 2}
    put(api, "made", schema=schema, rows=30, rowsPerHour=10)
    assert len(next_rows(api)) == 30
    put(api, "made", schema=schema, rows=100)
    rows += next_rows(api)
    assert len({row["_id"] for row in rows}) == 36 + 100 - 66
    put(api, "made", schema=schema, rows=20)
    assert len(next_rows(api)) == 20


def test_rows_like_those_of_another_dataset(api: Api) -> None:
    put(api, "loyal", like=LOYALTY, rows=30, rowsPerHour=2)
    put(api, "orders", records=ORDERS)
    put(api, "many-orders", name="Many", like="orders", rows=4)
    api.flow(S3, SCHEDULE, datasets=["loyal"])
    loyal = next_rows(api, 0)
    assert len({row["loyaltyID"] for row in loyal if row["loyaltyID"].startswith("LOY-")}) == len(loyal) == 30
    api.flow(S3, SCHEDULE, datasets=["many-orders"])
    rows = next_rows(api, 0)
    assert [set(row) for row in rows] == [{"id", "total", "coupon", "lines", "customer", "note", "long"}] * 4


# --- state ------------------------------------------------------------------------------------------------------------


async def make_flow(emulator: LocalEmulator, dataset: str) -> None:
    await emulator.created("flows", S3.flow(await emulator.source(dataset), await emulator.target(S3), **SCHEDULE))


async def exported(emulator: LocalEmulator, hours: int) -> list[Any]:
    """The rows of the one run that falls due: of each, the value of its field `n`."""
    (run,) = await emulator.advance(hours * HOUR)
    items = (await emulator.control("GET", "/exports", params={"run": run["id"]}))["items"]
    texts = [(emulator.export_dir / item["path"]).read_text() for item in items]
    return [json.loads(line)["n"] for text in texts for line in text.splitlines()]


def test_datasets_outlive_a_restart(tmp_path: Path) -> None:
    settings = Settings(export_dir=tmp_path / "exports", data_dir=tmp_path / "data")
    records = [{"n": number, "text": f"no. {number}"} for number in range(2_300)]

    async def scenario() -> None:
        async with LocalEmulator(settings) as emulator:
            await emulator.control("PUT", "/datasets/log", {"records": records[:1_200], "rowsPerHour": 3})
            await emulator.control("PUT", "/datasets/made", {"like": "log", "rows": 7})
            await make_flow(emulator, "log")
            await emulator.advance(0)
            await emulator.control("PUT", "/datasets/log", {"records": records[:2_200]})
            await emulator.control("POST", "/datasets/log/records", records[2_200:])
        async with LocalEmulator(settings) as emulator:
            assert await exported(emulator, 3) == list(range(1_200, 2_300))
            assert [item["rows"] for item in (await emulator.control("GET", "/datasets"))["items"][-2:]] == [2_300, 7]
            await emulator.control("PUT", "/datasets/log", {"records": [*records, {"n": -1}]})
            assert await exported(emulator, 3) == [-1]

    asyncio.run(scenario())


def test_a_reset_forgets_datasets_and_a_snapshot_brings_them_back(api: Api) -> None:
    put(api, "log", records=ORDERS)
    put(api, "made", like="log", rows=5, rowsPerHour=1)
    before, state = own(api), api.control("GET", "/state")
    api.control("POST", "/reset")
    assert own(api) == {}
    put(api, "other", records=[])
    api.control("PUT", "/state", state)
    assert own(api) == before
    api.flow(S3, SCHEDULE, datasets=["log"])
    assert [row["id"] for row in next_rows(api, 0)] == [1, 2, -(2**63)]


# --- files ------------------------------------------------------------------------------------------------------------


def test_a_last_line_is_waited_for_until_it_is_whole(api: Api, files: Path) -> None:
    file = files / "log.ndjson"
    file.write_text('{"n":1}\n{"n":')
    api.flow(S3, SCHEDULE, datasets=["log"])
    assert next_rows(api, 0) == [{"n": 1}]
    with file.open("a") as opened:
        opened.write("2}\n")
    assert next_rows(api) == [{"n": 2}]


def test_a_schema_of_the_same_name_says_the_types_of_a_file(api: Api, files: Path, export_dir: Path) -> None:
    properties = {"code": {"type": "string"}, "n": {"type": "integer"}, "at": {"type": "string", "format": "date-time"}}
    schemas = files.parent / "schemas"
    schemas.mkdir()
    (schemas / "typed.json").write_text(json.dumps({"type": "object", "properties": properties}))
    (files / "typed.csv").write_text("code,n,at,more\n7,1,2026-01-31T13:00:00+01:00,x\n")
    api.flow(S3, SCHEDULE, datasets=["typed"], datasetFileType="PARQUET", compression="NONE")
    api.advance(0)
    (item,) = api.control("GET", "/exports")["items"]
    schema = pq.read_schema(export_dir / item["path"])
    assert [str(type_) for type_ in schema.types] == ["string", "int32", "timestamp[ms, tz=UTC]", "string"]
    (files / "typed.csv").write_text("code,n,at,more\n7,x,,\n")
    assert (
        "record 1, field n: 'x' is a text, but the field is a whole number from -2147483648"
        in own(api)["typed.csv"]["problem"]
    )
    (schemas / "typed.json").unlink()
    schemas.rmdir()


def test_a_file_that_cannot_be_used_is_told_wherever_its_id_is_given(api: Api, files: Path) -> None:
    (files / "bad.csv").write_bytes(b"a,a\n1,2\n")
    (files / f"{LOYALTY}.csv").write_text("a\n1\n")
    (files / "good.csv").write_text("a\n1\n")
    found = own(api)
    assert "is that of a dataset of the fixtures" in found[f"{LOYALTY}.csv"]["problem"]
    assert (found["good.csv"]["rows"], found["bad.csv"]["problem"]) == (1, "two columns are named 'a'")
    reason = "the file bad.csv cannot be used: two columns are named 'a'"
    assert reason in assert_error(api.http.get("/__emulator/datasets/bad"), "control-not-found")["detail"]
    response = api.post("/sourceConnections", {**SOURCE_CONNECTION, "params": {"datasets": [{"dataSetId": "bad"}]}})
    assert reason in violations(response)["params.datasets[0].dataSetId"]["message"]
    params = {"outputType": "activationDatasets", "outputField": "datasets", "start": "36"}
    items = api.get(f"/connectionSpecs/{DATA_LAKE}/configs", params=params).json()["items"]
    assert [item["id"] for item in items] == ["good"]


def test_of_two_files_with_one_id_the_first_has_it(api: Api, files: Path) -> None:
    (files / "log.csv").write_text("a\n1\n")
    (files / "log.ndjson").write_text('{"a":1}\n{"a":2}\n')
    assert "the id 'log' is that of the file log.csv" in own(api)["log.ndjson"]["problem"]
    put(api, "mine", records=[])
    (files / "mine.csv").write_text("a\n1\n")
    assert "a dataset that was put" in own(api)["mine.csv"]["problem"]
    api.control("DELETE", "/datasets/mine")
    (files / "log.csv").unlink()
    assert {name: item["rows"] for name, item in own(api).items()} == {"log.ndjson": 2, "mine.csv": 1}


def test_rows_keep_their_places_over_restarts_resets_and_snapshots(tmp_path: Path) -> None:
    settings = Settings(export_dir=tmp_path / "exports", data_dir=tmp_path / "data", fixtures=tmp_path)
    file = tmp_path / "datasets" / "log.ndjson"
    file.parent.mkdir()

    def write(*values: int) -> None:
        file.write_text("".join(f'{{"n":{value}}}\n' for value in values))

    async def scenario() -> None:
        write(1)
        async with LocalEmulator(settings) as emulator:
            await make_flow(emulator, "log")
            assert await exported(emulator, 0) == [1]
        write(1, 2)
        async with LocalEmulator(settings) as emulator:
            assert await exported(emulator, 3) == [2]
            write(3)
            state = await emulator.control("GET", "/state")
            assert await exported(emulator, 3) == [3]
            await emulator.control("PUT", "/state", state)
            assert await exported(emulator, 3) == [3]
            write(3, 4)
            assert await exported(emulator, 3) == [4]
            write(3, 5)
            assert await exported(emulator, 3) == [3, 5]
            (tmp_path / "datasets" / "another.csv").write_text("n\n1\n")
            assert await exported(emulator, 3) == []
            await emulator.control("PUT", "/state", state)
            assert await exported(emulator, 3) == [3, 5]
            await emulator.control("POST", "/reset")
            await make_flow(emulator, "log")
            assert await exported(emulator, 0) == [3, 5]
            write(3, 5, 6)
            assert await exported(emulator, 3) == [6]
            file.unlink()
            await emulator.control("PUT", "/datasets/log", {"records": [{"n": 3}, {"n": 5}, {"n": 6}, {"n": 7}]})
            assert await exported(emulator, 3) == [7]
            write(8)
            await emulator.control("DELETE", "/datasets/log")
            assert await exported(emulator, 3) == [8]

    asyncio.run(scenario())


def test_no_folder_is_no_file_and_a_description_none_of_the_users(api: Api, files: Path) -> None:
    (files / "made.json").write_text(json.dumps([{"id": "made", "schema": "device"}]))
    (files / f"{LOYALTY}.json").write_bytes(b"\xef\xbb\xbf" + (files / "made.json").read_bytes())
    (files / ".hidden.csv").write_text("a\n1\n")
    (files / "readme.txt").write_text("a\n1\n")
    assert own(api) == {}
    for file in files.glob("*.json"):
        file.unlink()
    files.rename(files.with_name("away"))
    assert own(api) == {}
    files.with_name("away").rename(files)
    assert api.http.get(f"{BASE}/flows").status_code == 200
