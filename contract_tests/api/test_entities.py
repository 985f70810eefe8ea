"""Entities as the reference lists them: what the server fills, etags, masked passwords, references, isolation.

Source: reference, sections "Entities" and "Where the sources disagree".
"""

from __future__ import annotations

import re
import time
from typing import Any

import pytest

from contract_tests.support import FROZEN_NOW, Api, assert_error, replace, violations
from contract_tests.tutorial import (
    DATA_LAKE,
    DATASET,
    DESTINATIONS,
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


def bodies(api: Api) -> dict[str, dict[str, Any]]:
    """A body for the creation of each kind."""
    return {
        "connections": S3.base_connection(),
        "sourceConnections": SOURCE_CONNECTION,
        "targetConnections": S3.target_connection(api.created("connections", S3.base_connection())),
        "flows": api.flow_body(),
    }


def make(api: Api, kind: str) -> str:
    """Makes an entity of a kind; answers its path."""
    return a_run(api) if kind == "runs" else f"/{kind}/{api.created(kind, bodies(api)[kind])}"


def a_run(api: Api) -> str:
    path = "/runs/" + api.created("runs", {"flowId": api.flow(S3, api.later)})
    until = time.monotonic() + 30
    while api.foreign and "completedAtUTC" not in str(api.item(path)) and time.monotonic() < until:
        time.sleep(0.1)  # so that it does not change any more
    return path


EDITABLE = ("connections", "sourceConnections", "targetConnections", "flows")
every_kind = pytest.mark.parametrize("kind", [*EDITABLE, pytest.param("runs", marks=pytest.mark.exports)])
every_editable_kind = pytest.mark.parametrize("kind", EDITABLE)


@every_kind
def test_server_fills_what_every_entity_has(api: Api, kind: str) -> None:
    """Reference, Entities: "Server-filled on every stored entity"; the etag is a header of the look-up as well.

    The published samples of runs have no `version` (tutorial; API reference, `Batch_Flow_Run_Success`).
    """
    response = api.get(make(api, kind))
    (entity,) = response.json()["items"]
    assert response.headers["etag"] == entity["etag"]
    assert set(entity) >= SERVER_FILLED - {"version"}
    assert UUID.fullmatch(entity["id"]) and ETAG.fullmatch(entity["etag"])
    assert entity.get("version") == (None if kind == "runs" else entity["etag"])
    assert api.happened_now(entity["createdAt"]) and api.happened_now(entity["updatedAt"])
    assert (entity["imsOrgId"], entity["sandboxName"]) == (api.org, api.sandbox)
    for name in ("createdBy", "updatedBy", "createdClient", "updatedClient", "sandboxId"):
        assert isinstance(entity[name], str) and entity[name]


@every_editable_kind
def test_creation_answers_id_and_etag(api: Api, kind: str) -> None:
    """Reference, Endpoints: 201 `{"id": uuid, "etag": "\\"…\\""}`; `state` is enabled, or disabled where that was sent.

    Row 1410-400 forbids a state in the create request for flows only.
    """
    body = bodies(api)[kind]
    response = api.post(f"/{kind}", body)
    assert response.status_code == 201
    created = response.json()
    entity = api.item(f"/{kind}/{created['id']}")
    assert created == {"id": entity["id"], "etag": entity["etag"]}
    assert entity["state"] == "enabled"
    assert entity in api.mine(f"/{kind}")
    if kind != "flows":
        entity_id = api.created(kind, {**body, "state": "disabled"})
        assert api.item(f"/{kind}/{entity_id}")["state"] == "disabled"


@pytest.mark.parametrize(
    "name", sorted(SERVER_FILLED | {"inheritedAttributes", "runs", "lastOperation", "lastRunDetails"})
)
def test_values_sent_for_the_servers_fields_are_not_used(api: Api, name: str) -> None:
    """Guessed: whether the service refuses or ignores them is published nowhere."""
    flow_id = api.created("flows", {**api.flow_body(), name: "made-up"})
    assert api.item(f"/flows/{flow_id}").get(name) != "made-up"


@every_editable_kind
def test_a_change_has_a_new_etag_and_version(api: Api, kind: str) -> None:
    """Reference, Entities: new after every change."""
    path = make(api, kind)
    seen = {api.item(path)["etag"]}
    for number in range(3):
        answer = api.patch(path, api.item(path)["etag"], [replace("/name", f"name {number}")])
        entity = api.item(path)
        assert answer.json() == {"id": entity["id"], "etag": entity["etag"]}
        assert entity["version"] == entity["etag"]
        seen.add(entity["etag"])
    assert len(seen) == 4


@every_editable_kind
@pytest.mark.parametrize("op", ["replace", "add"])
def test_a_patch_that_changes_nothing_keeps_the_etag(api: Api, kind: str, op: str) -> None:
    """Guessed: etag and version change with every change and only then."""
    path = make(api, kind)
    before = api.item(path)
    api.pass_a_moment()
    assert api.patched(path, {"op": op, "path": "/name", "value": before["name"]}) == before


def test_a_patch_that_comes_to_nothing_keeps_the_etag(api: Api) -> None:
    """Guessed: a schedule with one part keeps the others; when that part is what it was, nothing has changed."""
    path = make(api, "flows")
    before = api.item(path)
    assert api.patched(path, {"op": "add", "path": "/x", "value": 1}, {"op": "remove", "path": "/x"}) == before
    start = str(api.later["startTime"])
    assert api.patched(path, replace("/scheduleParams", {"startTime": start})) == before


@pytest.mark.emulator_only
def test_a_run_does_not_change_the_etag_of_its_flow(api: Api) -> None:
    """Guessed: nobody changed the flow; a client that read it before can still patch it."""
    path = make(api, "flows")
    before = api.item(path)
    (run,) = api.advance(3600)
    after = api.item(path)
    assert after["etag"] == before["etag"]
    assert after["lastRunDetails"]["id"] == run["id"]


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


@pytest.mark.parametrize("datasets", [
    *([], None, "x", {}, [5], [{}], [{"dataSetId": 5}], [{"dataSetId": ""}], [{"dataSetId": "unknown"}]),
    [DATASET, DATASET],
])  # fmt: skip
def test_datasets_that_cannot_be_exported(api: Api, datasets: Any) -> None:
    found = violations(api.post("/sourceConnections", {**SOURCE_CONNECTION, "params": {"datasets": datasets}}))
    assert all(place.startswith("params.datasets") for place in found)


# --- target connections -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("destination", DESTINATIONS, ids=lambda item: item.folder)
def test_target_connection_inherits_its_base_connection(api: Api, destination: Destination) -> None:
    """Reference, Entities: `inheritedAttributes.baseConnection {id, connectionSpec}`."""
    target = api.item(f"/targetConnections/{api.target(destination)}")
    base = {"id": target["baseConnectionId"], "connectionSpec": {"id": destination.spec, "version": "1.0"}}
    assert target["inheritedAttributes"] == {"baseConnection": base}


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
    found = violations(api.post("/targetConnections", S3.target_connection(base, mode=mode)))
    assert "Server-to-server" in found["params.mode"]["message"]


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


@pytest.mark.parametrize("action", ["disable", "enable"])
def test_last_operation_is_the_last_action(api: Api, action: str) -> None:
    path = make(api, "flows")
    if action == "enable":
        api.post(f"{path}/action?op=disable")
    api.pass_a_moment()
    before = api.item(path)["lastOperation"]
    api.post(f"{path}/action?op={action}")
    last = api.item(path)["lastOperation"]
    assert last["operation"] == action
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
    body = api.flow_body()
    (real,) = body[name]
    sent = [real if item == "{id}" else item for item in ids] if isinstance(ids, list) else ids
    assert all(place.startswith(name) for place in violations(api.post("/flows", {**body, name: sent})))
    assert api.mine("/flows") == []


def test_flow_with_several_sources_and_targets(api: Api) -> None:
    one, other = api.flow_body(), api.flow_body()
    ids = {name: one[name] + other[name] for name in ("sourceConnectionIds", "targetConnectionIds")}
    inherited = api.item(f"/flows/{api.created('flows', one | ids)}")["inheritedAttributes"]
    for name in ("sourceConnection", "targetConnection"):
        assert [each["id"] for each in inherited[f"{name}s"]] == ids[f"{name}Ids"]


@pytest.mark.parametrize("name", ["name", "flowSpec", "sourceConnectionIds", "targetConnectionIds", "scheduleParams"])
def test_what_a_flow_must_have(api: Api, name: str) -> None:
    body = api.flow_body()
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
    read = {"inputRecordCount": rows, "skippedRecordCount": 0}
    written = {"createdRecordCount": rows, "outputRecordCount": rows}
    entity = {"id": f"dataset:{DATASET['dataSetId']}"}
    assert metrics["recordSummary"] == {
        **read,
        **written,
        "sourceSummaries": [{"id": source_id, **read, "entitySummaries": [{**entity, **read}]}],
        "targetSummaries": [{"id": target_id, **written, "entitySummaries": [{**entity, **written}]}],
    }
    duration = metrics["durationSummary"]
    assert NOW_MS + 3_600_000 == duration["startedAtUTC"] <= duration["completedAtUTC"]
    first, second = run["activities"]
    assert first["name"] == "Activation Batch XdmProcessor Activity"
    assert second["name"] == "Activation Batch Publisher Activity"
    assert metrics["statusSummary"] == {"status": "success", "activityRefs": [first["id"]]}
    assert flow["lastRunDetails"] == {"id": run["id"], "state": "success", **duration}


# --- organizations and sandboxes ----------------------------------------------------------------------------------


@pytest.mark.parametrize("scope", [{"org": "OTHER@AdobeOrg"}, {"sandbox": "dev"}, {"sandbox": "PROD"}], ids=str)
@every_kind
def test_entities_are_invisible_to_every_other_scope(api: Api, kind: str, scope: dict[str, str]) -> None:
    """Reference, Entities: of one org and sandbox."""
    other = api.other(**scope)
    path = make(api, kind)
    answers = [other.get(path)]
    if kind != "runs":
        answers += [other.delete(path), other.patch(path, api.item(path)["etag"], [replace("/name", "x")])]
    for answer in answers:
        assert_error(answer, "resource-not-found")
    assert other.mine(f"/{kind}") == []
    conditions = "".join(f"&property={condition}" for condition in api.own(kind))
    assert other.get(f"/{kind}?count=true{conditions}").json() == {"count": 0}
    assert api.item(path)


def test_references_do_not_reach_into_another_scope(api: Api) -> None:
    other, flow, sent = api.other(sandbox="dev"), api.flow(S3, api.later), bodies(api)
    assert "baseConnectionId" in violations(other.post("/targetConnections", sent["targetConnections"]))
    places = {"sourceConnectionIds[0]", "targetConnectionIds[0]"}
    assert set(violations(other.post("/flows", sent["flows"]))) == places
    assert_error(other.post("/runs", {"flowId": flow}), "run-flow-not-found", id=flow)


def test_a_token_does_not_reach_into_another_scope(api: Api) -> None:
    """It carries a query and a position, and no entities."""
    other = api.other(sandbox="dev")
    mine = [make(api, "connections").split("/")[2] for _ in range(3)]
    href = api.get("/connections?limit=1").json()["_links"]["next"]["href"]
    assert not {item["id"] for item in other.items(href)} & set(mine)
    assert api.foreign or other.items(href) == []
