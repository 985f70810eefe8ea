"""The control calls for the state as a whole: reset, and a snapshot and back.

Every part of the emulator that holds state is a `Part`: a reset forgets it, a snapshot carries it.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from typing import Any, Final, Protocol

import orjson

from flow_service_emulator import __version__
from flow_service_emulator.api.exchange import Exchange, Reply, decode_json
from flow_service_emulator.clock import Clock
from flow_service_emulator.control.clock_calls import clock_fields
from flow_service_emulator.control.inputs import CONTROL, invalid, json_object, parameters
from flow_service_emulator.errors import ServiceError
from flow_service_emulator.exports.exported_files import Exports
from flow_service_emulator.exports.scheduler import Scheduler
from flow_service_emulator.settings import MAX_CONTROL_BYTES
from flow_service_emulator.store.store import StoreError
from flow_service_emulator.validation.validation import MAX_DEPTH
from flow_service_emulator.validation.violation_text import literal

STATE_FORMAT: Final = 4
"""Version of the snapshot's shape. 4: requests have a hint, and findings a fix."""
STATE_DEPTH: Final = 16
"""How much deeper than a body a snapshot of it may be nested."""


class Part(Protocol):
    """A part of the state. `snapshot` answers JSON values, or what makes the JSON of this moment, in pieces, in a thread.

    `read` makes of a snapshot what `restore` takes. It changes nothing, and is called in a thread; what is wrong it raises, as
    ValueError with a reason where the reason is known. So a snapshot is put back whole, or refused.
    """

    def reset(self) -> None: ...

    def snapshot(self) -> Any: ...

    def read(self, snapshot: Any) -> Any: ...

    def restore(self, read: Any) -> None: ...


class StateCalls:
    """The handlers. `parts` are in the order in which they are reset and restored; the clock is the first."""

    def __init__(self, *, clock: Clock, scheduler: Scheduler, parts: Mapping[str, Part], exports: Exports) -> None:
        self._clock = clock
        self._scheduler = scheduler
        self._parts = parts
        self._exports = exports

    async def reset(self, exchange: Exchange) -> Reply:
        """Forget everything; `?exports=true` also empties the export folder, `?keep=contract` leaves that part as it is.

        The clock starts as the server's did, or as the body's `clock` says, in the past too.
        """
        given = parameters(exchange, "keep", exports=("true", "false"))
        kept = [name for name in given.get("keep", "").split(",") if name]
        allowed = [name for name in self._parts if name != "clock"]
        for name in kept:
            if name not in allowed:
                named = f"parts out of {', '.join(allowed)}, separated by commas"
                raise invalid(f"keep must name {named}; got {literal(name)}")
        clock = (json_object(exchange, ("clock",)) if exchange.body.strip() else {}).get("clock", {})
        if not isinstance(clock, dict):
            example = '{"mode": "frozen", "now": 1767225600}'
            raise invalid(f'"clock" must be an object, such as {example}; got {literal(clock)}')
        start = clock_fields(clock, before=self._clock.first_mode)
        unremoved: dict[str, Any] = {}

        def forget() -> None:
            self._parts["clock"].reset()
            self._clock.restore(start)
            for name in allowed:
                if name not in kept:
                    self._parts[name].reset()
            self._scheduler.after.set(None)
            if "store" in kept:
                self._scheduler.keep_time()

        async def reset() -> None:
            nonlocal unremoved
            self._or_same_time(forget)
            if given.get("exports") == "true":
                unremoved = await asyncio.to_thread(self._exports.empty)

        await self._scheduler.undisturbed(reset)
        if unremoved:
            raise ServiceError("exports-unremoved", **unremoved)
        return Reply({"status": "ok", "now": self._clock.now()})

    async def get_state(self, exchange: Exchange) -> Reply:
        """All parts at one moment."""
        taken = {name: part.snapshot() for name, part in self._parts.items()}
        parts = await asyncio.to_thread(lambda: {name: _encoded(part) for name, part in taken.items()})
        head = b'{"format":%d,"version":%b' % (STATE_FORMAT, orjson.dumps(__version__))
        state = b"".join((head, *(b',"%b":%b' % (name.encode(), part) for name, part in parts.items()), b"}"))
        if len(state) > MAX_CONTROL_BYTES:
            largest = max(parts, key=lambda name: len(parts[name]))
            raise ServiceError("snapshot-too-large", size=len(state), limit=MAX_CONTROL_BYTES, part=largest)
        return Reply(state)

    async def put_state(self, exchange: Exchange) -> Reply:
        """Put a snapshot back, whole or not at all."""
        body, exchange.body = exchange.body, b""  # it can be large
        read = await asyncio.to_thread(self._read, body)

        def restore() -> None:
            for name, part in self._parts.items():
                part.restore(read[name])

        async def put_back() -> None:
            self._or_same_time(restore)

        await self._scheduler.undisturbed(put_back)
        return Reply({"status": "ok", "now": self._clock.now()})

    def _read(self, body: bytes) -> dict[str, Any]:
        """What each part is to be put back to. For a worker thread: can take seconds."""
        state = decode_json(body, MAX_DEPTH + STATE_DEPTH) if body.strip() else None
        if not isinstance(state, dict) or "format" not in state:
            raise invalid(f"the answer of GET {CONTROL}/state is needed, got {literal(state)}")
        if state["format"] != STATE_FORMAT:
            made = f"the emulator {state['version']}" if isinstance(state.get("version"), str) else "another emulator"
            raise invalid(
                f'"format" must be {STATE_FORMAT}, got {literal(state["format"])}: the snapshot is from {made[:60]}, '
                f"this is {__version__}"
            )
        read = {}
        for name, part in self._parts.items():
            if name not in state:
                raise invalid(f'the snapshot has no "{name}"; was it cut short?')
            try:
                read[name] = part.read(state[name])
            except ValueError as reason:
                raise invalid(f'"{name}": {reason}') from None
            except (LookupError, TypeError, AttributeError) as fault:
                raise invalid(f'"{name}" is not as this emulator writes it: {type(fault).__name__} {fault}') from None
        return read

    def _or_same_time(self, change: Callable[[], None]) -> None:
        """Make a change; where the data folder cannot take it, time is as it was, and `change` has changed nothing else."""
        before = self._clock.snapshot()
        try:
            change()
        except StoreError:
            self._clock.restore(before)
            raise


def _encoded(taken: Any) -> bytes:
    """A part as JSON. For a worker thread: there can be a million pieces."""
    return b"".join(taken()) if callable(taken) else orjson.dumps(taken)
