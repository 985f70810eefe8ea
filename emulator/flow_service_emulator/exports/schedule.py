"""A flow's `scheduleParams`: read and checked, and the instants at which its exports fall due.

Source of the rules: reference, sections "Schedule" and "Where the sources disagree". Times are epoch seconds.
"""

from __future__ import annotations

import calendar
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import lru_cache
from typing import Any

from flow_service_emulator.exports.folders import check_template
from flow_service_emulator.settings import LATEST_TIME
from flow_service_emulator.validation.validation import ContractWarning, Violation
from flow_service_emulator.validation.violation_text import literal

HOUR, DAY = 3600, 86400
HOURLY_INTERVALS = (3, 6, 8, 9, 12, 24)
UNITS = ("hour", "day")
FULL, INCREMENTAL = "DAILY_FULL_EXPORT", "FIRST_FULL_THEN_INCREMENTAL"
MONTHS = 6
"""When no `endTime` is given the schedule ends so many months after the flow's creation."""
MAX_NAMED = 5
"""Unknown fields that are warned of, at most."""
_NUMBERS = ("interval", "startTime", "endTime")
_TEMPLATE_NAMES = ("foldernameTemplate", "folderNameTemplate")
_KNOWN = {*_NUMBERS, *_TEMPLATE_NAMES, "timeUnit", "exportMode", "frequency"}


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


def read_schedule(
    params: Mapping[str, Any], *, place: str = "scheduleParams"
) -> tuple[dict[str, Any], list[Violation], list[ContractWarning]]:
    """Checks `scheduleParams` as a client sent them.

    Answers the parameters as they are stored (numeric strings made numbers, words in their documented letter case), every
    violation and every warning.
    """
    violations: list[Violation] = []
    warnings: list[ContractWarning] = []
    stored = dict(params)
    for name in _NUMBERS:
        _read_number(stored, name, place, violations, warnings)
    for name, words in (("timeUnit", UNITS), ("exportMode", (FULL, INCREMENTAL))):
        _read_word(stored, name, words, place, warnings)
    for name in ("interval", "timeUnit", "startTime"):
        if stored.get(name) is None:
            violations.append(_violation(f"{place}.{name}", f"{place}.{name} is required", "required", _EXAMPLES[name]))
    _check_repetition(stored, place, violations)
    start, end = stored.get("startTime"), stored.get("endTime")
    if isinstance(start, int) and isinstance(end, int) and end <= start:
        violations.append(
            _violation(f"{place}.endTime", f"{place}.endTime must come after startTime {start}, got {end}", "minimum")
        )
    _check_templates(stored, place, violations)
    for name in sorted(set(stored) - _KNOWN)[:MAX_NAMED]:
        warnings.append(
            ContractWarning(
                "unknown-field",
                f"{place}.{name[:60]}",
                f"{place}.{name[:60]} is not documented; it is stored and has no effect",
            )
        )
    if "frequency" in stored:
        warnings.append(
            ContractWarning(
                "frequency-sent",
                f"{place}.frequency",
                f"{place}.frequency is not documented for dataset exports; timeUnit and interval decide",
            )
        )
    return stored, violations, warnings


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


