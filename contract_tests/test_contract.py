"""The contract report: what a client does wrong, what is fragile, and what it never met.

Source: issue "A test bench for other people's clients"; the leniences are those of the reference's last table.
"""

from __future__ import annotations

import json
import re
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping
from html.parser import HTMLParser
from itertools import pairwise
from pathlib import Path
from typing import Any
from urllib.parse import quote
from xml.etree import ElementTree

import pytest

from contract_tests.support import ERRORS, FROZEN_NOW, Api, ServerProcess, assert_error, serving
from contract_tests.tutorial import BASE, DATA_LAKE, DESTINATIONS, LANDING_ZONE, S3, SFTP, SOURCE_CONNECTION
from flow_service_emulator.api.exchange import Exchange
from flow_service_emulator.api.operations import UNSUPPORTED
from flow_service_emulator.api.routes import ELSEWHERE, elsewhere
from flow_service_emulator.catalog import load_catalog
from flow_service_emulator.cli import main
from flow_service_emulator.contract.contract import Contract
from flow_service_emulator.contract.coverage import DIMENSIONS, what_is_there
from flow_service_emulator.contract.rules import ERRORS as ERROR_RULES
from flow_service_emulator.contract.rules import INJECTED, NOT_THE_CLIENTS, contract_rules
from flow_service_emulator.contract.sighting import Sighting
from flow_service_emulator.control.control import STATE_FORMAT
from flow_service_emulator.reports.formats import FORMATS, rendered
from flow_service_emulator.reports.words import TITLES
from flow_service_emulator.validation.validation import ContractWarning

PACKAGE = Path(__file__).parent.parent / "emulator" / "flow_service_emulator"


def report(api: Api) -> dict[str, Any]:
    answer: dict[str, Any] = api.control("GET", "/contract")
    return answer


def met(api: Api) -> dict[str, dict[str, Any]]:
    """The rules that the report has something to say about, by id."""
    told = report(api)
    return {rule["id"]: rule for rule in (*told["violations"], *told["warnings"])}


def verdicts(api: Api) -> list[str]:
    return [entry["verdict"] for entry in api.control("GET", "/requests")["items"]]


# --- the table of rules -----------------------------------------------------------------------------------------------


def test_every_error_has_a_rule_or_is_not_the_clients() -> None:
    """A new row of the error table cannot be forgotten here, nor can a row that is gone leave its rule behind."""
    rules = contract_rules(load_catalog().errors)
    warnings = {rule.id for rule in rules.values() if rule.severity == "warning"}
    split = {"version-mismatch"}  # a stale etag is a warning, anything else as If-Match a violation
    for name, row in ERRORS.items():
        expected = name not in NOT_THE_CLIENTS | split and not row["appliesTo"].startswith(INJECTED)
        assert (name in rules) == expected, name
    assert set(ERROR_RULES) == set(rules) & set(ERRORS) - warnings
    for rule in rules.values():
        assert rule.title and rule.source
        assert rule.fix.endswith((".", "}")), rule.id
        if rule.id in ERRORS and rule.severity == "violation":
            assert (rule.code, rule.source) == (ERRORS[rule.id]["code"], ERRORS[rule.id]["source"])


def test_every_warning_of_the_service_has_a_rule() -> None:
    """Whatever the code warns of stands in the table."""
    rules = contract_rules(load_catalog().errors)
    used = set()
    for file in PACKAGE.rglob("*.py"):
        used |= set(re.findall(r'(?:ContractWarning|Finding|\.warning)\(\s*"([a-z-]+)"', file.read_text("utf-8")))
    assert len(used) > 15
    assert used <= set(rules)


def test_every_warning_is_made_somewhere() -> None:
    """No rule stands in the table that nothing can meet."""
    sources = "".join(file.read_text("utf-8") for file in PACKAGE.rglob("*.py") if file.name != "rules.py")
    constants = {
        "token-expired": "TOKEN_EXPIRED",
        "etag-not-latest": "ETAG_NOT_LATEST",
        "if-match-form": "IF_MATCH_FORM",
    }
    for rule in contract_rules(load_catalog().errors).values():
        if rule.id not in ERRORS:
            assert f'"{rule.id}"' in sources or constants.get(rule.id, "-") in sources, rule.id


# --- violations -------------------------------------------------------------------------------------------------------


def test_a_violation_says_what_where_why_and_how_to_fix_it(api: Api) -> None:
    base = api.created("connections", S3.base_connection())
    for name in ("Not_a_bucket", "Neither-is_this"):
        api.post("/targetConnections", S3.target_connection(base, bucketName=name))
    (violation,) = report(api)["violations"]
    row = ERRORS["provider-rejected"]
    assert (violation["id"], violation["code"], violation["status"]) == ("provider-rejected", row["code"], 400)
    assert violation["source"] == row["source"]
    assert violation["count"] == 2
    assert "GET /connectionSpecs/{id}" in violation["fix"]
    (finding,) = violation["findings"]
    assert (finding["operation"], finding["place"], finding["count"]) == (
        "create:targetConnections",
        "params.bucketName",
        2,
    )
    assert "Not_a_bucket" in finding["message"]
    request_id = api.control("GET", "/requests", params={"status": 400})["items"][0]["requestId"]
    assert finding["first"] == {
        "entry": 2,
        "requestId": request_id,
        "method": "POST",
        "path": f"{BASE}/targetConnections",
        "status": 400,
        "at": api.control("GET", "/clock")["now"],
    }
    assert finding["last"]["entry"] == 3


