"""PURE: an OFF on its way: sent again until samples show it, and judged when they do not.

Three times at once, then once a second between full poll rounds. The relay's state alone
proves nothing: off is off when no current flows either.
"""

from __future__ import annotations

from dataclasses import replace
from typing import NamedTuple

from gateway.core.facts import FactKind
from gateway.core.reasons import Reason
from gateway.guard.effects import SwitchOff
from gateway.guard.limits import Limits
from gateway.guard.model import Sample, WriteResult
from gateway.guard.requests import last_known_ms
from gateway.guard.state import Finding, Measured, OutletState, Phase, Stop
from gateway.guard.turn import Turn, act, alarm, clear_alarms

AT_ONCE = 3
"""How often an OFF is sent without waiting."""
RETRY_MS = 1_000
"""How often after that."""

MAINS_V = 230.0
"""Turns power into current where a meter measures nothing else."""
CURRENT_GONE_MS = 5_000
"""A current so much older than the power is measured no more: its register says "unknown"."""

_OVER_WHEN_OFF = frozenset(
    {
        *(Reason.SILENCE, Reason.NO_REACTION),
        # Alarms about a charge end with it.
        *(Reason.FULL, Reason.UNPLUGGED, Reason.NO_LOAD, Reason.LONGEST_TIME),
        *(Reason.WRONG_APPLIANCE, Reason.LOOSE_CONTACT, Reason.FROZEN_METER),
    }
)


class Flow(NamedTuple):
    """The current, and when it was measured."""

    current_a: float
    at_ms: int


def flow(measured: Measured) -> Flow | None:
    """Return how much flows; out of the power where the meter has no current, or none any more."""
    by_current = by_power = None
    if measured.current_a is not None and measured.current_ms is not None:
        by_current = Flow(abs(measured.current_a), measured.current_ms)
    if measured.power_w is not None and measured.power_ms is not None:
        by_power = Flow(abs(measured.power_w) / MAINS_V, measured.power_ms)
    if by_current is None or by_power is None:
        return by_current or by_power
    return by_power if by_power.at_ms - by_current.at_ms >= CURRENT_GONE_MS else by_current


def confirm(turn: Turn, sample: Sample) -> None:
    """Compare a sample with the OFF that was sent."""
    state, off = turn.state, turn.state.stop
    if off is None or sample.at_ms <= off.since_ms:
        return
    if _is_off(state, off, turn.limits):
        _confirmed(turn, off)
        return
    if sample.relay_on:
        # Judged without an acknowledgement too: a module may be read and yet refuse writes.
        if off.written_ms is not None and sample.at_ms > off.written_ms:
            again(turn)
        _judge_reaction(turn, sample)
    else:
        _judge_flow(turn, sample)


def written(turn: Turn, result: WriteResult) -> None:
    """Note that the device acknowledged the OFF, or send it again."""
    off = turn.state.stop
    if off is None:
        return
    if result is WriteResult.DONE:
        if off.written_ms is None:
            turn.state = turn.state._replace(stop=replace(off, written_ms=turn.now.mono_ms))
    else:
        again(turn)


def wait(turn: Turn) -> None:
    """Let time go by: send again, and say so when nothing at all is heard."""
    off = turn.state.stop
    if off is None:
        return
    if turn.now.mono_ms - off.attempt_ms >= RETRY_MS:
        _send(turn, off, urgent=off.attempts < AT_ONCE)
    heard_ms = last_known_ms(turn.state) or 0
    heard_ms = max(heard_ms, off.since_ms)
    silent_ms = turn.now.mono_ms - heard_ms
    if not off.silence_told and silent_ms >= turn.limits.silence.delay_s * 1000:
        off = turn.state.stop or off
        turn.state = turn.state._replace(stop=replace(off, silence_told=True))
        evidence = {
            "detail": "told to go off and relay or meter does not answer",
            "held_ms": silent_ms,
        }
        alarm(turn, Reason.SILENCE, evidence)


def again(turn: Turn) -> None:
    """Send the OFF once more, if its turn has come."""
    off = turn.state.stop
    if off is None:
        return
    if off.attempts < AT_ONCE:
        _send(turn, off, urgent=True)
    elif turn.now.mono_ms - off.attempt_ms >= RETRY_MS:
        _send(turn, off, urgent=False)


