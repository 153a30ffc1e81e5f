"""What is plugged in, from what the first seconds look like."""

from __future__ import annotations

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.core.facts import FactKind
from gateway.guard.limits import Action, Limits, WrongAppliance
from gateway.guard.load import Judgement, Kind, Plugged, follow, judge
from gateway.guard.model import Sample
from simulators.appliances import Appliance, ApplianceSettings
from simulators.chargers import CcCvCharger, ChargerSettings
from simulators.physics import Load
from tests.support.machine import Machine, trace

RULE = WrongAppliance()


def sample(at_s: float, power_w: float, current_a: float, voltage_v: float = 230.0) -> Sample:
    at_ms = 1_000_000 + round(at_s * 1000)
    return Sample(
        at_ms=at_ms, utc_ms=at_ms, power_w=power_w, current_a=current_a, voltage_v=voltage_v
    )


def seen(load: Load, seconds: int = 12, voltage_v: float = 230.0) -> Judgement:
    """Plug a load in and look at it each second, as a meter of two digits shows it."""
    plugged = Plugged()
    for second in range(seconds):
        draw = load.step(1.0, voltage_v)
        plugged = follow(
            plugged, sample(second, round(draw.power_w, 1), round(draw.current_a, 2), voltage_v)
        )
    return judge(plugged, RULE)


@pytest.mark.parametrize("plateau_w", [60, 180, 360, 900])
@pytest.mark.parametrize("power_factor", [0.45, 0.6, 0.9])
def test_a_charger_is_a_charger_within_ten_seconds(plateau_w: float, power_factor: float) -> None:
    settings = ChargerSettings(plateau_w=plateau_w, power_factor=power_factor, ramp_s=3)
    found = seen(CcCvCharger(settings), seconds=10)
    assert found.kind is Kind.CHARGER
    assert found.confidence >= 0.9
    assert found.power_factor == pytest.approx(power_factor, abs=0.1)


@pytest.mark.parametrize("power_w", [300, 800, 1_955, 2_900])
@pytest.mark.parametrize("voltage_v", [200.0, 230.0, 253.0])
def test_a_kettle_is_an_appliance_within_ten_seconds(power_w: float, voltage_v: float) -> None:
    found = seen(Appliance(ApplianceSettings(power_w=power_w)), 10, voltage_v)
    assert found.kind is Kind.APPLIANCE
    assert found.stepped is True


def test_a_vacuum_cleaner_is_an_appliance() -> None:
    settings = ApplianceSettings(
        power_w=1_145, power_factor=0.95, ripple=0.03, inrush=3, resistive=False
    )
    assert seen(Appliance(settings, seed=1), 20).kind is Kind.APPLIANCE


def test_a_small_motor_is_told_by_its_ripple() -> None:
    settings = ApplianceSettings(
        power_w=250, power_factor=0.8, ripple=0.04, inrush=3, resistive=False
    )
    found = seen(Appliance(settings, seed=3), 20)
    assert found.kind is Kind.APPLIANCE
    assert found.ripple == pytest.approx(0.04, abs=0.02)


def test_a_charger_that_changes_its_packs_does_not_ripple() -> None:
    machine = Machine()
    machine.switch_on()
    for watts in [700.0] * 60 + [80.0] * 20 + [700.0] * 60:
        machine.sample(watts, current_a=watts / 230 / 0.6)
    assert machine.reasons(FactKind.OUTLET_ALARM) == []


@pytest.mark.parametrize("waits_w", [1.5, 4.0, 6.0])
def test_a_charger_that_waits_for_its_battery_stays_one(waits_w: float) -> None:
    machine = Machine()
    machine.switch_on()
    ramp = [55.0 * second for second in range(1, 11)]
    # At power at once after the pause; the second pack begins with a ramp, not with a ripple.
    course = [*ramp, *[550.0] * 60, *[waits_w] * 200, *[550.0] * 20, *[60.0] * 20, *ramp]
    for watts in [*course, *[550.0] * 60]:
        machine.sample(watts, current_a=watts / 230 / 0.62)
    assert machine.reasons(FactKind.OUTLET_ALARM) == []


