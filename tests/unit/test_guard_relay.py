"""A relay that does what it was not told to, or not what it was."""

from __future__ import annotations

from gateway.core.facts import FactKind
from gateway.guard.effects import SwitchOff, SwitchOn
from gateway.guard.events import (
    LeaseDurable,
    RequestOff,
    RequestReset,
    Written,
)
from gateway.guard.limits import (
    Action,
    Limits,
    Welded,
)
from gateway.guard.model import WriteResult
from gateway.guard.state import Phase
from tests.support.machine import Machine, charging, refusal_codes


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


def test_a_module_that_can_be_read_but_refuses_every_off_is_cut() -> None:
    machine = charging(Machine(answers=False))
    machine.obeys = False
    machine.feed(RequestOff(actor="x"))
    for _ in range(8):
        machine.feed(Written(wanted_on=False, result=WriteResult.FAILED))
        machine.sample(150)
    assert machine.cuts() == ["no_reaction"]


def test_an_off_that_waited_for_a_lost_bus_is_no_fault_of_the_relay() -> None:
    machine = charging(Machine(answers=False))
    machine.obeys = False
    machine.feed(RequestOff(actor="x"))
    for _ in range(30):
        machine.feed(Written(wanted_on=False, result=WriteResult.FAILED))
        machine.tick()
    machine.sample(150)
    machine.feed(Written(wanted_on=False, result=WriteResult.DONE))
    machine.sample(150)
    machine.relay_on = False
    machine.sample(0)
    assert machine.cuts() == []
    assert machine.state.phase is Phase.OFF


def test_a_device_that_falls_silent_after_an_on_is_silent_and_not_accused() -> None:
    machine = Machine(obeys=False)
    machine.sample()
    machine.ask_on()
    machine.feed(LeaseDurable(lease_id="lease-1"))
    machine.sample(0, after_s=0.01)
    for _ in range(8):
        machine.tick()
    assert machine.ends() == ["silence"]
    assert machine.state.latch is None


def test_a_meter_of_power_alone_can_be_seen_off() -> None:
    machine = Machine()
    machine.part(relay_on=False, power_w=0.0)
    machine.ask_on()
    machine.feed(LeaseDurable(lease_id="lease-1"))
    machine.part(relay_on=True, power_w=150.0)
    assert machine.reasons(FactKind.OUTLET_ON) == [""]
    machine.feed(RequestOff(actor="x"))
    machine.part(relay_on=False, power_w=150.0)
    assert machine.state.stop is not None
    machine.part(relay_on=False, power_w=0.0)
    assert machine.state.phase is Phase.OFF
    for _ in range(4):
        machine.part(relay_on=False, power_w=150.0)
    assert machine.cuts() == ["welded"]


def test_an_old_word_of_the_relay_does_not_make_a_weld() -> None:
    machine = charging(Machine())
    machine.relay_on = False
    machine.sample(0, relay_on=False)
    assert machine.ends() == ["interrupted"]
    for _ in range(5):
        machine.part(current_a=0.6, power_w=138.0)
    assert machine.cuts() == []


def test_a_current_seen_before_an_off_says_nothing_about_the_time_after_it() -> None:
    machine = Machine()
    machine.sample(0)
    machine.sample(0, current_a=0.06)
    machine.relay_on = True
    machine.sample(0)
    machine.sample(0)
    assert machine.state.phase is Phase.OFF
    machine.sample(0, current_a=0.06)
    assert machine.cuts() == []


def test_an_alarm_of_a_weld_does_not_flood() -> None:
    machine = charging(Machine(Limits(welded=Welded(action=Action.ALARM))))
    machine.feed(RequestOff(actor="x"))
    for _ in range(120):
        machine.sample(150, relay_on=False)
    assert machine.reasons(FactKind.OUTLET_ALARM) == ["welded"]
    assert machine.reasons(FactKind.OUTLET_ALARM_CLEARED) == []


def test_a_fight_with_another_master_is_told_once() -> None:
    machine = Machine()
    for _ in range(30):
        machine.relay_on = True
        machine.sample(0)
        machine.sample(0)
    assert machine.reasons(FactKind.OUTLET_ALARM) == ["no_lease"]


def test_the_on_is_not_sent_again_for_a_write_that_succeeded() -> None:
    machine = Machine(obeys=False, answers=False)
    machine.sample()
    machine.ask_on()
    machine.feed(LeaseDurable(lease_id="lease-1"))
    assert machine.feed(Written(wanted_on=True, result=WriteResult.DONE)) == ()
    assert [e for _, e in machine.effects if isinstance(e, SwitchOn)] == [
        SwitchOn(for_ms=36_000_000)
    ]


def test_a_relay_has_its_time_from_when_it_heard_the_off() -> None:
    machine = charging(Machine(answers=False))
    machine.obeys = False
    machine.feed(RequestOff(actor="x"))
    machine.sample(150)
    for _ in range(6):
        machine.tick()
    machine.feed(Written(wanted_on=False, result=WriteResult.DONE))
    machine.sample(150, after_s=0.5)
    assert machine.cuts() == []
