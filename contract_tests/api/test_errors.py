"""Every row of the error table is answered where its last column says, in its documented body.

Source: "Flow Service error messages" and the Platform troubleshooting guide, as kept in `fixtures/errors.json`.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import httpx
import pytest

from contract_tests.support import ERRORS, Api, assert_error, replace
from contract_tests.test_auth import GUARDED
from contract_tests.tutorial import BASE, DATA_LAKE, DESTINATIONS, S3

MISSING = "00000000-0000-4000-8000-000000000000"
NAME = [replace("/name", "new")]
ADHOC = "/data/core/activation/disflowprovider/adhocrun"

INJECTED = (
    *("permission-missing", "forbidden", "internal-error", "service-unavailable", "gateway-timeout"),
    "gateway-too-many-requests",
)
"""Rows that the real service answers in states which no request brings about; faults are set for them."""
ELSEWHERE = {
    **dict.fromkeys(("adhoc-not-ready", "adhoc-out-of-range", "adhoc-running"), "api/test_published_runs.py"),
    "store-unavailable": "test_disk_full.py",
    "exports-unremoved": "test_exported_files.py",
    "server-ending": "test_interruptions.py",
    "content-encoding-unsupported": "test_http.py",
    "snapshot-too-large": "test_http.py",
    **dict.fromkeys(
        (
            *("adhoc-invalid", "body-malformed", "body-too-large", "content-type-missing", "if-match-missing"),
            *("method-not-allowed", "patch-invalid", "version-mismatch"),
        ),
        "api/test_bad_input.py",
    ),
    **dict.fromkeys(
        ("base-connection-in-use", "connection-spec-immutable", "in-active-flow", "provider-rejected"),
        "api/test_patch_delete.py",
    ),
}
"""Rows that have tests of their own, or need the machine in another state, and where those are."""

Answer = tuple[httpx.Response, dict[str, object]]
"""A response, and what its message must name."""
IS_FLOW = "inheritedAttributes.properties.isDestinationFlow"
GETS: dict[str, tuple[str, dict[str, object]]] = {
    "limit-with-count": ("/flows?limit=10&count=true", {}),
    "sort-order-invalid": ("/flows?orderby=name desc", {}),
    "orderby-field-invalid": ("/flows?orderby=-colour", {"field": "colour"}),
    "resource-not-found": (f"/targetConnections/{MISSING}", {"collection": "targetConnections", "id": MISSING}),
    "filter-operator-not-implemented": ("/flows?property=name~^S3", {"operator": "~"}),
    "filter-operator-single-value": ("/flows?property=createdAt<1,2", {"operator": "<"}),
    "filter-operator-unsupported-for-field": (f"/flows?property={IS_FLOW}>true", {"operator": ">", "field": IS_FLOW}),
    "filter-field-invalid": ("/flows?property=colour==blue", {"field": "colour"}),
    "filter-operator-invalid": ("/flows?property=name=>x", {"operator": "=>"}),
    "query-param-unknown": ("/flows?colour=blue", {"param": "colour"}),
    "value-invalid": ("/flows?limit=101", {"value": "101", "field": "limit"}),
    "query-value-invalid": ("/flows?property=name==", {}),
    "path-not-found": ("/flow", {"method": "GET", "path": f"{BASE}/flow"}),
}
"""Name of an error -> what to get for it, and what its message must name."""
BASE_CONNECTION = S3.base_connection()
POSTS: dict[str, tuple[str, dict[str, Any] | None, dict[str, object]]] = {
    "body-empty": ("/connections", None, {}),
    "spec-id-invalid": ("/connections", {**BASE_CONNECTION, "connectionSpec": {"id": MISSING, "version": "1.0"}}, {}),
    "auth-spec-not-found": (
        *("/connections", {**BASE_CONNECTION, "auth": {"specName": "Key", "params": {}}}),
        {"specName": "Key", "id": S3.spec},
    ),
    "run-flow-not-found": ("/runs", {"flowId": MISSING}, {"id": MISSING}),
    "flow-id-empty": ("/runs", {"flowId": ""}, {}),
    "state-invalid": ("/connections", {**BASE_CONNECTION, "state": "paused"}, {"state": "paused"}),
    "spec-version-missing": (
        "/connections",
        {**BASE_CONNECTION, "connectionSpec": {"id": S3.spec}},
        {"field": "connectionSpec"},
    ),
}
HEADERS: dict[str, tuple[str, str | None]] = {
    "org-header-empty": ("x-gw-ims-org-id", ""),
    "token-empty": ("authorization", "Bearer"),
    "token-invalid": ("authorization", "Basic YWxpY2U6c2VjcmV0"),
    "gateway-token-missing": ("authorization", None),
    "gateway-api-key-missing": ("x-api-key", None),
    "gateway-org-missing": ("x-gw-ims-org-id", None),
}
"""Name of an error -> a header that another value brings it about for, or (None) its absence."""


def acted(api: Api, query: str) -> httpx.Response:
    return api.post(f"/flows/{api.flow(S3, api.later)}/action?{query}")


GRANT = {"grant_type": "client_credentials"}
TRIGGERS: dict[str, Callable[[Api], Answer]] = {
    "state-in-create": lambda api: (api.post("/flows", api.flow_body(state="enabled")), {}),
    "action-not-applicable": lambda api: (acted(api, "op=enable"), {"action": "enable", "state": "enabled"}),
    "operation-unsupported": lambda api: (acted(api, "op=explode"), {"op": "explode"}),
    "sub-action-unsupported": lambda api: (acted(api, "op=disable&subOp=gently"), {"subOp": "gently"}),
}
OWN_TRIGGERS: dict[str, Callable[[Api], Answer]] = {
    "token-request-invalid": lambda api: (
        api.http.post("/ims/token/v3", data=GRANT),
        {"reason": "client_id is missing"},
    ),
    "token-grant-unsupported": lambda api: (
        api.http.post("/ims/token/v3", data={"grant_type": "password"}),
        {"grant": "password"},
    ),
    "unsupported": lambda api: (api.get(f"/connections/{MISSING}/explore"), {}),
    "control-invalid": lambda api: (api.http.post("/__emulator/clock/advance", json={}), {}),
    "control-not-found": lambda api: (api.http.get("/__emulator/exports/nothing.json"), {}),
    "control-conflict": lambda api: (api.http.delete("/__emulator/datasets/5ef3e3259ad2a1191ab7dd7d"), {}),
    "host-not-allowed": lambda api: (
        api.http.post("/__emulator/reset", headers={"Origin": "https://evil.example"}),
        {},
    ),
}
"""What only the emulator has. Both tables: name of an error -> what causes it."""


def injected(api: Api, name: str) -> Answer:
    api.control("PUT", "/faults", {"rules": [{"kind": "error", "error": name}]})
    return api.get("/flows"), {}


def got(api: Api, name: str) -> Answer:
    path, fields = GETS[name]
    return api.get(path), fields


def posted(api: Api, name: str) -> Answer:
    path, body, fields = POSTS[name]
    return api.post(path, body), fields


def with_header(api: Api, name: str) -> Answer:
    request = api.http.build_request("GET", f"{BASE}/flows")
    header, value = HEADERS[name]
    del request.headers[header]
    request.headers.update({} if value is None else {header: value})
    return api.http.send(request), {}


for trigger, names in ((got, GETS), (posted, POSTS), (with_header, HEADERS)):
    TRIGGERS |= {name: partial(trigger, name=name) for name in names}
OWN_TRIGGERS |= {name: partial(injected, name=name) for name in INJECTED}
MARKS = dict.fromkeys(OWN_TRIGGERS, pytest.mark.emulator_only)
TRIGGERS |= OWN_TRIGGERS


@pytest.mark.emulator_only
def test_every_row_of_the_table_is_exercised() -> None:
    assert set(TRIGGERS) | set(GUARDED) | set(ELSEWHERE) == set(ERRORS)
    tests = Path(__file__).parent.parent
    assert [name for name, file in ELSEWHERE.items() if f'"{name}"' not in (tests / file).read_text("utf-8")] == []


@pytest.mark.parametrize("name", [pytest.param(name, marks=MARKS.get(name, ())) for name in TRIGGERS])
def test_error(api: Api, name: str) -> None:
    """Status, title, code and message are the row's; the request id is the one that the client sent."""
    api.http.headers["x-request-id"] = f"request-of-{name}"
    response, fields = TRIGGERS[name](api)
    assert_error(response, name, **fields)
    assert response.headers["x-request-id"] == f"request-of-{name}"


