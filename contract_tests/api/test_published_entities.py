"""What entities have beside the tutorial's fields, and patches as the guides show them.

Sources: "Flow Service API - Destinations" (its examples), the guides "Edit destination connections" and "Export datasets" (API), each named
in its test.
"""

from __future__ import annotations

import pytest

from contract_tests.support import FROZEN_NOW, Api, replace
from contract_tests.tutorial import DESTINATIONS, S3, SOURCE_CONNECTION, Destination

DAY = 86_400
SIX_MONTHS_ON = 1_782_864_000
"""2026-07-01T00:00:00Z."""
pytestmark = pytest.mark.emulator_only


def test_a_target_connection_keeps_the_parameters_that_a_patch_leaves_out(api: Api) -> None:
    """Guide "Edit destination connections": `replace /params` with bucketName and path alone."""
    path = f"/targetConnections/{api.target(S3, compression='GZIP')}"
    before = api.item(path)["params"]
    changed = {"bucketName": "another-bucket", "path": "other/folder"}
    assert api.patched(path, replace("/params", changed))["params"] == {**before, **changed}
    assert set(api.met()) == {"params-partial"}
    assert "datasetFileType" in str(api.report())


def test_whole_parameters_are_replaced_without_a_word(api: Api) -> None:
    path = f"/targetConnections/{api.target(S3, compression='GZIP')}"
    whole = {**api.item(path)["params"], "path": "other"}
    assert api.patched(path, replace("/params", whole), replace("/params/path", "again"))["params"]["path"] == "again"
    assert api.met() == {}


def test_a_source_connection_names_its_base_connection(api: Api) -> None:
    """API reference, examples of source connections: `baseConnectionId`."""
    source = api.item(f"/sourceConnections/{api.created('sourceConnections', SOURCE_CONNECTION)}")
    assert source["baseConnectionId"] == source["inheritedAttributes"]["baseConnection"]["id"]
    condition = f"baseConnectionId=={source['baseConnectionId']}"
    assert api.items("/sourceConnections", property=condition) == [source]


@pytest.mark.parametrize("destination", DESTINATIONS, ids=lambda item: item.folder)
def test_credentials_have_the_date_of_their_authorization(api: Api, destination: Destination) -> None:
    """API reference, all examples of base connections: `auth.params.authorizedDate`; it is no secret."""
    path = f"/connections/{api.created('connections', destination.base_connection())}"
    if not destination.auths:
        assert "auth" not in api.item(path)
        return
    params = api.item(path)["auth"]["params"]
    assert params["authorizedDate"] == "2026-01-01"
    api.advance(DAY)
    before = api.item(path)["etag"]
    assert api.patched(path, replace("/auth/params", params))["etag"] == before
    assert api.patched(path, replace("/auth", destination.auths[0]))["auth"]["params"] == params
    assert api.met() == {}


def test_the_last_operation_has_the_operations_of_a_patch(api: Api) -> None:
    """API reference, examples of flows: `lastOperation.ops`, `status.properties`."""
    path = f"/flows/{api.flow(S3, api.later)}"
    assert "ops" not in api.item(path)["lastOperation"]
    operation = {"op": "Replace", "path": "/name", "value": "new"}
    last = api.patched(path, operation)["lastOperation"]
    assert last["ops"] == [operation]
    assert last["status"] == {"value": "completed", "properties": None, "errors": []}


def test_a_schedule_ends_after_six_months(api: Api) -> None:
    """Guide "Export datasets" (API): the end where none was sent, in the flow and in lists."""
    flow = api.flow(S3, api.later)
    assert api.item(f"/flows/{flow}")["scheduleParams"] == {**api.later, "endTime": SIX_MONTHS_ON}
    assert [each["id"] for each in api.items("/flows", property=f"scheduleParams.endTime=={SIX_MONTHS_ON}")] == [flow]
    after = api.patched(f"/flows/{flow}", replace("/scheduleParams", {**api.later, "endTime": FROZEN_NOW + 9 * DAY}))
    assert after["scheduleParams"]["endTime"] == FROZEN_NOW + 9 * DAY
    after = api.patched(f"/flows/{flow}", {"op": "remove", "path": "/scheduleParams/endTime"})
    assert after["scheduleParams"]["endTime"] == SIX_MONTHS_ON


@pytest.mark.parametrize(("end", "told"), [(-1, True), (DAY, False)])
def test_a_schedule_wholly_in_the_past_is_a_warning(api: Api, end: int, told: bool) -> None:
    schedule = {**api.later, "startTime": FROZEN_NOW - 60, "endTime": FROZEN_NOW + end}
    api.flow(S3, schedule, compression="GZIP")
    assert set(api.met()) == ({"schedule-past"} if told else set())


def test_a_flow_that_is_over_is_a_warning_when_it_is_changed(api: Api) -> None:
    path = f"/flows/{api.flow(S3, api.later, compression='GZIP')}"
    api.advance(200 * DAY)
    api.patched(path, replace("/scheduleParams/interval", 6))
    assert set(api.met()) == {"schedule-past"}
