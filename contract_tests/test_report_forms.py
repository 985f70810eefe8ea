"""The contract report in its four forms, and the command that shows it."""

from __future__ import annotations

import re
import subprocess
import sys
from collections import Counter
from copy import deepcopy
from html import escape, unescape
from itertools import pairwise
from pathlib import Path
from typing import Any
from urllib.parse import quote
from xml.etree import ElementTree

import pytest
from markdown_it import MarkdownIt

from contract_tests.support import Api, RunReport, ServerProcess, assert_error
from contract_tests.test_contract import use
from contract_tests.tutorial import BASE, DATA_LAKE, S3
from flow_service_emulator.reports.forms import FORMATS, rendered
from flow_service_emulator.reports.report import TITLES

MARKDOWN = {"h2", "h3", "p", "strong", "code", "a", "ul", "li", "br", "details", "summary"}
MARKDOWN |= {"table", "thead", "tbody", "tr", "th", "td"}
EVIL = "<script>alert(1)</script>&\"'\x1b[31m]]>"


@pytest.fixture
def told(api: Api) -> dict[str, Any]:
    """A report with violations and warnings, and texts that want to be more than text."""
    use(api)
    api.post("/connections", {**S3.base_connection(), "connectionSpec": {"id": EVIL, "version": "1.0"}})
    api.http.get(f"{BASE}/{quote(EVIL)}")
    return api.report()


@pytest.mark.parametrize("form", FORMATS)
def test_each_form_has_its_content_type(api: Api, told: Any, form: str) -> None:
    """And the page may load nothing."""
    response = api.http.get("/__emulator/contract", params={"format": form})
    assert response.status_code == 200 and "path-not-found" in response.text
    assert response.headers["content-type"] == FORMATS[form]
    assert form != "html" or response.headers["content-security-policy"].startswith("default-src 'none'")


@pytest.mark.parametrize("query", ["format=pdf", "format=", "format=HTML", "form=json", "fail-on=nothing"])
def test_an_unknown_form_is_refused_with_those_there_are(api: Api, query: str) -> None:
    detail = assert_error(api.http.get(f"/__emulator/contract?{query}"), "control-invalid")["detail"]
    assert ("json, text, junit, html" in detail) or ("violation, warning" in detail) or ("format, fail-on" in detail)


def test_text(told: dict[str, Any]) -> None:
    """Everything that the report has, for a terminal: colours only where they are wanted, no control characters."""
    plain = rendered(told, "text")
    assert "\x1b" not in plain
    assert max(map(len, plain.splitlines())) < 200
    assert all(rule["id"] in plain for rule in (*told["violations"], *told["warnings"]))
    assert "  destinations: 1 of 6" in plain
    coloured = rendered(told, "text", colour=True)
    assert re.sub(r"\x1b\[\d+m", "", coloured) == plain != coloured


def test_a_place_is_not_told_twice(api: Api) -> None:
    """Neither where the message has it with the index of an item."""
    body = {"name": "n", "connectionSpec": {"id": DATA_LAKE, "version": "1.0"}, "params": {"datasets": [{}]}}
    api.post("/sourceConnections", body)
    for form in ("text", "html"):
        shown = rendered(api.report(), form)
        assert "params.datasets[0].dataSetId is required" in shown and "params.datasets[]" not in shown
    api.get("/flows?limit=0")
    assert "query.limit: Invalid value 0" in rendered(api.report(), "text")


def test_a_report_of_nothing_praises_nothing(api: Api) -> None:
    """A client that never reached the emulator has done nothing right."""
    nothing = api.report()
    assert rendered(nothing, "text").splitlines()[0] == "Contract report: no request was seen"
    page = rendered(nothing, "html")
    assert '<p class="verdict unknown">No request was seen</p>' in page
    assert "No violations: no request was seen." in page and "would have taken" not in page
    api.get("/flows")
    assert '<p class="verdict good">No violations, no warnings</p>' in rendered(api.report(), "html")


@pytest.mark.parametrize("fail_on", ["violation", "warning"])
def test_junit(told: dict[str, Any], fail_on: Any) -> None:
    """Each finding is a test case: a violation fails, a warning is skipped, or fails where it is asked to. A rule that was kept passes."""
    root = ElementTree.fromstring(rendered(told, "junit", fail_on))
    suites = {suite.get("name"): suite for suite in root.findall("testsuite")}
    assert set(suites) == {"violations", "warnings"}
    assert {case.get("classname", "").rpartition(".")[2] for case in root.iter("testcase")} == {
        rule["id"] for rule in told["rules"]
    }
    for severity in ("violation", "warning"):
        suite = suites[f"{severity}s"]
        outcome = "failure" if severity == "violation" or fail_on == "warning" else "skipped"
        told_of = Counter(case.get("classname") for case in suite.iter("testcase") if case.find(outcome) is not None)
        assert told_of == {f"contract.{severity}.{rule['id']}": len(rule["findings"]) for rule in told[f"{severity}s"]}
        for count, tag in (("tests", "testcase"), ("failures", "failure"), ("skipped", "skipped")):
            assert suite.get(count) == str(len(list(suite.iter(tag))))
    names = [(case.get("classname"), case.get("name")) for case in root.iter("testcase")]
    assert len(names) == len(set(names))
    (failure,) = (each for each in root.iter("failure") if each.get("type") == "spec-id-invalid")
    assert failure.text is not None and "<script>alert(1)</script>" in failure.text
    assert "connectionSpec" in (failure.get("message") or "")
    properties = {each.get("name"): each.get("value") for each in suites["violations"].iter("property")}
    assert properties["coverage.destinations"] == "1 of 6"
    assert root.get("tests") == str(len(names))


