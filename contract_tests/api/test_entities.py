"""Entities as the reference lists them: what the server fills, etags, masked passwords, references, isolation.

Source: reference, sections "Entities" and "Where the sources disagree".
"""

from __future__ import annotations

import json
import re
import time
from collections.abc import Callable
from typing import Any

import pytest

from contract_tests.support import FROZEN_NOW, Api, assert_error, violations
from contract_tests.tutorial import (
    ADLS,
    AZURE_BLOB,
    DATA_LAKE,
    DATASET,
    DESTINATIONS,
    GOOGLE,
    LANDING_ZONE,
    S3,
    SFTP,
    SOURCE_CONNECTION,
    Destination,
)

UUID = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}")
ETAG = re.compile(r'"[0-9a-f]{8}-0000-0200-0000-[0-9a-f]{8}0000"')
NOW_MS = FROZEN_NOW * 1000
MISSING = "00000000-0000-4000-8000-000000000000"
SERVER_FILLED = {
    *("id", "createdAt", "updatedAt", "createdBy", "updatedBy", "createdClient", "updatedClient"),
    *("sandboxId", "sandboxName", "imsOrgId", "version", "etag"),
}


def a_connection(api: Api) -> str:
    return "/connections/" + api.created("connections", S3.base_connection())


def a_source(api: Api) -> str:
    return "/sourceConnections/" + api.created("sourceConnections", SOURCE_CONNECTION)


def a_target(api: Api) -> str:
    return "/targetConnections/" + api.target(S3)


def a_flow(api: Api) -> str:
    return "/flows/" + api.flow(S3, api.later)


def a_run(api: Api) -> str:
    path = "/runs/" + api.created("runs", {"flowId": api.flow(S3, api.later)})
    until = time.monotonic() + 30
    while api.foreign and "completedAtUTC" not in str(api.item(path)) and time.monotonic() < until:
        time.sleep(0.1)  # so that it does not change any more
    return path


EDITABLE = (a_connection, a_source, a_target, a_flow)
every_kind = pytest.mark.parametrize("make", [*EDITABLE, pytest.param(a_run, marks=pytest.mark.exports)])
every_editable_kind = pytest.mark.parametrize("make", EDITABLE)
Make = Callable[[Api], str]


@every_kind
def test_server_fills_what_every_entity_has(api: Api, make: Make) -> None:
    """Reference, Entities: "Server-filled on every stored entity"; the etag is a header of the look-up as well.

    The published samples of runs have no `version` (tutorial; API reference, `Batch_Flow_Run_Success`).
    """
    response = api.get(make(api))
    (entity,) = response.json()["items"]
    assert response.headers["etag"] == entity["etag"]
    versioned = make is not a_run
    assert set(entity) >= (SERVER_FILLED if versioned else SERVER_FILLED - {"version"})
    assert UUID.fullmatch(entity["id"])
    assert ETAG.fullmatch(entity["etag"])
    assert entity.get("version") == (entity["etag"] if versioned else None)
    assert api.happened_now(entity["createdAt"])
    assert api.happened_now(entity["updatedAt"])
    assert (entity["imsOrgId"], entity["sandboxName"]) == (api.org, api.sandbox)
    assert all(
        isinstance(entity[name], str) and entity[name]
        for name in ("createdBy", "updatedBy", "createdClient", "updatedClient", "sandboxId")
    )


@pytest.mark.parametrize("collection", ["connections", "sourceConnections", "targetConnections", "flows"])
def test_creation_answers_id_and_etag(api: Api, collection: str) -> None:
    """Reference, Endpoints: 201 `{"id": uuid, "etag": "\\"…\\""}`; `state` is enabled, or disabled where that was sent.

    Row 1410-400 forbids a state in the create request for flows only.
    """
    source, target = api.created("sourceConnections", SOURCE_CONNECTION), api.target(S3)
    bodies = {
        "connections": S3.base_connection(),
        "sourceConnections": SOURCE_CONNECTION,
        "targetConnections": S3.target_connection(api.created("connections", S3.base_connection())),
        "flows": S3.flow(source, target, **api.later),
    }
    response = api.post(f"/{collection}", bodies[collection])
    assert response.status_code == 201
    created = response.json()
    entity = api.item(f"/{collection}/{created['id']}")
    assert created == {"id": entity["id"], "etag": entity["etag"]}
    assert entity["state"] == "enabled"
    assert entity in api.mine(f"/{collection}")
    if collection != "flows":
        entity_id = api.created(collection, {**bodies[collection], "state": "disabled"})
        assert api.item(f"/{collection}/{entity_id}")["state"] == "disabled"


