"""Actions on flows, runs on request, ad hoc dataset runs, landing zone and token endpoint.

Source: reference, section "Endpoints"; rows 1422, 1430, 1434, 1435 and 1446 of the error table.
"""

from __future__ import annotations

from typing import Any
from urllib.parse import urlsplit

import pytest

from contract_tests.support import FROZEN_NOW, Api, assert_error
from contract_tests.tutorial import BASE, S3, SFTP
from contract_tests.tutorial import FIRST_DATASET as FIRST
from contract_tests.tutorial import SECOND_DATASET as SECOND

HOUR = 3600
ADHOC = "/data/core/activation/disflowprovider/adhocrun"
LANDING_ZONE = "/data/foundation/connectors/landingzone"
THIRD = "5ef3e3259ad2a1191ab7dd7d"[:-1] + "0"
MISSING = "00000000-0000-4000-8000-000000000000"


@pytest.fixture
def flow(api: Api) -> str:
    """The id of a flow of two datasets whose first export is an hour away."""
    return api.flow(S3, api.later, datasets=[FIRST, SECOND])


def act(api: Api, flow: str, query: str) -> dict[str, Any]:
    """What an accepted action answers."""
    response = api.post(f"/flows/{flow}/action?{query}")
    assert response.status_code == 200, response.text
    answer: dict[str, Any] = response.json()
    return answer


def adhoc(api: Api, *wanted: tuple[str, list[str]]) -> Any:
    """The answer to an ad hoc run of datasets of flows, asked for as the documentation has it."""
    destinations = [
        {"flowId": flow_id, "datasets": [{"id": dataset} for dataset in datasets]} for flow_id, datasets in wanted
    ]
    headers = {"Accept": "application/vnd.adobe.adhoc.dataset.activation+json; version=1"}
    return api.http.post(ADHOC, json={"activationInfo": {"destinations": destinations}}, headers=headers)


# --- actions ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("word", ["disable", "Disable", "DISABLE"])
def test_disable_and_enable_in_any_letter_case(api: Api, flow: str, word: str) -> None:
    """Reference, Endpoints: 200 `{"id","etag"}`."""
    before = api.item(f"/flows/{flow}")
    answer = act(api, flow, f"op={word}")
    after = api.item(f"/flows/{flow}")
    assert answer == {"id": flow, "etag": after["etag"]}
    assert after["state"] == "disabled"
    assert after["etag"] != before["etag"]
    act(api, flow, f"op={word.replace('dis', 'en').replace('Dis', 'En').replace('DIS', 'EN')}")
    assert api.item(f"/flows/{flow}")["state"] == "enabled"


@pytest.mark.parametrize(
    ("content", "content_type", "fine"),
    [
        *((b"", kind, True) for kind in ("", "application/json")),
        (b"{}", "application/json", True),
        *((b'{"a":1}', kind, False) for kind in ("", "text/plain", "application/xml")),
    ],
)
def test_action_needs_no_body(api: Api, flow: str, content: bytes, content_type: str, fine: bool) -> None:
    """Reference, Endpoints: no body, and then no Content-Type, is sent by real clients; a body without a usable one is refused."""
    headers = {"Content-Type": content_type} if content_type else {}
    answer = api.http.post(f"{BASE}/flows/{flow}/action?op=disable", content=content, headers=headers)
    if not fine:
        assert_error(answer, "content-type-missing")
    assert api.item(f"/flows/{flow}")["state"] == ("disabled" if fine else "enabled")


@pytest.mark.emulator_only
def test_state_by_patch_is_an_action_too(api: Api, flow: str) -> None:
    """Guessed: changing the state takes effect on the next export; what a disabled flow missed is not made up for."""
    api.advance(HOUR)
    api.patched(f"/flows/{flow}", {"op": "replace", "path": "/state", "value": "disabled"})
    assert api.advance(7 * HOUR) == []
    act(api, flow, "op=enable")
    assert [run["scheduledAt"] for run in api.advance(2 * HOUR)] == [FROZEN_NOW + 10 * HOUR]


# --- runs on request ----------------------------------------------------------------------------------------------


@pytest.mark.exports
def test_run_now(api: Api, flow: str) -> None:
    """Reference, Endpoints: POST /runs: 201 `{"id","etag"}`. No source says whether it moves the schedule: here it does not."""
    response = api.post("/runs", {"flowId": flow})
    assert response.status_code == 201
    assert set(response.json()) == {"id", "etag"}
    if api.foreign:
        return
    (ran,) = api.advance(0)
    assert ran == {"id": response.json()["id"], "flowId": flow, "scheduledAt": FROZEN_NOW, "status": "success"}
    assert {file["dataset"] for file in api.control("GET", "/exports")["items"]} == {FIRST, SECOND}
    assert [run["scheduledAt"] - FROZEN_NOW for run in api.advance(4 * HOUR)] == [HOUR, 4 * HOUR]


def test_run_of_a_disabled_flow(api: Api, flow: str) -> None:
    """Reference, Schedule: a disabled flow does not run."""
    act(api, flow, "op=disable")
    assert_error(api.post("/runs", {"flowId": flow}), "action-not-applicable", action="run", state="disabled")
    assert "disabled" in assert_error(adhoc(api, (flow, [FIRST])), "adhoc-invalid")["message"]
    assert api.items(f"/runs?property=flowId=={flow}") == []


