"""How soon an overload is cut off on a slow line: by what the guard asks, and in what order.

From the moment of the overload, whenever that is in a round, to its off frame, both by the
simulator's clock. A bare loop that reads whole modules stands beside it.
"""

from __future__ import annotations

import asyncio
import json
import random
from collections import deque
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from gateway.link.client import GuardClient
from tests.bench.figures import Spread
from tests.bench.guard import LEASE_S, guarding, switch_all_on
from tests.bench.noise import timers
from tests.bench.processes import MEASURED, BenchFailed, Event, Program, real_time, running
from tests.bench.serial_line import LineUse, bare_on_line, line_use, simulating
from tests.bench.sites import FAR, NEAR, OUTLETS_EACH, OVERLOAD_W, BenchSite, write_rtu_site

BAUD = 9_600
MODULES = 16
IN_USE = MODULES * OUTLETS_EACH // 4
CROWDED_EACH = 8
"""Outlets in use of a module whose neighbours are idle."""
EACH_S = 1.5
OVER_S = 2.2
"""How long an overload lasts: longer than any reaction that is wanted."""
SETTLE_S = 3.0
SET_UP_S = 30.0
"""The guard writes each module's limits, 21 registers one by one, with a read after each."""
ON_AT_ONCE = 4
LATELY = 4
"""So many other modules come between two overloads of one."""
NS_PER_MS = 1_000_000

After = Callable[[str], Awaitable[None]]


@dataclass(frozen=True, slots=True)
class Reactions:
    """One row: how fast overloads were cut off, and what the line did meanwhile."""

    who: str
    spread: Spread
    missing: int
    use: LineUse

    def to_json(self) -> dict[str, Any]:
        return {
            "who": self.who,
            **self.spread.to_json(),
            "missing": self.missing,
            "use": self.use.to_json(),
        }


class Overloads:
    """Overloads outlets at random moments, and times each from its cause to its off frame."""

    def __init__(self, simulator: Program, after: After | None) -> None:
        self.took_ms: list[float] = []
        self._simulator = simulator
        self._after = after
        self._began_ns: dict[str, int] = {}
        self._tasks: set[asyncio.Task[None]] = set()
        self._begun = 0

    @property
    def missing(self) -> int:
        """Overloads that ended, or are still there, without an off frame."""
        return self._begun - len(self.took_ms)

    def begin(self, outlet: str) -> None:
        """Overload one outlet now."""
        self._begun += 1
        step = {"id": outlet, "load_step": outlet, "power_w": OVERLOAD_W, "for_s": OVER_S}
        self._simulator.say(json.dumps(step))

    def on_event(self, event: Event) -> None:
        """Take one line of the simulator."""
        if event["kind"] == "cause" and "load_step" in event["step"]:
            self._began_ns[event["step"]["load_step"]] = event["mono_ns"]
        elif event["kind"] == "relay" and not event["on"]:
            began_ns = self._began_ns.pop(event["outlet"], None)
            if began_ns is None or event["by"] != "frame":
                return
            self.took_ms.append((event["mono_ns"] - began_ns) / NS_PER_MS)
            if self._after is not None:
                task = asyncio.create_task(self._run(self._after, event["outlet"]))
                self._tasks.add(task)

    async def _run(self, after: After, outlet: str) -> None:
        await after(outlet)

    async def settle(self) -> None:
        """Wait for what is still to come. Raises what went wrong meanwhile."""
        await asyncio.sleep(SETTLE_S)
        await asyncio.gather(*self._tasks)


class Spares:
    """Keeps as many outlets of each module in use as there were, while they are cut off."""

    def __init__(self, client: GuardClient, in_use: Sequence[str], site: BenchSite) -> None:
        self._client = client
        self.in_use = list(in_use)
        self._spare: dict[str, deque[str]] = {}
        for outlet in site.outlets:
            if outlet not in in_use:
                self._spare.setdefault(module_of(outlet), deque()).append(outlet)

    async def replace(self, outlet: str) -> None:
        """Switch another outlet of the module on; this one is a spare once its overload ended."""
        self.in_use.remove(outlet)
        spare = self._spare[module_of(outlet)]
        while not spare:
            await asyncio.sleep(0.1)
        other = spare.popleft()
        await self._client.call("on", outlet=other, for_s=LEASE_S, actor="bench", reason="bench")
        self.in_use.append(other)
        await asyncio.sleep(OVER_S + 1.0)
        target = {"kind": "outlet", "id": outlet}
        await self._client.call("reset", target=target, actor="bench", reason="bench")
        spare.append(outlet)


