"""Which OFFs go before everything else on a bus, and which leave it the time to look."""

from __future__ import annotations

import pytest

from gateway.core.reasons import Reason
from gateway.guard.effects import SwitchOff
from gateway.guard.events import Event, RequestOff, Tripped, Written
from gateway.guard.limits import AbovePower, Action, InverseTime, Limits
from gateway.guard.model import WriteResult
from gateway.guard.state import Phase
from gateway.guard.turn import UNHURRIED
from tests.support.machine import Machine

ASKED = RequestOff(actor="rider")
SMOKE = Tripped(interlock="smoke", reason=Reason.FIRE, evidence={"cause": "input"})
FAILED = Written(wanted_on=False, result=WriteResult.FAILED)


def waiting_to_go_off(limits: Limits | None = None) -> Machine:
    """Give an outlet whose requested OFF stands in the bus's queue."""
    machine = Machine(limits or Limits())
    machine.switch_on()
    machine.obeys = machine.answers = False
    assert machine.feed(ASKED)[0] == SwitchOff(urgent=False)
    return machine


def test_what_only_ends_leaves_the_bus_the_time_to_look() -> None:
    machine = Machine()
    machine.switch_on(machine.lease(for_s=10.0))
    for _ in range(15):
        machine.sample(150 if machine.relay_on else 0)
    assert machine.ends() == ["lease_over"]
    assert [off.urgent for off in machine.offs()] == [False]


def test_what_is_in_danger_goes_first() -> None:
    machine = Machine()
    machine.switch_on()
    for _ in range(5):
        machine.sample(5_000 if machine.relay_on else 0)
    assert machine.cuts() == ["overcurrent_instant"]
    assert [off.urgent for off in machine.offs()] == [True]
    assert Reason.OVERCURRENT_INSTANT not in UNHURRIED


def test_an_overload_hurries_an_off_that_stands_in_the_queue() -> None:
    machine = waiting_to_go_off()
    effects = machine.sample(5_000, after_s=0.3)
    assert effects[0] == SwitchOff(urgent=True)
    # said once: the queue has it now
    assert SwitchOff(urgent=True) not in machine.sample(5_000, after_s=0.3)


@pytest.mark.parametrize("action", [Action.CUT, Action.OFF])
def test_a_rule_hurries_it_whether_it_cuts_or_switches_off(action: Action) -> None:
    machine = waiting_to_go_off(Limits(overpower=AbovePower(above_w=500, action=action)))
    assert machine.sample(600, after_s=0.3)[0] == SwitchOff(urgent=True)


def test_a_current_that_the_inverse_time_rule_would_end_hurries_it() -> None:
    inverse = InverseTime(pickup_a=6.0, time_multiplier=0.1)
    limits = Limits(overcurrent_instant=None, overcurrent=None, overcurrent_inverse=inverse)
    machine = waiting_to_go_off(limits)
    assert SwitchOff(urgent=True) not in machine.sample(1_000, after_s=0.2)
    assert machine.sample(2_000, after_s=0.2)[0] == SwitchOff(urgent=True)


def test_what_is_only_told_hurries_nothing() -> None:
    machine = waiting_to_go_off(Limits(overpower=AbovePower(above_w=500, action=Action.ALARM)))
    assert SwitchOff(urgent=True) not in machine.sample(600, after_s=0.3)


@pytest.mark.parametrize("event", [SMOKE, FAILED], ids=["interlock", "failed write"])
def test_an_interlock_and_a_failed_write_hurry_it_too(event: Event) -> None:
    machine = waiting_to_go_off()
    assert machine.feed(event)[0] == SwitchOff(urgent=True)


def test_an_off_that_found_no_room_for_a_second_goes_first() -> None:
    machine = waiting_to_go_off()
    assert machine.tick(0.9) == ()
    assert machine.tick(0.1) == (SwitchOff(urgent=True),)


def test_an_off_that_was_done_is_not_hurried() -> None:
    machine = waiting_to_go_off()
    machine.feed(Written(wanted_on=False, result=WriteResult.DONE))
    effects = machine.sample(5_000, after_s=0.3, relay_on=False)
    assert SwitchOff(urgent=True) not in effects
    assert machine.state.phase is Phase.STOPPING
