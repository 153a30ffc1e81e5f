"""Interlocks: when they trip, and what an outlet under one does."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.core.facts import FactKind
from gateway.core.reasons import Reason
from gateway.guard.effects import Refusal, SwitchOff, SwitchOn
from gateway.guard.events import LeaseDurable, RequestOn, RequestReset, Tripped, Untripped
from gateway.guard.interlocks import Cause, Rule, State, alive, read, wait
from gateway.guard.limits import Release
from gateway.guard.state import Phase
from tests.support.machine import Machine

RULE = Rule(trips_when_on=False, delay_s=0.0, silence_s=10.0)
BOUNCING = Rule(trips_when_on=False, delay_s=2.0, silence_s=10.0)
SMOKE = Tripped(interlock="smoke", reason=Reason.FIRE, evidence={"cause": "input"})


def test_a_broken_wire_trips_at_once() -> None:
    state = read(State(0), RULE, input_on=True, at_ms=1_000)
    assert state.is_clear
    assert read(state, RULE, input_on=False, at_ms=2_000).cause is Cause.INPUT


def test_what_was_never_read_is_not_clear_and_trips_after_the_silence() -> None:
    state = State(5_000)
    assert not state.is_clear
    assert wait(state, RULE, 14_999).cause is None
    assert wait(state, RULE, 15_000).cause is Cause.UNREADABLE


def test_an_input_that_is_read_no_more_trips_until_it_is_read_again() -> None:
    state = read(State(0), RULE, input_on=True, at_ms=1_000)
    state = wait(state, RULE, 11_000)
    assert state.cause is Cause.UNREADABLE
    assert alive(state, 12_000).cause is Cause.UNREADABLE
    assert read(state, RULE, input_on=True, at_ms=13_000).is_clear


def test_a_device_that_tells_changes_is_readable_while_it_is_there() -> None:
    state = read(State(0), RULE, input_on=True, at_ms=1_000)
    for second in range(2, 600):
        state = wait(alive(state, second * 1_000), RULE, second * 1_000 + 500)
    assert state.is_clear


def test_a_contact_that_bounces_does_not_trip_and_one_that_stays_does() -> None:
    state = read(State(0), BOUNCING, input_on=True, at_ms=1_000)
    state = read(state, BOUNCING, input_on=False, at_ms=2_000)
    state = read(state, BOUNCING, input_on=True, at_ms=2_500)
    assert wait(state, BOUNCING, 5_000).is_clear
    state = read(state, BOUNCING, input_on=False, at_ms=6_000)
    assert wait(state, BOUNCING, 7_999).cause is None
    assert wait(state, BOUNCING, 8_000).cause is Cause.INPUT


def test_an_input_that_says_so_from_the_first_read_is_never_clear() -> None:
    state = read(State(0), BOUNCING, input_on=False, at_ms=1_000)
    assert not state.is_clear
    assert not wait(state, BOUNCING, 2_000).is_clear
    assert wait(state, BOUNCING, 3_000).cause is Cause.INPUT
    assert read(state, BOUNCING, input_on=True, at_ms=2_500).is_clear


def test_what_comes_in_the_millisecond_of_a_sign_of_life_is_not_lost() -> None:
    state = read(State(0), RULE, input_on=True, at_ms=1_000)
    assert read(state, RULE, input_on=False, at_ms=1_000).cause is Cause.INPUT
    assert read(alive(state, 2_000), RULE, input_on=False, at_ms=2_000).cause is Cause.INPUT
    assert read(state, RULE, input_on=False, at_ms=999) == state


STEPS = st.lists(
    st.tuples(st.integers(0, 4_000), st.sampled_from(["on", "off", "wait", "alive"])), max_size=60
)


@given(STEPS, st.sampled_from([RULE, BOUNCING]))
def test_it_is_clear_only_while_it_was_read_lately_and_says_so(
    steps: list[tuple[int, str]], rule: Rule
) -> None:
    state, now_ms, last = State(0), 0, None
    heard_ms, said_since_ms = 0, None
    for after_ms, what in steps:
        now_ms += after_ms + 1
        if what in ("on", "off"):
            tripped = (what == "on") is rule.trips_when_on
            said_since_ms = (said_since_ms or now_ms) if tripped else None
            state, last, heard_ms = (
                read(state, rule, input_on=what == "on", at_ms=now_ms),
                what,
                now_ms,
            )
        elif what == "alive":
            state = alive(state, now_ms)
            heard_ms = now_ms if last is not None else heard_ms
        state = wait(state, rule, now_ms)
        if state.is_clear:
            assert last is not None
            assert now_ms - heard_ms < rule.silence_s * 1_000
            assert said_since_ms is None or now_ms - said_since_ms < rule.delay_s * 1_000
        if said_since_ms is not None and now_ms - said_since_ms >= rule.delay_s * 1_000:
            assert state.cause is not None


def charging() -> Machine:
    machine = Machine()
    machine.switch_on()
    for _ in range(5):
        machine.sample(150.0)
    assert machine.state.phase is Phase.ON
    return machine


def test_a_trip_opens_first_of_all_and_latches_for_a_person_on_site() -> None:
    machine = charging()
    effects = machine.feed(SMOKE)
    assert effects[0] == SwitchOff(urgent=True)
    assert machine.state.latch is not None
    assert (machine.state.latch.reason, machine.state.latch.release) == (
        Reason.FIRE,
        Release.ON_SITE,
    )
    assert machine.ends() == ["fire"]
    assert machine.notes(FactKind.OUTLET_CUT)[0].data["evidence"]["interlock"] == "smoke"


def test_an_outlet_that_is_off_is_told_to_open_all_the_same() -> None:
    machine = Machine()
    machine.sample()
    assert machine.feed(SMOKE)[0] == SwitchOff(urgent=True)
    assert machine.cuts() == ["fire"]


@pytest.mark.parametrize("waits", [False, True])
def test_an_outlet_whose_lease_has_not_begun_is_told_to_open_all_the_same(waits: bool) -> None:
    machine = Machine()
    machine.state = machine.state._replace(is_fed=waits)
    machine.sample()
    machine.feed(RequestOn(lease=machine.lease()))
    if waits:
        machine.feed(LeaseDurable(lease_id="lease-1"))
    before = machine.state.phase
    assert before is (Phase.WAITING if waits else Phase.GRANTED)
    assert machine.feed(SMOKE)[0] == SwitchOff(urgent=True)
    assert (machine.cuts(), machine.ends()) == (["fire"], ["fire"])
    machine.sample()
    assert machine.state.phase is Phase.OFF


def test_a_weld_is_told_although_an_interlock_has_latched() -> None:
    machine = charging()
    machine.feed(SMOKE)
    for _ in range(5):
        machine.sample(150.0, relay_on=False)
    assert machine.cuts() == ["fire", "welded"]
    assert machine.state.latch is not None
    assert machine.state.latch.release is Release.ON_SITE


def test_it_stays_off_while_it_is_tripped_whoever_asks() -> None:
    machine = charging()
    machine.feed(SMOKE)
    machine.sample(0.0)
    for request in (
        RequestReset(actor="op", on_site=False),
        RequestReset(actor="op", on_site=True),
    ):
        refusal = machine.feed(request)[-1]
        assert isinstance(refusal, Refusal)
    machine.feed(Untripped(interlock="smoke"))
    refusal = machine.feed(RequestReset(actor="op", on_site=False))[-1]
    assert isinstance(refusal, Refusal)
    assert refusal.code == "on_site_only"
    machine.feed(RequestReset(actor="op", on_site=True))
    assert machine.state.latch is None


@pytest.mark.parametrize("latched", [False, True])
def test_no_on_while_an_interlock_is_tripped_or_unread(latched: bool) -> None:
    machine = Machine()
    machine.sample()
    if latched:
        machine.feed(SMOKE)
    else:
        machine.state = machine.state._replace(trips=frozenset({"smoke"}))
    effects = machine.ask_on()
    assert not any(isinstance(effect, SwitchOn) for effect in effects)
    refusal = effects[-1]
    assert isinstance(refusal, Refusal)
    assert refusal.code == ("latched" if latched else "interlock")


def test_a_second_interlock_keeps_it_off_when_the_first_is_clear() -> None:
    machine = charging()
    machine.feed(SMOKE)
    machine.feed(Tripped(interlock="water", reason=Reason.WATER, evidence={}))
    machine.sample(0.0)
    machine.feed(Untripped(interlock="smoke"))
    refusal = machine.feed(RequestReset(actor="op", on_site=True))[-1]
    assert isinstance(refusal, Refusal)
    assert "water" in refusal.message
