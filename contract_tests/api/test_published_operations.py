"""Operations that the tutorial does not use and the published references have: built, or answered 501.

Sources: "Flow Service API" (3.0.1), of which each test names the operation; the guides "Retry failed dataflow runs" and "Data
Landing Zone destination".
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import pytest

from contract_tests.support import Api, assert_error, violations
from contract_tests.tutorial import BASE, DATA_LAKE, DATASET, S3, SECOND_DATASET, SFTP

UNSUPPORTED = json.loads((Path(__file__).parents[2] / "fixtures" / "unsupported.json").read_text("utf-8"))["operations"]
ZONE = "/data/foundation/connectors/landingzone/credentials"
MISSING = "00000000-0000-4000-8000-000000000000"
pytestmark = pytest.mark.emulator_only


@pytest.mark.parametrize("row", UNSUPPORTED, ids=lambda row: row["name"])
def test_what_is_published_and_not_emulated_is_501_and_a_warning(api: Api, row: dict[str, str]) -> None:
    """Never 404 or 405, and no violation: a correct client must not turn a `--fail-on violation` red."""
    response = api.http.request(row["method"], row["path"].format(id=MISSING), json={})
    assert_error(response, "unsupported", feature=row["feature"])
    report = api.report()
    assert ([rule["id"] for rule in report["warnings"]], report["violations"]) == (["unsupported"], [])
    (entry,) = api.requests()
    assert (entry["operation"], entry["status"], entry["verdict"]) == (row["name"], 501, "warning")


@pytest.mark.parametrize("query", ["op=FINALIZE", "op=finalize_update", "op=PUBLISH", "op=DISABLE&subOp=APPLY"])
def test_flow_actions_of_self_serve_flows(api: Api, query: str) -> None:
    """POST /flows/{FLOW_ID}/action: op and subOp."""
    assert_error(api.post(f"/flows/{api.flow(S3, api.later)}/action?{query}"), "unsupported")


def test_the_test_of_a_connection(api: Api) -> None:
    """GET /connections/{BASE_CONNECTION_ID}/test: `TestConnectionResponse`."""
    assert api.get(f"/connections/{api.created('connections', S3.base_connection())}/test").json() == {"result": True}


# --- searches


@pytest.mark.parametrize(
    "query", ['property=name==a&property=state=="enabled"', "name==a&state==enabled", "name%3D%3Da"]
)
def test_a_search_is_a_list_in_a_body(api: Api, query: str) -> None:
    """POST /connections/search: `ConnectionFilterRequest`. Which form queryString has is not published: both are taken."""
    for name in "ab":
        api.created("connections", {**SFTP.base_connection(), "name": name})
    found = api.post("/connections/search", {"queryString": query}).json()
    assert [item["name"] for item in found["items"]] == ["a"]
    assert found["_links"] == {}
    assert api.met() == {}


def test_order_pages_fields_and_counts_of_a_search(api: Api) -> None:
    """POST /flows/search: `FlowFilterRequest`, and continuationToken in the query."""
    flows = [api.flow(S3, api.later) for _ in range(3)]
    body: dict[str, Any] = {"orderby": "createdAt", "limit": 2.0, "projectionFields": "id,state"}
    first = api.post("/flows/search", body).json()
    assert first["items"] == [{"id": flow, "state": "enabled"} for flow in flows[:2]]
    token = first["_links"]["next"]["href"].partition("=")[2]
    assert [item["id"] for item in api.post(f"/flows/search?continuationToken={token}", body).json()["items"]] == flows[
        2:
    ]
    assert api.post("/flows/search", {"count": True}).json() == {"count": 3}
    assert len(api.post("/flows/search", {"limit": 1000}).json()["items"]) == 3


def test_searches_of_specs(api: Api) -> None:
    """POST /flowSpecs/search: `FlowSpecFilterRequest`; what its groupByProperty answers is not published."""
    found = api.post("/flowSpecs/search", {"queryString": f"property=id=={S3.flow_spec}", "projectionFields": "id"})
    assert found.json()["items"] == [{"id": S3.flow_spec}]
    assert_error(api.post("/flowSpecs/search", {"groupByProperty": "name"}), "unsupported")


def test_searches_that_are_malformed(api: Api) -> None:
    assert_error(api.post("/flows/search"), "body-empty")
    assert set(violations(api.post("/flows/search", {"limit": 1001, "count": "yes"}))) == {"limit", "count"}
    assert_error(api.post("/flows/search", {"queryString": "colour==blue"}), "filter-field-invalid", field="colour")
    assert_error(api.post("/flows/search", {"limit": 1, "count": True}), "limit-with-count")
    api.post("/flows/search", {"query": "name==a"})
    assert "unknown-field" in api.met()


# --- runs once more


@pytest.mark.parametrize("op", ["RE_TRIGGER", "re-trigger"])
def test_a_failed_run_is_run_again(api: Api, op: str) -> None:
    """POST /runs/{RUN_ID}/action?op=RE_TRIGGER, in the guide op=re-trigger: a new run of the same datasets, with its id and etag."""
    api.control("PUT", "/faults", {"rules": [{"kind": "run", "times": 1}]})
    flow = api.flow(S3, datasets=[DATASET["dataSetId"], SECOND_DATASET])
    (failed,) = api.advance(0)
    assert failed["status"] == "failed"
    answer = api.post(f"/runs/{failed['id']}/action?op={op}")
    assert answer.status_code == 200
    (again,) = api.advance(0)
    assert (again["id"], again["flowId"], again["status"]) == (answer.json()["id"], flow, "success")
    exported = {file["dataset"] for file in api.control("GET", "/exports", params={"run": again["id"]})["items"]}
    assert exported == {DATASET["dataSetId"], SECOND_DATASET}
    refused = api.post(f"/runs/{again['id']}/action?op={op}")
    assert_error(refused, "action-not-applicable", action="re-trigger", state="success")


def test_only_its_own_datasets_are_run_again(api: Api) -> None:
    flow = api.flow(S3, api.later, datasets=[DATASET["dataSetId"], SECOND_DATASET])
    api.control("PUT", "/faults", {"rules": [{"kind": "run", "times": 1}]})
    activation = {"destinations": [{"flowId": flow, "datasets": [{"id": SECOND_DATASET}]}]}
    api.http.post("/data/core/activation/disflowprovider/adhocrun", json={"activationInfo": activation})
    (failed,) = api.advance(0)
    api.post(f"/runs/{failed['id']}/action?op=RE_TRIGGER")
    api.advance(0)
    assert {file["dataset"] for file in api.control("GET", "/exports")["items"]} == {SECOND_DATASET}


def test_a_run_of_a_disabled_flow_is_not_run_again(api: Api) -> None:
    api.control("PUT", "/faults", {"rules": [{"kind": "run", "times": 1}]})
    flow = api.flow(S3)
    (failed,) = api.advance(0)
    api.post(f"/flows/{flow}/action?op=disable")
    refused = api.post(f"/runs/{failed['id']}/action?op=RE_TRIGGER")
    assert_error(refused, "action-not-applicable", action="run", state="disabled")
    assert_error(api.post(f"/runs/{failed['id']}/action?op=stop"), "operation-unsupported", op="stop")
    assert_error(api.post(f"/runs/{MISSING}/action?op=RE_TRIGGER"), "resource-not-found")


# --- the landing zone


def test_new_credentials_of_the_landing_zone(api: Api) -> None:
    """Guide "Data Landing Zone destination": POST …&action=refresh answers as GET does, with others, which last 90 days."""
    before = api.http.get(f"{ZONE}?type=dlz_destination").json()
    renewed = api.http.post(f"{ZONE}?type=dlz_destination&action=refresh").json()
    changed = {name for name in before if before[name] != renewed[name]}
    assert changed == {"SASToken", "SASUri"}
    assert api.http.get(f"{ZONE}?type=dlz_destination").json() == renewed
    assert renewed["expiryDate"] == "2026-04-01"
    assert_error(api.http.post(f"{ZONE}?type=dlz_destination"), "value-invalid", field="action")
    assert renewed["SASToken"] not in api.http.get("/__emulator/requests").text
    api.control("POST", "/reset")
    assert api.http.get(f"{ZONE}?type=dlz_destination").json() == before


# --- preflights


@pytest.mark.parametrize(
    ("path", "allowed"),
    [
        (f"{BASE}/flows", "GET, POST, HEAD, OPTIONS"),
        (f"{BASE}/flows/{MISSING}", "GET, PATCH, DELETE, HEAD, OPTIONS"),
        ("/__emulator/health", "GET, HEAD, OPTIONS"),
    ],
)
def test_a_preflight_is_told_the_methods_and_counts_nowhere(api: Api, path: str, allowed: str) -> None:
    """RFC 9110, section 9.3.7. A browser sends it without the client's headers."""
    before = api.report()["summary"]
    response = api.http.request("OPTIONS", api.url + path, headers={"Authorization": "", "x-api-key": ""})
    assert (response.status_code, response.content, response.headers["allow"]) == (200, b"", allowed)
    assert api.report()["summary"] == before
    assert api.requests() == []
    assert api.met() == {}


# --- filters that mean something else


@pytest.mark.parametrize(("condition", "told"), [
    *((each, True) for each in ("name==X,status==failed", "name==X&property=state==enabled", "name==a<b")),
    ("description==1,updatedAt<9", True),
    *((each, False) for each in ('name=="a==b"', "name==YQ==", "name==a,b", "name!=x")),
])  # fmt: skip
def test_a_filter_value_that_holds_a_further_operator(api: Api, condition: str, told: bool) -> None:
    """It finds all or nothing, and nobody would notice."""
    for path in ("/flows", f"/connectionSpecs/{DATA_LAKE}/configs?outputType=activationDatasets&outputField=datasets"):
        api.control("DELETE", "/contract")
        api.get(f"{path}{'&' if '?' in path else '?'}{urlencode({'property': condition})}")
        assert ("filter-value-operator" in api.met()) is told
