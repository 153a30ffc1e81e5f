"""A bad contact: what is one, and what every sound charger does."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.core.facts import FactKind
from gateway.guard.evidence import told
from gateway.guard.limits import Action, Full, Limits, LooseContact, Unplugged
from tests.support.machine import Machine

LIMITS = Limits(
    unplugged=Unplugged(delay_s=60), full=Full(settle_s=60), frozen_meter=None, wrong_appliance=None
)
Course = list[tuple[float, int]]


def played(*course: tuple[float, int], limits: Limits = LIMITS) -> Machine:
    machine = Machine(limits)
    machine.switch_on()
    for power_w, seconds in course:
        for _ in range(seconds):
            machine.sample(power_w if machine.relay_on else 0.0)
    return machine


def alarms(machine: Machine) -> list[str]:
    return machine.reasons(FactKind.OUTLET_ALARM)


FLICKER = [(0.0, 2), (180.0, 8)] * 4


def test_a_loose_plug_is_told_once_with_its_evidence() -> None:
    machine = played((180, 60), *FLICKER, *FLICKER)
    assert alarms(machine) == ["loose_contact"]
    assert machine.ends() == []
    evidence = told(machine.notes(FactKind.OUTLET_ALARM)[0].data["evidence"])
    assert (evidence["times"], evidence["within_ms"]) == (4, 30_000)
    assert evidence["breaks_age_ms"] == [30_000, 20_000, 10_000, 0]
    assert evidence["longest_gone_ms"] == 2_000
    assert [row["power_w"] for row in evidence["samples"]][-3:] == [0.0, 0.0, 180.0]


def test_it_is_over_once_the_contact_holds() -> None:
    machine = played((180, 60), *FLICKER, (180, 150))
    assert machine.reasons(FactKind.OUTLET_ALARM_CLEARED) == ["loose_contact"]


def test_it_ends_with_the_charge() -> None:
    machine = played((180, 60), *FLICKER, (0, 70))
    assert machine.ends() == ["unplugged"]
    assert machine.reasons(FactKind.OUTLET_ALARM_CLEARED) == ["loose_contact"]
    machine.switch_on(machine.lease(name="again"))
    for power_w, seconds in ((180.0, 60), *FLICKER[:6]):
        for _ in range(seconds):
            machine.sample(power_w)
    assert len(alarms(machine)) == 1, "breaks of another charge do not count"


@pytest.mark.parametrize("action", [Action.OFF, Action.CUT])
def test_it_can_switch_off(action: Action) -> None:
    rule = LooseContact(action=action, times=2, within_s=30)
    limits = Limits(unplugged=Unplugged(delay_s=60), loose_contact=rule)
    machine = played((180, 60), *FLICKER, limits=limits)
    assert machine.ends() == ["loose_contact"]
    assert machine.cuts() == (["loose_contact"] if action is Action.CUT else [])


def test_the_rule_can_be_switched_off() -> None:
    machine = played((180, 60), *FLICKER, limits=Limits(loose_contact=None))
    assert alarms(machine) == []


SOUND: dict[str, Course] = {
    "change-over": [(180, 600), (0, 20), (180, 600)],
    "pauses at stand-by": [(180, 200), *[(3.0, 20), (180.0, 10)] * 6],
    "pauses at nothing, minutes apart": [(180, 200), *[(0.0, 40), (180.0, 60)] * 6],
    "re-tops after the end": [(180, 600), (20, 120), *[(0.0, 10), (30.0, 3)] * 8],
    "pulses to a tenth at the end": [(180, 600), (8, 120), *[(0.0, 3), (18.0, 3)] * 30],
    "dips to a half": [(180, 200), *[(90.0, 3), (180.0, 5)] * 20],
    "slow start": [*[(0.0, 2), (5.0, 1)] * 10, (180, 60)],
}


@pytest.mark.parametrize("name", SOUND)
def test_a_sound_charger_is_none(name: str) -> None:
    assert alarms(played(*SOUND[name])) == []


@settings(max_examples=60, deadline=None)
@given(
    plateau_w=st.floats(40, 900),
    gone_s=st.integers(1, 8),
    back_s=st.integers(2, 15),
    below_w=st.floats(0, 0.9),
)
def test_whatever_breaks_often_enough_is_told_and_in_time(
    plateau_w: float, gone_s: int, back_s: int, below_w: float
) -> None:
    machine = played((plateau_w, 120), *[(below_w, gone_s), (plateau_w, back_s)] * 4)
    assert alarms(machine) == ["loose_contact"]


@settings(max_examples=60, deadline=None)
@given(st.lists(st.tuples(st.floats(0, 900), st.integers(1, 40)), max_size=12))
def test_three_breaks_are_never_told(course: Course) -> None:
    """A course that is at nothing three times at most has at most three breaks."""
    zeros = 0
    kept: Course = [(180.0, 60)]
    for power_w, seconds in course:
        zeros += power_w < 1.0
        kept.append((power_w if zeros <= 3 else 180.0, seconds))
    machine = played(*kept)
    assert "loose_contact" not in alarms(machine)
    charge = machine.state.charge
    assert charge is None or len(charge.breaks_ms) <= 3
