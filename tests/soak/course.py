"""One random charge: a charger and its battery, with pauses, dips and re-tops."""

from __future__ import annotations

import random
from dataclasses import dataclass, replace

from simulators.chargers import (
    CcCvCharger,
    ChargerSettings,
    DualPackCharger,
    DualPackSettings,
    LeadAcidCharger,
    LeadAcidSettings,
)
from simulators.physics import Draw, Load, draw_at
from tests.soak.ranges import RANGES

KINDS = ("cc_cv", "lead_acid", "dual_pack")
LONGEST_S = 12 * 3_600


@dataclass(frozen=True, slots=True)
class Pause:
    """The battery takes nothing for a while: too hot, being balanced, or thinking."""

    at_wh: float
    seconds: float
    standby_w: float


class Rider:
    """A charger whose battery pauses."""

    def __init__(self, charger: Load, pauses: list[Pause], power_factor: float) -> None:
        self._charger = charger
        self._pauses = sorted(pauses, key=lambda pause: pause.at_wh)
        self._power_factor = power_factor
        self._left_s = 0.0
        self._standby_w = 0.0
        self.delivered_wh = 0.0

    def step(self, dt_s: float, voltage_v: float) -> Draw:
        if self._pauses and self.delivered_wh >= self._pauses[0].at_wh:
            pause = self._pauses.pop(0)
            self._left_s, self._standby_w = pause.seconds, pause.standby_w
        if self._left_s > 0 and voltage_v > 0:
            self._left_s -= dt_s
            draw = draw_at(self._standby_w, voltage_v, self._power_factor)
        else:
            draw = self._charger.step(dt_s, voltage_v)
        self.delivered_wh += draw.power_w * dt_s / 3_600
        return draw


@dataclass(frozen=True, slots=True)
class Charge:
    """What was drawn for one charge."""

    kind: str
    plateau_w: float
    power_factor: float
    settings: ChargerSettings | LeadAcidSettings | DualPackSettings
    pauses: tuple[Pause, ...]
    whole_wh: float
    """What it takes until the charger has done its work."""
    whole_s: float
    """How long that lasts, without pauses."""

    def rider(self) -> Rider:
        """Plug the charger in anew."""
        return Rider(_charger(self.settings), list(self.pauses), self.power_factor)


def draw_charge(rng: random.Random) -> Charge:
    """Draw a charge out of the ranges."""
    kind = rng.choice(KINDS)
    plateau_w = RANGES["plateau"].draw(rng)
    hours = RANGES["hours on the plateau of a whole charge"].draw(rng)
    power_factor = RANGES["power factor"].draw(rng)
    settings = _settings(rng, kind, plateau_w, hours, power_factor)
    whole_wh, whole_s = _undisturbed(settings)
    count = round(RANGES["battery pauses"].draw(rng))
    pauses = tuple(
        Pause(
            at_wh=rng.uniform(0.02, 0.9) * whole_wh,
            seconds=RANGES["battery pause, time"].draw(rng),
            standby_w=RANGES["battery pause, standby"].draw(rng),
        )
        for _ in range(count)
    )
    return Charge(kind, plateau_w, power_factor, settings, pauses, whole_wh, whole_s)


def _settings(
    rng: random.Random, kind: str, plateau_w: float, hours: float, power_factor: float
) -> ChargerSettings | LeadAcidSettings | DualPackSettings:
    start_soc = RANGES["state of charge at the start"].draw(rng)
    ramp_s = RANGES["ramp"].draw(rng)
    if kind == "lead_acid":
        bulk_a = plateau_w * 0.8 / 44.0
        return LeadAcidSettings(
            bulk_a=bulk_a,
            absorption_a=bulk_a / 6,
            float_a=bulk_a / 36,
            capacity_wh=plateau_w * 0.8 * hours,
            start_soc=start_soc,
            power_factor=power_factor,
            ramp_s=ramp_s,
        )
    done_w = RANGES["done below"].draw(rng) * plateau_w
    pack = ChargerSettings(
        plateau_w=plateau_w,
        capacity_wh=plateau_w * 0.88 * hours,
        start_soc=start_soc,
        power_factor=power_factor,
        ramp_s=ramp_s,
        done_w=done_w,
        standby_w=min(RANGES["standby of a full charger"].draw(rng), 0.8 * done_w),
    )
    if kind == "cc_cv":
        return pack
    return DualPackSettings(
        pack=replace(pack, capacity_wh=pack.capacity_wh / 2),
        dip_w=RANGES["dip at a change-over, power"].draw(rng),
        dip_s=RANGES["dip at a change-over, time"].draw(rng),
        retop_after_s=RANGES["re-top, after"].draw(rng),
        retop_w=RANGES["re-top, power"].draw(rng),
        retop_s=RANGES["re-top, time"].draw(rng),
    )


def _charger(settings: ChargerSettings | LeadAcidSettings | DualPackSettings) -> Load:
    if isinstance(settings, LeadAcidSettings):
        return LeadAcidCharger(settings)
    if isinstance(settings, DualPackSettings):
        return DualPackCharger(settings)
    return CcCvCharger(settings)


def _undisturbed(
    settings: ChargerSettings | LeadAcidSettings | DualPackSettings,
) -> tuple[float, float]:
    """Charge with nobody watching: how much until the charger has done its work, and how long."""
    charger = _charger(settings)
    pack = settings.pack if isinstance(settings, DualPackSettings) else settings
    delivered_ws = seconds = whole_ws = whole_s = 0.0
    above_w = 0.0
    if isinstance(pack, ChargerSettings):
        above_w = 0.9 * pack.done_w
    else:
        above_w = 1.5 * pack.float_a * pack.pack_v / pack.efficiency
    while seconds < LONGEST_S:
        seconds += 5.0
        power_w = charger.step(5.0, 230.0).power_w
        delivered_ws += power_w * 5.0
        if power_w > above_w:
            whole_ws, whole_s = delivered_ws, seconds
        elif seconds - whole_s > 1_500:
            break
    return whole_ws / 3_600, whole_s
