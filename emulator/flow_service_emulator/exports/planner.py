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
from flow_service_emulator.store.changes import SetMeta
from flow_service_emulator.store.store import Store


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

    def flow_created(self, scope: Scope, flow: Entity) -> None:
        """Plan a new flow: a start in the past exports once at once, for the latest instant of the grid; then the grid counts."""
        self._take_up(scope, flow, None)

    def past_over(self, flow: Entity) -> list[SetMeta]:
        """Return what is to be stored with a patch, an enable or a disable of a flow, so that a restart plans as `flow_changed` does.

        Nothing of a flow that never ran: its first export is still to be made.
        """
        if flow["state"] != ENABLED or self._last(flow["id"]) is None:
            return []
        return [noted(self._store, flow["id"], scheduled=int(self._clock.now()))]

    def flow_changed(self, scope: Scope, flow: Entity) -> None:
        """Plan after a patch, an enable or a disable: the past is over, the next instant of the grid counts."""
        self.remove(flow["id"])
        if flow["state"] == ENABLED and self._last(flow["id"]) is None:
            self.flow_created(scope, flow)
        elif flow["state"] == ENABLED:
            self._plan_after(scope, flow, self._clock.now())

    def flow_deleted(self, flow_id: str) -> list[SetMeta]:
        """End a flow's schedule; return what the store is to forget about it."""
        self.remove(flow_id)
        return [SetMeta(NOTES + flow_id, None)]

    def load(self) -> None:
        """Plan everything again after the store. Exports missed meanwhile are not made up for: the latest due one runs once."""
        self._due.clear()
        self._heap.clear()
        for scope, record in list(self._store.everywhere("flows")):
            flow = record.entity()
            if flow["state"] == ENABLED:
                self._take_up(scope, flow, self._last(record.id))

    def take_up_again(self, scope: Scope, flow_id: str) -> None:
        """Plan the export of a run that was cut off again, if the runner has found that no later one has its rows."""
        flow = self._store.get(scope, "flows", flow_id)
        if flow is not None and flow["state"] == ENABLED and self._last(flow_id) is None:
            self._take_up(scope, flow, None)

    def plan_following(self, due: Due) -> None:
        """Plan the export that comes after one that has begun, if there is one."""
        flow = self._store.get(due.scope, "flows", due.flow_id)
        if flow is None:
            self.remove(due.flow_id)
        else:
            self._plan_after(due.scope, flow, max(due.at, due.scheduled_at))

    def _plan_after(self, scope: Scope, flow: Entity, after: float) -> None:
        """Plan a flow's first export that falls due after an instant (epoch seconds), if there is one."""
        following = schedule_of(flow).following(after)
        if following is None:
            self.remove(flow["id"])
        else:
            self._plan(scope, flow["id"], following, following)

    def first(self) -> Due | None:
        """The export that is due first; None when none is ahead."""
        while self._heap:
            due = self._heap[0]
            if self._due.get(due.flow_id) is due:
                return due
            heapq.heappop(self._heap)
        return None

    def remove(self, flow_id: str) -> None:
        self._due.pop(flow_id, None)

    def exceeds(self, most: int, until: float) -> bool:
        """Whether more than `most` exports fall due at `until` (epoch seconds) or before."""
        count = 0
        for due in self._due.values():
            flow = self._store.get(due.scope, "flows", due.flow_id) if due.scheduled_at <= until else None
            if flow is not None:
                count += 1 + schedule_of(flow).count(due.scheduled_at, until)
            if count > most:
                return True
        return count > most

    def next_export(self, flow_id: str) -> int | None:
        """For which instant (epoch seconds) a flow exports next; None when it has none ahead."""
        due = self._due.get(flow_id)
        return due and due.scheduled_at

    def next_due(self) -> float | None:
        """When (epoch seconds) the next export of all flows falls due; None when none is ahead."""
        first = self.first()
        return first and first.at

    def _take_up(self, scope: Scope, flow: Entity, done: int | None) -> None:
        """Plan a flow's next export, whose last one was that for the instant `done`."""
        schedule, now = schedule_of(flow), self._clock.now()
        latest = schedule.latest(now)
        if latest is not None and now <= schedule.end and (done is None or latest > done):
            self._plan(scope, flow["id"], now, latest)
        else:
            self._plan_after(scope, flow, now if done is None else max(now, done))

    def _last(self, flow_id: str) -> int | None:
        """The last instant of its schedule that a flow exported for."""
        return notes_of(self._store, flow_id).get("scheduled")

    def _plan(self, scope: Scope, flow_id: str, at: float, scheduled_at: int) -> None:
        due = self._due[flow_id] = Due(at, self._store.seq(scope, "flows", flow_id), scheduled_at, flow_id, scope)
        heapq.heappush(self._heap, due)
        self._wake()
