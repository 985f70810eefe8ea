"""Schedules: when a flow exports, which rows, and into which folder.

Source: reference, sections "Schedule", "Exported files" and "Where the sources disagree".
"""

from __future__ import annotations

import gzip
import itertools
import json
import re
from typing import Any

import pytest

from contract_tests.support import FROZEN_NOW, Api
from contract_tests.tutorial import DATASET, S3, SFTP, SOURCE_CONNECTION, START_TIME
from contract_tests.tutorial import FIRST_DATASET as FIRST

MINUTE, HOUR, DAY = 60, 3600, 86_400
NOW = FROZEN_NOW
"""2026-01-01T00:00:00Z"""
SOON = NOW + HOUR
ONCE = {"interval": 0, "timeUnit": "day", "exportMode": "DAILY_FULL_EXPORT", "startTime": SOON}
HOURLY = {"interval": 3, "timeUnit": "hour", "startTime": SOON}


def instants(api: Api, seconds: float) -> list[int]:
    """For which instants exports ran while the clock moved on."""
    runs = api.advance(seconds)
    assert all(run["status"] == "success" for run in runs)
    return [run["scheduledAt"] for run in runs]


def files(api: Api, **filters: str) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = api.control("GET", "/exports", params=filters or None)["items"]
    return found


def rows(api: Api, path: str) -> list[dict[str, Any]]:
    """The rows of an NDJSON file."""
    content = api.http.get(f"/__emulator/exports/{path}").content
    return [json.loads(line) for line in (gzip.decompress(content) if path.endswith(".gz") else content).splitlines()]


def folder_of(path: str) -> str:
    return path.rpartition("/")[0]


# --- when ---------------------------------------------------------------------------------------------------------


When = list[tuple[int, list[int]]]
"""(by how many seconds the clock is advanced, the instants that are exported)"""
WHEN: dict[str, tuple[dict[str, Any], When]] = {
    # reference, Schedule: `day` with 0 and DAILY_FULL_EXPORT
    "once": (ONCE, [(60 * DAY, [SOON])]),
    "once, with a start in the past": ({**ONCE, "startTime": NOW - 5 * DAY}, [(60 * DAY, [NOW - 5 * DAY])]),
    "nothing before the start": (HOURLY, [(HOUR - 1, []), (1, [SOON])]),
    "a start right now": ({**HOURLY, "startTime": NOW}, [(3 * HOUR, [NOW, NOW + 3 * HOUR])]),
    # reference, Schedule: `endTime`, epoch seconds
    "the end is the last instant": (
        {**HOURLY, "endTime": SOON + 6 * HOUR},
        [(2 * DAY, [SOON, SOON + 3 * HOUR, SOON + 6 * HOUR])],
    ),
    "an end right after the start": ({**HOURLY, "endTime": SOON + 1}, [(2 * DAY, [SOON])]),
    "an end that is over": ({**HOURLY, "startTime": NOW - DAY, "endTime": NOW - HOUR}, [(2 * DAY, [])]),
    "an end that is now": ({**HOURLY, "startTime": NOW - DAY, "endTime": NOW}, [(2 * DAY, [NOW])]),
}
# reference, Schedule: `hour` with 3, 6, 8, 9, 12 or 24; `day` with 1: on the grid `startTime + k × interval`
INTERVALS = {("hour", number): number * HOUR for number in (3, 6, 8, 9, 12, 24)} | {("day", 1): DAY}
for (unit, interval), step in INTERVALS.items():
    every = {"interval": interval, "timeUnit": unit, "startTime": SOON}
    WHEN[f"{interval} {unit}"] = every, [(HOUR + 2 * step, [SOON, SOON + step, SOON + 2 * step])]
# reference, "Where the sources disagree": first export at once, for the latest instant; the past is not replayed
for start in (START_TIME, NOW - 1, NOW - 3 * HOUR - 7, NOW - 400 * DAY, 0):
    latest = start + (NOW - start) // (3 * HOUR) * 3 * HOUR
    comes: When = [(0, [latest]), (6 * HOUR, [latest + 3 * HOUR, latest + 6 * HOUR])]
    WHEN[f"a start in the past, at {start}"] = {**HOURLY, "startTime": start}, comes


