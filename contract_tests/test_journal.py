"""The journal: every request with its answer and verdict, in a bounded ring, and never a secret in it.

Source: issue "A test bench for other people's clients", and DESIGN, control API.
"""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path
from typing import Any

import httpx
import pytest

from contract_tests.support import Api, assert_error, serving
from contract_tests.tutorial import BASE, SFTP, SOURCE_CONNECTION
from flow_service_emulator.api.exchange import Exchange
from flow_service_emulator.catalog import load_catalog
from flow_service_emulator.clock import Clock
from flow_service_emulator.contract.contract import VERDICTS, Contract
from flow_service_emulator.contract.recorder import MAX_BODY, Recorder
from flow_service_emulator.control.reports import FILTERS
from flow_service_emulator.masking import Masker
from flow_service_emulator.testing.client import ControlClient
from flow_service_emulator.testing.requests import Requests

# --- what is in it ----------------------------------------------------------------------------------------------------


def test_a_request_with_its_answer(api: Api) -> None:
    """Everything that is known of a request, with time, duration and verdict."""
    now = api.control("GET", "/clock")["now"]
    response = api.post("/sourceConnections", SOURCE_CONNECTION, headers={"x-request-id": "a-client's-id"})
    (entry,) = api.requests()
    assert entry.pop("durationMs") > 0
    sent = {"x-gw-ims-org-id": "TEST@AdobeOrg", "content-type": "application/json"}
    assert entry["request"].pop("headers").items() >= sent.items()
    headers = {"content-type": "application/json"}
    assert entry == {
        "number": 1, "at": now, "requestId": "a-client's-id", "method": "POST", "path": f"{BASE}/sourceConnections",
        "query": "", "operation": "create:sourceConnections", "org": "TEST@AdobeOrg", "sandbox": "prod", "status": 201,
        "request": {"size": len(response.request.content), "body": SOURCE_CONNECTION},
        "answer": {"headers": headers, "size": len(response.content), "body": response.json()},
        "error": None, "hint": "", "fault": None, "verdict": "ok", "findings": [],
    }  # fmt: skip


def test_what_is_not_there_is_in_the_journal_too(api: Api) -> None:
    """404, 405 and 501; but no control call, be it good or bad."""
    api.get("/nope")
    api.http.put(f"{BASE}/flows", json={})
    api.get("/connections/x/explore")
    api.http.get("/__emulator/nope")
    api.http.get("/openapi.json")
    api.control("GET", "/clock")
    assert [(entry["status"], entry["operation"], entry["verdict"]) for entry in api.requests()] == [
        (404, None, "violation"),
        (405, None, "violation"),
        (501, "exploreConnection", "warning"),
    ]


def test_newest_last_and_numbered(api: Api) -> None:
    """The newest of many; emptied, and numbers go on."""
    for limit in (1, 2, 3):
        api.get(f"/flows?limit={limit}")
    assert [entry["query"] for entry in api.requests()] == ["limit=1", "limit=2", "limit=3"]
    answer = api.control("GET", "/requests", params={"limit": 2})
    assert [entry["number"] for entry in answer["items"]] == [2, 3]
    assert (answer["number"], answer["dropped"]) == (3, 0)
    assert_error(api.http.delete("/__emulator/requests?status=404"), "control-invalid")
    assert api.control("DELETE", "/requests") == {"status": "ok", "number": 3}
    api.get("/flows")
    answer = api.control("GET", "/requests")
    assert ([entry["number"] for entry in answer["items"]], answer["dropped"]) == ([4], 3)


@pytest.mark.parametrize(
    ("rule", "status", "answer"),
    [
        ({"kind": "error", "error": "service-unavailable"}, 503, None),
        ({"kind": "reset"}, 0, {"headers": {}, "size": 0}),
        ({"kind": "truncate", "bytes": 9}, 200, '{"items":'),
    ],
    ids=["error", "reset", "truncate"],
)
def test_an_injected_fault_is_told(api: Api, rule: dict[str, Any], status: int, answer: Any) -> None:
    """The rule's id, a verdict that does not blame the client, and what went out, of which a part is no JSON any more."""
    api.control("PUT", "/faults", {"rules": [{**rule, "operation": "list:flows"}]})
    with suppress(httpx.TransportError):
        api.get("/flows")
    (entry,) = api.requests()
    assert entry["fault"] and (entry["status"], entry["verdict"], entry["findings"]) == (status, "injected", [])
    assert answer in (None, entry["answer"], entry["answer"].get("text"))
    api.control("PUT", "/faults", {"rules": [rule]})
    with suppress(httpx.TransportError):
        api.post("/targetConnections", {"connectionSpec": 5})  # which nobody may have looked at
    assert [each["fault"] is not None for each in api.requests()] == [True, True]


