"""Overloads one outlet after another, and times each cut-off by the simulator's clock."""

from __future__ import annotations

import asyncio
import json
import random
from collections.abc import Sequence

from tests.bench.figures import Spread
from tests.bench.processes import Event, Program
from tests.bench.sites import OVERLOAD_W

SETTLE_S = 4.0
"""After the last overload: its sample comes within a poll, its off frame soon after."""
NS_PER_MS = 1_000_000


class Stopwatch:
    """From the first over-limit answer sent to the off frame received, for each outlet."""

    def __init__(self) -> None:
        self.latencies_ms: list[float] = []
        self.by_itself = 0
        """Outlets that their module or its watchdog switched off: the master was too late."""
        self._over_ns: dict[str, int] = {}

    def on_event(self, event: Event) -> None:
        """Take one line of the simulator."""
        if event["kind"] == "over":
            self._over_ns[event["outlet"]] = event["mono_ns"]
        elif event["kind"] == "relay" and not event["on"]:
            over_ns = self._over_ns.pop(event["outlet"], None)
            if over_ns is None:
                return
            if event["by"] == "frame":
                self.latencies_ms.append((event["mono_ns"] - over_ns) / NS_PER_MS)
            else:
                self.by_itself += 1

    @property
    def missing(self) -> int:
        """Outlets that are over their limit and still on."""
        return len(self._over_ns) + self.by_itself

    def spread(self) -> Spread:
        return Spread.of(self.latencies_ms)


async def overload(
    simulator: Program, outlets: Sequence[str], each_s: float, seed: int = 1
) -> Stopwatch:
    """Overload outlets in turn, ``each_s`` apart on average at random moments."""
    chance = random.Random(seed)
    watch = Stopwatch()
    simulator.on_event = watch.on_event
    for outlet in outlets:
        simulator.say(json.dumps({"load_step": outlet, "power_w": OVERLOAD_W}))
        await asyncio.sleep(chance.uniform(0.5, 1.5) * each_s)
    await asyncio.sleep(SETTLE_S)
    simulator.on_event = None
    return watch
