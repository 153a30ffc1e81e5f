"""Circuits: who starts, who waits, who is shed, and who goes on."""

from __future__ import annotations

from typing import Any

import pytest

from gateway.config import Amount, Circuit, Policy, Restart
from gateway.core.ids import OutletId
from gateway.guard.circuit_load import Feed, Knowledge, Scene, Stage, carried, trees_of
from gateway.guard.circuits import admit, defer
from gateway.guard.supply import SURE_S
from tests.support.circuits import Yard, circuit, tree_of, watts

OUTLETS = ("a", "b", "c", "d")


def yard(power_w: float = 1_000, policy: Policy = Policy.LATEST_FIRST, **said: Any) -> Yard:
    top = circuit("top", *OUTLETS, power_w=power_w, policy=policy, delay_s=10, **said)
    return Yard(tree_of(top))


def started(policy: Policy = Policy.LATEST_FIRST, **said: Any) -> Yard:
    """Three outlets that draw 300 W each, settled, on a circuit of 1000 W."""
    found = yard(policy=policy, **said)
    found.would_w = dict.fromkeys(OUTLETS, 300.0)
    if "meter" in said:
        found.others_w = {"top": 0.0}
    for outlet in ("a", "b", "c"):
        found.ask(outlet)
        found.step()
    found.steps(6)
    assert found.running == ["a", "b", "c"]
    return found


# --- starts


def test_no_start_exceeds_the_circuit_and_who_finds_no_room_goes_on_later() -> None:
    shed = started()
    shed.ask("d")
    shed.steps(60)
    assert shed.waiting == ["d"]
    assert shed.last.blocked == {"d": "top"}
    shed.end("b")
    shed.step()
    assert shed.running == ["a", "c", "d"]


def test_one_that_has_just_started_counts_with_what_it_may_draw() -> None:
    shed = yard(power_w=1_000)
    shed.start_w = 600
    shed.would_w = dict.fromkeys(OUTLETS, 100.0)
    shed.ask(*OUTLETS)
    shed.step()
    assert shed.running == ["a"]
    shed.steps(5)
    assert shed.running == ["a", "b"]
    shed.steps(30)
    assert shed.running == ["a", "b", "c", "d"]


def test_no_start_at_or_above_the_starting_limit() -> None:
    """At 7,800 W no new start, at 8,700 W somebody has to go (domain facts, section 2)."""
    shed = yard(power_w=8_700, start_below_w=7_800)
    shed.limit_w, shed.start_w = 4_000, 100
    shed.would_w = {"a": 3_900, "b": 3_900, "c": 100}
    shed.ask("a", "b")
    shed.steps(10)
    shed.ask("c")
    shed.steps(10)
    assert shed.waiting == ["c"]
    shed.would_w["b"] = 3_899
    shed.step()
    assert shed.running == ["a", "b", "c"]


def test_who_waits_is_not_overtaken_on_the_circuit_it_waits_for() -> None:
    shed = started()
    shed.start_w = 400
    shed.ask("d")
    shed.step()
    shed.would_w["d"] = 50
    assert shed.waiting == ["d"]
    shed.end("c")
    shed.ask("c")
    shed.step()
    assert shed.starts[-1][1] == "d"


def test_who_waits_for_its_own_circuit_does_not_hold_back_others() -> None:
    tree = tree_of(
        circuit("top", power_w=1_000),
        circuit("left", "a", "b", parent="top", power_w=300),
        circuit("right", "c", parent="top", power_w=600),
    )
    shed = Yard(tree)
    shed.ask("a", "b", "c")
    shed.step()
    assert shed.running == ["a", "c"]
    assert shed.last.blocked == {"b": "left"}


def test_one_that_can_not_go_on_for_its_own_sake_keeps_nobody_waiting() -> None:
    shed = yard(power_w=300)
    shed.would_w = dict.fromkeys(OUTLETS, 300.0)
    shed.ask("a", "b")
    shed.state = defer(shed.state, OutletId("a"), shed.now_ms)
    shed.step()
    assert shed.running == ["b"]
    shed.end("b")
    shed.steps(6)
    assert shed.running == ["a"]


# --- requests


def asked(shed: Yard, outlet: str) -> str:
    before = dict(shed.since)
    shed.ask(outlet)
    usage = shed.usage(outlet)
    shed.since = before
    return admit(shed.tree, shed.state, shed.scene(), usage).code


def test_a_request_may_start_or_wait() -> None:
    assert asked(yard(), "a") == ""
    assert asked(started(), "d") == ""


def test_where_nobody_may_wait_a_request_is_refused_unless_it_has_room() -> None:
    shed = yard(most_waiting=0)
    assert asked(shed, "a") == ""
    shed.ask("a", "b", "c")
    shed.step()
    assert shed.running == ["a", "b", "c"]
    assert asked(shed, "d") == "queue_full"


