"""The limits of one outlet, rule by rule."""

from __future__ import annotations

import pytest

from gateway.core.facts import FactKind
from gateway.core.reasons import Reason
from gateway.guard.effects import SwitchOff
from gateway.guard.events import (
    RequestOff,
)
from gateway.guard.limits import (
    AboveCurrent,
    AbovePower,
    AboveVoltage,
    Action,
    Curve,
    Full,
    InverseTime,
    Limits,
    NoReaction,
    Release,
    Rule,
    Silence,
    Unplugged,
)
from gateway.guard.rules import inverse_time_s
from gateway.guard.state import Phase
from tests.support.machine import Machine, charging, refusal_codes

HOT = 90.0


def test_instantaneous_overcurrent_is_cut_in_the_same_step() -> None:
    machine = charging(Machine())
    effects = machine.sample(4000)
    assert effects[0] == SwitchOff(urgent=True)
    assert machine.cuts() == ["overcurrent_instant"]
    assert machine.ends() == ["overcurrent_instant"]
    machine.sample(0)
    assert machine.state.phase is Phase.OFF
    assert refusal_codes(machine.ask_on()) == ["latched"]


def test_definite_time_needs_its_whole_delay_without_a_break() -> None:
    machine = charging(Machine(Limits(overcurrent=AboveCurrent(above_a=5, delay_s=3))))
    for _ in range(3):
        machine.sample(1400)
    machine.sample(1000)
    for _ in range(3):
        machine.sample(1400)
    assert machine.cuts() == []
    machine.sample(1400)
    assert machine.cuts() == ["overcurrent"]


@pytest.mark.parametrize(
    ("curve", "multiple", "expected_s"),
    [
        # t = TMS k / (M^a - 1), worked by hand from IEC 60255-151 with TMS = 1.
        (Curve.STANDARD_INVERSE, 2.0, 10.03),
        (Curve.VERY_INVERSE, 2.0, 13.5),
        (Curve.EXTREMELY_INVERSE, 3.0, 10.0),
        (Curve.LONG_TIME_INVERSE, 5.0, 30.0),
    ],
)
def test_inverse_time_curves(curve: Curve, multiple: float, expected_s: float) -> None:
    rule = InverseTime(pickup_a=4.0, curve=curve, time_multiplier=1.0)
    assert inverse_time_s(rule, 4.0 * multiple) == pytest.approx(expected_s, rel=0.001)
    assert inverse_time_s(rule, 4.0) is None


def test_inverse_time_trips_after_its_time_and_resets_below_pick_up() -> None:
    rule = InverseTime(pickup_a=4.0, curve=Curve.VERY_INVERSE, time_multiplier=1.0)
    limits = Limits(overcurrent_inverse=rule, overcurrent=None, overpower=None)
    machine = charging(Machine(limits), power_w=230.0)
    for _ in range(13):
        machine.sample(8 * 230)
    machine.sample(230)
    for _ in range(13):
        machine.sample(8 * 230)
    assert machine.cuts() == []
    machine.sample(8 * 230)
    assert machine.cuts() == ["overcurrent_inverse"]


def test_the_lease_can_only_tighten_the_power_limit() -> None:
    limits = Limits(overpower=AbovePower(above_w=1000))
    machine = Machine(limits)
    machine.switch_on(machine.lease(power_w=200))
    machine.sample(250)
    assert machine.cuts() == ["overpower"]
    other = Machine(limits)
    other.switch_on(other.lease(power_w=5000))
    other.sample(1100)
    assert other.cuts() == ["overpower"]


def test_actions_are_configuration() -> None:
    rule = AboveCurrent(above_a=5, action=Action.ALARM)
    machine = charging(Machine(Limits(overcurrent_instant=rule, overcurrent=None)))
    machine.sample(1500)
    assert machine.reasons(FactKind.OUTLET_ALARM) == ["overcurrent_instant"]
    machine.sample(1500)
    assert machine.reasons(FactKind.OUTLET_ALARM) == ["overcurrent_instant"]
    for _ in range(12):
        machine.sample(150)
    assert machine.reasons(FactKind.OUTLET_ALARM_CLEARED) == ["overcurrent_instant"]
    assert machine.state.phase is Phase.ON
    rule = AboveCurrent(above_a=5, action=Action.OFF)
    machine = charging(Machine(Limits(overcurrent_instant=rule)))
    machine.sample(1500)
    assert machine.ends() == ["overcurrent_instant"]
    assert machine.state.latch is None


def test_overtemperature_needs_thirty_seconds() -> None:
    machine = charging(Machine())
    for _ in range(30):
        machine.sample(150, temperature_c=HOT)
    assert machine.cuts() == []
    machine.sample(150, temperature_c=HOT)
    assert machine.cuts() == ["overtemperature"]


def test_voltage_is_released_by_itself_after_the_cool_down() -> None:
    machine = charging(Machine())
    for _ in range(3):
        machine.sample(150, voltage_v=280)
    assert machine.cuts() == ["overvoltage"]
    for _ in range(30):
        machine.sample(0)
    machine.sample(0, voltage_v=275)
    for _ in range(60):
        machine.sample(0)
    assert machine.state.latch is not None
    machine.sample(0)
    machine.sample(0)
    assert machine.state.latch is None
    assert machine.reasons(FactKind.OUTLET_RELEASED) == ["overvoltage"]
    assert machine.state.phase is Phase.OFF, "released is not switched on"


