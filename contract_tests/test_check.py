"""`check`: recorded traffic held against the emulator, both ways. The recordings are of the emulator itself, then altered."""

from __future__ import annotations

import base64
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from contract_tests.support import Api, replace
from contract_tests.tutorial import BASE, DATA_LAKE, S3, SFTP
from flow_service_emulator.cli import main

BY_PROXY = Path(__file__).parent / "recordings" / "mitmproxy.har"
"""`walk`, recorded by mitmproxy 11.0.2 (`hardump`)."""
SECRETS = (
    *("wJalrXUtnFEMI", "AKIAIOSFODNN7", "alice", "example-password", "a-secret-of-the-client"),
    *("test-token", "test-key"),
)
Entry = dict[str, Any]
Check = Callable[..., dict[str, Any]]
Alter = Callable[[dict[str, Entry]], object]


def walk(api: Api) -> None:
    """What a client does, its mistakes among it."""
    form = {"grant_type": "client_credentials", "client_id": "id", "client_secret": "a-secret-of-the-client"}
    api.http.post("/ims/token/v3", data=form)
    api.http.get("/somewhere/else")
    api.get(f"/connectionSpecs/{DATA_LAKE}/configs?outputType=activationDatasets&outputField=datasets&limit=100")
    api.created("connections", SFTP.base_connection())
    flow = api.flow(S3, api.later, compression="GZIP")
    etag = api.item(f"/flows/{flow}")["etag"]
    api.patch(f"/flows/{flow}", etag, [replace("/name", "another")])
    api.patch(f"/flows/{flow}", etag, [replace("/name", "late")])
    api.post(f"/flows/{flow}/action?op=disable")
    api.items("/flows", property=f"id=={flow}")
    api.get("/runs?limit=1000")
    api.delete(f"/flows/{flow}")


@pytest.fixture
def recorded(api: Api) -> list[Entry]:
    """The walk as the emulator recorded it."""
    walk(api)
    return api.requests()


