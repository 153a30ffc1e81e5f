"""The protection of one outlet, case by case."""

from __future__ import annotations

import pytest

from gateway.core.facts import FactKind
from gateway.core.reasons import Reason
from gateway.guard.effects import KeepOn, Refusal, SwitchOff, SwitchOn
from gateway.guard.energy import total_mwh
from gateway.guard.events import (
    Alive,
    LeaseDurable,
    LeaseNotDurable,
    Lock,
    Renew,
    RequestOff,
    RequestReset,
    Tick,
    Unlock,
    Written,
)
from gateway.guard.limits import (
    AboveCurrent,
    AbovePower,
    Action,
    Curve,
    Full,
    InverseTime,
    Limits,
    LongestTime,
    NoReaction,
    Release,
    Rule,
    Silence,
    Unplugged,
)
from gateway.guard.model import Sample, WriteResult
from gateway.guard.rules import inverse_time_s
from gateway.guard.state import Phase
from tests.support.machine import Machine

HOT = 90.0


def charging(machine: Machine, power_w: float = 150.0, seconds: int = 120) -> Machine:
    machine.switch_on()
    for _ in range(seconds):
        machine.sample(power_w)
    assert machine.state.phase is Phase.ON, machine.ends()
    return machine


def refusal_codes(effects: tuple[object, ...]) -> list[str]:
    return [e.code for e in effects if isinstance(e, Refusal)]


# Granting


def test_nothing_is_switched_before_the_lease_is_written_down() -> None:
    machine = Machine()
    machine.sample()
    lease = machine.lease()
    effects = machine.ask_on(lease)
    assert [type(e).__name__ for e in effects] == ["Note"]
    assert machine.feed(LeaseDurable(lease_id="another")) == ()
    assert machine.feed(LeaseDurable(lease_id=lease.id)) == (SwitchOn(for_ms=36_000_000),)


def test_a_lease_that_cannot_be_written_down_is_taken_back() -> None:
    machine = Machine()
    machine.sample()
    lease = machine.lease()
    machine.ask_on(lease)
    machine.feed(LeaseNotDurable(lease_id=lease.id))
    assert machine.ends() == ["storage"]
    assert machine.state.phase is Phase.OFF
    machine.feed(LeaseDurable(lease_id=lease.id))
    assert not machine.relay_on


def test_a_lease_that_nobody_writes_down_is_taken_back_in_time() -> None:
    machine = Machine()
    machine.sample()
    machine.ask_on()
    machine.tick(4)
    assert machine.ends() == []
    machine.tick(2)
    assert machine.ends() == ["storage"]


def test_an_outlet_that_was_never_heard_or_not_lately_is_not_switched_on() -> None:
    machine = Machine()
    assert refusal_codes(machine.ask_on()) == ["device_silent"]
    machine.sample()
    machine.now_ms += 60_000
    assert refusal_codes(machine.ask_on()) == ["device_silent"]
    machine.sample()
    assert refusal_codes(machine.ask_on()) == []


def test_one_lease_at_a_time() -> None:
    machine = charging(Machine())
    assert refusal_codes(machine.ask_on()) == ["in_use"]


@pytest.mark.parametrize(
    ("sample", "code"),
    [
        ({"voltage_v": 290.0}, "overvoltage"),
        ({"voltage_v": 80.0}, "undervoltage"),
        ({"temperature_c": HOT}, "overtemperature"),
        ({"alarm": True}, "device_alarm"),
    ],
)
def test_what_forbids_a_start(sample: dict[str, float], code: str) -> None:
    machine = Machine()
    machine.sample(**sample)  # type: ignore[arg-type]
    assert refusal_codes(machine.ask_on()) == [code]


def test_on_is_sent_again_only_while_it_is_the_same_decision() -> None:
    machine = Machine(obeys=False)
    machine.sample()
    lease = machine.lease()
    machine.ask_on(lease)
    machine.feed(LeaseDurable(lease_id=lease.id))
    failed = Written(wanted_on=True, result=WriteResult.FAILED)
    assert machine.feed(failed) == (SwitchOn(for_ms=36_000_000),)
    assert machine.feed(failed) == (SwitchOn(for_ms=36_000_000),)
    assert machine.feed(failed) == ()


def test_an_on_that_was_not_sent_in_time_ends_the_lease_without_a_latch() -> None:
    machine = Machine(obeys=False)
    machine.sample()
    lease = machine.lease()
    machine.ask_on(lease)
    machine.feed(LeaseDurable(lease_id=lease.id))
    machine.feed(Written(wanted_on=True, result=WriteResult.DROPPED))
    assert machine.ends() == ["no_reaction"]
    assert machine.state.latch is None


# Electrical protection


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


# How a charge ends by itself


