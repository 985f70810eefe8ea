"""What a finding says, so that nobody has to look elsewhere: what was sent, what is allowed, and all that is wrong with a request."""

from __future__ import annotations

import re
from copy import deepcopy

import pytest

from contract_tests.support import Api, ServerProcess, assert_error
from contract_tests.test_contract import CONFIGS, GOOD_CONFIGS, met, report, verdicts
from contract_tests.tutorial import BASE, S3, SOURCE_CONNECTION
from flow_service_emulator.catalog import load_catalog
from flow_service_emulator.cli import main
from flow_service_emulator.contract.rules import source_url
from flow_service_emulator.reports.forms import rendered

# --- a spec's version -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("version", "told"),
    [
        (1.0, 'connectionSpec.version was the number 1.0; the text "1.0" is needed'),
        (1, 'connectionSpec.version was the number 1; the text "1.0" is needed'),
        (True, 'connectionSpec.version was true; the text "1.0" is needed'),
        ("2.0", 'connectionSpec.version was "2.0"'),
    ],
)
def test_a_version_is_told_as_it_was_sent(api: Api, version: object, told: str) -> None:
    """1.0 and "1.0" look different in the answer and in the finding."""
    body = {**S3.base_connection(), "connectionSpec": {"id": S3.spec, "version": version}}
    answer = assert_error(api.post("/connections", body), "spec-id-invalid")
    assert answer["value"] == version and type(answer["value"]) is type(version)
    (finding,) = met(api)["spec-id-invalid"]["findings"]
    assert finding["message"].endswith(told)
    assert '"1.0"' in met(api)["spec-id-invalid"]["fix"]


# --- what is allowed --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("path", "allowed"),
    [
        (CONFIGS, "activationDatasets"),
        (f"{CONFIGS}?outputType=activationDatasets", "datasets"),
        (f"{GOOD_CONFIGS}&limit=1000", "a whole number from 1 to 100"),
        (f"{GOOD_CONFIGS}&start=-1", "a whole number from 0 on"),
        ("/flows?limit=0", "a whole number from 1 to 100"),
        ("/flows?limit=5&limit=6", "one value"),
        ("/flows?count=perhaps", "true, false"),
        ("/flows?property=createdAt==soon", "a number"),
        ("/flows?continuationToken=x", "the token of a next page, as it was answered"),
    ],
)
def test_a_refused_value_is_told_with_what_is_allowed(api: Api, path: str, allowed: str) -> None:
    response = api.get(path)
    assert_error(response, "value-invalid")
    (finding,) = met(api)["value-invalid"]["findings"]
    assert finding["message"] == f"{response.json()['errorMessage']} Allowed: {allowed}"


# --- misspelt fields --------------------------------------------------------------------------------------------------


def unknown_fields(api: Api) -> dict[str, str]:
    """Places and messages of what was warned of as unknown."""
    rule = met(api).get("unknown-field", {"findings": []})
    return {finding["place"]: finding["message"] for finding in rule["findings"]}


def test_misspelt_parameters_of_a_source_are_warned_of(api: Api) -> None:
    body = deepcopy(SOURCE_CONNECTION)
    body["params"]["foo"] = 1
    body["params"]["datasets"][0]["nmae"] = "x"
    api.created("sourceConnections", body)
    assert set(unknown_fields(api)) == {"params.foo", "params.datasets[].nmae"}
    assert verdicts(api) == ["warning"]


def test_misspelt_fields_of_credentials_are_warned_of_without_their_values(api: Api) -> None:
    body = deepcopy(S3.base_connection())
    body["auth"] |= {"x": "value-of-x", "params": {**body["auth"]["params"], "region": "value-of-region"}}
    api.created("connections", body)
    assert set(unknown_fields(api)) == {"auth.x", "auth.params.region"}
    assert "value-of" not in str(report(api))
    assert verdicts(api) == ["warning"]


def test_misspelt_parameters_of_a_target_are_warned_of_at_any_depth(api: Api) -> None:
    api.target(S3, compression="GZIP", csvOptions={"delimitr": ","}, Path="x")
    assert set(unknown_fields(api)) == {"params.csvOptions.delimitr", "params.Path"}


def test_a_patch_is_blamed_for_the_misspelt_field_that_it_adds(api: Api) -> None:
    """And not for the one beside it, which was told when it was sent."""
    base = api.created("connections", S3.base_connection())
    path = (
        f"/targetConnections/{api.created('targetConnections', S3.target_connection(base, compression='GZIP', one=1))}"
    )
    added = [{"op": "add", "path": "/params/two", "value": 2}]
    assert api.patch(path, api.item(path)["etag"], added).status_code == 200
    counts = {finding["place"]: finding["count"] for finding in met(api)["unknown-field"]["findings"]}
    assert counts == {"params.one": 1, "params.two": 1}


# --- headers ----------------------------------------------------------------------------------------------------------

ORG, SANDBOX = "x-gw-ims-org-id", "x-sandbox-name"


@pytest.mark.parametrize(
    ("header", "value", "rule"),
    [
        (ORG, "My Org", "org-id-form"),
        (ORG, "ABC", "org-id-form"),
        (ORG, "TEST@adobeorg", "org-id-form"),
        (SANDBOX, "Prod Sand", "sandbox-name-form"),
        (SANDBOX, "PROD", "sandbox-name-form"),
        (SANDBOX, "my_dev", "sandbox-name-form"),
    ],
)
def test_what_no_organization_or_sandbox_looks_like_is_warned_of(api: Api, header: str, value: str, rule: str) -> None:
    """Once for all calls, with the value."""
    for path in ("/flows", "/runs"):
        assert api.get(path, headers={header: value}).status_code == 200
    assert set(met(api)) == {rule}
    (finding,) = met(api)[rule]["findings"]
    assert (finding["operation"], finding["place"], finding["count"]) == ("*", f"headers.{header}", 2)
    assert f'"{value}"' in finding["message"]
    assert verdicts(api) == ["warning", "warning"]