# --- ad hoc runs --------------------------------------------------------------------------------------------------


@pytest.mark.exports
def test_adhoc_run(api: Api, flow: str) -> None:
    """Reference, Endpoints: 200 `{"destinations": [{"flowId", "datasets": [{"id", "statusURL"}]}]}`; exports now."""
    response = adhoc(api, (flow, [SECOND]))
    assert response.status_code == 200
    (destination,) = response.json()["destinations"]
    (dataset,) = destination["datasets"]
    assert destination == {"flowId": flow, "datasets": [dataset]}
    assert set(dataset) == {"id", "statusURL"}
    if api.foreign:
        return
    api.advance(0)
    assert {file["dataset"] for file in api.control("GET", "/exports")["items"]} == {SECOND}


@pytest.mark.emulator_only
def test_status_url_leads_to_the_run(api: Api, flow: str) -> None:
    """Reference, Endpoints: it ends in the run's id and points at the host that was asked."""
    api.http.headers["Host"] = "localhost:1234"
    status_url = adhoc(api, (flow, [FIRST])).json()["destinations"][0]["datasets"][0]["statusURL"]
    assert status_url.startswith(f"http://localhost:1234{BASE}/runs/")
    (ran,) = api.advance(0)
    assert status_url.rsplit("/", 1)[1] == ran["id"]
    (run,) = api.http.get(urlsplit(status_url).path).json()["items"]
    assert run["metrics"]["statusSummary"]["status"] == "success"


@pytest.mark.exports
def test_adhoc_run_of_several_flows_and_datasets(api: Api, flow: str) -> None:
    """Guessed: each dataset has a run of its own."""
    other = api.flow(SFTP, api.later, datasets=[FIRST])
    answer = adhoc(api, (flow, [FIRST, SECOND]), (other, [FIRST])).json()["destinations"]
    asked = [(item["flowId"], dataset["id"]) for item in answer for dataset in item["datasets"]]
    assert asked == [(flow, FIRST), (flow, SECOND), (other, FIRST)]
    run_ids = [dataset["statusURL"].rsplit("/", 1)[1] for item in answer for dataset in item["datasets"]]
    assert len(set(run_ids)) == 3
    assert api.foreign or [run["id"] for run in api.advance(0)] == run_ids


@pytest.mark.parametrize("dataset", [THIRD, "", "x" * 1000])
def test_adhoc_run_of_a_dataset_that_the_flow_does_not_carry(api: Api, flow: str, dataset: str) -> None:
    """Reference, Endpoints: 400 `{"message": …}`; nothing runs, the sound ones neither."""
    assert_error(adhoc(api, (flow, [FIRST]), (flow, [dataset])), "adhoc-out-of-range", datasets=dataset[:200])
    assert api.items(f"/runs?property=flowId=={flow}") == []


def test_adhoc_run_of_a_flow_that_is_not_there(api: Api) -> None:
    """Guessed: the wording of this refusal is published nowhere."""
    assert MISSING in assert_error(adhoc(api, (MISSING, [FIRST])), "adhoc-invalid")["message"]


# --- landing zone -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["dlz_destination", "user_drop_zone"])
def test_landing_zone(api: Api, kind: str) -> None:
    """Reference, Endpoints: `containerTTL` is "7", days, a string; the credentials are the sandbox's and last 90 days."""
    zone = api.http.get(f"{LANDING_ZONE}?type={kind}").json()
    assert zone == {"containerName": zone["containerName"], "containerTTL": "7"}
    assert zone["containerName"]
    mine, other = [
        each.http.get(f"{LANDING_ZONE}/credentials?type={kind}").json() for each in (api, api.other(sandbox="dev"))
    ]
    assert set(mine) == {"containerName", "SASToken", "storageAccountName", "SASUri", "expiryDate"}
    account, name = mine["storageAccountName"], zone["containerName"]
    assert mine["containerName"] == name
    assert mine["SASUri"] == f"https://{account}.blob.core.windows.net/{name}?{mine['SASToken']}"
    assert other["storageAccountName"] != account
    assert api.foreign or mine["expiryDate"] == "2026-04-01"


# --- token --------------------------------------------------------------------------------------------------------


@pytest.mark.emulator_only
@pytest.mark.parametrize("version", ["v2", "v3"])
def test_token(api: Api, version: str) -> None:
    """Reference, Endpoints: 200 `{"access_token","token_type":"bearer","expires_in":86399}`; needs no headers of the service."""
    form = {
        "grant_type": "client_credentials",
        "client_id": "key",
        "client_secret": "secret",
        "scope": "openid,AdobeID",
    }
    request = api.http.build_request("POST", f"/ims/token/{version}", data=form)
    for name in ("authorization", "x-api-key", "x-gw-ims-org-id", "x-sandbox-name"):
        del request.headers[name]
    body = api.http.send(request).json()
    assert body == {"access_token": body["access_token"], "token_type": "bearer", "expires_in": 86399}
