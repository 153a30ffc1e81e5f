"""How much of a serial line is used, and what goes before a cut-off."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.bench.cuts import overload
from tests.bench.figures import Spread
from tests.bench.guard import guarding, switch_all_on
from tests.bench.noise import timers
from tests.bench.processes import MEASURED, SIMULATED, Event, Program, real_time, running
from tests.bench.sites import FAR, LIMIT_A, NEAR, BenchSite, write_rtu_site
from tests.bench.tap import Tap

MODULES = 8
ON_AT_ONCE = 8
WARM_UP_S = 2.0
LIMIT_DIGITS = round(LIMIT_A * 100)
"""In the reference module's registers, which count 0.01 A."""
FIXED_GAP_ABOVE_BAUD = 19_200
FIXED_GAP_MS = 1.75
BITS_A_CHARACTER = 10
BITS_A_TURN = 1_400
"""One read of a reference module takes about as long as so many bits, gaps included."""


@dataclass(frozen=True, slots=True)
class LineUse:
    """What the simulator counted on its line."""

    baud: int
    who: str
    utilisation: float
    """Frames both ways, one gap each, the stated turn-around, by the time that passed."""
    requests_a_s: float
    spoiled: int
    """Gaps broken, collisions, bad frames and requests without an answer."""
    timers: Spread
    """How late this machine's own timers were meanwhile; the simulator's answers, too."""

    def to_json(self) -> dict[str, Any]:
        return {
            "baud": self.baud,
            "who": self.who,
            "utilisation": round(self.utilisation, 4),
            "requests_a_s": round(self.requests_a_s, 2),
            "spoiled": self.spoiled,
            "timers_late": self.timers.to_json(),
        }


def gap_ms(baud: int) -> float:
    """3.5 characters, never less than 1.75 ms ("MODBUS over Serial Line V1.02", 2.5.1.1)."""
    return FIXED_GAP_MS if baud > FIXED_GAP_ABOVE_BAUD else 3.5 * BITS_A_CHARACTER * 1_000 / baud


@contextlib.asynccontextmanager
async def simulating(site: BenchSite, folder: Path) -> AsyncIterator[Program]:
    """Run the simulators of a site, started and ready."""
    arguments = ["--scenario", str(site.scenario_file), "--site", str(site.site_file)]
    async with running(
        "simulators", ["simulators", *arguments], folder, priority=real_time(SIMULATED)
    ) as simulator:
        await simulator.wait_for("ready")
        await simulator.wait_for("started")
        yield simulator


def bare_on_line(site: BenchSite, baud: int, modules: int) -> list[str]:
    """Arguments of the bare loop on a site's line."""
    port = site.guard_file.parent / NEAR
    gap = f"{gap_ms(baud):.3f}"
    return [
        *("tests.bench.bare", "--rtu", str(port), "--baud", str(baud), "--count", str(modules)),
        *("--limit-a", str(LIMIT_A), "--gap-ms", gap),
    ]


async def measure_use(folder: Path, baud: int, seconds: float) -> list[LineUse]:
    """Utilisation by the bare loop, then by the guard, on the same simulator."""
    site = write_rtu_site(folder, MODULES, baud)
    found = []
    async with simulating(site, folder) as simulator:
        (folder / NEAR).symlink_to(folder / FAR)
        async with running(
            "bare", bare_on_line(site, baud, MODULES), folder, priority=real_time(MEASURED)
        ) as bare:
            await bare.wait_for("ready")
            found.append(await _use(simulator, baud, "bare pymodbus loop", seconds))
        async with guarding(site, folder) as (_, client):
            await switch_all_on(client, site.in_turn(), ON_AT_ONCE)
            found.append(await _use(simulator, baud, "guard", seconds))
    return found


async def _use(simulator: Program, baud: int, who: str, seconds: float) -> LineUse:
    await asyncio.sleep(WARM_UP_S)
    before = await simulator.ask({"stats": True}, "stats")
    with timers() as late_ms:
        await asyncio.sleep(seconds)
    after = await simulator.ask({"stats": True}, "stats")
    return line_use(before, after, baud, who, late_ms)


def line_use(before: Event, after: Event, baud: int, who: str, late_ms: Sequence[float]) -> LineUse:
    """Compare two counts of the simulator."""
    elapsed_ns = after["mono_ns"] - before["mono_ns"]

    def grown(*counters: str) -> int:
        first, last = before["lines"][0], after["lines"][0]
        return sum(last[counter] - first[counter] for counter in counters)

    return LineUse(
        baud=baud,
        who=who,
        utilisation=grown("busy_ns") / elapsed_ns,
        requests_a_s=grown("requests") * 1e9 / elapsed_ns,
        spoiled=grown("gap_broken", "collisions", "bad_frames", "unanswered"),
        timers=Spread.of(late_ms),
    )


async def count_foreign(folder: Path, baud: int, cuts: int) -> list[int]:
    """For each cut-off: requests that went between the over-limit answer and the off frame."""
    site = write_rtu_site(folder, MODULES, baud)
    cycle_s = MODULES * BITS_A_TURN / baud
    async with simulating(site, folder) as simulator:
        with contextlib.closing(Tap(folder / NEAR, folder / FAR, LIMIT_DIGITS)) as tap:
            async with guarding(site, folder) as (_, client):
                await switch_all_on(client, site.in_turn(), ON_AT_ONCE)
                await overload(simulator, site.in_turn()[:cuts], each_s=0.6 * cycle_s)
                return tap.foreign()
