"""Messages that have to say what is meant, where the plain rule would lead astray."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest

from contract_tests.support import Api
from flow_service_emulator.exports.schedule import read_schedule
from flow_service_emulator.fixture_files import Entry, FixtureError
from flow_service_emulator.settings import LATEST_TIME


@pytest.mark.parametrize("sent", [1767225600000, "1767225600000"])
@pytest.mark.parametrize("field", ["startTime", "endTime"])
def test_milliseconds_are_told_as_such(field: str, sent: Any) -> None:
    params = {"interval": 3, "timeUnit": "hour", "startTime": 1767225600, field: sent}
    _, (violation,), _ = read_schedule(params)
    assert violation.path == f"scheduleParams.{field}"
    assert "must be epoch seconds; got" in violation.message
    assert violation.message.endswith("which looks like milliseconds: in seconds it is 1767225600")
    assert violation.example == 1767225600


@pytest.mark.parametrize("sent", [-1, 10**15 * int(LATEST_TIME), 1.5, True, "soon", int(LATEST_TIME) * 1000 + 1])
def test_what_is_no_time_at_all_is_not_taken_for_milliseconds(sent: Any) -> None:
    _, (violation,), _ = read_schedule({"interval": 3, "timeUnit": "hour", "startTime": sent})
    assert "must be epoch seconds, a whole number; got" in violation.message
    assert "milliseconds" not in violation.message


@pytest.mark.parametrize(
    ("schema", "place", "reason"),
    [
        ({"type": "strng"}, "/type", '"strng" is no type; known are array, boolean, integer, null, number, object, string'),
        ({"properties": {"type": {"type": ["string", "nul"]}}}, "/properties/type/type", '["string","nul"] is no type; known'),
        ({"properties": {"type": "string"}}, "/properties/type", '"string" is not of types "boolean", "object"'),
        ({"items": 5}, "/items", "5"),
    ],
)  # fmt: skip
def test_a_type_that_there_is_not_is_told_with_those_that_there_are(schema: Any, place: str, reason: str) -> None:
    with pytest.raises(FixtureError) as refused:
        Entry(Path("schema"), "", schema).check_schema("", schema)
    assert refused.value.place == place
    assert refused.value.reason.startswith(reason)


def test_what_was_not_sent_is_called_nothing(api: Api) -> None:
    """JSON knows no None."""
    answer = api.http.put("/__emulator/state", json={})
    assert answer.status_code == 400
    assert re.search('"format" must be .*; got nothing', answer.text.replace("\\", ""))


@pytest.mark.parametrize("dataset_id", ["a%2Fb", "a/b"])
def test_an_id_with_a_slash_is_told_as_such(api: Api, dataset_id: str) -> None:
    answer = api.http.put(f"/__emulator/datasets/{dataset_id}", json={"records": []})
    assert answer.status_code == 404
    assert "A dataset's id has no slash" in answer.json()["detail"]