CONFIGS = f"/connectionSpecs/{DATA_LAKE}/configs"
GOOD_CONFIGS = f"{CONFIGS}?outputType=activationDatasets&outputField=datasets"
PLACES: dict[str, tuple[str, str, str]] = {
    # request -> (rule, place, kind)
    f"GET {CONFIGS}?outputField=datasets": ("value-invalid", "query.outputType", "required"),
    f"GET {CONFIGS}?outputType=x&outputField=datasets": ("value-invalid", "query.outputType", ""),
    f"GET {GOOD_CONFIGS}&limit=1000": ("value-invalid", "query.limit", ""),
    f"GET {GOOD_CONFIGS}&Limit=1": ("query-param-unknown", "query.Limit", ""),
    f"GET {GOOD_CONFIGS}&start=-1": ("value-invalid", "query.start", ""),
    "GET /flows?limit=0": ("value-invalid", "query.limit", ""),
    "GET /flows?limit=5&limit=6": ("value-invalid", "query.limit", ""),
    "GET /flows?count=perhaps": ("value-invalid", "query.count", ""),
    "GET /flows?continuationToken=x": ("value-invalid", "query.continuationToken", ""),
    "GET /flows?limit=5&count=true": ("limit-with-count", "query.limit", ""),
    "GET /flows?property=createdAt==soon": ("value-invalid", "query.property", ""),
    "GET /flows?property=nope==1": ("filter-field-invalid", "query.property", ""),
    "GET /flows?orderby=nope": ("orderby-field-invalid", "query.orderby", ""),
    "GET /flows?orderby=*name": ("sort-order-invalid", "query.orderby", ""),
    "GET /flows?property=name,": ("query-value-invalid", "query.property", ""),
    "GET /flows/x/nope": ("path-not-found", f"{BASE}/flows/{{id}}/nope", ""),
    "PUT /flows/x": ("method-not-allowed", f"{BASE}/flows/{{id}}", ""),
    "PUT /flows": ("method-not-allowed", f"{BASE}/flows", ""),
}


@pytest.mark.parametrize("request_line", PLACES)
def test_a_refusal_names_its_place(api: Api, request_line: str) -> None:
    """In the journal and in the report: what else is wrong with the same call is another finding."""
    rule, place, kind = PLACES[request_line]
    method, path = request_line.split(" ")
    assert api.http.request(method, BASE + path).status_code >= 400
    (finding,) = met(api)[rule]["findings"]
    assert (finding["place"], finding["kind"]) == (place, kind)
    (told,) = api.control("GET", "/requests")["items"][0]["findings"]
    assert (told["rule"], told["place"], told["kind"]) == (rule, place, kind)


def test_different_mistakes_are_different_findings(api: Api) -> None:
    """In one place of one call as well: each keeps its own message, and is counted apart."""
    lake = {"id": DATA_LAKE, "version": "1.0"}
    for dataset in ({"dataSetId": "orders"}, {"datasetId": "orders"}, {"datasetId": "other"}, {"dataSetId": 5}):
        api.post("/sourceConnections", {"name": "n", "connectionSpec": lake, "params": {"datasets": [dataset]}})
    found = {
        finding["kind"]: (finding["count"], finding["message"])
        for finding in met(api)["provider-rejected"]["findings"]
        if finding["place"] == "params.datasets[].dataSetId"
    }
    counts = sorted(count for count, _ in found.values())
    assert counts == [1, 1, 2]
    assert "is required but missing" in found["required"][1] and found["required"][0] == 2
    assert "must be a string" in found["type"][1]
    assert any("no eligible dataset" in message for _, message in found.values())


def test_what_a_patch_names_is_its_place(api: Api) -> None:
    path = f"/connections/{api.created('connections', SFTP.base_connection())}"
    for pointer in ("/createdAt", "/nothing/there", "/createdAt"):
        api.patch(path, api.item(path)["etag"], [{"op": "replace", "path": pointer, "value": 1}])
    assert {finding["place"]: finding["count"] for finding in met(api)["patch-invalid"]["findings"]} == {
        "/createdAt": 2,
        "/nothing/there": 1,
    }


def test_what_a_token_request_lacks_is_its_place(api: Api) -> None:
    form = {"grant_type": "client_credentials", "client_id": "a", "client_secret": "b"}
    for left_out in form:
        data = {name: value for name, value in form.items() if name != left_out}
        api.http.post("/ims/token/v3", data=data)
    assert {finding["place"] for finding in met(api)["token-request-invalid"]["findings"]} == set(form)


def test_a_secret_in_a_parameters_name_is_masked_in_its_place(api: Api) -> None:
    secret = "s3cr3t-" * 6
    api.get(f"/flows?{secret}=1", headers={"Authorization": f"Bearer {secret}"})
    (finding,) = met(api)["query-param-unknown"]["findings"]
    assert finding["place"].startswith("query.") and secret not in json.dumps(report(api))


@pytest.mark.parametrize("base", ELSEWHERE)
def test_another_of_the_platforms_services_is_a_warning(api: Api, base: str) -> None:
    """A client that looks a dataset up in Catalog does nothing wrong; that it cannot be tried here is said."""
    for path in (f"{base}/one", f"{base}/two?x=1", base):
        detail = assert_error(api.http.get(path), "unsupported")["detail"]
        assert ELSEWHERE[base] in detail
    assert set(met(api)) == {"unsupported"}
    (finding,) = met(api)["unsupported"]["findings"]
    assert (finding["place"], finding["count"]) == (base, 3)
    assert set(verdicts(api)) == {"warning"}
    assert api.http.get(f"{base}s/one").status_code == 404


def test_what_the_emulator_has_is_not_taken_for_another_service(api: Api) -> None:
    document = api.http.get("/openapi.json").json()
    assert [path for path in document["paths"] if elsewhere(path) is not None] == []
    assert elsewhere(f"{BASE}/nope") is None
    api.http.get("/data/foundation/nope")
    assert met(api)["path-not-found"]["severity"] == "violation"


