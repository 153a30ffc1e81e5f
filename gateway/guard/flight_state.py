"""PURE: the state of an outlet's protection as JSON, so that a record can be replayed from it.

Read leniently: a field that this version does not know is passed over, one that is missing has
its default. Samples that are evidence stay out; they are rows of the record.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import asdict
from types import MappingProxyType
from typing import Any, TypeVar

from gateway.core.reasons import Reason
from gateway.guard.limits import Release
from gateway.guard.load import Plugged
from gateway.guard.model import Lease
from gateway.guard.state import (
    Charge,
    Energy,
    Latch,
    Measured,
    OutletState,
    Phase,
    Stop,
)

T = TypeVar("T")


def state_to_json(state: OutletState) -> dict[str, Any]:
    """Write a state down."""
    latch, stop = state.latch, state.stop
    return {
        "metered": state.metered,
        "phase": state.phase.value,
        "phase_ms": state.phase_ms,
        "measured": state.measured._asdict(),
        "alive_ms": state.alive_ms,
        "lease": lease_to_json(state.lease),
        "charge": None if state.charge is None else state.charge._replace(fall=())._asdict(),
        "plugged": state.plugged._asdict(),
        "energy": state.energy._asdict(),
        "inverse_share": state.inverse_share,
        "holds": {reason.value: since_ms for reason, since_ms in state.holds.items()},
        "clears": {reason.value: since_ms for reason, since_ms in state.clears.items()},
        "alarms": sorted(reason.value for reason in state.alarms),
        "latch": None
        if latch is None
        else {
            "reason": latch.reason.value,
            "release": latch.release.value,
            "since_ms": latch.since_ms,
            "since_utc_ms": latch.since_utc_ms,
            "cooldown_s": latch.cooldown_s,
            "clear_since_ms": latch.clear_since_ms,
        },
        "locks": sorted(state.locks),
        "stop": None if stop is None else {**asdict(stop), "reason": stop.reason.value},
        "on_attempts": state.on_attempts,
    }


def lease_to_json(lease: Lease | None) -> dict[str, Any] | None:
    """Write a lease's terms down."""
    return None if lease is None else asdict(lease)


def state_from_json(data: Mapping[str, Any]) -> OutletState:
    """Read a state. Raises ValueError, TypeError, KeyError or AttributeError for what is none."""
    latch, stop = data.get("latch"), data.get("stop")
    return OutletState(
        metered=bool(data["metered"]),
        phase=Phase(data["phase"]),
        phase_ms=int(data["phase_ms"]),
        measured=_known(Measured, data.get("measured")) or Measured(),
        alive_ms=data.get("alive_ms"),
        lease=_known(Lease, data.get("lease")),
        charge=_known(Charge, data.get("charge"), fall=()),
        plugged=_known(Plugged, data.get("plugged")) or Plugged(),
        energy=_known(Energy, data.get("energy")) or Energy(),
        inverse_share=float(data.get("inverse_share", 0.0)),
        holds=_since(data.get("holds")),
        clears=_since(data.get("clears")),
        alarms=frozenset(Reason(reason) for reason in data.get("alarms") or ()),
        latch=_known(
            Latch,
            latch,
            **({} if latch is None else {"reason": Reason(latch["reason"])}),
            **({} if latch is None else {"release": Release(latch["release"])}),
        ),
        locks=frozenset(data.get("locks") or ()),
        stop=_known(Stop, stop, **({} if stop is None else {"reason": Reason(stop["reason"])})),
        on_attempts=int(data.get("on_attempts", 0)),
    )


def _known(make: Callable[..., T], data: Mapping[str, Any] | None, **read: Any) -> T | None:
    """Make it of the fields that it has here; ``read`` are those that are more than JSON."""
    if data is None:
        return None
    names: Any = getattr(make, "_fields", None) or getattr(make, "__dataclass_fields__", ())
    return make(**{name: data[name] for name in names if name in data} | read)


def _since(data: Mapping[str, int] | None) -> Mapping[Reason, int]:
    return MappingProxyType({Reason(reason): int(ms) for reason, ms in (data or {}).items()})
