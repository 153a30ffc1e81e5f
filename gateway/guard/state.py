"""The state of one outlet's protection.

Everything here is frozen: ``protection.step`` makes a new state out of an old one. What
changes with every sample is a named tuple: replacing a field costs a tenth of what it does
in a frozen dataclass, and a module's ten outlets are judged before its cut-off leaves.
Times are monotonic milliseconds, except where the name says ``utc``.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from types import MappingProxyType
from typing import Any, NamedTuple

from gateway.core.reasons import Reason
from gateway.guard.limits import Action, Release
from gateway.guard.load import Plugged
from gateway.guard.model import Lease, Sample

_NOTHING: Mapping[Reason, int] = MappingProxyType({})


class Phase(StrEnum):
    """Where an outlet stands between two decisions."""

    OFF = "off"
    """Free: nothing is asked of it, and samples show it off (or nothing yet)."""
    GRANTED = "granted"
    """A lease was granted and is being written down; nothing was switched yet."""
    WAITING = "waiting"
    """A lease runs, and circuits have no room yet: nothing is on."""
    STARTING = "starting"
    """Told to go on; no sample shows it yet."""
    ON = "on"
    STOPPING = "stopping"
    """Told to go off; samples do not show it yet. A lease that it holds waits."""


class Measured(NamedTuple):
    """The newest value of each quantity, each with its own time, for ever."""

    relay_on: bool | None = None
    relay_ms: int | None = None
    voltage_v: float | None = None
    voltage_ms: int | None = None
    current_a: float | None = None
    current_ms: int | None = None
    power_w: float | None = None
    power_ms: int | None = None
    temperature_c: float | None = None
    temperature_ms: int | None = None
    alarm: bool | None = None
    alarm_ms: int | None = None
    utc_ms: int | None = None
    """When the newest of them was measured, for records."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Latch:
    """Why an outlet stays off until it is released, and by whom it may be."""

    reason: Reason
    release: Release
    since_ms: int
    since_utc_ms: int
    cooldown_s: float = 60.0
    clear_since_ms: int | None = None
    """Since when the cause is gone, for automatic release."""
    evidence: Mapping[str, Any] = field(default_factory=dict)

    def is_same(self, other: Latch) -> bool:
        """Say whether both are one latch, however long its cause has been gone."""
        return self.since_ms == other.since_ms and self.reason is other.reason


@dataclass(frozen=True, slots=True, kw_only=True)
class Stop:
    """An OFF on its way."""

    reason: Reason
    request_id: str | None
    since_ms: int
    attempts: int = 1
    attempt_ms: int = 0
    written_ms: int | None = None
    """When the device acknowledged the OFF."""
    closed_since_ms: int | None = None
    """Since when samples show the relay closed all the same."""
    flowing_since_ms: int | None = None
    """Since when samples show current although the relay says off."""
    silence_told: bool = False
    in_turn: bool = False
    """Whether it is nothing more than an end, for which the bus need not stop looking."""


class Charge(NamedTuple):
    """The course of what an outlet has delivered since it was switched on."""

    on_ms: int
    sample_ms: int | None = None
    load_since_ms: int | None = None
    """Since when it has drawn what is a load; None: it draws less now."""
    load_seen: bool = False
    peak_w: float = 0.0
    level_w: float = 0.0
    """The power, smoothed over the settling time."""
    plateau_w: float = 0.0
    """The highest smoothed power: the charge's level before its taper."""
    zero_since_ms: int | None = None
    nothing_since_ms: int | None = None
    """Since when its meter has shown nothing at all."""
    before_zero_w: float = 0.0
    """The last power before it went to zero."""
    low_since_ms: int | None = None
    high_since_ms: int | None = None
    above_since_ms: int | None = None
    """Since when it has been above its taper."""
    rest_since_ms: int | None = None
    """Since when it has not been above its taper for long: pulses are no charge."""
    tapered: bool = False
    taper_plateau_w: float = 0.0
    """What the plateau was when it tapered."""
    float_since_ms: int | None = None
    float_reference_w: float = 0.0
    float_began_w: float = 0.0
    """The lowest power when the time of the float began."""
    zero_w: float = 0.0
    """The highest power since it went to zero."""
    rest_w: float = 0.0
    """The highest power since it rests, or is pulsed."""
    returns: int = 0
    """How often power came back after it had been at zero: change-overs, pauses, re-tops."""
    longest_gone_ms: int = 0
    """How long it was gone at most before it came back."""
    opened: bool = False
    """Whether its power is gone, or came back only in part, before it had tapered."""
    breaks_ms: tuple[int, ...] = ()
    """When it came back, the newest last."""
    fall: tuple[Sample, ...] = ()
    """The samples up to the first at zero, or at rest."""


class Energy(NamedTuple):
    """Energy of the present or the last lease, in µJ, anchored to the meter's register."""

    total_uj: int = 0
    power_w: float | None = None
    power_ms: int | None = None
    register_start_mwh: int | None = None
    register_mwh: int | None = None
    register_ms: int | None = None
    """When the register stood there first."""
    register_step_mwh: int = 0
    """The smallest step seen: how coarse the register is; 0 until it has moved."""


class Still(NamedTuple):
    """Since when a meter has shown the very same, and how long its voltage stands when it works."""

    since_ms: int = 0
    """Since when voltage, current and power have been what they are; 0: nothing was seen yet."""
    voltage_since_ms: int = 0
    was_light: bool = False
    """Whether the load was light when the voltage moved last."""
    light_moves: int = 0
    """How often it has moved at light load."""
    longest_ms: int = 0
    """The longest time it stood in between."""
    mains_moves: int = 0
    """How often it has moved by more than a load so small can move it: by the mains."""
    mains_longest_ms: int = 0
    """The longest time it stood at such a load."""
    stood_w: float = 0.0
    """The highest power at which voltage, current and power all stood long, and moved again."""


class OutletState(NamedTuple):
    """All that protection knows about one outlet."""

    metered: bool
    """Whether its current is measured at all."""
    measures: frozenset[str] = frozenset()
    """Which of ``current`` and ``power`` its meter must tell, by its profile."""
    is_fed: bool = False
    """Whether circuits feed it: they say when it may go on."""
    phase: Phase = Phase.OFF
    phase_ms: int = 0
    measured: Measured = Measured()
    alive_ms: int | None = None
    """When a device that tells changes by itself was last known to be there."""
    recent: tuple[Sample, ...] = ()
    """The newest samples, oldest first: evidence for what is decided."""
    lease: Lease | None = None
    waits_for: str = ""
    """The circuit on whose account the lease waits."""
    earlier_on_ms: int = 0
    """How long it was on under this lease before it had to wait."""
    charge: Charge | None = None
    plugged: Plugged = Plugged()
    """What is plugged in, since the outlet was switched on."""
    still: Still = Still()
    energy: Energy = Energy()
    inverse_share: float = 0.0
    """How much of its time to trip the inverse-time element has used, 0 to 1."""
    holds: Mapping[Reason, int] = _NOTHING
    """Since when each rule's cause lasts."""
    clears: Mapping[Reason, int] = _NOTHING
    """Since when the cause of a told alarm is gone."""
    alarms: frozenset[Reason] = frozenset()
    latch: Latch | None = None
    locks: frozenset[str] = frozenset()
    trips: frozenset[str] = frozenset()
    """Interlocks over it that are tripped, or were not read yet."""
    stop: Stop | None = None
    on_attempts: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """A rule that has to act."""

    reason: Reason
    action: Action
    release: Release
    cooldown_s: float
    evidence: Mapping[str, Any]
