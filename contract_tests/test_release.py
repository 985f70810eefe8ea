"""What is released: versions that agree, a locked image, pinned workflows, and a size that nobody has to think about."""

from __future__ import annotations

import io
import re
import subprocess
import sys
import tomllib
import zipfile
from importlib.metadata import Distribution, distribution
from pathlib import Path
from typing import Any

import pytest
import yaml
from packaging.requirements import Requirement

from contract_tests.support import serving
from flow_service_emulator import __version__

ROOT = Path(__file__).parent.parent
PROJECT: dict[str, Any] = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))
DOCKERFILE = (ROOT / "Dockerfile").read_text("utf-8").replace("\\\n", " ")
WORKFLOWS = sorted((ROOT / ".github" / "workflows").glob("*.yml"))
KILOBYTE, MEGABYTE = 1_000, 1_000_000


def test_version_and_changelog_agree() -> None:
    headings = re.findall(r"^## (.*)$", (ROOT / "CHANGELOG.md").read_text("utf-8"), re.MULTILINE)
    assert re.fullmatch(rf"\[{re.escape(__version__)}\] - (Unreleased|\d{{4}}-\d\d-\d\d)", headings[0])


def test_the_lock_has_what_the_package_needs() -> None:
    """Every dependency at a version that it allows, each with its hashes, and no word on where they were found."""
    lock = (ROOT / "emulator" / "docker.lock").read_text("utf-8")
    locked = dict(re.findall(r"^([\w.-]+)==(\S+) \\\n    --hash=sha256:[0-9a-f]{64}", lock, re.MULTILINE))
    assert len(locked) == lock.count("==") and "://" not in lock
    for requirement in map(Requirement, PROJECT["project"]["dependencies"]):
        assert locked[requirement.name] in requirement.specifier, requirement
    assert "hatchling" not in locked
    (builder,) = PROJECT["build-system"]["requires"]
    assert f'"{builder}"' in DOCKERFILE


def test_the_builder_is_sent_what_it_copies() -> None:
    """And nothing else; the layer of the dependencies is made before anything but the lock is copied."""
    ignored = (ROOT / ".dockerignore").read_text("utf-8").splitlines()
    copied = {
        Path(word).parts[0]
        for line in re.findall(r"^COPY (?!--)(.*) \S+$", DOCKERFILE, re.MULTILINE)
        for word in line.split()
    }
    assert "*" in ignored and {line[1:] for line in ignored if line.startswith("!")} == copied
    environment = DOCKERFILE.split("\nFROM ")[1]
    assert re.findall(r"^COPY (.*)", environment, re.MULTILINE) == ["emulator/docker.lock /"]


@pytest.mark.parametrize("file", WORKFLOWS, ids=lambda file: file.stem)
def test_workflows_are_pinned_and_trust_little(file: Path) -> None:
    text = file.read_text("utf-8")
    uses = re.findall(r"uses: (\S+)(.*)", text)
    assert uses and all(re.search(r"@[0-9a-f]{40}$", action) and re.match(r" # v\d", tag) for action, tag in uses)
    workflow = yaml.safe_load(text)
    assert set(workflow["permissions"].values()) <= {"read"}
    for job in workflow["jobs"].values():
        assert job["timeout-minutes"] <= 30
        for step in job["steps"]:
            if step.get("uses", "").startswith("actions/checkout@"):
                assert step["with"]["persist-credentials"] is False
    every = [action for each in WORKFLOWS for action in re.findall(r"uses: (\S+)@", each.read_text("utf-8"))]
    pins = {pin for each in WORKFLOWS for pin in re.findall(r"uses: (\S+)", each.read_text("utf-8"))}
    assert len(pins) == len(set(every))  # one version of each


def dependencies(name: str, found: dict[str, Distribution]) -> dict[str, Distribution]:
    """What is installed for a distribution, without itself."""
    for requirement in map(Requirement, distribution(name).requires or ()):
        if requirement.name not in found and (not requirement.marker or requirement.marker.evaluate({"extra": ""})):
            found[requirement.name] = distribution(requirement.name)
            dependencies(requirement.name, found)
    return found


def test_sizes() -> None:
    """Of the wheel, and of what an environment or the image gets with it (without what Python compiles)."""
    packed, unpacked = io.BytesIO(), 0
    with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as wheel:
        for folder in ("emulator/flow_service_emulator", "emulator/docs", "fixtures"):
            for file in (ROOT / folder).rglob("*"):
                if file.is_file() and file.suffix != ".pyc":
                    wheel.write(file)
                    unpacked += file.stat().st_size
    assert len(packed.getvalue()) < 600 * KILOBYTE
    assert unpacked < 1_600 * KILOBYTE
    needed = dependencies("flow-service-emulator", {})
    files = {path.locate() for each in needed.values() for path in each.files or () if path.suffix != ".pyc"}
    size = sum(Path(file).stat().st_size for file in files if Path(file).is_file())
    assert size < 85 * MEGABYTE, {name: each.version for name, each in needed.items()}


def test_a_start_imports_little() -> None:
    """Readers of data and the slow parts of validation come when they are needed."""
    script = "import sys, flow_service_emulator.server; print(*sys.modules)"
    modules = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True).stdout.split()
    packages = {module.partition(".")[0] for module in modules}
    assert packages.isdisjoint({"arro3", "nanoarrow", "jsonschema", "referencing", "isal", "xml", "sqlite3", "pytest"})
    assert len(modules) < 440


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_memory_at_rest(tmp_path: Path) -> None:
    """Of a new server, in the resident pages that the system counts."""
    with serving(tmp_path) as server:
        status = Path(f"/proc/{server.process.pid}/status").read_text()
    (resident,) = re.findall(r"VmRSS:\s+(\d+) kB", status)
    assert int(resident) < 62_000