def test_of_a_long_body_only_its_size_is_kept(api: Api) -> None:
    """Over 32 KB, sent or answered; what is sent stays whole up to there."""
    for size in (MAX_BODY - 100, MAX_BODY):
        api.post("/connections", {"name": "n" * size})
    short, long = api.requests()
    assert short["request"]["body"] == {"name": "n" * (MAX_BODY - 100)}
    assert set(long["request"]) == {"headers", "size", "unread"} and long["request"]["size"] > MAX_BODY
    api.get("/connections")
    answer = api.requests()[-1]["answer"]
    assert set(answer) == {"headers", "size", "unread"} and answer["size"] > MAX_BODY


# --- filters ----------------------------------------------------------------------------------------------------------


def test_filters(api: Api) -> None:
    """By method, path (its beginning or a glob, with or without the base path), status, operation, verdict, org and sandbox."""
    api.get("/flows")
    api.get("/flows/nope")
    api.post("/connections", {"name": 5})
    api.delete("/connections/nope", headers={"x-gw-ims-org-id": "OTHER@AdobeOrg", "x-sandbox-name": "dev"})

    expected = {
        "method=get": [1, 2], "path=/flows": [1, 2], f"path={BASE}/flows/": [2], "path=*/connections*": [3, 4],
        "path=/flows/????": [2], "status=404": [2, 4], "status=4xx": [2, 3, 4], "status=2XX": [1],
        "operation=create:connections": [3], "verdict=violation": [2, 3, 4], "org=OTHER@AdobeOrg&sandbox=dev": [4],
        "since=2": [3, 4], "since=2&status=4xx&limit=1": [4], "since=99": [], "method=PUT": [],
    }  # fmt: skip
    answers = {query: api.control("GET", f"/requests?{query}")["items"] for query in expected}
    assert {query: [entry["number"] for entry in items] for query, items in answers.items()} == expected


def test_since_an_instant(api: Api) -> None:
    """Of the emulator's time: epoch seconds, where the number is too large for an entry's, or ISO 8601."""
    api.get("/flows")
    api.advance(60)
    later = api.control("GET", "/clock")["now"]
    api.get("/runs")
    expected = {later: [2], "2026-01-01T00:01:00Z": [2], later - 60: [1, 2], later + 0.5: []}
    assert {since: [entry["number"] for entry in api.requests(since=since)] for since in expected} == expected


@pytest.mark.parametrize(
    ("query", "named"),
    [
        ("nope=1", ", ".join(FILTERS.schema["properties"])),
        ("status=6xx", "4xx"),
        ("method=G-T", "GET"),
        ("limit=0", "at least 1"),
        ("since=yesterday", "epoch seconds"),
        ("since=1&since=2", "twice"),
        ("verdict=bad", ", ".join(VERDICTS)),
    ],
)
def test_a_bad_filter_names_what_is_allowed(api: Api, query: str, named: str) -> None:
    response = api.http.get(f"/__emulator/requests?{query}")
    assert named in assert_error(response, "control-invalid")["detail"]


# --- the ring ---------------------------------------------------------------------------------------------------------


def test_findings_are_not_lost_with_the_ring(tmp_path: Path) -> None:
    """A violation, and three rings of good requests after it. The newest are kept, and their numbers go on."""
    with serving(tmp_path, "--journal-entries", "5") as process:
        api = Api(process.url)
        api.get("/nope")
        for limit in range(1, 16):
            api.get(f"/flows?limit={limit}")
        assert [entry["query"] for entry in api.requests()] == [f"limit={limit}" for limit in range(11, 16)]
        assert [entry["number"] for entry in api.requests(since=14)] == [15, 16]
        assert [entry["number"] for entry in api.requests(since=1)] == [12, 13, 14, 15, 16]
        answer, report = api.control("GET", "/requests"), api.control("GET", "/contract")
        assert (answer["number"], answer["dropped"]) == (16, 11)
        assert [(rule["id"], rule["count"]) for rule in report["violations"]] == [("path-not-found", 1)]
        assert report["summary"]["verdicts"] == {"ok": 15, "warning": 0, "violation": 1, "injected": 0, "failed": 0}
        assert report["coverage"]["operations"]["met"][0]["count"] == 15
        api.close()


