"""What is fed to an outlet's protection: samples, the passing of time, and requests.

Times are monotonic milliseconds.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from gateway.core.reasons import Reason
from gateway.guard.model import Lease, Sample, WriteResult


@dataclass(frozen=True, slots=True)
class Tick:
    """Time went by; nothing else happened."""


@dataclass(frozen=True, slots=True)
class Alive:
    """A device that tells changes by itself was there: what it said last still holds."""

    at_ms: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Written:
    """A switching command went out, or did not."""

    wanted_on: bool
    result: WriteResult


@dataclass(frozen=True, slots=True, kw_only=True)
class RequestOn:
    """Somebody asks for a lease."""

    lease: Lease


@dataclass(frozen=True, slots=True, kw_only=True)
class LeaseDurable:
    """The granted lease is written down."""

    lease_id: str


@dataclass(frozen=True, slots=True, kw_only=True)
class LeaseNotDurable:
    """The granted lease could not be written down."""

    lease_id: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Held:
    """A lease has to wait: a circuit has no room for it, or the outlet can't go on now."""

    circuit: str
    why: str = ""
    """Why the outlet can't; empty: for want of room."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Proceed:
    """Circuits have room: the lease that waits may go on, if nothing else is against it."""

    lease_id: str


@dataclass(frozen=True, slots=True, kw_only=True)
class MakeRoom:
    """A circuit needs room: the outlet goes off, and its lease waits."""

    circuit: str
    reason: Reason
    evidence: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Renew:
    """The holder asks for more time."""

    lease_id: str
    until_ms: int
    actor: str


@dataclass(frozen=True, slots=True, kw_only=True)
class RequestOff:
    """Somebody asks for OFF, or the guard itself does (``reason``)."""

    actor: str
    reason: Reason = Reason.REQUESTED
    request_id: str | None = None
    why: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class RequestReset:
    """Somebody wants to release the latch."""

    actor: str
    on_site: bool
    why: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Lock:
    """A scope that holds this outlet is locked."""

    scope: str
    actor: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Unlock:
    """A scope that holds this outlet is unlocked."""

    scope: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Tripped:
    """An interlock over this outlet has tripped."""

    interlock: str
    reason: Reason
    evidence: Mapping[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class Untripped:
    """An interlock over this outlet was read, and is not tripped (any more)."""

    interlock: str


Event = (
    Sample
    | Tick
    | Alive
    | Written
    | RequestOn
    | LeaseDurable
    | LeaseNotDurable
    | Held
    | Proceed
    | MakeRoom
    | Renew
    | RequestOff
    | RequestReset
    | Lock
    | Unlock
    | Tripped
    | Untripped
)
