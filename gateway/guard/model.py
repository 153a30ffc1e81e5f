"""The guard's words: what is measured, what is asked for, and who speaks to whom.

Drivers import this module; it imports nothing but ``gateway.core``.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import Protocol

from gateway.core.ids import BusId, DeviceId, OutletId


@dataclass(frozen=True, slots=True, kw_only=True)
class Sample:
    """What one answer of a device says about one outlet.

    ``None`` means that this answer said nothing about the quantity: an outlet composed of
    a meter and a relay gets two samples a round, each with its own time. A sample never
    carries a value that the same answer did not hold.
    """

    at_ms: int
    """Monotonic time at which the answer was complete, for timers."""
    utc_ms: int
    """The same moment, for records."""
    voltage_v: float | None = None
    current_a: float | None = None
    power_w: float | None = None
    power_factor: float | None = None
    frequency_hz: float | None = None
    energy_mwh: int | None = None
    """The meter's own register; it survives restarts of the gateway, and may wrap."""
    temperature_c: float | None = None
    relay_on: bool | None = None
    input_on: bool | None = None
    """An input that belongs to no outlet: a detector, an emergency stop."""
    alarm: bool | None = None
    """The module's own alarm for this outlet."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Lease:
    """The right to be on: who asked, why, until when, and within which limits."""

    id: str
    request_id: str
    actor: str
    reason: str
    granted_ms: int
    granted_utc_ms: int
    until_ms: int
    """Monotonic time at which it is over, unless renewed."""
    energy_mwh: int | None = None
    power_w: float | None = None


class WriteResult(StrEnum):
    """How a switching command on the wire went. None of them says what the relay did."""

    DONE = "done"
    """The device answered as the protocol asks."""
    FAILED = "failed"
    """No answer, a wrong answer, an exception answer, or no connection."""
    DROPPED = "dropped"
    """Never sent: an ON that an OFF overtook, or that waited longer than it may."""


class DeviceState(StrEnum):
    """How a device answers."""

    UNKNOWN = "unknown"
    """Not asked yet."""
    ONLINE = "online"
    SILENT = "silent"
    """Missed answers; still asked at its turn."""
    QUARANTINED = "quarantined"
    """Missed so many that it is asked seldom, so that it can't stall the others."""


class BusState(StrEnum):
    """Whether a line or connection can carry anything."""

    CONNECTING = "connecting"
    OPEN = "open"
    LOST = "lost"


class Sink(Protocol):
    """What a driver tells the guard. Every call returns at once and never raises."""

    def on_sample(self, outlet: OutletId, sample: Sample) -> None: ...

    def on_alive(self, outlet: OutletId, at_ms: int) -> None:
        """Report that a device which tells changes by itself was known to be there at ``at_ms``.

        What it said last still holds, and keeps its own time: a meter that reports on change is
        quiet for minutes on a flat load. Not for devices that are polled.
        """
        ...

    def on_write(self, outlet: OutletId, wanted_on: bool, result: WriteResult) -> None: ...

    def on_device(self, device: DeviceId, state: DeviceState, detail: str) -> None:
        """Report a change of state. ``detail`` says in one line what a person should look at."""
        ...

    def on_bus(self, bus: BusId, state: BusState, detail: str) -> None: ...


class Relays(Protocol):
    """What an outlet asks of whoever switches it. Every call only queues and returns at once."""

    def switch_on(self, outlet: OutletId, for_ms: int) -> None:
        """Queue an ON; it is sent soon or dropped, never late.

        A device with a timer of its own is told to go off by itself after ``for_ms``, or sooner.
        """
        ...

    def keep_on(self, outlet: OutletId, for_ms: int) -> None:
        """Set the timer of a device that is on anew, where it has one; never switches on."""
        ...

    def switch_off(self, outlet: OutletId, *, urgent: bool) -> None:
        """Queue an OFF; it removes a waiting ON of the same outlet.

        ``urgent`` goes before everything else on the bus, joined with the others of its
        module into one write; otherwise what others draw is read before it and after it.
        """
        ...


class Switch(Relays, Protocol):
    """What the guard asks of a driver."""

    def room_for_ons(self) -> int:
        """How many more ONs the bus could send soon enough; the rest had better wait."""
        ...
