"""The README's section on faults: its tables are what the code says, its example runs."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from pathlib import Path

import pytest

from contract_tests.support import ServerProcess
from flow_service_emulator.faults.rules import KINDS, fields_of
from flow_service_emulator.faults.scenarios import kinds_table, scenarios_table

SECTION = (
    (Path(__file__).parent.parent / "README.md").read_text("utf-8").partition("\n## Faults\n")[2].partition("\n## ")[0]
)


@pytest.mark.parametrize(("name", "table"), [("fault kinds", kinds_table()), ("fault scenarios", scenarios_table())])
def test_tables(name: str, table: str) -> None:
    """`python -c 'from flow_service_emulator.faults.scenarios import *; print(kinds_table(), scenarios_table(), sep="\\n\\n")'` prints what belongs there."""
    (found,) = re.findall(rf"<!-- {name} -->\n(.*?)\n<!-- /{name} -->", SECTION, re.DOTALL)
    assert found == table


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
