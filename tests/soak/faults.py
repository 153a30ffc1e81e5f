"""What goes wrong in a random charge, and what has to come of it."""

from __future__ import annotations

import random
from dataclasses import dataclass, field

from tests.soak.course import Charge
from tests.soak.ranges import RANGES

FAULTS = (
    "overload, sudden",
    "overload, slow",
    "short",
    "pulled plug",
    "wrong appliance",
    "welded",
    "not closing",
    "frozen meter",
    "overvoltage",
    "undervoltage",
    "temperature",
    "silence",
)

_OVERLOAD = frozenset({"overpower", "overcurrent", "overcurrent_instant"})
_PULLED = frozenset({"unplugged", "full"})
"""A plug that is pulled after the taper is told from a full battery by nothing."""

EXPECTED: dict[str, frozenset[str]] = {
    "overload, sudden": _OVERLOAD,
    "overload, slow": _OVERLOAD,
    "short": frozenset({"overcurrent_instant"}),
    "pulled plug": _PULLED,
    "wrong appliance": _OVERLOAD | {"wrong_appliance"},
    "welded": frozenset({"welded"}),
    "not closing": frozenset({"no_reaction"}),
    "frozen meter": frozenset({"frozen_meter"}),
    "overvoltage": frozenset({"overvoltage"}),
    "undervoltage": frozenset({"undervoltage"}),
    "temperature": frozenset({"overtemperature"}),
    "silence": frozenset({"silence"}),
}

WITHIN_S: dict[str, float] = {
    "overload, sudden": 3,
    "overload, slow": 3,
    "short": 0,
    "pulled plug": 60,
    "wrong appliance": 10,
    "welded": 2,
    "not closing": 5,
    "frozen meter": 600,
    "overvoltage": 1,
    "undervoltage": 1,
    "temperature": 30,
    "silence": 10,
}
"""The rules' delays by default; polls, lost ones too, come on top."""

SLACK_S = 6.0
"""Two polls, and four that were lost one after the other (six in a million)."""


@dataclass(slots=True)
class Fault:
    """One fault, from ``at_s`` on; with ``count`` its own figures."""

    kind: str
    at_s: float
    figures: dict[str, float] = field(default_factory=dict)

    def extra_w(self, second: float) -> float:
        """Power that is added to the charger's."""
        if second < self.at_s:
            return 0.0
        if self.kind == "overload, sudden":
            return self.figures["overload_w"]
        if self.kind == "overload, slow":
            share = min(1.0, (second - self.at_s) / self.figures["ramp_s"])
            return share * self.figures["overload_w"]
        return 0.0


def draw_fault(rng: random.Random, kind: str, charge: Charge) -> Fault:
    """Draw when it happens, at any time while something flows, and how bad it is."""
    at_s = rng.uniform(5, max(60.0, 0.97 * charge.whole_s))
    figures: dict[str, float] = {}
    if kind.startswith("overload"):
        figures["overload_w"] = RANGES["overload"].draw(rng)
        figures["ramp_s"] = RANGES["overload, slow"].draw(rng)
    elif kind == "short":
        figures["current_a"] = RANGES["short"].draw(rng)
    elif kind == "wrong appliance":
        figures["appliance_w"] = RANGES["appliance"].draw(rng)
        at_s = 0.0
    elif kind in ("overvoltage", "undervoltage"):
        figures["volts"] = RANGES[kind].draw(rng)
    elif kind == "temperature":
        figures["heat_c"] = RANGES["hot contact"].draw(rng)
    elif kind == "not closing":
        at_s = 0.0
    return Fault(kind, at_s, figures)
