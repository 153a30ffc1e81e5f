"""PURE: what people and programs ask of an outlet, and when they are refused."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

from gateway.core.facts import FactKind
from gateway.core.reasons import Reason
from gateway.guard import energy
from gateway.guard.effects import KeepOn, SwitchOff, SwitchOn
from gateway.guard.events import (
    Held,
    LeaseDurable,
    LeaseNotDurable,
    Lock,
    MakeRoom,
    Proceed,
    Renew,
    RequestOff,
    RequestOn,
    RequestReset,
    Tripped,
    Unlock,
    Untripped,
)
from gateway.guard.limits import Action, Limits, Release
from gateway.guard.load import Plugged
from gateway.guard.model import Lease
from gateway.guard.state import Charge, Finding, OutletState, Phase
from gateway.guard.turn import ACTIVE, Turn, act, go_off, on_for_ms, release, stop

FORBIDS_START = (
    Reason.OVERVOLTAGE,
    Reason.UNDERVOLTAGE,
    Reason.OVERTEMPERATURE,
    Reason.DEVICE_ALARM,
    Reason.WELDED,
)

_LOADS = (
    *(Reason.OVERCURRENT_INSTANT, Reason.OVERCURRENT, Reason.OVERPOWER),
    *(Reason.WRONG_APPLIANCE, Reason.LOOSE_CONTACT, Reason.FROZEN_METER),
)


def on(turn: Turn, request: RequestOn) -> None:
    """Grant a lease, or say why not. Nothing is switched before the lease is written down."""
    refusal = why_not(turn.state, turn.limits, turn.now.mono_ms)
    if refusal is None:
        refusal = _not_measured(turn.state, request.lease)
    if refusal is not None:
        turn.refuse(*refusal)
        return
    lease = request.lease
    turn.state = turn.state._replace(
        phase=Phase.GRANTED,
        phase_ms=turn.now.mono_ms,
        lease=lease,
        charge=None,
        energy=energy.start(None),
        inverse_share=0.0,
        on_attempts=0,
        waits_for="",
        earlier_on_ms=0,
    )
    turn.note(
        FactKind.LEASE_STARTED,
        lease.reason,
        actor=lease.actor,
        data=_terms(lease, turn.now.utc_ms + lease.until_ms - turn.now.mono_ms),
    )


def why_not(state: OutletState, limits: Limits, now_ms: int) -> tuple[str, str] | None:
    """Return the code and the line of a refusal, or ``None`` if a lease may be granted."""
    barred = _barred(state)
    if barred is not None:
        return barred
    if state.phase is Phase.STOPPING and state.lease is None:
        return "stopping", "it is not off yet: try again when samples show it off"
    if state.phase is not Phase.OFF:
        return "in_use", "a lease is running on it: switch it off first"
    return _present(state, limits, now_ms)


def _barred(state: OutletState) -> tuple[str, str] | None:
    """Say what keeps it off until somebody has looked."""
    if state.latch is not None:
        who = {
            Release.AUTOMATIC: "it is released by itself once the cause is gone",
            Release.OPERATOR: "look at the cause, then reset it",
            Release.ON_SITE: "a person at the outlet has to look at it and reset it on site",
        }[state.latch.release]
        return "latched", f"cut off because of {state.latch.reason}: {who}"
    if state.trips:
        return "interlock", tripped_line(state.trips)
    if state.locks:
        return "locked", f"locked by {', '.join(sorted(state.locks))}: unlock it first"
    return None


def _present(state: OutletState, limits: Limits, now_ms: int) -> tuple[str, str] | None:
    """Say what is measured, or is not, that forbids to switch on now."""
    if not fresh(state, limits, now_ms):
        unknown = missing(state)
        if unknown is not None and state.measured.voltage_ms is not None:
            return "device_silent", f"its meter tells no {unknown}: check the meter and its profile"
        return "device_silent", "its device does not answer: look at the device and its line"
    for reason in FORBIDS_START:
        if reason in state.holds:
            return str(reason.value), f"{reason} is present now: wait until it is gone"
    return None


def tripped_line(interlocks: Iterable[str]) -> str:
    """Say to a person which interlocks forbid it."""
    return f"interlock {', '.join(sorted(interlocks))} is tripped or can't be read: look there"


def _not_measured(state: OutletState, lease: Lease) -> tuple[str, str] | None:
    """Refuse limits that can't be measured: what can't be kept is not promised."""
    limited = lease.energy_mwh is not None or lease.power_w is not None
    if limited and (not state.metered or state.measured.power_ms is None):
        return "not_metered", "its power is not measured: ask without energy and power limits"
    return None


def fresh(state: OutletState, limits: Limits, now_ms: int) -> bool:
    """Say whether the relay, and the current where it is measured, were sampled lately."""
    oldest_ms = last_known_ms(state)
    return oldest_ms is not None and now_ms - oldest_ms < limits.silence.delay_s * 1000


def last_known_ms(state: OutletState) -> int | None:
    """Return until when all that counts is known to hold; ``None`` if some of it never was."""
    heard_ms = last_heard_ms(state)
    if heard_ms is None or state.alive_ms is None:
        return heard_ms
    return max(heard_ms, state.alive_ms)


def last_heard_ms(state: OutletState) -> int | None:
    """Return the age's base: the oldest of relay, current and power; ``None`` if one is unknown.

    A meter that has shown but one of current and power is taken to measure no more, unless its
    profile says that it measures both.
    """
    measured = state.measured
    relay_ms, current_ms, power_ms = measured.relay_ms, measured.current_ms, measured.power_ms
    if relay_ms is None or not state.metered:
        return relay_ms
    if missing(state) is not None or (current_ms is None and power_ms is None):
        return None
    meter_ms = min(ms for ms in (current_ms, power_ms) if ms is not None)
    return min(relay_ms, meter_ms)


def missing(state: OutletState) -> str | None:
    """Name what the meter should measure, and has never told."""
    if state.measured.current_ms is None and "current" in state.measures:
        return "current"
    if state.measured.power_ms is None and "power" in state.measures:
        return "power"
    return None


def durable(turn: Turn, event: LeaseDurable) -> None:
    """Switch on, now that a crash can't forget why; or wait for what circuits say."""
    state = turn.state
    if state.phase is not Phase.GRANTED or state.lease is None or state.lease.id != event.lease_id:
        return
    over = _no_more(state, state.lease, turn)
    if over is not None:
        stop(turn, over)
    elif state.is_fed:
        turn.state = state._replace(phase=Phase.WAITING, phase_ms=turn.now.mono_ms)
    else:
        _switch_on(turn, state.lease)


