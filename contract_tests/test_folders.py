"""Where exports go: templates become folders that are always inside the export folder, and valid on every system."""

from __future__ import annotations

import ntpath
import os
import unicodedata
from datetime import UTC, datetime
from pathlib import Path, PureWindowsPath

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from flow_service_emulator.exports.folders import MACROS, MAX_PART_BYTES, check_template, expand_template, safe_parts

AT = datetime(2024, 1, 2, 3, 4, 5, tzinfo=UTC).timestamp()
HOSTILE = st.text(
    st.one_of(st.sampled_from(list("/.\\ :*?\"<>|\0\n\x7f%=()!'~$CONULPRTAXcom19¹é")), st.characters()), max_size=60
)
PARTS = st.sampled_from(["%DATASET_NAME%", "%DESTINATION_INSTANCE_NAME%", "/", "../", "%EXPORT_TIME%"])
TEMPLATES = st.lists(st.one_of(PARTS, HOSTILE), min_size=1, max_size=6).map("".join)


@given(template=TEMPLATES, name=HOSTILE, path=HOSTILE)
@example(template="%DATASET_NAME%", name="../../..", path="..")
@example(template="%DATASET_NAME%/%DATASET_NAME%", name="NUL", path="/C:/con/../..")
@example(template="%DATASET_NAME%", name="CON." + "x" * 5000, path="é" * 5000)
def test_any_template_name_and_path_give_folders_inside(template: str, name: str, path: str) -> None:
    """From the texts of a user to the folder's path, as an export goes."""
    if check_template(template) is not None:
        return
    parts = safe_parts("amazon-s3", path, expand_template(template, dict.fromkeys(MACROS, name), AT))
    root = Path("/srv/exports/amazon-s3")
    folder = os.path.normpath(root.parent.joinpath(*parts))
    assert folder == str(root) or folder.startswith(f"{root}{os.sep}")
    for part in parts:
        assert part not in ("", ".", "..")
        assert len(part.encode()) <= MAX_PART_BYTES
        assert not set(part) & set('/\\<>:"|?*')
        assert not any(unicodedata.category(letter) in ("Cc", "Cs") for letter in part)
        assert not part.endswith((".", " "))
        assert not (ntpath.isreserved(part) if hasattr(ntpath, "isreserved") else PureWindowsPath(part).is_reserved())


@pytest.mark.parametrize(
    ("template", "reason"),
    [
        (" \t", "is empty"),
        ("%DATETIME(yyyy", "no partner"),
        ("%%", "%% is not a macro: use one of %DESTINATION%"),
        ("%DATETIME()%", "has no pattern"),
        ("%DATETIME(yyyy'T)%", 'has "\'T"'),
        ("a/.. /b", '".. " leaves the folder'),
        ("%" + "X" * 500 + "%", "X…% is not a macro"),
    ],
)
def test_what_is_refused_and_why(template: str, reason: str) -> None:
    found = check_template(template) or ""
    assert reason in found and len(found) < 400
