"""PURE: a meter that stands still: it answers, and what it says does not change any more.

Under load the mains alone moves the last digit of a working meter. At light load and on quiet
mains a working meter may stand still, too: there it counts for frozen only if its voltage was
seen to move, many times, and stands for much longer than it ever did. What a light load is depends
on the meter: one that was seen to stand long, and then moved, has coarse digits or quiet mains.
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
QUIET_SHARE = 0.25
"""A meter that stood for this share of the rule's delay and moved again stands by itself."""
QUIET_TIMES = 2.5
"""So many times the rule's power is a light load to such a meter: 15 W have stood for an hour. No
load below that moves the voltage, whatever its noise: what moves it is the mains."""


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
    if _stepped(before.power_w or 0.0, after.power_w or 0.0):
        still = still._replace(light_moves=0, longest_ms=0)
    elif still.since_ms and at_ms - still.since_ms > still.quietest_ms:
        still = still._replace(quietest_ms=at_ms - still.since_ms)
    if voltage_moved:
        light = abs(after.power_w or 0.0) < QUIET_TIMES * rule.above_w
        return _moved(still, at_ms, light=light)
    return still._replace(since_ms=at_ms)


def _stepped(before_w: float, after_w: float) -> bool:
    return abs(after_w - before_w) > max(STEP_W, STEP_SHARE * max(abs(before_w), abs(after_w)))


def _moved(still: Still, at_ms: int, *, light: bool) -> Still:
    moves, longest_ms = still.light_moves, still.longest_ms
    if light and still.was_light:
        moves, longest_ms = moves + 1, max(longest_ms, at_ms - still.voltage_since_ms)
    return Still(at_ms, at_ms, light, moves, longest_ms, still.quietest_ms)


def frozen(still: Still, measured: Measured, rule: FrozenMeter) -> Frozen | None:
    """Say so when a meter has stood still for longer than any load and mains do."""
    if still.since_ms == 0 or measured.power_w is None or measured.power_ms is None:
        return None
    held_ms = measured.power_ms - still.since_ms
    if held_ms < rule.delay_s * 1000:
        return None
    lively = still.light_moves >= LIVELY_MOVES and held_ms >= LONGER * still.longest_ms
    quiet = still.quietest_ms >= QUIET_SHARE * rule.delay_s * 1000
    light_w = rule.above_w * (QUIET_TIMES if quiet else 1.0)
    if measured.power_w < light_w and not lively:
        return None
    return Frozen(measured.power_w, held_ms)
