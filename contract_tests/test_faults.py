"""Injected faults: every kind over a real socket, the named scenarios, the seed, bad rules, and what keeps them harmless."""

from __future__ import annotations

import json
import re
import signal
import socket
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import httpx
import pytest

from contract_tests.support import ERRORS, FROZEN_NOW, Api, assert_error, serving
from contract_tests.tutorial import BASE, LANDING_ZONE, S3, SFTP, SOURCE_CONNECTION
from flow_service_emulator.clock import Clock, random_source
from flow_service_emulator.control.faults import read_rules
from flow_service_emulator.control.inputs import MAX_TOLD
from flow_service_emulator.emulator import Emulator
from flow_service_emulator.faults.faults import Call, Faults
from flow_service_emulator.faults.rules import KINDS
from flow_service_emulator.settings import Settings

HEADERS = {"Authorization": "Bearer test-token", "x-api-key": "test-key", "x-gw-ims-org-id": "TEST@AdobeOrg"}
SERVICE_ERRORS = [name for name, row in ERRORS.items() if not row["appliesTo"].startswith("a control call")]
CALL = Call("get:flows", "GET", f"{BASE}/flows/f1", "/flows/f1", "f1", ("A", "prod"), {}, lambda: True)
"""A request for the flow f1 of organization A."""
EMULATOR = Emulator(Settings(), Clock("frozen"))


def put(api: Api, *rules: dict[str, Any]) -> list[dict[str, Any]]:
    """Puts these rules in the place of all; answers them as they were taken."""
    taken: list[dict[str, Any]] = api.control("PUT", "/faults", {"rules": list(rules)})["rules"]
    return taken


def counts(api: Api) -> list[tuple[int, int, int]]:
    """(matched, fired, repeats) of each rule."""
    return [(rule["matched"], rule["fired"], rule["repeats"]) for rule in api.control("GET", "/faults")["rules"]]


def statuses(api: Api, path: str, times: int) -> list[int]:
    return [api.get(path).status_code for _ in range(times)]


def delayed(api: Api, *requests: Callable[[], Any]) -> list[Future[Any]]:
    """These requests on their way, each of which has met the first rule, a delay."""
    pool = ThreadPoolExecutor(len(requests))
    waiting = [pool.submit(request) for request in requests]
    while counts(api)[0][1] < len(requests):
        time.sleep(0.01)
    return waiting


def raw_get(url: str, path: str = f"{BASE}/flows", method: str = "GET") -> bytes:
    """All bytes of an answer, up to the end of the connection. Raises ConnectionResetError for a TCP reset."""
    host = urlsplit(url).netloc
    headers = "".join(
        f"{name}: {value}\r\n" for name, value in {"Host": host, "Connection": "close", **HEADERS}.items()
    )
    with socket.create_connection((urlsplit(url).hostname, urlsplit(url).port), timeout=20) as connection:
        connection.sendall(f"{method} {path} HTTP/1.1\r\n{headers}\r\n".encode())
        return b"".join(iter(lambda: connection.recv(65536), b""))


# --- the kinds that answer in the service's place ---


def test_every_documented_error_by_name(api: Api) -> None:
    for name in SERVICE_ERRORS:
        put(api, {"kind": "error", "error": name})
        response = api.get("/flows/some-id")
        assert_error(response, name)
        assert not re.search(r"\{\w", response.text), "a field was left out"


def test_every_code_names_its_error(api: Api) -> None:
    coded = {row["code"]: name for name, row in ERRORS.items() if row["code"] and name in SERVICE_ERRORS}
    assert {"1102-500", "1103-503", "1104-504", "2118-403", "2120-403", "403025"} <= set(coded)
    for code, name in coded.items():
        assert put(api, {"kind": "error", "error": code})[0]["error"] == name
    assert put(api, {"kind": "error", "error": "FLOW-1103-503"})[0]["error"] == "service-unavailable"


