"""A meter that stands still is told, and one that may stand still is not."""

from __future__ import annotations

import pytest

from gateway.core.facts import FactKind
from gateway.guard.events import (
    Alive,
)
from gateway.guard.model import Sample
from tests.support.machine import Machine, charging


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
