"""The control calls under `/__emulator/`: health, reset, state, clock, exported files.

They belong to the emulator, not to the service; they need none of the service's headers.
"""

from __future__ import annotations

import asyncio
import math
from collections.abc import Callable, Mapping
from typing import Any, Final, Protocol, runtime_checkable

import orjson

from flow_service_emulator import __version__
from flow_service_emulator.api.exchange import Exchange, Reply, decode_json
from flow_service_emulator.clock import MAX_SPEED, MODES, Clock, Mode
from flow_service_emulator.control.parameters import parameters
from flow_service_emulator.entities import Scope
from flow_service_emulator.errors import ServiceError
from flow_service_emulator.exports.exported_files import Exports, Unremoved
from flow_service_emulator.exports.scheduler import Scheduler
from flow_service_emulator.instants import epoch_seconds, hint
from flow_service_emulator.pieces import Pieces
from flow_service_emulator.settings import LATEST_TIME, MAX_CONTROL_BYTES
from flow_service_emulator.store.store import StoreError
from flow_service_emulator.validation.bounds import MAX_DEPTH

CONTROL: Final = "/__emulator"
STATE_FORMAT: Final = 3
"""Version of the snapshot's shape. 3: the contract has `verdicts`."""
STATE_DEPTH: Final = 16
"""How much deeper than a body a snapshot of it may be nested."""


@runtime_checkable
class Taken(Protocol):
    """What a part with a lot in it held at one moment. Its JSON is made in a thread, in pieces, and is not joined."""

    def pieces(self) -> list[bytes]: ...


class Part(Protocol):
    """A part of the emulator that holds state: reset forgets it, a snapshot carries it.

    `snapshot` answers JSON values, or a `Taken`.

    `read` makes of a snapshot what `restore` takes, which then is quickly done. It changes nothing, is called in a thread, and
    raises ValueError, saying what is wrong: so nothing is half restored, and other requests are answered meanwhile.
    """

    def reset(self) -> None: ...

    def snapshot(self) -> Any: ...

    def read(self, snapshot: Any) -> Any: ...

    def restore(self, read: Any) -> None: ...


