"""How long a cut-off takes with 1,000 outlets on TCP: quiet, flooded, fed by circuits, and
beside a bare loop."""

from __future__ import annotations

import asyncio
import contextlib
import sys
import time
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from gateway.runtime.supervisor import SERVE_NICE
from tests.bench.cuts import overload
from tests.bench.figures import Spread
from tests.bench.guard import cpu_s, guarding, switch_all_on
from tests.bench.noise import timers
from tests.bench.processes import MEASURED, BenchFailed, Event, Program, real_time, running
from tests.bench.serial_line import simulating
from tests.bench.sites import LIMIT_A, BenchSite, write_tcp_site

FLOOD_CONNECTIONS = 50
SERVE_START_S = 60.0
AS_SERVE = ("nice", "-n", str(SERVE_NICE))


@dataclass(frozen=True, slots=True)
class CutOffs:
    """One row: how fast cut-offs were in one situation."""

    who: str
    spread: Spread
    missing: int
    reads_a_s: float
    """Requests that the simulator saw, a second."""
    cpu_share: float
    """Processor time of the measured process, of one core."""
    timers: Spread
    """How late this machine's own timers were meanwhile."""
    own: Spread | None = None
    """The guard's own part: from having the answer's bytes to handing over the off frame."""
    flood: Event | None = None

    def to_json(self) -> dict[str, Any]:
        return {
            "who": self.who,
            **self.spread.to_json(),
            "missing": self.missing,
            "requests_a_s": round(self.reads_a_s, 1),
            "cpu_share": round(self.cpu_share, 3),
            "timers_late": self.timers.to_json(),
            "own": None if self.own is None else self.own.to_json(),
            "flood": self.flood,
        }


async def measure_latency(folder: Path, modules: int, cuts: int, each_s: float) -> list[CutOffs]:
    """Bare loop, the guard quiet, the same guard with the API flooded, and one with circuits."""
    site = write_tcp_site(folder, modules)
    order = site.in_turn()
    first, second = order[:cuts], order[cuts : 2 * cuts]
    found = []
    bare_arguments = [
        *("tests.bench.bare", "--tcp", f"127.0.0.1:{site.first_port}", "--count", str(modules)),
        *("--limit-a", str(LIMIT_A)),
    ]
    async with (
        simulating(site, folder) as simulator,
        running("bare", bare_arguments, folder, priority=real_time(MEASURED)) as bare,
    ):
        await bare.wait_for("ready")
        found.append(await _row("bare pymodbus loop", simulator, bare, first, each_s=each_s))
    async with simulating(site, folder) as simulator, guarding(site, folder) as (guard, client):
        await switch_all_on(client, site.in_turn())
        found.append(await _row("guard, quiet", simulator, guard, first, each_s=each_s))
        async with _flooded(site, folder) as flood:
            row = await _row(
                "guard, API flooded", simulator, guard, second, each_s=each_s, flood=flood
            )
            found.append(row)
    found.append(await _with_circuits(folder / "fed", modules, cuts, each_s))
    return found


async def _with_circuits(folder: Path, modules: int, cuts: int, each_s: float) -> CutOffs:
    """A guard that looks at a tree of circuits over all outlets as well, twice a second."""
    site = write_tcp_site(folder, modules, is_fed=True)
    first = site.in_turn()[:cuts]
    async with simulating(site, folder) as simulator, guarding(site, folder) as (guard, client):
        await switch_all_on(client, site.in_turn())
        return await _row("guard, circuits", simulator, guard, first, each_s=each_s)


async def _row(
    who: str,
    simulator: Program,
    measured: Program,
    outlets: list[str],
    *,
    each_s: float,
    flood: Program | None = None,
) -> CutOffs:
    await asyncio.sleep(2.0)
    before, cpu_before_s = await simulator.ask({"stats": True}, "stats"), cpu_s(measured.pid)
    flood_before = None if flood is None else flood.last("flood")
    own_ms: list[float] = []
    measured.on_event = lambda event: own_ms.extend(event.get("ms", []))
    with timers() as late_ms:
        watch = await overload(simulator, outlets, each_s)
    after, cpu_after_s = await simulator.ask({"stats": True}, "stats"), cpu_s(measured.pid)
    measured.require_alive()
    if not watch.latencies_ms:
        raise BenchFailed(f"{who}: not one cut-off was seen: {measured.log}")
    elapsed_s = (after["mono_ns"] - before["mono_ns"]) / 1e9
    requests = _requests(after) - _requests(before)
    return CutOffs(
        who=who,
        spread=watch.spread(),
        missing=watch.missing,
        reads_a_s=requests / elapsed_s,
        cpu_share=(cpu_after_s - cpu_before_s) / elapsed_s,
        timers=Spread.of(late_ms),
        own=Spread.of(own_ms) if own_ms else None,
        flood=None if flood is None else _rates(flood_before, flood.last("flood")),
    )


def _requests(stats: Event) -> int:
    return sum(int(bus["requests"]) for bus in stats["tcp"])


def _rates(before: Event | None, after: Event | None) -> Event:
    """What the flood did meanwhile, a second."""
    if before is None or after is None:
        raise BenchFailed("the flood told nothing")
    elapsed_s = float(after["elapsed_s"]) - float(before["elapsed_s"])

    def rate(counter: str) -> float:
        return round((int(after[counter]) - int(before[counter])) / elapsed_s, 1)

    return {
        "connections": FLOOD_CONNECTIONS,
        "requests_a_s": rate("requests"),
        "listings_a_s": rate("listings"),
        "statuses": after["statuses"],
        "broken": after["broken"],
    }


@contextlib.asynccontextmanager
async def _flooded(site: BenchSite, folder: Path) -> AsyncIterator[Program]:
    """Run serve, and 50 connections that list all outlets without a pause."""
    token = await _make_token(site)
    arguments = ["gateway", "--site", str(site.guard_file), "serve"]
    flood_arguments = [
        *("tests.bench.flood", "--port", str(site.api_port), "--for", "600"),
        *("--connections", str(FLOOD_CONNECTIONS)),
    ]
    async with running("serve", arguments, folder, priority=AS_SERVE) as serve:
        await _listening(serve, site.api_port)
        # On a site the flood would come from elsewhere, and take no time of this machine.
        async with running("flood", flood_arguments, folder, priority=AS_SERVE) as flood:
            flood.say(token)
            await flood.wait_for("flood")
            yield flood


async def _make_token(site: BenchSite) -> str:
    """Make an API token. It is the last word that the command prints."""
    making = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "gateway", "--site", str(site.guard_file)),
        *("token", "create", "bench", "--role", "viewer"),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    output, errors = await making.communicate()
    if making.returncode != 0:
        raise BenchFailed(f"no token: {errors.decode().strip()}")
    return output.decode().split()[-1]


async def _listening(serve: Program, port: int) -> None:
    deadline_s = time.monotonic() + SERVE_START_S
    while time.monotonic() < deadline_s:
        serve.require_alive()
        try:
            _, writer = await asyncio.open_connection("127.0.0.1", port)
        except OSError:
            await asyncio.sleep(0.1)
            continue
        writer.close()
        return
    raise BenchFailed(f"serve does not listen on {port} after {SERVE_START_S:g} s: {serve.log}")
