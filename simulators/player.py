"""Plays a scenario's steps against the world in real time, and steps that arrive meanwhile."""

from __future__ import annotations

import asyncio
import heapq
import itertools
from collections.abc import Callable, Iterable
from typing import Any

from simulators.scenario import CommandStep, Step
from simulators.world import World
from simulators.world_clock import WorldClock


class Player:
    """Steps in order of their time; each cause is told with the time at which it was done."""

    def __init__(
        self, world: World, clock: WorldClock, report: Callable[[dict[str, Any]], None]
    ) -> None:
        self._world = world
        self._clock = clock
        self._report = report
        self._order = itertools.count()
        self._due: list[tuple[int, int, Callable[[], None]]] = []
        self._changed = asyncio.Event()

    def start(self, steps: Iterable[Step]) -> int:
        """Set time zero: now. Gives it as monotonic ns. Commands are left to the runner."""
        zero_ns = self._clock.now_ns()
        self._report({"kind": "started", "mono_ns": zero_ns})
        for step in steps:
            if not isinstance(step, CommandStep):
                self._at(zero_ns + round(step.at_s * 1e9), step)
        return zero_ns

    def play_now(self, step: Step) -> None:
        """Do a step that arrived meanwhile."""
        self._play(step)

    async def run(self) -> None:
        """Play for ever; to be cancelled."""
        while True:
            self._changed.clear()
            now_ns = self._clock.now_ns()
            while self._due and self._due[0][0] <= now_ns:
                heapq.heappop(self._due)[2]()
                now_ns = self._clock.now_ns()
            wait_s = (self._due[0][0] - now_ns) / 1e9 if self._due else None
            try:
                async with asyncio.timeout(wait_s):
                    await self._changed.wait()
            except TimeoutError:
                continue

    def _at(self, mono_ns: int, step: Step) -> None:
        self._put(mono_ns, lambda: self._play(step))

    def _put(self, mono_ns: int, action: Callable[[], None]) -> None:
        heapq.heappush(self._due, (mono_ns, next(self._order), action))
        self._changed.set()

    def _play(self, step: Step) -> None:
        mono_ns = self._clock.now_ns()
        undo = self._world.apply(step, self._clock.at_s(mono_ns))
        written = step.model_dump(mode="json", exclude_defaults=True, exclude={"id"})
        self._report({"kind": "cause", "id": step.id, "step": written, "mono_ns": mono_ns})
        for_s = getattr(step, "for_s", None)
        if undo is None or for_s is None:
            return

        def end() -> None:
            undo(self._clock.now_s())
            self._report({"kind": "ended", "id": step.id, "step": written})

        self._put(mono_ns + round(for_s * 1e9), end)
