"""What the log tells of a long run while it is under way, and of every run when it is over."""

from __future__ import annotations

import logging
from typing import Any, Final

from flow_service_emulator.exports.runs import Job, Run

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


def run_ended(job: Job, status: str, problem: str | None) -> dict[str, Any]:
    """Tells the log how a run ended; answers what an advance tells of it."""
    why = f" ({problem})" if problem else ""
    log.info("run %s of flow %s for %d: %s%s", job.run_id, job.flow_id, job.scheduled_at, status, why)
    return told(job, status)


def told(job: Job, status: str) -> dict[str, Any]:
    """What an advance tells of a run."""
    return {"id": job.run_id, "flowId": job.flow_id, "scheduledAt": job.scheduled_at, "status": status}
