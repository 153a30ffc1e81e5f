"""The state of a tree of circuits, and what its machine asks for. Everything is frozen."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any, NamedTuple

from gateway.config import Amount
from gateway.core.facts import FactKind
from gateway.core.ids import CircuitId, OutletId
from gateway.core.reasons import Reason

_NOTHING: Mapping[Any, Any] = MappingProxyType({})


class Low(NamedTuple):
    """A voltage that seems to be away: one reading alone is no blackout yet."""

    since_ms: int
    """When it was seen first."""
    read_ms: int
    """When it was read then."""
    voltage_v: float


class TreeState(NamedTuple):
    """All that a tree of circuits remembers between two steps. Times are monotonic ms."""

    over_ms: Mapping[CircuitId, int] = _NOTHING
    """Since when each circuit carries more than it may, or since something was shed for it."""
    told_over: frozenset[CircuitId] = frozenset()
    lost: frozenset[CircuitId] = frozenset()
    """Circuits whose meter is lost."""
    dark: Mapping[CircuitId, int | None] = _NOTHING
    """Circuits without voltage, and since when it is back."""
    low: Mapping[CircuitId, Low] = _NOTHING
    """Circuits whose voltage seems to be away: nobody starts there until that is known."""
    opened: frozenset[CircuitId] = frozenset()
    """Circuits whose contactor is not seen closed."""
    is_recovering: bool = False
    """Whether outlets go on one by one: after a blackout, until nobody waits."""
    started_ms: int | None = None
    """When the last outlet went on."""
    drew: Mapping[OutletId, Amount] = _NOTHING
    """What an outlet that was shed drew: less than that is no room for it."""
    deferred: Mapping[OutletId, int] = _NOTHING
    """Until when an outlet that could not go on is not tried again."""


class Shed(NamedTuple):
    """One outlet has to make room; its lease goes on."""

    outlet: OutletId
    circuit: CircuitId
    reason: Reason
    evidence: Mapping[str, Any]


class CircuitNote(NamedTuple):
    """A fact about a circuit to write down."""

    kind: FactKind
    circuit: CircuitId
    reason: str
    data: Mapping[str, Any]


@dataclass(slots=True)
class Decisions:
    """What one step asks for, sheds before starts."""

    sheds: list[Shed] = field(default_factory=list)
    starts: list[OutletId] = field(default_factory=list)
    notes: list[CircuitNote] = field(default_factory=list)
    blocked: dict[OutletId, CircuitId] = field(default_factory=dict)
    """Who still waits, and on which circuit's account."""


class Answer(NamedTuple):
    """What is said to a request for an outlet."""

    code: str = ""
    """Empty: it may start, or wait."""
    message: str = ""