@pytest.mark.parametrize(
    "name", sorted(SERVER_FILLED | {"inheritedAttributes", "runs", "lastOperation", "lastRunDetails"})
)
def test_values_sent_for_the_servers_fields_are_not_used(api: Api, name: str) -> None:
    """Guessed: whether the service refuses or ignores them is published nowhere."""
    source, target = api.created("sourceConnections", SOURCE_CONNECTION), api.target(S3)
    flow_id = api.created("flows", {**S3.flow(source, target, **api.later), name: "made-up"})
    assert api.item(f"/flows/{flow_id}").get(name) != "made-up"


def test_sandbox_id_belongs_to_org_and_sandbox(api: Api) -> None:
    """Guessed: how the id is made is published nowhere."""
    ids = {}
    for number, scope in enumerate(
        ({}, {"sandbox": "dev"}, {"org": "B@AdobeOrg"}, {"org": "B@AdobeOrg", "sandbox": "dev"})
    ):
        other = api.other(**scope)
        first, second = other.item(a_connection(other)), other.item(a_source(other))
        assert first["sandboxId"] == second["sandboxId"]
        ids[number] = first["sandboxId"]
    assert len(set(ids.values())) == 4


@every_editable_kind
def test_a_change_has_a_new_etag_and_version(api: Api, make: Make) -> None:
    """Reference, Entities: new after every change."""
    path = make(api)
    seen = {api.item(path)["etag"]}
    for number in range(3):
        answer = api.patch(
            path, api.item(path)["etag"], [{"op": "replace", "path": "/name", "value": f"name {number}"}]
        )
        entity = api.item(path)
        assert answer.json() == {"id": entity["id"], "etag": entity["etag"]}
        assert entity["version"] == entity["etag"]
        seen.add(entity["etag"])
    assert len(seen) == 4


@every_editable_kind
@pytest.mark.parametrize("op", ["replace", "add"])
def test_a_patch_that_changes_nothing_keeps_the_etag(api: Api, make: Make, op: str) -> None:
    """Guessed: etag and version change with every change and only then."""
    path = make(api)
    before = api.item(path)
    api.pass_a_moment()
    response = api.patch(path, before["etag"], [{"op": op, "path": "/name", "value": before["name"]}])
    assert response.status_code == 200
    assert response.json() == {"id": before["id"], "etag": before["etag"]}
    assert api.item(path) == before


@pytest.mark.parametrize("patch", [
    [{"op": "add", "path": "/x", "value": 1}, {"op": "remove", "path": "/x"}],
    [{"op": "replace", "path": "/scheduleParams", "value": {"startTime": None}}],
], ids=["parts that cancel each other out", "one part of the schedule, as it was"])  # fmt: skip
def test_a_patch_that_comes_to_nothing_keeps_the_etag(api: Api, patch: list[dict[str, Any]]) -> None:
    """Guessed: a schedule with one part keeps the others; when that part is what it was, nothing has changed."""
    path = a_flow(api)
    before = api.item(path)
    if patch[0]["path"] == "/scheduleParams":
        patch = [{**patch[0], "value": {"startTime": str(api.later["startTime"])}}]
    assert api.patch(path, before["etag"], patch).json()["etag"] == before["etag"]
    assert api.item(path) == before