def _read_number(
    stored: dict[str, Any], name: str, place: str, violations: list[Violation], warnings: list[ContractWarning]
) -> None:
    """Makes a numeric string a number (a real client sends them) and refuses what is no whole number in range."""
    value = stored.get(name)
    if value is None:
        if name == "endTime":
            stored.pop(name, None)
        return
    if isinstance(value, str) and len(value) <= 20 and value.isascii() and value.isdigit():
        warnings.append(
            ContractWarning(
                "numeric-string",
                f"{place}.{name}",
                f'{place}.{name} was sent as the string "{value}"; the API documents a number',
            )
        )
        value = int(value)
    if isinstance(value, float) and value.is_integer() and abs(value) <= LATEST_TIME:
        value = int(value)
    limit = 24 if name == "interval" else int(LATEST_TIME)
    if isinstance(value, bool) or not isinstance(value, int) or not 0 <= value <= limit:
        wanted, hint, example = "epoch seconds, a whole number", "", _EXAMPLES[name]
        if name == "interval":
            wanted = "3, 6, 8, 9, 12 or 24 with timeUnit hour; 1 or 0 (once) with timeUnit day"
        elif isinstance(value, int) and limit < value <= 1000 * limit:
            wanted, example = "epoch seconds", value // 1000
            hint = f", which looks like milliseconds: in seconds it is {example}"
        message = f"{place}.{name} must be {wanted}; got {literal(stored[name])}{hint}"
        violations.append(_violation(f"{place}.{name}", message, "type", example))
        stored[name] = _BAD
        return
    stored[name] = value


def _read_word(
    stored: dict[str, Any], name: str, words: tuple[str, ...], place: str, warnings: list[ContractWarning]
) -> None:
    """Puts a word into its documented letter case."""
    value = stored.get(name)
    if value is None:
        stored.pop(name, None)
    if not isinstance(value, str) or value in words:
        return
    for word in words:
        if value.lower() == word.lower():
            stored[name] = word
            warnings.append(
                ContractWarning(
                    "enum-letter-case", f"{place}.{name}", f'{place}.{name}: "{value}" is taken as "{word}"'
                )
            )


def _check_repetition(stored: dict[str, Any], place: str, violations: list[Violation]) -> None:
    """Interval, unit and export mode: which go together (reference: Schedule)."""
    unit, interval, mode = stored.get("timeUnit"), stored.get("interval"), stored.get("exportMode")

    def refuse(name: str, message: str, rule: str, example: Any) -> None:
        violations.append(_violation(f"{place}.{name}", f"{place}.{name} must be {message}", rule, example))

    if unit is not None and unit not in UNITS:
        refuse("timeUnit", f'"hour" or "day", got {literal(unit)}', "enum", "hour")
    if mode is not None and mode not in (FULL, INCREMENTAL):
        refuse("exportMode", f'"{INCREMENTAL}" or "{FULL}", got {literal(mode)}', "enum", INCREMENTAL)
    if not isinstance(interval, int):
        return
    if unit == "hour" and interval not in HOURLY_INTERVALS:
        refuse("interval", f'3, 6, 8, 9, 12 or 24 with timeUnit "hour", got {interval}', "enum", 3)
    if unit == "day" and interval not in (0, 1):
        refuse("interval", f'1 (daily) or 0 (once) with timeUnit "day", got {interval}', "enum", 1)
    if unit == "day" and interval == 0 and mode != FULL:
        refuse("exportMode", f'"{FULL}" with interval 0 (once), got {literal(mode)}', "const", FULL)
    if mode == FULL and interval != 0:
        message = (
            f'{place}.exportMode "{FULL}" goes only with timeUnit "day" and interval 0 (once), got interval {interval}'
        )
        violations.append(_violation(f"{place}.exportMode", message, "const", INCREMENTAL))


def _check_templates(stored: dict[str, Any], place: str, violations: list[Violation]) -> None:
    for name in _TEMPLATE_NAMES:
        if stored.get(name) is None:
            stored.pop(name, None)
            continue
        template = stored[name]
        reason = check_template(template) if isinstance(template, str) else f"a text is needed, got {literal(template)}"
        if reason:
            violations.append(
                _violation(f"{place}.{name}", f"{place}.{name}: {reason}", "pattern", "%DATASET_ID%/%EXPORT_TIME%")
            )


class _Bad:
    """Stands where a number could not be read, so that later checks of it keep still."""


_BAD = _Bad()


def _violation(path: str, message: str, rule: str, example: Any = None) -> Violation:
    return Violation(path=path, message=message, rule=rule, pattern=None, example=example)