@pytest.mark.parametrize("count", [60])
def test_places_are_bounded_and_requests_are_counted_on(api: Api, count: int) -> None:
    for number in range(count):
        api.get(f"/nope{number}")
    rule = met(api)["path-not-found"]
    assert (rule["count"], len(rule["findings"])) == (count, 50)


def test_the_report_does_not_depend_on_the_journal(api: Api) -> None:
    api.get("/nope")
    api.control("DELETE", "/requests")
    assert met(api)["path-not-found"]["count"] == 1


def test_an_injected_error_is_not_the_clients(api: Api) -> None:
    """Neither an error in the service's place, nor a 412 because a rule changed the etag; but a client's own fault is."""
    connection = api.created("connections", SFTP.base_connection())
    etag = api.item(f"/connections/{connection}")["etag"]
    rules = [
        {"kind": "error", "error": "resource-not-found", "operation": "list:flows"},
        {"kind": "etag-changed", "operation": "patch:connections"},
        {"kind": "delay", "seconds": 0.001, "operation": "get:runs"},
    ]
    api.control("PUT", "/faults", {"rules": rules})
    assert api.get("/flows").status_code == 404
    assert (
        api.patch(f"/connections/{connection}", etag, [{"op": "replace", "path": "/name", "value": "x"}]).status_code
        == 412
    )
    assert api.get("/runs/nope").status_code == 404
    assert met(api)["resource-not-found"]["findings"][0]["operation"] == "get:runs"
    assert set(met(api)) == {"resource-not-found"}
    assert verdicts(api)[2:] == ["injected", "injected", "violation"]
    assert {"resource-not-found", "version-mismatch"} <= {
        error["name"] for error in report(api)["coverage"]["errors"]["met"]
    }


def test_looking_for_what_was_deleted_is_no_violation(api: Api) -> None:
    """A client that makes sure does nothing wrong; one that goes on changing it does."""
    connection = api.created("connections", SFTP.base_connection())
    api.delete(f"/connections/{connection}")
    assert api.get(f"/connections/{connection}").status_code == 404
    assert met(api) == {}
    api.delete(f"/connections/{connection}")
    assert met(api)["resource-not-found"]["count"] == 1
    api.get("/connections/never-there")
    assert met(api)["resource-not-found"]["count"] == 2


def test_if_match(api: Api) -> None:
    """A stale etag happens to good clients: a warning. What is no etag at all never works: a violation."""
    path = f"/connections/{api.created('connections', SFTP.base_connection())}"
    etag = api.item(path)["etag"]
    change = [{"op": "replace", "path": "/name", "value": "another name"}]
    api.patch(path, etag, change)
    api.patch(path, etag, change)
    assert met(api)["etag-not-latest"]["severity"] == "warning"
    assert "if-match-form" not in met(api)
    for sent in ("*", etag.strip('"'), f"W/{etag}", f'{etag}, "x"'):
        api.patch(path, sent, change)
    api.patch(path, None, change)
    assert met(api)["if-match-form"]["count"] == 4
    assert met(api)["if-match-form"]["code"] == "1404-412"
    assert met(api)["if-match-missing"]["count"] == 1
    assert met(api)["etag-not-latest"]["count"] == 1


def test_tokens_that_are_checked(tmp_path: Path) -> None:
    """Near its end, expired, and never valid: told apart. Expiry happens to good clients, a made-up token does not."""
    with serving(tmp_path, "--check-auth") as process:
        api = Api(process.url)
        get_token(api)
        api.get("/flows")
        assert met(api) == {}
        api.advance(86_399 - 100)
        api.get("/flows")
        api.get("/runs")
        (finding,) = met(api)["token-near-expiry"]["findings"]
        assert (finding["message"], finding["operation"], finding["count"]) == ("the token expires in 100 s", "*", 2)
        api.advance(200)
        assert api.get("/flows").status_code == 401
        assert {rule["severity"] for rule in met(api).values()} == {"warning"}
        assert set(met(api)) == {"token-near-expiry", "token-expired"}
        api.http.headers["Authorization"] = "Bearer made-up"
        api.get("/runs")
        assert met(api)["gateway-token-not-valid"]["severity"] == "violation"
        api.close()


def test_tokens_that_nobody_checks(api: Api) -> None:
    """A test that lets days pass says nothing about how a client handles its tokens."""
    get_token(api)
    api.advance(3 * 86_400)
    assert api.get("/flows").status_code == 200
    assert met(api) == {}


def get_token(api: Api) -> None:
    form = {"grant_type": "client_credentials", "client_id": "test-key", "client_secret": "s"}
    token = api.http.post("/ims/token/v3", data=form).json()["access_token"]
    api.http.headers["Authorization"] = f"Bearer {token}"


# --- warnings ----------------------------------------------------------------------------------------------------------


def make_flow(api: Api, **schedule: Any) -> None:
    api.flow(S3, {"interval": 3, "timeUnit": "hour", "startTime": FROZEN_NOW + 3600, **schedule}, compression="GZIP")


def patch(api: Api, operation: Mapping[str, Any]) -> None:
    flow = api.flow(S3, {"interval": 3, "timeUnit": "hour", "startTime": FROZEN_NOW + 3600}, compression="GZIP")
    assert api.patch(f"/flows/{flow}", api.item(f"/flows/{flow}")["etag"], [operation]).status_code == 200


