"""Where files land: what a path or a folder template says becomes folders that every file system takes, inside the export folder.

Source: documentation, "Files"; reference, section "Schedule" for the templates.
"""

from __future__ import annotations

from typing import Any

import pytest

from contract_tests.support import FROZEN_NOW, Api, violations
from contract_tests.tutorial import S3, SFTP, SOURCE_CONNECTION

SOON = {"interval": 3, "timeUnit": "hour", "startTime": FROZEN_NOW + 60}
DEFAULT = "mine/exportTime=202601010001"
PATHS = {
    "folder/subfolder": "folder/subfolder",
    "/leading//doubled/trailing/": "leading/doubled/trailing",
    "./a/./b/.": "a/b",
    "/": "",
    "../../etc/passwd": "__/__/etc/passwd",
    "a/.../b.": "a/___/b_",
    "name. . ": "name____",
    "..\\..\\windows": ".._.._windows",
    "C:/temp": "C_/temp",
    '<>:"|?*': "_______",
    "a\0b\nc\x85d\u2028e": "a_b_c_d_e",
    "con/NUL.txt/Com1.a.b/lpt9/CONIN$/CON .txt": "_con/_NUL.txt/_Com1.a.b/_lpt9/_CONIN$/_CON .txt",
    "console/com10/nullable": "console/com10/nullable",
    "a!b'c(d)-e_f%g~h#i": "a!b'c(d)-e_f%g~h#i",
    "Größe/日本 語/.hidden": "Größe/日本 語/.hidden",
    "a" * 200: "a" * 200,
}
TEMPLATES = {
    "/": "",
    "a//b": "a/b",
    "%DATASET_ID%": "mine",
    "%DATASET_NAME%": "a_b",
    "x%DATETIME(YYYY-MM-dd'T'HHmm)%": "x2026-01-01T0001",
    "%DESTINATION_NAME%": "sftp",
    "b" + "/" * 511: "b",
}
BAD_TEMPLATES = ["", " ", "%", "a%", "%NAME%", "%dataset_id%", "%DATETIME()%", "%DATETIME(YYY)%", "%DATETIME(hh)%"]
BAD_TEMPLATES += ["..", "a/../b", "%DATETIME(dd'x)%"]


@pytest.fixture
def prepared(api: Api) -> tuple[Api, str, str]:
    """A client, a source connection of a dataset called mine, and a base connection."""
    api.control("PUT", "/datasets/mine", {"name": "a/b", "records": [{"n": 1}]})
    source = {**SOURCE_CONNECTION, "params": {"datasets": [{"dataSetId": "mine"}]}}
    return api, api.created("sourceConnections", source), api.created("connections", SFTP.base_connection())


def folders(prepared: tuple[Api, str, str], *wishes: tuple[str, dict[str, Any]]) -> list[str]:
    """The folder below the destination's that each flow with a path and a part of a schedule writes to."""
    api, source, base = prepared
    flows = []
    for path, schedule in wishes:
        target = api.created("targetConnections", SFTP.target_connection(base, remotePath=path))
        flows.append(api.created("flows", SFTP.flow(source, target, **SOON, **schedule)))
    assert {run["status"] for run in api.advance(60)} == {"success"}
    files = {file["flow"]: file["path"] for file in api.control("GET", "/exports")["items"]}
    assert all(path.startswith("sftp/") for path in files.values())
    return [files[flow].rpartition("/")[0].removeprefix("sftp").removeprefix("/") for flow in flows]


@pytest.mark.emulator_only
def test_folders_of_paths(prepared: tuple[Api, str, str]) -> None:
    found = folders(prepared, *((path, {}) for path in PATHS))
    assert dict(zip(PATHS, found, strict=True)) == {
        path: "/".join(filter(None, (folder, DEFAULT))) for path, folder in PATHS.items()
    }


@pytest.mark.emulator_only
def test_long_names_are_cut_and_stay_apart(prepared: tuple[Api, str, str]) -> None:
    """A name over 200 bytes."""
    wishes = ["a" * 201, "é" * 101, "é" * 102, "/".join(each * 201 for each in "abcd")]
    found = folders(prepared, *((path, {}) for path in wishes))
    names = [folder.removesuffix(f"/{DEFAULT}").split("/") for folder in found]
    assert len(set(found)) == len(wishes) and [len(each) for each in names] == [1, 1, 1, 4]
    assert all("~" in name and len(name.encode()) <= 200 for each in names for name in each)
    assert names[1][0].startswith("é" * 93)


@pytest.mark.emulator_only
def test_folders_of_templates(prepared: tuple[Api, str, str]) -> None:
    found = folders(prepared, *(("p", {"foldernameTemplate": template}) for template in TEMPLATES))
    assert dict(zip(TEMPLATES, found, strict=True)) == {
        template: f"p/{folder}".rstrip("/") for template, folder in TEMPLATES.items()
    }


@pytest.mark.parametrize("template", BAD_TEMPLATES)
def test_templates_that_are_none(api: Api, template: str) -> None:
    flow = api.created("sourceConnections", SOURCE_CONNECTION), api.target(S3)
    answer = api.post("/flows", S3.flow(*flow, **{**api.later, "foldernameTemplate": template}))
    assert "scheduleParams.foldernameTemplate" in violations(answer)
