"""Circuits: who may ask, who goes on, and who waits for room."""

from __future__ import annotations

from gateway.core.ids import OutletId
from gateway.guard.circuit_load import Feed
from gateway.guard.circuits import admit, defer
from tests.support.circuits import OUTLETS, Yard, circuit, started, tree_of, yard


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
