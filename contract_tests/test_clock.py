"""The clock by itself, on a machine whose clocks the test moves."""

from __future__ import annotations

import pytest

from flow_service_emulator.clock import MODES, Clock, Mode
from flow_service_emulator.settings import LATEST_TIME


class Machine:
    """A machine's two clocks: `wall` can be set, `ticks` counts the seconds in which the machine was awake."""

    def __init__(self) -> None:
        self.wall = 2000.0
        self.ticks = 50.0

    def clock(self, mode: Mode, *, now: float | None = None, speed: float = 1.0) -> Clock:
        return Clock(mode, now=now, speed=speed, wall=lambda: self.wall, ticks=lambda: self.ticks)

    def run(self, seconds: float) -> None:
        self.wall += seconds
        self.ticks += seconds


@pytest.mark.parametrize("back", [0.5, 900.0, 1900.0])
def test_real_time_goes_on_when_the_machine_s_clock_is_set_back(back: float) -> None:
    """It neither goes backwards nor stands still until the machine is as far again, wherever it was put before."""
    machine = Machine()
    clock = machine.clock("real", now=1000.0)
    machine.run(10)
    for further, put_back in ((0, back), (5, 0), (85, 60), (1, 0)):
        present = clock.now()
        machine.wall -= put_back
        assert clock.now() == present
        machine.run(further)
        assert clock.now() == present + further
        clock.move_to(present + further + 7)
        assert clock.now() == present + further + 7


def test_real_time_is_right_again_after_a_sleep() -> None:
    machine = Machine()
    clock = machine.clock("real")
    machine.wall += 8 * 3600  # asleep: no tick
    assert clock.now() == machine.wall


@pytest.mark.parametrize("step", [8 * 3600.0, -900.0])
def test_accelerated_time_does_not_leap_with_the_machine_s_clock(step: float) -> None:
    machine = Machine()
    clock = machine.clock("accelerated", now=0.0, speed=3600)
    machine.run(1)
    machine.wall += step
    assert clock.now() == 3600
    machine.run(1)
    assert clock.now() == 7200


@pytest.mark.parametrize(("mode", "afterwards"), [("accelerated", 140.0), ("real", 147.0), ("frozen", 140.0)])
def test_time_that_is_held_stands_still_and_can_be_moved(mode: Mode, afterwards: float) -> None:
    """Accelerated time goes on from there; real time is where it would have been."""
    machine = Machine()
    clock = machine.clock("frozen", now=100.0)
    clock.set(mode, speed=10)
    with clock.held(*MODES):
        machine.run(3)
        assert clock.now() == 100
        clock.move_to(140)
        machine.run(7)
        assert clock.now() == 140
    assert clock.now() == afterwards
    machine.run(1)
    assert clock.now() == afterwards + clock.speed


def test_a_change_of_mode_loses_no_time_and_adds_none() -> None:
    machine = Machine()
    clock = machine.clock("real", now=0.0)
    modes: list[Mode] = ["accelerated", "frozen", "real", "accelerated", "real"]
    for mode, at in zip(modes, (1, 11, 11, 12, 22), strict=True):
        machine.run(1)
        clock.set(mode, speed=10)
        assert clock.now() == at


def test_the_last_instant_is_not_passed() -> None:
    machine = Machine()
    clock = machine.clock("accelerated", now=LATEST_TIME - 1, speed=1e9)
    machine.run(1)
    assert clock.now() == LATEST_TIME
