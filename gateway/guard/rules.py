"""PURE: which electrical rule's cause is present, and for how long it has been.

A cause lasts from the first sample that shows it to the first that does not. Only samples
count: a value that grew old proves nothing, that is what the rule *silence* is for.
"""

from __future__ import annotations

from collections.abc import Container, Mapping
from types import MappingProxyType
from typing import NamedTuple

from gateway.core.reasons import Reason
from gateway.guard.limits import AbovePower, Action, InverseTime, Limits, Rule
from gateway.guard.model import Sample
from gateway.guard.state import Finding

_LEASE_POWER = AbovePower(above_w=30_000, delay_s=3.0, action=Action.OFF)
"""Keeps a lease's own limit where the rule *overpower* is switched off or only says so."""


class Cause(NamedTuple):
    """What one sample says about one rule."""

    reason: Reason
    rule: Rule
    present: bool
    value: float
    threshold: float
    unit: str


def causes(
    sample: Sample, limits: Limits, lease_power_w: float | None, held: Container[Reason]
) -> list[Cause]:
    """Judge each quantity that the sample holds by each rule that concerns it.

    Told are the causes that are present, and those that are gone but were ``held`` until now:
    of most samples of most outlets, nothing.
    """
    found: list[Cause] = []
    if sample.current_a is not None:
        amps = abs(sample.current_a)
        instant, delayed = limits.overcurrent_instant, limits.overcurrent
        if instant is not None:
            above = amps > instant.above_a
            if above or Reason.OVERCURRENT_INSTANT in held:
                reason = Reason.OVERCURRENT_INSTANT
                found.append(Cause(reason, instant, above, amps, instant.above_a, "A"))
        if delayed is not None:
            above = amps > delayed.above_a
            if above or Reason.OVERCURRENT in held:
                found.append(Cause(Reason.OVERCURRENT, delayed, above, amps, delayed.above_a, "A"))
    if sample.power_w is not None:
        found += _power(abs(sample.power_w), limits.overpower, lease_power_w, held)
    if sample.voltage_v is not None:
        found += _voltage(sample.voltage_v, limits, held)
    if sample.temperature_c is not None or sample.alarm is not None:
        found += _module(sample, limits, held)
    return found


def _power(
    watts: float, rule: AbovePower | None, lease_power_w: float | None, held: Container[Reason]
) -> list[Cause]:
    if lease_power_w is not None and (rule is None or rule.action is Action.ALARM):
        rule = _LEASE_POWER
    if rule is None:
        return []
    limit_w = rule.above_w if lease_power_w is None else min(rule.above_w, lease_power_w)
    if watts <= limit_w and Reason.OVERPOWER not in held:
        return []
    return [Cause(Reason.OVERPOWER, rule, watts > limit_w, watts, limit_w, "W")]


def _voltage(volts: float, limits: Limits, held: Container[Reason]) -> list[Cause]:
    found: list[Cause] = []
    over, under = limits.overvoltage, limits.undervoltage
    if over is not None:
        above = volts > over.above_v
        if above or Reason.OVERVOLTAGE in held:
            found.append(Cause(Reason.OVERVOLTAGE, over, above, volts, over.above_v, "V"))
    if under is not None:
        below = volts < under.below_v
        if below or Reason.UNDERVOLTAGE in held:
            found.append(Cause(Reason.UNDERVOLTAGE, under, below, volts, under.below_v, "V"))
    return found


def _module(sample: Sample, limits: Limits, held: Container[Reason]) -> list[Cause]:
    found: list[Cause] = []
    hot, alarm = limits.overtemperature, limits.device_alarm
    if sample.temperature_c is not None and hot is not None:
        heat_c = sample.temperature_c
        above = heat_c > hot.above_c
        if above or Reason.OVERTEMPERATURE in held:
            found.append(Cause(Reason.OVERTEMPERATURE, hot, above, heat_c, hot.above_c, "C"))
    if sample.alarm is not None and alarm is not None:
        raised = sample.alarm
        if raised or Reason.DEVICE_ALARM in held:
            found.append(Cause(Reason.DEVICE_ALARM, alarm, raised, float(raised), 0.0, "bit"))
    return found


def hold(
    holds: Mapping[Reason, int], judged: list[Cause], at_ms: int
) -> tuple[Mapping[Reason, int], list[Finding]]:
    """Note since when causes last, and return the rules whose delay is over."""
    if not judged:
        return holds, []
    findings: list[Finding] = []
    changed: dict[Reason, int] = dict(holds)
    for cause in judged:
        if cause.present:
            since_ms = changed.setdefault(cause.reason, at_ms)
            held_ms = at_ms - since_ms
            if held_ms >= cause.rule.delay_s * 1000:
                findings.append(finding(cause, held_ms))
        else:
            changed.pop(cause.reason, None)
    return MappingProxyType(changed), findings


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
