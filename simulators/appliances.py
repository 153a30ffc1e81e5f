"""Wrong things on a charging outlet, and loads that are added to it on purpose.

Figures: the tracebase data set (ODbL, www.tracebase.org): a kettle that steps to 1,955 W
within a sample, a vacuum cleaner that steps to 1,145 W with motor ripple.
"""

from __future__ import annotations

from dataclasses import dataclass

from simulators.noise import noise, seed_of
from simulators.physics import NO_DRAW, Draw, draw_at

NOMINAL_V = 230.0
INRUSH_S = 0.3
"""A universal motor has run up after about this long: the inrush falls linearly until then."""
RIPPLE_STEP_S = 0.2


@dataclass(frozen=True, slots=True)
class ApplianceSettings:
    """``power_w`` at 230 V; ``ripple``: share of the power; ``inrush``: factor at switch-on.

    ``resistive``: the power goes with the square of the voltage, as a kettle's does.
    ``runs_s``: how long it runs before it switches itself off; None for ever.
    """

    power_w: float = 1955.0
    power_factor: float = 1.0
    ripple: float = 0.0
    inrush: float = 1.0
    inrush_s: float = INRUSH_S
    resistive: bool = True
    runs_s: float | None = None


class Appliance:
    """A kettle, a vacuum cleaner, a motor."""

    def __init__(self, settings: ApplianceSettings, seed: int = 0) -> None:
        self.settings = settings
        self._seed = seed_of(seed, "appliance")
        self._powered_s = 0.0

    def step(self, dt_s: float, voltage_v: float) -> Draw:
        if voltage_v <= 0:
            if dt_s > 0:
                self._powered_s = 0.0
            return NO_DRAW
        settings = self.settings
        begun_s = self._powered_s
        self._powered_s += dt_s
        if settings.runs_s is not None and begun_s >= settings.runs_s:
            return NO_DRAW
        power_w = settings.power_w
        if settings.resistive:
            power_w *= (voltage_v / NOMINAL_V) ** 2
        if settings.ripple:
            power_w *= 1 + settings.ripple * noise(self._seed, int(begun_s / RIPPLE_STEP_S))
        if begun_s < settings.inrush_s:
            power_w *= 1 + (settings.inrush - 1) * (1 - begun_s / settings.inrush_s)
        return draw_at(power_w, voltage_v, settings.power_factor)


class AddedLoad:
    """More load on an outlet: all at once, or climbing over ``ramp_s`` seconds."""

    def __init__(self, power_w: float, ramp_s: float = 0.0, power_factor: float = 1.0) -> None:
        self._power_w = power_w
        self._ramp_s = ramp_s
        self._power_factor = power_factor
        self._age_s = 0.0

    def step(self, dt_s: float, voltage_v: float) -> Draw:
        self._age_s += dt_s
        share = min(1.0, self._age_s / self._ramp_s) if self._ramp_s > 0 else 1.0
        return draw_at(self._power_w * share, voltage_v, self._power_factor)