def test_good_answers_have_a_request_id_too(api: Api) -> None:
    """Reference: every response, good or bad; each its own."""
    created = api.post("/connections", S3.base_connection())
    path, configs = f"/connections/{created.json()['id']}", f"/connectionSpecs/{DATA_LAKE}/configs"
    query = "outputType=activationDatasets&outputField=datasets"
    looks = (path, "/connections", "/connectionSpecs", f"{configs}?{query}")
    responses = [created, *map(api.get, looks), api.patch(path, created.json()["etag"], NAME), api.delete(path)]
    responses += [] if api.foreign else [api.http.get("/__emulator/health")]
    assert all(response.is_success for response in responses)
    assert len({response.headers["x-request-id"] for response in responses}) == len(responses)


@pytest.mark.parametrize("path", ["/nothing", "/flows"])
@pytest.mark.parametrize("sent", ["", "x" * 129, "tab\there"])
def test_a_request_id_that_cannot_be_used(api: Api, path: str, sent: str) -> None:
    """Guessed: the server makes one of its own."""
    assert api.get(path, headers={"x-request-id": sent}).headers["x-request-id"] not in ("", sent)


@pytest.mark.parametrize("collection", ["connections", "sourceConnections", "targetConnections", "flows"])
@pytest.mark.parametrize("method", ["GET", "PATCH", "DELETE"])
def test_not_found_names_id_and_type(api: Api, collection: str, method: str) -> None:
    """Row 1439-404: GET, PATCH, DELETE by id; the report carries id and type."""
    headers = {"If-Match": '"any"'} if method == "PATCH" else {}
    body = NAME if method == "PATCH" else None
    response = api.http.request(method, f"{BASE}/{collection}/{MISSING}", json=body, headers=headers)
    report = assert_error(response, "resource-not-found", collection=collection, id=MISSING)
    assert (report["id"], report["type"]) == (MISSING, collection)


