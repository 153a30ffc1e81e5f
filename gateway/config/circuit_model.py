"""Circuits as the program sees them: a tree of feeds, resolved and checked."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Literal, NamedTuple

from gateway.config.channel import Channel
from gateway.config.profile import Quantity
from gateway.core.ids import CircuitId, OutletId
from gateway.guard.limits import Action, Limits

MAINS_V = 230.0
"""Turns power into current, and back, where only one of them is limited or measured."""
LEAST_POWER_FACTOR = 0.45
"""Of chargers: 0.45 to 0.99 (domain facts, section 1)."""
MOST_W = 30_000.0
"""What an outlet that nothing limits is taken to draw."""

_MEASURED = frozenset({Quantity.VOLTAGE_V, Quantity.CURRENT_A, Quantity.POWER_W})

PhaseName = Literal["L1", "L2", "L3"]
PHASES: tuple[PhaseName, ...] = ("L1", "L2", "L3")


class Policy(StrEnum):
    """Who is shed first, and who goes on first."""

    LATEST_FIRST = "latest_first"
    """Shed who started last; on goes who was granted first."""
    FAIR_ROTATION = "fair_rotation"
    """Shed who has been on longest; on goes who has had least. Who waits gets its turn."""
    PRIORITY = "priority"
    """Shed the lowest priority, the latest of them; on goes the highest, the first of them."""


class Amount(NamedTuple):
    """What flows, or may flow."""

    power_w: float
    current_a: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Contactor:
    """What opens a whole circuit: a relay that holds it closed while it is on."""

    relay: Channel
    after_s: float = 15.0
    """An outlet that is not seen off so long after its OFF opens it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Restart:
    """How a circuit comes back after a blackout, or after its contactor was open."""

    below_v: float = 100.0
    after_s: float = 10.0
    every_s: float = 3.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Circuit:
    """One feed. What its parent says holds for it where it says nothing itself."""

    id: CircuitId
    name: str
    parent: CircuitId | None
    outlets: tuple[OutletId, ...]
    """That hang on it directly, and not on a circuit of its own."""
    phases: Literal[1, 3] = 1
    phase: PhaseName | None = None
    """Of what hangs on it."""
    current_a: float | None = None
    """What it may carry; of each phase where it has three."""
    power_w: float | None = None
    start_below_a: float | None = None
    start_below_w: float | None = None
    delay_s: float = 10.0
    policy: Policy = Policy.LATEST_FIRST
    priorities: Mapping[OutletId, int]
    """Of all outlets beneath that have one; the rest have 0."""
    rotate_s: float = 900.0
    start_w: float | None = None
    start_a: float | None = None
    settle_s: float = 30.0
    rest_s: float = 60.0
    """So that a load at the limit does not switch an outlet every other second."""
    meter: Channel | None = None
    meter_silence_s: float = 10.0
    contactor: Contactor | None = None
    restart: Restart = Restart()
    most_waiting: int = 100


@dataclass(frozen=True, slots=True, kw_only=True)
class FeedPoint:
    """What drivers poll and switch for a circuit: its meter, or its contactor.

    Its id has a slash, so that it is never an outlet's.
    """

    id: OutletId
    circuit: CircuitId
    relay: Channel | None
    """Of a contactor."""
    meter: Channel | None
    """Of a meter."""
    silence_s: float
    """It has to be heard more often than this."""
    quantities: frozenset[Quantity]
    """What is wanted of it."""


def meter_point(circuit: CircuitId) -> OutletId:
    """Name the point at which a circuit is measured."""
    return OutletId(f"circuit/{circuit}/meter")


def contactor_point(circuit: CircuitId) -> OutletId:
    """Name the point at which a circuit is opened."""
    return OutletId(f"circuit/{circuit}/contactor")


def feed_points(circuit: Circuit) -> tuple[FeedPoint, ...]:
    """Give what drivers poll and switch for a circuit."""
    points: list[FeedPoint] = []
    if circuit.meter is not None:
        point = meter_point(circuit.id)
        points.append(
            FeedPoint(
                id=point,
                circuit=circuit.id,
                relay=None,
                meter=circuit.meter,
                silence_s=circuit.meter_silence_s,
                quantities=_MEASURED,
            )
        )
    if circuit.contactor is not None:
        point = contactor_point(circuit.id)
        points.append(
            FeedPoint(
                id=point,
                circuit=circuit.id,
                relay=circuit.contactor.relay,
                meter=None,
                silence_s=circuit.contactor.after_s,
                quantities=frozenset({Quantity.RELAY_ON}),
            )
        )
    return tuple(points)


def may_draw(limits: Limits, lease_power_w: float | None = None) -> Amount:
    """Say what an outlet may draw before its own protection switches it off."""
    watts = _least(
        lease_power_w,
        limits.overpower.above_w
        if limits.overpower is not None and limits.overpower.action is not Action.ALARM
        else None,
    )
    amps = _least(
        *(
            rule.above_a
            for rule in (limits.overcurrent, limits.overcurrent_instant)
            if rule is not None and rule.action is not Action.ALARM
        )
    )
    if watts is None:
        watts = MOST_W if amps is None else min(MOST_W, amps * MAINS_V)
    at_worst_a = watts / MAINS_V / LEAST_POWER_FACTOR
    return Amount(watts, at_worst_a if amps is None else min(amps, at_worst_a))


def start_with(circuit: Circuit, limit: Amount) -> Amount:
    """Say what an outlet that may draw ``limit`` counts with until its draw is known."""
    watts = limit.power_w if circuit.start_w is None else min(circuit.start_w, limit.power_w)
    amps = limit.current_a
    if circuit.start_a is not None:
        amps = min(amps, circuit.start_a)
    elif circuit.start_w is not None:
        amps = min(amps, watts / MAINS_V / LEAST_POWER_FACTOR)
    return Amount(watts, amps)


def _least(*values: float | None) -> float | None:
    given = [value for value in values if value is not None]
    return min(given, default=None)
