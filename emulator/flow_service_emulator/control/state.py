"""The clock and the store as parts of the state."""

from __future__ import annotations

import logging
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any, Final

from flow_service_emulator.clock import MODES, Clock, is_instant
from flow_service_emulator.data.datasets.library import Library
from flow_service_emulator.exports.scheduler import TIME_KEY
from flow_service_emulator.settings import flag_name
from flow_service_emulator.store.store import FIRST_SEQ, Contents, SetMeta, Store

ANCHOR_KEY: Final = "anchor"
"""Under which key the store has from which instant on (epoch seconds) the datasets of the fixtures grow."""
log = logging.getLogger("emulator.state")


class ClockState:
    """Mode and time."""

    def __init__(self, clock: Clock) -> None:
        self.reset, self.snapshot, self.restore = clock.reset, clock.snapshot, clock.restore

    def read(self, snapshot: Any) -> dict[str, Any]:
        if snapshot["mode"] not in MODES or not is_instant(snapshot["now"]):
            raise ValueError(f"a mode ({', '.join(MODES)}) and a time in epoch seconds are needed")
        return {"mode": snapshot["mode"], "now": snapshot["now"], "speed": float(snapshot["speed"])}


class StoreState:
    """Entities, datasets, what the scheduler has of each flow, and where the ids of new entities begin.

    With a seed, the same requests get the same ids after every reset, and wherever a snapshot is put back; and none that the
    snapshot has already. What there is comes in one write together with the clock's time, and the anchor of a reset: so
    there is nothing left that a full disk could refuse afterwards.
    """

    def __init__(self, store: Store, clock: Clock, library: Library, *, begin_ids: Callable[[int], None]) -> None:
        """`begin_ids` is told which number the next entity has, counted from 1, in what the store now has."""
        self._store = store
        self._clock = clock
        self._library = library
        self._begin_ids = begin_ids
        self.read = store.read

    def snapshot(self) -> Callable[[], list[bytes]]:
        return self._store.moment().pieces

    def reset(self) -> None:
        began = self._clock.began
        self._store.clear({ANCHOR_KEY: began, TIME_KEY: began})
        self._begin_ids(FIRST_SEQ)
        self._library.restart(began)

    def restore(self, read: Contents) -> None:
        self._store.replace_all(read, {TIME_KEY: self._clock.began})
        self._begin_ids(read.next_seq)
        self._library.restart(self._store.get_meta(ANCHOR_KEY))

    def resume(self, *, now: float | None) -> None:
        """Go on from where the data folder left off; `now` is the setting, which then is ignored.

        Else what was exported, and stored as past, would lie in the future.
        """
        left, start = self._store.get_meta(TIME_KEY), self._clock.now()
        if left is not None:
            if now is None and self._clock.mode != "real":
                self._clock.restore({"now": left})  # it stood still while the server was down
            else:
                self._clock.move_to(left)
            if abs(self._clock.now() - start) > 1:
                at = f"time goes on from {datetime.fromtimestamp(left, UTC):%Y-%m-%d %H:%M:%S} UTC, where the data folder left it"
                if now is None:
                    log.info("%s", at)
                else:
                    log.warning("%s is ignored: %s, as it cannot go backwards", flag_name("now"), at)
        if self._store.get_meta(ANCHOR_KEY) is None:
            self._store.write([SetMeta(ANCHOR_KEY, self._clock.now())])
        self._library.restart(self._store.get_meta(ANCHOR_KEY))