LENIENCES: dict[str, Callable[[Api], Any]] = {
    "field-without-effect": lambda api: api.target(S3, compression="GZIP", fileType="CSV", csvOptions={}),
    "enum-letter-case": lambda api: api.target(S3, compression="gzip"),
    "patch-op-letter-case": lambda api: patch(api, {"op": "Replace", "path": "/name", "value": "x"}),
    "numeric-string": lambda api: make_flow(api, interval="3"),
    "unknown-field": lambda api: api.created("connections", {**SFTP.base_connection(), "colour": "red"}),
    "server-field-sent": lambda api: api.created("connections", {**SFTP.base_connection(), "createdAt": 1}),
    "frequency-sent": lambda api: make_flow(api, frequency="hour"),
    "schedule-partial": lambda api: patch(
        api, {"op": "replace", "path": "/scheduleParams", "value": {"startTime": FROZEN_NOW + 9}}
    ),
    "connection-spec-missing": lambda api: api.created("connections", LANDING_ZONE.base_connection()),
    "json-uncompressed": lambda api: api.target(S3),
    "auth-null": lambda api: api.created(
        "connections", {"name": "n", "auth": None, "connectionSpec": {"id": LANDING_ZONE.spec, "version": "1.0"}}
    ),
    "folder-template-spelling": lambda api: make_flow(api, folderNameTemplate="%DATASET_ID%/%EXPORT_TIME%"),
    "schedule-never-runs": lambda api: make_flow(api, startTime=FROZEN_NOW + 200 * 86_400),
    "start-time-past": lambda api: make_flow(api, startTime=FROZEN_NOW - 7200),
    "configs-of-destination": lambda api: api.get(
        f"/connectionSpecs/{LANDING_ZONE.spec}/configs?outputType=activationDatasets&outputField=datasets&limit=1"
    ),
    "trailing-slash": lambda api: api.get("/flows/"),
    "header-repeated": lambda api: api.http.get(f"{BASE}/flows", headers=[("x-sandbox-name", "prod")] * 2),
    "sandbox-header-missing": lambda api: api.get("/flows", headers={"x-sandbox-name": ""}),
    "unsupported": lambda api: api.get("/connections/x/explore"),
    "body-too-large": lambda api: api.http.post(
        f"{BASE}/flows", content=b" " * 1_100_000, headers={"Content-Type": "application/json"}
    ),
}


def test_unknown_parameters_of_a_target_are_warned_of(api: Api) -> None:
    """A misspelt parameter would otherwise have no effect in silence."""
    api.target(S3, compression="GZIP", Compression="GZIP")
    assert [finding["place"] for finding in met(api)["unknown-field"]["findings"]] == ["params.Compression"]


@pytest.mark.parametrize("rule", LENIENCES)
def test_each_lenience_is_warned_of(api: Api, rule: str) -> None:
    """It alone, and not as a violation."""
    LENIENCES[rule](api)
    assert set(met(api)) == {rule}
    assert met(api)[rule]["severity"] == "warning"
    assert "warning" in verdicts(api)


def test_a_good_client_has_nothing_to_read(api: Api) -> None:
    """The tutorial's six steps with compressed files and a start in the future: not one warning."""
    api.get(f"/connectionSpecs/{DATA_LAKE}/configs?outputType=activationDatasets&outputField=datasets&limit=100")
    make_flow(api)
    api.advance(86_400)
    api.get("/runs")
    assert met(api) == {}
    assert report(api)["summary"]["verdicts"]["ok"] == 6
    assert set(verdicts(api)) == {"ok"}


def test_a_patch_is_not_blamed_for_what_was_there(api: Api) -> None:
    """Only for what it changes; a warning about the rest was made when that was sent."""
    flow = api.flow(
        S3, {"interval": 3, "timeUnit": "hour", "startTime": FROZEN_NOW + 3600, "frequency": "hour", "zz": 1}
    )
    path = f"/targetConnections/{api.item(f'/flows/{flow}')['targetConnectionIds'][0]}"
    before = met(api)
    assert set(before) == {"frequency-sent", "unknown-field", "json-uncompressed"}
    for entity in (f"/flows/{flow}", path):
        renamed = [{"op": "replace", "path": "/name", "value": "x"}]
        assert api.patch(entity, api.item(entity)["etag"], renamed).status_code == 200
    assert met(api) == before
    forms = [{"op": "replace", "path": "/params/datasetFileType", "value": "JSON"}]
    assert api.patch(path, api.item(path)["etag"], forms).status_code == 200
    assert met(api)["json-uncompressed"]["count"] == 2


def test_polling(api: Api) -> None:
    """Three times the same within a minute; time that passes or a change in between makes it something else."""
    flow = api.flow(S3, {"interval": 3, "timeUnit": "hour", "startTime": FROZEN_NOW + 3600}, compression="GZIP")

    def look() -> int:
        api.get(f"/runs?property=flowId=={flow}")
        return sum(rule["count"] for rule in report(api)["warnings"] if rule["id"] == "polling")

    assert [look(), look()] == [0, 0]
    api.advance(60)
    assert [look(), look()] == [0, 0]
    api.post(f"/flows/{flow}/action?op=disable")
    assert [look(), look(), look(), look()] == [0, 0, 1, 2]
    api.get(f"/runs/{flow}")
    other = Api(api.url, sandbox="dev")
    for _ in range(2):
        other.get(f"/runs?property=flowId=={flow}")
    assert met(api)["polling"]["count"] == 2
    other.close()


def test_repeating_what_an_injected_fault_hit_is_no_polling(api: Api) -> None:
    """The scenarios ask for it; beyond that the same still counts."""
    rule = {"kind": "error", "error": "service-unavailable", "times": 5}
    api.control("PUT", "/faults", {"rules": [rule]})
    statuses = [api.get("/flows").status_code for _ in range(7)]
    assert statuses == [503] * 5 + [200] * 2
    assert "polling" not in met(api)
    api.get("/flows")
    assert met(api)["polling"]["count"] == 1


