"""Battery chargers, as they look at the wall.

Figures: the project's collected domain facts, section 1 ("How real chargers behave"), and the
public plots of hansij66/ebike-charger (CC0): a plateau that climbs by about a tenth while the
voltage of the battery rises (160 to 180 W), then a taper to a few watts.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from enum import Enum, auto
from itertools import pairwise

from simulators.physics import DEAD_BELOW_V, NO_DRAW, Draw, draw_at

TAPER = ((0.90, 1.0), (0.925, 0.5), (0.975, 0.11), (1.0, 0.028))
"""State of charge and share of the plateau at the wall: for a 48 V bike, 90 W at 91 to 94 %,
20 W at 97 to 98 %, 5 W when full; between the points the power falls exponentially."""

PLATEAU_START = 0.9
"""Share of the plateau with an empty battery: 160 of 180 W in the public plots."""


def taper_share(soc: float) -> float:
    """Share of the plateau's power at a state of charge of 0 to 1, and a little beyond."""
    knee = TAPER[0][0]
    if soc <= knee:
        return PLATEAU_START + (1 - PLATEAU_START) * soc / knee
    for (soc_a, share_a), (soc_b, share_b) in pairwise(TAPER):
        if soc <= soc_b:
            part = (soc - soc_a) / (soc_b - soc_a)
            return math.exp(math.log(share_a) + part * math.log(share_b / share_a))
    (soc_a, share_a), (soc_b, share_b) = TAPER[-2:]
    slope = math.log(share_b / share_a) / (soc_b - soc_a)
    return share_b * math.exp(slope * (soc - soc_b))


def light_load_factor(power_w: float, plateau_w: float, power_factor: float) -> float:
    """Power factor of a rectifier: lower at light load (down to 0.7 of its value)."""
    return power_factor * (0.7 + 0.3 * min(1.0, power_w / max(1e-9, 0.3 * plateau_w)))


@dataclass(frozen=True, slots=True)
class ChargerSettings:
    """A CC/CV lithium charger and its battery.

    ``done_w``: below it the charger stops and draws ``standby_w`` (5 W and 10 W were seen).
    """

    plateau_w: float = 180.0
    capacity_wh: float = 500.0
    start_soc: float = 0.2
    power_factor: float = 0.6
    ramp_s: float = 2.0
    done_w: float = 5.0
    standby_w: float = 0.5
    efficiency: float = 0.88


class CcCvCharger:
    """Ramp in seconds, plateau, taper, done. Without voltage it starts its ramp anew."""

    def __init__(self, settings: ChargerSettings) -> None:
        self.settings = settings
        self.soc = settings.start_soc
        self.done = False
        self._powered_s = 0.0

    def step(self, dt_s: float, voltage_v: float) -> Draw:
        if voltage_v < DEAD_BELOW_V:
            if dt_s > 0:
                self._powered_s = 0.0
                self.done = False
            return NO_DRAW
        settings = self.settings
        self._powered_s += dt_s
        power_w = settings.standby_w
        if not self.done:
            power_w = settings.plateau_w * taper_share(self.soc)
            self.done = dt_s > 0 and power_w < settings.done_w
            if self._powered_s < settings.ramp_s:
                power_w *= self._powered_s / settings.ramp_s
            self.soc += power_w * settings.efficiency * dt_s / 3600 / settings.capacity_wh
        factor = light_load_factor(power_w, settings.plateau_w, settings.power_factor)
        return draw_at(power_w, voltage_v, factor)


@dataclass(frozen=True, slots=True)
class LeadAcidSettings:
    """Three stages: 36 V, 12 Ah has bulk 1.8 A, then about 0.3 A, then float at about 50 mA."""

    bulk_a: float = 1.8
    absorption_a: float = 0.3
    float_a: float = 0.05
    pack_v: float = 44.0
    capacity_wh: float = 432.0
    start_soc: float = 0.3
    bulk_until_soc: float = 0.9
    power_factor: float = 0.55
    ramp_s: float = 1.0
    efficiency: float = 0.8


