"""Thousands of random charges through the pure machine: no false end, no fault missed or late."""

from __future__ import annotations

import os
import signal
import sys
import time
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator
from concurrent.futures import ProcessPoolExecutor
from typing import TypeVar

from tests.bench.figures import table
from tests.soak.faults import FAULTS
from tests.soak.play import Verdict, play
from tests.soak.ranges import RANGES

PROGRESS_EVERY_S = 10.0
WORST = 3
"""Cases that are told of each kind, the worst first, with their seeds."""
NO_FAULT = ""

T = TypeVar("T")


def soak_charges(count: int, seed: int) -> bool:
    """Play ``count`` charges without a fault and as many with one, in equal shares.

    What is judged wrongly is told at once; interrupted, it tells of those that were played.
    """
    _print_ranges()
    jobs: list[tuple[int, str]] = []
    for number in range(count):
        jobs.append((seed + number, NO_FAULT))
        jobs.append((seed + count + number, FAULTS[number % len(FAULTS)]))
    verdicts: list[Verdict] = []
    try:
        for verdict in with_progress(_play_all(jobs), len(jobs)):
            verdicts.append(verdict)
            if not verdict.good:
                print(f"{verdict.fault or 'no fault'}: {_told(verdict)}", flush=True)
    except KeyboardInterrupt:
        print(f"\ninterrupted: {len(verdicts)} of {len(jobs)} charges were played")
    _print_confusion(verdicts)
    _print_worst(verdicts)
    bad = sum(not verdict.good for verdict in verdicts)
    print(f"{len(verdicts)} charges, {bad} judged wrongly")
    return bad == 0 and len(verdicts) == len(jobs)


def _play_all(jobs: list[tuple[int, str]]) -> Iterator[Verdict]:
    with ProcessPoolExecutor(os.cpu_count(), initializer=_leave_interrupts) as pool:
        yield from pool.map(_play, jobs, chunksize=8)


def _leave_interrupts() -> None:
    """Leave an interrupt from the keyboard to the process that has the results."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)


def _play(job: tuple[int, str]) -> Verdict:
    seed, fault = job
    return play(seed, fault or None)


def with_progress(verdicts: Iterable[T], total: int) -> Iterator[T]:
    """Give on what comes, and say now and then how far it is."""
    began_s = said_s = time.monotonic()
    for number, verdict in enumerate(verdicts, 1):
        yield verdict
        now_s = time.monotonic()
        if now_s - said_s >= PROGRESS_EVERY_S:
            said_s = now_s
            left_s = (now_s - began_s) / number * (total - number)
            print(f"  {number} of {total}, about {left_s / 60:.0f} min left", file=sys.stderr)


def _print_ranges() -> None:
    rows = [(name, f"{r.low:g}", f"{r.high:g}", r.unit) for name, r in RANGES.items()]
    print(table(["drawn from", "low", "high", ""], rows))


def _print_confusion(verdicts: Iterable[Verdict]) -> None:
    counts: dict[str, Counter[tuple[str, bool]]] = defaultdict(Counter)
    late_s: dict[str, float] = defaultdict(float)
    for verdict in verdicts:
        counts[verdict.fault][verdict.ended, verdict.good] += 1
        late_s[verdict.fault] = max(late_s[verdict.fault], verdict.late_s)
    rows = []
    for fault, ends in counts.items():
        total = ends.total()
        good = sum(count for (_, is_good), count in ends.items() if is_good)
        told = ", ".join(f"{reason} {count}" for (reason, _), count in ends.most_common())
        rows.append((fault or "no fault", total, good, f"{late_s[fault]:.0f}", told))
    print()
    print(table(["what happened", "charges", "right", "latest, s", "what was told"], rows))


def _print_worst(verdicts: Iterable[Verdict]) -> None:
    bad: dict[str, list[Verdict]] = defaultdict(list)
    for verdict in verdicts:
        if not verdict.good:
            bad[verdict.fault].append(verdict)
    for fault, cases in bad.items():
        cases.sort(key=lambda case: (case.share, -case.late_s))
        print(f"\n{fault or 'no fault'}: {len(cases)} judged wrongly, such as")
        for case in cases[:WORST]:
            print(f"  {_told(case)}")


def _told(case: Verdict) -> str:
    return (
        f"seed {case.seed}: told {case.ended}, {case.share:.0%} delivered,"
        f" {case.late_s:.0f} s late: {case.about}"
    )
