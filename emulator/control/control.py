"""The control calls under `/__emulator/`: health, reset, state, clock, exported files.

They belong to the emulator, not to the service; they need none of the service's headers.
"""

from __future__ import annotations

import asyncio
import math
from collections.abc import Mapping
from typing import Any, Final, Protocol

from emulator import __version__
from emulator.api.exchange import Exchange, Handler, Reply, decode_json
from emulator.api.routes import Operation
from emulator.clock import MODES, Clock
from emulator.errors import ServiceError
from emulator.exports.exported_files import Exports
from emulator.exports.scheduler import Scheduler
from emulator.settings import LATEST_TIME
from emulator.validation.nesting import MAX_DEPTH

CONTROL: Final = "/__emulator"
STATE_FORMAT: Final = 1
"""Version of the snapshot's shape."""
STATE_DEPTH: Final = 16
"""How much deeper than a body a snapshot of it may be nested."""
MAX_SPEED: Final = 1e9


class Part(Protocol):
    """A part of the emulator that holds state: reset forgets it, a snapshot carries it.

    `check` raises ValueError, saying what is wrong, for a snapshot that `restore` could not take; so nothing is half restored.
    """

    def reset(self) -> None: ...

    def snapshot(self) -> Any: ...

    def check(self, snapshot: Any) -> None: ...

    def restore(self, snapshot: Any) -> None: ...


