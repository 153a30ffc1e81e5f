"""A guard on real sockets, under load and faults for a long time: a verdict for each promise.

Outlets are overloaded, cut, reset and switched on again, plugs are pulled, devices fall silent
and spoil answers. Meanwhile the guard's memory and files must not grow, every cut-off must
happen, and its facts must have neither gap nor duplicate.
"""

from __future__ import annotations

import asyncio
import time
from dataclasses import dataclass
from pathlib import Path

from gateway.link.client import FactArrived, GuardClient
from tests.bench.cuts import Stopwatch
from tests.bench.figures import table
from tests.bench.guard import guarding, switch_all_on
from tests.bench.serial_line import simulating
from tests.bench.sites import write_tcp_site
from tests.soak.folder import in_folder
from tests.soak.health import Health
from tests.soak.trouble import Trouble

MODULES = 20
SAMPLE_EVERY_S = 5.0
SETTLE_S = 5.0
MOST_GROWTH_SHARE = 0.05
MOST_NEW_FILES = 4


@dataclass(slots=True)
class Facts:
    """The sequence of facts, as somebody who follows sees it."""

    last: int = 0
    broken: int = 0

    async def follow(self, client: GuardClient) -> None:
        async for notice in client.follow(facts_after=0):
            if isinstance(notice, FactArrived):
                self.broken += notice.fact.seq != self.last + 1
                self.last = notice.fact.seq


def soak_wire(minutes: float, seed: int) -> bool:
    """Soak for a while; say whether every promise was kept. Raises BenchFailed, PilegateError."""
    return in_folder(lambda folder: _soak(folder, minutes * 60, seed))


async def _soak(folder: Path, seconds: float, seed: int) -> bool:
    site = write_tcp_site(folder, MODULES)
    health, facts, watch = Health(), Facts(), Stopwatch()
    async with simulating(site, folder) as simulator, guarding(site, folder) as (guard, client):
        await switch_all_on(client, site.in_turn())
        follower = await GuardClient.connect(site.socket)
        following = asyncio.create_task(facts.follow(follower))
        simulator.on_event = watch.on_event
        trouble = Trouble(simulator, client, site.outlets, MODULES, seed)
        making = asyncio.create_task(trouble.make())
        until_s = time.monotonic() + seconds
        while time.monotonic() < until_s and not following.done() and not making.done():
            await asyncio.sleep(SAMPLE_EVERY_S)
            guard.require_alive()
            health.take(guard.pid)
        making.cancel()
        await asyncio.sleep(SETTLE_S)
        last = (await client.call("hello"))["seq"]
        for task in (making, following):
            if task.done() and not task.cancelled():
                task.result()
        following.cancel()
        await follower.close()
        simulator.on_event = None
    return _judge(health, facts, watch, trouble, last)


def _judge(health: Health, facts: Facts, watch: Stopwatch, trouble: Trouble, last: int) -> bool:
    growth, files = health.growth_share(), health.files_grown()
    slowest_ms = max(watch.latencies_ms, default=0.0)
    verdicts = [
        ("memory grew", f"{growth:.1%}", "<= 5%", growth <= MOST_GROWTH_SHARE),
        ("open files grew", f"{files:.0f}", f"<= {MOST_NEW_FILES}", files <= MOST_NEW_FILES),
        ("cut-offs", len(watch.latencies_ms), "> 0", bool(watch.latencies_ms)),
        ("slowest cut-off, ms", f"{slowest_ms:.1f}", "", True),
        ("over and still on", watch.missing, "0", watch.missing == 0),
        ("facts followed", facts.last, f"{last}", facts.last >= last > 0),
        ("gaps and duplicates", facts.broken, "0", facts.broken == 0),
        ("faults made", sum(trouble.made.values()), "", True),
    ]
    rows = [
        (name, "good" if good else "BAD", found, bound) for name, found, bound, good in verdicts
    ]
    print(table(["", "", "found", "bound"], rows))
    return all(good for *_, good in verdicts)