class Control:
    """The handlers of the control calls."""

    def __init__(self, *, clock: Clock, scheduler: Scheduler, parts: Mapping[str, Part], exports: Exports) -> None:
        """`parts` are in the order in which they are reset and restored."""
        self._clock = clock
        self._scheduler = scheduler
        self._parts = parts
        self._exports = exports

    async def health(self, exchange: Exchange) -> Reply:
        return Reply({"status": "ok", "version": __version__})

    async def reset(self, exchange: Exchange) -> Reply:
        """Forgets everything; `?exports=true` also empties the export folder, `?keep=contract` keeps that part as it is.

        The clock starts as the server's did, or as the body's `clock` says, in the past too.
        """
        given = parameters(exchange, ("exports", "keep"))
        wanted = given.get("exports", "false").lower()
        if wanted not in ("true", "false"):
            raise ServiceError("control-invalid", reason=f"exports must be true or false, got {wanted[:60]!r}")
        kept = [name for name in given.get("keep", "").split(",") if name]
        for name in kept:
            if name not in self._parts or name == "clock":
                allowed = ", ".join(part for part in self._parts if part != "clock")
                raise _invalid(f"keep must name parts out of {allowed}, separated by commas; got {_shown(name)}")
        start = self._start(exchange)
        unremoved: Unremoved | None = None

        def begin_anew() -> None:
            for name, part in self._parts.items():
                if name not in kept:
                    part.reset()
                if name == "clock":  # the first part: others start at its time
                    self._clock.set_off(start)
            if "store" in kept:
                self._scheduler.keep_time()

        async def forget() -> None:
            nonlocal unremoved
            self._or_same_time(begin_anew)
            if wanted == "true":
                unremoved = await asyncio.to_thread(self._exports.empty)

        await self._scheduler.undisturbed(forget)
        if unremoved is not None:
            raise ServiceError("exports-unremoved", **unremoved._asdict())
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
        read: dict[str, float] = {}
        if "now" in start:
            read["now"] = _instant(start, "now")
        if "speed" in start:
            read["speed"] = _number(start, "speed", 0, MAX_SPEED)
        before = self._clock.first_mode
        _check_speed(start.get("mode", before), read.get("speed"), before=before)
        return {**start, **read}

    async def get_state(self, exchange: Exchange) -> Reply:
        """All parts at one moment, in the size that PUT takes."""
        parts = {
            name: taken if isinstance(taken, Taken) else orjson.dumps(taken)
            for name, part in self._parts.items()
            for taken in (part.snapshot(),)
        }
        state, sizes = await asyncio.to_thread(_state_json, parts)
        if state.size > MAX_CONTROL_BYTES:
            largest = max(sizes, key=sizes.__getitem__)
            raise ServiceError("snapshot-too-large", size=state.size, limit=MAX_CONTROL_BYTES, part=largest)
        return Reply(state)

    async def put_state(self, exchange: Exchange) -> Reply:
        """Puts a snapshot back, all or nothing."""
        body, exchange.body = exchange.body, b""  # it can be large, and is decoded in the thread
        parts = await asyncio.to_thread(self._read_state, body)

        def restore() -> None:
            for name, part in self._parts.items():
                part.restore(parts[name])

        async def put_back() -> None:
            self._or_same_time(restore)

        await self._scheduler.undisturbed(put_back)
        return Reply({"status": "ok", "now": self._clock.now()})

    def _read_state(self, body: bytes) -> dict[str, Any]:
        """What each part of a snapshot is to be put back to. Raises ServiceError. For a worker thread: can take seconds."""
        state = _object(body, MAX_DEPTH + STATE_DEPTH)
        if state.get("format") != STATE_FORMAT:
            raise _invalid(
                f'"format" must be {STATE_FORMAT}, as in the answer of GET {CONTROL}/state; got {_shown(state.get("format"))}'
            )
        for name in self._parts:
            if name not in state:
                raise _invalid(f'the snapshot has no "{name}"; was it cut short?')
        read = {}
        for name, part in self._parts.items():
            try:
                read[name] = part.read(state[name])
            except ValueError as reason:
                raise _invalid(f'"{name}": {reason}') from None
        return read

    def _or_same_time(self, change: Callable[[], None]) -> None:
        """Makes a change; where the data folder cannot take it, time is as it was, and `change` has changed nothing else."""
        before = self._clock.snapshot()
        try:
            change()
        except StoreError:
            self._clock.restore(before)
            raise

    async def get_clock(self, exchange: Exchange) -> Reply:
        return Reply(self._clock.snapshot())

    async def put_clock(self, exchange: Exchange) -> Reply:
        """Changes how time passes; `now` moves it on first, as `advance` does."""
        body = _body(exchange)
        _known(body, ("mode", "now", "speed"))
        mode = body.get("mode", self._clock.mode)
        if mode not in MODES:
            raise _invalid(f'"mode" must be one of {", ".join(MODES)}; got {_shown(mode)}')
        now = _instant(body, "now") if body.get("now") is not None else None
        speed = _number(body, "speed", 0, MAX_SPEED) if body.get("speed") is not None else None
        _check_speed(mode, speed, before=self._clock.mode)
        if now is None:
            self._scheduler.keep_time()
            self._clock.set(mode, speed=speed)
            self._scheduler.clock_changed()
        else:
            wanted = mode if "mode" in body else None  # else what another request makes it meanwhile is left alone
            await self._scheduler.advance_and_set(_not_back(now), mode=wanted, speed=speed)
        return Reply(self._clock.snapshot())

    async def advance(self, exchange: Exchange) -> Reply:
        """Moves time on and answers when the files of every export on the way are on disk."""
        example = 'such as {"seconds": 10800} or {"to": "2026-01-01T03:00:00Z"}'
        if not exchange.body.strip():
            raise _invalid(f"a body is needed, {example}")
        body = _body(exchange)
        _known(body, ("seconds", "to", "org", "sandbox"))
        if ("seconds" in body) == ("to" in body):
            raise _invalid(f'either "seconds" or "to" is needed, {example}')
        if "seconds" in body:
            if isinstance(body["seconds"], (int, float)) and body["seconds"] < 0:
                raise _invalid(f'"seconds" must be 0 or more: time cannot go backwards; got {_shown(body["seconds"])}')
            _number(body, "seconds", 0, LATEST_TIME)  # before it waits for its turn
            goal = _further(body)
        else:
            goal = _not_back(_instant(body, "to"))
        runs = await self._scheduler.advance(goal, tells_of=_within(_name(body, "org"), _name(body, "sandbox")))
        return Reply({"now": self._clock.now(), "runs": runs})

    async def list_exports(self, exchange: Exchange) -> Reply:
        """Every exported file that is still there, and what is being written.

        `flow`, `run`, `dataset`, `org` and `sandbox` narrow both lists down.
        """
        filters = parameters(exchange, ("flow", "run", "dataset", "org", "sandbox"))
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


