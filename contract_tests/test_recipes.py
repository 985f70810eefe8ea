"""The recipes of the documentation: what can be run here is run, and the rest is held against the Dockerfile and the settings."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from dataclasses import fields
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import yaml

from contract_tests.pages import ROOT, snippet
from contract_tests.support import Api, ServerProcess
from flow_service_emulator.settings import Settings, variable_name

pytest_plugins = ("pytester",)

VARIABLES = {variable_name(declared.name) for declared in fields(Settings)}


class DockerContainer:
    """As much of testcontainers' class as the emulator's uses; the container is the test's own server, at `server_port`."""

    server_port = "0"

    def __init__(self, image: str) -> None:
        self.image, self.running = image, False
        self.env: dict[str, str] = {}
        self.volumes: dict[str, tuple[str, str]] = {}

    def with_exposed_ports(self, port: int) -> None:
        self.port = port

    def with_env(self, name: str, value: str) -> None:
        self.env[name] = value

    def with_volume_mapping(self, host: str, container: str, mode: str) -> None:
        self.volumes[container] = (host, mode)

    def start(self) -> None:
        self.running = True

    def stop(self) -> None:
        self.running = False

    def __enter__(self) -> DockerContainer:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def get_container_host_ip(self) -> str:
        return "127.0.0.1"

    def get_exposed_port(self, port: int) -> str:
        assert self.running and port == self.port
        return self.server_port


def dockerfile(instruction: str) -> list[str]:
    """What stands after an instruction, line by line, of the image that is left in the end."""
    last = (ROOT / "Dockerfile").read_text("utf-8").replace("\\\n", " ").rpartition("\nFROM ")[2]
    return [line.removeprefix(instruction).strip() for line in last.splitlines() if line.startswith(instruction + " ")]


def port_of(server: ServerProcess) -> str:
    return server.url.rpartition(":")[2]


def test_the_image_is_as_the_recipes_take_it() -> None:
    assert dockerfile("EXPOSE") == ["8080"]
    assert dockerfile("VOLUME") == ['["/exports", "/data"]']
    (check,) = dockerfile("HEALTHCHECK")
    assert check.endswith('CMD ["bash", "/opt/emulator/docker.health"]')
    (environment,) = dockerfile("ENV")
    given = dict(pair.split("=", 1) for pair in environment.split())
    assert {name for name in given if name.startswith("FLOW_EMULATOR_")} <= VARIABLES
    assert given["FLOW_EMULATOR_HOST"] == "0.0.0.0" and given["FLOW_EMULATOR_EXPORT_DIR"] == "/exports"


def test_docker_run(server: ServerProcess, tmp_path: Path) -> None:
    """The commands are run with a `docker` that writes down what it is told, and is healthy at the second look."""
    docker = tmp_path / "docker"
    docker.write_text(
        f'#!/bin/sh\necho "$@" >> {tmp_path}/told\n[ "$1" = inspect ] || exit 0\n'
        f"if [ -e {tmp_path}/asked ]; then echo healthy; else touch {tmp_path}/asked; echo starting; fi\n"
    )
    docker.chmod(0o755)
    script = snippet("recipe: docker-run").replace("127.0.0.1:8080", f"127.0.0.1:{port_of(server)}")
    environment = {"PATH": f"{tmp_path}:{os.environ['PATH']}", "PWD": str(tmp_path)}
    done = subprocess.run(
        ["bash", "-euc", script], env=environment, cwd=tmp_path, capture_output=True, text=True, timeout=60
    )
    assert done.returncode == 0, done.stderr
    assert '"status":"ok"' in done.stdout
    run, *looks = (tmp_path / "told").read_text().splitlines()
    assert "-p 8080:8080" in run and f"-v {tmp_path}/exports:/exports" in run and run.endswith(" flow-service-emulator")
    assert set(re.findall(r"-e (\w+)=", run)) <= VARIABLES
    assert len(looks) == 2


def environment_of(service: dict[str, Any], key: str) -> dict[str, str]:
    """A service's variables, which all have to be settings, with texts as values: a number is an error to some readers."""
    given: dict[str, str] = service[key]
    assert given.keys() <= VARIABLES and all(isinstance(value, str) for value in given.values())
    return given


def test_github_actions() -> None:
    workflow = yaml.safe_load(snippet("recipe: github-actions"))
    (job,) = workflow["jobs"].values()
    service = job["services"]["flow-service"]
    assert service["ports"] == ["8080:8080"]
    assert environment_of(service, "env")["FLOW_EMULATOR_CLOCK"] == "frozen"
    commands = [step["run"] for step in job["steps"] if "run" in step]
    assert "pytest --flow-service-url http://127.0.0.1:8080" in commands
    assert all("uses" in step or "run" in step for step in job["steps"])


