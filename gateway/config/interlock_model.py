"""Interlocks as the program sees them: an input, and the outlets and circuits it opens."""

from __future__ import annotations

from dataclasses import dataclass

from gateway.config.channel import Channel
from gateway.config.profile import Quantity
from gateway.core.ids import CircuitId, InterlockId, OutletId
from gateway.guard.interlocks import Rule, Watches


@dataclass(frozen=True, slots=True, kw_only=True)
class Interlock:
    """One input, and what it opens."""

    id: InterlockId
    name: str
    watches: Watches
    input: Channel
    rule: Rule
    outlets: tuple[OutletId, ...]
    """In the order of the site file."""
    circuits: tuple[CircuitId, ...]
    """Whose contactors it opens: their own, else the nearest above, else those beneath."""
    holds: frozenset[CircuitId]
    """Circuits whose contactors stay open while it is tripped, or was not read yet."""


@dataclass(frozen=True, slots=True, kw_only=True)
class InputPoint:
    """What drivers poll for an interlock. Its id has a slash, so that it is never an outlet's."""

    id: OutletId
    interlock: InterlockId
    meter: Channel
    """The input: nothing else is measured there."""
    silence_s: float
    """It has to be heard more often than this."""
    relay: None = None
    quantities: frozenset[Quantity] = frozenset({Quantity.INPUT_ON})
    """What is asked of it."""


def input_point(interlock: Interlock) -> InputPoint:
    """Give what drivers poll for an interlock."""
    return InputPoint(
        id=OutletId(f"interlock/{interlock.id}"),
        interlock=interlock.id,
        meter=interlock.input,
        silence_s=interlock.rule.silence_s,
    )
