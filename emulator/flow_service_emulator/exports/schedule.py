"""A flow's `scheduleParams`: read and checked, and the instants at which its exports fall due.

Source of the rules: reference, sections "Schedule" and "Where the sources disagree". Times are epoch seconds.
"""

from __future__ import annotations

import calendar
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import lru_cache
from typing import Any, Final

from flow_service_emulator.exports.folders import check_template
from flow_service_emulator.settings import LATEST_TIME
from flow_service_emulator.validation.validation import Finding, Violation
from flow_service_emulator.validation.violation_text import literal

HOUR, DAY = 3600, 86400
HOURLY_INTERVALS = (3, 6, 8, 9, 12, 24)
UNITS = ("hour", "day")
FULL, INCREMENTAL = "DAILY_FULL_EXPORT", "FIRST_FULL_THEN_INCREMENTAL"
MONTHS = 6
"""When no `endTime` is given the schedule ends so many months after the flow's creation."""
_NUMBERS = ("interval", "startTime", "endTime")
_TEMPLATE_NAMES = ("foldernameTemplate", "folderNameTemplate")
_KNOWN = {*_NUMBERS, *_TEMPLATE_NAMES, "timeUnit", "exportMode"}


@dataclass(frozen=True, slots=True)
class Schedule:
    """When a flow exports: at `start + k * step` up to `end`; `step` 0 means once, at `start`."""

    start: int
    step: int
    end: int

    def latest(self, at: float) -> int | None:
        """The last instant of the grid that is not after `at`; None when there is none."""
        limit = min(at, self.end)
        if limit < self.start:
            return None
        if not self.step:
            return self.start
        return self.start + int(limit - self.start) // self.step * self.step

    def following(self, at: float) -> int | None:
        """The first instant of the grid that comes after `at`; None when there is none."""
        if at < self.start:
            return self.start if self.start <= self.end else None
        if not self.step:
            return None
        instant = self.start + (int(at - self.start) // self.step + 1) * self.step
        return instant if instant <= self.end else None

    def count(self, after: float, until: float) -> int:
        """How many instants of the grid lie in `(after, until]`."""
        first, last = self.following(after), self.latest(until)
        if first is None or last is None or last < first:
            return 0
        return 1 if not self.step else (last - first) // self.step + 1


def read_schedule(params: Mapping[str, Any]) -> tuple[dict[str, Any], list[Violation], list[Finding]]:
    """Check `scheduleParams` as a client sent them.

    Return the parameters as they are stored (numeric strings made numbers, words in their documented letter case), every
    violation and every warning.
    """
    reading = _Reading({name: value for name, value in params.items() if value is not None or name not in _KNOWN})
    reading.read()
    return reading.stored, reading.violations, reading.warnings


def schedule_of(flow: Mapping[str, Any]) -> Schedule:
    """The schedule of a stored flow."""
    params = flow["scheduleParams"]
    step = params["interval"] * (HOUR if params["timeUnit"] == "hour" else DAY)
    return Schedule(params["startTime"], step, params.get("endTime") or implied_end(flow["createdAt"] // 1000))


@lru_cache(1024)
def implied_end(created_at: int) -> int:
    """When a schedule without `endTime` ends, whose flow was created at this instant: the same day six months later, or the
    last day of that month where there is no such day."""
    created = datetime.fromtimestamp(created_at, UTC)
    year, month = divmod(created.year * 12 + created.month - 1 + MONTHS, 12)
    last_day = calendar.monthrange(year, month + 1)[1]
    return int(created.replace(year=year, month=month + 1, day=min(created.day, last_day)).timestamp())


_EXAMPLES: dict[str, Any] = {"interval": 3, "timeUnit": "hour", "startTime": 1675901210, "endTime": 1691625600}
_BAD: Final = object()
"""Stands where a number could not be read, so that later checks of it keep still."""


class _Reading:
    """`scheduleParams` being read, and what is found."""

    def __init__(self, stored: dict[str, Any]) -> None:
        self.stored = stored
        self.violations: list[Violation] = []
        self.warnings: list[Finding] = []

    def read(self) -> None:
        stored = self.stored
        for name in _NUMBERS:
            if name in stored:
                stored[name] = self._number(name, stored[name])
        self._word("timeUnit", UNITS)
        self._word("exportMode", (INCREMENTAL, FULL))
        for name in ("interval", "timeUnit", "startTime"):
            if name not in stored:
                self._refuse(name, " is required", "required", _EXAMPLES[name])
        self._check_repetition()
        start, end = stored.get("startTime"), stored.get("endTime")
        if isinstance(start, int) and isinstance(end, int) and end <= start:
            self._refuse("endTime", f" must come after startTime {start}, got {end}", "minimum")
        for name in _TEMPLATE_NAMES:
            template = stored.get(name, "/")
            reason = (
                check_template(template) if isinstance(template, str) else f"a text is needed, got {literal(template)}"
            )
            if reason:
                self._refuse(name, f": {reason}", "pattern", "%DATASET_ID%/%EXPORT_TIME%")
        for name in sorted(set(stored) - _KNOWN - {"frequency"}):
            self._warn("unknown-field", name[:60], " is not documented; it is stored and has no effect")
        if "frequency" in stored:
            message = " is not documented for dataset exports; timeUnit and interval decide"
            self._warn("frequency-sent", "frequency", message)

    def _refuse(self, name: str, message: str, rule: str, example: Any = None) -> None:
        path = f"scheduleParams.{name}"
        self.violations.append(Violation(path, f"{path}{message}", rule, example=example))

    def _warn(self, code: str, name: str, message: str) -> None:
        path = f"scheduleParams.{name}"
        self.warnings.append(Finding(code, path, f"{path}{message}"))

    def _number(self, name: str, sent: Any) -> Any:
        """Make a numeric string a number (a real client sends them), and refuse what is no whole number in range."""
        value = sent
        if isinstance(value, str) and len(value) <= 20 and value.isascii() and value.isdigit():
            self._warn("numeric-string", name, f' was sent as the string "{value}"; the API documents a number')
            value = int(value)
        if isinstance(value, float) and value.is_integer() and abs(value) <= LATEST_TIME:
            value = int(value)
        limit = 24 if name == "interval" else int(LATEST_TIME)
        if not isinstance(value, bool) and isinstance(value, int) and 0 <= value <= limit:
            return value
        wanted, hint, example = "epoch seconds, a whole number", "", _EXAMPLES[name]
        if name == "interval":
            wanted = "3, 6, 8, 9, 12 or 24 with timeUnit hour; 1 or 0 (once) with timeUnit day"
        elif isinstance(value, int) and limit < value <= 1000 * limit:
            wanted, example = "epoch seconds", value // 1000
            hint = f", which looks like milliseconds: in seconds it is {example}"
        self._refuse(name, f" must be {wanted}; got {literal(sent)}{hint}", "type", example)
        return _BAD

    def _word(self, name: str, words: tuple[str, str]) -> None:
        """Put a word into its documented letter case, and refuse any other."""
        value = self.stored.get(name)
        if value is None or value in words:
            return
        for word in words:
            if isinstance(value, str) and value.lower() == word.lower():
                self.stored[name] = word
                self._warn("enum-letter-case", name, f': "{value}" is taken as "{word}"')
                return
        self._refuse(name, f' must be "{words[0]}" or "{words[1]}", got {literal(value)}', "enum", words[0])

    def _check_repetition(self) -> None:
        """Check which interval, unit and export mode go together (reference: Schedule)."""
        unit, interval, mode = (self.stored.get(name) for name in ("timeUnit", "interval", "exportMode"))
        if not isinstance(interval, int):
            return
        if unit == "hour" and interval not in HOURLY_INTERVALS:
            wanted = f' must be 3, 6, 8, 9, 12 or 24 with timeUnit "hour", got {interval}'
            self._refuse("interval", wanted, "enum", 3)
        if unit == "day" and interval not in (0, 1):
            self._refuse("interval", f' must be 1 (daily) or 0 (once) with timeUnit "day", got {interval}', "enum", 1)
        if (unit == "day" and interval == 0) != (mode == FULL):
            wanted = f' must be "{FULL}" with timeUnit "day" and interval 0 (once), and only there; got {literal(mode)}'
            self._refuse("exportMode", wanted, "const", FULL if interval == 0 else INCREMENTAL)
