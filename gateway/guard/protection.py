"""PURE: the protection of one outlet.

``step`` is a function of its arguments alone: the same state, event, limits and time give
the same new state and the same effects. The shell around it (``outlet.py``) does what the
effects say, in their order; an OFF is always the first of them.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from gateway.core.clock import Now
from gateway.core.reasons import Reason
from gateway.guard import requests, sampling, stopping
from gateway.guard.effects import Effect, SwitchOn
from gateway.guard.events import (
    Alive,
    Event,
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
    Tick,
    Tripped,
    Unlock,
    Untripped,
    Written,
)
from gateway.guard.limits import Action, Limits, Rule
from gateway.guard.model import Sample, WriteResult
from gateway.guard.state import Finding, OutletState, Phase
from gateway.guard.turn import ACTIVE, Turn, act, stop

ON_ATTEMPTS = 3
"""How often an ON is sent when the device does not acknowledge it, within the time that the
rule *no reaction* allows: it is still the same decision."""

GRANTED_TIMEOUT_MS = 5_000
"""How long a granted lease waits to be written down."""


def step(
    state: OutletState, event: Event, limits: Limits, now: Now
) -> tuple[OutletState, tuple[Effect, ...]]:
    """Feed one event to an outlet; return its new state and what has to be done, in order."""
    turn = Turn(state, limits, now)
    _HANDLERS[type(event)](turn, event)
    return turn.state, tuple(turn.effects)


def _sample(turn: Turn, sample: Sample) -> None:
    sampling.take(turn, sample)
    _timers(turn)


def _tick(turn: Turn, _: Tick) -> None:
    _timers(turn)


def _alive(turn: Turn, event: Alive) -> None:
    known_ms = turn.state.alive_ms
    if event.at_ms <= turn.now.mono_ms and (known_ms is None or event.at_ms > known_ms):
        sampling.hold(turn, event.at_ms)
        turn.state = turn.state._replace(alive_ms=event.at_ms)
    _timers(turn)


def _timers(turn: Turn) -> None:
    """Everything that happens because time went by."""
    waited_ms = turn.now.mono_ms - turn.state.phase_ms
    if turn.state.phase in ACTIVE or turn.state.phase in (Phase.WAITING, Phase.STOPPING):
        _lease(turn)
    if turn.state.phase in ACTIVE:
        _listen(turn)
    elif turn.state.phase is Phase.STOPPING:
        stopping.wait(turn)
    elif turn.state.phase is Phase.GRANTED and waited_ms >= GRANTED_TIMEOUT_MS:
        stop(turn, Reason.STORAGE)


def _lease(turn: Turn) -> None:
    lease = turn.state.lease
    if lease is None:
        return
    if turn.now.mono_ms >= lease.until_ms:
        act(turn, sampling.plain(Reason.LEASE_OVER, {"late_ms": turn.now.mono_ms - lease.until_ms}))
        return
    rule = turn.limits.longest_time
    lasted_ms = turn.now.mono_ms - lease.granted_ms
    if lasted_ms >= rule.delay_s * 1000:
        act(turn, _by_rule(Reason.LONGEST_TIME, rule, lasted_ms))


def _listen(turn: Turn) -> None:
    """Silence is an input: an outlet that can't be watched is not left on."""
    state, limits = turn.state, turn.limits
    heard_ms: int | None
    if state.phase is Phase.STARTING:
        # A relay that is heard and stays open is judged with its samples.
        heard_ms = max(state.measured.relay_ms or 0, state.phase_ms)
        silent_ms = turn.now.mono_ms - heard_ms
        if silent_ms >= limits.no_reaction.delay_s * 1000:
            act(turn, _by_rule(Reason.SILENCE, limits.silence, silent_ms, Action.OFF))
        return
    heard_ms = requests.last_known_ms(state)
    base_ms = state.phase_ms if heard_ms is None else heard_ms
    silent_ms = turn.now.mono_ms - base_ms
    if silent_ms >= limits.silence.delay_s * 1000:
        act(turn, _by_rule(Reason.SILENCE, limits.silence, silent_ms))


def _written(turn: Turn, event: Written) -> None:
    state = turn.state
    if not event.wanted_on:
        stopping.written(turn, event.result)
        return
    if state.phase is not Phase.STARTING or event.result is WriteResult.DONE:
        return
    if event.result is WriteResult.DROPPED:
        evidence = {"detail": "the bus could not carry the ON in time: it was not sent"}
        stop(turn, Reason.NO_REACTION, evidence=evidence)
    elif state.on_attempts < ON_ATTEMPTS and state.lease is not None:
        turn.state = state._replace(on_attempts=state.on_attempts + 1)
        turn.effects.append(SwitchOn(for_ms=requests.left_ms(state.lease, turn)))


def _by_rule(reason: Reason, rule: Rule, held_ms: int, action: Action | None = None) -> Finding:
    return Finding(
        reason=reason,
        action=action or rule.action,
        release=rule.release,
        cooldown_s=rule.cooldown_s,
        evidence={"held_ms": held_ms},
    )


_HANDLERS: Mapping[type[Event], Callable[[Turn, Any], None]] = {
    Sample: _sample,
    Tick: _tick,
    Alive: _alive,
    Written: _written,
    RequestOn: requests.on,
    LeaseDurable: requests.durable,
    LeaseNotDurable: requests.not_durable,
    Held: requests.held,
    Proceed: requests.proceed,
    MakeRoom: requests.make_room,
    Renew: requests.renew,
    RequestOff: requests.off,
    RequestReset: requests.reset,
    Lock: requests.lock,
    Unlock: requests.unlock,
    Tripped: requests.trip,
    Untripped: requests.untrip,
}
