"""Instants as texts: what is read as epoch seconds, what as a date, and what is neither."""

from __future__ import annotations

import pytest

from contract_tests.support import FROZEN_NOW, Api, assert_error
from flow_service_emulator.instants import epoch_seconds
from flow_service_emulator.settings import read_settings

DAY = 86_400


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("20260102", FROZEN_NOW + DAY),
        ("20260102T000000Z", FROZEN_NOW + DAY),
        ("2026-01-02", FROZEN_NOW + DAY),
        ("1767312000", FROZEN_NOW + DAY),
        ("1767312000.5", FROZEN_NOW + DAY + 0.5),
        ("100000000", 100_000_000),
        ("5.25", 5.25),
        ("0", 0),
    ],
)
def test_a_text_that_is_an_instant(text: str, seconds: float) -> None:
    assert epoch_seconds(text) == seconds


@pytest.mark.parametrize(
    "text",
    [
        "1_767_312_000",
        "2026",
        "202601",
        "20261301",
        "nan",
        "inf",
        "1e9",
        "+1767312000",
        " 1767312000",
        "-5.0",
        "١٢٣٤٥٦٧٨٩",
        "",
    ],
)
def test_a_text_that_is_none(text: str) -> None:
    with pytest.raises(ValueError):
        epoch_seconds(text)


def test_a_date_of_digits_only_moves_the_clock_there(api: Api) -> None:
    assert api.control("POST", "/clock/advance", {"to": "20260102"})["now"] == FROZEN_NOW + DAY
    assert api.control("PUT", "/clock", {"now": "20260103"})["now"] == FROZEN_NOW + 2 * DAY
    refused = api.http.post("/__emulator/clock/advance", json={"to": "1_767_312_000"})
    assert '"to" must be a time' in assert_error(refused, "control-invalid")["detail"]


def test_who_writes_too_few_digits_is_told_how_to_write_them(api: Api) -> None:
    refused = api.http.post("/__emulator/clock/advance", json={"to": "86400"})
    assert "as epoch seconds, write 86400.0" in assert_error(refused, "control-invalid")["detail"]
    with pytest.raises(ValueError, match=r"--now: .*as epoch seconds, write 86400\.0"):
        read_settings({"now": "86400"}, {})
    assert read_settings({"now": "86400.0"}, {}).now == DAY
