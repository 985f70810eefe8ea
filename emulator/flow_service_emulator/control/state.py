"""The state as a whole: reset, a snapshot and back, and going on from a data folder.

The emulator's state has parts: a reset puts each back empty, a snapshot carries it.
"""

from __future__ import annotations

import asyncio
import logging
from collections import Counter
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from typing import Any, Final, NamedTuple

import orjson

from flow_service_emulator import __version__
from flow_service_emulator.api.exchange import Exchange, Reply, decode_json
from flow_service_emulator.contract.contract import Sums
from flow_service_emulator.control.clock import CLOCK, clock_fields
from flow_service_emulator.control.inputs import CONTROL, OBJECT, check, invalid, taken, takes, unknown
from flow_service_emulator.emulator import Emulator
from flow_service_emulator.errors import ServiceError
from flow_service_emulator.exports.scheduler import TIME_KEY
from flow_service_emulator.settings import MAX_CONTROL_BYTES, flag_name
from flow_service_emulator.store.store import SetMeta, Store, StoreError
from flow_service_emulator.validation.validation import MAX_DEPTH
from flow_service_emulator.validation.violation_text import literal

STATE_FORMAT: Final = 5
"""Version of the snapshot's shape. 5: what a rule of faults says stands apart from its counts."""
STATE_DEPTH: Final = 16
"""How much deeper than a body a snapshot of it may be nested."""
ANCHOR_KEY: Final = "anchor"
"""Under which key the store has from which instant on (epoch seconds) the datasets of the fixtures grow."""
RESET: Final = takes({"keep": {"type": "string"}, "exports": {"enum": ["true", "false", True, False]}, "clock": OBJECT})
log = logging.getLogger("emulator.state")


class Part(NamedTuple):
    """A part of the state. `snapshot` answers JSON values, or what makes the JSON of this moment, in pieces, in a thread.

    `read` makes of a snapshot what `restore` takes, as `empty` is. It changes nothing, and is called in a thread; what is wrong it
    raises, as ValueError with a reason where the reason is known. So a snapshot is put back whole, or refused.
    """

    empty: Any
    snapshot: Callable[[], Any]
    read: Callable[[Any], Any]
    restore: Callable[[Any], None]


def _parts(emulator: Emulator) -> dict[str, Part]:
    """In the order in which they are restored; the clock, which is never empty, is the first.

    The store's comes in one write together with the clock's time: so there is nothing left that a full disk could refuse afterwards.
    """
    clock, store, library = emulator.clock, emulator.store, emulator.library
    faults, recorder, contract = emulator.faults, emulator.recorder, emulator.contract

    def replace(read: Store) -> None:
        next_seq, anchor = read.next_seq, read.get_meta(ANCHOR_KEY)
        anchor = clock.began if anchor is None else anchor
        read.write([SetMeta(ANCHOR_KEY, anchor), SetMeta(TIME_KEY, clock.began)])
        store.replace_all(read)
        emulator.begin_ids(next_seq)
        library.restart(anchor)

    def clock_of(snapshot: Any) -> dict[str, Any]:
        return {name: snapshot[name] for name in clock.snapshot()}

    return {
        "clock": Part(None, clock.snapshot, clock_of, clock.restore),
        "store": Part(Store(), lambda: store.moment().pieces, store.read, replace),
        "faults": Part((), faults.snapshot, faults.read, faults.set),
        "requests": Part((0, Counter(), []), recorder.snapshot, recorder.read, recorder.restore),
        "contract": Part(Sums(), contract.snapshot, Sums, contract.restore),
    }


def resume(emulator: Emulator) -> None:
    """Go on from where the data folder left off; the setting `now` then is ignored.

    Else what was exported, and stored as past, would lie in the future.
    """
    store, clock, now = emulator.store, emulator.clock, emulator.settings.now
    left, start = store.get_meta(TIME_KEY), clock.now()
    if left is not None:
        if now is None and clock.mode != "real":
            clock.restore({"now": left})  # it stood still while the server was down
        else:
            clock.move_to(left)
        if abs(clock.now() - start) > 1:
            at = f"time goes on from {datetime.fromtimestamp(left, UTC):%Y-%m-%d %H:%M:%S} UTC, where the data folder left it"
            if now is None:
                log.info("%s", at)
            else:
                log.warning("%s is ignored: %s, as it cannot go backwards", flag_name("now"), at)
    if store.get_meta(ANCHOR_KEY) is None:
        store.write([SetMeta(ANCHOR_KEY, clock.now())])
    emulator.library.restart(store.get_meta(ANCHOR_KEY))


