"""PURE: which electrical rule's cause is present, and for how long it has been.

A cause lasts from the first sample that shows it to the first that does not. Only samples
count: a value that grew old proves nothing, that is what the rule *silence* is for.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from types import MappingProxyType

from gateway.core.reasons import Reason
from gateway.guard.limits import InverseTime, Limits, Rule
from gateway.guard.model import Sample
from gateway.guard.state import Finding


@dataclass(frozen=True, slots=True)
class Cause:
    """What one sample says about one rule."""

    reason: Reason
    rule: Rule
    present: bool
    value: float
    threshold: float
    unit: str


def causes(sample: Sample, limits: Limits, lease_power_w: float | None) -> Iterator[Cause]:
    """Judge each quantity that the sample holds by each rule that concerns it."""
    if sample.current_a is not None:
        yield from _current(abs(sample.current_a), limits)
    if sample.power_w is not None and limits.overpower is not None:
        power_w = abs(sample.power_w)
        above_w = limits.overpower.above_w
        if lease_power_w is not None:
            above_w = min(above_w, lease_power_w)
        yield Cause(Reason.OVERPOWER, limits.overpower, power_w > above_w, power_w, above_w, "W")
    if sample.voltage_v is not None:
        yield from _voltage(sample.voltage_v, limits)
    if sample.temperature_c is not None and limits.overtemperature is not None:
        hot = limits.overtemperature
        heat_c = sample.temperature_c
        yield Cause(Reason.OVERTEMPERATURE, hot, heat_c > hot.above_c, heat_c, hot.above_c, "C")
    if sample.alarm is not None and limits.device_alarm is not None:
        alarm = sample.alarm
        yield Cause(Reason.DEVICE_ALARM, limits.device_alarm, alarm, float(alarm), 0.0, "bit")


def _current(current_a: float, limits: Limits) -> Iterator[Cause]:
    for reason, rule in (
        (Reason.OVERCURRENT_INSTANT, limits.overcurrent_instant),
        (Reason.OVERCURRENT, limits.overcurrent),
    ):
        if rule is not None:
            yield Cause(reason, rule, current_a > rule.above_a, current_a, rule.above_a, "A")


def _voltage(voltage_v: float, limits: Limits) -> Iterator[Cause]:
    over, under = limits.overvoltage, limits.undervoltage
    if over is not None:
        present = voltage_v > over.above_v
        yield Cause(Reason.OVERVOLTAGE, over, present, voltage_v, over.above_v, "V")
    if under is not None:
        present = voltage_v < under.below_v
        yield Cause(Reason.UNDERVOLTAGE, under, present, voltage_v, under.below_v, "V")


def hold(
    holds: Mapping[Reason, int], judged: list[Cause], at_ms: int
) -> tuple[Mapping[Reason, int], list[Finding]]:
    """Note since when causes last, and return the rules whose delay is over."""
    findings: list[Finding] = []
    changed: dict[Reason, int] | None = None
    for cause in judged:
        since_ms = holds.get(cause.reason)
        if cause.present:
            if since_ms is None:
                since_ms = at_ms
                changed = changed if changed is not None else dict(holds)
                changed[cause.reason] = at_ms
            held_ms = at_ms - since_ms
            if held_ms >= cause.rule.delay_s * 1000:
                findings.append(finding(cause, held_ms))
        elif since_ms is not None:
            changed = changed if changed is not None else dict(holds)
            del changed[cause.reason]
    return (holds if changed is None else MappingProxyType(changed)), findings


def finding(cause: Cause, held_ms: int) -> Finding:
    """Say what a rule has to do, and on what evidence."""
    return Finding(
        reason=cause.reason,
        action=cause.rule.action,
        release=cause.rule.release,
        cooldown_s=cause.rule.cooldown_s,
        evidence={
            "value": round(cause.value, 3),
            "threshold": cause.threshold,
            "unit": cause.unit,
            "held_ms": held_ms,
        },
    )


def inverse_time_s(rule: InverseTime, current_a: float) -> float | None:
    """Time to trip at a constant current, in seconds; ``None`` at or below pick-up.

    IEC 60255-151: t = TMS * k / ((I/Is)^alpha - 1).
    """
    multiple = current_a / rule.pickup_a
    if multiple <= 1.0:
        return None
    k_s, alpha = rule.curve.constants
    return float(rule.time_multiplier * k_s / (multiple**alpha - 1.0))


def inverse(
    rule: InverseTime, share: float, current_a: float, elapsed_ms: int
) -> tuple[float, Finding | None]:
    """Use up a share of the time to trip; at or below pick-up the element resets at once."""
    current_a = abs(current_a)
    trip_s = inverse_time_s(rule, current_a)
    if trip_s is None:
        return 0.0, None
    share += elapsed_ms / 1000 / trip_s
    if share < 1.0:
        return share, None
    cause = Cause(Reason.OVERCURRENT_INVERSE, rule, True, current_a, rule.pickup_a, "A")
    return share, finding(cause, round(trip_s * 1000))