class Control:
    """The handlers of the control calls."""

    def __init__(self, *, clock: Clock, scheduler: Scheduler, parts: Mapping[str, Part], exports: Exports) -> None:
        """`parts` are in the order in which they are reset and restored."""
        self._clock = clock
        self._scheduler = scheduler
        self._parts = parts
        self._exports = exports

    def operations(self) -> list[Operation]:
        """The control calls, for the route table."""
        table: list[tuple[str, str, str, Handler]] = [
            ("health", "GET", "/health", self.health),
            ("reset", "POST", "/reset", self.reset),
            ("getState", "GET", "/state", self.get_state),
            ("putState", "PUT", "/state", self.put_state),
            ("getClock", "GET", "/clock", self.get_clock),
            ("putClock", "PUT", "/clock", self.put_clock),
            ("advanceClock", "POST", "/clock/advance", self.advance),
            ("listExports", "GET", "/exports", self.list_exports),
            ("getExport", "GET", "/exports/{path:path}", self.get_export),
        ]
        return [Operation(f"control:{name}", method, CONTROL + path, handler) for name, method, path, handler in table]

    async def health(self, exchange: Exchange) -> Reply:
        return Reply({"status": "ok", "version": __version__})

    async def reset(self, exchange: Exchange) -> Reply:
        """Forgets everything; `?exports=true` also empties the export folder, `?keep=contract` keeps that part as it is.

        The clock starts as the server's did, or as the body's `clock` says, in the past too.
        """
        wanted = dict(exchange.query).get("exports", "false").lower()
        if wanted not in ("true", "false"):
            raise ServiceError("control-invalid", reason=f"exports must be true or false, got {wanted[:60]!r}")
        kept = [name for name in dict(exchange.query).get("keep", "").split(",") if name]
        for name in kept:
            if name not in self._parts or name == "clock":
                allowed = ", ".join(part for part in self._parts if part != "clock")
                raise _invalid(f"keep must name parts out of {allowed}, separated by commas; got {_shown(name)}")
        start = self._start(exchange)

        async def forget() -> None:
            for name, part in self._parts.items():
                if name not in kept:
                    part.reset()
                if name == "clock":  # the first part: others start at its time
                    self._clock.set_off(start)
            if wanted == "true":
                await asyncio.to_thread(self._exports.empty)

        await self._scheduler.undisturbed(forget)
        return Reply({"status": "ok", "now": self._clock.now()})

    def _start(self, exchange: Exchange) -> dict[str, Any]:
        """What the body of a reset says of the clock's `mode`, `now` and `speed`; empty without a body."""
        if not exchange.body.strip():
            return {}
        body = _body(exchange)
        _known(body, ("clock",))
        start = body.get("clock", {})
        if not isinstance(start, dict):
            raise _invalid(
                f'"clock" must be an object, such as {{"mode": "frozen", "now": 1767225600}}; got {_shown(start)}'
            )
        _known(start, ("mode", "now", "speed"))
        if start.get("mode", MODES[0]) not in MODES:
            raise _invalid(f'"mode" must be one of {", ".join(MODES)}; got {_shown(start["mode"])}')
        read = {
            name: _number(start, name, 0, most)
            for name, most in (("now", LATEST_TIME), ("speed", MAX_SPEED))
            if name in start
        }
        if read.get("speed") == 0:
            raise _invalid('"speed" must be above 0; "mode": "frozen" stops time')
        return {**start, **read}

    async def get_state(self, exchange: Exchange) -> Reply:
        return Reply(
            {
                "format": STATE_FORMAT,
                "version": __version__,
                **{name: part.snapshot() for name, part in self._parts.items()},
            }
        )

    async def put_state(self, exchange: Exchange) -> Reply:
        """Puts a snapshot back, all or nothing."""
        state = _body(exchange, MAX_DEPTH + STATE_DEPTH)
        if state.get("format") != STATE_FORMAT:
            raise _invalid(
                f'"format" must be {STATE_FORMAT}, as in the answer of GET {CONTROL}/state; got {_shown(state.get("format"))}'
            )
        for name, part in self._parts.items():
            if name not in state:
                raise _invalid(f'the snapshot has no "{name}"; was it cut short?')
            try:
                part.check(state[name])
            except ValueError as reason:
                raise _invalid(f'"{name}": {reason}') from None

        async def put_back() -> None:
            for name, part in self._parts.items():
                part.restore(state[name])

        await self._scheduler.undisturbed(put_back)
        return Reply({"status": "ok", "now": self._clock.now()})

    async def get_clock(self, exchange: Exchange) -> Reply:
        return Reply(self._clock.snapshot())

    async def put_clock(self, exchange: Exchange) -> Reply:
        """Changes how time passes; `now` moves it on first, as `advance` does."""
        body = _body(exchange)
        _known(body, ("mode", "now", "speed"))
        mode = body.get("mode", self._clock.mode)
        if mode not in MODES:
            raise _invalid(f'"mode" must be one of {", ".join(MODES)}; got {_shown(mode)}')
        now = _number(body, "now", 0, LATEST_TIME) if body.get("now") is not None else None
        speed = _number(body, "speed", 0, MAX_SPEED) if body.get("speed") is not None else None
        if mode == "accelerated" and speed == 0:
            raise _invalid('"speed" must be above 0; "mode": "frozen" stops time')
        try:
            present = self._clock.now()
            if now is not None and now < present:
                raise ValueError(
                    f"time cannot go backwards: it is {present:.3f}, asked for {now:.3f}; POST {CONTROL}/reset starts anew"
                )
            if now is not None:
                await self._scheduler.advance(now)
            self._clock.set(mode, now=None if now is None else max(now, self._clock.now()), speed=speed)
        except ValueError as reason:
            raise _invalid(str(reason)) from None
        self._scheduler.clock_changed()
        return Reply(self._clock.snapshot())

    async def advance(self, exchange: Exchange) -> Reply:
        """Moves time on and answers when the files of every export on the way are on disk."""
        body = _body(exchange)
        _known(body, ("seconds", "to"))
        if ("seconds" in body) == ("to" in body):
            raise _invalid('either "seconds" or "to" is needed, such as {"seconds": 10800} or {"to": 1675912010}')
        present = self._clock.now()
        if "seconds" in body:
            to = present + _number(body, "seconds", 0, LATEST_TIME - present)
        else:
            to = _number(body, "to", 0, LATEST_TIME)
            if to < present:
                raise _invalid(
                    f"time cannot go backwards: it is {present:.3f}, asked for {to:.3f}; POST {CONTROL}/reset starts anew"
                )
        runs = await self._scheduler.advance(to)
        return Reply({"now": self._clock.now(), "runs": runs})

    async def list_exports(self, exchange: Exchange) -> Reply:
        """Every exported file that is still there, and what is being written.

        `flow`, `run`, `dataset`, `org` and `sandbox` narrow both lists down.
        """
        filters = dict(exchange.query)
        _known(filters, ("flow", "run", "dataset", "org", "sandbox"))
        current = self._scheduler.current
        writing = [] if current is None else self._exports.in_progress(current, filters)
        return Reply({"items": self._exports.files(filters), "inProgress": writing})

    async def get_export(self, exchange: Exchange) -> Reply:
        path = exchange.path_params["path"]
        file = self._exports.find(path)
        if file is None:
            raise ServiceError(
                "control-not-found",
                reason=f"there is no exported file {path[:200]!r}; GET {CONTROL}/exports lists them",
            )
        return Reply(file=file, content_type="application/octet-stream")


def _body(exchange: Exchange, depth: int = MAX_DEPTH) -> dict[str, Any]:
    """The body of a control call: a JSON object, whatever content type came with it."""
    body = decode_json(exchange.body, depth) if exchange.body.strip() else None
    if not isinstance(body, dict):
        raise _invalid(f"a JSON object is needed, got {_shown(body)}")
    return body


def _known(given: Mapping[str, Any], names: tuple[str, ...]) -> None:
    for name in given:
        if name not in names:
            raise _invalid(f'"{name[:60]}" is unknown; known are {", ".join(names)}')


def _number(body: Mapping[str, Any], name: str, least: float, most: float) -> float:
    value = body[name]
    if (
        isinstance(value, bool)
        or not isinstance(value, (int, float))
        or not math.isfinite(value)
        or not least <= value <= most
    ):
        raise _invalid(f'"{name}" must be a number from {least:.0f} to {most:.0f}, got {_shown(value)}')
    return float(value)


def _invalid(reason: str) -> ServiceError:
    return ServiceError("control-invalid", reason=reason)


def _shown(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 60 else text[:57] + "..."
