"""The README and the documentation: every snippet runs, every made table is what the code says, every link leads somewhere."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from contract_tests.docs_tables import expected
from contract_tests.pages import ADDRESS, DOCS, README, ROOT, links, pages, prose, snippet, snippets
from contract_tests.support import Api, ServerProcess
from contract_tests.tutorial import S3
from flow_service_emulator.cli import _parser
from flow_service_emulator.control.pages import anchor
from flow_service_emulator.faults.rules import KINDS

pytest_plugins = ("pytester",)

CURL = pytest.mark.skipif(shutil.which("curl") is None, reason="needs curl")
SHELLS = [shell for shell in ("dash", "bash") if shutil.which(shell)]
SCRIPTS = {
    page: "".join(each.text for each in snippets() if each.page == page and each.language == "sh" and not each.marker)
    for page in pages()
}
"""What a reader types who goes through a page, by page: its unmarked blocks for the shell in one piece."""


TAGS = set(
    re.findall(
        r"\w+", "html meta title style nav main a h1 h2 h3 p ul ol li strong em code pre table thead tbody tr th td"
    )
)


def named(page: Path) -> str:
    return str(page.relative_to(ROOT))


# --- what the pages are


def test_made_tables_are_what_the_code_says() -> None:
    stale = [named(page) for page, text in expected().items() if not page.exists() or page.read_text("utf-8") != text]
    assert not stale, "run python -m contract_tests.docs_tables"


def test_the_readme_is_short_and_comes_to_the_point() -> None:
    lines = README.read_text("utf-8").splitlines()
    assert lines.index("```sh") < 10
    assert len(lines) <= 180
    assert len([line for line in snippet("recipe: pytest").splitlines() if line]) <= 20


@pytest.mark.parametrize("page", [page for page in pages() if page.parent.name != "destinations"], ids=named)
def test_sentences_are_short(page: Path) -> None:
    """20 words at most on average, and no semicolons; of what people wrote, not of tables."""
    text = prose(page)
    assert ";" not in text
    sentences = [each.split() for each in re.split(r"[.:!?](?=\s)|\n\s*\n|\n\s*(?:-|\d+\.) ", text)]
    words = [len(each) for each in sentences if each]
    assert sum(words) / len(words) <= 20


def test_every_link_leads_somewhere() -> None:
    """Within the documentation also to a heading; from its pages to no other file, since those are not served."""
    for page in pages():
        for target in links(page):
            if not target.startswith("https://"):
                file, _, heading = target.partition("#")
                there = (page.parent / file).resolve() if file else page
                assert there.is_file() and there.is_relative_to(DOCS), f"{named(page)}: {target}"
                headings = re.findall(r"^#+ (.+)$", there.read_text("utf-8"), re.MULTILINE)
                assert not heading or heading in map(anchor, headings), f"{named(page)}: {target}"


@pytest.mark.parametrize("page", ["explanation/architecture.md", "how-to/extend.md"])
def test_files_that_are_named_are_there(page: str) -> None:
    named = set(re.findall(r"`(\w[\w/]*(?:\.py|\.json|/))`", (DOCS / page).read_text("utf-8")))
    package = ROOT / "emulator" / "flow_service_emulator"
    assert len(named) > 3
    missing = {name for name in named if not any((base / name).exists() for base in (package, ROOT))}
    assert not missing


def test_every_page_can_be_found() -> None:
    """From the contents, through the pages that these name."""
    found, waiting = set(), [DOCS / "README.md"]
    while waiting:
        page = waiting.pop()
        found.add(page)
        targets = [link.partition("#")[0] for link in links(page) if ".md" in link]
        waiting += {(page.parent / target).resolve() for target in targets} - found
    assert found == set(pages()) - {README}


def test_every_snippet_is_tried() -> None:
    """By its marker in a test of its own; else it is for the shell, a test for pytest, or what something prints."""
    sources = "".join(file.read_text("utf-8") for file in (ROOT / "contract_tests").glob("test_*.py"))
    markers = {each.marker for each in snippets()} - {""} - {f"table: {name}" for name in ("report sample",)}
    assert markers == {*re.findall(r'snippet\("([^"]+)"\)', sources), "setup"}
    for each in snippets():
        if not each.marker:
            as_it_is = each.language in ("sh", "text") or (each.language == "python" and "def test_" in each.text)
            assert as_it_is, each.place


def test_every_field_of_a_fault_is_named() -> None:
    named = set(re.findall(r"`(\w+)`", (DOCS / "reference" / "faults.md").read_text("utf-8")))
    assert {name for kind in KINDS.values() for name in kind.fields} <= named | {"id", "kind"}


# --- as served


def test_every_page_is_served(server: ServerProcess) -> None:
    """As HTML at its path, with its links as they are, so that these lead to pages; and without a script."""
    with httpx.Client(base_url=f"{server.url}/__emulator/docs", trust_env=False, timeout=60) as http:
        for page in set(pages()) - {README}:
            answer = http.get(f"/{page.relative_to(DOCS)}")
            assert answer.status_code == 200, page
            assert answer.headers["content-type"] == "text/html; charset=utf-8"
            assert "default-src 'none'" in answer.headers["content-security-policy"]
            assert "<h1 id=" in answer.text and "<!-- " not in re.sub(r"<!-- [^<>]*-->", "", answer.text)
            assert all(f'href="{link}"' in answer.text for link in links(page))
            assert set(re.findall(r"<(\w+)", answer.text)) <= TAGS, f"{page}: a < that is none of HTML's"
        assert http.get("/").text == http.get("/README.md").text
        assert (
            httpx.get(f"{server.url}/__emulator/docs", trust_env=False, timeout=60).headers["location"]
            == "/__emulator/docs/"
        )
        for missing in ("/none.md", "/../../pyproject.toml", "/%2e%2e/%2e%2e/README.md"):
            assert http.get(missing).status_code == 404
        assert http.get("/how-to/containers-and-ci.md").text.count('id="testcontainers"') == 1


# --- snippets


def at(server: ServerProcess, text: str) -> str:
    """A snippet for the test's own server: also where a command takes its usual address for granted."""
    asks = r"^(flow-service-emulator (?:report|wait|advance|reset|status))\b"
    return re.sub(asks, rf"\1 --url {server.url}", text.replace(ADDRESS, server.url), flags=re.MULTILINE)


