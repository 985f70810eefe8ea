"""The contract report: what a client does wrong, what is fragile, and what it never met.

Source: issue "A test bench for other people's clients"; the leniences are those of the reference's last table.
"""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from contract_tests.support import ERRORS, Api, assert_error, replace, serving
from contract_tests.tutorial import BASE, DATA_LAKE, LANDING_ZONE, S3, SFTP, SOURCE_CONNECTION
from flow_service_emulator.built_in import fixtures_dir
from flow_service_emulator.contract.rules import DIMENSIONS
from flow_service_emulator.reports.report import MAX_FINDINGS

APIS = json.loads((fixtures_dir() / "unsupported.json").read_text("utf-8"))["apis"]
PACKAGE = Path(__file__).parent.parent / "emulator" / "flow_service_emulator"


def verdicts(api: Api) -> list[str]:
    return [entry["verdict"] for entry in api.requests()]


# --- the table of rules -----------------------------------------------------------------------------------------------


def test_every_rule_can_be_read_and_followed(api: Api) -> None:
    """An error that says how it is fixed is a rule; what a rule says ends as a sentence does."""
    rules = {rule["id"]: rule for rule in api.report()["rules"]}
    for name, row in ERRORS.items():
        assert (name in rules) == bool(row["fix"]), name
        if row["fix"]:
            assert (rules[name].get("code", ""), rules[name]["source"]) == (row["code"], row["source"])
    for rule in rules.values():
        assert rule["title"] and rule["source"] and rule["fix"].endswith((".", "}")), rule["id"]


def test_rules_and_what_is_warned_of_are_the_same() -> None:
    """Whatever the code warns of stands in a table, and no rule stands there that nothing can meet."""
    sources = "".join(file.read_text("utf-8") for file in PACKAGE.rglob("*.py"))
    used = set(re.findall(r'(?:Finding|\.warn)\(\s*"([a-z-]+)"', sources))
    rules = {row["id"] for row in json.loads((fixtures_dir() / "rules.json").read_text("utf-8"))["rules"]}
    assert used <= rules
    assert {rule for rule in rules if f'"{rule}"' not in sources} == set()


def test_every_public_source_has_its_address(api: Api) -> None:
    """In the report of every rule; a source without one says itself that nothing public is meant."""
    nowhere = ("aepp", "emulator", "reference", "The specs' own", "The API reference and")
    for rule in api.report()["rules"]:
        assert rule.get("sourceUrl", "").startswith("https://") or rule["source"].startswith(nowhere), rule["id"]


# --- violations -------------------------------------------------------------------------------------------------------


def test_a_violation_says_what_where_why_and_how_to_fix_it(api: Api) -> None:
    base = api.created("connections", S3.base_connection())
    for name in ("Not_a_bucket", "Neither-is_this"):
        api.post("/targetConnections", S3.target_connection(base, bucketName=name))
    (violation,) = api.report()["violations"]
    row = ERRORS["provider-rejected"]
    assert violation.items() >= {"id": "provider-rejected", "code": row["code"], "status": 400, "count": 2}.items()
    assert violation["source"] == row["source"] and "GET /connectionSpecs/{id}" in violation["fix"]
    (finding,) = violation["findings"]
    assert (
        finding.items() >= {"operation": "create:targetConnections", "place": "params.bucketName", "count": 2}.items()
    )
    assert "Not_a_bucket" in finding["message"]
    request_id = api.requests(status=400)[0]["requestId"]
    assert finding["first"] == {
        "entry": 2, "requestId": request_id, "method": "POST", "path": f"{BASE}/targetConnections", "status": 400,
        "at": api.control("GET", "/clock")["now"],
    }  # fmt: skip
    assert finding["last"]["entry"] == 3


