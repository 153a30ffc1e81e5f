"""PURE: what each circuit of a tree carries, and what it has to be counted with.

Carried is what its meter shows; without one, the sum of what hangs on it. Where the meter is
lost, what hangs on it counts with its limits: nobody knows what else draws. On top of what is
carried comes what outlets that have just started may still draw.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import NamedTuple

from gateway.config import Amount, Circuit
from gateway.config.circuit_model import MAINS_V, PHASES
from gateway.core.ids import CircuitId, OutletId
from gateway.guard.slices import Slices, a_few, whole

NOTHING = Amount(0.0, 0.0)
_ROUNDING = 1e-6
"""What sums of figures may be off by."""


class Stage(StrEnum):
    """What an outlet is to its circuits."""

    WAITING = "waiting"
    """Holds a lease and is off: it goes on when there is room."""
    RUNNING = "running"
    """Starting or on."""
    GOING = "going"
    """Told to go off; samples do not show it yet."""


class Usage(NamedTuple):
    """One outlet that is in use, or waits."""

    outlet: OutletId
    stage: Stage
    granted_ms: int
    """When its lease was granted."""
    since_ms: int
    """Since when it is at this stage."""
    limit: Amount
    """What its lease and its rules allow it to draw."""
    start: Amount
    """What it counts with until its draw is known; never more than its limit."""
    measured: Amount | None = None
    """What it draws; None: nobody knows, or not any more."""
    drawn_ms: int | None = None
    """When that was read."""
    voltage_v: float | None = None
    voltage_ms: int | None = None
    """When that was read."""
    settled: bool = False
    """Whether what it draws now says what it will draw."""
    tells_voltage: bool = True
    """Whether its meter ever gave a voltage."""


class Feed(NamedTuple):
    """What is known of a circuit itself."""

    at_ms: int
    """When its meter said something last, or since when it is waited for."""
    measured: Amount | None = None
    voltage_v: float | None = None
    is_open: bool = False
    """Whether its contactor is not seen closed."""
    latched: bool = False
    """Whether its contactor stays open until a person on site releases it."""
    voltage_ms: int | None = None
    """When its voltage was read."""


class Scene(NamedTuple):
    """What is seen of a tree at one moment."""

    usages: Sequence[Usage]
    feeds: Mapping[CircuitId, Feed]
    """Of circuits with a meter or a contactor."""
    now_ms: int


class Load(NamedTuple):
    """Power, and the current of each phase; a circuit of one phase uses but one of them."""

    power_w: float = 0.0
    l1_a: float = 0.0
    l2_a: float = 0.0
    l3_a: float = 0.0

    def plus(self, amount: Amount, phase: int) -> Load:
        """Add what flows on one phase."""
        power_w, l1_a, l2_a, l3_a = self
        power_w += amount.power_w
        if phase == 0:
            return Load(power_w, l1_a + amount.current_a, l2_a, l3_a)
        if phase == 1:
            return Load(power_w, l1_a, l2_a + amount.current_a, l3_a)
        return Load(power_w, l1_a, l2_a, l3_a + amount.current_a)

    def minus(self, amount: Amount, phase: int) -> Load:
        """Take away what flows on one phase."""
        return self.plus(Amount(-amount.power_w, -amount.current_a), phase)

    def join(self, other: Load) -> Load:
        """Add another load."""
        return Load(
            self.power_w + other.power_w,
            self.l1_a + other.l1_a,
            self.l2_a + other.l2_a,
            self.l3_a + other.l3_a,
        )

    def at_least(self, other: Load) -> Load:
        """Take the larger of each."""
        return Load(*(max(a, b) for a, b in zip(self, other, strict=True)))

    @property
    def phases_a(self) -> tuple[float, float, float]:
        return self.l1_a, self.l2_a, self.l3_a


NO_LOAD = Load()


class Knowledge(StrEnum):
    """From what a circuit's load is known."""

    SUM = "sum"
    """It has no meter: from what hangs on it."""
    METER = "meter"
    LIMITS = "limits"
    """Its meter is lost: what hangs on it counts with its limits."""