def welded(limits: Limits, current_a: float, held_ms: int) -> Finding:
    """Make the finding of a current that flows although the outlet is off."""
    rule = limits.welded
    return Finding(
        reason=Reason.WELDED,
        action=rule.action,
        release=rule.release,
        cooldown_s=rule.cooldown_s,
        evidence={
            "value": round(abs(current_a), 3),
            "threshold": rule.above_a,
            "unit": "A",
            "held_ms": held_ms,
        },
    )


def _send(turn: Turn, off: Stop, *, urgent: bool) -> None:
    turn.effects.insert(0, SwitchOff(urgent=urgent))
    off = replace(
        off,
        attempts=off.attempts + 1,
        attempt_ms=turn.now.mono_ms,
        in_turn=off.in_turn and not urgent,
    )
    turn.state = turn.state._replace(stop=off)


def _is_off(state: OutletState, off: Stop, limits: Limits) -> bool:
    measured = state.measured
    if measured.relay_on is not False or (measured.relay_ms or 0) <= off.since_ms:
        return False
    if not state.metered:
        return True
    flowing = flow(measured)
    if flowing is None or flowing.at_ms <= off.since_ms:
        return False
    return flowing.current_a <= limits.welded.above_a


def _confirmed(turn: Turn, off: Stop) -> None:
    # A lease that it still holds was to make room: it waits.
    phase = Phase.OFF if turn.state.lease is None else Phase.WAITING
    turn.state = turn.state._replace(phase=phase, phase_ms=turn.now.mono_ms, stop=None, charge=None)
    # A current seen before this OFF says nothing about the time after it.
    turn.drop_hold(Reason.WELDED)
    for reason in (Reason.WRONG_APPLIANCE, Reason.LOOSE_CONTACT, Reason.FROZEN_METER):
        turn.drop_hold(reason)
    clear_alarms(turn, _OVER_WHEN_OFF)
    data: dict[str, str | int] = {
        "after_ms": turn.now.mono_ms - off.since_ms,
        "attempts": off.attempts,
    }
    if off.request_id is not None:
        data["request_id"] = off.request_id
    turn.note(FactKind.OUTLET_OFF, off.reason, data=data)


def _judge_reaction(turn: Turn, sample: Sample) -> None:
    """Judge a relay that is seen closed: for how long since it could have heard the OFF."""
    off = turn.state.stop
    if off is None:
        return
    if off.closed_since_ms is None:
        off = replace(off, closed_since_ms=sample.at_ms)
        turn.state = turn.state._replace(stop=off)
    held_ms = sample.at_ms - max(off.closed_since_ms or 0, off.written_ms or 0)
    if held_ms >= turn.limits.no_reaction.delay_s * 1000:
        detail = "the relay stays closed although told to open"
        act(turn, no_reaction(turn.limits, held_ms, detail))


def no_reaction(limits: Limits, held_ms: int, detail: str) -> Finding:
    """Make the finding of a relay that does not follow its command."""
    rule = limits.no_reaction
    return Finding(
        reason=Reason.NO_REACTION,
        action=rule.action,
        release=rule.release,
        cooldown_s=rule.cooldown_s,
        evidence={"detail": detail, "held_ms": held_ms},
    )


def _judge_flow(turn: Turn, sample: Sample) -> None:
    """Judge a current that flows although the relay says off: a meter lags, a weld stays."""
    off, measured = turn.state.stop, turn.state.measured
    flowing = flow(measured)
    if off is None or flowing is None or flowing.at_ms != sample.at_ms:
        return
    if measured.relay_on or (measured.relay_ms or 0) <= off.since_ms:
        return
    rule = turn.limits.welded
    if flowing.current_a <= rule.above_a:
        return
    if off.flowing_since_ms is None:
        turn.state = turn.state._replace(stop=replace(off, flowing_since_ms=sample.at_ms))
        return
    held_ms = sample.at_ms - off.flowing_since_ms
    again(turn)
    if held_ms >= rule.delay_s * 1000:
        act(turn, welded(turn.limits, flowing.current_a, held_ms))
