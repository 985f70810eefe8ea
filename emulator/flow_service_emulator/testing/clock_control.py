"""The clock of a running emulator."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, cast

from flow_service_emulator.instants import Instant, epoch_seconds
from flow_service_emulator.testing.control_client import ControlClient

__tracebackhide__ = True  # pytest then shows the line of the test, and not what goes on in here

DAY_SECONDS = 86_400


class ClockControl:
    """The server's clock, in epoch seconds. On a shared server it is everybody's, but only this test's runs are told."""

    def __init__(self, client: ControlClient, scope: Mapping[str, str] | None = None) -> None:
        """`scope` is the `org` and `sandbox` whose runs are told, on a shared server."""
        self._client = client
        self._scope = dict(scope or {})

    @property
    def now(self) -> float:
        """The present there."""
        return float(self._client.call("GET", "/clock")["now"])

    @property
    def mode(self) -> str:
        """ "real", "frozen" or "accelerated"."""
        return str(self._client.call("GET", "/clock")["mode"])

    def freeze(self, at: Instant | None = None) -> float:
        """Stops time, now or at a later instant (what falls due until then is run first). Answers the time."""
        return self.set(mode="frozen", now=at)

    def set(self, *, mode: str | None = None, now: Instant | None = None, speed: float | None = None) -> float:
        """Changes how time passes: "real", "frozen", or "accelerated" with `speed` seconds in one. Answers the time."""
        given = {"mode": mode, "now": None if now is None else _seconds("now", now), "speed": speed}
        body = {name: value for name, value in given.items() if value is not None}
        return float(self._client.call("PUT", "/clock", body)["now"])

    def advance(
        self,
        seconds: float = 0.0,
        *,
        minutes: float = 0.0,
        hours: float = 0.0,
        days: float = 0.0,
        to: Instant | None = None,
    ) -> list[dict[str, Any]]:
        """Moves time on by a length, or to an instant, and runs every export on the way.

        Answers the runs in their order, each with `id`, `flowId`, `scheduledAt` and `status`, when all files are on disk.
        """
        for value in (seconds, minutes, hours, days):
            if isinstance(value, bool) or not isinstance(value, (int, float)) or value < 0:
                raise ValueError(f"a length of time is a number from 0, such as hours=3; got {value!r}")
        length = seconds + 60 * minutes + 3600 * hours + DAY_SECONDS * days
        if to is not None and length:
            raise ValueError("either a length of time or `to` can be given")
        body = {**self._scope, **({"seconds": length} if to is None else {"to": _seconds("to", to)})}
        return cast("list[dict[str, Any]]", self._client.call("POST", "/clock/advance", body)["runs"])


def _seconds(name: str, at: Any) -> float:
    """An instant in epoch seconds. Raises ValueError for what is none."""
    try:
        return epoch_seconds(at)
    except (ValueError, TypeError, OverflowError):
        raise ValueError(f"{name} is a time such as 2026-01-01T00:00:00Z or epoch seconds; got {at!r}") from None