def test_html(told: dict[str, Any]) -> None:
    """One page that stands alone: language, title, headings in order, named sections, and nothing but text from the client."""
    source = rendered(told, "html")
    elements = re.findall(r"<(\w+)([^>]*)>", source.partition("</style>")[2])
    tags, attributes = [tag for tag, _ in elements], "".join(rest for _, rest in elements)
    closed = re.findall(r"</(\w+)>", source.partition("</style>")[2])
    assert Counter({**Counter(tags), "br": 0, "head": 1, "html": 1}) == Counter(closed)
    assert source.startswith('<!doctype html>\n<html lang="en">') and 'name="viewport"' in source
    assert {"header", "main", "nav", "footer"} <= set(tags)
    assert not {"script", "link", "img", "iframe", "object", "form"} & set(tags) and "src=" not in attributes
    names = set(re.findall(r'href="([^"]*)"', attributes))
    rules = [*told["violations"], *told["warnings"]]
    assert {name for name in names if name[0] != "#"} == {rule["sourceUrl"] for rule in rules if "sourceUrl" in rule}
    assert not re.search(r"url\(|@import|https?://", source.partition("</style>")[0])
    ids = re.findall(r' id="([^"]*)"', attributes)
    named = {name[1:] for name in names if name[0] == "#"} | set(re.findall(r'aria-labelledby="([^"]*)"', attributes))
    assert len(ids) == len(set(ids)) and named <= set(ids)
    headings = [int(tag[1]) for tag in tags if re.fullmatch("h[1-6]", tag)]
    assert headings[0] == 1 and all(1 < after <= before + 1 for before, after in pairwise(headings))
    for style in ("@media print", "prefers-color-scheme: dark", "max-width: 30rem"):
        assert style in source
    assert not re.search(r"[\x00-\x08\x0b-\x1f\x7f-\x9f]", source)
    text = unescape(re.sub(r"<[^>]*>", "", source))
    assert "<script>alert(1)</script>" in text
    for rule in rules:
        assert rule["title"] in text and rule["fix"] in text and rule["source"] in text
    for dimension, part in told["coverage"].items():
        title = TITLES[dimension]
        assert f"{title[:1].upper()}{title[1:]}: {len(part['met'])} of {part['total']}" in text


def test_markdown(told: dict[str, Any]) -> None:
    """For a CI summary: what was found and the coverage as a table, and no text of the client's is markup."""
    source = rendered(told, "markdown")
    shown = MarkdownIt("commonmark").enable("table").render(source)
    assert source.startswith("## ❌ Flow Service contract report\n") and "<script" not in shown
    assert set(re.findall(r"<(\w+)", shown)) <= MARKDOWN
    assert shown.count("<tr>") == 1 + len(told["coverage"])
    text = unescape(re.sub(r"<[^>]*>", "", shown))
    assert "<script>alert(1)</script>" in text
    for rule in (*told["violations"], *told["warnings"]):
        assert rule["id"] in text and rule["title"] in text and rule["source"] in text


def test_the_request_is_beside_the_finding(api: Api) -> None:
    """With its secrets masked, as long as the journal has it."""
    body = deepcopy(S3.base_connection())
    body["auth"]["params"]["s3AccessKey"] = 7
    api.post("/connections", body)
    (rule,) = api.report()["violations"]
    sent = rule["findings"][0]["sent"]
    assert sent.startswith(f"POST {BASE}/connections\n") and "x-gw-ims-org-id: TEST@AdobeOrg" in sent
    assert (
        '"s3SecretKey": "****"' in sent and "Bearer ****" in sent and body["auth"]["params"]["s3SecretKey"] not in sent
    )
    page = api.http.get("/__emulator/contract?format=html").text
    assert f'<pre tabindex="0">{escape(sent)}</pre>' in page and 'href="/__emulator/"' in page
    api.control("DELETE", "/requests")
    assert "sent" not in api.report()["violations"][0]["findings"][0]


# --- the command ------------------------------------------------------------------------------------------------------


def test_the_command(api: Api, server: ServerProcess, run_report: RunReport, tmp_path: Path) -> None:
    """The exit status is for CI: 1 when there is what --fail-on names, or worse."""
    url = f"{server.url}/"
    assert run_report("--url", url)[0] == 0
    api.get("/flows/")
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
        ("r.txt", None, "text"), ("r.md", None, "markdown"), ("r.html", "json", "json"), ("r.log", "text", "text"),
        ("r", "xml", "junit"), ("r.html", "txt", "text"),
    ],
)  # fmt: skip
def test_the_form_goes_by_the_ending(
    api: Api, server: ServerProcess, run_report: RunReport, tmp_path: Path, name: str, form: str | None, expected: str
) -> None:
    """Of the file that is written, unless a form is named; `xml` is JUnit's."""
    api.get("/nope")
    asked = () if form is None else ("--format", form)
    run_report("--url", server.url, "--output", str(tmp_path / name), *asked)
    shown = api.http.get(f"/__emulator/contract?format={expected}").text
    assert (tmp_path / name).read_text("utf-8") == shown.replace('<a href="/__emulator/">Dashboard</a>', "")


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
        (("--url", "{url}", "--output", "no/such/folder/report.html"), "cannot write"),
    ],
)
def test_the_command_says_why_it_cannot(
    run_report: RunReport, server: ServerProcess, arguments: tuple[str, ...], told: str
) -> None:
    """Status 2, which is neither good nor bad news about the client."""
    status, output, errors = run_report(*(argument.format(url=server.url) for argument in arguments))
    assert (status, output) == (2, "")
    assert told in errors