def test_fields_fill_the_message(api: Api) -> None:
    put(api, {"kind": "error", "error": "permission-missing", "fields": {"permission": "View {everything}"}})
    assert_error(api.get("/flows"), "permission-missing", permission="View {everything}")
    put(api, {"kind": "error", "error": "resource-not-found"})
    report = assert_error(api.get("/flows/8422"), "resource-not-found", id="8422", collection="flows")
    assert (report["id"], report["type"]) == ("8422", "flows")


def test_too_many_requests_always_say_how_long_to_wait(api: Api) -> None:
    """Reference, Address and headers: 429050 comes with `Retry-After`."""
    put(api, {"kind": "error", "error": "gateway-too-many-requests"})
    assert api.get("/flows").headers["retry-after"] == "1"
    put(api, {"kind": "error", "error": "service-unavailable", "retryAfter": 7})
    assert api.get("/flows").headers["retry-after"] == "7"


def test_before_nothing_is_done_after_everything_is(api: Api) -> None:
    for stage, left in (("before", 0), ("after", 1)):
        api.control("POST", "/reset")
        put(api, {"kind": "error", "error": "gateway-timeout", "stage": stage, "times": 1})
        assert_error(api.post("/connections", LANDING_ZONE.base_connection()), "gateway-timeout")
        assert len(api.items("/connections")) == left


def test_a_rate_limit_lasts_as_long_as_it_says(api: Api) -> None:
    put(api, {"kind": "rate-limit", "times": 1, "retryAfter": 3600, "operation": "list:flows"})
    answers = [api.get("/flows") for _ in range(3)]
    for response in answers:
        assert_error(response, "gateway-too-many-requests")
        assert 3500 < int(response.headers["retry-after"]) <= 3600
    assert answers[0].headers["retry-after"] == "3600"
    assert api.get("/connections").status_code == 200, "another operation is not limited"
    assert counts(api) == [(3, 1, 2)]
    api.control("POST", "/clock/advance", {"seconds": 3600})
    assert api.get("/flows").status_code == 200, "a move of the clock is a wait"
    put(api, {"kind": "rate-limit", "times": 1, "retryAfter": 0})
    assert statuses(api, "/flows", 2) == [429, 200]


def test_an_expired_token_stays_expired(api: Api) -> None:
    put(api, {"kind": "token-expired", "nth": 2, "operation": "list:flows"})
    assert statuses(api, "/flows", 2) == [200, 401]
    assert_error(api.get("/connections"), "gateway-token-not-valid")
    assert api.get("/connections", headers={"Authorization": "Bearer another"}).status_code == 200
    assert counts(api) == [(2, 1, 1)]
    assert_error(api.get("/flows", headers={"Authorization": "Basic x"}), "token-invalid")
    api.control("DELETE", "/faults")
    assert api.get("/connections").status_code == 200


# --- an update by somebody else, just before a PATCH is looked at ---


def test_the_client_meets_412_and_fetches_again(api: Api) -> None:
    flow = api.flow(S3)
    stale = api.item(f"/flows/{flow}")["etag"]
    put(api, {"kind": "etag-changed", "entity": flow})
    change = [{"op": "replace", "path": "/name", "value": "mine"}]
    current = api.item(f"/flows/{flow}")["etag"]
    assert current == stale, "a GET changes nothing"
    response = api.patch(f"/flows/{flow}", stale, change)
    fresh = api.item(f"/flows/{flow}")
    assert_error(response, "version-mismatch", supplied=stale, current=fresh["etag"])
    assert fresh["version"] == fresh["etag"] != stale
    assert api.patch(f"/flows/{flow}", fresh["etag"], change).status_code == 200
    assert counts(api) == [(2, 1, 0)]