def _switch_on(turn: Turn, lease: Lease) -> None:
    for reason in _LOADS:
        # Nothing was switched on yet: what was seen until now is not this lease's load.
        turn.drop_hold(reason)
    turn.state = turn.state._replace(
        phase=Phase.STARTING,
        phase_ms=turn.now.mono_ms,
        charge=Charge(on_ms=turn.now.mono_ms),
        plugged=Plugged(),
        on_attempts=1,
        waits_for="",
    )
    turn.effects.append(SwitchOn(for_ms=left_ms(lease, turn)))


def held(turn: Turn, event: Held) -> None:
    """Say once that a lease waits, and keep in mind for what."""
    state = turn.state
    if state.phase is not Phase.WAITING or state.lease is None:
        return
    if not state.waits_for:
        turn.note(
            FactKind.OUTLET_WAITING,
            event.why,
            actor=state.lease.actor,
            data={**_name(state.lease), "circuit": event.circuit},
        )
    turn.state = turn.state._replace(waits_for=event.circuit)


def proceed(turn: Turn, event: Proceed) -> None:
    """Switch on under a lease that waited: decided anew, with every check."""
    state, lease = turn.state, turn.state.lease
    if state.phase is not Phase.WAITING or lease is None or lease.id != event.lease_id:
        turn.refuse("not_waiting", "no such lease waits on it")
        return
    if turn.now.mono_ms >= lease.until_ms:
        stop(turn, Reason.LEASE_OVER)
        return
    refusal = _barred(state) or _present(state, turn.limits, turn.now.mono_ms)
    if refusal is not None:
        turn.refuse(*refusal)
        return
    _switch_on(turn, lease)


def make_room(turn: Turn, event: MakeRoom) -> None:
    """Switch off for a circuit's sake: the lease goes on, and waits."""
    state, lease = turn.state, turn.state.lease
    if state.phase not in ACTIVE or lease is None:
        turn.refuse("nothing_to_do", "it is not on")
        return
    turn.effects.insert(0, SwitchOff(urgent=True))
    on_ms = on_for_ms(state, turn.now.mono_ms)
    turn.note(
        FactKind.OUTLET_SHED,
        event.reason,
        data={
            **_name(lease),
            "circuit": event.circuit,
            "energy_mwh": energy.total_mwh(state.energy),
            "duration_ms": on_ms,
            "evidence": dict(event.evidence),
        },
    )
    turn.state = state._replace(
        waits_for=event.circuit,
        earlier_on_ms=on_ms,
        charge=None,
        # What flowed last says nothing about the time until it goes on.
        energy=state.energy._replace(power_w=None, power_ms=None),
    )
    go_off(turn, event.reason)


def _name(lease: Lease) -> dict[str, str]:
    return {"lease_id": lease.id, "request_id": lease.request_id}


def left_ms(lease: Lease, turn: Turn) -> int:
    """Return how long a lease may still last, by its end and by the longest time."""
    longest_ms = round(turn.limits.longest_time.delay_s * 1000)
    return min(lease.until_ms, lease.granted_ms + longest_ms) - turn.now.mono_ms


