"""PATCH and DELETE: what may be changed, all or nothing, and references that stay whole.

Source: reference, section "Endpoints" and "Where the sources disagree"; "Update destination dataflows using the Flow Service
API"; rows 1403, 1404, 1414, 1418, 1434, 1447 and 1455 of the error table.
"""

from __future__ import annotations

from typing import Any

import pytest

from contract_tests.api.test_entities import SERVER_FILLED
from contract_tests.support import Api, assert_error, replace, violations
from contract_tests.tutorial import BASE, DATASET, LANDING_ZONE, S3, SECOND_DATASET, SFTP, SOURCE_CONNECTION

HOUR, DAY = 3600, 86_400
SIX_MONTHS_ON = 1_782_864_000
"""2026-07-01T00:00:00Z."""
MISSING = "00000000-0000-4000-8000-000000000000"


@pytest.fixture
def flow(api: Api) -> str:
    """The path of a flow whose first export is an hour away."""
    return f"/flows/{api.flow(S3, api.later)}"


@pytest.fixture
def connection(api: Api) -> str:
    return f"/connections/{api.created('connections', S3.base_connection())}"


@pytest.fixture
def source(api: Api) -> str:
    return f"/sourceConnections/{api.created('sourceConnections', SOURCE_CONNECTION)}"


@pytest.fixture
def target(api: Api) -> str:
    return f"/targetConnections/{api.target(S3)}"


def base_of(api: Api, flow: str) -> str:
    base: str = api.item(flow)["inheritedAttributes"]["targetConnections"][0]["baseConnection"]["id"]
    return base


# --- what a patch does --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("op", ["replace", "Replace", "REPLACE", "add", "Add", "ADD"])
def test_op_in_any_letter_case(api: Api, flow: str, op: str) -> None:
    """Reference, Endpoints: ops in any letter case; a real client sends `Replace`."""
    assert api.patched(flow, {"op": op, "path": "/name", "value": "new"})["name"] == f"{api.prefix}new"


def test_remove_with_a_value(api: Api, connection: str) -> None:
    """API reference, PATCH /connections: its example of `remove` sends a value, which has no meaning."""
    add, remove = ({"op": op, "path": "/description", "value": "x"} for op in ("Add", "Remove"))
    assert api.patched(connection, add)["description"] == "x"
    assert "description" not in api.patched(connection, remove)


def test_arrays(api: Api, flow: str) -> None:
    """RFC 6902: `add` inserts at an index or, at `-`, behind the last; `remove` closes the gap."""
    operations = [
        {"op": "add", "path": f"/transformations/{place}", "value": {"n": number}}
        for number, place in enumerate(["-", "-", "0", "1"])
    ]
    after = api.patched(
        flow, *operations, {"op": "remove", "path": "/transformations/2"}, replace("/transformations/0/n", 9)
    )
    assert after["transformations"] == [{"n": 9}, {"n": 3}, {"n": 1}]


def test_escaped_names(api: Api, flow: str) -> None:
    """RFC 6901: `~1` is `/`, `~0` is `~`; operations build on each other."""
    item = {"op": "add", "path": "/transformations/-", "value": {}}
    after = api.patched(flow, item, {"op": "add", "path": "/transformations/0/a~1b~0c~01", "value": 1})
    assert after["transformations"] == [{"a/b~c~1": 1}]


@pytest.mark.parametrize("last", [
    {"op": "remove", "path": "/nothing"},
    replace("/id", "x"),
    replace("/sourceConnectionIds", []),
    {"op": "move", "path": "/x"},
])  # fmt: skip
def test_all_or_nothing(api: Api, flow: str, last: dict[str, Any]) -> None:
    before = api.item(flow)
    assert api.patch(flow, before["etag"], [replace("/name", "new"), last]).status_code == 400
    assert api.item(flow) == before


# --- what a patch may not do --------------------------------------------------------------------------------------


@pytest.mark.parametrize(("kind", "derived"), [
    ("connection", []),
    ("source", ["inheritedAttributes"]),
    ("target", ["inheritedAttributes"]),
    ("flow", ["inheritedAttributes", "runs", "lastOperation", "lastRunDetails"]),
])  # fmt: skip
def test_the_servers_own_fields_are_refused_by_name(
    api: Api, request: pytest.FixtureRequest, kind: str, derived: list[str]
) -> None:
    path = request.getfixturevalue(kind)
    for name in [*sorted(SERVER_FILLED), *derived]:
        for operation in (
            replace(f"/{name}", "x"),
            {"op": "remove", "path": f"/{name}"},
            {"op": "add", "path": f"/{name}/x", "value": 1},
        ):
            report = api.refused(path, "patch-invalid", [operation])
            assert f"{name} is filled by the server" in report["detailed-message"]