@pytest.mark.emulator_only
def test_a_run_does_not_change_the_etag_of_its_flow(api: Api) -> None:
    """Guessed: nobody changed the flow; a client that read it before can still patch it."""
    path = a_flow(api)
    before = api.item(path)
    (run,) = api.advance(3600)
    after = api.item(path)
    assert after["etag"] == before["etag"]
    assert after["lastRunDetails"]["id"] == run["id"]


# --- passwords ----------------------------------------------------------------------------------------------------

SECRETS: list[tuple[Destination, int, list[str], list[str]]] = [
    (S3, 0, ["s3SecretKey"], ["s3AccessKey"]),
    (AZURE_BLOB, 0, ["connectionString"], []),
    (ADLS, 0, ["servicePrincipalKey"], ["url", "tenant", "servicePrincipalId"]),
    (GOOGLE, 0, ["secretAccessKey"], ["accessKeyId"]),
    (SFTP, 0, ["password"], ["domain", "username"]),
    (SFTP, 1, ["sshKey"], ["domain", "username"]),
]
every_secret = pytest.mark.parametrize(
    ("destination", "variant", "secret", "plain"), SECRETS, ids=lambda value: getattr(value, "folder", None)
)


@every_secret
def test_passwords_are_masked_everywhere(
    api: Api, destination: Destination, variant: int, secret: list[str], plain: list[str]
) -> None:
    """Fields whose schema says `format: password` come back masked: look-up, list, filter, PATCH answer, snapshot."""
    sent = destination.auths[variant]["params"]
    connection_id = api.created("connections", destination.base_connection(variant))
    path = f"/connections/{connection_id}"
    shown = api.item(path)["auth"]["params"]
    assert {name: shown[name] for name in secret} == dict.fromkeys(secret, "****")
    assert {name: shown[name] for name in plain} == {name: sent[name] for name in plain}
    patched = api.patch(path, api.item(path)["etag"], [{"op": "replace", "path": "/name", "value": "other"}])
    answers = [
        api.get(path).text,
        api.get("/connections").text,
        api.get(f"/connections?property=id=={connection_id}&property=auth,id").text,
        api.get(f"{path}/test").text,
        patched.text,
        "" if api.foreign else json.dumps(api.control("GET", "/state")),
    ]
    for name in secret:
        assert not any(sent[name] in answer or json.dumps(sent[name])[1:-1] in answer for answer in answers)


def test_a_password_is_not_shown_when_it_is_refused(api: Api) -> None:
    response = api.post("/connections", with_credentials(s3SecretKey="TOP SECRET", s3AccessKey=5))
    assert set(violations(response)) == {"auth.params.s3SecretKey", "auth.params.s3AccessKey"}
    assert "TOP SECRET" not in response.text


def with_credentials(**params: Any) -> dict[str, Any]:
    """A base connection to Amazon S3 with other parameters of `auth`."""
    auth = S3.auths[0]
    return {**S3.base_connection(), "auth": {**auth, "params": {**auth["params"], **params}}}


# --- base connections ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("destination", [item for item in DESTINATIONS if item.auths], ids=lambda item: item.folder)
def test_auth_is_required_where_the_destination_has_credentials(api: Api, destination: Destination) -> None:
    body = destination.base_connection()
    del body["auth"]
    found = violations(api.post("/connections", body))
    assert all(auth["specName"] in found["auth"]["message"] for auth in destination.auths)
    assert api.post("/connections", {**body, "auth": found["auth"]["example"]}).status_code == 201


@pytest.mark.parametrize("destination", [item for item in DESTINATIONS if item.auths], ids=lambda item: item.folder)
def test_each_credential_is_required(api: Api, destination: Destination) -> None:
    """Row 1100-400: auth rejected by the destination's own schema."""
    for variant, auth in enumerate(destination.auths):
        body = {**destination.base_connection(variant), "auth": {**auth, "params": {}}}
        assert set(violations(api.post("/connections", body))) == {f"auth.params.{name}" for name in auth["params"]}