def test_a_request_that_never_fits_is_refused() -> None:
    shed = yard(power_w=250)
    assert asked(shed, "a") == "too_much"
    shed = yard(power_w=9_000, current_a=1.0)
    assert asked(shed, "a") == "too_much"


def test_a_request_beyond_the_queue_is_refused() -> None:
    shed = started(most_waiting=0)
    assert asked(shed, "d") == "queue_full"


def test_a_request_behind_an_open_contactor_is_refused() -> None:
    shed = yard()
    shed.feeds["top"] = Feed(shed.now_ms, is_open=True, latched=True)
    assert asked(shed, "a") == "contactor_open"
    shed.feeds["top"] = Feed(shed.now_ms, is_open=True)
    assert asked(shed, "a") == ""


# --- too much


def overloaded(policy: Policy, **said: Any) -> Yard:
    shed = started(policy, **said)
    shed.would_w["a"] = 420.0
    return shed


@pytest.mark.parametrize(
    ("policy", "victim"),
    [(Policy.LATEST_FIRST, "c"), (Policy.FAIR_ROTATION, "a"), (Policy.PRIORITY, "b")],
)
def test_over_the_limit_for_longer_than_its_delay_sheds_by_policy(
    policy: Policy, victim: str
) -> None:
    priorities = {OutletId("a"): 5, OutletId("b"): 1, OutletId("c"): 2}
    shed = overloaded(policy, priorities=priorities)
    since_ms = shed.now_ms
    shed.steps(9.75)
    assert shed.sheds == []
    shed.steps(1)
    assert [(who, why) for _, who, why in shed.sheds] == [(victim, "circuit_over")]
    assert shed.sheds[0][0] - since_ms <= 10_250
    assert shed.notes == ["circuit.over top"]
    shed.steps(5)
    assert shed.waiting == [victim]
    assert shed.notes == ["circuit.over top", "circuit.cleared top"]


def test_a_short_peak_sheds_nobody() -> None:
    shed = overloaded(Policy.LATEST_FIRST)
    shed.steps(9)
    shed.would_w["a"] = 300.0
    shed.steps(5)
    shed.would_w["a"] = 420.0
    shed.steps(9)
    assert shed.sheds == []


def test_no_more_is_shed_than_helps() -> None:
    shed = started()
    shed.would_w |= {"a": 900, "c": 0}
    shed.steps(30)
    assert [who for _, who, _ in shed.sheds] == ["b"]


def test_what_does_not_go_off_is_no_reason_to_wait_for_the_whole_delay_again() -> None:
    shed = overloaded(Policy.LATEST_FIRST)
    shed.off_after_ms = 1_000_000
    shed.steps(10.5)
    assert [who for _, who, _ in shed.sheds] == ["c"]
    shed.steps(3.25)
    assert [who for _, who, _ in shed.sheds] == ["c", "b"]


def test_one_that_was_shed_comes_back_when_there_is_room_for_what_it_drew() -> None:
    shed = started()
    shed.would_w["c"] = 450.0
    shed.steps(12)
    assert shed.waiting == ["c"]
    shed.would_w["a"] = 300.0
    shed.steps(60)
    assert shed.waiting == ["c"], "300 W would fit, the 450 W that it drew do not"
    shed.would_w["b"] = 200.0
    shed.steps(60)
    assert shed.running == ["a", "b", "c"]


def test_one_that_was_shed_rests_and_keeps_nobody_else_waiting() -> None:
    shed = overloaded(Policy.LATEST_FIRST, rest_s=60)
    shed.steps(11)
    assert shed.at(Stage.WAITING) == ["c"]
    shed.would_w["a"] = 200.0
    shed.steps(45)
    assert shed.waiting == ["c"]
    shed.would_w["d"] = 100.0
    shed.ask("d")
    shed.step()
    assert shed.running == ["a", "b", "d"]
    shed.steps(20)
    assert shed.running == ["a", "b", "c", "d"]


def test_a_circuit_beneath_another_sheds_for_both() -> None:
    tree = tree_of(
        circuit("top", power_w=900, delay_s=5),
        circuit("left", "a", "b", parent="top", power_w=500, delay_s=5),
        circuit("right", "c", parent="top", power_w=500, delay_s=5),
    )
    shed = Yard(tree, would_w={"a": 250, "b": 250, "c": 300}, start_w=250)
    shed.ask("a", "b", "c")
    shed.steps(6)
    assert shed.running == ["a", "b", "c"]
    shed.would_w["b"] = 400
    shed.steps(6)
    assert [who for _, who, _ in shed.sheds] == ["b"]