def test_github_actions_report(server: ServerProcess, tmp_path: Path) -> None:
    """The step that keeps the contract report works."""
    steps = yaml.safe_load(snippet("recipe: github-actions"))["jobs"]["test"]["steps"]
    (command,) = [step["run"] for step in steps if step.get("run", "").startswith("curl")]
    subprocess.run(
        ["bash", "-euc", command.replace(":8080", f":{port_of(server)}")], cwd=tmp_path, check=True, timeout=60
    )
    assert "<html" in (tmp_path / "contract.html").read_text("utf-8")


def test_compose() -> None:
    compose = yaml.safe_load(snippet("recipe: compose"))
    service, client = compose["services"]["flow-service"], compose["services"]["client"]
    assert service["ports"] == ["127.0.0.1:8080:8080"]
    environment_of(service, "environment")
    assert client["environment"]["FLOW_SERVICE_URL"] == "http://flow-service:8080"
    assert client["depends_on"] == {"flow-service": {"condition": "service_healthy"}}
    volumes = {volume.split(":")[0] for each in (service, client) for volume in each["volumes"]}
    assert volumes == compose["volumes"].keys()
    assert all(volume.split(":")[1] == "/exports" for each in (service, client) for volume in each["volumes"])


def test_the_name_in_the_compose_file_may_make_control_calls(api: Api) -> None:
    assert api.control("GET", "/health", headers={"Host": "flow-service:8080"})["status"] == "ok"


def test_testcontainers(pytester: pytest.Pytester, server: ServerProcess, monkeypatch: pytest.MonkeyPatch) -> None:
    """The conftest.py of the recipe, on a stub of testcontainers whose container is the session's server."""
    monkeypatch.setattr(DockerContainer, "server_port", port_of(server))
    for name in ("testcontainers", "testcontainers.core", "testcontainers.core.container"):
        monkeypatch.setitem(sys.modules, name, SimpleNamespace(DockerContainer=DockerContainer))
    monkeypatch.delitem(sys.modules, "flow_service_emulator.testing.testcontainers", raising=False)
    monkeypatch.setenv("PYTEST_DISABLE_PLUGIN_AUTOLOAD", "1")  # other plugins take seconds to import
    pytester.makeconftest(snippet("recipe: testcontainers"))
    pytester.makepyfile(
        f"""
        import pytest
        from flow_service_emulator.testing.testcontainers import FlowServiceContainer

        def test_fixture(flow_service, flow_service_server):
            assert flow_service.url == "http://127.0.0.1:{port_of(server)}" == flow_service_server.url
            assert flow_service.clock.mode == "frozen" and flow_service.export_dir == flow_service_server.export_dir
            assert flow_service.export_dir.stat().st_mode & 0o777 == 0o777

        def test_container(tmp_path):
            container = FlowServiceContainer(export_dir=tmp_path / "files", clock="frozen", seed=1, orgs=("A", "B"))
            assert container.image == "flow-service-emulator" and container.port == 8080
            assert container.env == {{"FLOW_EMULATOR_CLOCK": "frozen", "FLOW_EMULATOR_SEED": "1", "FLOW_EMULATOR_ORGS": "A,B"}}
            assert container.volumes == {{"/exports": (str(tmp_path / "files"), "rw")}}

        def test_unknown_setting():
            with pytest.raises(TypeError, match="colour"):
                FlowServiceContainer(colour="red")

        def test_it_does_not_answer(monkeypatch):
            monkeypatch.setattr("flow_service_emulator.testing.testcontainers.START_SECONDS", 0)
            container = FlowServiceContainer()
            monkeypatch.setattr(container, "get_exposed_port", lambda port: 1)
            with pytest.raises(Exception, match="does not answer"):
                container.start()
            assert not container.running
        """
    )
    plugin = "flow_service_emulator.testing.pytest_plugin"
    pytester.runpytest_inprocess("-p", "no:cacheprovider", "-W", "error", "-p", plugin).assert_outcomes(passed=4)


@pytest.mark.skipif(shutil.which("node") is None, reason="Node is not installed")
def test_node(server: ServerProcess, tmp_path: Path) -> None:
    test_file = tmp_path / "flows.test.mjs"
    test_file.write_text(snippet("recipe: node"))
    environment = {**os.environ, "FLOW_SERVICE_URL": server.url}
    done = subprocess.run(["node", "--test", test_file], env=environment, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stdout
    assert re.search(r"^(# |ℹ )pass 2$", done.stdout, re.MULTILINE), done.stdout


def test_the_projects_own_workflow() -> None:
    """It runs what `.ci/run` runs, on every Python that the package says it supports."""
    workflow = yaml.safe_load((ROOT / ".github" / "workflows" / "ci.yml").read_text("utf-8"))
    job = workflow["jobs"]["check"]
    supported = re.findall(r"Programming Language :: Python :: (3\.\d+)", (ROOT / "pyproject.toml").read_text("utf-8"))
    assert job["strategy"]["matrix"]["python-version"] == supported
    assert job["steps"][-1] == {"run": ".ci/run"}
    assert (ROOT / ".ci" / "run").stat().st_mode & 0o111
