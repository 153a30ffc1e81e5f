"""PURE: the course of a charge, and how it ends by itself.

A charger ramps up in seconds, holds a plateau, tapers, floats. At a change-over a dual-pack
charger dips to between 0 and 90 W for up to about 20 s, and after the end it may top up
again with a spike. From that follow the four ends told apart here: *full* (it floats, or
its power goes to zero after it has tapered), *unplugged* (its power goes to zero without a
taper), *no load* (nothing ever drew power) and none of them (a dip, a re-top, a pause).
"""

from __future__ import annotations

from math import exp
from typing import Any

from gateway.core.reasons import Reason
from gateway.guard.evidence import Recent
from gateway.guard.limits import Action, Full, Limits, NoLoad, Rule, Unplugged
from gateway.guard.state import Charge, Finding

PLATEAU_SHARE = 0.5
"""A power above this share of the plateau is the charge itself again, not a re-top."""
PLATEAU_SETTLES = 5
"""For how many settling times it must stay there: a re-top lasts seconds, a pack hours."""
PRECHARGE_RATIO = 2.0
"""A plateau that has risen by this since a taper shows that it was none: a flat battery is charged
at a trickle first. One settling time is enough to say so."""
LOAD_MS = 5_000
"""A load lasts: a charger's fan that tries itself does not."""
STRONG_W = 30.0
"""A charge at its power is more than a fan (the AP3000 family's peak that tells one from no load:
domain facts, section 2), and is one"""
STRONG_LOAD_MS = 1_800
"""after two or three polls: a spike when the relay closes is over before."""
FALL_SHARE = 0.1
"""What has fallen by this share while it floats is still tapering: a float stays. A small charger
on a large battery creeps below ``float_share`` hours before it has done its work."""
FALL_W = 0.15
"""Less is the last digit of a meter (0.1 W: PZEM-004T v3; domain facts, section 3)."""
NOTHING_W = 0.05
"""Less reads as 0.0 W: the plug is out, or what is in it will not start again."""
RETOP_MS = 900_000
"""A charger on stand-by, which can be less than ``unplugged.below_w``, may top up again after
the end (domain facts, section 1): it has so long for it, or ``full.delay_s`` where that is less."""

_FULL = Full()
_NO_LOAD = NoLoad()
_UNPLUGGED = Unplugged()


def follow(charge: Charge, power_w: float, at_ms: int, limits: Limits) -> Charge:
    """Take one more power sample (W, monotonic ms) into the course of the charge."""
    if charge.sample_ms is not None and at_ms <= charge.sample_ms:
        return charge
    power_w = abs(power_w)
    full = limits.full or _FULL
    load_w = (limits.no_load or _NO_LOAD).below_w
    zero_w = (limits.unplugged or _UNPLUGGED).below_w
    level_w = _smoothed(charge, power_w, at_ms, full.settle_s)
    plateau_w = max(charge.plateau_w, level_w)
    taper_w = _taper_threshold_w(full, plateau_w)

    zero = power_w < zero_w
    was = charge
    charge = charge._replace(
        load_since_ms=_since(charge.load_since_ms, at_ms, lasts=power_w >= load_w),
        peak_w=max(charge.peak_w, power_w),
        level_w=level_w,
        plateau_w=plateau_w,
        zero_since_ms=_since(charge.zero_since_ms, at_ms, lasts=zero),
        nothing_since_ms=_since(charge.nothing_since_ms, at_ms, lasts=power_w < NOTHING_W),
        low_since_ms=_since(charge.low_since_ms, at_ms, lasts=not zero and power_w <= taper_w),
        high_since_ms=_since(
            charge.high_since_ms, at_ms, lasts=power_w > max(PLATEAU_SHARE * plateau_w, taper_w)
        ),
        above_since_ms=_since(charge.above_since_ms, at_ms, lasts=power_w > taper_w),
    )
    charge = _tapering(charge, at_ms, full.settle_s * 1000)
    load_ms = STRONG_LOAD_MS if power_w >= STRONG_W else LOAD_MS
    load_seen = charge.load_seen or _lasted_ms(charge.load_since_ms, at_ms) >= load_ms
    floats = load_seen and power_w <= _float_threshold_w(full, plateau_w)
    charge = _floating(charge, power_w, at_ms, full, lasts=floats)
    return _watched(was, charge, power_w, at_ms)._replace(
        sample_ms=at_ms,
        load_seen=load_seen,
        before_zero_w=charge.before_zero_w if zero else power_w,
    )