def test_a_three_phase_feed_is_counted_by_phase() -> None:
    phases = [
        circuit(f"p{n}", *outlets, parent="top", phase=f"L{n}", current_a=100)
        for n, outlets in ((1, "ab"), (2, "c"))
    ]
    tree = tree_of(circuit("top", phases=3, current_a=10, delay_s=2), *phases)
    shed = Yard(tree, would_w={"a": 1_150, "b": 1_150, "c": 1_150}, limit_w=1_200, start_w=1_150)
    shed.ask("c", "b", "a")
    shed.steps(20)
    assert shed.running == ["a", "b", "c"]
    shed.would_w |= {"b": 1_200, "c": 2_000}
    shed.steps(3)
    assert [who for _, who, _ in shed.sheds] == ["a"]


# --- fair rotation


def test_everybody_gets_a_turn() -> None:
    shed = started(Policy.FAIR_ROTATION, rotate_s=60)
    shed.ask("d")
    shed.steps(60)
    assert [(who, why) for _, who, why in shed.sheds] == [("a", "rotation")]
    assert shed.running == ["b", "c", "d"]
    on_s = dict.fromkeys(OUTLETS, 0.0)
    for _ in range(4_000):
        shed.step()
        for outlet in shed.running:
            on_s[outlet] += 0.25
    assert min(on_s.values()) > 700, "of 1000 s each could have 750"
    assert len(shed.sheds) < 55, "a turn lasts a minute"


def test_nobody_rotates_while_nobody_waits() -> None:
    shed = started(Policy.FAIR_ROTATION, rotate_s=60)
    shed.steps(300)
    assert shed.sheds == []


# --- a meter of its own


def test_a_circuit_counts_what_its_meter_shows() -> None:
    shed = started(meter=OutletId("m"))
    shed.others_w["top"] = 60.0
    shed.steps(20)
    assert shed.sheds == []
    shed.others_w["top"] = 200.0
    shed.steps(12)
    assert [who for _, who, _ in shed.sheds] == ["c"]


def test_a_lost_meter_makes_outlets_count_with_their_limits() -> None:
    shed = yard(power_w=2_500, meter=OutletId("m"))
    shed.metered("top", 0)
    shed.ask("a", "b")
    shed.step()
    shed.steps(9)
    assert shed.running == ["a", "b"]
    assert shed.notes == []
    shed.steps(2)
    assert shed.notes == ["circuit.meter_lost top"]
    shed.ask("c")
    shed.steps(30)
    assert shed.waiting == ["c"], "2 x 1000 W and 1000 W more are above 2500 W"
    assert shed.sheds == []
    shed.metered("top", 200)
    shed.step()
    assert shed.running == ["a", "b", "c"]
    assert shed.notes == ["circuit.meter_lost top", "circuit.meter_found top"]


def test_a_lost_meter_sheds_what_could_be_too_much() -> None:
    shed = yard(power_w=2_500, meter=OutletId("m"))
    shed.metered("top", 300)
    shed.ask("a", "b", "c")
    shed.step()
    for _ in range(10):
        shed.metered("top", 300)
        shed.step(1)
    assert shed.running == ["a", "b", "c"]
    shed.steps(21)
    assert [who for _, who, _ in shed.sheds] == ["c"]


def test_a_meter_that_shows_less_than_its_outlets_is_not_believed() -> None:
    shed = started(meter=OutletId("m"))
    shed.metered("top", 0)
    (one,) = carried(shed.tree, shed.scene())
    assert one.base.power_w == 900


def test_an_outlet_that_nobody_measures_counts_with_its_limit() -> None:
    shed = started()
    scene = shed.scene()
    usages = [scene.usages[0]._replace(measured=None), *scene.usages[1:]]
    (one,) = carried(shed.tree, Scene(usages, {}, shed.now_ms))
    assert one.base.power_w == 1_000 + 600


def test_a_healthy_meter_beneath_a_lost_one_counts() -> None:
    tree = tree_of(
        circuit("top", "a", power_w=9_000, meter=OutletId("m")),
        circuit("left", "b", "c", parent="top", power_w=9_000, meter=OutletId("n")),
    )
    shed = Yard(tree, would_w={"a": 100, "b": 100, "c": 100}, start_w=100)
    shed.metered("left", 250)
    shed.metered("top", 350)
    shed.ask("a", "b", "c")
    shed.step()
    shed.steps(6)
    shed.now_ms += 6_000
    shed.metered("left", 250)
    top, left = carried(tree, shed.scene())
    assert left.base.power_w == 250
    assert top.known is Knowledge.LIMITS
    assert top.base.power_w == 1_000 + 250


# --- blackouts and contactors


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


def test_trees_are_kept_apart() -> None:
    circuits: list[Circuit] = [
        circuit("one", "a", power_w=1),
        circuit("two", "b", power_w=1),
        circuit("under", "c", parent="one", power_w=1),
    ]
    first, second = trees_of(circuits)
    assert [c.id for c in first.circuits] == ["one", "under"]
    assert first.lines[OutletId("c")] == (1, 0)
    assert [c.id for c in second.circuits] == ["two"]
    assert Stage.WAITING.value == "waiting"
    assert watts(230) == Amount(230.0, 1.0)
