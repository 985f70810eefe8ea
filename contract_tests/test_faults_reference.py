"""The README's section on faults: its tables are what the code says, its example runs."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from pathlib import Path

import pytest

from contract_tests.support import ServerProcess
from flow_service_emulator.faults.rules import KINDS, Kind, fields_of
from flow_service_emulator.faults.scenarios import SCENARIOS

SECTION = (
    (Path(__file__).parent.parent / "README.md").read_text("utf-8").partition("\n## Faults\n")[2].partition("\n## ")[0]
)


def own_fields(kind: Kind) -> str:
    """The fields, each with whether it is needed or what it is by default."""
    told = []
    for name in dict.fromkeys((*kind.own, *kind.defaults)):
        note = " (needed)" if name in kind.needed else f" ({kind.defaults[name]})" if name in kind.defaults else ""
        told.append(f"`{name}`{note}")
    return ", ".join(told)


TABLES = {
    "fault kinds": [
        ("kind", "what it does", "its own fields"),
        *((f"`{name}`", kind.does, own_fields(kind)) for name, kind in KINDS.items()),
    ],
    "fault scenarios": [
        ("scenario", "what happens", "a good client"),
        *((f"`{name}`", each["happens"], each["goodClient"]) for name, each in SCENARIOS.items()),
    ],
}


@pytest.mark.parametrize("name", TABLES)
def test_tables(name: str) -> None:
    """What is missing in the README stands in the failure."""
    heads, *rows = (f"| {' | '.join(row)} |" for row in TABLES[name])
    (found,) = re.findall(rf"<!-- {name} -->\n(.*?)\n<!-- /{name} -->", SECTION, re.DOTALL)
    assert found == "\n".join([heads, "|---" * len(TABLES[name][0]) + "|", *rows])


def test_every_field_is_named() -> None:
    named = set(re.findall(r"`(\w+)`", SECTION))
    assert {name for kind in KINDS for name in fields_of(kind)} <= named | {"id", "kind"}


def test_the_example_runs(server: ServerProcess) -> None:
    if shutil.which("curl") is None or shutil.which("bash") is None:
        pytest.skip("needs curl and bash")
    (script,) = re.findall(r"<!-- test: faults -->\n```sh\n(.*?)^```$", SECTION, re.DOTALL | re.MULTILINE)
    script = script.replace("http://127.0.0.1:8080", server.url)
    run = subprocess.run(["bash", "-euc", script], capture_output=True, text=True, timeout=60, check=True)
    added, replaced, deleted = (json.loads(text) for text in run.stdout.replace("}{", "}\n{").splitlines())
    assert [rule["error"] for rule in added["rules"]] == ["service-unavailable"]
    assert [rule["kind"] for rule in replaced["rules"]] == ["token-expired"]
    assert deleted == {"deleted": 1}