OTHER = {"dataSetId": SECOND_DATASET}
NO_STATES: list[Any] = ["paused", "ENABLED", "", None, 5, [], {}]
REFUSED: list[tuple[str, str, dict[str, Any], str]] = [
    *(("connection", "connection-spec-immutable", operation, "") for operation in (
        replace("/connectionSpec", {"id": LANDING_ZONE.spec, "version": "1.0"}),
        replace("/connectionSpec/id", LANDING_ZONE.spec), replace("/connectionSpec/version", "2.0"),
        {"op": "remove", "path": "/connectionSpec"}, {"op": "add", "path": "/connectionSpec/x", "value": 1},
    )),
    *(("source", "patch-invalid", operation, f"{operation['path']} cannot be updated") for operation in (
        replace("/params", {"datasets": [OTHER]}), replace("/params/datasets", [OTHER]),
        {"op": "add", "path": "/params/datasets/-", "value": OTHER}, replace("/params/datasets/0", OTHER),
        replace("/params/datasets/0/dataSetId", SECOND_DATASET), {"op": "remove", "path": "/params/datasets/0"},
        {"op": "remove", "path": "/params"},
    )),
    *(("flow", "state-invalid", replace("/state", state), "") for state in NO_STATES),
    ("flow", "state-invalid", {"op": "remove", "path": "/state"}, "null"),
    *(("target", "provider-rejected", operation, place) for operation, place in (
        (replace("/params/bucketName", "No Bucket!"), "params.bucketName"),
        (replace("/params/compression", "ZIP"), "params.compression"),
        ({"op": "remove", "path": "/params/path"}, "params.path"), (replace("/params", []), "params"),
        (replace("/baseConnectionId", MISSING), "baseConnectionId"),
        (replace("/name", ""), "name"), (replace("/name", 5), "name"), ({"op": "remove", "path": "/name"}, "name"),
    )),
]  # fmt: skip
"""(what is patched, the error, the operation, what the report says): the spec of a connection (row 1414-400), the datasets of a source
connection (Reference, Entities), the state (row 1456-400); and the result is checked as a creation would be."""


@pytest.mark.parametrize(("kind", "error", "operation", "told"), REFUSED)
def test_what_a_patch_may_not_do(
    api: Api, request: pytest.FixtureRequest, kind: str, error: str, operation: dict[str, Any], told: str
) -> None:
    report = api.refused(request.getfixturevalue(kind), error, [operation])
    if error != "provider-rejected":
        assert told in report["detailed-message"]
    else:
        assert {violation["path"] for violation in report.get("violations", [{"path": told}])} == {told}


# --- If-Match -----------------------------------------------------------------------------------------------------


def test_the_entity_is_looked_for_before_the_etag_and_the_etag_before_the_body(api: Api, flow: str) -> None:
    """Guessed: the order of the checks is published nowhere."""
    assert_error(api.patch(f"/flows/{MISSING}", None, []), "resource-not-found")
    assert_error(api.http.patch(BASE + flow, content=b"{"), "if-match-missing")


# --- credentials --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("path", ["/auth", "/auth/params"])
def test_what_was_read_can_be_sent_back(api: Api, connection: str, path: str) -> None:
    before = api.item(connection)
    auth = before["auth"] if path == "/auth" else before["auth"]["params"]
    assert api.patched(connection, replace(path, auth)) == before


def test_a_new_password(api: Api, connection: str) -> None:
    """API reference, PATCH /connections: replacing `/auth/params`. One alone is a change, too, though nobody can see it."""
    before = api.item(connection)
    params = {"s3AccessKey": "AKIAIOSFODNN7EXAMPLF", "s3SecretKey": "kJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY"}
    after = api.patched(connection, replace("/auth/params", params))
    assert after["auth"]["params"].items() >= {"s3AccessKey": "AKIAIOSFODNN7EXAMPLF", "s3SecretKey": "****"}.items()
    assert after["etag"] != before["etag"]
    again = api.patched(connection, replace("/auth/params/s3SecretKey", S3.auths[0]["params"]["s3SecretKey"]))
    assert again["auth"] == after["auth"]
    assert again["etag"] != after["etag"]