def _no_more(state: OutletState, lease: Lease, turn: Turn) -> Reason | None:
    """Say what has come up while the lease was written down, as an ON is never late."""
    if turn.now.mono_ms >= lease.until_ms:
        return Reason.LEASE_OVER
    if not fresh(state, turn.limits, turn.now.mono_ms):
        return Reason.SILENCE
    return next((reason for reason in FORBIDS_START if reason in state.holds), None)


def not_durable(turn: Turn, event: LeaseNotDurable) -> None:
    """Take the lease back: what can't be written down is not granted."""
    lease = turn.state.lease
    if turn.state.phase is Phase.GRANTED and lease is not None and lease.id == event.lease_id:
        stop(turn, Reason.STORAGE)


def renew(turn: Turn, request: Renew) -> None:
    """Move the end of a running lease; the longest time still counts from its start."""
    lease = turn.state.lease
    if lease is None or lease.id != request.lease_id or turn.now.mono_ms >= lease.until_ms:
        turn.refuse("not_on", "that lease is not running: ask for a new one")
        return
    lease = replace(lease, until_ms=request.until_ms)
    turn.state = turn.state._replace(lease=lease)
    turn.note(
        FactKind.LEASE_RENEWED,
        actor=request.actor,
        data=_terms(lease, turn.now.utc_ms + lease.until_ms - turn.now.mono_ms),
    )
    if turn.state.phase in ACTIVE:
        turn.effects.append(KeepOn(for_ms=left_ms(lease, turn)))


def off(turn: Turn, request: RequestOff) -> None:
    """Switch off. Asked of an outlet that samples show off, there is nothing to do."""
    state = turn.state
    if state.phase is Phase.STOPPING and state.stop is not None and state.lease is None:
        if state.stop.request_id is None:
            turn.state = state._replace(stop=replace(state.stop, request_id=request.request_id))
        return
    if state.phase is Phase.OFF and _seen_off(turn):
        turn.refuse("nothing_to_do", "it is off")
        return
    stop(
        turn,
        request.reason,
        evidence={"why": request.why} if request.why else None,
        actor=request.actor,
        request_id=request.request_id,
    )


def reset(turn: Turn, request: RequestReset) -> None:
    """Release the latch, if this person may and the outlet is really off."""
    held = turn.state.latch
    if held is None:
        turn.refuse("nothing_to_do", "it is not cut off")
    elif held.release is Release.ON_SITE and not request.on_site:
        turn.refuse(
            "on_site_only",
            f"cut off because of {held.reason}: only a person at the outlet may reset it, on site",
        )
    elif turn.state.trips:
        turn.refuse("interlock", tripped_line(turn.state.trips))
    elif turn.state.phase is not Phase.OFF or not _seen_off(turn):
        turn.refuse("not_off", "samples do not show it off yet: the cause is still there")
    else:
        release(turn, request.actor, request.why)


def _seen_off(turn: Turn) -> bool:
    state = turn.state
    return state.measured.relay_on is False and fresh(state, turn.limits, turn.now.mono_ms)


def lock(turn: Turn, request: Lock) -> None:
    """Take the outlet out of use: whatever runs on it ends."""
    turn.state = turn.state._replace(locks=turn.state.locks | {request.scope})
    if turn.state.lease is not None:
        stop(turn, Reason.LOCKED, action=Action.OFF, actor=request.actor)


def unlock(turn: Turn, request: Unlock) -> None:
    """Give the outlet back, as far as this scope is concerned."""
    turn.state = turn.state._replace(locks=turn.state.locks - {request.scope})


def trip(turn: Turn, event: Tripped) -> None:
    """Open, whatever the outlet does, and stay so until a person on site has looked."""
    turn.state = turn.state._replace(trips=turn.state.trips | {event.interlock})
    act(
        turn,
        Finding(
            reason=event.reason,
            action=Action.CUT,
            release=Release.ON_SITE,
            cooldown_s=0.0,
            evidence={"interlock": event.interlock, **event.evidence},
        ),
    )


def untrip(turn: Turn, event: Untripped) -> None:
    """Note that the interlock is not tripped. What it has latched stays latched."""
    turn.state = turn.state._replace(trips=turn.state.trips - {event.interlock})


def _terms(lease: Lease, until_utc_ms: int) -> dict[str, str | int | float]:
    terms: dict[str, str | int | float] = {
        "lease_id": lease.id,
        "request_id": lease.request_id,
        "for_s": round((lease.until_ms - lease.granted_ms) / 1000, 3),
        "until_utc_ms": until_utc_ms,
    }
    if lease.energy_mwh is not None:
        terms["energy_mwh"] = lease.energy_mwh
    if lease.power_w is not None:
        terms["power_w"] = lease.power_w
    return terms
