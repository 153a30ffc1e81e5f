"""What a hostile review of the protection found: each of these was wrong once."""

from __future__ import annotations

from pathlib import Path

import pytest

from gateway.core.facts import FactKind
from gateway.guard.effects import Refusal
from gateway.guard.energy import total_mwh
from gateway.guard.fleet import measures_of
from gateway.guard.model import Sample
from gateway.guard.state import Phase
from tests.support.machine import Machine
from tests.support.shed import small_site

# A meter whose answers hold less than they should


def test_a_register_that_is_read_alone_counts() -> None:
    machine = Machine()
    machine.switch_on()
    for second in range(600):
        machine.sample(150.0)
        if second % 15 == 0:  # twice what the power says
            machine.part(after_s=0.001, energy_mwh=5_000_000 + round(second * 300 / 3.6))
    assert total_mwh(machine.state.energy) == pytest.approx(50_000, rel=0.06)


@pytest.mark.parametrize("known", ["current_a", "power_w"])
def test_a_meter_that_has_never_told_what_it_should_is_silent(known: str) -> None:
    machine = Machine()
    machine.state = machine.state._replace(measures=frozenset({"current", "power"}))
    values = {"relay_on": False, "voltage_v": 230.0, known: 0.0}
    machine.part(**values)
    [refusal] = machine.ask_on()
    assert isinstance(refusal, Refusal)
    assert refusal.code == "device_silent"
    assert "its meter tells no" in refusal.message
    machine.sample()
    assert not [e for e in machine.ask_on() if isinstance(e, Refusal)]


def test_the_profile_says_what_a_meter_should_tell(tmp_path: Path) -> None:
    site = small_site(tmp_path)
    assert measures_of(site, site.outlet("n1-1")) == {"current", "power"}


def test_a_register_that_comes_late_does_not_run_backwards() -> None:
    machine = Machine()
    machine.switch_on()
    for second in range(100):
        machine.sample(360.0, energy_mwh=1_000_000 + second * 100)
    before = machine.state.energy
    machine.now_ms += 1
    machine.feed(Sample(at_ms=machine.now_ms - 60_000, utc_ms=0, energy_mwh=1_000_000))
    assert machine.state.energy == before


def test_a_weld_is_seen_by_the_power_when_the_current_is_known_no_more() -> None:
    machine = Machine()
    machine.sample()
    for _ in range(10):
        machine.part(relay_on=False, power_w=0.0, voltage_v=230.0)
    for _ in range(4):
        machine.part(relay_on=False, power_w=100.0, voltage_v=230.0)
    assert machine.cuts() == ["welded"]


def test_an_outlet_is_seen_off_by_the_power_when_the_current_is_known_no_more() -> None:
    machine = Machine()
    machine.switch_on()
    for _ in range(60):
        machine.part(relay_on=machine.relay_on, power_w=100.0 if machine.relay_on else 0.0)
    assert machine.ends() == ["silence"]
    assert machine.state.phase is Phase.OFF


def test_a_power_read_after_its_current_does_not_hide_a_weld() -> None:
    machine = Machine()
    machine.sample()
    for _ in range(6):
        machine.part(relay_on=False, current_a=0.06)
        machine.part(after_s=0.3, power_w=5.0)
    assert machine.cuts() == ["welded"]


@pytest.mark.parametrize("every_s", [1, 15, 30])
def test_a_voltage_that_is_read_seldom_still_releases_what_it_has_cut(every_s: int) -> None:
    machine = Machine()
    machine.switch_on()
    machine.sample(150.0, voltage_v=280.0)
    machine.sample(150.0, voltage_v=280.0)
    assert machine.cuts() == ["overvoltage"]
    machine.sample()
    for second in range(1, 121):
        machine.part(relay_on=False, current_a=0.0, power_w=0.0)
        if second % every_s == 0:
            machine.part(after_s=0.001, voltage_v=230.0)
    assert machine.reasons(FactKind.OUTLET_RELEASED) == ["overvoltage"]


def test_a_charger_whose_voltage_is_read_seldom_is_no_heater() -> None:
    machine = Machine()
    machine.switch_on()
    amps = 300.0 / 230.0 / 0.6
    for second in range(120):
        volts = 230.0 if second % 15 == 0 else None
        machine.part(relay_on=True, power_w=300.0, current_a=amps, voltage_v=volts)
    assert machine.reasons(FactKind.OUTLET_ALARM) == []
    assert machine.state.phase is Phase.ON
