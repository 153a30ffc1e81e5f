"""What random charges are made of: every range in one table, none of them chosen to pass.

Figures: the project's collected domain facts, sections 1 and 2, and the tracebase data set.
"""

from __future__ import annotations

import math
import random
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Range:
    """Values from ``low`` to ``high``; ``even``: evenly by ratio, and not by difference."""

    low: float
    high: float
    unit: str
    even: bool = False

    def draw(self, rng: random.Random) -> float:
        if self.even:
            return math.exp(rng.uniform(math.log(self.low), math.log(self.high)))
        return rng.uniform(self.low, self.high)


RANGES = {
    "plateau": Range(20, 900, "W", even=True),
    "hours on the plateau of a whole charge": Range(0.5, 6, "h"),
    "state of charge at the start": Range(0.0, 0.85, "of 1"),
    "power factor": Range(0.45, 0.99, "of 1"),
    "ramp": Range(0.5, 10, "s"),
    "done below": Range(0.02, 0.055, "of the plateau"),
    "standby of a full charger": Range(0, 2, "W"),
    "dip at a change-over, power": Range(0, 90, "W"),
    "dip at a change-over, time": Range(0, 30, "s"),
    "battery pauses": Range(0, 3, "a charge"),
    "battery pause, time": Range(5, 300, "s"),
    "battery pause, standby": Range(1.5, 6, "W"),
    "re-top, power": Range(5, 64, "W"),
    "re-top, after": Range(30, 600, "s"),
    "re-top, time": Range(5, 30, "s"),
    "mains": Range(160, 253, "V"),
    "way to the outlet": Range(0.1, 1.5, "ohm"),
    "noise of the mains": Range(0, 1.5, "V rms"),
    "noise of the load": Range(0, 0.01, "of the power, rms"),
    "overload": Range(2_200, 3_500, "W"),
    "overload, slow": Range(30, 600, "s to get there"),
    "short": Range(17, 60, "A"),
    "appliance": Range(800, 2_900, "W"),
    "resistive appliance": Range(60, 2_900, "W", even=True),
    "motor appliance": Range(100, 1_800, "W", even=True),
    "motor, power factor": Range(0.6, 0.97, "of 1"),
    "motor, ripple": Range(0.005, 0.05, "of the power"),
    "motor, inrush": Range(1, 5, "times the power"),
    "standby of a charger without a battery": Range(0, 6, "W"),
    "hot contact": Range(85, 140, "C"),
    "overvoltage": Range(275, 320, "V"),
    "undervoltage": Range(60, 95, "V"),
}

LOST_POLLS = 0.05
"""Share of the polls that bring nothing."""
LEASE_S = 36_000.0
