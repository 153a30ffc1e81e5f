"""PURE: a plug or a wire with a bad contact: the power of a charge is gone and back, and again.

What a sound charger does is told apart by its level. A change-over is one dip; a battery's pause
lasts minutes, and at the charger's stand-by; re-tops and pulses come after the charge has tapered,
and stay below its taper. So a break is: from a charge that has not tapered to nothing, and back
above the taper. A thermostat that clicks so often is no charger either.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

from gateway.core.reasons import Reason
from gateway.guard.evidence import Recent
from gateway.guard.limits import MOST_BREAKS
from gateway.guard.state import Charge, Finding
from gateway.guard.turn import Turn


def follow(was: Charge, charge: Charge) -> Charge:
    """Note a break that the newest sample has closed; ``was`` is the charge before it."""
    if charge.zero_since_ms is not None:
        opened = was.opened or (was.load_seen and not was.tapered)
        return charge if opened == charge.opened else charge._replace(opened=opened)
    if not charge.opened or charge.above_since_ms is None or charge.sample_ms is None:
        return charge
    return charge._replace(
        opened=False, breaks_ms=(*charge.breaks_ms[1 - MOST_BREAKS :], charge.sample_ms)
    )


def judge(turn: Turn) -> Finding | None:
    """Say so when there were too many breaks within the time of the rule."""
    rule, charge = turn.limits.loose_contact, turn.state.charge
    if rule is None or charge is None or charge.sample_ms is None:
        return None
    since_ms = charge.sample_ms - rule.within_s * 1000
    lately = [at_ms for at_ms in charge.breaks_ms if at_ms >= since_ms]
    if len(lately) < rule.times:
        turn.drop_hold(Reason.LOOSE_CONTACT)
        return None
    if Reason.LOOSE_CONTACT not in turn.state.holds:
        holds: Mapping[Reason, int] = {**turn.state.holds, Reason.LOOSE_CONTACT: lately[0]}
        turn.state = turn.state._replace(holds=MappingProxyType(holds))
    return Finding(
        reason=Reason.LOOSE_CONTACT,
        action=rule.action,
        release=rule.release,
        cooldown_s=rule.cooldown_s,
        evidence={
            "times": len(lately),
            "threshold_times": rule.times,
            "within_ms": charge.sample_ms - lately[0],
            "plateau_w": round(charge.plateau_w, 1),
            "longest_gone_ms": charge.longest_gone_ms,
            "breaks_age_ms": [charge.sample_ms - at_ms for at_ms in lately],
            "samples": Recent(turn.state.recent, turn.now.mono_ms),
        },
    )
