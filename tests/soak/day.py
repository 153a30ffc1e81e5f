"""A day of a thousand outlets: one charge after the other through the pure machine, watched.

At every step: no ON without a lease, none past a latch or a lock; a value never grows younger;
what the machine remembers does not grow.
"""

from __future__ import annotations

import os
import pickle
import random
import resource
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, field, replace

from gateway.core.clock import Now
from gateway.guard.effects import Effect, SwitchOn
from gateway.guard.events import Event
from gateway.guard.protection import step
from gateway.guard.state import OutletState, Phase
from tests.bench.figures import table
from tests.soak.charges import with_progress
from tests.soak.course import draw_charge
from tests.soak.faults import FAULTS, draw_fault
from tests.soak.play import Play

FAULT_SHARE = 0.3
"""So many of the charges of a day have a fault."""
LARGEST_STATE_BYTES = 16_384
MOST_GROWTH_SHARE = 0.05
WORST = 5

_PHASES_WITH_LEASE = frozenset({Phase.GRANTED, Phase.STARTING, Phase.ON})
_TIMES = ("relay_ms", "voltage_ms", "current_ms", "power_ms", "temperature_ms", "alarm_ms")


@dataclass(slots=True)
class Day:
    """What one outlet lived through."""

    seed: int
    charges: int = 0
    steps: int = 0
    wrong: list[str] = field(default_factory=list)
    broken: list[str] = field(default_factory=list)
    ends: Counter[str] = field(default_factory=Counter)
    largest_bytes: int = 0
    memory_kib: int = 0
    """Of the process that played it, at its end."""


@dataclass(slots=True)
class Watched(Play):
    """A charge of which every step is watched."""

    day: Day = field(default_factory=lambda: Day(0))

    def judged(self, event: Event) -> tuple[OutletState, tuple[Effect, ...]]:
        before = self.state
        after, effects = step(before, event, self.limits, Now(self.now_ms, self.now_ms))
        self.day.steps += 1
        for law, holds in _laws(before, after, effects, self.now_ms):
            if not holds:
                self.day.broken.append(f"seed {self.day.seed}, {self.now_ms} ms: {law}: {event}")
        return after, effects


def _laws(
    before: OutletState, after: OutletState, effects: tuple[Effect, ...], now_ms: int
) -> Iterator[tuple[str, bool]]:
    if any(isinstance(effect, SwitchOn) for effect in effects):
        yield "an ON without a lease", after.lease is not None
        yield "an ON past a latch or a lock", before.latch is None and not before.locks
    if after.lease is not before.lease or after.phase is not before.phase:
        yield (
            "a lease without its phase",
            (after.lease is not None) == (after.phase in _PHASES_WITH_LEASE),
        )
    if after.measured is not before.measured:
        for name in _TIMES:
            was_ms, is_ms = getattr(before.measured, name), getattr(after.measured, name)
            yield f"{name} grew younger", was_ms is None or (was_ms <= is_ms <= now_ms)


def soak_day(outlets: int, hours: float, seed: int) -> bool:
    """Let ``outlets`` live for ``hours``; good when no law broke and no memory grew."""
    jobs = [(seed + number, hours) for number in range(outlets)]
    with ProcessPoolExecutor(os.cpu_count()) as pool:
        days = list(with_progress(pool.map(_live, jobs, chunksize=2), len(jobs)))
    half = len(days) // 2
    first_kib = max(day.memory_kib for day in days[: max(1, half)])
    last_kib = max(day.memory_kib for day in days)
    growth = last_kib / first_kib - 1
    broken = [text for day in days for text in day.broken]
    wrong = [text for day in days for text in day.wrong]
    largest_bytes = max(day.largest_bytes for day in days)
    charges = sum(day.charges for day in days)
    rows = [
        ("outlets", len(days), ""),
        ("simulated hours each", f"{hours:g}", ""),
        ("steps of the machine", sum(day.steps for day in days), ""),
        ("charges", charges, ""),
        ("judged wrongly", len(wrong), ""),
        ("laws broken", len(broken), "0"),
        ("largest state, bytes", largest_bytes, f"<= {LARGEST_STATE_BYTES}"),
        ("memory grew in the second half", f"{growth:.1%}", f"<= {MOST_GROWTH_SHARE:.0%}"),
    ]
    print()
    print(table(["a day", "found", "bound"], rows))
    ends = sum((day.ends for day in days), Counter[str]())
    print(", ".join(f"{reason} {count}" for reason, count in ends.most_common()))
    for text in (broken + wrong)[:WORST]:
        print(f"  {text}")
    return not broken and largest_bytes <= LARGEST_STATE_BYTES and growth <= MOST_GROWTH_SHARE


def _live(job: tuple[int, float]) -> Day:
    seed, hours = job
    rng = random.Random(seed)
    day, state, now_ms = Day(seed), OutletState(metered=True), 1_000_000
    until_ms = now_ms + round(hours * 3_600_000)
    while now_ms < until_ms:
        charge = draw_charge(rng)
        fault = None
        if rng.random() < FAULT_SHARE:
            fault = draw_fault(rng, rng.choice(FAULTS), charge)
        play = Watched(
            day.seed, charge, charge.rider(), fault, rng, state=state, now_ms=now_ms, day=day
        )
        play.live()
        found = play.verdict()
        day.charges += 1
        day.ends[found.ended] += 1
        if not found.good:
            day.wrong.append(f"seed {seed}, charge {day.charges}: {found}")
        day.largest_bytes = max(day.largest_bytes, _size(play.state))
        play.put_away()
        state, now_ms = play.state, play.now_ms
    day.memory_kib = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return day


def _size(state: OutletState) -> int:
    """How much the machine remembers; mappings that can't be pickled are written out."""
    latch = (
        None if state.latch is None else replace(state.latch, evidence=dict(state.latch.evidence))
    )
    plain = state._replace(holds=dict(state.holds), clears=dict(state.clears), latch=latch)
    return len(pickle.dumps(plain))
