"""What holds for circuits whatever is asked, drawn, lost and found."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.config import Policy
from gateway.core.ids import OutletId
from gateway.guard.circuit_load import Knowledge, Scene, Stage, Tree, amps, carried, is_over
from gateway.guard.circuit_state import TreeState
from gateway.guard.circuits import SEEN_S, step
from tests.support.circuits import Yard, circuit, tree_of

OUTLETS = "abcdef"
STEP_S = 0.5
DELAY_S = 4.0

POLICIES = st.sampled_from(list(Policy))
MOST_W = st.sampled_from([300, 700, 1_000, 1_500, 4_000])


@st.composite
def trees(draw: st.DrawFn) -> Tree:
    """Make a site with two stations, one of them with two piles; any of them may be measured."""
    policy = draw(POLICIES)
    priorities = {OutletId(o): draw(st.integers(0, 2)) for o in OUTLETS}

    def said(power_w: int) -> dict[str, Any]:
        return {
            "power_w": power_w,
            "current_a": draw(st.sampled_from([None, power_w / 230])),
            "start_below_w": draw(st.sampled_from([None, power_w * 0.8])),
            "policy": policy,
            "priorities": priorities,
            "delay_s": DELAY_S,
            "rotate_s": 20.0,
            "meter": draw(st.sampled_from([None, None, "m"])),
        }

    return tree_of(
        circuit("top", **said(draw(MOST_W))),
        circuit("north", "a", "b", parent="top", **said(draw(MOST_W))),
        circuit("south", parent="top", **said(draw(MOST_W))),
        circuit("pile1", "c", "d", parent="south", **said(draw(MOST_W))),
        circuit("pile2", "e", "f", parent="south", **said(draw(MOST_W))),
    )


EVENTS = st.one_of(
    st.tuples(st.just("ask"), st.sampled_from(OUTLETS)),
    st.tuples(st.just("ask"), st.sampled_from(OUTLETS)),
    st.tuples(st.just("end"), st.sampled_from(OUTLETS)),
    st.tuples(
        st.just("draw"), st.sampled_from(OUTLETS), st.sampled_from([0, 20, 150, 290, 600, 1_000])
    ),
    st.tuples(st.just("lose"), st.sampled_from(["top", "north", "south", "pile1"])),
    st.tuples(st.just("find"), st.sampled_from(["top", "north", "south", "pile1"])),
    st.tuples(st.just("volts"), st.sampled_from([0, 230, 230, 230])),
)
STORIES = st.lists(st.tuples(EVENTS, st.integers(0, 30)), max_size=25)


def begin(tree: Tree) -> Yard:
    yard = Yard(tree, would_w=dict.fromkeys(OUTLETS, 290.0))
    for one in tree.circuits:
        if one.meter is not None:
            yard.others_w[one.id] = 0.0
            yard.metered(one.id, 0.0)
    return yard


def tell(yard: Yard, event: tuple[str, ...]) -> None:
    word, name = event[0], str(event[1])
    if word == "ask" and name not in yard.since:
        yard.ask(name)
    elif word == "end" and name in yard.since:
        yard.end(name)
    elif word == "draw":
        yard.would_w[name] = float(event[2])
    elif word == "lose":
        yard.others_w.pop(name, None)
    elif word == "find" and yard.tree.circuits[yard.tree.by_id[name]].meter is not None:  # type: ignore[index]
        yard.others_w[name] = 0.0
    elif word == "volts":
        yard.voltage_v = float(event[1])


@settings(max_examples=150, deadline=None)
@given(trees(), STORIES)
def test_no_start_makes_a_circuit_count_more_than_it_may(
    tree: Tree, story: list[tuple[tuple[str, ...], int]]
) -> None:
    yard = begin(tree)
    for event, steps in story:
        tell(yard, event)
        for _ in range(steps):
            yard.step(STEP_S)
            if not yard.last.starts:
                continue
            for one, load in zip(tree.circuits, carried(tree, yard.scene()), strict=True):
                concerned = any(
                    tree.by_id[one.id] in tree.lines[outlet] for outlet in yard.last.starts
                )
                assert not concerned or not is_over(one, load.counted), (one.id, load)


@settings(max_examples=150, deadline=None)
@given(trees(), STORIES)
def test_too_much_is_shed_within_the_delay_as_far_as_shedding_helps(
    tree: Tree, story: list[tuple[tuple[str, ...], int]]
) -> None:
    """A circuit that stays over has nobody left to shed, or has just shed somebody."""
    yard = begin(tree)
    over_s = dict.fromkeys((one.id for one in tree.circuits), 0.0)
    for event, steps in story:
        tell(yard, event)
        for _ in range(steps):
            yard.step(STEP_S)
            loads = carried(tree, yard.scene())
            for at, one in enumerate(tree.circuits):
                flows = is_over(one, loads[at].base)
                over_s[one.id] = over_s[one.id] + STEP_S if flows else 0.0
                seen_s = SEEN_S if one.meter is None else max(SEEN_S, one.meter_silence_s)
                if over_s[one.id] <= DELAY_S + 3 * seen_s + 2 * STEP_S:
                    continue
                left = [
                    outlet
                    for outlet in yard.running
                    if at in tree.lines[OutletId(outlet)] and yard.would_w[outlet] > 0
                ]
                assert not left or yard.sheds[-1][0] >= yard.now_ms - 3_000 * seen_s, one.id


@settings(max_examples=60, deadline=None)
@given(st.integers(2, 5), st.sampled_from([150.0, 290.0]))
def test_nobody_starves_in_fair_rotation(room: int, draws_w: float) -> None:
    top = circuit("top", *OUTLETS, power_w=room * 300.0, policy=Policy.FAIR_ROTATION, rotate_s=20.0)
    yard = Yard(tree_of(top), would_w=dict.fromkeys(OUTLETS, draws_w))
    yard.ask(*OUTLETS)
    on = dict.fromkeys(OUTLETS, 0)
    for _ in range(1_200):
        yard.step(STEP_S)
        for outlet in yard.running:
            on[outlet] += 1
    assert min(on.values()) >= 0.6 * max(on.values()), on


@settings(max_examples=100, deadline=None)
@given(trees(), STORIES)
def test_priorities_are_respected(tree: Tree, story: list[tuple[tuple[str, ...], int]]) -> None:
    """Nobody is shed while one of lower priority runs on the same circuits and would help."""
    if tree.top.policy is not Policy.PRIORITY:
        return
    yard = begin(tree)
    rank = tree.top.priorities
    for event, steps in story:
        tell(yard, event)
        for _ in range(steps):
            before = yard.scene()
            drew = {u.outlet: u.measured for u in before.usages}
            yard.step(STEP_S)
            for shed in yard.last.sheds:
                if shed.reason.value != "circuit_over" or "fallback" in shed.evidence:
                    continue
                at = tree.by_id[shed.circuit]
                spared = [
                    outlet
                    for outlet in yard.running
                    if at in tree.lines[OutletId(outlet)]
                    and rank.get(OutletId(outlet), 0) < rank.get(shed.outlet, 0)
                    and OutletId(outlet) not in yard.last.starts
                    and (measured := drew.get(OutletId(outlet))) is not None
                    and measured.power_w > 0
                ]
                assert not spared, (shed, spared)


@settings(max_examples=100, deadline=None)
@given(trees(), STORIES)
def test_the_same_inputs_give_the_same_outputs(
    tree: Tree, story: list[tuple[tuple[str, ...], int]]
) -> None:
    yard = begin(tree)
    for event, steps in story:
        tell(yard, event)
        for _ in range(min(steps, 5)):
            yard.now_ms += 500
            scene, state = yard.scene(), yard.state
            again = Scene(tuple(reversed(scene.usages)), dict(scene.feeds), scene.now_ms)
            first, second = step(tree, state, scene), step(tree, state, again)
            assert first[1].starts == second[1].starts
            assert first[1].sheds == second[1].sheds
            assert first[1].notes == second[1].notes
            assert _plain(first[0]) == _plain(second[0])
            yard.step(STEP_S)


def _plain(state: TreeState) -> list[object]:
    return [dict(part) if isinstance(part, Mapping) else part for part in state]


@settings(max_examples=100, deadline=None)
@given(trees(), STORIES)
def test_a_lost_meter_counts_the_limits_of_what_runs(
    tree: Tree, story: list[tuple[tuple[str, ...], int]]
) -> None:
    yard = begin(tree)
    for event, steps in story:
        tell(yard, event)
        for _ in range(steps):
            yard.step(STEP_S)
            scene = yard.scene()
            loads = carried(tree, scene)
            for at, one in enumerate(loads):
                if one.known is not Knowledge.LIMITS:
                    continue
                beneath = [
                    u
                    for u in scene.usages
                    if at in tree.lines[u.outlet] and u.stage is Stage.RUNNING
                ]
                healthy = [
                    place
                    for place in range(len(tree.circuits))
                    if place != at
                    and at in tree.above(place)
                    and loads[place].known is Knowledge.METER
                ]
                if healthy:
                    continue
                limits_w = sum(u.limit.power_w for u in beneath)
                assert one.base.power_w >= limits_w - 1e-6
                assert amps(tree.circuits[at], one.base) >= limits_w / 230 - 1e-6