def _state_json(parts: Mapping[str, Taken | bytes]) -> tuple[Pieces, dict[str, int]]:
    """A snapshot of these parts, and how many bytes each has. For a worker thread: there can be a million pieces."""
    pieces = [b'{"format":%d,"version":%b' % (STATE_FORMAT, orjson.dumps(__version__))]
    sizes = {}
    for name, taken in parts.items():
        of_part = [taken] if isinstance(taken, bytes) else taken.pieces()
        sizes[name] = sum(map(len, of_part))
        pieces += (b",%b:" % orjson.dumps(name), *of_part)
    pieces.append(b"}")
    return Pieces(pieces), sizes


def _body(exchange: Exchange) -> dict[str, Any]:
    """The body of a control call: a JSON object, whatever content type came with it."""
    return _object(exchange.body, MAX_DEPTH)


def _object(text: bytes, depth: int) -> dict[str, Any]:
    body = decode_json(text, depth) if text.strip() else None
    if not isinstance(body, dict):
        raise _invalid(f"a JSON object is needed, got {_shown(body)}")
    return body


def _check_speed(mode: str, speed: float | None, *, before: Mode) -> None:
    """Refuses a speed that would not be heard; the one that GET answers for a mode is fine.

    Without one, the speed of the mode `before` is kept, if that has any.
    """
    if mode == "accelerated":
        if speed == 0:
            raise _invalid('"speed" must be above 0; "mode": "frozen" stops time')
        if speed is None and before != "accelerated":
            raise _invalid('"speed" is needed, such as {"mode": "accelerated", "speed": 3600}')
    elif speed not in (None, {"real": 1, "frozen": 0}[mode]):
        raise _invalid(f'"speed" goes with "mode": "accelerated"; got {_shown(speed)} with "{mode}"')


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


def _instant(body: Mapping[str, Any], name: str) -> float:
    """A time in epoch seconds, sent so or in ISO 8601."""
    value = body[name]
    try:
        at = epoch_seconds(value) if isinstance(value, (int, float, str)) and not isinstance(value, bool) else math.nan
    except (ValueError, OverflowError):
        at = math.nan
    if not 0 <= at <= LATEST_TIME:
        raise _invalid(
            f'"{name}" must be a time: epoch seconds from 0 to {LATEST_TIME:.0f}, or such as "2026-01-01T00:00:00Z"; '
            f"got {_shown(value)}{hint(value)}"
        )
    return at


def _not_back(at: float) -> Callable[[float], float]:
    """The goal of an advance to an instant."""

    def goal(present: float) -> float:
        if at < present:
            raise _invalid(
                f"time cannot go backwards: it is {present:.3f}, asked for {at:.3f}; POST {CONTROL}/reset starts anew"
            )
        return at

    return goal


def _name(body: Mapping[str, Any], name: str) -> str | None:
    """One of the body's texts; None where it is left out."""
    if name in body and not isinstance(body[name], str):
        raise _invalid(f'"{name}" must be a text; got {_shown(body[name])}')
    return body.get(name)


def _within(org: str | None, sandbox: str | None) -> Callable[[Scope], bool]:
    """Whether something is an organization's and a sandbox's; None is any."""
    return lambda scope: org in (None, scope[0]) and sandbox in (None, scope[1])


def _further(body: Mapping[str, Any]) -> Callable[[float], float]:
    """The goal of an advance by a length of time."""

    def goal(present: float) -> float:
        return present + _number(body, "seconds", 0, LATEST_TIME - present)

    return goal


def _invalid(reason: str) -> ServiceError:
    return ServiceError("control-invalid", reason=reason)


def _shown(value: Any) -> str:
    text = "nothing" if value is None else repr(value)
    return text if len(text) <= 60 else text[:57] + "..."
