"""PURE: what is plugged in, from what the first seconds look like.

- A battery charger is a rectifier: its power factor lies well below 1 (0.45 to 0.9 without
  correction, up to 0.99 with it), it ramps up over seconds, and it draws up to 900 W
  (domain facts, section 1).
- A resistive appliance is at its full power within one sample, at a power factor of 1.
- A motor is at its power at once, too, and its power ripples.

So much power that no charger draws it is an appliance whatever the rest says. What fits neither
is *unknown*: a charger with good power factor correction and no soft start looks like a heater. A
motor that runs smoothly is taken for a charger without a soft start; `make soak ARGS="--only
loads"` prints how often.
"""

from __future__ import annotations

import math
from enum import StrEnum
from typing import NamedTuple

from gateway.guard.limits import WrongAppliance
from gateway.guard.model import Sample

SEEN_W = 7.0
"""From this power on something is plugged in (the rule *no load*, by default)."""
GONE_W = 1.0
"""Below it nothing is plugged in any more (the rule *unplugged*, by default). Between the two a
charger waits for its battery at 1.5 to 6 W, and goes on at once, without a second soft start."""
GONE_MS = 3_000
"""So long below it, and what comes next is something else."""
LEVEL_MS = 10_000.0
"""Time constant of the level that is compared with what a charger draws."""
SETTLED_MS = 1_500
"""What has no soft start is at its power after this, with a poll each second."""
STEADY_MS = 4_000.0
"""Time constant of the level that a step is compared with: above the ripple of a motor."""
STEP_SHARE = 0.9
"""A load that has reached this share of its highest level by then has stepped."""
RESISTIVE_FROM_W = 60.0
"""Below it, a meter that shows 0.01 A can't tell the two factors apart."""
RIPPLE_SHARE = 0.02
"""The power of a motor differs so much from poll to poll; that of a charger by about 1 % (rms)."""
RESISTIVE_FACTOR = 0.993
"""A corrected charger has up to 0.99, and a meter that shows 0.01 A makes that 0.993 at 1 A."""
CHARGER_FACTOR = 0.97
"""Between the two a power factor says nothing: meters are off by a hundredth."""
LEAP_SHARE = 0.25
"""A step of more is no ripple: a charger that changes its packs, or goes to its next stage."""
BACK_MS = 3_000
"""Nor is a step so soon after it waited: it is on its way up."""
ENOUGH = 4
"""Samples that a judgement needs."""


class Kind(StrEnum):
    """What may be plugged in."""

    NOTHING = "nothing"
    CHARGER = "charger"
    APPLIANCE = "appliance"
    UNKNOWN = "unknown"


class Judgement(NamedTuple):
    """What is plugged in, how sure that is (0 to 1), and what it rests on."""

    kind: Kind
    confidence: float
    power_factor: float | None
    stepped: bool | None
    ripple: float | None
    """How much the power differs from poll to poll, as a share of it (rms), once it has settled."""
    level_w: float


class Plugged(NamedTuple):
    """The course of a load since it was first seen."""

    since_ms: int | None = None
    """When power was first seen; None: nothing is plugged in."""
    seen_ms: int = 0
    """When it was last there, if only waiting."""
    waited_ms: int = 0
    """When it last waited."""
    sample_ms: int = 0
    samples: int = 0
    level_w: float = 0.0
    """Smoothed power."""
    early_w: float = 0.0
    """The highest power of the first moments."""
    power_w: float = 0.0
    """The newest power."""
    steady_w: float = 0.0
    """Power since the first moments, smoothed."""
    highest_w: float = 0.0
    """The highest of it."""
    steps: int = 0
    squared: float = 0.0
    """Steps from poll to poll since the first moments: how many, and the sum of their squares,
    each as a share of the power."""
    real_ws: float = 0.0
    apparent_vas: float = 0.0
    """Sums over the samples, for a power factor that outlasts the steps of a meter."""


