"""Devices that tell changes by themselves: a value holds as long as they are there."""

from __future__ import annotations

import pytest

from gateway.guard.energy import total_mwh
from gateway.guard.events import (
    Alive,
    Tick,
)
from gateway.guard.limits import (
    InverseTime,
    Limits,
)
from tests.support.machine import Machine, charging, refusal_codes


def flat(machine: Machine, power_w: float, seconds: int) -> None:
    """A meter tells a power once, and then nothing, as long as nothing changes."""
    machine.sample(power_w)
    for _ in range(seconds):
        machine.now_ms += 1_000
        machine.feed(Alive(machine.now_ms))


def test_a_meter_that_is_quiet_on_a_flat_load_is_not_silent_while_it_is_there() -> None:
    machine = charging(Machine())
    told_ms = machine.now_ms
    for _ in range(800):
        machine.now_ms += 1_000
        machine.feed(Alive(machine.now_ms))
    assert machine.ends() == []
    assert machine.state.measured.power_ms == told_ms, "a value keeps its own time"
    machine.now_ms += 30_000
    machine.feed(Tick())
    assert machine.ends() == ["silence"]


def test_being_there_is_no_value() -> None:
    machine = Machine()
    machine.feed(Alive(machine.now_ms))
    assert refusal_codes(machine.ask_on()) == ["device_silent"]
    machine.sample()
    machine.now_ms += 60_000
    machine.feed(Alive(machine.now_ms + 1))
    assert refusal_codes(machine.ask_on()) == ["device_silent"], "a sign of life from the future"
    machine.feed(Alive(machine.now_ms))
    assert refusal_codes(machine.ask_on()) == []


def test_an_overload_that_is_told_once_is_cut_after_its_delay() -> None:
    machine = charging(Machine(), seconds=30)
    flat(machine, 2_200, 2)
    assert machine.ends() == []
    for _ in range(2):
        machine.now_ms += 1_000
        machine.feed(Alive(machine.now_ms))
    assert machine.cuts() == ["overpower"]
    assert not machine.relay_on


def test_a_pulled_plug_that_is_told_once_ends_the_lease() -> None:
    machine = charging(Machine(), seconds=600)
    flat(machine, 0, 59)
    assert machine.ends() == []
    flat(machine, 0, 2)
    assert machine.ends() == ["unplugged"]


def test_energy_is_counted_while_nothing_changes() -> None:
    machine = charging(Machine(), power_w=150, seconds=2)
    counted_mwh = total_mwh(machine.state.energy)
    flat(machine, 150, 3_600)
    delivered_mwh = total_mwh(machine.state.energy) - counted_mwh
    assert delivered_mwh == pytest.approx(150_000, rel=0.001)
    assert machine.ends() == []


def test_inverse_time_runs_once_by_signs_of_life_and_samples_together() -> None:
    rule = InverseTime(pickup_a=4, time_multiplier=0.5)
    by_samples = charging(Machine(Limits(overcurrent_inverse=rule, overcurrent=None)), seconds=5)
    by_both = charging(Machine(Limits(overcurrent_inverse=rule, overcurrent=None)), seconds=5)
    for machine in (by_samples, by_both):
        machine.now_ms = 1_000_000
    lasted = {}
    for name, machine in (("samples", by_samples), ("both", by_both)):
        machine.sample(1_200)
        for second in range(600):
            if machine.ends():
                break
            if name == "samples" or second % 3 == 0:
                machine.sample(1_200)
            else:
                machine.now_ms += 1_000
                machine.feed(Alive(machine.now_ms))
        lasted[name] = machine.now_ms
        assert machine.cuts() == ["overcurrent_inverse"]
    assert abs(lasted["samples"] - lasted["both"]) <= 1_000


def test_signs_of_life_say_nothing_of_an_outlet_that_is_off() -> None:
    machine = Machine()
    flat(machine, 0, 700)
    assert machine.effects == []
