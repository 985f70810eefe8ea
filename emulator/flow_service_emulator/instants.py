"""Instants as people write them: epoch seconds, or ISO 8601."""

from __future__ import annotations

import re
from datetime import UTC, datetime
from typing import Final, TypeAlias

Instant: TypeAlias = float | str | datetime
"""Epoch seconds, an ISO 8601 text such as `2026-01-01T00:00:00Z`, or a datetime; UTC where it names no zone."""

_SECONDS: Final = re.compile(r"0|[0-9]{9,}|[0-9]+\.[0-9]+")
"""Epoch seconds as a text. Fewer digits without a point look like a date: 20260102, and 2026 or 202601, which are no instants."""


def epoch_seconds(at: Instant) -> float:
    """An instant in epoch seconds. Raises ValueError for a text that is none."""
    if isinstance(at, str):
        if _SECONDS.fullmatch(at):
            return float(at)
        at = datetime.fromisoformat(at)
    if isinstance(at, datetime):
        return (at if at.tzinfo else at.replace(tzinfo=UTC)).timestamp()
    return float(at)


def hint(text: object) -> str:
    """What to write instead of epoch seconds that look like a date, to be put behind an error's message; empty for others."""
    few_digits = isinstance(text, str) and re.fullmatch("[0-9]{1,8}", text)
    return f"; so few digits could be a date: as epoch seconds, write {text}.0" if few_digits else ""