CONFIGS = f"/connectionSpecs/{DATA_LAKE}/configs"
GOOD_CONFIGS = f"{CONFIGS}?outputType=activationDatasets&outputField=datasets"
PLACES: dict[str, tuple[str, str, str]] = {
    # request -> (rule, place, kind); those of further queries are in api/test_bad_input.py
    f"GET {CONFIGS}?outputField=datasets": ("value-invalid", "query.outputType", "required"),
    "GET /flows?limit=5&count=true": ("limit-with-count", "query.limit", ""),
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
    (finding,) = api.met()[rule]["findings"]
    assert (finding["place"], finding["kind"]) == (place, kind)
    (told,) = api.requests()[0]["findings"]
    assert (told["rule"], told["place"], told["kind"]) == (rule, place, kind)


def test_different_mistakes_are_different_findings(api: Api) -> None:
    """In one place of one call as well: each keeps its own message, and is counted apart."""
    for dataset in ({"dataSetId": "orders"}, {"datasetId": "orders"}, {"datasetId": "other"}, {"dataSetId": 5}):
        api.post("/sourceConnections", {**SOURCE_CONNECTION, "params": {"datasets": [dataset]}})
    found = {
        finding["kind"]: (finding["count"], finding["message"])
        for finding in api.met()["provider-rejected"]["findings"]
        if finding["place"] == "params.datasets[].dataSetId"
    }
    for kind, count, told in (
        ("required", 2, "is required but missing"),
        ("type", 1, "must be a string"),
        ("enum", 1, "no eligible"),
    ):
        assert found[kind][0] == count and told in found[kind][1]


def test_what_a_patch_names_is_its_place(api: Api) -> None:
    path = f"/connections/{api.created('connections', SFTP.base_connection())}"
    for pointer in ("/createdAt", "/nothing/there", "/createdAt"):
        api.patch(path, api.item(path)["etag"], [replace(pointer, 1)])
    places = {finding["place"]: finding["count"] for finding in api.met()["patch-invalid"]["findings"]}
    assert places == {"/createdAt": 2, "/nothing/there": 1}


@pytest.mark.parametrize("base", APIS)
def test_another_of_the_platforms_services_is_a_warning(api: Api, base: str) -> None:
    """A client that looks a dataset up in Catalog does nothing wrong; that it cannot be tried here is said."""
    for path in (f"{base}/one", f"{base}/two?x=1", base):
        detail = assert_error(api.http.get(path), "unsupported")["detail"]
        assert APIS[base] in detail
    assert set(api.met()) == {"unsupported"}
    (finding,) = api.met()["unsupported"]["findings"]
    assert (finding["place"], finding["count"]) == (base, 3)
    assert set(verdicts(api)) == {"warning"}
    assert api.http.get(f"{base}s/one").status_code == 404


def test_places_are_bounded_and_requests_are_counted_on(api: Api) -> None:
    for number in range(MAX_FINDINGS + 10):
        api.get(f"/nope{number}")
    rule = api.met()["path-not-found"]
    assert (rule["count"], len(rule["findings"])) == (MAX_FINDINGS + 10, MAX_FINDINGS)


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
    assert api.patch(f"/connections/{connection}", etag, [replace("/name", "x")]).status_code == 412
    assert api.get("/runs/nope").status_code == 404
    assert api.met()["resource-not-found"]["findings"][0]["operation"] == "get:runs"
    assert set(api.met()) == {"resource-not-found"}
    assert verdicts(api)[2:] == ["injected", "injected", "violation"]
    errors = {error["name"] for error in api.report()["coverage"]["errors"]["met"]}
    assert {"resource-not-found", "version-mismatch"} <= errors


def test_looking_for_what_was_deleted_is_no_violation(api: Api) -> None:
    """A client that makes sure does nothing wrong; one that goes on changing it does."""
    connection = api.created("connections", SFTP.base_connection())
    api.delete(f"/connections/{connection}")
    assert api.get(f"/connections/{connection}").status_code == 404
    assert api.met() == {}
    api.delete(f"/connections/{connection}")
    assert api.met()["resource-not-found"]["count"] == 1
    api.get("/connections/never-there")
    assert api.met()["resource-not-found"]["count"] == 2


def test_if_match(api: Api) -> None:
    """A stale etag happens to good clients: a warning. What is no etag at all never works: a violation."""
    path = f"/connections/{api.created('connections', SFTP.base_connection())}"
    etag = api.item(path)["etag"]
    change = [replace("/name", "another name")]
    api.patch(path, etag, change)
    api.patch(path, etag, change)
    assert api.met()["etag-not-latest"]["severity"] == "warning"
    assert "if-match-form" not in api.met()
    for sent in ("*", etag.strip('"'), f"W/{etag}", f'{etag}, "x"'):
        api.patch(path, sent, change)
    api.patch(path, None, change)
    counts = {name: rule["count"] for name, rule in api.met().items()}
    assert counts == {"if-match-form": 4, "if-match-missing": 1, "etag-not-latest": 1}
    assert api.met()["if-match-form"]["code"] == "1404-412"


def test_tokens_that_are_checked(tmp_path: Path) -> None:
    """Expired, and never valid: told apart. Expiry happens to good clients, a made-up token does not."""
    with serving(tmp_path, "--check-auth") as process:
        api = Api(process.url)
        form = {"grant_type": "client_credentials", "client_id": "test-key", "client_secret": "s"}
        token = api.http.post("/ims/token/v3", data=form).json()["access_token"]
        api.http.headers["Authorization"] = f"Bearer {token}"
        api.get("/flows")
        assert api.met() == {}
        api.advance(86_399 + 100)
        assert [api.get(path).status_code for path in ("/flows", "/runs")] == [401, 401]
        assert set(api.met()) == {"token-expired"} and api.met()["token-expired"]["severity"] == "warning"
        (finding,) = api.met()["token-expired"]["findings"]
        assert (finding["message"], finding["operation"], finding["count"]) == ("the token expired 100 s ago", "*", 2)
        api.http.headers["Authorization"] = "Bearer made-up"
        api.get("/runs")
        assert api.met()["gateway-token-not-valid"]["severity"] == "violation"
        api.close()


# --- headers ----------------------------------------------------------------------------------------------------------

ORG, SANDBOX = "x-gw-ims-org-id", "x-sandbox-name"


@pytest.mark.parametrize(
    ("header", "value"), [(ORG, "My Org"), (ORG, "ABC"), (ORG, "TEST@adobeorg"), (SANDBOX, "PROD"), (SANDBOX, "my_dev")]
)
def test_what_no_organization_or_sandbox_looks_like_is_warned_of(api: Api, header: str, value: str) -> None:
    """Once for all calls, with the value."""
    rule = "org-id-form" if header == ORG else "sandbox-name-form"
    for path in ("/flows", "/runs"):
        assert api.get(path, headers={header: value}).status_code == 200
    assert set(api.met()) == {rule}
    (finding,) = api.met()[rule]["findings"]
    assert (finding["operation"], finding["place"], finding["count"]) == ("*", f"headers.{header}", 2)
    assert f'"{value}"' in finding["message"]
    assert verdicts(api) == ["warning", "warning"]


MISSING = {
    "authorization": "gateway-token-missing",
    "x-api-key": "gateway-api-key-missing",
    ORG: "gateway-org-missing",
    SANDBOX: "sandbox-header-missing",
}


@pytest.mark.parametrize(
    "left_out", [list(MISSING), ["authorization", ORG], ["x-api-key", ORG], ["x-api-key"]], ids=str
)
def test_all_missing_headers_are_told_at_once(api: Api, left_out: list[str]) -> None:
    """In the report and in the journal; the gateway's answer names the first alone."""
    for path in ("/flows", "/runs"):
        request = api.http.build_request("GET", BASE + path)
        for header in left_out:
            request.headers.pop(header)
        assert_error(api.http.send(request), MISSING[left_out[0]])
    expected = {MISSING[header]: f"headers.{header}" for header in left_out}
    assert {rule["id"]: rule["findings"][0]["place"] for rule in api.met().values()} == expected
    assert all([finding["count"] for finding in rule["findings"]] == [2] for rule in api.met().values())
    for entry in api.requests():
        assert {finding["rule"]: finding["place"] for finding in entry["findings"]} == expected
        assert entry["verdict"] == "violation"


def test_an_empty_organization_is_told_beside_a_wrong_token_but_not_of_an_injected_error(api: Api) -> None:
    api.get("/flows", headers={"Authorization": "Basic x", ORG: ""})
    assert set(api.met()) == {"token-invalid", "org-header-empty"}
    api.control("PUT", "/faults", {"rules": [{"kind": "error", "error": "gateway-token-missing"}]})
    api.control("DELETE", "/contract")
    api.get("/flows", headers={"x-api-key": ""})
    assert api.met() == {} and verdicts(api)[1:] == ["injected"]


# --- pages -----------------------------------------------------------------------------------------------------------


def test_a_page_that_is_never_followed(api: Api) -> None:
    for _ in range(25):
        api.created("connections", {"name": "x", "connectionSpec": {"id": LANDING_ZONE.spec, "version": "1.0"}})
    api.get("/connections?limit=5")
    assert "page-not-followed" not in api.met(), "who asks for five wants the first five"
    first = api.get("/connections?limit=20").json()
    rule = api.met()["page-not-followed"]
    assert (rule["severity"], rule["count"], rule["findings"][0]["operation"]) == ("warning", 1, "list:connections")
    token = first["_links"]["next"]["href"].partition("=")[2]
    api.other(sandbox="dev").get("/connections", params={"continuationToken": token})
    assert api.met()["page-not-followed"]["count"] == 1, "another sandbox's request follows nothing"
    assert "next" not in api.get("/connections", params={"continuationToken": token}).json()["_links"]
    assert "page-not-followed" not in api.met()


def test_pages_of_datasets(api: Api) -> None:
    """The same of /configs, which counts by `start`."""
    api.get(GOOD_CONFIGS)
    assert api.met()["page-not-followed"]["findings"][0]["operation"] == "listConfigs"
    api.get(f"{GOOD_CONFIGS}&start=20&limit=100")
    assert api.met() == {}


# --- coverage ---------------------------------------------------------------------------------------------------------


def test_coverage_counts_what_was_met_and_names_what_was_not(api: Api) -> None:
    api.target(SFTP, compression="gzip")
    api.get("/flows?limit=5&count=true")
    api.get("/runs?orderby=-createdAt")
    coverage = api.report()["coverage"]
    assert list(coverage) == list(DIMENSIONS)

    def names(dimension: str, part: str) -> set[str]:
        return {entry["name"] for entry in coverage[dimension][part]}

    assert names("operations", "met") == {"create:connections", "create:targetConnections", "list:flows", "list:runs"}
    assert {"patch:flows", "adhocRun", "token", "landingZoneCredentials"} <= names("operations", "never")
    assert names("parameters", "met") == {"list:runs orderby"}, "a refused request meets no parameter"
    assert {"create:connections auth.specName", "create:targetConnections params.remotePath"} <= names("fields", "met")
    assert {"create:flows scheduleParams.exportMode", "create:connections description"} <= names("fields", "never")
    assert names("destinations", "met") == {SFTP.spec}
    assert "Azure Data Lake Gen2" in {entry["title"] for entry in coverage["destinations"]["never"]}
    assert names("fileForms", "met") == {"JSON GZIP"}
    assert names("statuses", "met") == {"200", "201", "400"}
    assert names("errors", "met") == {"limit-with-count"}
    for part in coverage.values():
        assert part["total"] == len(part["met"]) + len(part["never"])
        assert all(entry["count"] > 0 for entry in part["met"])


def test_the_coverage_takes_a_line_for_each_group(api: Api) -> None:
    """Every name is told where it is asked for."""
    for query in ("limit=0", "limit=1&count=false", "limit=2"):
        api.get(f"/flows?{query}")
    short, full = (api.http.get(f"/__emulator/contract?format=text&coverage={each}").text for each in ("short", "full"))
    lines = short.partition("\nCOVERAGE")[2].splitlines()[1:]
    groups = api.report()["coverage"]
    assert len(lines) == len(groups) + 1 and max(map(len, lines)) <= 100
    assert re.match(r"  query parameters accepted: 2 of \d+, 3 times; never .* and \d+ more$", lines[1])
    assert all(entry["title"].partition(": ")[0] in full for entry in groups["operations"]["never"])
    assert_error(api.http.get("/__emulator/contract?coverage=all"), "control-invalid")


# --- state ------------------------------------------------------------------------------------------------------------


def use(api: Api) -> None:
    """A little of everything that the report keeps."""
    api.target(S3)
    api.get("/nope")
    for limit in ("limit=0", "limit=5&count=true", "start=0"):
        api.get(f"/flows?{limit}")
    api.get(CONFIGS)
    connection = api.created("connections", SFTP.base_connection())
    api.delete(f"/connections/{connection}")
    api.get(f"/connections/{connection}")
    api.get(GOOD_CONFIGS)


def test_the_report_begins_anew_without_anything_else_being_lost(api: Api) -> None:
    connection = api.created("connections", S3.base_connection())
    gone = api.created("connections", S3.base_connection())
    api.delete(f"/connections/{gone}")
    api.get("/flows?limit=0")
    api.get(GOOD_CONFIGS)  # announces a page that is not fetched
    assert set(api.met()) == {"value-invalid", "page-not-followed"}
    number = api.control("GET", "/requests")["number"]
    assert api.control("DELETE", "/contract") == {"status": "ok"}
    anew = api.report()
    assert api.met() == {} and anew["summary"]["requests"] == 0 and anew["coverage"]["operations"]["met"] == []
    assert api.control("GET", "/requests")["number"] == number and api.item(f"/connections/{connection}")
    assert api.get(f"/connections/{gone}").status_code == 404
    assert api.met() == {}, "whoever looks for what was deleted does still nothing wrong"
    assert assert_error(api.http.delete("/__emulator/contract?x=1"), "control-invalid")


def test_reset_forgets_it_all_unless_it_is_told_to_keep_it(api: Api) -> None:
    """`?keep=contract`: a test suite that resets between its tests gets one report at its end."""
    empty = api.report()
    use(api)
    api.control("DELETE", "/requests")  # the report says which requests the journal does not have
    before = api.report()
    api.control("POST", "/reset", params={"keep": "contract"})
    assert api.report() == before
    assert api.requests() == []
    api.control("POST", "/reset")
    assert api.report() == empty
    for wrong in ("nope", "contract,nope", "clock"):
        response = api.http.post("/__emulator/reset", params={"keep": wrong})
        assert "contract" in assert_error(response, "control-invalid")["detail"]


def test_a_rule_of_faults_that_nothing_has_met_is_told(api: Api) -> None:
    rule = {"kind": "error", "error": "service-unavailable"}
    api.control("PUT", "/faults", {"rules": [{**rule, "operation": f"list:{name}"} for name in ("flows", "runs")]})
    api.get("/runs")
    (told,) = api.report()["unmatchedFaults"]
    assert told["operation"] == "list:flows"
    for form in ("text", "html", "junit"):
        assert "error: list:flows" in api.http.get(f"/__emulator/contract?format={form}").text
