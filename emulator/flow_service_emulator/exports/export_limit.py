"""How many exports may be ahead at once: `--max-exports`."""

from __future__ import annotations

from flow_service_emulator.errors import ServiceError
from flow_service_emulator.exports.schedule import schedule_of
from flow_service_emulator.exports.timetable import Timetable
from flow_service_emulator.store.store import Store


class ExportLimit:
    """Refuses what would take many hours before it is found to be a mistake. `most` exports are fine."""

    def __init__(self, most: int, *, timetable: Timetable, store: Store) -> None:
        self._most = most
        self._timetable = timetable
        self._store = store

    def check_way(self, asked: int, to: float) -> None:
        """Refuses to go to `to` (epoch seconds) where there are too many on the way, `asked` of them by hand."""
        if self._exceeded(asked, to):
            raise ServiceError(
                "control-invalid",
                reason=f"this advance would cause more than {self._most} exports; advance in smaller steps, disable flows, "
                "or start the server with a higher --max-exports",
            )

    def check_backlog(self, asked: int, now: float) -> None:
        """Refuses to wait for what is due already, where that is too much."""
        if self._exceeded(asked, now):
            raise ServiceError(
                "control-conflict",
                reason=f"more than {self._most} exports are due already, and an advance would wait for them all; disable or "
                "delete flows, reset, or start the server with a higher --max-exports",
            )

    def _exceeded(self, asked: int, until: float) -> bool:
        """Whether too many fall due at `until` or before."""
        count = asked
        for flow_id, scope, scheduled_at in self._timetable.flows():
            flow = self._store.get(scope, "flows", flow_id) if scheduled_at <= until else None
            if flow is not None:
                count += 1 + schedule_of(flow).count(scheduled_at, until)
            if count > self._most:
                return True
        return count > self._most
