"""For which instant each flow exports next: the timetable, kept up with what happens to the flows.

Order: by the instant at which an export falls due, then by the flow's creation.
"""

from __future__ import annotations

import logging
from collections.abc import Callable

from flow_service_emulator.clock import Clock, is_instant
from flow_service_emulator.entities import ENABLED, Entity, Scope
from flow_service_emulator.exports.exporter import bookmark_key, runs_key, scheduled_key
from flow_service_emulator.exports.schedule import Schedule, schedule_of
from flow_service_emulator.exports.timetable import Timetable
from flow_service_emulator.store.store import SetMeta, Store

log = logging.getLogger("emulator.scheduler")


class FlowPlanner:
    """Puts flows into the timetable, and takes them out. `wake` is called when an export may be due earlier than before."""

    def __init__(self, *, store: Store, clock: Clock, wake: Callable[[], None]) -> None:
        self._store = store
        self._clock = clock
        self._wake = wake
        self.timetable = Timetable()
        self._orders: dict[str, int] = {}
        self._next_order = 0

    def flow_created(self, scope: Scope, flow: Entity) -> None:
        """A start in the past exports once at once, with the latest instant of the grid; then the grid counts."""
        schedule, now = schedule_of(flow), self._clock.now()
        latest = schedule.latest(now)
        if latest is not None and now <= schedule.end:
            self._plan(scope, flow["id"], now, latest)
        else:
            self.plan_following(scope, flow["id"], schedule, now)

    def past_over(self, flow: Entity) -> list[SetMeta]:
        """What is to be stored with a patch, an enable or a disable of a flow, so that a restart plans as `flow_changed` does.

        Nothing of a flow that never ran: its first export is still to be made.
        """
        key = scheduled_key(flow["id"])
        if flow.get("state") != ENABLED or self._store.get_meta(key) is None:
            return []
        return [SetMeta(key, int(self._clock.now()))]

    def flow_changed(self, scope: Scope, flow: Entity) -> None:
        """After a patch, an enable or a disable: the past is over, the next instant of the grid counts."""
        self.timetable.remove(flow["id"])
        if flow.get("state") != ENABLED:
            return
        if self._store.get_meta(scheduled_key(flow["id"])) is None:
            self.flow_created(scope, flow)
        else:
            self.plan_following(scope, flow["id"], schedule_of(flow), self._clock.now())

    def flow_deleted(self, flow_id: str) -> list[SetMeta]:
        """Ends a flow's schedule; answers what the store is to forget about it."""
        self.timetable.remove(flow_id)
        self._orders.pop(flow_id, None)
        return [SetMeta(key(flow_id), None) for key in (bookmark_key, scheduled_key, runs_key)]

    def load(self) -> None:
        """Makes the timetable from the store. Exports missed meanwhile are not made up for: the latest due one runs once.

        A flow whose schedule cannot be read is logged and has no exports.
        """
        self.timetable.clear()
        self._orders.clear()
        now = self._clock.now()
        flows = sorted(self._store.everywhere("flows"), key=lambda entry: entry[1].seq)
        for scope, record in flows:
            flow = record.entity()
            self._order(record.id)
            if flow.get("state") != ENABLED:
                continue
            try:
                self._take_up(scope, record.id, schedule_of(flow), now)
            except ValueError as fault:
                log.warning("the flow %s is left out of the schedule: %s", record.id[:100], fault)

    def take_up_again(self, scope: Scope, flow_id: str) -> None:
        """Plans the export of a run that was cut off anew, if the exporter has found that no later one has its rows."""
        flow = self._store.get(scope, "flows", flow_id)
        if flow is not None and flow.get("state") == ENABLED and self._store.get_meta(scheduled_key(flow_id)) is None:
            self._take_up(scope, flow_id, schedule_of(flow), self._clock.now())

    def plan_following(self, scope: Scope, flow_id: str, schedule: Schedule, after: float) -> None:
        """Plans a flow's first export that falls due after an instant (epoch seconds), if there is one."""
        following = schedule.following(after)
        self._order(flow_id)
        if following is None:
            self.timetable.remove(flow_id)
        else:
            self._plan(scope, flow_id, following, following)

    def next_export(self, flow_id: str) -> int | None:
        """For which instant (epoch seconds) a flow exports next; None when it has none ahead."""
        return self.timetable.scheduled(flow_id)

    def next_due(self) -> float | None:
        """When (epoch seconds) the next export of all flows falls due; None when none is ahead."""
        first = self.timetable.first()
        return None if first is None else first[0]

    def _take_up(self, scope: Scope, flow_id: str, schedule: Schedule, now: float) -> None:
        done = self._store.get_meta(scheduled_key(flow_id))
        if done is not None and not is_instant(done):
            log.warning("what is kept as %s is passed over: it is no time", scheduled_key(flow_id)[:100])
            done = None
        latest = schedule.latest(now)
        if latest is not None and now <= schedule.end and (done is None or latest > done):
            self._plan(scope, flow_id, now, latest)
        else:
            self.plan_following(scope, flow_id, schedule, now if done is None else max(now, done))

    def _order(self, flow_id: str) -> int:
        """The flow's place in the order of creation."""
        if flow_id not in self._orders:
            self._orders[flow_id] = self._next_order
            self._next_order += 1
        return self._orders[flow_id]

    def _plan(self, scope: Scope, flow_id: str, due: float, scheduled_at: int) -> None:
        self.timetable.put(flow_id, due, self._order(flow_id), scope, scheduled_at)
        self._wake()