def test_a_pause_that_begins_with_lost_polls_is_no_new_load() -> None:
    plugged = Plugged()
    for second, watts in [(0, 60.0), (1, 300.0), (2, 550.0), (3, 550.0), (7, 5.0), (8, 550.0)]:
        plugged = follow(plugged, sample(second, watts, watts / 230 / 0.62))
    assert plugged.since_ms == 1_000_000


def test_a_small_heater_is_one_and_no_alarm() -> None:
    found = seen(Appliance(ApplianceSettings(power_w=120)), 10)
    assert (found.kind, found.confidence) == (Kind.APPLIANCE, 0.8)
    machine = Machine()
    machine.switch_on()
    for _ in range(60):
        machine.sample(120.0)
    assert machine.reasons(FactKind.OUTLET_ALARM) == []


def test_a_corrected_charger_without_a_soft_start_is_unknown_and_not_an_appliance() -> None:
    settings = ChargerSettings(plateau_w=300, power_factor=0.98, ramp_s=0.1)
    assert seen(CcCvCharger(settings)).kind is Kind.UNKNOWN


def test_nothing_is_nothing_and_a_first_glance_is_unknown() -> None:
    assert judge(Plugged(), RULE).kind is Kind.NOTHING
    assert judge(follow(Plugged(), sample(0, 3.0, 0.02)), RULE).kind is Kind.NOTHING
    assert judge(follow(Plugged(), sample(0, 1_900.0, 8.3)), RULE).kind is Kind.UNKNOWN


def test_what_is_plugged_in_after_another_is_judged_by_itself() -> None:
    plugged = Plugged()
    for second in range(60):
        plugged = follow(plugged, sample(second, 1_900.0, 8.3))
    assert judge(plugged, RULE).kind is Kind.APPLIANCE
    for second in range(60, 66):
        plugged = follow(plugged, sample(second, 0.0, 0.0))
    assert judge(plugged, RULE).kind is Kind.NOTHING
    for second in range(66, 80):
        watts = min(180.0, 60.0 * (second - 65))
        plugged = follow(plugged, sample(second, watts, watts / 230 / 0.6))
    assert judge(plugged, RULE).kind is Kind.CHARGER


@given(st.lists(st.tuples(st.floats(0, 4_000), st.floats(0, 40), st.floats(0, 300)), max_size=60))
def test_no_course_breaks_the_judgement(rows: list[tuple[float, float, float]]) -> None:
    plugged = Plugged()
    for second, (watts, amps, volts) in enumerate(rows):
        plugged = follow(plugged, sample(second, watts, amps, volts))
        found = judge(plugged, RULE)
        assert 0 <= found.confidence <= 1
        assert found.power_factor is None or 0 <= found.power_factor <= 1


def play(limits: Limits, name: str) -> Machine:
    machine = Machine(limits)
    machine.switch_on()
    rows = trace(name)
    second, index = 0, 0
    while second < rows[-1][0] and not machine.ends():
        while index + 1 < len(rows) and rows[index + 1][0] <= second:
            index += 1
        machine.sample(rows[index][1] if machine.relay_on else 0.0)
        second += 1
    return machine


@pytest.mark.parametrize("name", ["appliance-kettle.csv", "appliance-vacuum.csv"])
def test_a_wrong_appliance_is_alarmed_once_or_cut_as_configured(name: str) -> None:
    machine = play(Limits(), name)
    assert machine.reasons(FactKind.OUTLET_ALARM) == ["wrong_appliance"]
    assert machine.cuts() == []
    strict = play(Limits(wrong_appliance=WrongAppliance(action=Action.CUT)), name)
    assert strict.cuts() == ["wrong_appliance"]
    note = strict.notes(FactKind.OUTLET_CUT)[0]
    assert note.data["evidence"]["kind"] == "appliance"
    assert not strict.relay_on


