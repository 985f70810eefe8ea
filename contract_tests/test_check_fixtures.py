"""`check-fixtures`, and what a server says of the same folder when it starts."""

from __future__ import annotations

import asyncio
import logging
from pathlib import Path
from typing import Any

import pytest

from contract_tests.in_process import LocalEmulator
from contract_tests.test_catalog import write
from flow_service_emulator.cli import main
from flow_service_emulator.folder_check import strangers
from flow_service_emulator.settings import Settings

GOOD = {"datasets/a.csv": "n\n1\n2\n", "datasets/b.ndjson": '{"n": 1}\n', "README.md": "ours", "datasets/.keep": ""}
BROKEN = {
    "datasets/numbers.json": ([1, 2], "record 1: a record is a JSON object, not 1"),
    "datasets/cut-off.json": ('[{"n": 1},', "this is not JSON: unexpected end of data (line 1, column 11)"),
    "datasets/empty.csv": ("", "the first line has to have the columns' names; it is empty"),
    "datasets/doubled.csv": ("n,n\n1,2\n", "two columns are named 'n'"),
    "datasets/unnamed.csv": ("a,\n1,2\n", "column 2: it has no name in the first line"),
    "datasets/latin.csv": (b"a\n\xe9\n", "it is not in UTF-8"),
    "datasets/long.csv": ("a,b\n1,2\n1,2,3\n", "incorrect number of fields for line 3, expected 2 got 3"),
    "datasets/object.json": ({}, "an array of records is needed; one record a line goes into a .ndjson file"),
    "datasets/mixed.ndjson": ('{"a":1}\n\n{"a":[]}\n', "record 2, field a: [] is an array, but the field is a whole number"),
    "datasets/zeros.parquet": (b"PAR1" + bytes(50), "it cannot be read: Invalid Parquet file. Corrupt footer"),
    "datasets/ragged.csv": ("n,m\n1,2\n3\n", "incorrect number of fields for line 3, expected 2 got 1"),
    "datasets/broken.parquet": (b"PAR1 and no more", "it cannot be read: Invalid Parquet file. Corrupt footer"),
    "datasets/broken.ndjson": ('{"n": 1}\n{"n": }\n', "line 2 is not JSON: unexpected character, expected a JSON value (column 7)"),
    "datasets/unended.ndjson": ('{"n": 1}\n{"n":', "the last line is no whole JSON: 5 bytes are left out"),
    "datasets/sp ace.csv": ("n\n1\n", "its name is the dataset's id, and that has 1 to 64 letters, digits, - and _ only"),
}  # fmt: skip
UNREAD = {
    "dataset/a.csv": ("n\n1\n", "dataset: nothing is read from it; the folders that are read are connection-specs, datasets,"),
    "notes.txt": ("x", "notes.txt: nothing is read from it; the folders that are read are connection-specs,"),
    "datasets/sheet.xlsx": ("x", "datasets/sheet.xlsx: nothing is read from it: files that are read end in .json, .ndjson,"),
    "datasets/more/a.csv": ("n\n1\n", "datasets/more: nothing is read from it: it is a folder"),
    "schemas/visit.JSON": ("{}", "schemas/visit.JSON: nothing is read from it: files that are read end in .json"),
}  # fmt: skip


def checked(capsys: pytest.CaptureFixture[str], folder: Path) -> tuple[int, str, list[str]]:
    """The exit status, what is printed, and the lines of standard error with the folder's own name taken out."""
    status = main(["check-fixtures", str(folder)])
    printed = capsys.readouterr()
    return status, printed.out, printed.err.replace(f"{folder}/", "").splitlines()


