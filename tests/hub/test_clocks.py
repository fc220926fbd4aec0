"""Time is an argument: the wall clock is the desk's, the steady one a number."""

import asyncio
from pathlib import Path
from unittest import mock

import pytest

from enforcer.hub.clocks import STEP_S, ClockWatch
from tests.hub.desk import Desk


class Machine:
    """Its two clocks."""

    def __init__(self, folder: Path) -> None:
        self.desk, self.steady_s = Desk(folder), 1000.0
        self.watch = ClockWatch(self.desk.means, lambda: self.steady_s)

    def after(self, wall_s: float, steady_s: float) -> list[dict[str, object]]:
        """Look when so much has passed by each clock; the steps in the chain."""
        self.desk.now_ms += round(wall_s * 1000)
        self.steady_s += steady_s
        self.watch.look()
        return self.desk.events("clock_step")


@pytest.fixture
def machine(tmp_path: Path) -> Machine:
    return Machine(tmp_path)


def test_a_clock_that_is_set_forward_is_in_the_chain_once(machine: Machine) -> None:
    assert machine.after(3601, 1) == [{"forward_ms": 3_600_000}]
    assert len(machine.after(1, 1)) == 1


def test_a_machine_that_slept_is_a_step(machine: Machine) -> None:
    assert machine.after(7200, 0.5) == [{"forward_ms": 7_199_500}]


@pytest.mark.parametrize(
    ("wall_s", "steady_s"),
    [(1, 1), (STEP_S + 1, 1), (300, 300), (1.1, 1), (-3600, 1)],
    ids=["as time goes", "just no step", "a hub that hung", "disciplined", "back, which the recorder sees"],
)
def test_what_is_no_step_forward_is_not_recorded(machine: Machine, wall_s: float, steady_s: float) -> None:
    assert machine.after(wall_s, steady_s) == []


def test_it_looks_until_the_end(machine: Machine) -> None:
    looks = [None, asyncio.CancelledError]
    machine.desk.now_ms += 3_600_000
    with mock.patch("enforcer.hub.clocks.asyncio.sleep", side_effect=looks), pytest.raises(asyncio.CancelledError):
        asyncio.run(machine.watch.run())
    assert machine.desk.events("clock_step") == [{"forward_ms": 3_600_000}]
