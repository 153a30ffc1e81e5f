"""Mains: an electromotive force with noise, behind a resistance that makes it sag."""

from __future__ import annotations

from dataclasses import dataclass

from simulators.noise import noise, seed_of

NOISE_STEP_S = 0.1
"""The noise has a new value ten times a second."""


@dataclass(frozen=True, slots=True)
class MainsSettings:
    """How good the mains is: volts, ohms of the way to the outlets, volts of noise (rms), Hz."""

    voltage_v: float = 230.0
    source_ohm: float = 0.4
    noise_v: float = 0.3
    frequency_hz: float = 50.0


class Mains:
    """The supply of a site. Times are seconds of the owner's clock."""

    def __init__(self, settings: MainsSettings, seed: int = 0) -> None:
        self.settings = settings
        self._seed = seed_of(seed, "mains")
        self._from_v = settings.voltage_v
        self._to_v = settings.voltage_v
        self._ramp_from_s = 0.0
        self._ramp_s = 0.0
        self._jitter_step = -1
        self._jitter_v = 0.0

    def set_voltage(self, voltage_v: float, now_s: float, ramp_s: float = 0.0) -> None:
        """Go to ``voltage_v`` at once or over ``ramp_s``: a dip, an over- or undervoltage."""
        self._from_v = self._level(now_s)
        self._to_v = voltage_v
        self._ramp_from_s = now_s
        self._ramp_s = ramp_s

    @property
    def target_v(self) -> float:
        """Voltage it has, or is going to."""
        return self._to_v

    def emf_v(self, now_s: float) -> float:
        """Voltage without any load, with noise; never below 0."""
        level = self._level(now_s)
        if level <= 0:
            return 0.0
        step = int(now_s / NOISE_STEP_S)
        if step != self._jitter_step:
            self._jitter_step = step
            self._jitter_v = self.settings.noise_v * noise(self._seed, step)
        return max(0.0, level + self._jitter_v)

    def frequency_hz(self, now_s: float) -> float:
        """Frequency, wandering by about 10 mHz as an interconnected grid's does."""
        return self.settings.frequency_hz + 0.01 * noise(self._seed ^ 1, int(now_s))

    def _level(self, now_s: float) -> float:
        gone_s = now_s - self._ramp_from_s
        if self._ramp_s <= 0 or gone_s >= self._ramp_s:
            return self._to_v
        return self._from_v + (self._to_v - self._from_v) * max(0.0, gone_s) / self._ramp_s


class Feed:
    """One cable from the mains to a pile: its outlets share the sag that their currents make."""

    def __init__(self, mains: Mains) -> None:
        self.mains = mains
        self._current_a = 0.0

    def voltage_v(self, now_s: float) -> float:
        """Voltage at the pile: U = E - R * sum of currents."""
        sag_v = self.mains.settings.source_ohm * self._current_a
        return max(0.0, self.mains.emf_v(now_s) - sag_v)

    def change(self, before_a: float, after_a: float) -> None:
        """Tell the feed that one of its outlets draws another current."""
        self._current_a = max(0.0, self._current_a + after_a - before_a)
