"""How much a lease has used: power over time, kept within a step of the meter's register."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.guard.energy import MOST_W, add, start, total_mwh
from gateway.guard.model import Sample
from gateway.guard.state import Energy

GAP_MS = 10_000


def show(
    energy: Energy, at_ms: int, power_w: float | None = None, energy_mwh: int | None = None
) -> Energy:
    sample = Sample(at_ms=at_ms, utc_ms=0, power_w=power_w, energy_mwh=energy_mwh)
    return add(energy, sample, GAP_MS)


def charge(
    power_w: float, seconds: int, *, step_mwh: int = 0, first_mwh: int = 0, wraps_at: int = 0
) -> Energy:
    """Draw a constant power, polled each second, beside a register of ``step_mwh``."""
    energy = start(None)
    for second in range(seconds + 1):
        register = None
        if step_mwh:
            register = (first_mwh + int(power_w * second / 3.6)) // step_mwh * step_mwh
            register = register % wraps_at if wraps_at else register
        energy = show(energy, second * 1_000, power_w, register)
    return energy


def test_power_over_time() -> None:
    assert total_mwh(charge(360.0, 100)) == 10_000


def test_what_is_drawn_backwards_through_a_meter_wired_the_wrong_way_counts() -> None:
    assert total_mwh(charge(-360.0, 100)) == 10_000


def test_a_ramp_is_integrated_as_a_ramp() -> None:
    energy = show(show(start(None), 0, 0.0), 3_600, 1_000.0)
    assert total_mwh(energy) == 500


def test_a_longer_gap_is_not_guessed() -> None:
    energy = show(show(start(None), 0, 1_000.0), GAP_MS + 1, 1_000.0)
    assert total_mwh(energy) == 0


def test_a_gap_is_counted_by_the_register() -> None:
    energy = charge(360.0, 100, step_mwh=1_000)
    energy = show(energy, 400_000, 360.0, 40_000)
    assert 39_000 <= total_mwh(energy) <= 41_000


def test_a_late_sample_adds_nothing() -> None:
    energy = charge(360.0, 100)
    assert show(energy, 50_000, 360.0) == energy
    assert show(energy, 100_000, 9_000.0) == energy


@pytest.mark.parametrize("step_mwh", [1, 1_000, 10_000, 100_000, 1_000_000])
@pytest.mark.parametrize("first_mwh", [0, 999, 123_456_789])
def test_a_coarse_register_changes_little(step_mwh: int, first_mwh: int) -> None:
    energy = charge(360.0, 3_600, step_mwh=step_mwh, first_mwh=first_mwh)
    assert abs(total_mwh(energy) - 360_000) <= min(step_mwh, 100)


def test_a_register_that_wraps_goes_on() -> None:
    energy = charge(360.0, 3_600, step_mwh=1_000, first_mwh=950_000, wraps_at=1_000_000)
    assert abs(total_mwh(energy) - 360_000) <= 1_000


def test_a_meter_whose_power_froze_is_counted_by_its_register() -> None:
    energy = start(None)
    for second in range(3_600):
        energy = show(energy, second * 1_000, 0.0, second // 10 * 1_000)
    assert total_mwh(energy) >= 357_000


def test_a_power_read_too_high_is_held_back_by_the_register() -> None:
    energy = start(None)
    for second in range(3_600):
        energy = show(energy, second * 1_000, 720.0, second // 10 * 1_000)
    assert total_mwh(energy) <= 360_000 + 2 * 1_000


@pytest.mark.parametrize("misread_mwh", [0, 900_000, 2_000_000_000, 4_294_967_295_000])
@pytest.mark.parametrize("second", [1, 5, 50, 99])
def test_a_misread_register_costs_nobody_anything(misread_mwh: int, second: int) -> None:
    energy = start(None)
    for now in range(101):
        register = misread_mwh if now == second else 1_000_000 + now // 10 * 1_000
        energy = show(energy, now * 1_000, 360.0, register)
    assert 8_900 <= total_mwh(energy) <= 11_100


def test_nobody_pays_for_more_than_an_outlet_can_deliver() -> None:
    energy = show(show(start(None), 0, 3e38), 1_000, 3e38)
    assert total_mwh(energy) <= MOST_W / 3.6


@given(
    st.lists(
        st.tuples(
            st.integers(1, 60_000),
            st.one_of(st.none(), st.floats(-3e38, 3e38)),
            st.one_of(st.none(), st.integers(0, 2**42)),
        ),
        max_size=40,
    )
)
def test_whatever_is_read_nobody_pays_for_more_than_flowed_at_most(
    rows: list[tuple[int, float | None, int | None]],
) -> None:
    energy = start(None)
    at_ms = 0
    for gap_ms, power_w, energy_mwh in rows:
        at_ms += gap_ms
        energy = show(energy, at_ms, power_w, energy_mwh)
        assert energy.total_uj >= 0
    # By power and by a register: each at most what the largest outlet delivers meanwhile.
    assert total_mwh(energy) <= 3 * (MOST_W * at_ms / 3_600) + 1
