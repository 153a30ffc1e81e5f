"""Latches, locks and resets."""

from __future__ import annotations

from gateway.guard.events import (
    Lock,
    RequestOff,
    RequestReset,
    Unlock,
)
from gateway.guard.limits import (
    Release,
)
from gateway.guard.state import Phase
from tests.support.machine import Machine, charging, refusal_codes


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


def test_an_overload_measured_while_the_off_is_on_its_way_is_latched() -> None:
    machine = charging(Machine())
    machine.obeys = False
    machine.feed(RequestOff(actor="x"))
    machine.sample(9_000, after_s=0.3)
    assert machine.cuts() == ["overcurrent_instant"]
    machine.relay_on = False
    machine.sample(0)
    assert refusal_codes(machine.ask_on()) == ["latched"]


def test_a_latch_is_not_reset_while_nobody_knows_whether_it_is_off() -> None:
    machine = charging(Machine())
    machine.sample(5_000)
    machine.sample(0)
    assert machine.state.phase is Phase.OFF
    machine.now_ms += 60_000
    assert refusal_codes(machine.feed(RequestReset(actor="x", on_site=True))) == ["not_off"]
    machine.sample(0)
    assert refusal_codes(machine.feed(RequestReset(actor="x", on_site=True))) == []


def test_the_first_of_equal_latches_stays() -> None:
    machine = charging(Machine())
    machine.obeys = False
    for _ in range(10):
        machine.sample(9_000)
    assert machine.cuts() == ["overcurrent_instant"]