class LeadAcidCharger:
    """Bulk until ``bulk_until_soc``, absorption until full, then float for ever."""

    def __init__(self, settings: LeadAcidSettings) -> None:
        self.settings = settings
        self.soc = settings.start_soc
        self._powered_s = 0.0

    def step(self, dt_s: float, voltage_v: float) -> Draw:
        if voltage_v < DEAD_BELOW_V:
            if dt_s > 0:
                self._powered_s = 0.0
            return NO_DRAW
        settings = self.settings
        self._powered_s += dt_s
        ramp = min(1.0, self._powered_s / settings.ramp_s) if settings.ramp_s > 0 else 1.0
        battery_a = self._stage_a() * ramp
        power_w = battery_a * settings.pack_v / settings.efficiency
        if self.soc < 1:
            self.soc += battery_a * settings.pack_v * dt_s / 3600 / settings.capacity_wh
        bulk_w = settings.bulk_a * settings.pack_v / settings.efficiency
        factor = light_load_factor(power_w, bulk_w, settings.power_factor)
        return draw_at(power_w, voltage_v, factor)

    def _stage_a(self) -> float:
        if self.soc < self.settings.bulk_until_soc:
            return self.settings.bulk_a
        return self.settings.absorption_a if self.soc < 1 else self.settings.float_a


@dataclass(frozen=True, slots=True)
class DualPackSettings:
    """One charger, two packs: a dip when it changes packs, a re-top after the end.

    A dip to 90 W or 0 W for up to about 20 s was seen, and a re-top spike of 64 W.
    """

    pack: ChargerSettings = ChargerSettings()
    dip_w: float = 0.0
    dip_s: float = 20.0
    change_soc: float = 0.9
    """The first pack is left at this state of charge; the second is charged to its end."""
    retop_after_s: float = 60.0
    retop_w: float = 64.0
    retop_s: float = 10.0


class _Stage(Enum):
    FIRST = auto()
    DIP = auto()
    SECOND = auto()
    REST = auto()
    RETOP = auto()
    END = auto()


class DualPackCharger:
    """First pack, change-over, second pack with its taper, rest, one re-top, end."""

    def __init__(self, settings: DualPackSettings) -> None:
        self.settings = settings
        self._first = CcCvCharger(settings.pack)
        self._second = CcCvCharger(settings.pack)
        self._stage = _Stage.FIRST
        self._stage_s = 0.0

    def step(self, dt_s: float, voltage_v: float) -> Draw:
        if voltage_v < DEAD_BELOW_V:
            self._charging().step(dt_s, 0.0)
            return NO_DRAW
        self._stage_s += dt_s
        self._move_on()
        if self._stage in (_Stage.FIRST, _Stage.SECOND):
            return self._charging().step(dt_s, voltage_v)
        return draw_at(self._fixed_w(), voltage_v, self.settings.pack.power_factor)

    def _charging(self) -> CcCvCharger:
        return self._first if self._stage is _Stage.FIRST else self._second

    def _fixed_w(self) -> float:
        if self._stage is _Stage.DIP:
            return self.settings.dip_w
        if self._stage is _Stage.RETOP:
            return self.settings.retop_w
        return self.settings.pack.standby_w

    def _move_on(self) -> None:
        settings = self.settings
        if self._stage is _Stage.FIRST and self._first.soc >= settings.change_soc:
            self._enter(_Stage.DIP)
        elif self._stage is _Stage.DIP and self._stage_s >= settings.dip_s:
            self._enter(_Stage.SECOND)
        elif self._stage is _Stage.SECOND and self._second.done:
            self._enter(_Stage.REST if settings.retop_w > 0 else _Stage.END)
        elif self._stage is _Stage.REST and self._stage_s >= settings.retop_after_s:
            self._enter(_Stage.RETOP)
        elif self._stage is _Stage.RETOP and self._stage_s >= settings.retop_s:
            self._enter(_Stage.END)

    def _enter(self, stage: _Stage) -> None:
        self._stage = stage
        self._stage_s = 0.0


class Standby:
    """A charger without a battery, or one that never starts: a constant small draw."""

    def __init__(self, power_w: float = 0.5, power_factor: float = 0.4) -> None:
        self._power_w = power_w
        self._power_factor = power_factor

    def step(self, dt_s: float, voltage_v: float) -> Draw:  # noqa: ARG002 - the same for ever
        if voltage_v < DEAD_BELOW_V:
            return NO_DRAW
        return draw_at(self._power_w, voltage_v, self._power_factor)