def test_the_modules_own_alarm_is_heard() -> None:
    machine = charging(Machine())
    machine.sample(150, alarm=True)
    assert machine.cuts() == ["device_alarm"]


def test_a_rule_can_be_switched_off() -> None:
    limits = Limits(unplugged=None, no_load=None, full=None)
    machine = charging(Machine(limits))
    for _ in range(4000):
        machine.sample(0)
    assert machine.ends() == []


@pytest.mark.parametrize(
    "build",
    [
        lambda: Rule(delay_s=-1),
        lambda: Rule(delay_s=float("nan")),
        lambda: AboveCurrent(above_a=0),
        lambda: AboveCurrent(above_a=float("inf")),
        lambda: Unplugged(below_w=1000),
        lambda: NoReaction(delay_s=0),
        lambda: InverseTime(pickup_a=1, time_multiplier=0),
    ],
)
def test_impossible_limits_are_refused(build: object) -> None:
    with pytest.raises(ValueError, match="is"):
        build()  # type: ignore[operator]


def test_every_stop_reason_of_the_ap3000_family_can_be_expressed() -> None:
    known = {
        "full", "longest_time", "lease_over", "lease_energy", "unplugged", "overpower",
        "requested", "overcurrent_inverse", "low_power", "ambient_hot", "overtemperature",
        "overcurrent", "no_mains", "self_test", "water", "fire", "storage", "overvoltage",
        "undervoltage", "no_load",
    }  # fmt: skip
    assert known <= {reason.value for reason in Reason}


def test_absurd_values_are_cut_and_not_charged_for() -> None:
    machine = charging(Machine())
    machine.sample(3e38)
    assert machine.cuts() == ["overcurrent_instant"]
    assert machine.notes(FactKind.LEASE_ENDED)[0].data["energy_mwh"] < 10_000


@pytest.mark.parametrize("rule", [None, AbovePower(above_w=1_000, action=Action.ALARM)])
def test_the_leases_own_power_limit_is_kept_where_the_rule_is_off(rule: AbovePower | None) -> None:
    machine = Machine(Limits(overpower=rule))
    machine.switch_on(machine.lease(power_w=200))
    for _ in range(5):
        machine.sample(250)
    assert machine.ends() == ["overpower"]


@pytest.mark.parametrize("limit", [{"energy_mwh": 1_000}, {"power_w": 100.0}])
def test_limits_that_cannot_be_measured_are_not_promised(limit: dict[str, int]) -> None:
    machine = Machine(metered=False)
    machine.part(relay_on=False)
    assert refusal_codes(machine.ask_on(machine.lease(**limit))) == ["not_metered"]  # type: ignore[arg-type]
    assert refusal_codes(machine.ask_on()) == []
    machine = Machine()
    machine.part(relay_on=False, current_a=0.0)
    assert refusal_codes(machine.ask_on(machine.lease(**limit))) == ["not_metered"]  # type: ignore[arg-type]


def test_the_cool_down_needs_the_quantity_and_no_gap() -> None:
    volts = AboveVoltage(above_v=270, release=Release.AUTOMATIC, cooldown_s=30)
    machine = charging(Machine(Limits(overvoltage=volts)))
    machine.sample(150, voltage_v=280)
    machine.sample(0)
    assert machine.cuts() == ["overvoltage"]
    for _ in range(60):
        machine.part(relay_on=False)
    assert machine.state.latch is not None, "the voltage was not measured"
    machine.sample(0)
    machine.sample(0, after_s=600)
    assert machine.state.latch is not None, "nobody knows what was in between"
    for _ in range(30):
        machine.sample(0)
    assert machine.state.latch is None


def test_an_alarm_of_inverse_time_does_not_flood() -> None:
    rule = InverseTime(pickup_a=4, action=Action.ALARM)
    limits = Limits(overcurrent_inverse=rule, overcurrent=None, wrong_appliance=None)
    machine = charging(Machine(limits))
    for _ in range(120):
        machine.sample(1_500)
    assert machine.reasons(FactKind.OUTLET_ALARM) == ["overcurrent_inverse"]
    assert machine.reasons(FactKind.OUTLET_ALARM_CLEARED) == []
    for _ in range(12):
        machine.sample(150)
    assert machine.reasons(FactKind.OUTLET_ALARM_CLEARED) == ["overcurrent_inverse"]


def test_alarms_about_a_charge_end_with_it() -> None:
    machine = charging(Machine(Limits(full=Full(action=Action.ALARM, delay_s=60))), seconds=300)
    for _ in range(100):
        machine.sample(5)
    assert machine.state.alarms == {"full"}
    machine.feed(RequestOff(actor="x"))
    machine.sample(0)
    assert machine.state.alarms == frozenset()


def test_definite_time_survives_lost_polls() -> None:
    machine = charging(Machine(Limits(overcurrent=AboveCurrent(above_a=5, delay_s=3))))
    machine.sample(1_400)
    machine.tick()
    machine.tick()
    machine.sample(1_400)
    assert machine.cuts() == ["overcurrent"]


def test_a_gap_that_nobody_watched_is_not_held_against_the_load() -> None:
    rule = InverseTime(pickup_a=4, time_multiplier=1.0)
    silence = Silence(delay_s=5, action=Action.ALARM)
    machine = charging(Machine(Limits(overcurrent_inverse=rule, silence=silence)))
    machine.sample(8 * 230, after_s=600)
    assert machine.cuts() == []
    assert machine.state.inverse_share == pytest.approx(5 / 13.5, rel=0.01)
