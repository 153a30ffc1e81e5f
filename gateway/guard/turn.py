"""PURE: the few moves that protection is made of.

A ``Turn`` collects what one step changes; nothing of it outlives the step, so that
``protection.step`` is a pure function of its arguments.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from types import MappingProxyType
from typing import Any

from gateway.core.clock import Now
from gateway.core.facts import FactKind
from gateway.core.reasons import Reason
from gateway.guard import energy
from gateway.guard.effects import Effect, Note, Refusal, SwitchOff
from gateway.guard.evidence import Recent
from gateway.guard.limits import Action, Limits, Release
from gateway.guard.state import Finding, Latch, OutletState, Phase, Stop

STRICTNESS = {Release.AUTOMATIC: 0, Release.OPERATOR: 1, Release.ON_SITE: 2}

ACTIVE = frozenset({Phase.STARTING, Phase.ON})
"""Phases in which power may flow by a lease."""
UNSWITCHED = frozenset({Phase.GRANTED, Phase.WAITING})
"""Phases in which a lease runs and nothing is on."""
UNHURRIED = frozenset(
    {
        Reason.REQUESTED,
        Reason.LEASE_OVER,
        Reason.LEASE_ENERGY,
        Reason.LONGEST_TIME,
        Reason.FULL,
        Reason.UNPLUGGED,
        Reason.NO_LOAD,
        Reason.LOW_POWER,
    }
)
"""Ends that keep nothing from harm. Their OFFs, however many come at once, leave a bus the time to
see what the other outlets draw; one that had no room within a second is sent before all else."""


@dataclass(slots=True)
class Turn:
    """One step in the making."""

    state: OutletState
    limits: Limits
    now: Now
    effects: list[Effect] = field(default_factory=list)

    def note(
        self,
        kind: FactKind,
        reason: str = "",
        *,
        actor: str = "guard",
        data: Mapping[str, Any] | None = None,
    ) -> None:
        """Have a fact written down."""
        self.effects.append(Note(kind=kind, reason=reason, actor=actor, data=data or {}))

    def drop_hold(self, reason: Reason) -> None:
        """Forget since when a cause lasts."""
        if reason in self.state.holds:
            holds = {r: since for r, since in self.state.holds.items() if r is not reason}
            self.state = self.state._replace(holds=MappingProxyType(holds))

    def refuse(self, code: str, message: str) -> None:
        """Turn the request down."""
        self.effects.append(Refusal(code=code, message=message))


def stop(
    turn: Turn,
    reason: Reason,
    *,
    action: Action = Action.OFF,
    evidence: Mapping[str, Any] | None = None,
    actor: str = "guard",
    request_id: str | None = None,
) -> None:
    """End the lease, if there is one, and send the OFF before anything else is done.

    An OFF that is on its way, of an outlet whose lease was to wait, goes on as it is.
    """
    phase = turn.state.phase
    # What is cut is told to open even where nothing was told to close.
    is_unswitched = phase in UNSWITCHED and action is not Action.CUT
    if phase is Phase.STOPPING and turn.state.stop is not None:
        off = turn.state.stop
        off = replace(off, request_id=request_id or off.request_id)
        end_lease(turn, reason, action=action, evidence=evidence, actor=actor)
        turn.state = turn.state._replace(stop=off)
        return
    if not is_unswitched:
        # First of all effects: the OFF leaves before anything is written down.
        turn.effects.insert(0, SwitchOff(urgent=reason not in UNHURRIED))
    end_lease(turn, reason, action=action, evidence=evidence, actor=actor)
    if is_unswitched:
        turn.state = turn.state._replace(phase=Phase.OFF, phase_ms=turn.now.mono_ms)
        if request_id is not None:
            # Nothing is switched on, so whoever asked for OFF has it already.
            data = {"after_ms": 0, "attempts": 0, "request_id": request_id}
            turn.note(FactKind.OUTLET_OFF, reason, actor=actor, data=data)
        return
    go_off(turn, reason, request_id)


def end_lease(
    turn: Turn,
    reason: Reason,
    *,
    action: Action,
    evidence: Mapping[str, Any] | None,
    actor: str,
) -> None:
    """End the lease, if there is one, and say so; switches nothing."""
    state = turn.state
    if state.lease is None:
        return
    turn.note(
        FactKind.LEASE_ENDED,
        reason,
        actor=actor,
        data={
            "lease_id": state.lease.id,
            "request_id": state.lease.request_id,
            "reason": reason.value,
            "action": action.value,
            "energy_mwh": energy.total_mwh(state.energy),
            "duration_ms": on_for_ms(state, turn.now.mono_ms),
            "evidence": {**(evidence or {}), "samples": Recent(state.recent, turn.now.mono_ms)},
        },
    )
    turn.state = state._replace(lease=None, waits_for="")


def on_for_ms(state: OutletState, now_ms: int) -> int:
    """Say for how long an outlet has been on under its lease, without the time it waited."""
    now_on_ms = 0 if state.charge is None else now_ms - state.charge.on_ms
    return state.earlier_on_ms + now_on_ms


def go_off(turn: Turn, reason: Reason, request_id: str | None = None) -> None:
    """Begin to wait for samples that show the outlet off; its OFF is sent by the caller."""
    turn.state = turn.state._replace(
        phase=Phase.STOPPING,
        phase_ms=turn.now.mono_ms,
        inverse_share=0.0,
        stop=Stop(
            reason=reason,
            request_id=request_id,
            since_ms=turn.now.mono_ms,
            attempt_ms=turn.now.mono_ms,
            in_turn=reason in UNHURRIED,
        ),
    )


def hurry(turn: Turn) -> None:
    """Send an OFF that waits its turn before all else: there is a better reason for it now."""
    off = turn.state.stop
    if off is None or not off.in_turn or off.written_ms is not None:
        return
    turn.effects.insert(0, SwitchOff(urgent=True))
    off = replace(off, in_turn=False, attempts=off.attempts + 1, attempt_ms=turn.now.mono_ms)
    turn.state = turn.state._replace(stop=off)


def act(turn: Turn, finding: Finding) -> None:
    """Do what a rule asks for."""
    if finding.action is Action.ALARM:
        alarm(turn, finding.reason, finding.evidence)
        return
    lease_id = turn.state.lease.id if turn.state.lease is not None else None
    if turn.state.phase is not Phase.STOPPING or lease_id is not None:
        stop(turn, finding.reason, action=finding.action, evidence=finding.evidence)
    else:
        hurry(turn)
    if finding.action is Action.CUT:
        latch(turn, finding, lease_id)


def latch(turn: Turn, finding: Finding, lease_id: str | None = None) -> None:
    """Keep the outlet off until released. A stricter latch is never replaced by a looser one.

    A weld is told whatever is latched: it is what opens the contactor, and keeps it open.
    """
    held, releasing = turn.state.latch, finding.release
    if held is not None and held.reason is finding.reason:
        return
    if held is not None and STRICTNESS[held.release] >= STRICTNESS[releasing]:
        if finding.reason is not Reason.WELDED:
            return
        releasing = held.release
    evidence = {
        **finding.evidence,
        "samples": Recent(turn.state.recent, turn.now.mono_ms),
    }
    turn.state = turn.state._replace(
        latch=Latch(
            reason=finding.reason,
            release=releasing,
            since_ms=turn.now.mono_ms,
            since_utc_ms=turn.now.utc_ms,
            cooldown_s=finding.cooldown_s,
            evidence=evidence,
        ),
    )
    data: dict[str, Any] = {"release": releasing.value, "evidence": evidence}
    if lease_id is not None:
        data["lease_id"] = lease_id
    turn.note(FactKind.OUTLET_CUT, finding.reason, data=data)


def release(turn: Turn, actor: str, why: str = "") -> None:
    """Leave the latch."""
    held = turn.state.latch
    if held is None:
        return
    turn.state = turn.state._replace(latch=None)
    data = {"release": held.release.value, "latched_ms": turn.now.mono_ms - held.since_ms}
    turn.note(
        FactKind.OUTLET_RELEASED,
        held.reason,
        actor=actor,
        data={**data, "why": why} if why else data,
    )


def alarm(turn: Turn, reason: Reason, evidence: Mapping[str, Any]) -> None:
    """Say that something is wrong, once."""
    if reason in turn.state.alarms:
        return
    turn.state = turn.state._replace(alarms=turn.state.alarms | {reason})
    turn.note(FactKind.OUTLET_ALARM, reason, data={"evidence": dict(evidence)})


def clear_alarms(turn: Turn, reasons: frozenset[Reason]) -> None:
    """Say that what was wrong is over."""
    gone = turn.state.alarms & reasons
    if not gone:
        return
    clears = {r: since for r, since in turn.state.clears.items() if r not in gone}
    turn.state = turn.state._replace(
        alarms=turn.state.alarms - gone, clears=MappingProxyType(clears)
    )
    for reason in sorted(gone):
        turn.note(FactKind.OUTLET_ALARM_CLEARED, reason)