def run_shell(server: ServerProcess, folder: Path, text: str, shell: str = SHELLS[0]) -> list[str]:
    """Runs a script with the emulator's commands at hand; answers the lines that it prints, none of which is an error's body."""
    httpx.post(f"{server.url}/__emulator/reset", params={"exports": "true"}, trust_env=False, timeout=60)
    path = os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])
    run = subprocess.run(
        [shell, "-euc", at(server, text)], env={**os.environ, "PATH": path}, cwd=folder, capture_output=True, text=True,
        timeout=60,
    )  # fmt: skip
    assert run.returncode == 0, run.stdout + run.stderr
    for line in (*run.stdout.splitlines(), *run.stderr.splitlines()):
        assert not re.search(r'"status":[45]\d\d', line), line
    report = httpx.get(f"{server.url}/__emulator/contract", trust_env=False, timeout=60).json()
    assert report["violations"] == []
    return run.stdout.splitlines()


@CURL
@pytest.mark.parametrize("page", [page for page, script in SCRIPTS.items() if script], ids=named)
def test_what_is_typed_into_a_shell(server: ServerProcess, tmp_path: Path, page: Path) -> None:
    """The page from its beginning to its end. What makes flows exports files, with success, and to the destination of the page."""
    printed = run_shell(server, tmp_path, SCRIPTS[page])
    if "create flows" in SCRIPTS[page]:
        runs = next(json.loads(line)["items"] for line in printed if '"metrics"' in line)
        assert {run["metrics"]["statusSummary"]["status"] for run in runs} == {"success"}
        files = httpx.get(f"{server.url}/__emulator/exports", trust_env=False, timeout=60).json()["items"]
        folders = {file["path"].partition("/")[0] for file in files}
        assert folders == {page.stem if page.parent.name == "destinations" else "amazon-s3"}
    if "check-fixtures" in SCRIPTS[page]:
        assert "(7 destinations)" in printed[-1]


