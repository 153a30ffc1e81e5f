"""Every rule at its very threshold and at the very end of its delay."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.guard.effects import SwitchOff
from gateway.guard.events import LeaseDurable, Written
from gateway.guard.limits import Curve, InverseTime, Limits
from gateway.guard.model import WriteResult
from gateway.guard.rules import inverse_time_s
from gateway.guard.state import Phase
from tests.support.machine import Machine


@dataclass(frozen=True)
class Edge:
    """A value that is just allowed, one that is just not, and for how long it may last."""

    at: dict[str, Any]
    beyond: dict[str, Any]
    delay_s: float


EDGES = {
    "overcurrent_instant": Edge({"current_a": 16.0}, {"current_a": 16.001}, 0.0),
    "overcurrent": Edge({"current_a": 10.0}, {"current_a": 10.001}, 3.0),
    "overpower": Edge(
        {"power_w": 2_000.0, "current_a": 9.0}, {"power_w": 2_000.1, "current_a": 9.0}, 3.0
    ),
    "overvoltage": Edge({"voltage_v": 270.0}, {"voltage_v": 270.1}, 1.0),
    "undervoltage": Edge({"voltage_v": 100.0}, {"voltage_v": 99.9}, 1.0),
    "overtemperature": Edge({"temperature_c": 80.0}, {"temperature_c": 80.1}, 30.0),
}
BACKWARDS = ("overcurrent_instant", "overcurrent", "overpower")


def charging() -> Machine:
    machine = Machine(Limits(wrong_appliance=None))
    machine.switch_on()
    for _ in range(30):
        machine.sample(150.0)
    return machine


def show(machine: Machine, values: dict[str, Any], after_s: float) -> None:
    machine.sample(**{"power_w": 150.0, "current_a": 0.65, **values}, after_s=after_s)


def last_for(machine: Machine, values: dict[str, Any], seconds: float) -> None:
    """Show the values for so long, by a poll each second and one at the very end."""
    for _ in range(int(seconds)):
        show(machine, values, 1.0)
    show(machine, values, seconds - int(seconds))


@pytest.mark.parametrize("rule", EDGES)
def test_a_value_at_its_threshold_is_allowed_for_ever(rule: str) -> None:
    machine = charging()
    if rule == "overcurrent_instant":
        machine.limits = replace(machine.limits, overcurrent=None)
    last_for(machine, EDGES[rule].at, 120.0)
    assert machine.state.phase is Phase.ON


@pytest.mark.parametrize("rule", EDGES)
def test_a_value_beyond_it_is_cut_at_the_end_of_its_delay_and_not_before(rule: str) -> None:
    edge = EDGES[rule]
    machine = charging()
    if edge.delay_s:
        show(machine, edge.beyond, 1.0)
        last_for(machine, edge.beyond, edge.delay_s - 0.001)
        assert machine.state.phase is Phase.ON
        show(machine, edge.beyond, 0.001)
    else:
        show(machine, edge.beyond, 1.0)
    assert machine.ends() == [rule]
    assert machine.cuts() == [rule]


@pytest.mark.parametrize("rule", BACKWARDS)
def test_what_flows_backwards_counts_as_much(rule: str) -> None:
    edge = EDGES[rule]
    machine = charging()
    backwards = {name: -value for name, value in edge.beyond.items()}
    show(machine, backwards, 1.0)
    last_for(machine, backwards, edge.delay_s)
    assert machine.ends() == [rule]


@pytest.mark.parametrize("rule", [rule for rule, edge in EDGES.items() if edge.delay_s])
def test_one_sample_within_bounds_begins_the_delay_anew(rule: str) -> None:
    edge = EDGES[rule]
    machine = charging()
    show(machine, edge.beyond, 1.0)
    last_for(machine, edge.beyond, edge.delay_s - 0.001)
    show(machine, edge.at, 0.001)
    show(machine, edge.beyond, 0.001)
    last_for(machine, edge.beyond, edge.delay_s - 0.001)
    assert machine.state.phase is Phase.ON
    show(machine, edge.beyond, 0.001)
    assert machine.ends() == [rule]


@settings(deadline=None)
@given(
    st.sampled_from(Curve),
    st.floats(1.2, 20.0),
    st.lists(st.integers(50, 3_000), min_size=1, max_size=7),
)
def test_inverse_time_is_kept_however_the_polls_jitter(
    curve: Curve, multiple: float, gaps_ms: list[int]
) -> None:
    rule = InverseTime(pickup_a=5.0, curve=curve, time_multiplier=0.1)
    due_s = inverse_time_s(rule, 5.0 * multiple)
    assert due_s is not None
    limits = Limits(
        overcurrent_instant=None,
        overcurrent=None,
        overpower=None,
        overcurrent_inverse=rule,
        wrong_appliance=None,
        frozen_meter=None,
    )
    machine = Machine(limits)
    machine.switch_on()
    began_ms, polls = machine.now_ms, 0
    while machine.state.phase is Phase.ON:
        gap_s = gaps_ms[polls % len(gaps_ms)] / 1_000
        machine.sample(1_000.0, current_a=5.0 * multiple, after_s=gap_s)
        polls += 1
    assert machine.cuts() == ["overcurrent_inverse"]
    lasted_s = (machine.now_ms - began_ms) / 1_000
    assert due_s - 0.001 <= lasted_s <= due_s + max(gaps_ms) / 1_000


def test_unplugged_at_sixty_seconds_below_one_watt() -> None:
    machine = charging()
    for _ in range(300):
        machine.sample(1.0)
    assert machine.state.phase is Phase.ON
    machine = charging()
    machine.sample(0.999)
    last_for(machine, {"power_w": 0.999}, 59.999)
    assert machine.state.phase is Phase.ON
    machine.sample(0.999, after_s=0.001)
    assert machine.ends() == ["unplugged"]
    assert machine.cuts() == []


@pytest.mark.parametrize(("power_w", "reason"), [(6.999, "no_load"), (7.0, None)])
def test_no_load_half_an_hour_after_the_on(power_w: float, reason: str | None) -> None:
    machine = Machine()
    machine.switch_on()
    on_ms = machine.state.charge.on_ms if machine.state.charge else 0
    machine.sample(power_w)
    last_for(machine, {"power_w": power_w, "current_a": 0.03}, 1_797.0)
    machine.sample(power_w, after_s=(on_ms + 1_799_999 - machine.now_ms) / 1_000)
    assert machine.state.phase is Phase.ON
    machine.sample(power_w, after_s=0.001)
    assert machine.ends() == ([] if reason is None else [reason])


def test_silence_at_ten_seconds() -> None:
    machine = charging()
    machine.tick(9.999)
    assert machine.state.phase is Phase.ON
    machine.tick(0.001)
    assert machine.ends() == ["silence"]


def test_lease_over_and_longest_time_at_their_millisecond() -> None:
    for lease_s, reason in ((3_600.0, "lease_over"), (86_400.0, "longest_time")):
        machine = Machine()
        machine.sample()
        machine.switch_on(machine.lease(for_s=lease_s))
        lease = machine.state.lease
        assert lease is not None
        end_ms = lease.granted_ms + round(min(lease_s, 36_000.0) * 1_000)
        while machine.now_ms < end_ms - 5_001:
            machine.sample(150.0, after_s=5.0)
        machine.sample(150.0, after_s=(end_ms - 1 - machine.now_ms) / 1_000)
        assert machine.state.phase is Phase.ON
        machine.tick(0.001)
        assert machine.ends() == [reason]


@pytest.mark.parametrize(("current_a", "cuts"), [(0.05, []), (0.051, ["welded"])])
def test_welded_at_two_seconds(current_a: float, cuts: list[str]) -> None:
    machine = Machine()
    machine.sample()
    machine.sample(current_a=current_a)
    machine.sample(current_a=current_a, after_s=1.999)
    assert machine.cuts() == []
    machine.sample(current_a=current_a, after_s=0.001)
    assert machine.cuts() == cuts


def test_no_reaction_at_five_seconds() -> None:
    machine = Machine(obeys=False)
    machine.sample()
    machine.ask_on()
    machine.feed(LeaseDurable(lease_id="lease-1"))
    machine.sample(after_s=4.999)
    assert machine.state.phase is Phase.STARTING
    machine.sample(after_s=0.001)
    assert machine.cuts() == ["no_reaction"]


def test_an_off_is_sent_three_times_at_once_then_once_a_second() -> None:
    machine = charging()
    machine.answers = machine.obeys = False
    machine.sample(current_a=20.0)
    for _ in range(3):
        machine.feed(Written(wanted_on=False, result=WriteResult.FAILED))
    urgent = [e.urgent for _, e in machine.effects if isinstance(e, SwitchOff)]
    assert urgent == [True] * 3
    for _ in range(5):
        machine.tick(0.999)
        machine.feed(Written(wanted_on=False, result=WriteResult.FAILED))
        machine.tick(0.001)
    urgent = [e.urgent for _, e in machine.effects if isinstance(e, SwitchOff)]
    assert urgent == [True] * 3 + [False] * 5
