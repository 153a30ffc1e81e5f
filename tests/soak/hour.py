"""An hour on the wire: every kind of bus at once, faults on each of them, and people at work.

The mixed site as processes: guard, serve, embedded broker and simulators. Modules and plugs break
and heal, the broker dies and comes back, serve dies and comes back. In the end no task is lost,
nothing was told twice, no relay closed without a lease, no memory grew, and no log was flooded.
"""

from __future__ import annotations

import asyncio
import random
import sys
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from gateway.core.errors import PilegateError
from simulators.mqtt.faults import PlugFault
from tests.bench.figures import table
from tests.soak.folder import in_folder
from tests.soak.health import Health
from tests.support import run_claims as claims
from tests.support.run_stage import SITES, Stage, on_stage, outlet_ids, play, until
from tests.support.run_traffic import Traffic

SITE = SITES / "mixed.yaml"
MODULES = ["m1", "p1", "w1", "d1"]
PLUGS = ["native", "tasmota", "strip", "shelly1", "shelly2", "pro", "zigbee", "esphome"]
SAMPLE_EVERY_S = 10.0
PLUG_FAULT_S = (2.0, 20.0)
BETWEEN_FAULTS_S = (0.5, 4.0)
BETWEEN_DEATHS_S = (60.0, 240.0)
AWAY_S = (0.5, 15.0)
SETTLES_S = 180.0
MOST_GROWTH_SHARE = 0.05
MOST_NEW_FILES = 4
MOST_LINES_A_FAULT = 6
"""Each fault may be told when it comes and when it goes, by those whom it concerns."""
PROGRESS_EVERY_S = 60.0


@dataclass(slots=True)
class Mishaps:
    """What is done to plugs, broker and serve; by :class:`Traffic` to modules and outlets."""

    stage: Stage
    chance: random.Random
    made: Counter[str] = field(default_factory=Counter)

    async def break_plugs(self) -> None:
        while True:
            fault, device = self.chance.choice(list(PlugFault)), self.chance.choice(PLUGS)
            share, for_s = self.chance.uniform(0.1, 1.0), self.chance.uniform(*PLUG_FAULT_S)
            self.stage.say(fault=fault.value, device=device, share=share, for_s=for_s)
            self.made[fault.value] += 1
            await asyncio.sleep(self.chance.uniform(*BETWEEN_FAULTS_S))

    async def kill_in_turn(self) -> None:
        """Kill broker and serve now and then, and start them again."""
        while True:
            await asyncio.sleep(self.chance.uniform(*BETWEEN_DEATHS_S))
            name = self.chance.choice(["broker", "serve"])
            await self.stage.programs.kill(name)
            self.made[f"{name} killed"] += 1
            await asyncio.sleep(self.chance.uniform(*AWAY_S))
            await self.stage.programs.again(name)


def soak_hour(minutes: float, seed: int) -> bool:
    """Soak for a while; say whether every promise was kept."""
    return in_folder(lambda folder: _soak(folder, minutes * 60, seed))


async def _soak(folder: Path, seconds: float, seed: int) -> bool:
    utc_less_mono_ms = (time.time_ns() - time.monotonic_ns()) / 1e6
    health, outlets = Health(), outlet_ids(SITE)
    async with on_stage(folder, SITE, plugs={"zigbee": {"keepalive_s": 5}}) as stage:
        traffic = Traffic(stage, outlets, MODULES, seed)
        mishaps = Mishaps(stage, random.Random(seed))

        async def story(_: Stage) -> None:
            tasks = [
                asyncio.create_task(work, name=name)
                for name, work in (
                    ("traffic", traffic.run()),
                    ("plugs", mishaps.break_plugs()),
                    ("deaths", mishaps.kill_in_turn()),
                )
            ]
            await _watch(stage, health, tasks, seconds)
            for task in tasks:
                task.cancel()
            await asyncio.wait(tasks)
            for task in tasks:
                if not task.cancelled():
                    task.result()
            await _settle(stage)

        await play(stage, story)
        lines = {name: stage.programs.log(name).count("\n") for name in ("guard", "serve")}
        torn = [name for name in lines if "Traceback" in stage.programs.log(name)]
    wrong = _claims(stage, traffic, utc_less_mono_ms)
    faults = sum(mishaps.made.values()) + traffic.told.made["break_link"]
    print(f"made: {dict(mishaps.made)} {dict(traffic.told.made)}")
    return _judge(health, lines, torn, wrong, faults)