@pytest.mark.parametrize(
    "headers", [{ORG: "5555467B5D8013E50A494220@AdobeOrg"}, {SANDBOX: "dev-2"}, {SANDBOX: "test-0a1b2c"}], ids=str
)
def test_good_names_are_not_warned_of(api: Api, headers: dict[str, str]) -> None:
    api.get("/flows", headers=headers)
    assert met(api) == {}


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
    assert {rule["id"]: rule["findings"][0]["place"] for rule in met(api).values()} == expected
    assert all([finding["count"] for finding in rule["findings"]] == [2] for rule in met(api).values())
    for entry in api.control("GET", "/requests")["items"]:
        assert {finding["rule"]: finding["place"] for finding in entry["findings"]} == expected
        assert entry["verdict"] == "violation"


def test_an_empty_organization_is_told_beside_a_wrong_token(api: Api) -> None:
    api.get("/flows", headers={"Authorization": "Basic x", ORG: ""})
    assert set(met(api)) == {"token-invalid", "org-header-empty"}


def test_an_injected_error_says_nothing_about_missing_headers(api: Api) -> None:
    api.control("PUT", "/faults", {"rules": [{"kind": "error", "error": "gateway-token-missing"}]})
    api.get("/flows", headers={"x-api-key": ""})
    assert met(api) == {} and verdicts(api) == ["injected"]


# --- beginning anew ---------------------------------------------------------------------------------------------------


def test_the_report_begins_anew_without_anything_else_being_lost(api: Api) -> None:
    connection = api.created("connections", S3.base_connection())
    gone = api.created("connections", S3.base_connection())
    api.delete(f"/connections/{gone}")
    api.get("/flows?limit=0")
    api.get(GOOD_CONFIGS)  # announces a page that is not fetched
    assert set(met(api)) == {"value-invalid", "page-not-followed"}
    number = api.control("GET", "/requests")["number"]
    assert api.control("DELETE", "/contract") == {"status": "ok"}
    anew = report(api)
    assert met(api) == {} and anew["summary"]["requests"] == 0 and anew["coverage"]["operations"]["met"] == []
    assert api.control("GET", "/requests")["number"] == number and api.item(f"/connections/{connection}")
    assert api.get(f"/connections/{gone}").status_code == 404
    assert met(api) == {}, "whoever looks for what was deleted does still nothing wrong"
    assert assert_error(api.http.delete("/__emulator/contract?x=1"), "control-invalid")


def shown_text(api: Api) -> str:
    return api.http.get("/__emulator/contract?format=text").text


# --- the coverage in a text -------------------------------------------------------------------------------------------


def coverage_lines(text: str) -> list[str]:
    return text.partition("\nCOVERAGE")[2].splitlines()[1:]


def test_the_coverage_takes_a_line_for_each_group(api: Api) -> None:
    """Which is less than the findings take; every name is told where it is asked for."""
    api.get("/flows?limit=0")
    api.get("/flows?limit=1&count=false")
    api.get("/flows?limit=2")
    lines = coverage_lines(shown_text(api))
    groups = report(api)["coverage"]
    assert len(lines) == len(groups) + 1 and max(map(len, lines)) <= 100
    assert lines[1].startswith("  query parameters accepted: 2 of 43, 3 times; never ") and lines[1].endswith(" more")
    assert lines[3].startswith("  destinations: 0 of 6; never ")
    told, more = re.findall(r"never (.*) and (\d+) more", lines[0])[0]
    assert len(told.split(", ")) + int(more) == len(groups["operations"]["never"])
    full = api.http.get("/__emulator/contract?format=text&coverage=full").text
    assert all(entry["title"].partition(": ")[0] in full for entry in groups["operations"]["never"])
    assert len(coverage_lines(full)) > 3 * len(lines)
    assert_error(api.http.get("/__emulator/contract?coverage=all"), "control-invalid")


def test_the_command_shows_the_coverage_in_full(
    api: Api, server: ServerProcess, capsys: pytest.CaptureFixture[str]
) -> None:
    main(["report", "--url", server.url, "--coverage", "full"])
    assert capsys.readouterr().out == api.http.get("/__emulator/contract?format=text&coverage=full").text


# --- sources ----------------------------------------------------------------------------------------------------------


def test_every_public_source_has_its_address(api: Api) -> None:
    """In the report of every rule; a source without one says itself that nothing public is meant."""
    rules, addresses = report(api)["rules"], load_catalog().rules["sources"]
    nowhere = ("emulator", "reference", "The specs' own", "The API reference and")
    for rule in rules:
        assert rule.get("sourceUrl", "").startswith("https://") or rule["source"].startswith(nowhere), rule["id"]
    assert all(any(name in rule["source"] for rule in rules) for name in addresses), "no address is there for nothing"
    about = "Platform troubleshooting guide, request header errors"
    assert source_url(about, addresses).endswith("#request-header-errors")


def test_a_page_links_to_the_source_and_nowhere_else(api: Api) -> None:
    """A saved report, which the command shows as well, may have anything in the place of an address."""
    api.get("/flows?limit=0")
    told = report(api)
    (rule,) = told["violations"]
    link = f'<a href="{rule["sourceUrl"]}" rel="noreferrer">Flow Service error messages</a>'
    assert link in rendered(told, "html")
    for wrong in ("javascript:alert(1)", "http://x", 'x" onclick="y'):
        rule["sourceUrl"] = wrong
        assert wrong not in rendered(told, "html") and "<dd>Flow Service error messages</dd>" in rendered(told, "html")