def _tapering(charge: Charge, at_ms: int, settle_ms: float) -> Charge:
    """Say whether it has tapered, and since when it has not been a charge for long.

    Some chargers end in pulses, from nothing or stand-by to a tenth of the plateau, for ever.
    """
    rest_since_ms = charge.rest_since_ms
    if charge.above_since_ms is None:
        rest_since_ms = at_ms if rest_since_ms is None else rest_since_ms
    elif at_ms - charge.above_since_ms >= settle_ms:
        rest_since_ms = None
    high_ms = _lasted_ms(charge.high_since_ms, at_ms)
    tapered, taper_plateau_w = charge.tapered, charge.taper_plateau_w
    pulses = (
        charge.low_since_ms is not None
        and _lasted_ms(rest_since_ms, at_ms) >= PLATEAU_SETTLES * settle_ms
    )
    if pulses or _lasted_ms(charge.low_since_ms, at_ms) >= settle_ms:
        if not tapered:
            tapered, taper_plateau_w = True, charge.plateau_w
    elif high_ms >= PLATEAU_SETTLES * settle_ms or (
        high_ms >= settle_ms and charge.plateau_w >= PRECHARGE_RATIO * taper_plateau_w
    ):
        tapered = False
    return charge._replace(
        rest_since_ms=rest_since_ms, tapered=tapered, taper_plateau_w=taper_plateau_w
    )


def _watched(was: Charge, charge: Charge, power_w: float, at_ms: int) -> Charge:
    """Keep what an end says about its course: the level that stays, and what came back."""
    zero_w, rest_w, returns, gone_ms = was.zero_w, was.rest_w, was.returns, was.longest_gone_ms
    if charge.zero_since_ms is not None:
        zero_w = power_w if charge.zero_since_ms == at_ms else max(zero_w, power_w)
    elif was.zero_since_ms is not None and was.load_seen:
        returns += 1
        gone_ms = max(gone_ms, at_ms - was.zero_since_ms)
    if charge.rest_since_ms is not None:
        rest_w = power_w if charge.rest_since_ms == at_ms else max(rest_w, power_w)
    return charge._replace(zero_w=zero_w, rest_w=rest_w, returns=returns, longest_gone_ms=gone_ms)


def falls(charge: Charge, at_ms: int) -> bool:
    """Say whether the sample of this moment was the first at zero, or the first at rest."""
    return at_ms in (charge.zero_since_ms, charge.rest_since_ms)


def ending(charge: Charge, limits: Limits, now_ms: int) -> Finding | None:
    """Say whether the charge has ended by itself.

    Judged on what was sampled, not on time that went by without samples.
    """
    if charge.sample_ms is None:
        return None
    if charge.load_seen:
        return _zero(charge, limits) or _float(charge, limits)
    rule = limits.no_load
    if charge.load_since_ms is not None:
        return None  # one is being drawn, and will be believed soon
    if rule is not None and now_ms - charge.on_ms >= rule.delay_s * 1000:
        evidence = {
            "peak_w": round(charge.peak_w, 1),
            "threshold_w": rule.below_w,
            "held_ms": now_ms - charge.on_ms,
        }
        return _finding(Reason.NO_LOAD, rule, evidence)
    return None


def _zero(charge: Charge, limits: Limits) -> Finding | None:
    rule = limits.unplugged
    if rule is None or charge.zero_since_ms is None or charge.sample_ms is None:
        return None
    held_ms = charge.sample_ms - charge.zero_since_ms
    if held_ms < rule.delay_s * 1000 or _may_top_up(charge, rule, limits.full, held_ms):
        return None
    evidence = {
        "plateau_w": round(charge.plateau_w, 1),
        "before_zero_w": round(charge.before_zero_w, 1),
        "tapered": charge.tapered,
        "threshold_w": rule.below_w,
        "held_ms": held_ms,
        **_course(charge, charge.zero_w),
    }
    full = limits.full
    if charge.tapered and full is not None:
        # Nothing flows any more: an outlet is not left on for it where *full* only says so.
        by = rule if full.action is Action.ALARM else full
        return _finding(Reason.FULL, by, evidence)
    return _finding(Reason.UNPLUGGED, rule, evidence)


