"""Folder templates: every macro, what is refused and why, and that nothing leaves the folder."""

from __future__ import annotations

import re
from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from flow_service_emulator.files.paths import safe_parts
from flow_service_emulator.files.templates import (
    DEFAULT_TEMPLATE,
    MAX_TEMPLATE_LENGTH,
    TemplateValues,
    check_template,
    expand_template,
)

VALUES = TemplateValues(
    destination="amazon-s3",
    destination_instance_id="6a3b",
    destination_instance_name="My bucket",
    dataset_id="5f3c9b7e",
    dataset_name="Loyalty members",
    sandbox_name="prod",
    organization_name="Example Corp",
    scheduled_at=datetime(2024, 1, 2, 3, 4, 5, tzinfo=UTC).timestamp(),
)


@pytest.mark.parametrize(
    ("template", "folder"),
    [
        (DEFAULT_TEMPLATE, "5f3c9b7e/exportTime=202401020304"),
        ("%DESTINATION%", "amazon-s3"),
        ("%DESTINATION_NAME%", "amazon-s3"),
        ("%DESTINATION_INSTANCE_ID%/%DESTINATION_INSTANCE_NAME%", "6a3b/My bucket"),
        ("%DATASET_ID%_%DATASET_NAME%", "5f3c9b7e_Loyalty members"),
        ("%SANDBOX_NAME%/%ORGANIZATION_NAME%", "prod/Example Corp"),
        ("%EXPORT_TIME%", "exportTime=202401020304"),
        ("%DATETIME(YYYYMMdd_HHmmss)%", "20240102_030405"),
        ("%DATETIME(yyyy-MM-dd'T'HH.mm.ss)%", "2024-01-02T03.04.05"),
        ("year=%DATETIME(YYYY)%/month=%DATETIME(MM)%", "year=2024/month=01"),
        ("%DATETIME(yyyy/MM/dd)%", "2024_01_02"),
        ("/plain//folders/./", "plain/folders"),
        ("/", ""),
        (
            "%DESTINATION_NAME%_%DATASET_ID%_%DATASET_NAME%_%DATETIME(YYYYMMdd_HHmmss)%",
            "amazon-s3_5f3c9b7e_Loyalty members_20240102_030405",
        ),
    ],
)
def test_what_a_template_becomes(template: str, folder: str) -> None:
    assert check_template(template) is None
    assert expand_template(template, VALUES) == folder


@pytest.mark.parametrize(
    ("template", "reason"),
    [
        ("", "is empty"),
        (" \t", "is empty"),
        ("%DATASET_ID", "no partner"),
        ("100%/%DATASET_ID%", "no partner"),
        ("%FOO%", "%FOO% is not a macro: use one of %DESTINATION%"),
        ("%dataset_id%", "%dataset_id% is not a macro"),
        ("%%", "%% is not a macro"),
        ("%SEGMENT_NAME%", "%SEGMENT_NAME% is not a macro"),
        ("%DATETIME()%", "has no pattern"),
        ("%DATETIME(YYYYDDD)%", "has 'DDD'"),
        ("%DATETIME(hh)%", "has 'hh'"),
        ("%DATETIME(yyyy'T)%", 'has "\'T"'),
        ("%DATETIME(yyyy", "no partner"),
        ("..", '".." leaves the folder'),
        ("a/../../b", '".." leaves the folder'),
        ("a/.. /b", '".. " leaves the folder'),
        ("a" * (MAX_TEMPLATE_LENGTH + 1), f"use at most {MAX_TEMPLATE_LENGTH}"),
        ("a/" * 20, "20 folders"),
    ],
)
def test_what_is_refused_and_why(template: str, reason: str) -> None:
    found = check_template(template)
    assert found is not None
    assert reason in found
    with pytest.raises(ValueError, match=re.escape(found)):
        expand_template(template, VALUES)


def test_a_long_mistake_gives_a_short_reason() -> None:
    for template in ("%" + "X" * 500 + "%", "%DATETIME(" + "X" * 490 + ")%"):
        reason = check_template(template)
        assert reason is not None
        assert len(reason) < 400


@pytest.mark.parametrize(
    ("name", "folders"),
    [
        ("A/B", ("A_B", "x")),
        ("../..", ("..___", "x")),
        ("..", ("__", "x")),
        (".", ("_", "x")),
        ("", ("_", "x")),
    ],
)
def test_a_value_neither_splits_nor_climbs_nor_vanishes(name: str, folders: tuple[str, ...]) -> None:
    values = VALUES._replace(dataset_name=name)
    assert safe_parts(expand_template("%DATASET_NAME%/x", values)) == folders


MACROS = ["%DESTINATION%", "%DATASET_ID%", "%DATASET_NAME%", "%EXPORT_TIME%", "%SANDBOX_NAME%"]


@given(
    pieces=st.lists(st.sampled_from([*MACROS, "/", "a", "_", "..", ".", " ", "%DATETIME(MM/dd)%"]), max_size=16),
    value=st.text(max_size=20),
)
def test_a_sound_template_keeps_its_number_of_folders(pieces: list[str], value: str) -> None:
    template = "".join(pieces)
    if check_template(template) is not None:
        return
    values = VALUES._replace(dataset_name=value, dataset_id=value, destination=value, sandbox_name=value)
    parts = safe_parts(expand_template(template, values))
    assert len(parts) == len([part for part in split_outside_macros(template) if part not in ("", ".")])
    assert not any(part in (".", "..") or "/" in part for part in parts)


def split_outside_macros(template: str) -> list[str]:
    pieces = template.split("%")
    return "M".join("M" if index % 2 else piece for index, piece in enumerate(pieces)).split("/")


@given(template=st.text(st.sampled_from(list("%/.()_ abDATEIMYdHms_'")), max_size=40))
def test_checking_agrees_with_expanding(template: str) -> None:
    reason = check_template(template)
    if reason is None:
        expand_template(template, VALUES)
    else:
        with pytest.raises(ValueError, match=re.escape(reason)):
            expand_template(template, VALUES)