def test_unplugged_after_a_minute_at_zero() -> None:
    machine = charging(Machine())
    for _ in range(60):
        machine.sample(0)
    assert machine.ends() == []
    machine.sample(0)
    assert machine.ends() == ["unplugged"]
    assert machine.state.latch is None


@pytest.mark.parametrize("dip_w", [0.0, 40.0, 90.0])
def test_a_change_over_and_a_re_top_trip_nothing(dip_w: float) -> None:
    machine = charging(Machine(), power_w=170, seconds=900)
    for _ in range(20):
        machine.sample(dip_w)
    for _ in range(900):
        machine.sample(170)
    for _ in range(600):
        machine.sample(22)
    for _ in range(30):
        machine.sample(64)
    for _ in range(300):
        machine.sample(22)
    assert machine.ends() == []
    for _ in range(62):
        machine.sample(0)
    assert machine.ends() == ["full"]
    assert machine.cuts() == []


def test_floating_is_full_and_a_rise_starts_the_time_anew() -> None:
    limits = Limits(full=Full(delay_s=600))
    machine = charging(Machine(limits), power_w=170, seconds=900)
    for _ in range(590):
        machine.sample(2)
    machine.sample(9)
    for _ in range(595):
        machine.sample(2)
    assert machine.ends() == []
    for _ in range(10):
        machine.sample(2)
    assert machine.ends() == ["full"]


def test_a_last_stage_above_the_float_ends_after_its_own_time() -> None:
    limits = Limits(full=Full(taper_delay_s=7_200))
    machine = charging(Machine(limits), power_w=170, seconds=900)
    for _ in range(7_190):
        machine.sample(28)
    assert machine.ends() == []
    for _ in range(15):
        machine.sample(28)
    assert machine.ends() == ["full"]


def test_zero_on_the_plateau_of_the_second_pack_is_unplugged() -> None:
    machine = charging(Machine(), power_w=170, seconds=900)
    for _ in range(120):
        machine.sample(20)
    for _ in range(900):
        machine.sample(170)
    for _ in range(62):
        machine.sample(0)
    assert machine.ends() == ["unplugged"]


def test_no_load_after_the_start() -> None:
    machine = Machine()
    machine.switch_on()
    for _ in range(1795):
        machine.sample(2.0)
    assert machine.ends() == []
    for _ in range(10):
        machine.sample(2.0)
    assert machine.ends() == ["no_load"]


def test_a_rule_can_be_switched_off() -> None:
    limits = Limits(unplugged=None, no_load=None, full=None)
    machine = charging(Machine(limits))
    for _ in range(4000):
        machine.sample(0)
    assert machine.ends() == []


# The lease's own limits


def test_the_lease_ends_in_time_with_samples_and_without() -> None:
    machine = Machine()
    machine.switch_on(machine.lease(for_s=10))
    for _ in range(10):
        machine.sample(150)
    assert machine.ends() == ["lease_over"]
    machine = Machine(Limits(silence=Silence(delay_s=100)))
    machine.switch_on(machine.lease(for_s=10))
    for _ in range(10):
        machine.tick()
    assert machine.ends() == ["lease_over"]


def test_renewing_moves_the_end_but_not_the_longest_time() -> None:
    limits = Limits(longest_time=Limits().longest_time.__class__(delay_s=30))
    machine = Machine(limits)
    machine.switch_on(machine.lease(for_s=10))
    machine.feed(Renew(lease_id="lease-1", until_ms=machine.now_ms + 600_000, actor="x"))
    for _ in range(25):
        machine.sample(150)
    assert machine.ends() == []
    for _ in range(10):
        machine.sample(150)
    assert machine.ends() == ["longest_time"]
    refused = machine.feed(Renew(lease_id="lease-1", until_ms=machine.now_ms + 1, actor="x"))
    assert refusal_codes(refused) == ["not_on"]


def test_the_energy_limit_is_kept_by_the_guard() -> None:
    machine = Machine()
    machine.switch_on(machine.lease(energy_mwh=1_000))
    for _ in range(100):
        machine.sample(360)
    assert machine.ends() == ["lease_energy"]
    note = machine.notes(FactKind.LEASE_ENDED)[0]
    assert 1_000 <= note.data["energy_mwh"] <= 1_100


# Silence, reaction, weld


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


def test_a_relay_that_does_not_close_is_cut() -> None:
    machine = Machine(obeys=False)
    machine.sample()
    lease = machine.lease()
    machine.ask_on(lease)
    machine.feed(LeaseDurable(lease_id=lease.id))
    for _ in range(6):
        machine.sample(0)
    assert machine.cuts() == ["no_reaction"]


