"""Circuits that carry too much: who goes off, who comes back, and whose turn it is."""

from __future__ import annotations

from typing import Any

import pytest

from gateway.config import Policy
from gateway.core.ids import OutletId
from gateway.guard.circuit_load import Stage
from tests.support.circuits import OUTLETS, Yard, circuit, started, tree_of


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
