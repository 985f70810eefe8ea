"""Instants as people write them: epoch seconds, or ISO 8601."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TypeAlias

Instant: TypeAlias = float | str | datetime
"""Epoch seconds, an ISO 8601 text such as `2026-01-01T00:00:00Z`, or a datetime; UTC where it names no zone."""


def epoch_seconds(at: Instant) -> float:
    """An instant in epoch seconds. Raises ValueError for a text that is none."""
    if isinstance(at, str):
        try:
            return float(at)
        except ValueError:
            at = datetime.fromisoformat(at)
    if isinstance(at, datetime):
        return (at if at.tzinfo else at.replace(tzinfo=UTC)).timestamp()
    return float(at)
