"""What the log tells of a long run while it is under way."""

from __future__ import annotations

import logging
from typing import Final

from emulator.exports.runs import Run

log = logging.getLogger("emulator.scheduler")
LOG_SECONDS: Final = 30.0
"""How often, at the least, the log tells of a long run; in its first minute more often."""


class ProgressReport:
    """Tells the log how far a run is: after half a second, then twice as late each time, later on regularly."""

    def __init__(self, run: Run, now: float) -> None:
        """`now` is in the loop's seconds."""
        self._run = run
        self._began = now
        self._due = now

    def at(self, now: float) -> None:
        """Tells, if it is time to."""
        if now < self._due:
            return
        passed = now - self._began
        self._due = now + min(passed, LOG_SECONDS)
        run, rows, expected = self._run, self._run.rows, self._run.expected_rows
        log.info(
            "run %s of flow %s: %s of %s rows (%d %%), %.1f MB, %s rows/s",
            run.job.run_id,
            run.job.flow_id,
            f"{rows:,}",
            f"{expected:,}",
            100 * rows // max(expected, 1),
            run.bytes / 1e6,
            f"{rows / max(passed, 1e-9):,.0f}",
        )
