"""The control calls for the clock: what time it is, how it passes, and moving it on."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from flow_service_emulator.api.exchange import Exchange, Reply
from flow_service_emulator.clock import MAX_SPEED, MODES, Clock, Mode
from flow_service_emulator.control.inputs import CONTROL, instant, invalid, json_object, number, only
from flow_service_emulator.exports.scheduler import Scheduler
from flow_service_emulator.settings import LATEST_TIME
from flow_service_emulator.validation.violation_text import literal

LENGTHS = {"seconds": 1, "minutes": 60, "hours": 3600, "days": 86_400}
ADVANCE = '{"hours": 3} or {"to": "2026-01-01T03:00:00Z"}'


class ClockCalls:
    """The handlers."""

    def __init__(self, clock: Clock, scheduler: Scheduler) -> None:
        self._clock = clock
        self._scheduler = scheduler

    async def get_clock(self, exchange: Exchange) -> Reply:
        return Reply(self._clock.snapshot())

    async def put_clock(self, exchange: Exchange) -> Reply:
        """Change how time passes; `now` moves it on first, as `advance` does."""
        wanted = clock_fields(json_object(exchange), before=self._clock.mode)
        if "now" in wanted:
            # without a mode, what another request makes it meanwhile is left alone
            goal = _not_back(wanted.pop("now"))
            await self._scheduler.advance(goal, then=(wanted.get("mode"), wanted.get("speed")))
        else:
            self._scheduler.keep_time()
            self._clock.set(wanted.get("mode", self._clock.mode), speed=wanted.get("speed"))
            self._scheduler.clock_changed()
        return Reply(self._clock.snapshot())

    async def advance(self, exchange: Exchange) -> Reply:
        """Move time on, and answer when the files of every export on the way are on disk."""
        body = json_object(exchange, (*LENGTHS, "to", "org", "sandbox"), ADVANCE)
        if (not LENGTHS.keys().isdisjoint(body)) == ("to" in body):
            raise invalid(f'either a length ({", ".join(LENGTHS)}) or "to" is needed, such as {ADVANCE}')
        for name in ("org", "sandbox"):
            if not isinstance(body.get(name, ""), str):
                raise invalid(f'"{name}" must be a text; got {literal(body[name])}')
        goal = _not_back(instant(body, "to")) if "to" in body else _further(body)
        org, sandbox = body.get("org"), body.get("sandbox")
        runs = await self._scheduler.advance(
            goal, tells_of=lambda scope: org in (None, scope[0]) and sandbox in (None, scope[1])
        )
        return Reply({"now": self._clock.now(), "runs": runs})


def clock_fields(body: Mapping[str, Any], *, before: Mode) -> dict[str, Any]:
    """The `mode`, `now` (epoch seconds) and `speed` of a clock, those that are given.

    A speed that would not be heard is refused; the one that GET answers for a mode is fine. Without one, the speed of the
    mode `before` stays, if that has any.
    """
    only(body, ("mode", "now", "speed"))
    wanted = {name: value for name, value in body.items() if name == "mode" or value is not None}
    mode = wanted.get("mode", before)
    if mode not in MODES:
        raise invalid(f'"mode" must be one of {", ".join(MODES)}; got {literal(mode)}')
    if "now" in wanted:
        wanted["now"] = instant(wanted, "now")
    speed = wanted["speed"] = number(wanted, "speed", 0, MAX_SPEED) if "speed" in wanted else None
    if mode == "accelerated":
        if speed == 0:
            raise invalid('"speed" must be above 0; "mode": "frozen" stops time')
        if speed is None and before != "accelerated":
            raise invalid('"speed" is needed, such as {"mode": "accelerated", "speed": 3600}')
    elif speed not in (None, {"real": 1, "frozen": 0}[mode]):
        raise invalid(f'"speed" goes with "mode": "accelerated"; got {literal(speed)} with "{mode}"')
    return {name: value for name, value in wanted.items() if value is not None}


def _not_back(at: float) -> Callable[[float], float]:
    """The goal of an advance to an instant."""

    def goal(present: float) -> float:
        if at < present:
            raise invalid(
                f"time cannot go backwards: it is {present:.3f}, asked for {at:.3f}; POST {CONTROL}/reset starts again"
            )
        return at

    return goal


def _further(body: Mapping[str, Any]) -> Callable[[float], float]:
    """The goal of an advance by a length of time."""
    length = 0.0
    for name in (name for name in LENGTHS if name in body):
        if isinstance(body[name], (int, float)) and body[name] < 0:
            raise invalid(f'"{name}" must be 0 or more: time cannot go backwards; got {literal(body[name])}')
        length += number(body, name, 0, LATEST_TIME) * LENGTHS[name]

    def goal(present: float) -> float:
        if present + length > LATEST_TIME:
            raise invalid(
                f"the clock ends at {LATEST_TIME:.0f}: from {present:.3f} it cannot move on by {length:.0f} seconds"
            )
        return present + length

    return goal