def module_of(outlet: str) -> str:
    """Name the module of an outlet of a bench site."""
    return outlet.rpartition("-")[0]


def scattered(outlets: Sequence[str]) -> list[str]:
    """A quarter of the outlets, two or three of each module."""
    chance = random.Random(5)
    chosen = []
    for module in range(MODULES):
        of_module = outlets[module * OUTLETS_EACH : (module + 1) * OUTLETS_EACH]
        chosen.extend(chance.sample(of_module, 2 + module % 2))
    return chosen


def crowded(outlets: Sequence[str]) -> list[str]:
    """A quarter of the outlets, eight of each of five modules."""
    chance = random.Random(6)
    chosen = []
    for module in chance.sample(range(MODULES), IN_USE // CROWDED_EACH):
        of_module = outlets[module * OUTLETS_EACH : (module + 1) * OUTLETS_EACH]
        chosen.extend(chance.sample(of_module, CROWDED_EACH))
    return chosen


async def measure_reactions(folder: Path, cuts: int) -> list[Reactions]:
    """The guard with a quarter in use, scattered; the bare loop; the guard with it crowded."""
    site = write_rtu_site(folder, MODULES, BAUD)
    found = []
    async with simulating(site, folder) as simulator:
        (folder / NEAR).symlink_to(folder / FAR)
        row = await _guard(simulator, site, folder, scattered(site.outlets), cuts)
        found.append(replace(row, who="guard, a quarter in use, scattered"))
    async with simulating(site, folder) as simulator:
        arguments = bare_on_line(site, BAUD, MODULES)
        async with running("bare", arguments, folder, priority=real_time(MEASURED)) as bare:
            await bare.wait_for("ready")
            chosen = random.Random(7).sample(site.outlets, cuts)
            found.append(await _row("bare loop", simulator, cuts, chosen.pop))
    async with simulating(site, folder) as simulator:
        row = await _guard(simulator, site, folder, crowded(site.outlets), cuts)
        found.append(replace(row, who="guard, a quarter in use, crowded"))
    return found


async def _guard(
    simulator: Program, site: BenchSite, folder: Path, in_use: list[str], cuts: int
) -> Reactions:
    chance = random.Random(8)
    async with guarding(site, folder) as (_, client):
        await switch_all_on(client, in_use, ON_AT_ONCE)
        await asyncio.sleep(SET_UP_S)
        spares = Spares(client, in_use, site)
        lately: deque[str] = deque(maxlen=LATELY)

        def choose() -> str:
            free = [outlet for outlet in spares.in_use if module_of(outlet) not in lately]
            lately.append(module_of(chosen := chance.choice(free)))
            return chosen

        return await _row("guard", simulator, cuts, choose, spares.replace)


async def _row(
    who: str,
    simulator: Program,
    cuts: int,
    choose: Callable[[], str],
    after: After | None = None,
) -> Reactions:
    chance = random.Random(9)
    overloads = Overloads(simulator, after)
    await asyncio.sleep(SETTLE_S)
    before = await simulator.ask({"stats": True}, "stats")
    simulator.on_event = overloads.on_event
    with timers() as late_ms:
        for _ in range(cuts):
            overloads.begin(choose())
            await asyncio.sleep(chance.uniform(0.5, 1.5) * EACH_S)
        await overloads.settle()
    simulator.on_event = None
    if not overloads.took_ms:
        raise BenchFailed(f"{who}: not one cut-off was seen: {simulator.log}")
    use_after = await simulator.ask({"stats": True}, "stats")
    use = line_use(before, use_after, BAUD, who, late_ms)
    return Reactions(who, Spread.of(overloads.took_ms), overloads.missing, use)
