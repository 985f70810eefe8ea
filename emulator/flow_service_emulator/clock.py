"""Real, frozen and accelerated time, and the one source of randomness.

Only this module reads the machine's clock or its random source; everybody else is handed a `Clock` or a generator.
"""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any, Final, Literal

from flow_service_emulator.settings import LATEST_TIME

Mode = Literal["real", "frozen", "accelerated"]
MODES: tuple[Mode, ...] = ("real", "frozen", "accelerated")
MAX_SPEED: Final = 10**9
"""How many seconds may pass in one of the machine's, at most."""


class Clock:
    """Time as the emulator sees it, in epoch seconds. It never goes backwards, except by `reset` and `restore`.

    `real` passes as the machine's time does, `accelerated` passes `speed` times as fast, `frozen` stands still until it is
    moved. `wall` is the machine's clock, `ticks` counts the seconds that it runs; both can be replaced in tests.

    Real time goes by the machine's clock, so that it is right again after a laptop slept. Accelerated time has no right to
    be anywhere: it goes by the ticks, which nobody who sets the machine's clock can make leap by years.
    """

    def __init__(
        self,
        mode: Mode = "real",
        *,
        now: float | None = None,
        speed: float = 1.0,
        wall: Callable[[], float] = time.time,
        ticks: Callable[[], float] = time.monotonic,
    ) -> None:
        self._wall = wall
        self._ticks = ticks
        self._start = (mode, now, speed)
        self.first_mode = mode
        """The mode that `reset` puts it back to."""
        self._wall_at = self._wall_seen = self._ticks_at = 0.0
        self.began = 0.0
        """The instant (epoch seconds) that it was last put to: by a reset or a snapshot, a move, or a change of its mode."""
        self._moved = 0.0
        self._held_modes: tuple[Mode, ...] = ()
        self.reset()

    @classmethod
    def from_setting(cls, text: str, now: float | None) -> Clock:
        """A clock from the `--clock` setting: `real`, `frozen` or a speed."""
        if text in ("real", "frozen"):
            return cls("real" if text == "real" else "frozen", now=now)
        return cls("accelerated", now=now, speed=float(text))

    def reset(self) -> None:
        """Put mode, speed and time back to how the clock started; without a start time, that is the present."""
        self.mode, now, self._speed = self._start
        self._put(self._wall() if now is None else now)

    @property
    def speed(self) -> float:
        """How many seconds pass here in one of the machine's: 1 for `real`, 0 for `frozen`."""
        if self.mode == "accelerated":
            return self._speed
        return 1.0 if self.mode == "real" else 0.0

    def now(self) -> float:
        """The present, in epoch seconds."""
        return min(self.began + self._passed() * self.speed, LATEST_TIME)

    def _passed(self) -> float:
        """How many of the machine's seconds have passed since it was put somewhere."""
        if self.mode in self._held_modes:
            return 0.0
        if self.mode == "accelerated":
            return self._ticks() - self._ticks_at
        wall = self._wall()
        if wall < self._wall_seen:  # the machine's clock was set back: time goes on from where it was last seen
            self._wall_at -= self._wall_seen - wall
        self._wall_seen = wall
        return max(0.0, wall - self._wall_at)

    def _put(self, at: float) -> None:
        """Let time pass from `at` on."""
        self.began = at
        self._wall_at = self._wall_seen = self._wall()
        self._ticks_at = self._ticks()

    @contextmanager
    def held(self, *modes: Mode) -> Iterator[None]:
        """Let time stand still meanwhile, but for being moved, in these modes.

        Afterwards accelerated time goes on from there. Real time is where it would have been, as it has to be right.
        """
        if self.mode in modes:
            self._put(self.now())
        self._held_modes = modes
        try:
            yield
        finally:
            if self.mode == "accelerated":
                self._put(self.now())
            self._held_modes = ()

    def now_ms(self) -> int:
        """The present, in epoch milliseconds."""
        return int(self.now() * 1000)

    def set(self, mode: Mode, *, now: float | None = None, speed: float | None = None) -> None:
        """Change the mode, and move on to `now` (epoch seconds) where that lies ahead."""
        self.move_to(self.now() if now is None else now)
        self.mode = mode
        if mode == "accelerated":
            self._speed = self._speed if speed is None else speed

    def move_to(self, at: float) -> None:
        """Jump to `at` (epoch seconds) if that lies ahead; otherwise do nothing."""
        present = self.now()
        self._moved += max(0.0, at - present)
        self._put(max(present, at))

    def steady(self) -> float:
        """A counter of the machine's seconds that no change of the clock moves; its differences are durations."""
        return time.perf_counter()

    def waited(self) -> float:
        """A counter of the seconds that a client has waited: those of the machine, and those that the clock was moved on by."""
        return self._ticks() + self._moved

    def wait_for(self, at: float) -> float | None:
        """How many of the machine's seconds pass until `at` is reached; None when it never comes by itself."""
        ahead = at - self.now()
        if ahead <= 0:
            return 0.0
        return ahead / self.speed if self.speed else None

    def snapshot(self) -> dict[str, Any]:
        """The clock as JSON, for `restore`."""
        return {"mode": self.mode, "now": self.now(), "speed": self.speed}

    def restore(self, snapshot: Mapping[str, Any]) -> None:
        """Go on from what `snapshot` gave or a part of it, also in the past."""
        at = snapshot.get("now", self.now())
        self.mode = snapshot.get("mode", self.mode)
        self._speed = snapshot.get("speed") or self._speed
        self._put(float(at))


def machine_time() -> float:
    """The machine's own time, in epoch seconds, as its logs have it."""
    return time.time()


def random_source(seed: int | None, salt: str = "") -> random.Random:
    """A generator for ids and names: the same for the same seed and salt, different every time without a seed."""
    return random.Random(None if seed is None else f"{seed}/{salt}")
