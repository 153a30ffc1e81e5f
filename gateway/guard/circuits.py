"""PURE: who may start on a tree of circuits, who waits, and who is shed.

``step`` is a function of its arguments alone; ``judge`` is the same in slices. No start that would
exceed a circuit is made: an outlet that has just started counts with what it may draw. A circuit
that carries more than it may, for longer than its delay, sheds outlets by its policy; their leases
go on, and they wait in the tree's one queue like those that found no room. After a blackout, and
after a contactor was open, outlets go on one by one.

Nobody overtakes: an outlet that waits for a circuit holds all behind it back that need the same
circuit, so that a large one is not kept waiting by small ones for ever.
"""

from __future__ import annotations

from types import MappingProxyType

from gateway.config import Circuit, Policy
from gateway.core.facts import FactKind
from gateway.core.ids import OutletId
from gateway.core.reasons import Reason
from gateway.guard import shedding, supply
from gateway.guard.circuit_load import NO_LOAD, Scene, Stage, Tree, Usage, is_over
from gateway.guard.circuit_state import Answer, Decisions, TreeState
from gateway.guard.circuit_turn import Turn, begin, needs
from gateway.guard.slices import Slices, whole

DEFER_MS = 5_000
"""An outlet that could not go on, for its own sake, is tried again after so long."""
SEEN_S = 3.0
"""Within this an outlet that was told to go off is usually seen off."""


def step(tree: Tree, state: TreeState, scene: Scene) -> tuple[TreeState, Decisions]:
    """Judge a tree: who is shed, who goes on, and what is to be written down."""
    return whole(judge(tree, state, scene))


def judge(tree: Tree, state: TreeState, scene: Scene) -> Slices[tuple[TreeState, Decisions]]:
    """Do what ``step`` does, in slices."""
    turn = yield from begin(tree, _without_old(state, scene), scene)
    yield from supply.meters(turn)
    yield from supply.contactors(turn)
    yield from supply.darkness(turn)
    yield from _overloads(turn)
    yield from _start(turn)
    return turn.end(), turn.decisions


def admit(tree: Tree, state: TreeState, scene: Scene, asked: Usage) -> Answer:
    """Say whether an outlet that asks for a lease is refused: it would never start, or not wait.

    As long as there is a place to wait, what runs decides nothing and may be left out of the scene;
    so it may as long as anybody waits.
    """
    phase = tree.phases[asked.outlet]
    for at in tree.lines[asked.outlet]:
        circuit = tree.circuits[at]
        feed = scene.feeds.get(circuit.id)
        if feed is not None and feed.latched:
            message = f"the contactor of circuit {circuit.id} is open: a person has to look at "
            return Answer("contactor_open", f"{message}it and reset circuit/{circuit.id} on site")
        if is_over(circuit, NO_LOAD.plus(asked.start, phase)):
            return Answer("too_much", _too_much(circuit, asked))
    waiting = sum(usage.stage is Stage.WAITING for usage in scene.usages)
    if waiting < tree.top.most_waiting:
        return Answer()
    if not (waiting or state.is_recovering or _is_kept_out(tree, state, scene, asked)):
        return Answer()
    message = f"no room on circuit {tree.top.id}, and {waiting} outlets wait already"
    return Answer("queue_full", f"{message}: try again later")


def defer(state: TreeState, outlet: OutletId, now_ms: int) -> TreeState:
    """Note that an outlet could not go on for its own sake: others need not wait for it."""
    deferred = {**state.deferred, outlet: now_ms + DEFER_MS}
    return state._replace(deferred=MappingProxyType(deferred))


def _is_kept_out(tree: Tree, state: TreeState, scene: Scene, asked: Usage) -> bool:
    turn = whole(begin(tree, state, scene))
    return _shut(turn, asked) is not None or bool(_full(turn, asked))


def _too_much(circuit: Circuit, asked: Usage) -> str:
    is_power = circuit.power_w is not None and asked.start.power_w > circuit.power_w
    most = f"{circuit.power_w:g} W" if is_power else f"{circuit.current_a:g} A"
    what = f"{asked.start.power_w:g} W" if is_power else f"{asked.start.current_a:.1f} A"
    return (
        f"it may draw {what}, and circuit {circuit.id} carries {most}: ask with a lower power "
        "limit, or lower the outlet's"
    )


def _without_old(state: TreeState, scene: Scene) -> TreeState:
    """Forget outlets that are not in use any more, and what is over."""
    if not state.drew and not state.deferred:
        return state
    here = {usage.outlet for usage in scene.usages}
    return state._replace(
        drew=MappingProxyType({o: drew for o, drew in state.drew.items() if o in here}),
        deferred=MappingProxyType(
            {o: until for o, until in state.deferred.items() if o in here and until > scene.now_ms}
        ),
    )


# Too much


def _overloads(turn: Turn) -> Slices[None]:
    """Shed where too much has flowed for too long; the lowest circuits first: it helps above."""
    over_ms = dict(turn.state.over_ms)
    for at in reversed(range(len(turn.tree.circuits))):
        yield
        circuit = turn.tree.circuits[at]
        if not is_over(circuit, turn.left[at].base):
            over_ms.pop(circuit.id, None)
            _cleared(turn, circuit)
            continue
        held_ms = turn.now_ms - over_ms.setdefault(circuit.id, turn.now_ms)
        if held_ms >= circuit.delay_s * 1000:
            for concerned in (yield from _relieve(turn, at, held_ms)):
                over_ms[concerned.id] = max(
                    over_ms.get(concerned.id, 0), turn.now_ms + _patience_ms(concerned)
                )
    if over_ms != turn.state.over_ms:
        turn.state = turn.state._replace(over_ms=MappingProxyType(over_ms))