@pytest.mark.parametrize("auth", [{"auth": None}, {}])
def test_null_auth_is_no_auth(api: Api, auth: dict[str, Any]) -> None:
    """Reference, "Where the sources disagree": `"auth": null` for the Data Landing Zone."""
    body = {"name": "x", "connectionSpec": {"id": LANDING_ZONE.spec, "version": "1.0"}, **auth}
    assert "auth" not in api.item(f"/connections/{api.created('connections', body)}")


def test_only_a_connection_without_auth_may_leave_its_spec_out(api: Api) -> None:
    """Reference, Entities: the Data Landing Zone's request sends only a name; whoever sends credentials means another."""
    body = S3.base_connection()
    del body["connectionSpec"]
    assert api.post("/connections", body).json()["type"].endswith("FLOW-1413-400")


# --- source connections -------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "datasets",
    [
        [],
        None,
        "x",
        {},
        [5],
        [{}],
        [{"dataSetId": 5}],
        [{"dataSetId": ""}],
        [{"dataSetId": "unknown"}],
        [DATASET, DATASET],
    ],
)
def test_datasets_that_cannot_be_exported(api: Api, datasets: Any) -> None:
    found = violations(api.post("/sourceConnections", {**SOURCE_CONNECTION, "params": {"datasets": datasets}}))
    assert all(place.startswith("params.datasets") for place in found)


# --- target connections -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("destination", DESTINATIONS, ids=lambda item: item.folder)
def test_target_connection_inherits_its_base_connection(api: Api, destination: Destination) -> None:
    """Reference, Entities: `inheritedAttributes.baseConnection {id, connectionSpec}`."""
    target = api.item(f"/targetConnections/{api.target(destination)}")
    spec = {"id": destination.spec, "version": "1.0"}
    assert target["inheritedAttributes"] == {
        "baseConnection": {"id": target["baseConnectionId"], "connectionSpec": spec}
    }


@pytest.mark.parametrize("other", [item for item in DESTINATIONS if item is not S3], ids=lambda item: item.folder)
def test_target_connection_has_its_base_connections_spec(api: Api, other: Destination) -> None:
    base = api.created("connections", other.base_connection())
    found = violations(api.post("/targetConnections", S3.target_connection(base)))
    assert other.name.split("(")[0].split()[0] in found["connectionSpec.id"]["message"]


def test_target_connection_of_the_other_workflow(api: Api) -> None:
    """Reference, "Where the sources disagree": one with `fileType` belongs to the other workflow; no dataset flow takes it."""
    body = S3.target_connection(api.created("connections", S3.base_connection()), fileType="CSV")
    del body["params"]["datasetFileType"]
    target = api.created("targetConnections", body)
    source = api.created("sourceConnections", SOURCE_CONNECTION)
    found = violations(api.post("/flows", S3.flow(source, target, **api.later)))
    assert "datasetFileType" in found["targetConnectionIds[0]"]["message"]


@pytest.mark.parametrize("mode", ["Client", "", None, 5, {}])
def test_mode_is_server_to_server(api: Api, mode: Any) -> None:
    """Reference, "Where the sources disagree": `params.mode` is in no targetSpec and accepted."""
    base = api.created("connections", S3.base_connection())
    assert (
        "Server-to-server"
        in violations(api.post("/targetConnections", S3.target_connection(base, mode=mode)))["params.mode"]["message"]
    )


# --- flows --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("destination", DESTINATIONS, ids=lambda item: item.folder)
def test_flow_as_the_reference_lists_it(api: Api, destination: Destination) -> None:
    """Reference, Entities: Flow, what the server fills."""
    flow_id = api.flow(destination, api.later)
    flow = api.item(f"/flows/{flow_id}")
    (source_id,), (target_id,) = flow["sourceConnectionIds"], flow["targetConnectionIds"]
    base_id = api.item(f"/targetConnections/{target_id}")["baseConnectionId"]
    spec = {"id": destination.spec, "version": "1.0"}
    assert flow["inheritedAttributes"] == {
        "properties": {"isDestinationFlow": True},
        "sourceConnections": [{"id": source_id, "connectionSpec": {"id": DATA_LAKE, "version": "1.0"}}],
        "targetConnections": [
            {"id": target_id, "connectionSpec": spec, "baseConnection": {"id": base_id, "connectionSpec": spec}}
        ],
    }
    assert flow["runs"] == f"/runs?property=flowId=={flow_id}"
    assert api.happened_now(flow["createdAt"])
    assert flow["lastOperation"] == {
        "started": flow["createdAt"],
        "updated": flow["createdAt"],
        "percentCompleted": 100,
        "status": {"value": "completed", "errors": []},
        "operation": "create",
    }
    assert flow["scheduleParams"].items() >= api.later.items()
    assert "lastRunDetails" not in flow