@pytest.fixture
def check(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Check:
    """Runs the command over entries; answers its report, and under `exit` its exit status, under `facts` its lines."""

    def run(entries: list[Entry] | Path, *flags: str) -> dict[str, Any]:
        file, facts = tmp_path / "traffic", tmp_path / "facts"
        if isinstance(entries, list):
            file.write_text("\n".join(map(json.dumps, entries)))
        read = str(file if isinstance(entries, list) else entries)
        status = main(["check", read, "--facts", str(facts), "--format", "json", *flags])
        report: dict[str, Any] = json.loads(capsys.readouterr().out)
        return report | {"exit": status, "facts": [json.loads(line) for line in facts.read_text().splitlines()]}

    return run


def comparing(report: dict[str, Any]) -> dict[str, list[dict[str, Any]]]:
    """The findings of the comparison, by rule."""
    rules = [rule for name in ("violations", "warnings") for rule in report[name]]
    return {rule["id"]: rule["findings"] for rule in rules if rule["id"].startswith(("emulator-", "answer-"))}


def by_name(entries: list[Entry]) -> dict[str, Entry]:
    """The first request of each operation."""
    return {entry["operation"]: entry for entry in reversed(entries)}


@pytest.mark.parametrize("way", ["own", "proxy"])
def test_a_recording_of_the_emulator_agrees_with_it(way: str, recorded: list[Entry], check: Check) -> None:
    report = check(recorded if way == "own" else BY_PROXY)
    assert comparing(report) == {}
    assert report["comparison"]["requests"] == {"agreed": 13, "elsewhere": 1, "not comparable": 1}
    assert list(report["comparison"]["notComparable"]) == [
        "the service answered 412, which depends on more than the request"
    ]
    assert {rule["id"] for rule in report["violations"]} == {"value-invalid"}
    assert report["exit"] == 1


REFUSED_BODY = {"type": "https://ns.adobe.com/aep/errors/FLOW-1413-422", "status": 422, "errorMessage": "no version"}


def answers(status: int, body: Any = None) -> Callable[[Entry], None]:
    created = {"id": "6b1d7a33-0000-4000-8000-000000000001", "etag": '"e"'}
    return lambda entry: entry.update(status=status, answer={**entry["answer"], "body": body or created})


ALTERED: dict[str, tuple[Alter, dict[str, tuple[str, str]]]] = {
    "too strict: a value": (
        lambda by: by["create:targetConnections"]["request"]["body"]["params"].update(bucketName="No_Bucket"),
        {"emulator-too-strict": ("params.bucketName", "rule provider-rejected, source: Flow Service error messages")},
    ),
    "too strict: a parameter": (
        lambda by: answers(200, {"items": [], "_links": {}})(by["list:runs"]),
        {"emulator-too-strict": ("query.limit", "the service answered 200; the emulator refuses: Invalid value 1000")},
    ),
    "too strict: a path": (
        lambda by: by["list:flows"].update(path=f"{BASE}/flowz"),
        {"emulator-too-strict": (f"{BASE}/flowz", "rule path-not-found")},
    ),
    "gap": (
        lambda by: answers(422, REFUSED_BODY)(by["create:flows"]),
        {"emulator-gap": ("", "answered 422 1413-422: no version; the emulator takes it (rule spec-version-missing")},
    ),
    "another code": (
        lambda by: answers(400, REFUSED_BODY)(by["list:runs"]),
        {"emulator-other-code": ("", "the service answered 400 1413-422, the emulator 400 1452-400 (rule value-invalid")},
    ),
    "another type": (
        lambda by: by["get:flows"]["answer"]["body"]["items"][0].update(createdAt="2026"),
        {"answer-other-type": ("items[].createdAt", "items[].createdAt is string, not integer")},
    ),
    "a field is missing": (
        lambda by: by["get:flows"]["answer"]["body"]["items"][0].pop("transformations"),
        {"answer-field-missing": ("items[].transformations", "items[] has no transformations")},
    ),
    "state": (lambda by: answers(404, {"errorMessage": "gone"})(by["get:flows"]), {}),
    "another organization's dataset": (
        lambda by: by["create:sourceConnections"]["request"]["body"]["params"]["datasets"][0].update(dataSetId="64a0"),
        {},
    ),
    "refused for a dataset": (lambda by: answers(400, REFUSED_BODY)(by["create:sourceConnections"]), {}),
    "refused for a password": (lambda by: answers(400, REFUSED_BODY)(by["create:connections"]), {}),
    "a fault of the emulator's": (lambda by: by["get:flows"].update(status=429, fault="f1"), {}),
    "no body": (lambda by: by["create:flows"]["request"].update(unread="longer than 16384 bytes", body=None), {}),
    "headers taken out": (lambda by: [entry["request"]["headers"].pop(name) for entry in by.values() for name in ("authorization", "x-api-key", "x-gw-ims-org-id")], {}),
}  # fmt: skip


@pytest.mark.parametrize("name", ALTERED)
def test_each_way_in_which_the_service_can_differ(name: str, recorded: list[Entry], check: Check) -> None:
    alter, expected = ALTERED[name]
    alter(by_name(recorded))
    found = comparing(report := check(recorded))
    assert found.keys() == expected.keys(), report["comparison"]
    for rule, (place, told) in expected.items():
        (finding,) = found[rule]
        assert finding["place"] == place
        assert told in finding["message"]


def test_new_fields_and_wordings_are_information(recorded: list[Entry], check: Check) -> None:
    by_name(recorded)["get:flows"]["answer"]["body"]["items"][0]["newField"] = 1
    by_name(recorded)["list:runs"]["answer"]["body"]["errorMessage"] = "No."
    report = check(recorded)
    assert comparing(report) == {}
    told = {each["message"] for each in report["comparison"]["information"]}
    assert told == {"get:flows: items[].newField is described nowhere", "value-invalid is worded: No."}


@pytest.mark.parametrize("form", ["text", "html"])
def test_a_heading_says_that_the_emulator_may_be_wrong(
    form: str, recorded: list[Entry], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "traffic"
    file.write_text("\n".join(map(json.dumps, recorded)))
    main(["check", str(file), "--format", form])
    assert "he real service refuses this, or the service and the emulator disagree" in capsys.readouterr().out


def test_entities_that_the_recording_has_not_told_of_are_no_findings(recorded: list[Entry], check: Check) -> None:
    made = ("create:connections", "create:sourceConnections")
    later = [entry for entry in recorded if entry["operation"] not in made]
    assert comparing(check(later)) == {}
    without_flow = [entry for entry in later if entry["operation"] not in ("create:flows", "get:flows", "list:flows")]
    report = check(without_flow)
    assert comparing(report) == {}
    assert "it is about an entity that the recording has not told of" in report["comparison"]["notComparable"]
    answers(400, REFUSED_BODY)(by_name(later)["create:targetConnections"])
    assert comparing(check(later)) == {}


def test_facts_have_shapes_and_nobodys_data(recorded: list[Entry], check: Check) -> None:
    by_name(recorded)["list:runs"]["query"] += "&alice%40example.com=1"
    facts = {fact["operation"]: fact for fact in check(recorded)["facts"]}
    target = facts["create:targetConnections"]
    assert target["spec"] == "Amazon S3"
    assert target["request"]["params.bucketName"] == "string"
    answer = {"id": "string", "etag": "string"}
    assert target.items() >= {"status": 201, "answer": answer, "date": "2026-01-01"}.items()
    assert facts["list:runs"]["code"] == "1452-400"
    assert facts["list:runs"]["query"] == ["*", "limit"]
    text = json.dumps(list(facts.values()))
    ids = [entry["answer"]["body"]["id"] for entry in recorded if entry["status"] == 201]
    assert not [each for each in (*SECRETS, *ids, "TEST@AdobeOrg", S3.target["bucketName"]) if each in text]


def test_secrets_are_dropped(check: Check) -> None:
    assert all(secret in BY_PROXY.read_text() for secret in SECRETS)
    text = json.dumps(check(BY_PROXY, "--coverage", "full"))
    assert not [secret for secret in SECRETS if secret in text]


def test_a_baseline_leaves_out_what_is_known(recorded: list[Entry], check: Check, tmp_path: Path) -> None:
    old = tmp_path / "old.json"
    old.write_text(json.dumps(check(recorded)))
    report = check(recorded, "--baseline", str(old))
    assert (report["exit"], report["violations"], report["summary"]["known"]) == (0, [], 2)
    assert report["comparison"]["requests"]["agreed"] == 13


def damaged(alter: Callable[[Entry], object]) -> str:
    har = json.loads(BY_PROXY.read_text())
    alter(har["log"]["entries"][2])
    return json.dumps(har)


@pytest.mark.parametrize(
    ("content", "told"),
    [
        (BY_PROXY.read_text()[:20_000], ", after entry "),
        (damaged(lambda entry: entry["request"].pop("url")), ", entry 3: the field 'url' is missing"),
        (damaged(lambda entry: entry.update(startedDateTime="yesterday")), ", entry 3 is no recorded request: "),
        (damaged(lambda entry: entry.update(response=7)), ", entry 3 is no recorded request: "),
        ("", " is empty"),
        ('{"log": {"entries": []}}', " has no requests"),
        ("[1]", ", entry 1 is no recorded request"),
        ("nonsense", ", after entry 0: "),
        ('{"name": "Authorization", "value": "Bearer MARK" 7}', ", after entry 0: "),
    ],
)  # fmt: skip
def test_a_damaged_recording_is_told_by_file_and_entry(
    content: str, told: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "some.har"
    file.write_text(content)
    assert main(["check", str(file)]) == 2
    said = capsys.readouterr().err
    assert f"flow-service-emulator: {file}{told}" in said and "MARK" not in said


def test_bodies_in_base64_and_cut_off(check: Check, tmp_path: Path) -> None:
    har = json.loads(BY_PROXY.read_text())
    for entry in har["log"]["entries"]:
        content = entry["response"]["content"]
        if content.get("text"):
            content |= {"text": base64.b64encode(content["text"].encode()).decode(), "encoding": "base64"}
    (cut,) = [each for each in har["log"]["entries"] if each["request"]["url"].endswith("/sourceConnections")]
    del cut["request"]["postData"]["text"]
    file = tmp_path / "base64.har"
    file.write_text(json.dumps(har))
    report = check(file)
    assert comparing(report) == {}
    assert report["comparison"]["requests"]["agreed"] == 12
    assert report["comparison"]["notComparable"]["the recording does not have the request's whole body"] == 1