def test_only_a_patch_that_would_have_succeeded_uses_it_up(api: Api) -> None:
    connection = api.created("connections", LANDING_ZONE.base_connection())
    put(api, {"kind": "etag-changed"})
    change = [{"op": "replace", "path": "/name", "value": "mine"}]
    assert_error(api.patch(f"/connections/{connection}", None, change), "if-match-missing")
    assert_error(api.patch(f"/connections/{connection}", '"old"', change), "version-mismatch")
    etag = api.item(f"/connections/{connection}")["etag"]
    assert_error(api.patch("/connections/unknown", etag, change), "resource-not-found")
    refused = api.patch(f"/connections/{connection}", etag, change, headers={"x-api-key": ""})
    assert_error(refused, "gateway-api-key-missing")
    assert counts(api) == [(0, 0, 0)]
    assert api.item(f"/connections/{connection}")["etag"] == etag


# --- the kinds that end connections or take their time ---


@pytest.mark.parametrize("stage", ["before", "after"])
def test_reset_is_a_tcp_reset(api: Api, stage: str) -> None:
    put(api, {"kind": "reset", "stage": stage, "times": 2})
    with pytest.raises(ConnectionResetError):
        raw_get(api.url)
    with pytest.raises(httpx.TransportError):
        api.post("/connections", LANDING_ZONE.base_connection())
    assert len(api.items("/connections")) == (stage == "after")


@pytest.mark.parametrize(("kept", "sent"), [({}, 12), ({"bytes": 0}, 0), ({"bytes": 5}, 5), ({"bytes": 1_000_000}, 23)])
def test_truncate_keeps_the_content_length(api: Api, kept: dict[str, int], sent: int) -> None:
    whole = api.get("/flows").content
    assert len(whole) == 24
    put(api, {"kind": "truncate", "operation": "list:flows", **kept})
    head, _, body = raw_get(api.url).partition(b"\r\n\r\n")
    assert b"content-length: 24" in head and body == whole[:sent]
    with pytest.raises(httpx.RemoteProtocolError):
        api.get("/flows")


def test_truncate_without_a_body_cuts_the_answer(api: Api) -> None:
    connection = api.created("connections", LANDING_ZONE.base_connection())
    put(api, {"kind": "truncate"})
    assert raw_get(api.url, f"{BASE}/connections/{connection}", "DELETE") == b""
    assert raw_get(api.url, method="HEAD") == b""
    api.control("DELETE", "/faults")
    assert api.items("/connections") == [], "the deletion was carried out"


def test_a_delay_makes_an_impatient_client_give_up(api: Api) -> None:
    put(api, {"kind": "delay", "seconds": 60, "times": 1})
    with pytest.raises(httpx.ReadTimeout):
        api.get("/flows", timeout=0.1)
    assert api.get("/flows", timeout=10).status_code == 200


def test_delays_add_up_and_let_the_next_rule_decide(api: Api) -> None:
    delay = {"kind": "delay", "seconds": 0.01}
    put(api, delay, delay, {"kind": "error", "error": "forbidden"}, {"kind": "error", "error": "internal-error"})
    assert_error(api.get("/flows"), "forbidden")
    assert counts(api) == [(1, 1, 0), (1, 1, 0), (1, 1, 0), (0, 0, 0)]


def test_the_server_ends_at_once_and_logs_no_error(tmp_path: Path) -> None:
    with serving(tmp_path) as process:
        client, lists = Api(process.url), {"operation": "list:flows"}
        delay = {"kind": "delay", "seconds": 60, "entity": "waits"}
        put(client, delay, {"kind": "reset", "nth": 2, "times": 2, **lists}, {"kind": "truncate", **lists})
        (waiting,) = delayed(client, lambda: client.get("/flows/waits").status_code)
        for _ in range(3):
            with pytest.raises(httpx.TransportError):
                client.get("/flows")
        assert process.stop(signal.SIGTERM) == 0
        assert waiting.result(10) == 404, "the delay ends with the server, and the request is answered"
        client.close()
        logged = process.log.read_text()
    assert "Traceback" not in logged and "ASGI" not in logged
    assert "GET /flows 0 (fault reset-1)" in logged
    assert "GET /flows 200 (fault truncate-1)" in logged