def _may_top_up(charge: Charge, rule: Unplugged, full: Full | None, held_ms: int) -> bool:
    """Say whether a charger that has tapered is on stand-by, and its re-top may be to come.

    A stand-by stays: what still falls is the end of a taper, of a small charger below a watt.
    """
    if full is None or not charge.tapered or charge.sample_ms is None:
        return False
    if charge.float_since_ms is not None:
        held_ms = min(held_ms, charge.sample_ms - charge.float_since_ms)
    is_out = _lasted_ms(charge.nothing_since_ms, charge.sample_ms) >= rule.delay_s * 1000
    return not is_out and held_ms < min(full.delay_s * 1000, RETOP_MS)


def _float(charge: Charge, limits: Limits) -> Finding | None:
    rule = limits.full
    if rule is None or charge.sample_ms is None:
        return None
    plateau_w = charge.plateau_w
    if charge.float_since_ms is not None:
        held_ms = charge.sample_ms - charge.float_since_ms
        if held_ms >= rule.delay_s * 1000:
            threshold_w = _float_threshold_w(rule, plateau_w)
            return _finding(Reason.FULL, rule, _level(charge, threshold_w, held_ms))
    if charge.rest_since_ms is not None and charge.above_since_ms is None:
        held_ms = charge.sample_ms - charge.rest_since_ms
        if held_ms >= rule.taper_delay_s * 1000:
            threshold_w = _taper_threshold_w(rule, plateau_w)
            return _finding(Reason.FULL, rule, _level(charge, threshold_w, held_ms))
    return None


def _course(charge: Charge, stays_w: float) -> dict[str, Any]:
    """Say how power went down, where it stays, and whether it had come back before."""
    return {
        "way_down": "taper" if charge.tapered else "sudden",
        "stays_w": round(stays_w, 1),
        "returns": charge.returns,
        "longest_gone_ms": charge.longest_gone_ms,
        "fall": Recent(charge.fall, charge.sample_ms or 0),
    }


def _level(charge: Charge, threshold_w: float, held_ms: int) -> dict[str, Any]:
    return {
        "plateau_w": round(charge.plateau_w, 1),
        "float_w": round(charge.before_zero_w, 1),
        "threshold_w": round(threshold_w, 1),
        "held_ms": held_ms,
        **_course(charge, charge.rest_w),
    }


def _floating(charge: Charge, power_w: float, at_ms: int, full: Full, *, lasts: bool) -> Charge:
    """Say since when it floats, and at what power; a rise and a fall start the time anew."""
    if not lasts:
        return charge._replace(float_since_ms=None)
    since_ms, lowest_w, began_w = (
        charge.float_since_ms,
        charge.float_reference_w,
        charge.float_began_w,
    )
    if since_ms is None or power_w > lowest_w + full.restart_w:
        since_ms, lowest_w = at_ms, power_w
    elif charge.level_w < began_w - max(FALL_W, FALL_SHARE * began_w):
        since_ms = at_ms
    lowest_w = min(lowest_w, power_w)
    if at_ms - since_ms <= full.settle_s * 1000:
        began_w = lowest_w
    return charge._replace(
        float_since_ms=since_ms, float_reference_w=lowest_w, float_began_w=began_w
    )


def _smoothed(charge: Charge, power_w: float, at_ms: int, settle_s: float) -> float:
    """First-order low-pass over a third of the settling time: a spike is no plateau."""
    if charge.sample_ms is None:
        return 0.0
    share = 1.0 - exp(-(at_ms - charge.sample_ms) / (settle_s * 1000 / 3))
    return charge.level_w + (power_w - charge.level_w) * share


def _float_threshold_w(full: Full, plateau_w: float) -> float:
    return max(full.float_w, full.float_share * plateau_w)


def _taper_threshold_w(full: Full, plateau_w: float) -> float:
    """Never below the other: what floats has tapered."""
    return max(full.taper_w, full.taper_share * plateau_w, _float_threshold_w(full, plateau_w))


def _since(since_ms: int | None, at_ms: int, *, lasts: bool) -> int | None:
    if not lasts:
        return None
    return at_ms if since_ms is None else since_ms


def _lasted_ms(since_ms: int | None, at_ms: int) -> int:
    return -1 if since_ms is None else at_ms - since_ms


def _finding(reason: Reason, rule: Rule, evidence: dict[str, Any]) -> Finding:
    return Finding(
        reason=reason,
        action=rule.action,
        release=rule.release,
        cooldown_s=rule.cooldown_s,
        evidence=evidence,
    )
