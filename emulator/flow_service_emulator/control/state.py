"""The parts of the emulator that hold state, each with what reset and snapshot need of it."""

from __future__ import annotations

from collections.abc import Callable
from functools import cached_property
from typing import Any, Final

from flow_service_emulator.catalog import Catalog
from flow_service_emulator.clock import MAX_SPEED, MODES, Clock, is_instant
from flow_service_emulator.control.record_checks import Inspection, RecordChecks
from flow_service_emulator.datasets.library import Library
from flow_service_emulator.exports.scheduler import TIME_KEY
from flow_service_emulator.store.moment import Moment
from flow_service_emulator.store.store import FIRST_SEQ, Contents, SetMeta, Store, StoreError

ANCHOR_KEY: Final = "anchor"
"""Under which key the store keeps from which instant on (epoch seconds) the datasets of the fixtures grow."""


class ClockState:
    """Mode and time."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock

    def reset(self) -> None:
        self._clock.reset()

    def snapshot(self) -> dict[str, Any]:
        return self._clock.snapshot()

    def read(self, snapshot: Any) -> dict[str, Any]:
        if not isinstance(snapshot, dict) or snapshot.get("mode") not in MODES:
            raise ValueError(f"a mode is needed, one of {', '.join(MODES)}")
        if not is_instant(snapshot.get("now")):
            raise ValueError("now must be epoch seconds")
        speed = snapshot.get("speed")
        if isinstance(speed, bool) or not isinstance(speed, (int, float)) or not 0 <= speed <= MAX_SPEED:
            raise ValueError(f"speed must be a number from 0 to {MAX_SPEED:.0f}")
        if snapshot["mode"] == "accelerated" and not speed:
            raise ValueError("speed must be above 0 in the mode accelerated")
        return snapshot

    def restore(self, read: dict[str, Any]) -> None:
        self._clock.restore(read)


class StoreState:
    """Entities, what the scheduler and the exporter keep of each flow, and where the ids of new entities begin.

    With a seed, the same requests get the same ids after every reset, and wherever a snapshot is put back; and none that the
    snapshot has already. What there is comes in one write together with the clock's time, and the anchor of a reset: so
    there is nothing left that a full disk could refuse afterwards.
    """

    def __init__(
        self,
        store: Store,
        clock: Clock,
        catalog: Catalog,
        *,
        begin_ids: Callable[[int], None],
        go_on: Callable[[], None],
    ) -> None:
        """`begin_ids` is told which number the next entity has, counted from 1, in what the store now has.

        `go_on` is called again and again while a snapshot is read, and ends that by what it raises.
        """
        self._store = store
        self._clock = clock
        self._catalog = catalog
        self._begin_ids = begin_ids
        self._go_on = go_on

    def reset(self) -> None:
        began = self._clock.began
        self._store.clear({ANCHOR_KEY: began, TIME_KEY: began})
        self._begin_ids(FIRST_SEQ)

    def snapshot(self) -> Moment:
        return self._store.moment()

    def read(self, snapshot: Any) -> Contents:
        inspection = Inspection(self._checks, self._go_on)
        try:
            contents = self._store.read(snapshot, inspection.look)
        except StoreError as reason:
            raise ValueError(str(reason)) from None
        inspection.end()
        return contents

    def restore(self, read: Contents) -> None:
        next_seq = read.next_seq
        self._store.replace_all(read, {TIME_KEY: self._clock.began})
        self._begin_ids(next_seq)

    @cached_property
    def _checks(self) -> RecordChecks:
        return RecordChecks(self._catalog)


class LibraryState:
    """From which instant on the datasets grow; kept in the store, so that a restart goes on where it was."""

    def __init__(self, library: Library, store: Store, clock: Clock) -> None:
        self._library = library
        self._store = store
        self._clock = clock

    def reset(self) -> None:
        self.restore(self._clock.began)

    def snapshot(self) -> float:
        return self._library.anchor

    def read(self, snapshot: Any) -> float:
        if not is_instant(snapshot):
            raise ValueError("epoch seconds are needed")
        return float(snapshot)

    def restore(self, read: float) -> None:
        """Lets the datasets grow from `read` (epoch seconds) on."""
        if self._store.get_meta(ANCHOR_KEY) != read:
            self._store.write([SetMeta(ANCHOR_KEY, read)])
        self._library.restart(read)