@pytest.mark.parametrize("anew", ["reset", "snapshot"])
def test_what_is_delayed_does_not_outlive_a_reset(api: Api, anew: str) -> None:
    """It belongs to what was before: nothing of it is carried out or noted, and its client's connection ends."""
    state = api.control("GET", "/state")
    put(api, {"kind": "delay", "seconds": 60})
    waiting = delayed(api, *[lambda: api.post("/sourceConnections", SOURCE_CONNECTION)] * 3)
    if anew == "reset":
        api.control("POST", "/reset")
    else:
        api.control("PUT", "/state", state)
    assert all(isinstance(each.exception(10), httpx.TransportError) for each in waiting)
    assert api.control("GET", "/requests")["items"] == []
    assert api.items("/sourceConnections") == []


# --- which requests a rule is about, and which of these it hits ---


@pytest.mark.parametrize(
    ("match", "hit", "missed"),
    [
        ({"operation": "get:flows"}, {}, {"operation": "list:flows"}),
        ({"operation": "get:*"}, {}, {"operation": None}),
        ({"method": "get"}, {}, {"method": "PATCH"}),
        ({"path": "/flows/*"}, {}, {"path": f"{BASE}/flows", "short_path": "/flows"}),
        ({"path": "*/flows/?1"}, {}, {"path": f"{BASE}/flows/x11", "short_path": "/flows/x11"}),
        ({"entity": "f1"}, {}, {"entity": "f2"}),
        ({"org": "A"}, {}, {"scope": ("B", "prod")}),
        ({"sandbox": "dev"}, {"scope": ("A", "dev")}, {}),
        ({"header": {"X-Api-Key": "k*"}}, {"headers": {"x-api-key": "k1"}}, {"headers": {"x-api-key": "l"}}),
    ],
)
def test_matchers(match: dict[str, Any], hit: dict[str, Any], missed: dict[str, Any]) -> None:
    for changes, expected in ((hit, "reset-1"), (missed, None)):
        assert decided([{"kind": "reset", **match}], [CALL._replace(**changes)]) == [expected]


@pytest.mark.parametrize(
    ("rules", "hits"),
    [
        ([{"kind": "reset"}], ["reset-1"] * 4),
        ([{"kind": "reset", "nth": 3}], [None, None, "reset-1", None]),
        ([{"kind": "reset", "nth": 2, "times": 2}], [None, "reset-1", "reset-1", None]),
        (
            [{"kind": "reset", "nth": 2}, {"kind": "truncate", "times": 1}, {"kind": "reset"}],
            ["truncate-1", "reset-1", "reset-2", "reset-2"],
        ),
    ],
)
def test_a_rule_that_does_not_fire_lets_the_next_one_look(rules: list[dict[str, Any]], hits: list[str | None]) -> None:
    assert decided(rules, [CALL] * 4) == hits


def test_a_rate_is_the_same_for_the_same_seed() -> None:
    def drawn(**more: Any) -> list[bool]:
        return [answer is not None for answer in decided([{"kind": "reset", "rate": 0.3, **more}], [CALL] * 400)]

    assert drawn(seed=1) == drawn(seed=1) != drawn(seed=2)
    assert drawn() == drawn(seed=0)
    assert 80 < sum(drawn(seed=1)) < 160
    assert all(drawn(rate=1)) and sum(drawn(seed=1, times=3)) == 3


def test_control_calls_are_never_hit(api: Api) -> None:
    put(api, {"kind": "reset"})
    for path in ("/__emulator/health", "/__emulator/faults", "/__emulator/clock", "/openapi.json"):
        assert api.http.get(path).status_code == 200
    assert counts(api) == [(0, 0, 0)]


# --- exports that fail because they were asked to ---