async def _watch(
    stage: Stage, health: Health, tasks: list[asyncio.Task[None]], seconds: float
) -> None:
    """Look at the guard's process until the time is over, or something has ended by itself."""
    began_s = said_s = time.monotonic()
    while (now_s := time.monotonic()) < began_s + seconds and not any(t.done() for t in tasks):
        await asyncio.sleep(SAMPLE_EVERY_S)
        if not stage.programs.alive("guard"):
            raise AssertionError("the guard has ended: see its log")
        health.take(stage.programs.pid("guard"))
        if now_s - said_s >= PROGRESS_EVERY_S:
            said_s = now_s
            left_s = began_s + seconds - now_s
            print(f"  {health.memory_kib[-1]} KiB, {left_s / 60:.0f} min left", file=sys.stderr)


async def _settle(stage: Stage) -> None:
    """Mend everything, switch off, and wait until every outlet is known, and off."""
    for device in (*MODULES, *PLUGS):
        stage.say(heal=device)
    for name in ("broker", "serve"):
        if not stage.programs.alive(name):
            await stage.programs.again(name)
    target = {"kind": "site", "id": "mixed"}
    await stage.call("off", target=target, actor="soak", reason="the end")

    async def known_and_off() -> bool:
        views = await stage.views()
        unknown = [o for o, view in views.items() if view.stale or stage.records.on.get(o)]
        if unknown:
            raise PilegateError(f"not known to be off: {unknown}")
        return True

    await until("every outlet is known, and off", known_and_off, within_s=SETTLES_S)


def _claims(stage: Stage, traffic: Traffic, utc_less_mono_ms: float) -> list[str]:
    """Judge journal, database and relays once everything has ended in order."""
    facts = claims.read_facts(stage.journal)
    rows = claims.business_events(stage.place.state_dir / "serve.db")
    wrong = [f"never to be answered: {text}" for text in traffic.told.broken]
    judges: tuple[Callable[[], None], ...] = (
        lambda: claims.sequence_is_whole(facts),
        lambda: claims.leases_end_once(facts, []),
        lambda: claims.closed_by_lease_only(
            stage.records.relay, claims.spans(facts), utc_less_mono_ms
        ),
        lambda: claims.effects_once(rows, facts[: len(rows)]),
    )
    for claim in judges:
        try:
            claim()
        except AssertionError as error:
            wrong.append(str(error)[:300])
    return wrong


def _judge(
    health: Health, lines: dict[str, int], torn: list[str], wrong: list[str], faults: int
) -> bool:
    growth, files = health.growth_share(), health.files_grown()
    most_lines = MOST_LINES_A_FAULT * faults
    verdicts = [
        ("memory of the guard grew", f"{growth:.1%}", "<= 5%", growth <= MOST_GROWTH_SHARE),
        ("open files of the guard grew", f"{files:.0f}", "<= 4", files <= MOST_NEW_FILES),
        *(
            (f"log lines of {name}", count, f"<= {most_lines}", count <= most_lines)
            for name, count in lines.items()
        ),
        ("tracebacks in", ", ".join(torn) or "none", "none", not torn),
        ("promises broken", len(wrong), "0", not wrong),
        ("faults of links", faults, "> 0", faults > 0),
    ]
    rows = [(n, "good" if good else "BAD", found, bound) for n, found, bound, good in verdicts]
    print(table(["", "", "found", "bound"], rows))
    for text in wrong:
        print(f"  {text}")
    return all(good for *_, good in verdicts)