def follow(plugged: Plugged, sample: Sample) -> Plugged:
    """Take one more sample into the course. Samples come in the order of their times."""
    if sample.power_w is None:
        return plugged
    power_w, at_ms = abs(sample.power_w), sample.at_ms
    if plugged.since_ms is None:
        return _first(sample, power_w) if power_w >= SEEN_W else plugged
    if power_w < GONE_W:
        if at_ms - plugged.seen_ms >= GONE_MS:
            return Plugged()
        return plugged._replace(sample_ms=at_ms, waited_ms=at_ms)
    if power_w < SEEN_W:
        return plugged._replace(seen_ms=at_ms, sample_ms=at_ms, waited_ms=at_ms)
    since_ms, before_w = plugged.since_ms, plugged.power_w
    elapsed_ms = at_ms - plugged.sample_ms
    share = min(1.0, elapsed_ms / LEVEL_MS) if plugged.samples > 1 else 1.0
    apparent_va = _apparent_va(sample)
    plugged = plugged._replace(
        seen_ms=at_ms,
        sample_ms=at_ms,
        samples=plugged.samples + 1,
        level_w=plugged.level_w + (power_w - plugged.level_w) * share,
        power_w=power_w,
        # A busy line brings the voltage seldom: the others say nothing about the factor.
        real_ws=plugged.real_ws + (power_w if apparent_va > 0 else 0.0),
        apparent_vas=plugged.apparent_vas + apparent_va,
    )
    if at_ms - since_ms <= SETTLED_MS:
        return plugged._replace(early_w=max(plugged.early_w, power_w))
    return _settled(plugged, before_w, power_w, elapsed_ms)


def _settled(plugged: Plugged, before_w: float, power_w: float, elapsed_ms: int) -> Plugged:
    """Take a sample in that came after the first moments."""
    if plugged.highest_w == 0.0:
        return plugged._replace(steady_w=power_w, highest_w=power_w)
    share = min(1.0, elapsed_ms / STEADY_MS)
    steady_w = plugged.steady_w + (power_w - plugged.steady_w) * share
    plugged = plugged._replace(steady_w=steady_w, highest_w=max(plugged.highest_w, steady_w))
    step = (power_w - before_w) / max(power_w, before_w)
    if abs(step) > LEAP_SHARE or plugged.sample_ms - plugged.waited_ms <= BACK_MS:
        return plugged
    return plugged._replace(
        steps=plugged.steps + 1,
        squared=plugged.squared + step * step,
    )


def judge(plugged: Plugged, rule: WrongAppliance) -> Judgement:
    """Say what it is, as far as it can be said yet."""
    if plugged.since_ms is None:
        return Judgement(Kind.NOTHING, 1.0, None, None, None, 0.0)
    factor = None
    if plugged.apparent_vas > 0:
        factor = min(1.0, plugged.real_ws / plugged.apparent_vas)
    stepped = ripple = None
    if plugged.highest_w > 0:
        stepped = plugged.early_w >= STEP_SHARE * plugged.highest_w
    if plugged.steps >= ENOUGH:
        # Two polls differ by the square root of two times what each differs from the level.
        ripple = math.sqrt(plugged.squared / plugged.steps / 2)
    kind, confidence = _kind(plugged, rule, factor, stepped, ripple)
    return Judgement(kind, confidence, factor, stepped, ripple, plugged.level_w)


def _kind(
    plugged: Plugged,
    rule: WrongAppliance,
    factor: float | None,
    stepped: bool | None,
    ripple: float | None,
) -> tuple[Kind, float]:
    if plugged.samples < ENOUGH:
        return Kind.UNKNOWN, 0.0
    if plugged.level_w > rule.above_w:
        return Kind.APPLIANCE, 0.95
    if factor is None or stepped is None:
        return Kind.UNKNOWN, 0.3
    if stepped and factor >= RESISTIVE_FACTOR and plugged.level_w >= RESISTIVE_FROM_W:
        return Kind.APPLIANCE, 0.8
    if stepped and ripple is not None and ripple >= RIPPLE_SHARE:
        return Kind.APPLIANCE, 0.6
    if factor < CHARGER_FACTOR:
        return Kind.CHARGER, 0.6 if stepped else 0.9
    if not stepped:
        return Kind.CHARGER, 0.6
    return Kind.UNKNOWN, 0.3


def _first(sample: Sample, power_w: float) -> Plugged:
    # Its own power is left out of the factor: a meter's current and power may be of two moments.
    return Plugged(
        since_ms=sample.at_ms,
        seen_ms=sample.at_ms,
        sample_ms=sample.at_ms,
        samples=1,
        level_w=power_w,
        early_w=power_w,
        power_w=power_w,
    )


def _apparent_va(sample: Sample) -> float:
    if sample.voltage_v is None or sample.current_a is None:
        return 0.0
    return abs(sample.voltage_v * sample.current_a)