def test_the_ring_is_bounded_in_bytes() -> None:
    catalog, clock = load_catalog(), Clock("frozen", now=0.0)
    contract = Contract(catalog, now=clock.now, document=dict)
    recorder = Recorder(masker=Masker(catalog), contract=contract, clock=clock, entries=500, max_bytes=100_000)
    for size in (0, 5_000, 16_000, 16_384, 17_000, 500_000) * 20:
        recorder.record(
            Exchange("GET", "/data/x", "", {}, "id", operation="list:flows", status=200, answer=b"x" * size)
        )
    kept = recorder.find()
    assert [entry["number"] for entry in kept] == list(range(120 - len(kept) + 1, 121))
    assert 50_000 < sum(len(entry["answer"].get("text", "")) + 300 for entry in kept) <= 100_000


def test_a_snapshot_is_put_back(api: Api, tmp_path: Path) -> None:
    """With reset in between: the same entries, the same numbers. With `--journal-entries 0` nothing is kept, and all is counted."""
    api.created("connections", SFTP.base_connection())
    api.get("/flows/nope")
    form = {"grant_type": "client_credentials", "client_id": "a", "client_secret": "b"}
    api.http.post("/ims/token/v3", data=form)
    api.patch("/connections/x", '"e"', [{"op": "replace", "path": "/auth/params/password", "value": "secret"}])
    before = api.control("GET", "/requests")
    state = api.control("GET", "/state")
    api.control("POST", "/reset")
    assert api.control("GET", "/requests") == {"items": [], "number": 0, "dropped": 0}
    api.control("PUT", "/state", state)
    assert api.control("GET", "/requests") == before
    assert api.control("GET", "/state")["requests"] == state["requests"]
    with serving(tmp_path, "--journal-entries", "0") as process:
        small = Api(process.url)
        small.control("PUT", "/state", state)
        small.get("/nope")
        assert small.control("GET", "/requests") == {"items": [], "number": 5, "dropped": 5}
        violations = {rule["id"]: rule["count"] for rule in small.control("GET", "/contract")["violations"]}
        assert violations == {"resource-not-found": 2, "path-not-found": 1}
        small.close()


def test_of_a_body_that_cannot_be_read_only_size_and_fault_are_kept(api: Api) -> None:
    api.http.post(f"{BASE}/connections", content='{"auth": "S', headers={"Content-Type": "application/json"})
    request = api.requests()[-1]["request"]
    assert set(request) == {"headers", "size", "unread"}
    assert request["size"] == 11


def test_a_request_that_the_gateway_refuses_is_noted_for_its_organization(api: Api) -> None:
    """So that tests which share a server see what became of their own; without a sandbox header it is prod."""
    headers = {"x-gw-ims-org-id": "MINE@AdobeOrg", "x-sandbox-name": "dev"}
    with httpx.Client(base_url=api.url) as http:
        assert http.get(f"{BASE}/flows", headers=headers).status_code == 403
        assert http.get(f"{BASE}/flows", headers={"x-api-key": "key"}).status_code == 403
    (entry,) = api.requests(org="MINE@AdobeOrg")
    assert (entry["org"], entry["sandbox"], entry["verdict"]) == ("MINE@AdobeOrg", "dev", "violation")
    assert [entry["org"] for entry in api.requests()] == ["MINE@AdobeOrg", ""]


def test_the_text_for_people_has_every_bad_request(api: Api) -> None:
    """Of many requests the newest, and what went wrong before."""
    api.get("/flows?limit=0")
    for limit in range(1, 61):
        api.get(f"/flows?limit={limit}")
    text = Requests(ControlClient(api.url)).text()
    lines = [line for line in text.splitlines() if line.startswith("#")]
    assert text.startswith("10 older requests that were in order are left out here\n#1 GET ")
    assert "limit=0" in lines[0] and len(lines) == 51
