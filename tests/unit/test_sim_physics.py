from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from simulators.appliances import AddedLoad, Appliance, ApplianceSettings
from simulators.chargers import (
    CcCvCharger,
    ChargerSettings,
    DualPackCharger,
    DualPackSettings,
    LeadAcidCharger,
    LeadAcidSettings,
    Standby,
    taper_share,
)
from simulators.mains import Feed, Mains, MainsSettings
from simulators.physics import Load

V = 230.0


def course(load: Load, seconds: float, step_s: float = 0.5, voltage_v: float = V) -> list[float]:
    """Power at every step."""
    return [load.step(step_s, voltage_v).power_w for _ in range(round(seconds / step_s))]


def test_mains_sags_under_load_and_the_feeds_of_two_piles_are_apart() -> None:
    mains = Mains(MainsSettings(voltage_v=230, source_ohm=0.5, noise_v=0))
    near, far = Feed(mains), Feed(mains)
    near.change(0, 10)

    assert near.voltage_v(1.0) == pytest.approx(225)
    assert far.voltage_v(1.0) == 230
    near.change(10, 4)
    assert near.voltage_v(1.0) == pytest.approx(228)


def test_mains_noise_repeats_by_its_seed_and_differs_by_it() -> None:
    def voltages(seed: int) -> list[float]:
        mains = Mains(MainsSettings(noise_v=0.5), seed)
        return [mains.emf_v(step / 10) for step in range(200)]

    assert voltages(1) == voltages(1)
    assert voltages(1) != voltages(2)
    assert 229.8 < sum(voltages(3)) / 200 < 230.2
    assert all(228 < voltage < 232 for voltage in voltages(1))


def test_mains_goes_elsewhere_at_once_or_over_time() -> None:
    mains = Mains(MainsSettings(noise_v=0))
    mains.set_voltage(290, now_s=10)
    assert mains.emf_v(10) == 290
    mains.set_voltage(90, now_s=20, ramp_s=10)
    assert mains.emf_v(25) == pytest.approx(190)
    assert mains.emf_v(31) == 90
    mains.set_voltage(0, now_s=40)
    assert mains.emf_v(40) == 0


def test_taper_has_the_shape_of_a_real_charge() -> None:
    # 48 V bike, plateau 180 W: 90 W at 91 to 94 %, 20 W at 97 to 98 %, 5 W when full
    assert 85 <= 180 * taper_share(0.925) <= 95
    assert 17 <= 180 * taper_share(0.975) <= 23
    assert 180 * taper_share(1.0) == pytest.approx(5, abs=0.5)
    assert taper_share(0.0) == pytest.approx(0.9)
    assert taper_share(0.9) == pytest.approx(1.0)


@given(st.floats(0.9, 1.2), st.floats(0.0001, 0.1))
def test_taper_only_falls(soc: float, more: float) -> None:
    assert taper_share(soc + more) < taper_share(soc)


def test_a_lithium_charge_ramps_holds_tapers_and_is_done() -> None:
    charger = CcCvCharger(ChargerSettings(plateau_w=180, capacity_wh=2, start_soc=0.5, ramp_s=2))
    powers = course(charger, 300)

    assert powers[0] < 60
    assert 160 < max(powers) <= 180
    top = powers.index(max(powers))
    done = next(index for index, power in enumerate(powers) if power == 0.5)
    taper = powers[top:done]
    assert all(later <= earlier for earlier, later in pairwise(taper))
    assert taper[-1] < 5.5
    assert charger.done
    assert set(powers[done:]) == {0.5}


def test_a_charger_starts_its_ramp_anew_after_the_outlet_was_off() -> None:
    charger = CcCvCharger(ChargerSettings(ramp_s=4))
    before = course(charger, 20)[-1]
    assert charger.step(1.0, 0.0).power_w == 0
    assert charger.step(0.5, V).power_w < before / 2


def test_a_charger_stops_below_its_input_range() -> None:
    charger = CcCvCharger(ChargerSettings())
    course(charger, 5)
    assert charger.step(0.5, 85).current_a == 0


@given(
    soc=st.floats(0.0, 0.95),
    plateau_w=st.floats(60, 900),
    step_s=st.sampled_from([0.1, 0.5, 1.0, 5.0]),
)
def test_what_the_battery_gains_is_what_flowed_less_the_losses(
    soc: float, plateau_w: float, step_s: float
) -> None:
    settings = ChargerSettings(plateau_w=plateau_w, capacity_wh=300, start_soc=soc)
    charger = CcCvCharger(settings)
    flowed_wh = sum(course(charger, 400, step_s)) * step_s / 3600

    gained_wh = (charger.soc - soc) * settings.capacity_wh
    assert gained_wh == pytest.approx(flowed_wh * settings.efficiency, rel=1e-9)