@pytest.mark.parametrize("stage", ["before", "during", "after"])
def test_a_failed_run_and_the_next_one(api: Api, export_dir: Path, stage: str) -> None:
    flow = api.flow(S3, api.later)
    twin = api.flow(S3, {**api.later, "startTime": FROZEN_NOW + 3600 + 2 * 10800}, path="twin")
    put(api, {"kind": "run", "flow": flow, "stage": stage, "times": 2})
    runs = [run for run in api.advance(3600 + 3 * 10800) if run["flowId"] == flow]
    assert [run["status"] for run in runs] == ["failed", "failed", "success", "success"]
    assert [run["scheduledAt"] - FROZEN_NOW for run in runs] == [3600, 14400, 25200, 36000], "the schedule goes on"
    errors = [{"code": "ACTIVATION_BATCH-0000-FAILED", "message": "Job aborted."}]
    metrics = api.item(f"/runs/{runs[0]['id']}")["metrics"]
    assert metrics["statusSummary"]["errors"] == metrics["recordSummary"]["failedInfo"] == errors
    files = {run["id"]: api.control("GET", "/exports", params={"run": run["id"]})["items"] for run in runs}
    assert [len(files[run["id"]]) for run in runs] == [0, 0, 1, 1]
    on_disk = [path for path in (export_dir / "amazon-s3/your-bucket-name/folder").rglob("*") if path.is_file()]
    assert len(on_disk) == 4, "two parts and two manifests, nothing of the failed runs"
    rows = sorted(row for items in files.values() for row in rows_of(export_dir, items))
    assert rows == sorted(rows_of(export_dir, api.control("GET", "/exports", params={"flow": twin})["items"]))
    assert api.item(f"/flows/{flow}")["lastRunDetails"]["state"] == "success"
    assert counts(api) == [(4, 2, 0)]


def test_code_message_and_which_runs(api: Api) -> None:
    datasets = ["5ef3e3259ad2a1191ab7dd7d", "5ef3e324052581191aa6a466"]
    s3, sftp = api.flow(S3, api.later, datasets=datasets), api.flow(SFTP, api.later)
    cases: list[tuple[dict[str, Any], set[str]]] = [
        ({"destination": "sftp"}, {sftp}),
        ({"dataset": datasets[1], "stage": "during"}, {s3}),
        ({"dataset": datasets[1], "destination": "sftp"}, set()),
        ({"org": "TEST@AdobeOrg", "sandbox": "prod"}, {s3, sftp}),
        ({"org": "OTHER@AdobeOrg"}, set()),
        ({"sandbox": "dev"}, set()),
        ({"nth": 2}, {sftp}),
        ({"rate": 1}, {s3, sftp}),
    ]
    for match, expected in cases:
        error = {"code": "ACTIVATION_BATCH-0000-SKIP", "message": "No space left"}
        put(api, {"kind": "run", **error, **match})
        runs = api.advance(10800)
        assert {run["flowId"] for run in runs if run["status"] == "failed"} == expected, match
        for run in runs:
            summary = api.item(f"/runs/{run['id']}")["metrics"]["statusSummary"]
            assert summary.get("errors") == ([error] if run["flowId"] in expected else None)


# --- each with a client that does well and one that does not ---


def test_the_list_says_what_a_good_client_does(api: Api) -> None:
    items = api.control("GET", "/scenarios")["items"]
    names = "rate-limited token-expiry flaky-gateway lost-update export-outage adhoc-not-ready"
    assert [item["name"] for item in items] == names.split()
    for item in items:
        assert item["goodClient"].endswith(".") and item["happens"].endswith(".")
        taken = api.control("PUT", "/faults", {"scenario": item["name"]})["rules"]
        assert [rule["id"] for rule in taken] == [f"{item['name']}-{number}" for number in range(1, len(taken) + 1)]
        for rule, taken_rule in zip(item["rules"], taken, strict=True):
            assert rule.items() <= taken_rule.items()


