"""The benchmark's command: its table, its JSON, and another server beside the emulator. What it measures is not judged here."""

from __future__ import annotations

import json
import socket
from pathlib import Path

import pytest

from contract_tests.bench.__main__ import main
from contract_tests.bench.measures import Plan
from contract_tests.support import serving

BRIEF = Plan(rounds=1, seconds=0.05, warmup=0.02, starts=1)


def rows(table: str) -> list[list[str]]:
    """The cells of each line of a Markdown table."""
    return [
        [cell.strip() for cell in line.strip("|").split("|")] for line in table.splitlines() if line.startswith("|")
    ]


def test_another_server_stands_beside_the_emulator(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "results.json"
    with serving(tmp_path) as other:
        assert main(["--only", "look-ups", "--against", f"{other.url}/", "--json", str(file)], BRIEF) == 0
    head, _, *lines = rows(capsys.readouterr().out)
    assert head == ["what", "emulator", "floor", other.url, "of the floor"]
    assert [line[0] for line in lines] == [
        f"look-ups, {connections}{what}"
        for connections in ("1 connection", "16 connections")
        for what in ("", ": 99th percentile", ": processor time of each")
    ]
    written = json.loads(file.read_text())
    assert set(written) == {"date", "machine", "system", "python", "results"}
    assert [result["what"] for result in written["results"]] == [line[0] for line in lines]
    for result, line in zip(written["results"], lines, strict=True):
        of_others = result["what"].endswith("each")  # nobody tells what another machine's processor does
        assert set(result["values"]) == {"emulator", "floor"} | (set() if of_others else {"other"})
        assert all(value > 0 for value in result["values"].values() if not of_others)
        assert result["ratio"] is None or result["ratio"] == result["values"]["emulator"] / result["values"]["floor"]
        assert [bool(cell) for cell in line[1:4]] == [True, True, not of_others]
        assert line[1].endswith(result["unit"])


def test_the_start_is_measured_in_the_same_manner(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--only", "start"], BRIEF) == 0
    head, _, *lines = rows(capsys.readouterr().out)
    assert head == ["what", "emulator", "floor", "of the floor"]
    assert [line[0] for line in lines] == ["start to first answer", "memory at rest"]


def test_a_server_that_is_not_there_is_named(capsys: pytest.CaptureFixture[str]) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
    assert main(["--against", f"http://127.0.0.1:{port}"], BRIEF) == 2
    assert f"http://127.0.0.1:{port} cannot be reached" in capsys.readouterr().err


def test_a_server_of_another_api_is_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with serving(tmp_path, "--orgs", "ANOTHER@AdobeOrg") as other:
        assert main(["--against", other.url], BRIEF) == 2
    assert f"{other.url} answers POST" in capsys.readouterr().err


def test_a_part_that_has_no_requests_does_not_go_with_another_server(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit, match="2"):
        main(["--only", "exports", "--against", "http://127.0.0.1:1"], BRIEF)
    assert "--against goes with requests" in capsys.readouterr().err