def test_a_page_that_is_never_followed(api: Api) -> None:
    for number in range(25):
        api.created(
            "connections",
            {
                **LANDING_ZONE.base_connection(),
                "name": str(number),
                "connectionSpec": {"id": LANDING_ZONE.spec, "version": "1.0"},
            },
        )
    api.get("/connections?limit=5")
    assert "page-not-followed" not in met(api), "who asks for five wants the first five"
    first = api.get("/connections?limit=20").json()
    rule = met(api)["page-not-followed"]
    assert (rule["severity"], rule["count"], rule["findings"][0]["operation"]) == ("warning", 1, "list:connections")
    token = first["_links"]["next"]["href"].partition("=")[2]
    other = Api(api.url, sandbox="dev")
    other.get("/connections", params={"continuationToken": token})
    other.close()
    assert met(api)["page-not-followed"]["count"] == 1, "another sandbox's request follows nothing"
    assert "next" not in api.get("/connections", params={"continuationToken": token}).json()["_links"]
    assert "page-not-followed" not in met(api)


def test_pages_of_datasets(api: Api) -> None:
    """The same of /configs, which counts by `start`."""
    path = f"/connectionSpecs/{DATA_LAKE}/configs?outputType=activationDatasets&outputField=datasets"
    api.get(path)
    assert met(api)["page-not-followed"]["findings"][0]["operation"] == "listConfigs"
    api.get(f"{path}&start=20&limit=100")
    assert met(api) == {}


def test_an_etag_from_long_ago(api: Api) -> None:
    """Over an hour between reading and using it; a look-up, a list or the creation's answer is a reading."""
    path = f"/connections/{api.created('connections', SFTP.base_connection())}"

    def change(name: str) -> None:
        etag = api.control("GET", "/state")["store"]  # looked at without the service seeing it
        etag = re.search(r'"etag": ?"(\\"[0-9a-f-]+\\")"', json.dumps(etag))
        assert etag is not None
        assert (
            api.patch(path, etag[1].replace("\\", ""), [{"op": "replace", "path": "/name", "value": name}]).status_code
            == 200
        )

    change("a")
    api.advance(3_600)
    api.get(path)
    change("b")
    api.advance(7_200)
    api.get("/connections")
    change("c")
    assert met(api) == {}
    api.control("PUT", "/state", api.control("GET", "/state"))
    api.advance(7_200)
    change("d")
    assert "2.0 h" in met(api)["etag-old"]["findings"][0]["message"]


# --- coverage ---------------------------------------------------------------------------------------------------------


def test_coverage_counts_what_was_met_and_names_what_was_not(api: Api) -> None:
    api.created(
        "targetConnections",
        SFTP.target_connection(api.created("connections", SFTP.base_connection()), compression="gzip"),
    )
    api.get("/flows?limit=5&count=true")
    api.get("/runs?orderby=-createdAt")
    coverage = report(api)["coverage"]
    assert list(coverage) == list(DIMENSIONS)

    def names(dimension: str, part: str) -> set[str]:
        return {entry["name"] for entry in coverage[dimension][part]}

    assert names("operations", "met") == {"create:connections", "create:targetConnections", "list:flows", "list:runs"}
    assert {"patch:flows", "adhocRun", "token", "landingZoneCredentials"} <= names("operations", "never")
    assert names("parameters", "met") == {"list:runs orderby"}, "a refused request meets no parameter"
    assert {"create:connections auth.specName", "create:targetConnections params.remotePath"} <= names("fields", "met")
    assert {"create:flows scheduleParams.exportMode", "create:connections description"} <= names("fields", "never")
    assert names("destinations", "met") == {SFTP.spec}
    assert {entry["title"] for entry in coverage["destinations"]["never"]} == {
        "Amazon S3",
        "Azure Blob Storage",
        "Azure Data Lake Gen2",
        "Data Landing Zone",
        "Google Cloud Storage",
    }
    assert names("fileForms", "met") == {"JSON GZIP"}
    assert names("statuses", "met") == {"200", "201", "400"}
    assert names("errors", "met") == {"limit-with-count"}
    for part in coverage.values():
        assert part["total"] == len(part["met"]) + len(part["never"])
        assert all(entry["count"] > 0 for entry in part["met"])


def test_what_there_is_to_be_met_is_read_from_the_tables(api: Api) -> None:
    """Operations, parameters and statuses from the OpenAPI description; destinations and forms from the fixtures; errors from theirs."""
    coverage = report(api)["coverage"]
    there = {dimension: {entry["name"] for entry in part["never"]} for dimension, part in coverage.items()}
    document = api.http.get("/openapi.json").json()
    operations = {
        operation["operationId"]: operation
        for path, methods in document["paths"].items()
        for operation in methods.values()
        if path.startswith(("/data/", "/ims/")) and operation["operationId"] not in {name for name, *_ in UNSUPPORTED}
    }
    assert there["operations"] == set(operations)
    assert there["parameters"] == {
        f"{name} {parameter['name']}"
        for name, operation in operations.items()
        for parameter in operation["parameters"]
        if parameter["in"] == "query"
    }
    own = {name for name, row in ERRORS.items() if row["source"] == "emulator"}
    assert there["errors"] == set(ERRORS) - own
    assert {int(status) for status in there["statuses"]} == {200, 201, 202} | {
        ERRORS[name]["status"] for name in there["errors"]
    }
    assert there["destinations"] == {destination.spec for destination in DESTINATIONS}
    assert there["fileForms"] == {"JSON NONE", "JSON GZIP", "PARQUET NONE", "PARQUET GZIP"}
    bodies = {
        name for name, operation in operations.items() if "requestBody" in operation and name.startswith("create:")
    }
    assert bodies <= {field.split()[0] for field in there["fields"]}