def test_flaky_gateway(api: Api) -> None:
    api.control("PUT", "/faults", {"scenario": "flaky-gateway"})
    assert_error(api.post("/connections", LANDING_ZONE.base_connection()), "gateway-timeout")
    met = set()
    for _ in range(60):
        try:
            response = api.get("/connections")
            met.add(response.status_code)
            if response.status_code == 200:
                assert len(response.json()["items"]) == 1, "it was carried out"
        except httpx.TransportError:
            met.add(0)
    assert met == {200, 503, 0}


# --- the control calls: good and bad input, state ---


def test_put_post_get_delete(api: Api) -> None:
    put(api, {"kind": "delay", "seconds": 1}, {"kind": "delay", "seconds": 2, "id": "mine"}, {"kind": "reset"})
    added = api.control("POST", "/faults", {"kind": "delay", "seconds": 3})["rules"]
    assert [(rule["id"], rule["seconds"], rule["times"]) for rule in added] == [("delay-2", 3, None)]
    ids = [rule["id"] for rule in api.control("GET", "/faults")["rules"]]
    assert ids == ["delay-1", "mine", "reset-1", "delay-2"]
    assert api.control("DELETE", "/faults/mine") == {"deleted": 1}
    report = assert_error(api.http.delete("/__emulator/faults/mine"), "control-not-found")
    assert "delay-1, reset-1, delay-2" in report["detail"]
    assert api.control("DELETE", "/faults") == {"deleted": 3}
    assert api.control("GET", "/faults") == {"rules": []}


def test_an_answer_can_be_sent_back(api: Api) -> None:
    rules = [{"kind": kind, **NEEDED.get(kind, {})} for kind in KINDS]
    taken = put(api, *rules, {"kind": "reset", "rate": 0.5, "nth": 3, "header": {"accept": "*"}})
    api.get("/flows/none", timeout=0.5)
    again = put(api, *api.control("GET", "/faults")["rules"])
    assert again == taken


def test_what_is_refused_changes_nothing(api: Api) -> None:
    before = put(api, {"kind": "error", "error": "forbidden", "id": "kept"})
    for rule, place, allowed in BAD_RULES:
        body = {"rules": [{"kind": "reset", "id": "kept"}, rule]}
        report = assert_error(api.http.put("/__emulator/faults", json=body), "control-invalid")
        assert report["place"] == f"rules[1]{place}", rule
        if allowed:
            assert allowed in report["allowed"], rule
            assert len(report["allowed"]) > MAX_TOLD or allowed in report["detail"], rule
    for method, content in BAD_BODIES:
        assert_error(api.http.request(method, "/__emulator/faults", content=content), "control-invalid")
    assert api.control("GET", "/faults")["rules"] == before


def test_a_short_list_is_told_whole_and_of_a_long_one_the_nearest(api: Api) -> None:
    """The names of all errors, in one line, help nobody."""
    refused = api.http.post("/__emulator/faults", json={"kind": "error", "error": "service-unavailble"})
    report = assert_error(refused, "control-invalid")
    assert set(report["allowed"]) == set(SERVICE_ERRORS)
    assert "nearest: service-unavailable" in report["detail"]
    assert len(report["detail"]) < 300


def test_a_snapshot_carries_rules_and_counts(api: Api) -> None:
    rules = (
        {"kind": "token-expired", "header": {"authorization": "*short*"}},
        {"kind": "error", "error": "forbidden", "rate": 0.5, "times": 9},
    )
    put(api, *rules)
    short = {"Authorization": "Bearer short"}
    assert api.get("/connections", headers=short).status_code == 401
    whole = statuses(api, "/flows", 30)
    put(api, *rules)
    assert api.get("/connections", headers=short).status_code == 401
    begun = statuses(api, "/flows", 10)
    state = api.control("GET", "/state")
    shown = api.control("GET", "/faults")
    assert "short" not in json.dumps(state["faults"]).replace("*short*", ""), "no token in a snapshot"
    api.control("POST", "/reset")
    api.control("PUT", "/state", state)
    assert api.control("GET", "/faults") == shown
    assert begun + statuses(api, "/flows", 20) == whole
    assert api.get("/connections", headers=short).status_code == 401