class Carried(NamedTuple):
    """What one circuit carries, and counts."""

    base: Load
    """What flows, or may where the meter is lost."""
    extra: Load = NO_LOAD
    """What outlets that have just started may draw beyond that."""
    known: Knowledge = Knowledge.SUM

    @property
    def counted(self) -> Load:
        return self.base.join(self.extra)


@dataclass(frozen=True, slots=True)
class Tree:
    """One supply: its circuits, the top first, and each after its parent."""

    circuits: tuple[Circuit, ...]
    lines: Mapping[OutletId, tuple[int, ...]]
    """Of each outlet the circuits that feed it, by their place, from the nearest to the top."""
    phases: Mapping[OutletId, int]
    """Which of a load's currents an outlet's is."""
    parents: tuple[int | None, ...]
    by_id: Mapping[CircuitId, int] = field(default_factory=dict)

    @property
    def top(self) -> Circuit:
        return self.circuits[0]

    def above(self, at: int) -> Iterator[int]:
        """Give the circuits that feed one, upwards."""
        parent = self.parents[at]
        while parent is not None:
            yield parent
            parent = self.parents[parent]


def trees_of(circuits: Sequence[Circuit]) -> tuple[Tree, ...]:
    """Part circuits, each after its parent, into trees."""
    tops: dict[CircuitId, CircuitId] = {}
    members: dict[CircuitId, list[Circuit]] = {}
    for circuit in circuits:
        top = circuit.id if circuit.parent is None else tops[circuit.parent]
        tops[circuit.id] = top
        members.setdefault(top, []).append(circuit)
    return tuple(_tree(tuple(found)) for found in members.values())


def _tree(circuits: tuple[Circuit, ...]) -> Tree:
    by_id = {circuit.id: place for place, circuit in enumerate(circuits)}
    lines: list[tuple[int, ...]] = []
    outlets: dict[OutletId, tuple[int, ...]] = {}
    phases: dict[OutletId, int] = {}
    for place, circuit in enumerate(circuits):
        above = () if circuit.parent is None else lines[by_id[circuit.parent]]
        lines.append((place, *above))
        for outlet in circuit.outlets:
            outlets[outlet] = lines[place]
            phases[outlet] = phase_of(circuit)
    parents = tuple(None if c.parent is None else by_id[c.parent] for c in circuits)
    return Tree(circuits, outlets, phases, parents, by_id)


def phase_of(circuit: Circuit) -> int:
    """Say which of a load's currents is that of a circuit's outlets."""
    return 0 if circuit.phase is None else PHASES.index(circuit.phase)


def draws(usage: Usage) -> Amount:
    """Say what an outlet draws; what it may draw where nobody knows."""
    if usage.stage is Stage.WAITING:
        return NOTHING
    return usage.limit if usage.measured is None else usage.measured


def is_heard(circuit: Circuit, feed: Feed | None, now_ms: int) -> bool:
    """Say whether a circuit's meter says what flows now."""
    return (
        feed is not None
        and feed.measured is not None
        and now_ms - feed.at_ms < circuit.meter_silence_s * 1000
    )


@dataclass(slots=True)
class _Sums:
    """What hangs on a circuit, by itself or by others."""

    drawn: Load = NO_LOAD
    beyond: Load = NO_LOAD
    """What outlets that have just started may draw beyond what they draw."""
    base: Load = NO_LOAD
    """As ``drawn``; but where a meter beneath shows it, or is lost, what is counted for it."""
    extra: Load = NO_LOAD
    limits: Load = NO_LOAD
    """As ``base``, if nobody measured it here."""


def carried(tree: Tree, scene: Scene) -> list[Carried]:
    """Count every circuit of a tree, by its place."""
    return whole(counted(tree, scene))


