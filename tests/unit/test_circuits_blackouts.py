"""Circuits without voltage: what makes a blackout, and how outlets come back from one."""

from __future__ import annotations

import pytest

from gateway.config import Restart
from gateway.core.ids import OutletId
from gateway.guard.circuit_load import Feed
from gateway.guard.supply import SURE_S
from tests.support.circuits import OUTLETS, Yard, circuit, started, tree_of, yard


def test_after_a_blackout_outlets_go_on_one_by_one() -> None:
    shed = started(restart=Restart(after_s=5, every_s=2))
    shed.voltage_v = 0.0
    shed.step()
    assert {why for _, _, why in shed.sheds} == {"no_mains"}
    assert shed.notes == ["circuit.dark top"]
    shed.steps(20)
    assert shed.waiting == ["a", "b", "c"]
    shed.voltage_v = 230.0
    back_ms = shed.now_ms
    shed.starts.clear()
    shed.steps(20)
    first, second, third = (at - back_ms for at, _ in shed.starts)
    assert 5_000 <= first <= 5_500
    assert 2_000 <= second - first <= 2_250
    assert 2_000 <= third - second <= 2_250
    assert shed.notes[-1] == "circuit.lit top"
    assert not shed.state.is_recovering


def test_a_voltage_that_comes_and_goes_is_not_back() -> None:
    shed = started(restart=Restart(after_s=5, every_s=2))
    shed.voltage_v = 0.0
    shed.steps(2)
    shed.starts.clear()
    for _ in range(5):
        shed.voltage_v = 230.0
        shed.steps(4)
        shed.voltage_v = 20.0
        shed.steps(1)
    assert shed.starts == []


@pytest.mark.parametrize("tells", [False, True])
def test_who_can_not_tell_that_the_voltage_is_back_does_not_wait_for_ever(tells: bool) -> None:
    shed = started(restart=Restart(after_s=5, every_s=2))
    shed.voltage_v = 0.0
    shed.step()
    for outlet in ("a", "b", "c"):
        shed.end(outlet)
    shed.steps(20)
    shed.voltage_v, shed.tells_voltage = None, tells
    shed.starts.clear()
    shed.ask("d")
    shed.steps(40)
    assert [outlet for _, outlet in shed.starts] == ([] if tells else ["d"])


def test_one_dark_station_leaves_the_other_alone() -> None:
    tree = tree_of(
        circuit("top", power_w=9_000),
        circuit("left", "a", parent="top", power_w=500),
        circuit("right", "b", parent="top", power_w=500, meter=OutletId("m")),
    )
    shed = Yard(tree)
    shed.metered("right", 0)
    shed.ask("a", "b")
    shed.step()
    for _ in range(2):
        shed.metered("right", 0, voltage_v=3.0)
        shed.step()
    assert [(who, why) for _, who, why in shed.sheds] == [("b", "no_mains")]
    assert shed.notes == ["circuit.dark right"]


def metered() -> Yard:
    shed = Yard(tree_of(circuit("top", *OUTLETS, power_w=9_000, meter=OutletId("m"))))
    shed.metered("top", 0)
    shed.ask("a", "b")
    shed.step()
    assert shed.running == ["a", "b"]
    return shed


def test_one_bad_reading_of_a_feeds_meter_takes_nobody_down() -> None:
    shed = metered()
    shed.metered("top", 200, voltage_v=0.0)
    shed.steps(SURE_S - 1)
    shed.ask("c")
    shed.step()
    assert shed.last.blocked == {"c": "top"}
    shed.metered("top", 200)
    shed.step()
    assert shed.running == ["a", "b", "c"]
    shed.metered("top", 200, voltage_v=0.0)
    shed.steps(1)
    assert shed.sheds == []
    assert shed.notes == []


