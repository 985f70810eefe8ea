"""When each flow is next due: what the scheduler looks at to find its next job."""

from __future__ import annotations

import heapq

from flow_service_emulator.entities import Scope


class Timetable:
    """When each enabled flow is next due. Looking at the first, adding and removing cost the same whatever their number."""

    def __init__(self) -> None:
        self._heap: list[tuple[float, int, str, int]] = []
        self._entries: dict[str, tuple[float, int, Scope, int]] = {}

    def put(self, flow_id: str, due: float, order: int, scope: Scope, scheduled_at: int) -> None:
        self._entries[flow_id] = (due, order, scope, scheduled_at)
        heapq.heappush(self._heap, (due, order, flow_id, scheduled_at))

    def remove(self, flow_id: str) -> None:
        self._entries.pop(flow_id, None)

    def first(self) -> tuple[float, str, Scope, int] | None:
        """(due, flow id, scope, scheduled instant) of the flow that is due first; None when there is none."""
        while self._heap:
            due, order, flow_id, scheduled_at = self._heap[0]
            entry = self._entries.get(flow_id)
            if entry is not None and entry[0] == due and entry[1] == order and entry[3] == scheduled_at:
                return due, flow_id, entry[2], scheduled_at
            heapq.heappop(self._heap)
        return None

    def scheduled(self, flow_id: str) -> int | None:
        """For which instant a flow exports next; None when it has none ahead."""
        entry = self._entries.get(flow_id)
        return entry[3] if entry else None

    def flows(self) -> list[tuple[str, Scope, int]]:
        """(flow id, scope, next scheduled instant) of all flows that have an export ahead."""
        return [(flow_id, entry[2], entry[3]) for flow_id, entry in self._entries.items()]

    def clear(self) -> None:
        self._heap.clear()
        self._entries.clear()
