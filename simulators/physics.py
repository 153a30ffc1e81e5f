"""What everything on the wire has in common: a draw, a load, and what a meter shows.

Pure: no I/O and no wall clock. A load is stepped by whoever owns the time, in real time by
the simulators, or as fast as the machine can for thousands of charges in a test.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

LONGEST_STEP_S = 0.5
"""Owners of the time take longer spans in steps of at most this, unless they ask for more."""

DEAD_BELOW_V = 90.0
"""Below this, a switched-mode supply stops (universal input is 100 to 240 V, -10 %)."""


@dataclass(frozen=True, slots=True)
class Draw:
    """What flows during one step."""

    power_w: float
    current_a: float
    power_factor: float


NO_DRAW = Draw(0.0, 0.0, 1.0)


def draw_at(power_w: float, voltage_v: float, power_factor: float) -> Draw:
    """Make the draw of a real power at a voltage: I = P / (V * pf)."""
    if power_w <= 0 or voltage_v <= 0:
        return NO_DRAW
    return Draw(power_w, power_w / (voltage_v * power_factor), power_factor)


class Load(Protocol):
    """Something with a plug."""

    def step(self, dt_s: float, voltage_v: float) -> Draw:
        """Live through ``dt_s`` at ``voltage_v`` (0: the outlet is off) and say what flowed.

        A step of 0 s changes nothing and says what flows now.
        """
        ...


@dataclass(frozen=True, slots=True)
class Reading:
    """What a meter shows of one outlet."""

    voltage_v: float
    current_a: float = 0.0
    power_w: float = 0.0
    power_factor: float = 1.0
    frequency_hz: float = 50.0
    energy_wh: float = 0.0