@CURL
@pytest.mark.parametrize("shell", SHELLS)
def test_the_walk_of_the_readme(server: ServerProcess, tmp_path: Path, shell: str) -> None:
    datasets, advance, runs = map(json.loads, run_shell(server, tmp_path, snippet("test: curl"), shell))
    assert "5ef3e3259ad2a1191ab7dd7d" in [dataset["id"] for dataset in datasets["items"]]
    assert len(advance["runs"]) == len(runs["items"]) == 9
    run = python(server, snippet("test: without pytest"), tmp_path)
    assert "downloads" in run.stdout
    assert list((tmp_path / "downloads").rglob("part-*"))


def shape(line: str) -> str:
    """A printed line without what differs from run to run."""
    return re.sub(r"[\d,.]+|\s+", "#", line)


def python_tests() -> Iterator[tuple[str, str]]:
    """(name of a file, tests) of every page's Python."""
    for page in pages():
        texts = [
            each.text
            for each in snippets()
            if each.page == page and "def test_" in each.text and not each.marker.startswith("target: ")
        ]
        if texts:
            yield f"test_{page.stem.replace('-', '_').lower()}_page", "\n".join(texts)


def test_what_is_written_for_pytest(pytester: pytest.Pytester) -> None:
    """All of it in one run."""
    files = dict(python_tests())
    assert snippet("recipe: pytest") in files.values()
    pytester.makepyfile(**files)
    # without the plugin of schemathesis, whose import takes a second
    run = pytester.runpytest_inprocess("-p", "no:cacheprovider", "-p", "no:schemathesis", "-W", "error")
    run.assert_outcomes(passed="".join(files.values()).count("def test_"))


def test_what_a_failing_test_prints(server: ServerProcess, pytester: pytest.Pytester) -> None:
    """The sample of the tutorial, but for its numbers: with the change that is described there."""
    tests = dict(python_tests())["test_first_test_page"].replace('"wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY"', '"AKIA"')
    pytester.makepyfile(tests)
    flags = ("-p", "no:cacheprovider", "-p", "no:schemathesis", "-k", "test_an_account")
    run = pytester.runpytest_inprocess(*flags, f"--flow-service-url={server.url}")
    run.assert_outcomes(failed=1, deselected=2)
    printed = [shape(line) for line in run.outlines]
    assert [line for line in snippet("sample: failing test").splitlines() if shape(line) not in printed] == []


def test_options_of_pytest(pytester: pytest.Pytester) -> None:
    pytester.makeini(snippet("test: pytest.ini"))
    pytester.makepyfile("def test_start(flow_service):\n    assert flow_service.clock.now == 1767225600")
    pytester.runpytest_inprocess(
        "-p", "no:cacheprovider", "-p", "no:schemathesis", "--strict-config", "-W", "error"
    ).assert_outcomes(passed=1)
    assert (pytester.path / "contract.html").is_file()


def python(server: ServerProcess, text: str, folder: Path) -> subprocess.CompletedProcess[str]:
    """Runs a snippet, with good end."""
    run = subprocess.run(
        [sys.executable, "-c", at(server, text)], cwd=folder, capture_output=True, text=True, timeout=60
    )
    assert run.returncode == 0, run.stderr
    return run


def test_aepp(server: ServerProcess, tmp_path: Path) -> None:
    httpx.post(f"{server.url}/__emulator/reset", trust_env=False, timeout=60)
    # aepp warns on import of parts that are not used here, so warnings stay warnings
    assert "flowId" in python(server, snippet("test: aepp"), tmp_path).stdout