@pytest.mark.emulator_only
@pytest.mark.parametrize("case", WHEN)
def test_when_exports_come(api: Api, case: str) -> None:
    schedule, steps = WHEN[case]
    api.flow(S3, schedule)
    assert [(seconds, instants(api, seconds)) for seconds, _ in steps] == steps


@pytest.mark.emulator_only
def test_several_flows_in_order_of_time_and_creation(api: Api) -> None:
    """Guessed: no source says in which order flows export."""
    first, second = api.flow(S3, HOURLY), api.flow(S3, {**HOURLY, "interval": 6})
    third = api.flow(SFTP, {**HOURLY, "startTime": SOON - MINUTE})
    runs = [(run["scheduledAt"] - SOON, run["flowId"]) for run in api.advance(7 * HOUR)]
    assert runs == [
        (-MINUTE, third),
        (0, first),
        (0, second),
        (3 * HOUR - MINUTE, third),
        (3 * HOUR, first),
        (6 * HOUR - MINUTE, third),
        (6 * HOUR, first),
        (6 * HOUR, second),
    ]


@pytest.mark.parametrize(("sent", "stored"), [
    ({"interval": "3"}, {"interval": 3}),
    ({"startTime": str}, {"startTime": int}),
    ({"endTime": str}, {"endTime": int}),
    ({"interval": 3.0, "startTime": float}, {"interval": 3, "startTime": int}),
    ({"timeUnit": "HOUR"}, {"timeUnit": "hour"}),
    ({"exportMode": "first_full_then_incremental"}, {"exportMode": "FIRST_FULL_THEN_INCREMENTAL"}),
    ({"endTime": None, "foldernameTemplate": None}, {}),
    ({"frequency": "hour"}, {"frequency": "hour"}),
])  # fmt: skip
def test_what_a_strict_reading_would_refuse(api: Api, sent: dict[str, Any], stored: dict[str, Any]) -> None:
    """Reference, "Where the sources disagree": numeric strings, letter case; `frequency` is sent by a real client."""
    soon = api.later["startTime"]
    times = {"startTime": soon, "endTime": soon + DAY}
    sent, stored = [
        {name: value(times[name]) if isinstance(value, type) else value for name, value in params.items()}
        for params in (sent, stored)
    ]
    flow = api.flow(S3, {**api.later, **sent})
    params = api.item(f"/flows/{flow}")["scheduleParams"]
    assert params == {"endTime": params["endTime"], **api.later, **stored}
    assert {type(value) for name, value in params.items() if name in ("interval", "startTime", "endTime")} == {int}
    assert api.foreign or instants(api, 4 * HOUR) == [SOON, SOON + 3 * HOUR]


# --- changes ------------------------------------------------------------------------------------------------------


CHANGES: dict[str, tuple[dict[str, Any], dict[str, Any], When]] = {
    # after the first export: the schedule before, what is sent instead, and what comes then
    "a new interval counts from the next export": (
        HOURLY,
        {"interval": 8, "timeUnit": "hour", "startTime": SOON},
        [(16 * HOUR, [SOON + 8 * HOUR, SOON + 16 * HOUR])],
    ),
    "a new start moves the grid": (
        HOURLY,
        {"startTime": SOON + 2 * HOUR + MINUTE},
        [(6 * HOUR, [SOON + 2 * HOUR + MINUTE, SOON + 5 * HOUR + MINUTE])],
    ),
    "a new start in the past is not replayed": (
        HOURLY,
        {"startTime": NOW - DAY},
        [(0, []), (2 * HOUR, [NOW + 3 * HOUR])],
    ),
    "a new end ends it": (HOURLY, {**HOURLY, "endTime": SOON + 3 * HOUR}, [(DAY, [SOON + 3 * HOUR])]),
    "a flow that was to run once gets another date": (ONCE, {"startTime": SOON + DAY}, [(9 * DAY, [SOON + DAY])]),
}


@pytest.mark.emulator_only
@pytest.mark.parametrize("case", CHANGES)
def test_a_new_schedule(api: Api, case: str) -> None:
    before, sent, steps = CHANGES[case]
    flow = api.flow(S3, before)
    assert instants(api, HOUR) == [SOON]
    api.patched(f"/flows/{flow}", {"op": "replace", "path": "/scheduleParams", "value": sent})
    assert [(seconds, instants(api, seconds)) for seconds, _ in steps] == steps