@pytest.mark.parametrize("field", ["connectionSpec", "flowSpec"])
@pytest.mark.parametrize(
    "reference",
    [{"id": MISSING, "version": "1.0"}, {"version": "1.0"}, {"id": 5}, "x", {"id": S3.spec, "version": "2.0"}],
)
def test_spec_that_does_not_exist(api: Api, field: str, reference: object) -> None:
    """Row 1413-400: POST of any entity naming a connectionSpec or flowSpec; the report says which there are."""
    if field == "connectionSpec":
        response = api.post("/connections", {**S3.base_connection(), field: reference})
    else:
        response = api.post("/flows", {**S3.flow("source", "target"), field: reference})
    report = assert_error(response, "spec-id-invalid")
    assert report["field"].startswith(f"{field}." if isinstance(reference, dict) else field)
    assert report["allowed"]


@pytest.mark.parametrize("state", ["enabled", "active", None])
def test_a_state_is_refused_as_such_when_a_flow_is_created(api: Api, state: object) -> None:
    """Row 1410-400: whichever it is, sending another one would not help."""
    assert_error(api.post("/flows", {**S3.flow("source", "target"), "state": state}), "state-in-create")


@pytest.mark.parametrize("collection", ["connections", "sourceConnections", "targetConnections", "flows"])
def test_spec_without_version(api: Api, collection: str) -> None:
    """Reference, "Where the sources disagree": 422 with the code 1413-422 and the message of the API reference."""
    field = "flowSpec" if collection == "flows" else "connectionSpec"
    spec_id = {"flows": S3.flow_spec, "sourceConnections": DATA_LAKE}.get(collection, S3.spec)
    response = api.post(f"/{collection}", {"name": "x", field: {"id": spec_id}})
    assert_error(response, "spec-version-missing", field=field)


@pytest.mark.parametrize("spec", [DATA_LAKE, *(destination.spec for destination in DESTINATIONS)])
def test_configs_takes_the_data_lake_and_the_destinations(api: Api, spec: str) -> None:
    """Reference, "Where the sources disagree": a real client asks with the Data Landing Zone's id."""
    response = api.get(f"/connectionSpecs/{spec}/configs?outputType=activationDatasets&outputField=datasets")
    assert response.status_code == 200


@pytest.mark.parametrize("missing", ["authorization", "x-api-key", "x-gw-ims-org-id"])
def test_the_gateway_answers_before_the_service(api: Api, missing: str) -> None:
    """Reference: the gateway answers header faults itself, whatever is asked; the status is the code's first digits."""
    request = api.http.build_request("POST", f"{BASE}/nowhere", content=b"{")
    del request.headers[missing]
    response = api.http.send(request)
    assert str(response.status_code) == response.json()["error_code"][:3]


@pytest.mark.parametrize(
    ("method", "path", "body"),
    [("PATCH", "", NAME), ("POST", "/action?op=enable", None), ("POST", "/action?op=nothing", None)],
)
def test_the_one_resource_that_is_meant_stands_in_the_report(api: Api, method: str, path: str, body: Any) -> None:
    """Reference, Address and headers: "`report.id` and `report.type` are there where one resource is meant"."""
    flow = api.flow(S3, api.later)
    answer = api.http.request(method, f"{BASE}/flows/{flow}{path}", json=body, headers={"If-Match": "none"})
    assert answer.status_code in (400, 412)
    report = answer.json()["report"]
    assert (report["id"], report["type"]) == (flow, "flows")
