"""For which instant each flow exports next, kept up with what happens to the flows.

Order: by the instant at which an export falls due, then by the flow's creation.
"""

from __future__ import annotations

import heapq
from collections.abc import Callable
from typing import NamedTuple

from flow_service_emulator.clock import Clock
from flow_service_emulator.entities import ENABLED, Entity, Scope
from flow_service_emulator.exports.runner import NOTES, noted, notes_of
from flow_service_emulator.exports.schedule import schedule_of
from flow_service_emulator.store.store import SetMeta, Store


class Due(NamedTuple):
    """When (epoch seconds) a flow exports next, and for which instant of its schedule. The smaller one comes first."""

    at: float
    order: int
    """The flow's number in the store, which is that of its creation."""
    scheduled_at: int
    flow_id: str
    scope: Scope


class Planner:
    """The flows that have an export ahead. `wake` is called when one may be due earlier than before."""

    def __init__(self, *, store: Store, clock: Clock, wake: Callable[[], None]) -> None:
        self._store = store
        self._clock = clock
        self._wake = wake
        self._due: dict[str, Due] = {}
        self._heap: list[Due] = []
        """Those of `_due`, and others that have been replaced or removed since."""

    def load(self) -> None:
        """Plan everything again after the store."""
        self._due.clear()
        self._heap.clear()
        for scope, record in self._store.everywhere("flows"):
            self.plan(scope, record.id)

    def plan(self, scope: Scope, flow_id: str, after: float | None = None) -> None:
        """Plan a flow's next export by what the store has of the flow; none where it is disabled or gone.

        A start in the past exports once at once, for the latest instant of the grid, and so does a flow that missed some while the
        server was down. With `after` (epoch seconds) it is the first export behind that, which may be past as well.
        """
        self.remove(flow_id)
        flow = self._store.get(scope, "flows", flow_id)
        if flow is None or flow["state"] != ENABLED:
            return
        schedule, now = schedule_of(flow), self._clock.now()
        done = notes_of(self._store, flow_id).get("scheduled")
        latest = schedule.latest(now)
        if after is None and latest is not None and now <= schedule.end and (done is None or latest > done):
            at, instant = now, latest
        else:
            following = schedule.following(max(now, done or 0) if after is None else after)
            if following is None:
                return
            at, instant = following, following
        due = self._due[flow_id] = Due(at, self._store.seq(scope, "flows", flow_id), instant, flow_id, scope)
        heapq.heappush(self._heap, due)
        self._wake()

    def past_over(self, flow: Entity) -> list[SetMeta]:
        """Return what is to be stored with a patch, an enable or a disable of a flow, before it is planned again.

        The past is over, the next instant of the grid counts. Not so for a flow that never ran: its first export is still to be made.
        """
        if flow["state"] != ENABLED or notes_of(self._store, flow["id"]).get("scheduled") is None:
            return []
        return [noted(self._store, flow["id"], scheduled=int(self._clock.now()))]

    def flow_deleted(self, flow_id: str) -> list[SetMeta]:
        """End a flow's schedule; return what the store is to forget about it."""
        self.remove(flow_id)
        return [SetMeta(NOTES + flow_id, None)]

    def remove(self, flow_id: str) -> None:
        self._due.pop(flow_id, None)

    def first(self) -> Due | None:
        """The export that is due first; None when none is ahead."""
        while self._heap and self._due.get(self._heap[0].flow_id) is not self._heap[0]:
            heapq.heappop(self._heap)
        return self._heap[0] if self._heap else None

    def exceeds(self, most: int, until: float) -> bool:
        """Whether more than `most` exports fall due at `until` (epoch seconds) or before."""
        count = 0
        for due in self._due.values():
            if due.scheduled_at <= until and (flow := self._store.get(due.scope, "flows", due.flow_id)):
                count += 1 + schedule_of(flow).count(due.scheduled_at, until)
            if count > most:
                return True
        return count > most

    def next_export(self, flow_id: str) -> int | None:
        """For which instant (epoch seconds) a flow exports next; None when it has none ahead."""
        due = self._due.get(flow_id)
        return due and due.scheduled_at