def test_a_relay_that_does_not_open_is_cut_and_told_again_for_ever() -> None:
    machine = charging(Machine())
    machine.obeys = False
    machine.feed(RequestOff(actor="x"))
    for _ in range(60):
        machine.sample(150)
    assert machine.cuts() == ["no_reaction"]
    assert machine.state.phase is Phase.STOPPING
    offs = list(machine.offs())
    assert [off.urgent for off in offs[:3]] == [False, True, True]
    assert 55 <= len(offs) <= 62
    machine.obeys, machine.relay_on = True, False
    machine.sample(0)
    assert machine.state.stop is None


def test_current_through_an_open_relay_is_welded_and_only_released_on_site() -> None:
    machine = charging(Machine())
    machine.feed(RequestOff(actor="x"))
    machine.relay_on = False
    for _ in range(5):
        machine.sample(150)
    assert machine.cuts() == ["welded"]
    machine.sample(0)
    assert refusal_codes(machine.feed(RequestReset(actor="x", on_site=False))) == ["on_site_only"]
    assert refusal_codes(machine.feed(RequestReset(actor="x", on_site=True))) == []
    assert machine.state.latch is None


def test_a_meter_that_lags_one_sample_is_not_a_weld() -> None:
    machine = charging(Machine())
    machine.feed(RequestOff(actor="x"))
    machine.sample(150)
    machine.sample(0)
    assert machine.cuts() == []
    assert machine.state.phase is Phase.OFF


def test_a_relay_welds_while_idle() -> None:
    machine = Machine()
    machine.sample(0)
    for _ in range(4):
        machine.sample(100, relay_on=False)
    assert machine.cuts() == ["welded"]


def test_found_on_without_a_lease_is_switched_off() -> None:
    machine = Machine(relay_on=True)
    effects = machine.sample(100)
    assert effects[0] == SwitchOff(urgent=True)
    assert machine.reasons(FactKind.OUTLET_ALARM) == ["no_lease"]
    machine.sample(0)
    assert machine.state.phase is Phase.OFF
    for _ in range(9):
        machine.sample(0)
    assert machine.reasons(FactKind.OUTLET_ALARM_CLEARED) == []
    machine.sample(0)
    assert machine.reasons(FactKind.OUTLET_ALARM_CLEARED) == ["no_lease"]


def test_a_relay_that_opens_by_itself_stays_open() -> None:
    machine = charging(Machine())
    machine.relay_on = False
    machine.sample(0)
    assert machine.ends() == ["interrupted"]
    for _ in range(10):
        machine.sample(0)
    assert not [e for _, e in machine.effects if isinstance(e, SwitchOn)][1:]


def test_an_off_that_nothing_answers_is_said_once_and_sent_for_ever() -> None:
    machine = charging(Machine())
    machine.obeys = False
    machine.feed(RequestOff(actor="x"))
    for _ in range(30):
        machine.tick()
    assert machine.reasons(FactKind.OUTLET_ALARM) == ["silence"]
    assert len(list(machine.offs())) >= 29
    machine.obeys, machine.relay_on = True, False
    machine.sample(0)
    assert machine.reasons(FactKind.OUTLET_ALARM_CLEARED) == ["silence"]


def test_a_failed_off_is_sent_three_times_at_once() -> None:
    machine = charging(Machine(answers=False))
    machine.feed(RequestOff(actor="x"))
    failed = Written(wanted_on=False, result=WriteResult.FAILED)
    assert machine.feed(failed) == (SwitchOff(urgent=True),)
    assert machine.feed(failed) == (SwitchOff(urgent=True),)
    assert machine.feed(failed) == ()
    assert machine.tick(1.0) == (SwitchOff(urgent=False),)


# Locks, resets, offs


def test_a_lock_ends_what_runs_and_refuses_what_comes() -> None:
    machine = charging(Machine())
    machine.feed(Lock(scope="pile/n1", actor="x"))
    machine.feed(Lock(scope="site/demo", actor="x"))
    assert machine.ends() == ["locked"]
    machine.sample(0)
    machine.feed(Unlock(scope="pile/n1"))
    assert refusal_codes(machine.ask_on()) == ["locked"]
    machine.feed(Unlock(scope="site/demo"))
    assert refusal_codes(machine.ask_on()) == []


def test_off_of_an_outlet_that_is_off_has_nothing_to_do_unless_nobody_knows() -> None:
    machine = Machine()
    machine.feed(RequestOff(actor="x"))
    assert [*machine.offs()], "never heard: it is told to go off all the same"
    machine.sample(0)
    assert refusal_codes(machine.feed(RequestOff(actor="x"))) == ["nothing_to_do"]


def test_off_while_the_lease_is_being_written_down() -> None:
    machine = Machine()
    machine.sample()
    machine.ask_on()
    machine.feed(RequestOff(actor="x", request_id="r2"))
    assert machine.ends() == ["requested"]
    machine.feed(LeaseDurable(lease_id="lease-1"))
    assert not machine.relay_on
    assert machine.notes(FactKind.OUTLET_OFF)[0].data["request_id"] == "r2"


