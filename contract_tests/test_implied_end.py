"""When a schedule without `endTime` ends (reference, Schedule: six months after creation when absent)."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from flow_service_emulator.exports.schedule import implied_end


@pytest.mark.parametrize(
    ("created", "end"),
    [
        ("2026-01-01T00:00:30", "2026-07-01T00:00:30"),
        ("2026-07-15T12:00:00", "2027-01-15T12:00:00"),
        ("2026-12-31T23:59:59", "2027-06-30T23:59:59"),
        ("2026-08-31T06:00:00", "2027-02-28T06:00:00"),
        ("2027-08-30T06:00:00", "2028-02-29T06:00:00"),
        ("1970-01-01T00:00:00", "1970-07-01T00:00:00"),
    ],
)
def test_it_is_the_same_day_six_months_later_or_the_last_of_that_month(created: str, end: str) -> None:
    instants = [int(datetime.fromisoformat(text).replace(tzinfo=UTC).timestamp()) for text in (created, end)]
    assert implied_end(instants[0]) == instants[1]
