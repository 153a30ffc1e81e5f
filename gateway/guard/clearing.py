"""PURE: letting go of alarms and automatic latches whose cause has been gone for long enough.

A cause is gone when samples say so: what is not measured any more is not gone.
"""

from __future__ import annotations

from dataclasses import replace
from types import MappingProxyType

from gateway.core.reasons import Reason
from gateway.guard import requests
from gateway.guard.limits import Release
from gateway.guard.model import Sample
from gateway.guard.state import Measured, Phase
from gateway.guard.stopping import flow
from gateway.guard.turn import Turn, clear_alarms, release

ALARM_CLEARS_MS = 10_000
"""For how long a cause must be gone before its alarm is: a value at its limit would flood."""

SLOW_GAP_MS = 45_000
"""A busy line brings what changes slowly about every 15 s; two of them may be missed."""
_SLOW = frozenset({"voltage", "temperature"})

_MEASURED_BY = {
    Reason.OVERCURRENT_INSTANT: "current",
    Reason.OVERCURRENT: "current",
    Reason.OVERCURRENT_INVERSE: "current",
    Reason.OVERPOWER: "power",
    Reason.OVERVOLTAGE: "voltage",
    Reason.UNDERVOLTAGE: "voltage",
    Reason.OVERTEMPERATURE: "temperature",
    Reason.DEVICE_ALARM: "alarm",
}
_CLEARED_BY_SAMPLES = frozenset(
    {
        *_MEASURED_BY,
        *(Reason.WELDED, Reason.SILENCE, Reason.NO_LEASE),
        *(Reason.WRONG_APPLIANCE, Reason.LOOSE_CONTACT, Reason.FROZEN_METER),
    }
)


def clear(turn: Turn, before: Measured, sample: Sample) -> None:
    """Let go of what a sample, and those before it, show to be over."""
    if turn.state.alarms:
        _clear_alarms(turn, sample.at_ms)
    held = turn.state.latch
    if held is None or held.release is not Release.AUTOMATIC or turn.state.phase is not Phase.OFF:
        return
    quantity = _MEASURED_BY.get(held.reason)
    at_ms: int | None = sample.at_ms
    was_ms: int | None = sample.at_ms
    if quantity is not None:
        at_ms = getattr(turn.state.measured, f"{quantity}_ms")
        was_ms = getattr(before, f"{quantity}_ms")
    if _lasts(turn, held.reason):
        if held.clear_since_ms is not None:
            turn.state = turn.state._replace(latch=replace(held, clear_since_ms=None))
    elif at_ms != sample.at_ms:
        return  # this sample says nothing about the cause
    elif (
        held.clear_since_ms is None
        or was_ms is None
        or sample.at_ms - was_ms >= _longest_gap_ms(turn, quantity)
    ):
        turn.state = turn.state._replace(latch=replace(held, clear_since_ms=sample.at_ms))
    elif sample.at_ms - held.clear_since_ms >= held.cooldown_s * 1000:
        release(turn, "guard", "the cause has been gone for the cool-down")


def _longest_gap_ms(turn: Turn, quantity: str | None) -> float:
    """Say how far two values may lie apart: past it nobody can tell what was in between."""
    silence_ms = turn.limits.silence.delay_s * 1000
    return max(silence_ms, SLOW_GAP_MS) if quantity in _SLOW else silence_ms


def _clear_alarms(turn: Turn, at_ms: int) -> None:
    state = turn.state
    clears = {
        reason: state.clears.get(reason, at_ms)
        for reason in state.alarms
        if reason in _CLEARED_BY_SAMPLES and not _lasts(turn, reason)
    }
    if clears != state.clears:
        turn.state = state._replace(clears=MappingProxyType(clears))
    over = frozenset(r for r, since_ms in clears.items() if at_ms - since_ms >= ALARM_CLEARS_MS)
    clear_alarms(turn, over)


def _lasts(turn: Turn, reason: Reason) -> bool:
    """Say whether the cause is still there, or may be for all that is known."""
    state = turn.state
    match reason:
        case Reason.SILENCE:
            return not requests.fresh(state, turn.limits, turn.now.mono_ms)
        case Reason.OVERCURRENT_INVERSE:
            return state.inverse_share > 0.0
        case Reason.WELDED:
            flowing = flow(state.measured)
            return flowing is not None and flowing.current_a > turn.limits.welded.above_a
        case Reason.NO_LEASE:
            return state.phase is Phase.STOPPING
        case _:
            return reason in state.holds
