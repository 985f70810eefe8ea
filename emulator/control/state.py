"""The parts of the emulator that hold state, each with what reset and snapshot need of it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from emulator.clock import MODES, Clock
from emulator.datasets.library import Library
from emulator.settings import LATEST_TIME
from emulator.store.store import FIRST_SEQ, SetMeta, Store, StoreError


class ClockState:
    """Mode and time."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock

    def reset(self) -> None:
        self._clock.reset()

    def snapshot(self) -> dict[str, Any]:
        return self._clock.snapshot()

    def check(self, snapshot: Any) -> None:
        if not isinstance(snapshot, dict) or snapshot.get("mode") not in MODES:
            raise ValueError(f"a mode is needed, one of {', '.join(MODES)}")
        now, speed = snapshot.get("now"), snapshot.get("speed")
        if not isinstance(now, (int, float)) or not 0 <= now <= LATEST_TIME:
            raise ValueError("now must be epoch seconds")
        if not isinstance(speed, (int, float)) or speed < 0:
            raise ValueError("speed must be a number from 0")

    def restore(self, snapshot: Any) -> None:
        self._clock.restore(snapshot)


class StoreState:
    """Entities, what the scheduler and the exporter keep of each flow, and where the ids of new entities begin.

    With a seed, the same requests get the same ids after every reset, and wherever a snapshot is put back; and none that the
    snapshot has already.
    """

    def __init__(self, store: Store, begin_ids: Callable[[int], None]) -> None:
        """`begin_ids` is told which number the next entity has, counted from 1, in what the store now has."""
        self._store = store
        self._begin_ids = begin_ids

    def reset(self) -> None:
        self._store.clear()
        self._begin_ids(FIRST_SEQ)

    def snapshot(self) -> dict[str, Any]:
        return self._store.snapshot()

    def check(self, snapshot: Any) -> None:
        try:
            self._store.check(snapshot)
        except StoreError as reason:
            raise ValueError(str(reason)) from None

    def restore(self, snapshot: Any) -> None:
        self._store.restore(snapshot)
        self._begin_ids(snapshot["nextSeq"])


class LibraryState:
    """From which instant on the datasets grow; kept in the store, so that a restart goes on where it was."""

    def __init__(self, library: Library, store: Store, clock: Clock) -> None:
        self._library = library
        self._store = store
        self._clock = clock

    def reset(self) -> None:
        self.restore(None)

    def snapshot(self) -> float:
        return self._library.anchor

    def check(self, snapshot: Any) -> None:
        if not isinstance(snapshot, (int, float)) or not 0 <= snapshot <= LATEST_TIME:
            raise ValueError("epoch seconds are needed")

    def restore(self, snapshot: Any) -> None:
        """Lets the datasets grow from `snapshot` (epoch seconds) on; None stands for the present."""
        anchor = self._clock.now() if snapshot is None else float(snapshot)
        self._library.restart(anchor)
        self._store.write([SetMeta("anchor", anchor)])