def test_the_tutorial_meets_its_fields(api: Api) -> None:
    """Every field that the tutorial's bodies send is known to the coverage, so that none is counted in vain."""
    known = {entry["name"] for part in ("met", "never") for entry in report(api)["coverage"]["fields"][part]}
    for destination in DESTINATIONS:
        bodies = {
            "create:sourceConnections": SOURCE_CONNECTION,
            "create:connections": destination.base_connection(),
            "create:targetConnections": destination.target_connection("b"),
            "create:flows": destination.flow("s", "t"),
        }
        for name, body in bodies.items():
            fields = {
                *body,
                *(f"{key}.{below}" for key, value in body.items() if isinstance(value, dict) for below in value),
            }
            assert {f"{name} {field}" for field in fields} <= known


# --- state ------------------------------------------------------------------------------------------------------------


def use(api: Api) -> None:
    """A little of everything that the report keeps."""
    LENIENCES["json-uncompressed"](api)
    api.get("/nope")
    for limit in ("limit=0", "limit=5&count=true", "start=0"):
        api.get(f"/flows?{limit}")
    api.get(f"/connectionSpecs/{DATA_LAKE}/configs")
    connection = api.created("connections", SFTP.base_connection())
    api.delete(f"/connections/{connection}")
    api.get(f"/connections/{connection}")
    api.get(f"/connectionSpecs/{DATA_LAKE}/configs?outputType=activationDatasets&outputField=datasets")


def test_a_snapshot_gives_the_same_report_on_another_server(api: Api, tmp_path: Path) -> None:
    use(api)
    before, state = report(api), api.control("GET", "/state")
    deleted = api.control("GET", "/requests", params={"method": "DELETE"})["items"][0]["path"]
    with serving(tmp_path) as process:
        other = Api(process.url)
        other.control("PUT", "/state", state)
        assert report(other) == before
        other.http.get(deleted)
        assert other.control("GET", "/requests")["items"][-1]["verdict"] == "ok", "that it was deleted came along"
        other.get(
            f"/connectionSpecs/{DATA_LAKE}/configs?outputType=activationDatasets&outputField=datasets&start=20&limit=100"
        )
        assert "page-not-followed" not in met(other)
        other.close()


def test_reset_forgets_it_all_unless_it_is_told_to_keep_it(api: Api) -> None:
    """`?keep=contract`: a test suite that resets between its tests gets one report at its end."""
    empty = report(api)
    use(api)
    api.control("DELETE", "/requests")  # the report says which requests the journal does not have
    before = report(api)
    api.control("POST", "/reset", params={"keep": "contract"})
    assert report(api) == before
    assert api.control("GET", "/requests")["items"] == []
    api.control("POST", "/reset")
    assert report(api) == empty
    for wrong in ("nope", "contract,nope", "clock"):
        response = api.http.post("/__emulator/reset", params={"keep": wrong})
        assert "contract" in assert_error(response, "control-invalid")["detail"]


def damaged(part: dict[str, Any]) -> Iterator[Any]:
    yield None
    yield []
    for name in part:
        yield {key: value for key, value in part.items() if key != name}
        yield {**part, name: 7}
    yield {**part, "findings": [{**part["findings"][0], "first": {}}]}
    yield {**part, "findings": [{name: value for name, value in part["findings"][0].items() if name != "kind"}]}
    yield {**part, "coverage": {**part["coverage"], "operations": {"x": "many"}}}
    yield {**part, "habits": {**part["habits"], "pages": [["x"]]}}
    yield {**part, "habits": {**part["habits"], "shown": [["x", "y"]]}}


def test_a_damaged_snapshot_is_refused_whole(api: Api) -> None:
    use(api)
    state, before = api.control("GET", "/state"), report(api)
    for broken in damaged(state["contract"]):
        response = api.http.put("/__emulator/state", json={**state, "contract": broken})
        assert '"contract"' in assert_error(response, "control-invalid")["detail"]
    for version in (STATE_FORMAT - 1, STATE_FORMAT + 1):
        response = api.http.put("/__emulator/state", json={**state, "format": version})
        detail = assert_error(response, "control-invalid")["detail"]
        assert f'"format" must be {STATE_FORMAT}' in detail and f"got {version}" in detail
    assert report(api) == before


def test_memory_is_bounded() -> None:
    """However many entities, pages and made-up names a client goes through."""
    catalog = load_catalog()
    contract = Contract(
        catalog,
        now=lambda: 0.0,
        document=lambda: {"paths": {}, "components": {"schemas": {}}},
        expiry=lambda token: None,
    )
    for number in range(12_000):
        exchange = Exchange(
            "GET",
            f"/data/{number}",
            f"p{number}=1",
            {"authorization": f"Bearer {number}"},
            "id",
            operation="list:flows",
        )
        exchange.warnings.append(ContractWarning("unknown-field", f"field{number}", "m"))
        answer = b'{"items":[],"_links":{"next":{"href":"/flows?continuationToken=%d"}}}' % number
        contract.judge(
            Sighting(
                number=number, exchange=exchange, at=0.0, steady=0.0, duration=0.0, status=200, path=exchange.path, query="",
                headers={}, answer=answer, answer_headers={}, body={f"field{number}": {f"below{number}": 1}},
            )
        )  # fmt: skip
    assert len(json.dumps(contract.snapshot())) < 2_500_000
    assert contract.report()["summary"]["requests"] == 12_000


# --- the four forms ---------------------------------------------------------------------------------------------------

EVIL = "<script>alert(1)</script>&\"'\x1b[31m]]>"


@pytest.fixture
def told(api: Api) -> dict[str, Any]:
    """A report with violations and warnings, and texts that want to be more than text."""
    use(api)
    api.post("/connections", {**S3.base_connection(), "connectionSpec": {"id": EVIL, "version": "1.0"}})
    api.http.get(f"{BASE}/{quote(EVIL)}")
    return report(api)


@pytest.mark.parametrize("form", FORMATS)
def test_each_form_has_its_content_type(api: Api, told: Any, form: str) -> None:
    response = api.http.get("/__emulator/contract", params={"format": form})
    assert response.status_code == 200
    assert response.headers["content-type"] == FORMATS[form]
    assert "path-not-found" in response.text


