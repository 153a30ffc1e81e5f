"""PURE: what becomes of an outlet that the guard could not judge, because of an error of its own.

Nobody can say that it is safe, so it is switched off; the other outlets go on.
"""

from __future__ import annotations

from gateway.core.clock import Now
from gateway.core.reasons import Reason
from gateway.guard.effects import Effect, Refusal, SwitchOff
from gateway.guard.limits import Limits
from gateway.guard.state import OutletState, Phase, Stop
from gateway.guard.turn import Turn, stop

_REFUSAL = Refusal(code="fault", message="the guard could not judge it: look into the guard's log")
_DETAIL = "the guard could not judge it because of an error of its own: see its log"


def switched_off(
    state: OutletState, limits: Limits, now: Now
) -> tuple[OutletState, tuple[Effect, ...]]:
    """End the lease if there is one, and send an OFF whatever the outlet is thought to be."""
    if state.lease is None and state.phase in (Phase.OFF, Phase.STOPPING):
        return state, (SwitchOff(urgent=False), _REFUSAL)
    turn = Turn(state, limits, now)
    stop(turn, Reason.INTERRUPTED, evidence={"detail": _DETAIL})
    # Of a lease that was to wait, the OFF is on its way already: once more does no harm.
    again = (SwitchOff(urgent=False),) if state.phase is Phase.STOPPING else ()
    return turn.state, (*again, *turn.effects, _REFUSAL)


def forced_off(state: OutletState, now: Now) -> tuple[OutletState, tuple[Effect, ...]]:
    """Do the same without a fact, where even that failed: a restart tells of the lease."""
    off = Stop(
        reason=Reason.INTERRUPTED,
        request_id=None,
        since_ms=now.mono_ms,
        attempt_ms=now.mono_ms,
    )
    state = state._replace(lease=None, phase=Phase.STOPPING, phase_ms=now.mono_ms, stop=off)
    return state, (SwitchOff(urgent=True), _REFUSAL)