@pytest.mark.parametrize(("action", "operation"), [("disable", "disable"), ("enable", "enable")])
def test_last_operation_is_the_last_action(api: Api, action: str, operation: str) -> None:
    path = a_flow(api)
    if action == "enable":
        api.post(f"{path}/action?op=disable")
    api.pass_a_moment()
    before = api.item(path)["lastOperation"]
    api.post(f"{path}/action?op={action}")
    last = api.item(path)["lastOperation"]
    assert last["operation"] == operation
    assert last["started"] > before["started"]
    assert api.foreign or last["started"] == NOW_MS + 1_000


@pytest.mark.parametrize("destination", DESTINATIONS, ids=lambda item: item.folder)
def test_target_of_another_destination_does_not_fit_the_flow_spec(api: Api, destination: Destination) -> None:
    other = S3 if destination is not S3 else SFTP
    source = api.created("sourceConnections", SOURCE_CONNECTION)
    found = violations(api.post("/flows", destination.flow(source, api.target(other), **api.later)))
    assert "targetConnectionIds[0]" in found


@pytest.mark.parametrize("name", ["sourceConnectionIds", "targetConnectionIds"])
@pytest.mark.parametrize("ids", [[], None, "x", [5], [MISSING], ["{id}", "{id}"], ["{id}", MISSING]])
def test_connections_of_a_flow_exist_once_each(api: Api, name: str, ids: Any) -> None:
    """Guessed: which code a reference that leads nowhere gets is published nowhere."""
    source, target = api.created("sourceConnections", SOURCE_CONNECTION), api.target(S3)
    body = S3.flow(source, target, **api.later)
    (real,) = body[name]
    sent = [real if item == "{id}" else item for item in ids] if isinstance(ids, list) else ids
    assert all(place.startswith(name) for place in violations(api.post("/flows", {**body, name: sent})))
    assert api.mine("/flows") == []


def test_flow_with_several_sources_and_targets(api: Api) -> None:
    sources = [api.created("sourceConnections", SOURCE_CONNECTION) for _ in range(2)]
    targets = [api.target(S3) for _ in range(2)]
    body = {**S3.flow("", "", **api.later), "sourceConnectionIds": sources, "targetConnectionIds": targets}
    inherited = api.item(f"/flows/{api.created('flows', body)}")["inheritedAttributes"]
    assert [source["id"] for source in inherited["sourceConnections"]] == sources
    assert [target["id"] for target in inherited["targetConnections"]] == targets


@pytest.mark.parametrize("name", ["name", "flowSpec", "sourceConnectionIds", "targetConnectionIds", "scheduleParams"])
def test_what_a_flow_must_have(api: Api, name: str) -> None:
    body = S3.flow(api.created("sourceConnections", SOURCE_CONNECTION), api.target(S3), **api.later)
    del body[name]
    response = api.post("/flows", body)
    if name == "flowSpec":
        assert_error(response, "spec-id-invalid")
    else:
        assert set(violations(response)) == {name}


# --- runs ---------------------------------------------------------------------------------------------------------