@pytest.mark.parametrize("query", ["format=pdf", "format=", "format=HTML", "form=json", "fail-on=nothing"])
def test_an_unknown_form_is_refused_with_those_there_are(api: Api, query: str) -> None:
    detail = assert_error(api.http.get(f"/__emulator/contract?{query}"), "control-invalid")["detail"]
    assert ("json, text, junit, html" in detail) or ("violation, warning" in detail) or ("format, fail-on" in detail)


def test_text(told: dict[str, Any]) -> None:
    """Everything that the report has, for a terminal: colours only where they are wanted, no control characters."""
    plain = rendered(told, "text")
    assert "\x1b" not in plain
    assert max(map(len, plain.splitlines())) < 200
    for rule in (*told["violations"], *told["warnings"]):
        assert rule["id"] in plain
        assert rule["fix"].split()[0] in plain
    assert "  destinations: 1 of 6" in plain
    coloured = rendered(told, "text", colour=True)
    assert re.sub(r"\x1b\[\d+m", "", coloured) == plain
    assert coloured != plain


def test_a_place_is_not_told_twice(api: Api) -> None:
    """Neither where the message has it with the index of an item."""
    body = {"name": "n", "connectionSpec": {"id": DATA_LAKE, "version": "1.0"}, "params": {"datasets": [{}]}}
    api.post("/sourceConnections", body)
    for form in ("text", "html"):
        shown = rendered(report(api), form)
        assert "params.datasets[0].dataSetId is required" in shown and "params.datasets[]" not in shown
    api.get("/flows?limit=0")
    assert "query.limit: Invalid value 0" in rendered(report(api), "text")


def test_a_report_of_nothing_praises_nothing(api: Api) -> None:
    """A client that never reached the emulator has done nothing right."""
    nothing = report(api)
    assert rendered(nothing, "text").splitlines()[0] == "Contract report: no request was seen"
    page = rendered(nothing, "html")
    assert '<p class="verdict unknown">No request was seen</p>' in page
    assert "No violations: no request was seen." in page and "would have taken" not in page
    api.get("/flows")
    assert '<p class="verdict good">No violations, no warnings</p>' in rendered(report(api), "html")


@pytest.mark.parametrize("fail_on", ["violation", "warning"])
def test_junit(told: dict[str, Any], fail_on: Any) -> None:
    """Each rule is a test case: a violation fails, a warning is skipped, or fails where it is asked to."""
    root = ElementTree.fromstring(rendered(told, "junit", fail_on))
    suites = {suite.get("name"): suite for suite in root.findall("testsuite")}
    assert set(suites) == {"violations", "warnings"}
    cases = {case.get("name", "").partition(":")[0]: case for case in root.iter("testcase")}
    assert set(cases) == {rule["id"] for rule in told["rules"]}
    for severity in ("violation", "warning"):
        suite, broken = suites[f"{severity}s"], {rule["id"] for rule in told[f"{severity}s"]}
        outcome = "failure" if severity == "violation" or fail_on == "warning" else "skipped"
        assert {
            case.get("name", "").partition(":")[0] for case in suite.iter("testcase") if case.find(outcome) is not None
        } == broken
        assert suite.get("tests") == str(len(suite.findall("testcase")))
        assert suite.get("failures") == str(len(list(suite.iter("failure"))))
        assert suite.get("skipped") == str(len(list(suite.iter("skipped"))))
    failure = cases["spec-id-invalid"].find("failure")
    assert failure is not None and failure.text is not None
    assert "<script>alert(1)</script>" in failure.text
    assert "connectionSpec" in (failure.get("message") or "")
    properties = {each.get("name"): each.get("value") for each in suites["violations"].iter("property")}
    assert properties["coverage.destinations"] == "1 of 6"
    assert root.get("tests") == str(len(told["rules"]))


class Page(HTMLParser):
    """Reads a page strictly: every element closed in its turn, and what a page for everybody needs."""

    VOID = frozenset({"meta", "br"})

    def __init__(self, page: str) -> None:
        super().__init__(convert_charrefs=True)
        self.open: list[str] = []
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.text = ""
        self.feed(page)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))
        if tag not in self.VOID:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if "style" not in self.open:
            self.text += data

    def attributes(self, name: str) -> list[str]:
        return [attributes[name] or "" for _, attributes in self.elements if name in attributes]


def test_html(told: dict[str, Any]) -> None:
    """One page that stands alone, with a language, a title, headings in order, named sections, and nothing but text from the client."""
    source = rendered(told, "html")
    page = Page(source)
    tags = [tag for tag, _ in page.elements]
    assert source.startswith("<!doctype html>")
    assert dict(page.elements)["html"] == {"lang": "en"}
    assert {"title", "header", "main", "nav", "footer"} <= set(tags)
    assert not {"script", "link", "img", "iframe", "object", "form"} & set(tags)
    links = {name for name in page.attributes("href") if not name.startswith("#")}
    rules = [*told["violations"], *told["warnings"]]
    assert links == {rule["sourceUrl"] for rule in rules if "sourceUrl" in rule}
    assert not re.search(r"url\(|@import|https?://", source.partition("</style>")[0])
    assert page.attributes("src") == []
    headings = [int(tag[1]) for tag in tags if re.fullmatch(r"h[1-6]", tag)]
    assert headings[0] == 1 and headings.count(1) == 1
    assert all(after <= before + 1 for before, after in pairwise(headings))
    ids = page.attributes("id")
    assert len(ids) == len(set(ids))
    assert {name.removeprefix("#") for name in set(page.attributes("href")) - links} <= set(ids)
    assert set(page.attributes("aria-labelledby")) <= set(ids)
    assert any(
        attributes.get("name") == "viewport" and "width=device-width" in str(attributes["content"])
        for _, attributes in page.elements
    )
    assert "@media print" in source and "prefers-color-scheme: dark" in source and "max-width: 30rem" in source
    assert "<script>alert(1)</script>" in page.text
    assert not re.search(r"[\x00-\x08\x0b-\x1f\x7f-\x9f]", source)
    for rule in (*told["violations"], *told["warnings"]):
        assert rule["title"] in page.text and rule["fix"] in page.text and rule["source"] in page.text
    for dimension, part in told["coverage"].items():
        title = TITLES[dimension]
        assert f"{title[:1].upper()}{title[1:]}: {len(part['met'])} of {part['total']}" in page.text