BAD_RULES: list[tuple[Any, str, str]] = [
    ("reset", "", ""),
    ({}, ".kind", "token-expired"),
    ({"kind": "boom"}, ".kind", "token-expired"),
    ({"kind": "error"}, ".error", ""),
    ({"kind": "delay"}, ".seconds", ""),
    ({"kind": "error", "error": "nope"}, ".error", "service-unavailable"),
    ({"kind": "error", "error": "control-invalid"}, ".error", "service-unavailable"),
    ({"kind": "error", "error": "forbidden", "fields": {"x": "y"}}, ".fields.x", ""),
    ({"kind": "error", "error": "permission-missing", "fields": {"x": "y"}}, ".fields.x", "permission"),
    ({"kind": "error", "error": "permission-missing", "fields": {"permission": []}}, ".fields.permission", ""),
    ({"kind": "error", "error": "forbidden", "stage": "during"}, ".stage", "after"),
    ({"kind": "run", "stage": "later"}, ".stage", "during"),
    ({"kind": "run", "destination": "ftp"}, ".destination", "sftp"),
    ({"kind": "run", "path": "/flows"}, ".path", "destination"),
    ({"kind": "reset", "seconds": 3}, ".seconds", "stage"),
    ({"kind": "reset", "operation": "none"}, ".operation", "list:flows"),
    ({"kind": "reset", "operation": "control:health"}, ".operation", "list:flows"),
    ({"kind": "reset", "method": "BREW"}, ".method", "GET"),
    ({"kind": "reset", "header": {"accept": 1}}, ".header.accept", ""),
    *(
        ({"kind": "reset", name: value}, f".{name}", "")
        for name, value in (
            ("nth", 0),
            ("times", True),
            ("rate", 0),
            ("org", ""),
            ("sandbox", "x" * 257),
            ("id", "a/b"),
        )
    ),
    ({"kind": "reset", "id": "kept"}, ".id", ""),
    ({"kind": "delay", "seconds": 61}, ".seconds", ""),
]
"""(rule, the place that the refusal names, something that it allows there)"""
BAD_BODIES: list[tuple[str, bytes]] = [
    ("PUT", b""),
    ("PUT", b"[]"),
    ("PUT", b"{}"),
    ("PUT", b'{"rules": {}}'),
    ("PUT", b'{"rules": [], "scenario": "lost-update"}'),
    ("PUT", b'{"scenario": "none"}'),
    ("PUT", b'{"scenario": "lost-update", "kinds": 1}'),
    ("PUT", json.dumps({"rules": [{"kind": "reset"}] * 101}).encode()),
    ("POST", b'{"kind": "boom"}'),
    ("POST", b'{"kind": "reset", "id": "kept"}'),
    ("POST", json.dumps({"rules": [{"kind": "reset"}] * 100}).encode()),
]
NEEDED: dict[str, dict[str, Any]] = {
    "error": {"error": "forbidden"},
    "delay": {"seconds": 0.01},
    "slow": {"seconds": 0.01},
    "reset": {"nth": 9},
}
"""What a rule of a kind must have to be taken (and, for a reset, to stay away)."""


def rows_of(export_dir: Path, items: list[dict[str, Any]]) -> Iterator[str]:
    """The rows of exported NDJSON files."""
    for item in items:
        yield from (export_dir / item["path"]).read_text("utf-8").splitlines()


def decided(rules: list[dict[str, Any]], calls: list[Call]) -> list[str | None]:
    """The id of the rule that hits each of the calls."""
    faults = Faults(lambda seed, salt: random_source(seed, salt).random())
    faults.set(read_rules(EMULATOR, rules))
    return [faults.decide(each, 0.0).label for each in calls]