def test_a_second_reading_makes_a_blackout() -> None:
    shed = metered()
    for _ in range(2):
        assert shed.sheds == []
        shed.metered("top", 0, voltage_v=0.0)
        shed.step()
    assert shed.notes == ["circuit.dark top"]
    assert sorted(who for _, who, _ in shed.sheds) == ["a", "b"]


def test_an_outlet_that_says_the_same_as_its_feeds_meter_makes_a_blackout_at_once() -> None:
    shed = metered()
    shed.voltage_v = 0.0
    shed.metered("top", 0, voltage_v=0.0)
    shed.step()
    assert shed.notes == ["circuit.dark top"]


def test_one_bad_reading_of_the_only_outlet_takes_it_not_down() -> None:
    shed = yard(power_w=9_000)
    shed.ask("a")
    shed.step()
    shed.voltage_v = 0.0
    shed.step()
    shed.voltage_v = 230.0
    shed.step()
    assert shed.running == ["a"]
    shed.voltage_v = 0.0
    shed.steps(0.5)
    assert shed.running == []
    assert shed.notes == ["circuit.dark top"]


def test_one_bad_reading_that_several_outlets_share_takes_nobody_down() -> None:
    """The outlets of a module have one register for the voltage, and a slow line asks seldom."""
    shed = started()
    shed.voltage_v, shed.voltage_ms, shed.misread = 0.0, shed.now_ms, True
    shed.steps(2 * SURE_S)
    assert shed.running == ["a", "b", "c"]
    shed.end("c")
    shed.ask("d")
    shed.step()
    assert shed.last.blocked == {"d": "top"}
    shed.voltage_v = None
    shed.step()
    assert shed.running == ["a", "b", "d"]
    assert shed.notes == []


def test_a_second_reading_makes_a_blackout_whatever_flows() -> None:
    shed = started()
    for _ in range(2):
        assert shed.sheds == []
        shed.voltage_v, shed.voltage_ms, shed.misread = 0.0, shed.now_ms, True
        shed.step()
    assert shed.notes == ["circuit.dark top"]
    assert shed.running == []


def test_no_voltage_and_no_power_at_several_outlets_make_a_blackout_at_once() -> None:
    shed = started()
    shed.voltage_v, shed.voltage_ms = 0.0, shed.now_ms
    shed.step()
    assert shed.notes == ["circuit.dark top"]
    assert shed.running == []


def test_power_that_was_read_before_outlets_went_on_is_no_word_for_a_blackout() -> None:
    shed = yard(power_w=9_000)
    shed.ask("a", "b")
    shed.step()
    shed.since = {
        outlet: (stage, shed.now_ms + 1, 0) for outlet, (stage, _, _) in shed.since.items()
    }
    shed.voltage_v, shed.voltage_ms, shed.misread = 0.0, shed.now_ms, True
    shed.step(0.0)
    assert shed.sheds == []
    shed.step()
    assert shed.running == ["a", "b"]


def test_a_meter_that_falls_silent_with_a_low_voltage_is_a_blackout() -> None:
    shed = metered()
    shed.metered("top", 0, voltage_v=40.0)
    shed.voltage_v = None
    shed.would_w = {"a": 0.0, "b": 0.0}
    shed.steps(SURE_S + 0.5)
    assert shed.notes == ["circuit.dark top"]
    assert {why for _, _, why in shed.sheds} == {"no_mains"}


def test_what_ran_behind_an_open_contactor_waits_and_comes_back_one_by_one() -> None:
    shed = started(restart=Restart(after_s=5, every_s=2))
    shed.feeds["top"] = Feed(shed.now_ms, is_open=True)
    shed.step()
    assert {why for _, _, why in shed.sheds} == {"contactor"}
    shed.steps(10)
    assert shed.waiting == ["a", "b", "c"]
    shed.starts.clear()
    shed.feeds["top"] = Feed(shed.now_ms)
    shed.steps(1)
    assert [who for _, who in shed.starts] == ["a"]
    shed.steps(5)
    assert [who for _, who in shed.starts] == ["a", "b", "c"]