async def reset(emulator: Emulator, exchange: Exchange) -> Reply:
    """Forget everything; `?exports=true` also empties the export folder, `?keep=contract` leaves that part as it is.

    The clock starts as the server's did, or as the body's `clock` says, in the past too.
    """
    given, parts, scheduler = taken(exchange, RESET), _parts(emulator), emulator.scheduler
    allowed = [name for name in parts if name != "clock"]
    kept = [name for name in given.get("keep", "").split(",") if name]
    for name in kept:
        if name not in allowed:
            raise unknown("keep", name, allowed)
    check(given.get("clock", {}), CLOCK, "clock")
    start = clock_fields(given.get("clock", {}), before=emulator.clock.first_mode)
    unremoved: dict[str, Any] = {}

    def forget() -> None:
        emulator.clock.reset()
        emulator.clock.restore(start)
        for name in allowed:
            if name not in kept:
                parts[name].restore(parts[name].empty)
        scheduler.runner.after.set(None)
        if "store" in kept:
            scheduler.keep_time()

    async def empty() -> None:
        unremoved.update(await asyncio.to_thread(emulator.exports.empty))

    await _change(emulator, forget, empty if given.get("exports") in ("true", True) else None)
    if unremoved:
        raise ServiceError("exports-unremoved", **unremoved)
    return Reply({"status": "ok", "now": emulator.clock.now()})


async def _change(
    emulator: Emulator, change: Callable[[], None], then: Callable[[], Awaitable[None]] | None = None
) -> None:
    """Make a change while no run is under way; where the data folder cannot take it, time is as it was, and all else unchanged."""

    async def make() -> None:
        before = emulator.clock.snapshot()
        try:
            change()
        except StoreError:
            emulator.clock.restore(before)
            raise
        if then:
            await then()

    await emulator.scheduler.undisturbed(make)


async def get_state(emulator: Emulator, exchange: Exchange) -> Reply:
    """All parts at one moment."""
    snapshots = {name: part.snapshot() for name, part in _parts(emulator).items()}
    parts = await asyncio.to_thread(lambda: {name: _encoded(snapshot) for name, snapshot in snapshots.items()})
    head = b'{"format":%d,"version":%b' % (STATE_FORMAT, orjson.dumps(__version__))
    state = b"".join((head, *(b',"%b":%b' % (name.encode(), part) for name, part in parts.items()), b"}"))
    if len(state) > MAX_CONTROL_BYTES:
        largest = max(parts, key=lambda name: len(parts[name]))
        raise ServiceError("snapshot-too-large", size=len(state), limit=MAX_CONTROL_BYTES, part=largest)
    return Reply(state)


async def put_state(emulator: Emulator, exchange: Exchange) -> Reply:
    """Put a snapshot back, whole or not at all."""
    body, exchange.body = exchange.body, b""  # it can be large
    parts = _parts(emulator)
    read = await asyncio.to_thread(_read, parts, body)

    def restore() -> None:
        for name, part in parts.items():
            part.restore(read[name])

    await _change(emulator, restore)
    return Reply({"status": "ok", "now": emulator.clock.now()})


def _read(parts: dict[str, Part], body: bytes) -> dict[str, Any]:
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
    for name, part in parts.items():
        if name not in state:
            raise invalid(f'the snapshot has no "{name}"; was it cut short?')
        try:
            read[name] = part.read(state[name])
        except ValueError as reason:
            raise invalid(f'"{name}": {reason}') from None
        except (LookupError, TypeError, AttributeError) as fault:
            raise invalid(f'"{name}" is not as this emulator writes it: {type(fault).__name__} {fault}') from None
    return read


def _encoded(snapshot: Any) -> bytes:
    """A part as JSON. For a worker thread: there can be a million pieces."""
    return b"".join(snapshot()) if callable(snapshot) else orjson.dumps(snapshot)