def counted(tree: Tree, scene: Scene) -> Slices[list[Carried]]:
    """Count every circuit of a tree, by its place, in slices."""
    sums = [_Sums() for _ in tree.circuits]
    for few in a_few(scene.usages):
        for usage in few:
            if usage.stage is not Stage.WAITING:
                _hang(sums[tree.lines[usage.outlet][0]], usage, tree.phases[usage.outlet])
        yield
    found = [Carried(NO_LOAD)] * len(sums)
    for at in reversed(range(len(sums))):
        yield
        circuit, mine = tree.circuits[at], sums[at]
        feed = scene.feeds.get(circuit.id)
        if circuit.meter is None:
            found[at] = Carried(mine.base, mine.extra)
        elif is_heard(circuit, feed, scene.now_ms):
            assert feed is not None
            assert feed.measured is not None
            base = _metered(circuit, feed.measured, mine.drawn)
            found[at] = Carried(base, mine.beyond, Knowledge.METER)
            mine.limits = found[at].counted
        else:
            found[at] = Carried(mine.limits, known=Knowledge.LIMITS)
        parent = tree.parents[at]
        if parent is not None:
            above = sums[parent]
            above.drawn = above.drawn.join(mine.drawn)
            above.beyond = above.beyond.join(mine.beyond)
            above.base = above.base.join(found[at].base)
            above.extra = above.extra.join(found[at].extra)
            above.limits = above.limits.join(mine.limits)
    return found


def _hang(sums: _Sums, usage: Usage, phase: int) -> None:
    draw = draws(usage)
    sums.drawn = sums.base = sums.drawn.plus(draw, phase)
    if usage.stage is not Stage.RUNNING:
        sums.limits = sums.limits.plus(draw, phase)
        return
    sums.limits = sums.limits.plus(usage.limit, phase)
    if not usage.settled:
        sums.beyond = sums.extra = sums.beyond.plus(_beyond(usage.start, draw), phase)


def parts(
    tree: Tree, loads: Sequence[Carried], outlet: OutletId, draw: Amount, limit: Amount
) -> Iterator[tuple[int, Amount]]:
    """Give what an outlet that draws so much counts with on each circuit of its line."""
    here, unmeasured = draw, limit
    for at in tree.lines[outlet]:
        if loads[at].known is Knowledge.METER:
            here = unmeasured = draw
        elif loads[at].known is Knowledge.LIMITS:
            here = unmeasured
        yield at, here


def _beyond(start: Amount, draw: Amount) -> Amount:
    return Amount(
        max(0.0, start.power_w - draw.power_w), max(0.0, start.current_a - draw.current_a)
    )


def _metered(circuit: Circuit, measured: Amount, drawn: Load) -> Load:
    """Believe a circuit's meter, but not that less flows than its outlets' power needs.

    A sum of currents is more than what flows where their phases differ; that of powers is not.
    """
    shown = NO_LOAD.plus(Amount(abs(measured.power_w), abs(measured.current_a)), phase_of(circuit))
    least_a = drawn.power_w / MAINS_V
    return shown.at_least(NO_LOAD.plus(Amount(drawn.power_w, least_a), phase_of(circuit)))


def amps(circuit: Circuit, load: Load) -> float:
    """Give the current that a circuit's limit is about."""
    return max(load.phases_a) if circuit.phases == 3 else sum(load.phases_a)


def is_over(circuit: Circuit, load: Load) -> bool:
    """Say whether a load is more than a circuit carries."""
    return is_over_power(circuit, load) or is_over_current(circuit, load)


def is_over_power(circuit: Circuit, load: Load) -> bool:
    """Say whether a load is more power than a circuit carries."""
    return circuit.power_w is not None and load.power_w > circuit.power_w + _ROUNDING


def is_over_current(circuit: Circuit, load: Load) -> bool:
    """Say whether a load is more current than a circuit carries."""
    return circuit.current_a is not None and amps(circuit, load) > circuit.current_a + _ROUNDING


def has_room(circuit: Circuit, one: Carried, need: Amount, phase: int) -> bool:
    """Say whether an outlet may start on a circuit."""
    counted = one.counted
    if is_over(circuit, counted.plus(need, phase)):
        return False
    below_w, below_a = circuit.start_below_w, circuit.start_below_a
    return (below_w is None or counted.power_w < below_w) and (
        below_a is None or amps(circuit, counted) < below_a
    )
