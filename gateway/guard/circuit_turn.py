"""PURE: one step of a tree of circuits in the making; nothing of it outlives the step."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from operator import attrgetter
from types import MappingProxyType
from typing import Any

from gateway.config import Amount, Circuit
from gateway.core.facts import FactKind
from gateway.core.ids import OutletId
from gateway.core.reasons import Reason
from gateway.guard.circuit_load import (
    Carried,
    Knowledge,
    Scene,
    Stage,
    Tree,
    Usage,
    amps,
    counted,
    has_room,
    parts,
)
from gateway.guard.circuit_state import CircuitNote, Decisions, Shed, TreeState
from gateway.guard.shedding import without
from gateway.guard.slices import Slices, a_few


@dataclass(slots=True)
class Turn:
    """What one step has come to."""

    tree: Tree
    state: TreeState
    scene: Scene
    carried: list[Carried]
    """What is counted, those who were shed and are not seen off included."""
    left: list[Carried]
    """What is left once those who are shed now are off."""
    members: list[list[Usage]]
    """Of each circuit those that hang on it, by itself or by others."""
    decisions: Decisions = field(default_factory=Decisions)
    gone: set[OutletId] = field(default_factory=set)
    """Outlets that are shed in this step."""
    drew: dict[OutletId, Amount] = field(default_factory=dict)
    """What they drew."""
    rest_until_ms: dict[OutletId, int] = field(default_factory=dict)
    """Until when those of them rest that have to."""
    rooms: dict[tuple[int, int, Amount], bool] = field(default_factory=dict)
    """Where there was found to be room, by circuit, phase and need: many who wait need the same."""

    @property
    def now_ms(self) -> int:
        return self.scene.now_ms

    def note(
        self,
        kind: FactKind,
        circuit: Circuit,
        reason: str = "",
        data: Mapping[str, Any] | None = None,
    ) -> None:
        """Have a fact written down, with what the circuit carries and may carry."""
        told = {**figures(circuit, self.left[self.tree.by_id[circuit.id]]), **(data or {})}
        self.decisions.notes.append(CircuitNote(kind, circuit.id, reason, told))

    def running(self, at: int) -> list[Usage]:
        """Give the outlets that run on a circuit, but for those that are shed already."""
        return [
            usage
            for usage in self.members[at]
            if usage.stage is Stage.RUNNING and usage.outlet not in self.gone
        ]

    def shed(self, usage: Usage, at: int, reason: Reason) -> None:
        """Let an outlet make room on a circuit's account, and count what that leaves."""
        circuit = self.tree.circuits[at]
        self.gone.add(usage.outlet)
        evidence = {"circuit": circuit.id, **figures(circuit, self.left[at])}
        self.decisions.sheds.append(Shed(usage.outlet, circuit.id, reason, evidence))
        without(self.tree, self.left, usage)
        if usage.measured is not None:
            self.drew[usage.outlet] = usage.measured

    def let_go_on(self, usage: Usage) -> None:
        """Let an outlet start, and count it with what it may draw."""
        self.decisions.starts.append(usage.outlet)
        self.state = self.state._replace(started_ms=self.now_ms)
        phase = self.tree.phases[usage.outlet]
        for at, need in list(needs(self.tree, self.carried, self.state, usage)):
            one = self.carried[at]
            self.carried[at] = one._replace(extra=one.extra.plus(need, phase))
        self.rooms.clear()

    def has_room(self, at: int, phase: int, need: Amount) -> bool:
        """Say whether an outlet may start on a circuit."""
        found = self.rooms.get((at, phase, need))
        if found is None:
            found = has_room(self.tree.circuits[at], self.carried[at], need, phase)
            self.rooms[at, phase, need] = found
        return found

    def recover(self) -> None:
        """Let outlets go on one by one from now on, until nobody waits."""
        self.state = self.state._replace(is_recovering=True, started_ms=None)

    def end(self) -> TreeState:
        """Give the state after the step."""
        if self.drew:
            drew = MappingProxyType({**self.state.drew, **self.drew})
            self.state = self.state._replace(drew=drew)
        if self.rest_until_ms:
            deferred = MappingProxyType({**self.state.deferred, **self.rest_until_ms})
            self.state = self.state._replace(deferred=deferred)
        return self.state


def begin(tree: Tree, state: TreeState, scene: Scene) -> Slices[Turn]:
    """Begin a step by counting what every circuit carries.

    In whatever order outlets come, they are looked at in one.
    """
    scene = scene._replace(usages=sorted(scene.usages, key=attrgetter("outlet")))
    yield
    loads = yield from counted(tree, scene)
    members: list[list[Usage]] = [[] for _ in tree.circuits]
    for few in a_few(scene.usages):
        for usage in few:
            for at in tree.lines[usage.outlet]:
                members[at].append(usage)
        yield
    return Turn(tree, state, scene, loads, list(loads), members)


def needs(
    tree: Tree, loads: Sequence[Carried], state: TreeState, usage: Usage
) -> Iterator[tuple[int, Amount]]:
    """Say what an outlet counts with on each circuit of its line when it starts.

    One that was shed has shown what it draws. Where a meter is lost it is all it may draw.
    """
    start, drew, limit = usage.start, state.drew.get(usage.outlet), usage.limit
    if drew is not None:
        start = Amount(
            min(limit.power_w, max(start.power_w, drew.power_w)),
            min(limit.current_a, max(start.current_a, drew.current_a)),
        )
    return parts(tree, loads, usage.outlet, start, limit)


def figures(circuit: Circuit, one: Carried) -> dict[str, float | bool]:
    """Say what a circuit carries, and what it may."""
    told: dict[str, float | bool] = {}
    if circuit.power_w is not None:
        told |= {"power_w": round(one.base.power_w, 1), "limit_w": circuit.power_w}
    if circuit.current_a is not None:
        told |= {"current_a": round(amps(circuit, one.base), 2), "limit_a": circuit.current_a}
    if one.known is Knowledge.LIMITS:
        told["fallback"] = True
    return told