def test_reset_needs_a_latch_and_an_outlet_that_is_off() -> None:
    machine = charging(Machine())
    assert refusal_codes(machine.feed(RequestReset(actor="x", on_site=True))) == ["nothing_to_do"]
    machine.obeys = False
    machine.sample(5000)
    assert refusal_codes(machine.feed(RequestReset(actor="x", on_site=True))) == ["not_off"]


def test_the_stricter_latch_stays() -> None:
    machine = charging(Machine())
    machine.sample(5000)
    assert machine.cuts() == ["overcurrent_instant"]
    for _ in range(4):
        machine.sample(500, relay_on=False)
    assert machine.cuts() == ["overcurrent_instant", "welded"]
    assert machine.state.latch is not None
    assert machine.state.latch.release is Release.ON_SITE


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


# Devices that tell changes by themselves, and devices with a timer of their own


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


def test_the_outlets_own_timer_is_told_how_long_the_lease_may_last() -> None:
    machine = Machine(limits=Limits(longest_time=LongestTime(delay_s=7_200)))
    machine.sample()
    lease = machine.lease(for_s=600)
    machine.ask_on(lease)
    machine.now_ms += 1_000
    assert machine.feed(LeaseDurable(lease_id=lease.id)) == (SwitchOn(for_ms=599_000),)
    machine.sample(150)
    effects = machine.feed(
        Renew(lease_id=lease.id, until_ms=machine.now_ms + 86_400_000, actor="x")
    )
    assert effects[-1] == KeepOn(for_ms=7_200_000 - (machine.now_ms - lease.granted_ms))


# A meter that stands still


def test_a_meter_that_shows_the_very_same_for_ten_minutes_is_told_once() -> None:
    machine = charging(Machine(), seconds=30)
    for _ in range(620):
        machine.sample(150.0)
    assert machine.reasons(FactKind.OUTLET_ALARM) == ["frozen_meter"]
    assert machine.ends() == []
    for second in range(40):
        machine.sample(150.0 + second % 2)
    assert machine.reasons(FactKind.OUTLET_ALARM_CLEARED) == ["frozen_meter"]


def test_a_meter_is_told_that_stands_still_although_its_voltage_is_asked_seldom() -> None:
    machine = charging(Machine(), seconds=30)
    for _ in range(620):
        machine.now_ms += 1_000
        at_ms = machine.now_ms
        machine.feed(
            Sample(at_ms=at_ms, utc_ms=at_ms, current_a=0.65, power_w=150.0, relay_on=True)
        )
    assert machine.reasons(FactKind.OUTLET_ALARM) == ["frozen_meter"]


def test_at_light_load_a_voltage_that_used_to_move_is_told_when_it_stands() -> None:
    machine = Machine()
    for second in range(60):
        machine.sample(0.0, voltage_v=230.0 + second % 2 / 10)
    machine.switch_on()
    for second in range(30):
        machine.sample(3.0, voltage_v=230.0 + second % 2 / 10)
    for _ in range(640):
        machine.sample(3.0, voltage_v=230.1)
    assert machine.reasons(FactKind.OUTLET_ALARM) == ["frozen_meter"]


@pytest.mark.parametrize("moves_every_s", [None, 300])
def test_at_light_load_quiet_mains_prove_nothing(moves_every_s: int | None) -> None:
    machine = Machine()
    machine.switch_on()
    machine.sample(150.0)
    for second in range(1_700):
        moved = moves_every_s is not None and second // moves_every_s % 2
        machine.sample(5.0, voltage_v=230.1 if moved else 230.0)
    assert machine.reasons(FactKind.OUTLET_ALARM) == []


def test_a_last_digit_that_moves_is_enough_to_be_believed() -> None:
    machine = charging(Machine(), seconds=30)
    for second in range(1_500):
        machine.sample(150.0, voltage_v=230.0 + (second // 500) * 0.1)
    assert machine.reasons(FactKind.OUTLET_ALARM) == []


def test_an_idle_outlet_and_a_meter_that_tells_changes_stand_still_by_nature() -> None:
    idle = charging(Machine(), seconds=30)
    for _ in range(700):
        idle.sample(5.0)
    assert idle.reasons(FactKind.OUTLET_ALARM) == []
    quiet = charging(Machine(), seconds=30)
    quiet.feed(Alive(quiet.now_ms))
    for _ in range(700):
        quiet.sample(150.0)
    assert quiet.reasons(FactKind.OUTLET_ALARM) == []


# What flows on at a meter that tells changes only


def flat(machine: Machine, power_w: float, seconds: int) -> None:
    """A meter tells a power once, and then nothing, as long as nothing changes."""
    machine.sample(power_w)
    for _ in range(seconds):
        machine.now_ms += 1_000
        machine.feed(Alive(machine.now_ms))


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