def test_files_of_records_are_counted(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    status, told, faults = checked(capsys, write(tmp_path, GOOD))
    assert (status, faults) == (0, [])
    assert "36 datasets, 2 dataset files with 3 rows, " in told
    assert told.endswith("all in order\n")
    assert main(["check-fixtures"]) == 0
    assert "dataset files" not in capsys.readouterr().out


def test_every_broken_file_is_told_with_its_reason(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    specs = {"connection-specs/a.json": "{", "flow-specs/a.json": "{}", "schemas/other.json": {"type": "strng"}}
    files: dict[str, Any] = {name: content for name, (content, _) in BROKEN.items()}
    status, told, faults = checked(capsys, write(tmp_path, {**files, **specs, **GOOD}))
    assert (status, told) == (1, "")
    for name, (_, reason) in BROKEN.items():
        assert f"{name}: {reason}" in faults
    assert {name for name in specs if any(fault.startswith(f"{name}: ") for fault in faults)} == set(specs)
    assert faults[-1] == f"flow-service-emulator: {len(faults) - 1} faults in {tmp_path}"
    assert not any("good" in fault or "a.csv" in fault for fault in faults)


def test_what_nothing_is_read_from_is_a_fault_and_warned_of(
    capsys: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture, tmp_path: Path
) -> None:
    write(tmp_path, {name: content for name, (content, _) in UNREAD.items()} | GOOD)
    status, _, faults = checked(capsys, tmp_path)
    assert status == 1
    assert len(faults) == len(UNREAD) + 1
    with caplog.at_level(logging.WARNING, "emulator"):
        LocalEmulator(Settings(fixtures=tmp_path, export_dir=tmp_path / "exports"))
    for _, expected in UNREAD.values():
        assert any(fault.startswith(expected) for fault in faults), expected
        assert any(expected in record.getMessage() for record in caplog.records), expected


@pytest.mark.parametrize(
    ("given", "reason"),
    [
        ("fx/datasets", "none of the folders connection-specs, datasets, flow-specs, schemas; is {0}/fx meant?"),
        ("fx/datasets/a.csv", "{0}/fx/datasets/a.csv: this is a file; a folder is needed"),
        ("nothing", "{0}/nothing: there is no such folder"),
    ],
)
def test_a_folder_that_is_not_meant(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, given: str, reason: str
) -> None:
    write(tmp_path / "fx", GOOD)
    assert main(["check-fixtures", str(tmp_path / given)]) == 1
    assert reason.format(tmp_path) in capsys.readouterr().err


def test_a_folder_in_which_only_a_name_is_wrong(tmp_path: Path) -> None:
    write(tmp_path, {"dataset/a.csv": "n\n1\n"})
    assert [fault.file.name for fault in strangers(tmp_path)] == [tmp_path.name]
    write(tmp_path, {"datasets/a.csv": "n\n1\n"})
    assert [fault.file.name for fault in strangers(tmp_path)] == ["dataset"]
    (tmp_path / "dataset" / "a.csv").unlink()
    (tmp_path / "dataset").rmdir()
    assert strangers(tmp_path) == []


def test_a_server_starts_beside_broken_files_and_warns_of_each_once(
    caplog: pytest.LogCaptureFixture, tmp_path: Path
) -> None:
    write(tmp_path, {name: content for name, (content, _) in BROKEN.items()} | GOOD)

    async def scenario() -> list[str]:
        async with LocalEmulator(Settings(fixtures=tmp_path, export_dir=tmp_path / "exports")) as emulator:
            await emulator.control("PUT", "/datasets/mine", {"records": []})
            items = (await emulator.control("GET", "/datasets"))["items"]
            return [item["file"] for item in items if "problem" in item]

    with caplog.at_level(logging.WARNING, "emulator"):
        problems = asyncio.run(scenario())
    expected = sorted(name.removeprefix("datasets/") for name in BROKEN if "unended" not in name)
    assert sorted(problems) == expected
    warned = [record.getMessage() for record in caplog.records if "cannot be used" in record.getMessage()]
    assert sorted(warning.split(" cannot")[0].removeprefix("the dataset file ") for warning in warned) == expected
