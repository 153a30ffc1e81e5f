"""A meter that says nothing, or nothing that can be: silence, the future, no number."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest

from gateway.core.facts import FactKind
from gateway.guard.events import (
    RequestOff,
)
from gateway.guard.limits import (
    Action,
    Limits,
    Silence,
)
from gateway.guard.model import Sample
from gateway.guard.state import Phase
from tests.support.machine import Machine, charging


def test_silence_switches_off_and_leaves_the_outlet_free() -> None:
    machine = charging(Machine())
    for _ in range(9):
        machine.tick()
    assert machine.ends() == []
    machine.tick()
    assert machine.ends() == ["silence"]
    assert machine.state.latch is None


def test_samples_that_do_not_grow_newer_are_silence() -> None:
    machine = charging(Machine())
    old = machine.state.recent[-1]
    for _ in range(12):
        machine.now_ms += 1000
        machine.feed(old)
    assert machine.ends() == ["silence"]


def test_a_meter_without_its_relay_is_silence_too() -> None:
    machine = charging(Machine())
    for _ in range(12):
        machine.now_ms += 1000
        sample = machine.state.recent[-1]
        machine.feed(type(sample)(at_ms=machine.now_ms, utc_ms=0, current_a=0.5, power_w=115.0))
    assert machine.ends() == ["silence"]


def test_a_meter_that_is_silent_while_an_off_is_on_its_way_is_told() -> None:
    machine = charging(Machine())
    machine.feed(RequestOff(actor="x"))
    for _ in range(30):
        machine.part(relay_on=False)
    assert machine.state.phase is Phase.STOPPING
    assert machine.reasons(FactKind.OUTLET_ALARM) == ["silence"]
    assert machine.reasons(FactKind.OUTLET_ALARM_CLEARED) == []


def test_an_alarm_of_silence_stays_while_the_meter_is_silent() -> None:
    machine = charging(Machine(Limits(silence=Silence(action=Action.ALARM))))
    for _ in range(120):
        machine.part(relay_on=True)
    assert machine.reasons(FactKind.OUTLET_ALARM) == ["silence"]
    assert machine.reasons(FactKind.OUTLET_ALARM_CLEARED) == []
    for _ in range(12):
        machine.sample(150)
    assert machine.reasons(FactKind.OUTLET_ALARM_CLEARED) == ["silence"]


def test_a_meter_whose_power_is_no_number_any_more_is_silent() -> None:
    machine = charging(Machine())
    for _ in range(12):
        machine.sample(math.nan, current_a=0.6)
    assert machine.ends() == ["silence"]


@pytest.mark.parametrize("absurd", [math.nan, math.inf, -math.inf])
@pytest.mark.parametrize("name", ["current_a", "power_w", "voltage_v", "temperature_c"])
def test_what_is_no_number_is_no_value(name: str, absurd: float) -> None:
    machine = charging(Machine())
    before = machine.state.measured
    machine.part(relay_on=True, **{name: absurd})
    assert getattr(machine.state.measured, name) == getattr(before, name)
    assert machine.state.phase is Phase.ON
    machine.sample(9_000)
    assert machine.cuts() == ["overcurrent_instant"]


def test_a_sample_from_the_future_is_none() -> None:
    machine = charging(Machine())
    machine.feed(Sample(at_ms=machine.now_ms + 10**9, utc_ms=0, current_a=0.5, relay_on=True))
    for _ in range(12):
        machine.tick()
    assert machine.ends() == ["silence"]


def test_the_late_part_of_a_sample_is_neither_judged_nor_counted() -> None:
    machine = charging(Machine(Limits(silence=Silence(delay_s=60))))
    late = Sample(
        at_ms=machine.now_ms - 500,
        utc_ms=0,
        current_a=60.0,
        power_w=13_800.0,
        temperature_c=20.0,
        energy_mwh=10,
    )
    machine.sample(150, energy_mwh=5_000)
    machine.feed(replace(late, at_ms=machine.now_ms - 500))
    assert machine.state.phase is Phase.ON
    assert machine.state.measured.temperature_c == 20.0
    assert machine.state.energy.register_mwh == 5_000
