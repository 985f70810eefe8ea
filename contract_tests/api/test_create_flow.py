"""`POST /__emulator/flows`: a whole flow in one call, for tests that are about something else.

Source: documentation, "Control calls".
"""

from __future__ import annotations

from typing import Any

import pytest

from contract_tests.support import FROZEN_NOW, Api, assert_error, violations
from contract_tests.tutorial import DESTINATIONS, FIRST_DATASET, S3, Destination

pytestmark = pytest.mark.emulator_only
WANTED = {"dataset": FIRST_DATASET, "destination": "amazon-s3"}


def made(api: Api, **wanted: Any) -> dict[str, Any]:
    answer = api.http.post("/__emulator/flows", json={**WANTED, **wanted})
    assert answer.status_code == 201, answer.text
    ids: dict[str, Any] = answer.json()
    return ids


@pytest.mark.parametrize("destination", DESTINATIONS, ids=lambda destination: destination.folder)
def test_a_flow_to_each_destination_exports(api: Api, destination: Destination) -> None:
    form = {"fileType": "PARQUET", "compression": "NONE", "path": "mine"}
    ids = made(api, destination=destination.folder, **form)
    runs = api.advance(3 * 3600)
    assert [(run["flowId"], run["status"]) for run in runs] == [(ids["id"], "success")] * 2
    for file in api.control("GET", "/exports")["items"]:
        assert file["path"].startswith(f"{destination.folder}/") and "/mine/" in file["path"]
        assert file["path"].endswith(".parquet")
    flow = api.item(f"/flows/{ids['id']}")
    assert flow["sourceConnectionIds"] == [ids["sourceConnectionId"]]
    target = api.item(f"/targetConnections/{ids['targetConnectionId']}")
    assert target["baseConnectionId"] == ids["baseConnectionId"]
    assert api.item(f"/connections/{ids['baseConnectionId']}")["connectionSpec"]["id"] == destination.spec


@pytest.mark.parametrize(
    ("wanted", "schedule"),
    [
        ({}, {"interval": 3, "timeUnit": "hour"}),
        ({"everyHours": 24}, {"interval": 1, "timeUnit": "day"}),
        ({"everyHours": 0}, {"interval": 0, "timeUnit": "day", "exportMode": "DAILY_FULL_EXPORT"}),
        ({"schedule": {"startTime": FROZEN_NOW + 60}}, {"interval": 3, "startTime": FROZEN_NOW + 60}),
    ],
)
def test_schedules(api: Api, wanted: dict[str, Any], schedule: dict[str, Any]) -> None:
    flow = api.item(f"/flows/{made(api, **wanted)['id']}")
    assert flow["scheduleParams"].items() >= {"startTime": FROZEN_NOW, **schedule}.items()


def test_it_is_no_request_of_the_client(api: Api) -> None:
    """No injected fault meets it, and neither the journal nor the report has it."""
    api.control("POST", "/faults", {"kind": "error", "error": "service-unavailable"})
    made(api)
    assert api.requests() == []
    assert api.report()["summary"]["requests"] == 0


def test_whose_it_is(api: Api) -> None:
    """The body says so, else the headers."""
    other = made(api, org="ONE@AdobeOrg", sandbox="dev")
    assert (other["org"], other["sandbox"]) == ("ONE@AdobeOrg", "dev")
    assert api.other(org="ONE@AdobeOrg", sandbox="dev").item(f"/flows/{other['id']}")["name"] == "Export to Amazon S3"
    assert api.items("/flows") == []
    nobodys = api.http.post("/__emulator/flows", json=WANTED, headers={"x-gw-ims-org-id": ""})
    assert "org is needed" in assert_error(nobodys, "control-invalid")["detail"]


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        ({}, 'dataset is required but missing; a valid example is "5ef3'),
        ({"dataset": "x"}, 'destination is required but missing; a valid example is "amazon-s3"'),
        ({**WANTED, "destination": "s3"}, 'destination: "s3" is unknown; allowed: adls-gen2, amazon-s3, '),
        ({**WANTED, "params": []}, "params must be an object, got"),
        ({**WANTED, "every_hours": 3}, "every_hours is unknown; allowed: dataset, destination, everyHours"),
        ({"datasetId": "a", "destination": "sftp"}, "datasetId is unknown; allowed: dataset, destination"),
    ],
)
def test_what_is_refused(api: Api, body: Any, reason: str) -> None:
    refused = api.http.post("/__emulator/flows", json=body)
    assert reason in assert_error(refused, "control-invalid")["detail"]


def test_where_one_is_refused_none_is_made(api: Api) -> None:
    refused = api.http.post("/__emulator/flows", json={**WANTED, "params": {"bucketName": "No_Bucket"}})
    assert violations(refused).keys() == {"params.bucketName"}
    for hours in (5, "three", None):
        assert_error(api.http.post("/__emulator/flows", json={**WANTED, "everyHours": hours}), "provider-rejected")
    for collection in ("sourceConnections", "connections", "targetConnections", "flows"):
        assert api.items(f"/{collection}") == []
    assert api.item(f"/targetConnections/{api.target(S3)}")["params"]["bucketName"] == S3.target["bucketName"]
