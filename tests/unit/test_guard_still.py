"""A meter that stands still: under load, and on the light load of a stand-by."""

from __future__ import annotations

import pytest

from gateway.guard.limits import FrozenMeter
from gateway.guard.model import Sample
from gateway.guard.sampling import newer
from gateway.guard.state import Measured, Still
from gateway.guard.still import LIVELY_MOVES, follow, frozen

RULE = FrozenMeter()


class Meter:
    """A meter that is polled each second."""

    def __init__(self) -> None:
        self.measured = Measured()
        self.still = Still()
        self.at_ms = 1_000_000

    def shows(self, power_w: float, voltage_v: float, seconds: int = 1) -> None:
        for _ in range(seconds):
            self.at_ms += 1_000
            sample = Sample(
                at_ms=self.at_ms,
                utc_ms=self.at_ms,
                power_w=power_w,
                current_a=round(power_w / voltage_v, 2) if voltage_v else 0.0,
                voltage_v=voltage_v,
            )
            before, self.measured = self.measured, newer(self.measured, sample)
            self.still = follow(self.still, before, self.measured, RULE)

    @property
    def is_frozen(self) -> bool:
        return frozen(self.still, self.measured, RULE) is not None


def test_under_load_ten_minutes_without_a_change_are_a_frozen_meter() -> None:
    meter = Meter()
    meter.shows(150.0, 230.0, seconds=600)
    assert not meter.is_frozen
    meter.shows(150.0, 230.0, seconds=2)
    assert meter.is_frozen


def test_on_quiet_mains_a_light_load_may_stand_still() -> None:
    meter = Meter()
    meter.shows(4.0, 230.0, seconds=3_600)
    assert not meter.is_frozen


def test_at_a_light_load_a_voltage_that_moved_and_stands_is_a_frozen_meter() -> None:
    meter = Meter()
    for step in range(2 * LIVELY_MOVES):
        meter.shows(4.0, 230.0 + step % 2 / 10, seconds=5)
    meter.shows(4.0, 230.0, seconds=602)
    assert meter.is_frozen


def test_after_a_step_to_a_stand_by_the_voltage_stands_elsewhere_and_may_stand() -> None:
    meter = Meter()
    for step in range(2 * LIVELY_MOVES):
        meter.shows(8.4, 230.0 + step % 2 / 10, seconds=5)
    meter.shows(1.9, 230.1, seconds=3_600)
    assert not meter.is_frozen


def test_a_meter_seen_to_stand_by_itself_may_stand_for_longer_at_a_low_power() -> None:
    # A lead-acid charger at 90 W, then at 15 W for an hour, on mains that move no digit.
    meter = Meter()
    for _ in range(5):
        meter.shows(90.2, 188.1, seconds=170)
        meter.shows(90.1, 188.1)
    meter.shows(15.0, 188.7, seconds=3_600)
    assert not meter.is_frozen


def test_a_meter_that_never_stood_is_frozen_at_a_low_power_too() -> None:
    meter = Meter()
    for step in range(60):
        meter.shows(90.2 + step % 2 / 10, 188.1, seconds=10)
    meter.shows(15.0, 188.7, seconds=602)
    assert meter.is_frozen


def test_a_meter_that_stood_at_full_power_may_stand_at_less() -> None:
    # Not one digit moved by itself, at the plateau and in a pause: so may the absorption.
    meter = Meter()
    meter.shows(320.3, 234.1, seconds=230)
    meter.shows(3.5, 236.9, seconds=190)
    meter.shows(320.3, 234.1, seconds=30)
    meter.shows(53.4, 236.4, seconds=3_600)
    assert not meter.is_frozen


def moving(meter: Meter, power_w: float, volts: float, seconds: int) -> None:
    """Let the mains move by half a volt."""
    for second in range(seconds):
        meter.shows(power_w, volts + second % 2 / 2)


@pytest.mark.parametrize("power_w", [1.5, 9.0, 40.0])
def test_on_mains_that_move_a_meter_that_freezes_is_told_whatever_it_shows(power_w: float) -> None:
    meter = Meter()
    moving(meter, 0.0, 168.1, seconds=60)
    moving(meter, 300.0, 167.5, seconds=60)
    meter.shows(power_w, 168.6, seconds=600)
    assert not meter.is_frozen
    meter.shows(power_w, 168.6, seconds=2)
    assert meter.is_frozen


def test_a_meter_that_freezes_now_and_then_is_told_when_it_is_for_longer_than_ever() -> None:
    meter = Meter()
    moving(meter, 90.2, 188.1, seconds=60)
    meter.shows(90.2, 188.1, seconds=400)
    moving(meter, 90.2, 188.1, seconds=60)
    meter.shows(15.0, 188.7, seconds=1_500)
    assert not meter.is_frozen
    meter.shows(15.0, 188.7, seconds=150)
    assert meter.is_frozen


def test_without_mains_nothing_is_learnt_of_how_they_move() -> None:
    meter = Meter()
    moving(meter, 0.0, 230.1, seconds=60)
    meter.shows(0.0, 0.0, seconds=7_200)
    moving(meter, 0.0, 230.1, seconds=5)
    meter.shows(4.0, 230.1, seconds=602)
    assert meter.is_frozen


def test_a_meter_that_freezes_soon_after_a_load_became_light_is_told_from_how_its_voltage_was() -> (
    None
):
    meter = Meter()
    for second in range(900):
        meter.shows(19.0 - second / 100, 178.0 + second % 7 / 10)
    meter.shows(9.9, 177.7, seconds=602)
    assert meter.is_frozen


def test_a_meter_that_was_frozen_and_came_back_is_told_again() -> None:
    meter = Meter()
    meter.shows(0.0, 230.0)
    for step in range(2 * LIVELY_MOVES):
        meter.shows(0.0, 230.0 + step % 2 / 2)
    meter.shows(150.0, 229.1, seconds=700)
    assert meter.is_frozen
    meter.shows(0.0, 231.3, seconds=5)
    assert not meter.is_frozen
    meter.shows(150.0, 229.3, seconds=602)
    assert meter.is_frozen, "at the same power"
    meter.shows(0.0, 231.2)
    meter.shows(5.0, 229.3, seconds=602)
    assert meter.is_frozen, "on a stand-by, behind mains that used to move"


def test_a_meter_that_moves_on_by_a_digit_stands_by_itself() -> None:
    meter = Meter()
    meter.shows(20.0, 230.0, seconds=700)
    assert meter.is_frozen, "nobody can know"
    meter.shows(19.9, 230.1, seconds=1_800)
    assert not meter.is_frozen