def test_remove_and_add_auth_params_in_one_patch(api: Api, connection: str) -> None:
    """API reference, PATCH /connections: `remove` and `add` of `/auth/params`; what counts is the result."""
    params = S3.auths[0]["params"]
    api.patched(
        connection,
        {"op": "remove", "path": "/auth/params", "value": params},
        {"op": "add", "path": "/auth/params", "value": params},
    )
    before = api.item(connection)
    assert "auth.params" in violations(
        api.patch(connection, before["etag"], [{"op": "remove", "path": "/auth/params"}])
    )


def test_another_kind_of_credentials(api: Api) -> None:
    """Guessed: the mask of one kind is no password of another."""
    path = f"/connections/{api.created('connections', SFTP.base_connection(0))}"
    response = api.patch(path, api.item(path)["etag"], [replace("/auth/specName", "SFTP with SSH Key")])
    assert "auth.params.sshKey" in violations(response)
    assert api.patched(path, replace("/auth", SFTP.auths[1]))["auth"]["specName"] == "SFTP with SSH Key"


# --- schedules ----------------------------------------------------------------------------------------------------


def test_a_schedule_as_the_api_reference_patches_it(api: Api, flow: str) -> None:
    """API reference, PATCH /flows: example "Update dataset dataflow export schedule"."""
    schedule = {"interval": 3, "timeUnit": "hour", "startTime": 1668470400, "endTime": 1668479500}
    assert api.patched(flow, replace("/scheduleParams", schedule))["scheduleParams"] == schedule


def test_a_start_time_alone_keeps_the_rest(api: Api) -> None:
    """Reference, "Where the sources disagree": a real client replaces `/scheduleParams` by `{"startTime": …}` alone."""
    whole = {"exportMode": "FIRST_FULL_THEN_INCREMENTAL", "foldernameTemplate": "%DATASET_ID%"}
    schedule = {**api.later, "endTime": api.now + 9 * DAY, **whole}
    path = f"/flows/{api.flow(S3, schedule)}"
    after = api.patched(path, replace("/scheduleParams", {"startTime": api.now + 2 * HOUR}))
    assert after["scheduleParams"] == {**schedule, "startTime": api.now + 2 * HOUR}
    after = api.patched(path, replace("/scheduleParams", {**api.later, "interval": 6}))  # a whole one keeps nothing
    assert after["scheduleParams"] == {**api.later, "interval": 6, "endTime": SIX_MONTHS_ON}


# --- references after a patch -------------------------------------------------------------------------------------


def test_a_flow_gets_another_source(api: Api, flow: str) -> None:
    """API reference, PATCH /flows: example "Update Source Connection of dataflow"; it counts from the next export on."""
    body = {**SOURCE_CONNECTION, "params": {"datasets": [{"dataSetId": SECOND_DATASET}]}}
    other = api.created("sourceConnections", body)
    after = api.patched(flow, replace("/sourceConnectionIds", [other]))
    assert [source["id"] for source in after["inheritedAttributes"]["sourceConnections"]] == [other]
    if api.foreign:
        return
    api.advance(HOUR)
    assert {file["dataset"] for file in api.control("GET", "/exports")["items"]} == {SECOND_DATASET}


@pytest.mark.emulator_only
def test_a_target_gets_another_path(api: Api, flow: str) -> None:
    """Guessed: it counts from the next export on."""
    (target,) = api.item(flow)["targetConnectionIds"]
    api.patched(f"/targetConnections/{target}", replace("/params/path", "elsewhere"))
    api.advance(HOUR)
    (file,) = api.control("GET", "/exports")["items"]
    assert file["path"].startswith(f"amazon-s3/your-bucket-name/elsewhere/{DATASET['dataSetId']}/")


def test_a_target_gets_another_base_connection(api: Api, flow: str) -> None:
    """Guessed: what target and flow inherit from it is the new one's; the flow itself was not changed."""
    old, new = base_of(api, flow), api.created("connections", S3.base_connection())
    (target,) = api.item(flow)["targetConnectionIds"]
    etag = api.item(flow)["etag"]
    after = api.patched(f"/targetConnections/{target}", replace("/baseConnectionId", new))
    assert after["inheritedAttributes"]["baseConnection"]["id"] == new
    assert base_of(api, flow) == new
    assert api.item(flow)["etag"] == etag
    assert api.delete(f"/connections/{old}").status_code == 202
    assert_error(api.delete(f"/connections/{new}"), "base-connection-in-use", id=new)