@given(st.floats(100, 260), st.floats(0.05, 1.0))
def test_power_is_voltage_times_current_times_power_factor(voltage_v: float, dt_s: float) -> None:
    draw = CcCvCharger(ChargerSettings()).step(dt_s, voltage_v)

    assert draw.power_w == pytest.approx(voltage_v * draw.current_a * draw.power_factor)
    assert 0.6 * 0.7 - 1e-9 <= draw.power_factor <= 0.6 + 1e-9


def test_a_step_of_no_time_changes_nothing() -> None:
    charger = CcCvCharger(ChargerSettings(ramp_s=0))
    course(charger, 10)
    before = charger.soc
    powers = {charger.step(0, V).power_w for _ in range(10)}
    assert len(powers) == 1
    assert charger.soc == before
    charger.step(0, 0)
    assert charger.step(0, V).power_w in powers


def test_lead_acid_has_three_stages() -> None:
    # 36 V, 12 Ah: bulk 1.8 A, then about 0.3 A, then float at about 50 mA
    charger = LeadAcidCharger(LeadAcidSettings(capacity_wh=5, start_soc=0.5, ramp_s=0))
    powers = [round(power, 1) for power in course(charger, 1500, 1.0)]
    stages = sorted(set(powers), reverse=True)

    assert stages == [99.0, 16.5, 2.8]
    assert powers == sorted(powers, reverse=True)


@pytest.mark.parametrize(("dip_w", "dip_s"), [(0, 20), (90, 20), (0, 3), (45, 30)])
def test_a_dual_pack_dips_between_its_packs_and_tops_up_after_the_end(
    dip_w: float, dip_s: float
) -> None:
    pack = ChargerSettings(plateau_w=180, capacity_wh=5, start_soc=0.5)
    settings = DualPackSettings(pack=pack, dip_w=dip_w, dip_s=dip_s, retop_after_s=40)
    powers = [round(power, 3) for power in course(DualPackCharger(settings), 1200, 1.0)]

    first_top = powers.index(max(powers[:100]))
    dip = [power for power in powers[first_top : first_top + 100] if power == dip_w]
    assert len(dip) == pytest.approx(dip_s, abs=1)
    assert max(powers[first_top + 40 : first_top + 100]) > 150
    assert powers.count(64) == pytest.approx(10, abs=1)
    assert powers.index(64) - powers.index(0.5) == pytest.approx(40, abs=1)
    assert powers[-1] == 0.5


def test_a_dual_pack_whose_plug_is_cut_goes_on_where_it_was() -> None:
    pack = ChargerSettings(plateau_w=180, capacity_wh=5, start_soc=0.5, ramp_s=0)
    charger = DualPackCharger(DualPackSettings(pack=pack))
    course(charger, 10, 1.0)
    assert course(charger, 5, 1.0, voltage_v=0) == [0] * 5
    assert charger.step(1.0, V).power_w > 150


def test_a_kettle_goes_with_the_square_of_the_voltage_and_switches_itself_off() -> None:
    kettle = Appliance(ApplianceSettings(power_w=1955, runs_s=10))
    assert kettle.step(1, 230).power_w == pytest.approx(1955)
    assert kettle.step(1, 207).power_w == pytest.approx(1955 * 0.81)
    assert course(kettle, 20, 1.0)[-1] == 0


def test_a_vacuum_cleaner_rushes_in_and_ripples() -> None:
    settings = ApplianceSettings(
        power_w=1145, power_factor=0.9, ripple=0.05, inrush=4, resistive=False
    )
    powers = course(Appliance(settings, seed=3), 20, 0.1)

    assert powers == course(Appliance(settings, seed=3), 20, 0.1)
    assert powers != course(Appliance(settings, seed=4), 20, 0.1)
    assert powers[0] > 3.4 * 1145
    running = powers[10:]
    assert 900 < min(running) < 1145 < max(running) < 1400
    assert sum(running) / len(running) == pytest.approx(1145, rel=0.02)


def test_added_load_climbs() -> None:
    slow = AddedLoad(1000, ramp_s=10)
    powers = course(slow, 20, 1.0)
    assert powers[:3] == pytest.approx([100, 200, 300])
    assert powers[-1] == 1000
    assert AddedLoad(3000).step(0, V).current_a == pytest.approx(3000 / 230)


def test_standby_draws_little_for_ever() -> None:
    assert set(course(Standby(0.5), 10)) == {0.5}
