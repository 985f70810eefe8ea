"""The clock, the store and the datasets as parts of the state."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

from flow_service_emulator.clock import MODES, Clock, is_instant
from flow_service_emulator.datasets.library import Library
from flow_service_emulator.exports.scheduler import TIME_KEY
from flow_service_emulator.store.moment import Moment
from flow_service_emulator.store.store import FIRST_SEQ, Contents, SetMeta, Store, StoreError

ANCHOR_KEY: Final = "anchor"
"""Under which key the store has from which instant on (epoch seconds) the datasets of the fixtures grow."""


class ClockState:
    """Mode and time."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self.reset, self.snapshot, self.restore = clock.reset, clock.snapshot, clock.restore

    def read(self, snapshot: Any) -> dict[str, Any]:
        if snapshot["mode"] not in MODES or not is_instant(snapshot["now"]):
            raise ValueError(f"a mode ({', '.join(MODES)}) and a time in epoch seconds are needed")
        return {"mode": snapshot["mode"], "now": snapshot["now"], "speed": float(snapshot["speed"])}


class StoreState:
    """Entities, what the scheduler and the exporter have of each flow, and where the ids of new entities begin.

    With a seed, the same requests get the same ids after every reset, and wherever a snapshot is put back; and none that the
    snapshot has already. What there is comes in one write together with the clock's time, and the anchor of a reset: so
    there is nothing left that a full disk could refuse afterwards.
    """

    def __init__(self, store: Store, clock: Clock, *, begin_ids: Callable[[int], None]) -> None:
        """`begin_ids` is told which number the next entity has, counted from 1, in what the store now has."""
        self._store = store
        self._clock = clock
        self._begin_ids = begin_ids
        self.snapshot: Callable[[], Moment] = store.moment

    def reset(self) -> None:
        began = self._clock.began
        self._store.clear({ANCHOR_KEY: began, TIME_KEY: began})
        self._begin_ids(FIRST_SEQ)

    def read(self, snapshot: Any) -> Contents:
        try:
            return self._store.read(snapshot)
        except StoreError as reason:
            raise ValueError(str(reason)) from None

    def restore(self, read: Contents) -> None:
        self._store.replace_all(read, {TIME_KEY: self._clock.began})
        self._begin_ids(read.next_seq)


class LibraryState:
    """From which instant on the datasets grow; in the store, so that a restart goes on where it was."""

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
        """Let the datasets grow from `read` (epoch seconds) on."""
        if self._store.get_meta(ANCHOR_KEY) != read:
            self._store.write([SetMeta(ANCHOR_KEY, read)])
        self._library.restart(read)
