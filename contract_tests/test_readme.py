"""The README: every snippet runs, every table is what the code says."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
from dataclasses import fields
from pathlib import Path

import httpx
import pytest

from contract_tests.support import ServerProcess
from flow_service_emulator.settings import Settings, flag_name, variable_name

ROOT = Path(__file__).parent.parent
README = (ROOT / "README.md").read_text("utf-8")


def snippet(marker: str) -> str:
    """The fenced block after a marker."""
    (found,) = re.findall(rf"<!-- {marker} -->\n```\w+\n(.*?)^```$", README, re.DOTALL | re.MULTILINE)
    return str(found)


def test_the_first_command_comes_at_once() -> None:
    assert README.splitlines().index("```sh") < 10


def test_the_two_commands_install_alike() -> None:
    """What they do then is on the user's card; that they install is tried by `.ci/run`, which runs the second as it stands."""
    setup, install, _ = snippet("demo").strip().split(" && ")
    assert (setup, install) == ("python3 -m venv .venv", ".venv/bin/pip install -q .")
    assert snippet("tests").startswith("python3 -m venv .venv && .venv/bin/pip install -q -e '.[test]' && ")
    assert "readme_block tests" in (ROOT / ".ci" / "run").read_text("utf-8")


def test_curl_and_the_snippet_without_pytest(server: ServerProcess, tmp_path: Path) -> None:
    """In a strict shell and bash: the flow exports, and the runs at the end say so. Its files are then downloaded."""
    shells = [shell for shell in ("dash", "bash") if shutil.which(shell)]
    if shutil.which("curl") is None or not shells:
        pytest.skip("needs curl and a shell")
    script = snippet("test: curl").replace("http://127.0.0.1:8080", server.url).replace("sleep 1 ", "")
    for shell in shells:
        httpx.post(f"{server.url}/__emulator/reset", trust_env=False)
        run = subprocess.run(
            [shell, "-euc", script], cwd=tmp_path, capture_output=True, text=True, timeout=60, check=True
        )
        spec, datasets, runs = map(json.loads, run.stdout.splitlines())
        assert spec["items"][0]["name"] == "Amazon S3"
        assert "5ef3e3259ad2a1191ab7dd7d" in [dataset["id"] for dataset in datasets["items"]]
        (only,) = runs["items"]
        assert only["metrics"]["statusSummary"]["status"] in ("inProgress", "success")
    assert httpx.get(f"{server.url}/__emulator/contract", trust_env=False).json()["violations"] == []
    httpx.post(f"{server.url}/__emulator/clock/advance", json={"seconds": 0}, trust_env=False)
    run = python(snippet("test: without pytest").replace("http://127.0.0.1:8080", server.url), tmp_path)
    assert "downloads" in run.stdout
    assert list((tmp_path / "downloads").rglob("part-*"))


def test_aepp(server: ServerProcess, tmp_path: Path) -> None:
    httpx.post(f"{server.url}/__emulator/reset", trust_env=False)
    # aepp warns on import of parts that are not used here, so warnings stay warnings
    run = python(snippet("test: aepp").replace("http://127.0.0.1:8080", server.url), tmp_path)
    assert "flowId" in run.stdout


def python(script: str, folder: Path) -> subprocess.CompletedProcess[str]:
    """Runs a snippet, with good end."""
    run = subprocess.run([sys.executable, "-c", script], cwd=folder, capture_output=True, text=True, timeout=60)
    assert run.returncode == 0, run.stderr
    return run


def test_report(server: ServerProcess, tmp_path: Path) -> None:
    """Each command of the snippet, beside the reports that it names; only the one that fails on warnings does."""
    with httpx.Client(base_url=server.url) as http:
        http.post("/__emulator/reset")
        headers = {"Authorization": "Bearer any", "x-api-key": "any", "x-gw-ims-org-id": "ANY@AdobeOrg"}
        http.get("/data/foundation/flowservice/flows", headers=headers)  # without a sandbox: a warning
        for name in ("known", "job-1", "job-2"):
            (tmp_path / f"{name}.json").write_bytes(http.get("/__emulator/contract").content)
    commands = [line.partition("#")[0].split() for line in snippet("test: report").splitlines()]
    assert {tuple(command[:2]) for command in commands} == {("flow-service-emulator", "report")}
    statuses = []
    for command in commands:
        address = [] if any(argument.startswith("job-") for argument in command) else ["--url", server.url]
        run = subprocess.run(
            [sys.executable, "-m", "flow_service_emulator", *command[1:], *address],
            cwd=tmp_path,
            capture_output=True,
            text=True,
        )
        statuses.append(run.returncode)
    assert statuses == [0, 1, 0, 0]
    assert (tmp_path / "contract.html").read_text("utf-8").startswith("<!doctype html>")


def test_settings_table() -> None:
    """What is missing in the README stands in the failure."""
    lines = ["| flag | variable | default | what it does |", "|---|---|---|---|"]
    for declared in fields(Settings):
        default = declared.default
        shown = "off" if default is False else "" if default in (None, ()) else f"`{default}`"
        flag = f"{flag_name(declared.name)} {declared.metadata['placeholder']}".strip()
        lines.append(f"| `{flag}` | `{variable_name(declared.name)}` | {shown} | {declared.metadata['help']} |")
    (table,) = re.findall(r"<!-- settings -->\n(.*?)\n<!-- /settings -->", README, re.DOTALL)
    assert table == "\n".join(lines)


def test_control_calls_table(server: ServerProcess) -> None:
    """Every control call that the table names is there, and every one that is there is named."""
    rows = re.findall(
        r"^\| (`(?:GET|PUT|POST|DELETE).*?) \|",
        README.partition("## Control calls")[2].partition("## Settings")[0],
        re.MULTILINE,
    )
    named = {
        path.partition("/<")[0].rstrip("/")
        for row in rows
        for path in re.findall(r"(/__emulator[\w/<>]*|/openapi\.json)", row)
    }
    described = httpx.get(f"{server.url}/openapi.json", trust_env=False).json()["paths"]
    paths = {path.partition("/{")[0].rstrip("/") for path in described if not path.startswith(("/data", "/ims"))}
    served_for_the_page = {"", "/__emulator/page", "/__emulator/overview", "/__emulator/previews"}
    assert named == paths - served_for_the_page
