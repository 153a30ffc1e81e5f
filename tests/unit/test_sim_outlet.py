from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from simulators.appliances import AddedLoad, Appliance, ApplianceSettings
from simulators.chargers import CcCvCharger, ChargerSettings
from simulators.mains import Feed, Mains, MainsSettings
from simulators.outlet import SimOutlet
from simulators.physics import Reading
from simulators.relay import Relay


def outlet(**mains: float) -> SimOutlet:
    settings = MainsSettings(**{"source_ohm": 0.0, "noise_v": 0.0, **mains})
    return SimOutlet("n1-1", Feed(Mains(settings)))


def kettle() -> Appliance:
    return Appliance(ApplianceSettings(power_w=2300))


def test_a_relay_follows_after_a_moment() -> None:
    relay = Relay(follows_after_s=0.01)
    relay.command(True, 5.0)
    relay.settle(5.009)
    assert not relay.coil_on
    relay.settle(5.01)
    assert relay.coil_on
    assert relay.contact_closed


def test_a_welded_contact_stays_closed_though_the_coil_lets_go() -> None:
    relay = Relay(on=True, follows_after_s=0)
    relay.welded = True
    relay.command(False, 1.0)
    relay.settle(1.0)
    assert (relay.coil_on, relay.contact_closed) == (False, True)
    relay.welded = False
    relay.settle(2.0)
    assert not relay.contact_closed


def test_an_open_contact_welds_only_when_it_closes() -> None:
    relay = Relay(follows_after_s=0)
    relay.welded = True
    relay.settle(1.0)
    assert not relay.contact_closed


def test_a_relay_that_is_stuck_open_does_not_close() -> None:
    relay = Relay(follows_after_s=0)
    relay.stuck_open = True
    relay.command(True, 1.0)
    relay.settle(1.0)
    assert (relay.commanded_on, relay.coil_on, relay.contact_closed) == (True, False, False)


def test_nothing_flows_while_the_outlet_is_off() -> None:
    place = outlet()
    place.plug(kettle(), 0.0)
    reading = place.reading(10.0)
    assert (reading.voltage_v, reading.current_a, reading.power_w) == (230, 0, 0)
    assert reading.frequency_hz == pytest.approx(50, abs=0.05)
    assert reading.energy_wh == 0


def test_current_flows_from_the_moment_the_contact_closes() -> None:
    place = outlet()
    place.plug(kettle(), 0.0)
    place.switch(True, 1.0)
    assert place.reading(1.007).current_a == 0
    assert place.reading(1.009).current_a == pytest.approx(10.0)
    place.switch(False, 2.0)
    assert place.reading(2.02).power_w == 0
    assert place.energy_wh == pytest.approx(2300 * 1.0 / 3600, rel=0.01)


def test_a_plug_that_is_pulled_takes_everything_along() -> None:
    place = outlet()
    place.switch(True, 0.0)
    place.plug(kettle(), 1.0)
    place.add_load(AddedLoad(1150), 2.0)
    assert place.reading(2.0).current_a == pytest.approx(15)
    place.unplug(3.0)
    assert place.reading(3.0).current_a == 0


def test_an_added_load_can_be_taken_off_again() -> None:
    place = outlet()
    place.switch(True, 0.0)
    place.plug(kettle(), 1.0)
    added = AddedLoad(1150)
    place.add_load(added, 2.0)
    place.remove_load(added, 3.0)
    place.remove_load(added, 4.0)
    assert place.reading(4.0).current_a == pytest.approx(10)


def test_loads_together_have_one_power_factor() -> None:
    place = outlet()
    place.switch(True, 0.0)
    place.plug(CcCvCharger(ChargerSettings(plateau_w=200, power_factor=0.5)), 1.0)
    place.add_load(AddedLoad(500), 1.0)
    reading = place.reading(20.0)
    assert reading.power_w == pytest.approx(
        reading.voltage_v * reading.current_a * reading.power_factor
    )
    assert 0.5 < reading.power_factor < 1


def test_outlets_of_a_pile_feel_each_other() -> None:
    feed = Feed(Mains(MainsSettings(source_ohm=0.5, noise_v=0)))
    one, other = SimOutlet("a", feed), SimOutlet("b", feed)
    one.switch(True, 0.0)
    one.plug(Appliance(ApplianceSettings(power_w=2300, resistive=False)), 1.0)
    one.advance(2.0)
    assert other.reading(2.0).voltage_v < 226
    one.unplug(3.0)
    assert other.reading(3.0).voltage_v == pytest.approx(230)


def test_a_frozen_meter_shows_what_it_showed() -> None:
    place = outlet()
    place.switch(True, 0.0)
    place.plug(kettle(), 1.0)
    place.freeze(True, 2.0)
    frozen = place.reading(2.0)
    place.unplug(3.0)
    assert place.reading(9.0) == frozen
    place.freeze(False, 9.0)
    assert place.reading(9.0).current_a == 0


def test_heat_comes_and_goes() -> None:
    place = outlet()
    place.heat(95)
    assert place.temperature_c == 95
    place.heat(None)
    assert place.temperature_c == 25


@given(st.lists(st.floats(0.001, 3.0), min_size=1, max_size=40))
def test_the_register_holds_what_flowed_however_often_it_is_read(pauses: list[float]) -> None:
    place = outlet()
    place.switch(True, 0.0)
    place.plug(Appliance(ApplianceSettings(power_w=460, resistive=False)), 1.0)
    now_s, last_wh = 1.0, 0.0
    for pause_s in pauses:
        now_s += pause_s
        reading = place.reading(now_s)
        assert reading.energy_wh >= last_wh
        last_wh = reading.energy_wh

    assert last_wh == pytest.approx(460 * sum(pauses) / 3600, rel=1e-6)


@given(st.integers(0, 2**32), st.floats(0.2, 5.0))
def test_the_same_seed_gives_the_same_charge(seed: int, every_s: float) -> None:
    def readings() -> list[Reading]:
        mains = Mains(MainsSettings(noise_v=0.5), seed)
        place = SimOutlet("n1-1", Feed(mains))
        place.switch(True, 0.0)
        place.plug(CcCvCharger(ChargerSettings(capacity_wh=3)), 0.5)
        return [place.reading(0.5 + every_s * step) for step in range(30)]

    assert readings() == readings()