def test_report(server: ServerProcess, tmp_path: Path) -> None:
    """Each command of the snippet, beside the reports that it names; only the one that fails on warnings does."""
    with httpx.Client(base_url=server.url, trust_env=False, timeout=60) as http:
        http.post("/__emulator/reset")
        headers = {"Authorization": "Bearer any", "x-api-key": "any", "x-gw-ims-org-id": "ANY@AdobeOrg"}
        http.get("/data/foundation/flowservice/flows", headers=headers)  # without a sandbox: a warning
        for name in ("known", "job-1", "job-2"):
            (tmp_path / f"{name}.json").write_bytes(http.get("/__emulator/contract").content)
    statuses = []
    for line in snippet("test: report").splitlines():
        program, *arguments = line.partition("#")[0].split()
        assert (program, arguments[0]) == ("flow-service-emulator", "report")
        address = [] if "job-1.json" in arguments else ["--url", server.url]
        command = [sys.executable, "-m", "flow_service_emulator", *arguments, *address]
        statuses.append(subprocess.run(command, cwd=tmp_path, stdout=subprocess.DEVNULL).returncode)
    assert statuses == [0, 1, 0, 0]
    assert (tmp_path / "contract.html").read_text("utf-8").startswith("<!doctype html>")


@CURL
def test_faults(server: ServerProcess, tmp_path: Path) -> None:
    printed = "".join(run_shell(server, tmp_path, snippet("test: faults")))
    added, replaced, deleted = (json.loads(text) for text in printed.replace("}{", "}\n{").splitlines())
    assert [rule["error"] for rule in added["rules"]] == ["service-unavailable"]
    assert [rule["kind"] for rule in replaced["rules"]] == ["token-expired"]
    assert deleted == {"deleted": 1}


def test_schedules(api: Api) -> None:
    """What is printed as a body is one, without a warning, and exports as it says within a day."""
    bodies = [snippet("test: every 3 hours"), snippet("test: every day"), snippet("test: once")]
    flows = [api.flow(S3, json.loads(body)) for body in bodies]
    report = api.control("GET", "/contract")
    assert "scheduleParams" not in json.dumps([report["violations"], report["warnings"]])
    runs = [run["flowId"] for run in api.advance(86_400)]
    assert [runs.count(flow) for flow in flows] == [8, 1, 1]
    (file,) = api.control("GET", "/exports", params={"flow": flows[1]})["items"]
    assert "/AAM Devices Data/2026-01-01/" in file["path"]


def test_commands_that_set_up() -> None:
    """They install as the first command does, which is on the user's card and is tried by `.ci/run`; what they start is known."""
    setup, install, demo = snippet("demo").strip().split(" && ")
    assert (setup, install) == ("python3 -m venv .venv", ".venv/bin/pip install -q .")
    assert snippet("tests").startswith("python3 -m venv .venv && .venv/bin/pip install -q -e '.[test]' && ")
    assert "readme_block tests" in (ROOT / ".ci" / "run").read_text("utf-8")
    known = {setup, install.removeprefix(".venv/bin/"), ". .venv/bin/activate"}
    lines = [line for each in snippets() if each.marker == "setup" for line in each.text.splitlines()]
    for program, _, arguments in (
        line.partition(" ") for line in [demo.removeprefix(".venv/bin/"), *lines] if line not in known
    ):
        assert program == "flow-service-emulator"
        _parser().parse_args(arguments.split())


def test_what_the_demo_prints(tmp_path: Path) -> None:
    """Each line of the README's sample, but for its numbers."""
    command = [sys.executable, "-m", "flow_service_emulator", "demo", "--export-dir", str(tmp_path)]
    run = subprocess.run(command, capture_output=True, text=True, timeout=60, check=True)
    printed = [shape(line) for line in run.stdout.splitlines()]
    assert [line for line in snippet("sample: demo").splitlines() if shape(line) not in printed] == []
