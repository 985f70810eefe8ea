"""The control calls for the clock: what time it is, how it passes, and moving it on."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Final

from flow_service_emulator.api.exchange import Exchange, Reply
from flow_service_emulator.clock import MAX_SPEED, MODES, Mode
from flow_service_emulator.control.inputs import CONTROL, TEXT, TIME, instant, invalid, taken, takes
from flow_service_emulator.emulator import Emulator
from flow_service_emulator.settings import LATEST_TIME
from flow_service_emulator.validation.violation_text import literal

LENGTHS: Final = {"seconds": 1, "minutes": 60, "hours": 3600, "days": 86_400}
SPEED: Final = {"type": "number", "minimum": 0, "maximum": MAX_SPEED}
LENGTH: Final = {"type": "number", "minimum": 0, "maximum": LATEST_TIME}
CLOCK: Final = takes({"mode": {"enum": list(MODES)}, "now": TIME, "speed": SPEED})
ADVANCE: Final = takes({**dict.fromkeys(LENGTHS, LENGTH), "to": TIME, "org": TEXT, "sandbox": TEXT})


async def get_clock(emulator: Emulator, exchange: Exchange) -> Reply:
    return Reply(emulator.clock.snapshot())


async def put_clock(emulator: Emulator, exchange: Exchange) -> Reply:
    """Change how time passes; `now` moves it on first, as `advance` does."""
    clock, scheduler = emulator.clock, emulator.scheduler
    wanted = clock_fields(taken(exchange, CLOCK), before=clock.mode)
    if "now" in wanted:
        # without a mode, what another request makes it meanwhile is left alone
        await scheduler.advance(_goal(to=wanted["now"]), then=(wanted.get("mode"), wanted.get("speed")))
    else:
        scheduler.keep_time()
        clock.set(wanted.get("mode", clock.mode), speed=wanted.get("speed"))
        scheduler.clock_changed()
    return Reply(clock.snapshot())


async def advance(emulator: Emulator, exchange: Exchange) -> Reply:
    """Move time on, and answer when the files of every export on the way are on disk."""
    wanted = taken(exchange, ADVANCE)
    lengths = [wanted[name] * seconds for name, seconds in LENGTHS.items() if name in wanted]
    if bool(lengths) == ("to" in wanted):
        example = '{"hours": 3} or {"to": "2026-01-01T03:00:00Z"}'
        raise invalid(f'either a length ({", ".join(LENGTHS)}) or "to" is needed, such as {example}')
    goal = _goal(to=instant("to", wanted["to"])) if "to" in wanted else _goal(length=sum(lengths))
    org, sandbox = wanted.get("org"), wanted.get("sandbox")
    runs = await emulator.scheduler.advance(
        goal, tells_of=lambda scope: org in (None, scope[0]) and sandbox in (None, scope[1])
    )
    return Reply({"now": emulator.clock.now(), "runs": runs})


def clock_fields(given: Mapping[str, Any], *, before: Mode) -> dict[str, Any]:
    """The `mode`, `now` (epoch seconds) and `speed` of a clock that was held against CLOCK, those that are given.

    A speed that would not be heard is refused; the one that GET answers for a mode is fine. Without one, the speed of the
    mode `before` stays, if that has any.
    """
    wanted = dict(given)
    if "now" in wanted:
        wanted["now"] = instant("now", wanted["now"])
    mode, speed = wanted.get("mode", before), wanted.get("speed")
    if mode == "accelerated":
        if speed == 0:
            raise invalid('speed must be above 0; "mode": "frozen" stops time', "speed")
        if speed is None and before != "accelerated":
            raise invalid('speed is needed, such as {"mode": "accelerated", "speed": 3600}', "speed")
    elif speed not in (None, {"real": 1, "frozen": 0}[mode]):
        raise invalid(f'speed goes with "mode": "accelerated"; got {literal(speed)} with "{mode}"', "speed")
    return wanted


def _goal(*, to: float | None = None, length: float = 0) -> Callable[[float], float]:
    """The goal of an advance to an instant, or by a length of time."""

    def goal(present: float) -> float:
        at = present + length if to is None else to
        if at < present:
            raise invalid(
                f"time cannot go backwards: it is {present:.3f}, asked for {at:.3f}; POST {CONTROL}/reset starts again"
            )
        if at > LATEST_TIME:
            raise invalid(
                f"the clock ends at {LATEST_TIME:.0f}: from {present:.3f} it cannot move on by {length:.0f} seconds"
            )
        return at

    return goal