# --- deletion -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("slash", ["", "/"])
@pytest.mark.parametrize("kind", ["flow", "connection", "source", "target"])
def test_delete(api: Api, request: pytest.FixtureRequest, kind: str, slash: str) -> None:
    """Reference, Endpoints: 202, empty body; 404 afterwards; a trailing slash is accepted too."""
    path = request.getfixturevalue(kind)
    response = api.delete(path + slash)
    assert (response.status_code, response.content) == (202, b"")
    assert response.headers["x-request-id"]
    assert_error(api.get(path), "resource-not-found")
    assert_error(api.delete(path), "resource-not-found")
    assert path.split("/")[2] not in {item["id"] for item in api.mine(f"/{path.split('/')[1]}")}


@pytest.mark.parametrize("state", ["enabled", "disabled"])
def test_a_base_connection_in_use(api: Api, flow: str, state: str) -> None:
    """Row 1418-400: used in one or more flows, whatever their state."""
    if state == "disabled":
        api.post(f"{flow}/action?op=disable")
    base = base_of(api, flow)
    assert_error(api.delete(f"/connections/{base}"), "base-connection-in-use", id=base)
    assert api.item(f"/connections/{base}")


@pytest.mark.parametrize("kind", ["sourceConnection", "targetConnection"])
def test_source_or_target_of_an_active_flow(api: Api, flow: str, kind: str) -> None:
    """Row 1447-400; a disabled or deleted flow is not active."""
    (used,) = api.item(flow)[f"{kind}Ids"]
    assert_error(api.delete(f"/{kind}s/{used}"), "in-active-flow", id=used)
    api.post(f"{flow}/action?op=disable")
    assert api.delete(f"/{kind}s/{used}").status_code == 202


def test_one_of_two_flows_is_enough(api: Api) -> None:
    source, target = api.created("sourceConnections", SOURCE_CONNECTION), api.target(S3)
    first, _ = [api.created("flows", S3.flow(source, target, **api.later)) for _ in range(2)]
    api.post(f"/flows/{first}/action?op=disable")
    assert_error(api.delete(f"/targetConnections/{target}"), "in-active-flow", id=target)


@pytest.mark.emulator_only
def test_runs_and_files_of_a_deleted_flow_stay(api: Api, flow: str) -> None:
    """Guessed: no source says what becomes of them."""
    (run,) = api.advance(HOUR)
    before = api.item(f"/runs/{run['id']}")
    api.delete(flow)
    assert api.item(f"/runs/{run['id']}") == before
    assert api.items(f"/runs?property=flowId=={run['flowId']}") == [before]
    (file,) = api.control("GET", "/exports")["items"]
    assert api.http.get(f"/__emulator/exports/{file['path']}").status_code == 200


@pytest.mark.emulator_only
def test_a_flow_whose_source_is_gone_cannot_be_enabled(api: Api, flow: str) -> None:
    """Guessed: the table allows the deletion while the flow is disabled (1447: "active flows"); enabled, every run would fail."""
    (source,) = api.item(flow)["sourceConnectionIds"]
    api.post(f"{flow}/action?op=disable")
    assert api.delete(f"/sourceConnections/{source}").status_code == 202
    refused = violations(api.post(f"{flow}/action?op=enable"))
    assert list(refused) == ["sourceConnectionIds[0]"]
    assert source in refused["sourceConnectionIds[0]"]["message"]
    assert api.item(flow)["state"] == "disabled"
    api.patched(flow, replace("/sourceConnectionIds", [api.created("sourceConnections", SOURCE_CONNECTION)]))
    assert api.post(f"{flow}/action?op=enable").status_code == 200


def test_a_base_connection_stays_as_long_as_a_flow_names_it(api: Api, flow: str) -> None:
    """Error table, 1418: "ensure that corresponding flows are deleted before"; also when its target connection is gone."""
    inherited = api.item(flow)["inheritedAttributes"]["targetConnections"][0]
    base = inherited["baseConnection"]["id"]
    api.post(f"{flow}/action?op=disable")
    assert api.delete(f"/targetConnections/{inherited['id']}").status_code == 202
    assert_error(api.delete(f"/connections/{base}"), "base-connection-in-use", id=base)
    assert api.delete(flow).status_code == 202
    assert api.delete(f"/connections/{base}").status_code == 202


def test_a_target_connection_of_a_dataset_flow_stays_one(api: Api, flow: str) -> None:
    """Reference, "Where the sources disagree": one with `fileType` belongs to another workflow."""
    (target,) = api.item(flow)["targetConnectionIds"]
    path = f"/targetConnections/{target}"
    added = {"op": "add", "path": "/params/fileType", "value": "JSON"}
    change = [{"op": "remove", "path": "/params/datasetFileType"}, added]
    refused = violations(api.patch(path, api.item(path)["etag"], change))
    assert "params.datasetFileType" in refused