@pytest.mark.emulator_only
def test_run_as_the_reference_lists_it(api: Api) -> None:
    """Reference, Entities: Run."""
    api.flow(S3, api.later)
    (ran,) = api.advance(3600)
    run = api.item(f"/runs/{ran['id']}")
    flow = api.item(f"/flows/{run['flowId']}")
    (source_id,), (target_id,) = flow["sourceConnectionIds"], flow["targetConnectionIds"]
    files = api.control("GET", "/exports", params={"run": run["id"]})["items"]
    rows, size = sum(file["rows"] for file in files), sum(file["size"] for file in files)
    assert rows > 0
    metrics = run["metrics"]
    assert run["flowSpec"] == flow["flowSpec"]
    assert re.fullmatch("[0-9a-f]{32}", run["providerRefId"])
    assert metrics["sizeSummary"] == {"inputBytes": size, "outputBytes": size}
    assert metrics["fileSummary"] == {"inputFileCount": len(files), "outputFileCount": len(files)}
    entity = f"dataset:{DATASET['dataSetId']}"
    assert metrics["recordSummary"] == {
        "inputRecordCount": rows,
        "outputRecordCount": rows,
        "createdRecordCount": rows,
        "skippedRecordCount": 0,
        "sourceSummaries": [
            {
                "id": source_id,
                "inputRecordCount": rows,
                "skippedRecordCount": 0,
                "entitySummaries": [{"id": entity, "inputRecordCount": rows, "skippedRecordCount": 0}],
            }
        ],
        "targetSummaries": [
            {
                "id": target_id,
                "createdRecordCount": rows,
                "outputRecordCount": rows,
                "entitySummaries": [{"id": entity, "createdRecordCount": rows, "outputRecordCount": rows}],
            }
        ],
    }
    duration = metrics["durationSummary"]
    assert NOW_MS + 3_600_000 == duration["startedAtUTC"] <= duration["completedAtUTC"]
    first, second = run["activities"]
    assert (first["name"], second["name"]) == (
        "Activation Batch XdmProcessor Activity",
        "Activation Batch Publisher Activity",
    )
    assert metrics["statusSummary"] == {"status": "success", "activityRefs": [first["id"]]}
    assert flow["lastRunDetails"] == {"id": run["id"], "state": "success", **duration}


# --- organizations and sandboxes ----------------------------------------------------------------------------------


@pytest.mark.parametrize("scope", [{"org": "OTHER@AdobeOrg"}, {"sandbox": "dev"}, {"sandbox": "PROD"}], ids=str)
@every_kind
def test_entities_are_invisible_to_every_other_scope(api: Api, make: Make, scope: dict[str, str]) -> None:
    """Reference, Entities: of one org and sandbox."""
    other = api.other(**scope)
    path = make(api)
    collection = path.split("/")[1]
    assert_error(other.get(path), "resource-not-found")
    assert other.mine(f"/{collection}") == []
    conditions = "".join(f"&property={condition}" for condition in api.own(collection))
    assert other.get(f"/{collection}?count=true{conditions}").json() == {"count": 0}
    if make is not a_run:
        assert_error(other.delete(path), "resource-not-found")
        assert_error(
            other.patch(path, api.item(path)["etag"], [{"op": "replace", "path": "/name", "value": "x"}]),
            "resource-not-found",
        )
    assert api.item(path)


def test_references_do_not_reach_into_another_scope(api: Api) -> None:
    other = api.other(sandbox="dev")
    source, target = api.created("sourceConnections", SOURCE_CONNECTION), api.target(S3)
    base = api.created("connections", S3.base_connection())
    flow = api.flow(S3, api.later)
    assert "baseConnectionId" in violations(other.post("/targetConnections", S3.target_connection(base)))
    assert set(violations(other.post("/flows", S3.flow(source, target, **api.later)))) == {
        "sourceConnectionIds[0]",
        "targetConnectionIds[0]",
    }
    assert_error(other.post("/runs", {"flowId": flow}), "run-flow-not-found", id=flow)


def test_a_token_does_not_reach_into_another_scope(api: Api) -> None:
    """It carries a query and a position, and no entities."""
    other = api.other(sandbox="dev")
    mine = [a_connection(api).split("/")[2] for _ in range(3)]
    href = api.get("/connections?limit=1").json()["_links"]["next"]["href"]
    assert not {item["id"] for item in other.items(href)} & set(mine)
    assert api.foreign or other.items(href) == []
