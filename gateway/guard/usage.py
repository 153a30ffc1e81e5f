"""PURE: what an outlet is to its circuits, and what a circuit's meter says."""

from __future__ import annotations

import math
from typing import NamedTuple

from gateway.config import Amount, Circuit
from gateway.config.circuit_model import MAINS_V, may_draw, start_with
from gateway.core.ids import OutletId
from gateway.guard.circuit_load import NOTHING, Stage, Usage
from gateway.guard.limits import Limits
from gateway.guard.model import Sample
from gateway.guard.requests import last_known_ms
from gateway.guard.state import Measured, OutletState, Phase

VOLTAGE_MS = 30_000
"""A voltage is often read but now and then; it holds for so long."""

_STAGES = {
    # Granted and not on yet: it counts with what it may draw, before anybody else is let in.
    Phase.GRANTED: Stage.RUNNING,
    Phase.WAITING: Stage.WAITING,
    Phase.STARTING: Stage.RUNNING,
    Phase.ON: Stage.RUNNING,
    Phase.STOPPING: Stage.GOING,
}


class Allowed(NamedTuple):
    """What an outlet may draw under a lease: reckoned once, and not at every look."""

    limits: Limits
    circuit: Circuit
    """The nearest."""
    lease_w: float | None
    limit: Amount
    start: Amount
    """What it counts with until its draw is known."""

    def holds_for(self, state: OutletState) -> bool:
        """Say whether it is still what the outlet may draw."""
        return self.lease_w == (None if state.lease is None else state.lease.power_w)


def allowed(state: OutletState, limits: Limits, circuit: Circuit) -> Allowed:
    """Say what an outlet may draw; ``circuit`` is the nearest."""
    lease_w = None if state.lease is None else state.lease.power_w
    limit = may_draw(limits, lease_w)
    return Allowed(limits, circuit, lease_w, limit, start_with(circuit, limit))


def usage_of(outlet: OutletId, state: OutletState, may: Allowed, now_ms: int) -> Usage:
    """Say what an outlet that is in use is to its circuits."""
    lease, charge, measured = state.lease, state.charge, state.measured
    on_ms = state.phase_ms if charge is None else charge.on_ms
    settled = state.phase is Phase.ON and now_ms - on_ms >= may.circuit.settle_s * 1000
    stage = _STAGES[state.phase]
    return Usage(
        outlet=outlet,
        stage=stage,
        granted_ms=state.phase_ms if lease is None else lease.granted_ms,
        since_ms=on_ms if stage is Stage.RUNNING else state.phase_ms,
        limit=may.limit,
        start=may.start,
        measured=NOTHING if state.phase is Phase.GRANTED else _drawn(state, may.limits, now_ms),
        drawn_ms=measured.current_ms if measured.power_w is None else measured.power_ms,
        voltage_v=_voltage(measured, now_ms),
        voltage_ms=measured.voltage_ms,
        settled=settled,
        tells_voltage=measured.voltage_ms is not None,
    )


def asked_for(
    outlet: OutletId, limits: Limits, circuit: Circuit, power_w: float | None, now_ms: int
) -> Usage:
    """Say what an outlet would be to its circuits if a lease were granted now."""
    limit = may_draw(limits, power_w)
    start = start_with(circuit, limit)
    return Usage(outlet, Stage.WAITING, now_ms, now_ms, limit, start)


def _drawn(state: OutletState, limits: Limits, now_ms: int) -> Amount | None:
    """Give what an outlet draws, as far as it is known to hold."""
    known_ms = last_known_ms(state)
    if not state.metered or known_ms is None:
        return None
    if now_ms - known_ms >= limits.silence.delay_s * 1000:
        return None
    return amount_of(state.measured.power_w, state.measured.current_a)


def _voltage(measured: Measured, now_ms: int) -> float | None:
    if measured.voltage_ms is None or now_ms - measured.voltage_ms >= VOLTAGE_MS:
        return None
    return measured.voltage_v


def amount_of(power_w: float | None, current_a: float | None) -> Amount | None:
    """Make an amount of what a meter gives; out of the other where it gives but one."""
    if power_w is None and current_a is None:
        return None
    watts = abs(current_a or 0.0) * MAINS_V if power_w is None else abs(power_w)
    amps = watts / MAINS_V if current_a is None else abs(current_a)
    return Amount(watts, amps)


class MeterState(NamedTuple):
    """The newest values of a circuit's meter."""

    at_ms: int
    """When it last gave current or power, or since when it is waited for."""
    power_w: float | None = None
    current_a: float | None = None
    voltage_v: float | None = None
    voltage_ms: int | None = None

    def take(self, sample: Sample) -> MeterState:
        """Take a sample in; what is no number says nothing."""
        state = self
        if _is_number(sample.voltage_v):
            state = state._replace(voltage_v=sample.voltage_v, voltage_ms=sample.at_ms)
        power_w, current_a = sample.power_w, sample.current_a
        if _is_number(power_w):
            state = state._replace(power_w=power_w, at_ms=max(state.at_ms, sample.at_ms))
        if _is_number(current_a):
            state = state._replace(current_a=current_a, at_ms=max(state.at_ms, sample.at_ms))
        return state


def _is_number(value: float | None) -> bool:
    return value is not None and math.isfinite(value)