def test_html_has_enough_contrast() -> None:
    """Text on its backgrounds, in both colour schemes and in print: at least 4.5 to 1 (WCAG 2.2, 1.4.3)."""
    from flow_service_emulator.reports.html import STYLE

    def luminance(colour: str) -> float:
        digits = colour if len(colour) == 6 else "".join(digit * 2 for digit in colour)
        parts = [int(digits[index : index + 2], 16) / 255 for index in (0, 2, 4)]
        linear = [part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts]
        return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]

    schemes = re.findall(r":root \{(.*?)\}", STYLE, re.DOTALL)
    assert len(schemes) == 3
    for scheme in schemes:
        colours = dict(re.findall(r"--(\w+): #([0-9a-f]{3,6})", scheme))
        for text in ("text", "dim", "bad", "warn", "good", "link"):
            for background in ("page", "card"):
                light, dark = sorted(
                    (luminance(colours.get(text, "0b57c2")), luminance(colours[background])), reverse=True
                )
                assert (light + 0.05) / (dark + 0.05) >= 4.5, (text, background, scheme)


def test_html_may_load_nothing(api: Api) -> None:
    policy = api.http.get("/__emulator/contract?format=html").headers["content-security-policy"]
    assert policy.startswith("default-src 'none'")


# --- the command ------------------------------------------------------------------------------------------------------


Command = Callable[..., tuple[int, str, str]]


@pytest.fixture
def run_report(capsys: pytest.CaptureFixture[str]) -> Command:
    """The command in this process: exit status, standard output, standard error."""

    def run(*arguments: str) -> tuple[int, str, str]:
        try:
            status = main(["report", *arguments])
        except SystemExit as exit:
            status = int(str(exit.code))
        captured = capsys.readouterr()
        return status, captured.out, captured.err

    return run


def test_the_command(api: Api, server: ServerProcess, run_report: Command, tmp_path: Path) -> None:
    """The exit status is for CI: 1 when there is what --fail-on names, or worse."""
    url = f"{server.url}/"
    assert run_report("--url", url)[0] == 0
    LENIENCES["trailing-slash"](api)
    assert run_report("--url", url) == (0, api.http.get("/__emulator/contract?format=text").text, "")
    assert run_report("--url", url, "--fail-on", "warning")[0] == 1
    api.get("/nope")
    file = tmp_path / "report.xml"
    told = f"{file}: 1 rule violated, warnings of 1 rule\n"
    assert run_report("--url", url, "--format", "junit", "--output", str(file)) == (1, "", told)
    assert file.read_text("utf-8") == api.http.get("/__emulator/contract?format=junit").text


@pytest.mark.parametrize(
    ("name", "form", "expected"),
    [
        ("r.html", None, "html"), ("r.HTML", None, "html"), ("r.json", None, "json"), ("r.xml", None, "junit"),
        ("r.txt", None, "text"), ("r.html", "json", "json"), ("r.log", "text", "text"),
        ("r", "xml", "junit"), ("r.html", "txt", "text"),
    ],
)  # fmt: skip
def test_the_form_goes_by_the_ending(
    api: Api, server: ServerProcess, run_report: Command, tmp_path: Path, name: str, form: str | None, expected: str
) -> None:
    """Of the file that is written, unless a form is named; `xml` is JUnit's."""
    api.get("/nope")
    asked = () if form is None else ("--format", form)
    run_report("--url", server.url, "--output", str(tmp_path / name), *asked)
    assert (tmp_path / name).read_text("utf-8") == api.http.get(f"/__emulator/contract?format={expected}").text


def test_the_command_as_a_process(api: Api, server: ServerProcess) -> None:
    """The exit status gets out, and a reader that has had enough, such as `head`, is no error."""
    api.get("/nope")
    command = [sys.executable, "-m", "flow_service_emulator", "report", "--url", server.url, "--format", "json"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None and process.stderr is not None
        process.stdout.close()
        assert process.stderr.read() == ""
        assert process.wait(60) == 1


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (("--url", "http://127.0.0.1:1"), "does not answer"),
        (("--url", "nonsense"), "http://127.0.0.1:8080"),
        (("--format", "pdf"), "choose from"),
        (("--fail-on", "nothing"), "choose from"),
    ],
)
def test_the_command_says_why_it_cannot(run_report: Command, arguments: tuple[str, ...], told: str) -> None:
    """Status 2, which is neither good nor bad news about the client."""
    status, output, errors = run_report(*arguments)
    assert (status, output) == (2, "")
    assert told in errors


def test_the_command_says_when_it_cannot_write(server: ServerProcess, run_report: Command, tmp_path: Path) -> None:
    status, _, errors = run_report(
        "--url", server.url, "--output", str(tmp_path / "no" / "report.html"), "--format", "html"
    )
    assert status == 2
    assert "cannot write" in errors


def test_titles_of_all_dimensions() -> None:
    assert (
        set(TITLES)
        == set(DIMENSIONS)
        == set(what_is_there({"paths": {}, "components": {"schemas": {}}}, load_catalog(), {}))
    )
