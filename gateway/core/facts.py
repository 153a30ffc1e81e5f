"""Facts: what happened, numbered without gaps, each with its effect once."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

from gateway.core.clock import TimeQuality


class FactKind(StrEnum):
    """What kind of thing happened. Stable words, ``noun.verb``."""

    LEASE_STARTED = "lease.started"
    """A lease was granted and written down; the outlet is about to be switched on."""
    LEASE_RENEWED = "lease.renewed"
    LEASE_ENDED = "lease.ended"
    """A lease is over, for whatever reason; carries energy, duration and the evidence."""
    OUTLET_ON = "outlet.on"
    """A sample shows the outlet on."""
    OUTLET_OFF = "outlet.off"
    """Samples show relay and current off after it had been told to go off."""
    OUTLET_CUT = "outlet.cut"
    """The outlet is latched off until it is released."""
    OUTLET_RELEASED = "outlet.released"
    OUTLET_ALARM = "outlet.alarm"
    OUTLET_ALARM_CLEARED = "outlet.alarm_cleared"
    OUTLET_WAITING = "outlet.waiting"
    """It holds a lease, and its circuits have no room: it goes on when they have."""
    OUTLET_SHED = "outlet.shed"
    """It is switched off for its circuits' sake; its lease goes on, and waits."""
    CIRCUIT_OVER = "circuit.over"
    """More flows than a circuit carries, for longer than it may."""
    CIRCUIT_CLEARED = "circuit.cleared"
    CIRCUIT_METER_LOST = "circuit.meter_lost"
    """Its outlets count with their limits until its meter is found."""
    CIRCUIT_METER_FOUND = "circuit.meter_found"
    CIRCUIT_DARK = "circuit.dark"
    """No voltage: what ran on it waits."""
    CIRCUIT_LIT = "circuit.lit"
    """Its voltage, or its contactor, is back: outlets go on one by one."""
    CONTACTOR_OPENED = "contactor.opened"
    """A contactor is told to open, and stays open until a person on site releases it."""
    CONTACTOR_RELEASED = "contactor.released"
    CONTACTOR_SEEN = "contactor.seen"
    """A contactor is seen open, or closed, as it was told."""
    CONTACTOR_ALARM = "contactor.alarm"
    """A contactor is not seen as it was told."""
    CONTACTOR_ALARM_CLEARED = "contactor.alarm_cleared"
    INTERLOCK_TRIPPED = "interlock.tripped"
    """What an interlock guards was opened: its input says so, or can't be read."""
    INTERLOCK_CLEARED = "interlock.cleared"
    """Its input was read, and is well; what it opened stays latched."""
    REQUEST_REFUSED = "request.refused"
    LOCKED = "scope.locked"
    UNLOCKED = "scope.unlocked"
    DEVICE_LOST = "device.lost"
    DEVICE_FOUND = "device.found"
    BUS_LOST = "bus.lost"
    BUS_FOUND = "bus.found"
    GUARD_STARTED = "guard.started"
    GUARD_STOPPED = "guard.stopped"


@dataclass(frozen=True, slots=True)
class FactDraft:
    """A fact before the journal has numbered it."""

    kind: FactKind
    subject: str
    """``outlet/<id>``, ``pile/<id>``, ``station/<id>``, ``site/<id>``, ``circuit/<id>``,
    ``interlock/<id>``, ``device/<id>``, ``bus/<id>`` or ``guard``."""
    utc_ms: int
    quality: TimeQuality
    actor: str = "guard"
    reason: str = ""
    data: dict[str, Any] = field(default_factory=dict)
    """JSON values only; units stand in the names."""


@dataclass(frozen=True, slots=True)
class Fact:
    """A fact as it stands in the journal."""

    seq: int
    """From 1, without gaps, in the order in which facts were written."""
    id: str
    """UUID of version 7."""
    kind: str
    subject: str
    utc_ms: int
    quality: str
    actor: str
    reason: str
    data: dict[str, Any]