@pytest.mark.parametrize("name", ["ebike-dual-pack-full.csv", "ebike-single-pack-90.csv"])
def test_no_recorded_charge_is_taken_for_an_appliance(name: str) -> None:
    limits = Limits(wrong_appliance=WrongAppliance(action=Action.CUT))
    assert play(limits, name).cuts() == []


def test_lost_polls_at_the_start_do_not_delay_the_alarm() -> None:
    machine = Machine()
    machine.switch_on()
    for seconds in [1, 2, 1, 3, 1, 1, 1]:
        machine.sample(1_800.0, after_s=seconds)
    assert machine.reasons(FactKind.OUTLET_ALARM) == []
    machine.sample(1_800.0)
    assert machine.reasons(FactKind.OUTLET_ALARM) == ["wrong_appliance"]


def test_the_alarm_is_over_when_the_appliance_is_gone() -> None:
    machine = Machine()
    machine.switch_on()
    for _ in range(30):
        machine.sample(1_900)
    for _ in range(40):
        machine.sample(0)
    assert machine.reasons(FactKind.OUTLET_ALARM_CLEARED) == ["wrong_appliance"]


def test_the_alarm_does_not_come_and_go_at_the_edge_of_a_power_factor() -> None:
    machine = Machine()
    machine.switch_on()
    for second in range(300):
        # what it is on average crosses the threshold again and again
        factor = 0.995 if second < 20 else 0.97 if second // 40 % 2 else 1.0
        machine.sample(500.0, current_a=round(500.0 / 230.0 / factor, 3))
    assert machine.reasons(FactKind.OUTLET_ALARM) == ["wrong_appliance"]
    assert machine.reasons(FactKind.OUTLET_ALARM_CLEARED) == []


def test_a_corrected_charger_without_a_soft_start_is_no_appliance_by_a_digit() -> None:
    # At a power factor of 0.989 that are 1.012 A; a meter with two digits shows 1.01.
    machine = Machine()
    machine.switch_on()
    for _ in range(30):
        machine.sample(230.3, current_a=1.01)
    assert machine.reasons(FactKind.OUTLET_ALARM) == []


def test_a_charger_on_its_way_up_from_a_pause_is_no_motor() -> None:
    machine = Machine()
    machine.switch_on()
    for power_w in [*[480.0] * 60, *[5.4] * 20, 362.0, 478.0, *[480.0] * 30]:
        machine.sample(power_w, current_a=round(power_w / 230.0 / 0.52, 2))
    assert machine.reasons(FactKind.OUTLET_ALARM) == []


def test_what_becomes_strange_later_is_told_after_the_rules_delay_from_then() -> None:
    machine = Machine()
    machine.switch_on()
    for _ in range(60):
        machine.sample(500.0, current_a=round(500.0 / 230.0 / 0.6, 2))
    first: dict[str, int] = {}
    for second in range(60):
        power_w = 440.0 if second % 2 else 500.0
        machine.sample(power_w, current_a=round(power_w / 230.0 / 0.6, 2))
        if judge(machine.state.plugged, WrongAppliance()).kind is Kind.APPLIANCE:
            first.setdefault("judged", second)
        if machine.reasons(FactKind.OUTLET_ALARM):
            first.setdefault("told", second)
    assert first["told"] - first["judged"] == WrongAppliance().delay_s


def test_random_chargers_are_not_taken_for_appliances() -> None:
    rng = random.Random(7)
    for _ in range(300):
        settings = ChargerSettings(
            plateau_w=rng.uniform(20, 900),
            power_factor=rng.uniform(0.45, 0.96),
            ramp_s=rng.uniform(0.1, 10),
            start_soc=rng.uniform(0, 0.97),
        )
        found = seen(CcCvCharger(settings), 30, rng.uniform(160, 253))
        assert found.kind is not Kind.APPLIANCE, settings