# --- which rows ---------------------------------------------------------------------------------------------------


@pytest.mark.emulator_only
def test_a_full_export_has_every_row(api: Api) -> None:
    """Reference, Schedule: DAILY_FULL_EXPORT has what was exported before as well; at one instant, every first export is alike."""
    incremental = api.flow(S3, {"interval": 1, "timeUnit": "day", "startTime": SOON})
    full = api.flow(S3, {**ONCE, "startTime": SOON + DAY})
    first = api.flow(S3, {**HOURLY, "startTime": SOON + DAY})
    api.advance(HOUR + DAY)
    whole = [row for file in files(api, flow=full) for row in rows(api, file["path"])]
    _, added = [rows(api, file["path"]) for file in files(api, flow=incremental)]
    assert 0 < len(added) < len(whole)
    assert all(row in whole for row in added)
    assert [row for file in files(api, flow=first) for row in rows(api, file["path"])] == whole


# --- where --------------------------------------------------------------------------------------------------------


FILE_NAME = re.compile(r"part-00000-tid-\d{18,19}-[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}-\d+-1-c000\.json")


@pytest.mark.emulator_only
def test_manifest_beside_the_files(api: Api) -> None:
    """Reference, Exported files: names as the real service gives; a manifest in JSON lists the files of one export."""
    flow = api.flow(S3, HOURLY)
    (run,) = api.advance(HOUR)
    (file,) = files(api)
    folder, _, name = file["path"].rpartition("/")
    assert FILE_NAME.fullmatch(name)
    manifest = api.http.get(f"/__emulator/exports/{folder}/manifest-{flow}-{run['id']}.json").json()
    sink = "/" + folder.partition("/")[2]
    assert manifest == {
        "flowRunId": run["id"],
        "scheduledTime": "2026-01-01T01:00:00Z",
        "exportResults": [{"sinkPath": sink, "name": name, "size": file["size"]}],
    }


MACROS = {
    "%DESTINATION%": "amazon-s3",
    "%DATASET_ID%": FIRST,
    "%DATASET_NAME%": DATASET["name"],
    "%DATETIME(YYYYMMdd_HHmmss)%": "20260101_010000",
    "%EXPORT_TIME%": "exportTime=202601010100",
    "%DESTINATION_INSTANCE_NAME%": "Amazon S3 Beta Target Connection",
    "%DESTINATION_INSTANCE_ID%": "{flow}",
    "%SANDBOX_NAME%": "prod",
    "%ORGANIZATION_NAME%": "TEST@AdobeOrg",
}


@pytest.mark.emulator_only
@pytest.mark.parametrize("spelling", ["foldernameTemplate", "folderNameTemplate"])
def test_all_macros_in_one_template(api: Api, spelling: str) -> None:
    """Reference, "Where the sources disagree": both spellings are accepted."""
    template = "/".join(itertools.chain(MACROS, ["x"]))
    flow = api.flow(S3, {**HOURLY, spelling: template})
    api.advance(HOUR)
    (file,) = files(api)
    values = "/".join(MACROS.values()).format(flow=flow)
    assert folder_of(file["path"]) == f"amazon-s3/your-bucket-name/folder/subfolder/{values}/x"


def test_the_template_is_stored_under_the_name_that_was_sent(api: Api) -> None:
    """Guessed: no source says under which name it is answered."""
    schedule = {**api.later, "folderNameTemplate": "%DATASET_ID%"}
    assert api.item(f"/flows/{api.flow(S3, schedule)}")["scheduleParams"].items() >= schedule.items()


@pytest.mark.emulator_only
def test_a_template_without_time_gathers_the_exports_of_several_flows_in_one_folder(api: Api) -> None:
    """Guessed: what follows from the template; no source shows it. The files' names are unique."""
    source, target = api.created("sourceConnections", SOURCE_CONNECTION), api.target(S3)
    body = S3.flow(source, target, **HOURLY, foldernameTemplate="all")
    flows = {api.created("flows", body) for _ in range(2)}
    api.advance(4 * HOUR)
    found = files(api)
    assert {folder_of(file["path"]) for file in found} == {"amazon-s3/your-bucket-name/folder/subfolder/all"}
    assert len({file["path"] for file in found}) == 4 and {file["flow"] for file in found} == flows