def _cleared(turn: Turn, circuit: Circuit) -> None:
    if circuit.id in turn.state.told_over and circuit.id not in turn.state.over_ms:
        turn.state = turn.state._replace(told_over=turn.state.told_over - {circuit.id})
        turn.note(FactKind.CIRCUIT_CLEARED, circuit)


def _relieve(turn: Turn, at: int, held_ms: int) -> Slices[list[Circuit]]:
    """Shed until a circuit carries no more than it may; give the circuits that this concerns."""
    circuit = turn.tree.circuits[at]
    victims = yield from shedding.victims(turn.tree, at, turn.running(at), turn.left)
    if circuit.id not in turn.state.told_over:
        turn.state = turn.state._replace(told_over=turn.state.told_over | {circuit.id})
        data = {"held_ms": held_ms, "shed": [usage.outlet for usage in victims]}
        turn.note(FactKind.CIRCUIT_OVER, circuit, Reason.CIRCUIT_OVER, data)
    places: set[int] = set()
    rest_ms = round(circuit.rest_s * 1000)
    for usage in victims:
        turn.shed(usage, at, Reason.CIRCUIT_OVER)
        turn.rest_until_ms[usage.outlet] = turn.now_ms + rest_ms
        places.update(turn.tree.lines[usage.outlet])
        yield
    return [turn.tree.circuits[place] for place in places]


def _patience_ms(circuit: Circuit) -> int:
    """Say how much later than now a circuit may begin to be over, once something was shed on it.

    An OFF has to be seen, by the circuit's own meter where it has one, before more is shed; then
    no whole delay is waited for again.
    """
    seen_s = SEEN_S if circuit.meter is None else max(SEEN_S, circuit.meter_silence_s)
    return round((seen_s - circuit.delay_s) * 1000)


# Going on


def _start(turn: Turn) -> Slices[None]:
    """Let those go on for whom there is room, in the queue's order."""
    stopped: set[int] = set()
    first: Usage | None = None
    queue = shedding.queue(turn.tree, turn.scene.usages)
    for usage in queue:
        yield
        if turn.state.deferred.get(usage.outlet, 0) > turn.now_ms:
            continue
        line = turn.tree.lines[usage.outlet]
        held = _shut(turn, usage)
        if held is None:
            full = _full(turn, usage)
            held = next((at for at in line if at in stopped or at in full), None)
            if held is None and _is_its_turn(turn):
                turn.let_go_on(usage)
                continue
            stopped.update(full)
            first = usage if first is None and full else first
        turn.decisions.blocked[usage.outlet] = turn.tree.circuits[
            line[0] if held is None else held
        ].id
    is_going = bool(turn.gone) or any(u.stage is Stage.GOING for u in turn.scene.usages)
    if turn.state.is_recovering and not queue and not is_going:
        turn.state = turn.state._replace(is_recovering=False)
    if first is not None and not is_going and turn.tree.top.policy is Policy.FAIR_ROTATION:
        yield from _rotate(turn, first)


def _is_its_turn(turn: Turn) -> bool:
    """Say whether the last start was long enough ago, where outlets go on one by one."""
    if not turn.state.is_recovering or turn.state.started_ms is None:
        return True
    return turn.now_ms - turn.state.started_ms >= turn.tree.top.restart.every_s * 1000


def _shut(turn: Turn, usage: Usage) -> int | None:
    """Give a circuit of an outlet that seems without voltage, or whose contactor is open."""
    for at in turn.tree.lines[usage.outlet]:
        circuit = turn.tree.circuits[at]
        feed = turn.scene.feeds.get(circuit.id)
        is_dark = circuit.id in turn.state.dark or circuit.id in turn.state.low
        if is_dark or (feed is not None and feed.is_open):
            return at
    return None


def _full(turn: Turn, usage: Usage) -> set[int]:
    """Give the circuits of an outlet that have no room for it."""
    phase = turn.tree.phases[usage.outlet]
    return {
        at
        for at, need in needs(turn.tree, turn.carried, turn.state, usage)
        if not turn.has_room(at, phase, need)
    }


def _rotate(turn: Turn, first: Usage) -> Slices[None]:
    """Let those who were on longest make room for the one who waits longest, if that helps.

    One after the other, and not at once: of four of which three have room, each is to be on for
    three quarters of the time, and not to be switched every other second.
    """
    full_ms = turn.tree.top.rotate_s * 1000
    running = [usage for usage in turn.scene.usages if usage.stage is Stage.RUNNING]
    if (turn.now_ms - first.since_ms) * len(running) < full_ms:
        return
    rested = [usage for usage in running if turn.now_ms - usage.since_ms >= full_ms]
    need = dict(needs(turn.tree, turn.carried, turn.state, first))
    yield
    chosen = yield from shedding.makes_room(turn.tree, turn.carried, rested, first, need)
    for usage, at in chosen:
        turn.shed(usage, at, Reason.ROTATION)
        yield
