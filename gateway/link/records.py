"""What the guard's journal holds besides facts: the state that survives a restart.

Energy is in mWh, times in UTC milliseconds.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True, slots=True, kw_only=True)
class LatchRecord:
    """An outlet that is cut until it is released."""

    outlet: str
    reason: str
    rule: str
    release: str
    since_utc_ms: int
    evidence: dict[str, Any] = field(default_factory=dict)
    """JSON values: what was measured when it was cut."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LockRecord:
    """A scope that people locked."""

    scope: str
    """``outlet/<id>``, ``pile/<id>``, ``station/<id>`` or ``site/<id>``."""
    actor: str
    reason: str
    since_utc_ms: int


@dataclass(frozen=True, slots=True, kw_only=True)
class LeaseRecord:
    """A lease that has not ended as far as the journal knows."""

    outlet: str
    lease_id: str
    request_id: str
    actor: str
    reason: str
    granted_utc_ms: int
    until_utc_ms: int
    energy_mwh: int | None = None
    """The lease's own limit."""
    power_w: float | None = None
    """The lease's own limit."""
    data: dict[str, Any] = field(default_factory=dict)
    """JSON values: what the guard wants to know when it finds the lease interrupted."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RequestRecord:
    """The answer to a request, given again if it is repeated."""

    request_id: str
    answer: dict[str, Any]
    utc_ms: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Spread:
    """What one quantity did within a minute."""

    low: float
    high: float
    mean: float


@dataclass(frozen=True, slots=True, kw_only=True)
class MinuteRecord:
    """One minute of one outlet in use."""

    outlet: str
    minute_utc_ms: int
    """Start of the minute."""
    samples: int
    energy_mwh: int
    voltage_v: Spread | None = None
    current_a: Spread | None = None
    power_w: Spread | None = None


Record = LatchRecord | LockRecord | LeaseRecord | RequestRecord | MinuteRecord
