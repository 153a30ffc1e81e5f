"""PURE: a meter that stands still: it answers, and what it says does not change any more.

Under load the mains alone moves the last digit of a working meter. Where they are quiet, or its
digits coarse, a working meter may stand still, too. So it is asked how this meter has behaved: one
whose voltage was seen to move, many times, is frozen when it stands for much longer than it ever
did, whatever it shows; one that stood long at some power, and moved again, may stand at less.
That it was frozen itself and came back is no such behaviour: a meter that hangs once hangs again.
"""

from __future__ import annotations

from typing import NamedTuple

from gateway.guard.limits import FrozenMeter
from gateway.guard.state import Measured, Still

LIVELY_MOVES = 20
"""So often must the voltage have moved at light load to say how long it stands at most."""
STEP_W = 0.5
STEP_SHARE = 0.2
"""After a step of more than both the voltage stands elsewhere between two of its digits, and how
often it moved before says nothing: a charger's stand-by on mains that are quiet to the digit."""
LONGER = 4
"""Frozen is what stands so many times as long as ever before."""
LIGHT_TIMES = 2.5
"""No load below so many times the rule's power moves the voltage by a digit, whatever its noise:
what moves it is the mains."""
MAINS_A = 2.0
MAINS_V = 0.3
"""Nor does a load below ``MAINS_A`` move it by so much between two samples: 1 % of noise behind
1.5 ohm makes 0.03 V (rms)."""
DARK_V = 50.0
"""Below it there are no mains to move it."""
STOOD_SHARE = 0.25
"""A meter that stood for this share of the rule's delay, and moved again, stands by itself,"""
STOOD_TIMES = 1.5
"""and may do so up to so many times the power at which it did."""
DRIFT_W = 0.2
DRIFT_SHARE = 0.01
DRIFT_V = 0.2
"""What stands by itself moves on by a digit or two; a meter that comes back shows what has become
of load and mains meanwhile."""


class Frozen(NamedTuple):
    """What a meter has shown without a change, and for how long."""

    power_w: float
    held_ms: int


def follow(still: Still, before: Measured, after: Measured, rule: FrozenMeter) -> Still:
    """Take in what a sample changed."""
    at_ms = after.power_ms
    if at_ms is None or at_ms == before.power_ms:
        return still
    voltage_moved = after.voltage_v != before.voltage_v
    load_moved = after.power_w != before.power_w or after.current_a != before.current_a
    if not voltage_moved and not load_moved:
        return still
    if frozen(still, before, rule) is not None and not _drifted(before, after):
        return _back(still, at_ms)
    before_w, after_w = abs(before.power_w or 0.0), abs(after.power_w or 0.0)
    if _stepped(before_w, after_w):
        still = still._replace(light_moves=0, longest_ms=0)
    if still.since_ms and at_ms - still.since_ms >= STOOD_SHARE * rule.delay_s * 1000:
        still = still._replace(stood_w=max(still.stood_w, before_w))
    if not voltage_moved:
        return still._replace(since_ms=at_ms)
    if _is_small(before) and _is_small(after):
        still = _mains_moved(still, before, after, at_ms)
    return _moved(still, at_ms, light=after_w < LIGHT_TIMES * rule.above_w)


def _drifted(before: Measured, after: Measured) -> bool:
    before_w, after_w = before.power_w or 0.0, after.power_w or 0.0
    if abs(after_w - before_w) > max(DRIFT_W, DRIFT_SHARE * abs(before_w)):
        return False
    if before.voltage_v is None or after.voltage_v is None:
        return before.voltage_v is after.voltage_v
    return abs(after.voltage_v - before.voltage_v) <= DRIFT_V


def _back(still: Still, at_ms: int) -> Still:
    """Begin anew with what it shows, and learn nothing from the time in which it was frozen."""
    return still._replace(
        since_ms=at_ms, voltage_since_ms=at_ms, was_light=False, light_moves=0, longest_ms=0
    )


def _stepped(before_w: float, after_w: float) -> bool:
    return abs(after_w - before_w) > max(STEP_W, STEP_SHARE * max(before_w, after_w))


def _is_small(measured: Measured) -> bool:
    """Say whether mains are there, and a load that does not move them."""
    volts, amps = measured.voltage_v, measured.current_a
    return volts is not None and volts >= DARK_V and amps is not None and abs(amps) < MAINS_A


def _mains_moved(still: Still, before: Measured, after: Measured, at_ms: int) -> Still:
    assert before.voltage_v is not None
    assert after.voltage_v is not None
    far = abs(after.voltage_v - before.voltage_v) >= MAINS_V
    stood_ms = at_ms - still.voltage_since_ms if still.voltage_since_ms else 0
    return still._replace(
        mains_moves=still.mains_moves + far,
        mains_longest_ms=max(still.mains_longest_ms, stood_ms),
    )


def _moved(still: Still, at_ms: int, *, light: bool) -> Still:
    moves, longest_ms = still.light_moves, still.longest_ms
    if light and still.was_light:
        moves, longest_ms = moves + 1, max(longest_ms, at_ms - still.voltage_since_ms)
    return still._replace(
        since_ms=at_ms,
        voltage_since_ms=at_ms,
        was_light=light,
        light_moves=moves,
        longest_ms=longest_ms,
    )


def frozen(still: Still, measured: Measured, rule: FrozenMeter) -> Frozen | None:
    """Say so when a meter has stood still for longer than any load and mains do."""
    if still.since_ms == 0 or measured.power_w is None or measured.power_ms is None:
        return None
    held_ms = measured.power_ms - still.since_ms
    if held_ms < rule.delay_s * 1000:
        return None
    if measured.power_w < _least_w(still, rule) and not _is_lively(still, held_ms):
        return None
    return Frozen(measured.power_w, held_ms)


def _least_w(still: Still, rule: FrozenMeter) -> float:
    return max(rule.above_w, STOOD_TIMES * still.stood_w)


def _is_lively(still: Still, held_ms: int) -> bool:
    """Say whether the voltage used to move, and stands for much longer than it ever did."""
    at_light = still.light_moves >= LIVELY_MOVES and held_ms >= LONGER * still.longest_ms
    by_mains = still.mains_moves >= LIVELY_MOVES and held_ms >= LONGER * still.mains_longest_ms
    return at_light or by_mains
