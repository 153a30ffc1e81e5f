"""Granting and switching on: nothing before the lease is written down, and nothing unsafe."""

from __future__ import annotations

import pytest

from gateway.core.facts import FactKind
from gateway.guard.effects import KeepOn, SwitchOff, SwitchOn
from gateway.guard.events import (
    LeaseDurable,
    LeaseNotDurable,
    Renew,
    RequestOff,
)
from gateway.guard.limits import (
    Action,
    Limits,
    LongestTime,
    NoReaction,
    Silence,
)
from gateway.guard.state import Phase
from tests.support.machine import Machine, charging, refusal_codes

HOT = 90.0


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


def test_off_while_the_lease_is_being_written_down() -> None:
    machine = Machine()
    machine.sample()
    machine.ask_on()
    machine.feed(RequestOff(actor="x", request_id="r2"))
    assert machine.ends() == ["requested"]
    machine.feed(LeaseDurable(lease_id="lease-1"))
    assert not machine.relay_on
    assert machine.notes(FactKind.OUTLET_OFF)[0].data["request_id"] == "r2"


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


@pytest.mark.parametrize(
    ("sample", "reason"),
    [
        ({"voltage_v": 290.0}, "overvoltage"),
        ({"temperature_c": 95.0}, "overtemperature"),
        ({"alarm": True}, "device_alarm"),
        ({"current_a": 0.5}, "welded"),
    ],
)
def test_what_comes_up_while_the_lease_is_written_down_forbids_the_on(
    sample: dict[str, float], reason: str
) -> None:
    machine = Machine()
    machine.sample()
    machine.ask_on()
    machine.sample(**sample)  # type: ignore[arg-type]
    assert machine.feed(LeaseDurable(lease_id="lease-1"))
    assert not machine.relay_on
    assert machine.ends() == [reason]


def test_a_lease_that_was_over_before_it_was_written_down_switches_nothing_on() -> None:
    machine = Machine()
    machine.sample()
    machine.ask_on(machine.lease(for_s=1))
    machine.sample(after_s=2)
    machine.feed(LeaseDurable(lease_id="lease-1"))
    assert not machine.relay_on
    assert machine.ends() == ["lease_over"]


def test_an_outlet_that_fell_silent_meanwhile_is_not_switched_on() -> None:
    machine = Machine(Limits(silence=Silence(delay_s=2)))
    machine.sample()
    machine.ask_on()
    machine.now_ms += 2_000
    machine.feed(LeaseDurable(lease_id="lease-1"))
    assert not machine.relay_on
    assert machine.ends() == ["silence"]


def test_a_relay_found_closed_before_it_was_told_to_is_opened() -> None:
    machine = Machine()
    machine.sample()
    machine.ask_on()
    machine.relay_on = True
    effects = machine.sample(100)
    assert effects[0] == SwitchOff(urgent=True)
    assert machine.ends() == ["interrupted"]
    assert machine.reasons(FactKind.OUTLET_ALARM) == ["no_lease"]


def test_an_overload_seen_before_the_on_is_not_held_against_it() -> None:
    machine = Machine()
    machine.sample()
    machine.ask_on()
    machine.part(power_w=5_000.0, current_a=0.0)
    machine.now_ms += 1_500
    machine.part(relay_on=False, current_a=0.0)
    machine.feed(LeaseDurable(lease_id="lease-1"))
    machine.sample(5_000, current_a=1.0)
    assert machine.state.phase is Phase.ON, "it has 3 s of its own"
    for _ in range(3):
        machine.sample(5_000, current_a=1.0)
    assert machine.cuts() == ["overpower"]


def test_a_start_that_only_alarms_of_no_reaction_still_hears_silence() -> None:
    machine = Machine(Limits(no_reaction=NoReaction(action=Action.ALARM)), obeys=False)
    machine.sample()
    machine.ask_on()
    machine.feed(LeaseDurable(lease_id="lease-1"))
    for _ in range(20):
        machine.sample(0)
    assert machine.state.alarms == {"no_reaction"}
    for _ in range(8):
        machine.tick()
    assert machine.ends() == ["silence"]


def test_the_alarm_of_no_reaction_is_over_when_the_relay_closes() -> None:
    machine = Machine(Limits(no_reaction=NoReaction(action=Action.ALARM)), obeys=False)
    machine.sample()
    machine.ask_on()
    machine.feed(LeaseDurable(lease_id="lease-1"))
    for _ in range(10):
        machine.sample(0)
    machine.relay_on = True
    machine.sample(100)
    assert machine.state.alarms == frozenset()
