"""Looks at the trees of circuits, one after the other, each in slices.

Between two slices the loop runs: a cut-off waits for one slice at most. Looks are never made at
once: each starts outlets by what it has counted, and knows nothing of what another would start.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Iterable
from typing import TypeVar

from gateway.guard.slices import Slices

T = TypeVar("T")

SLICE_S = 0.0004
"""The loop is held no longer than this, and what one slice takes."""

REST = 9.0
"""After a look that somebody called for, so many times as long none is made for the next: however
many ask, cut-offs have nine tenths of the time."""


async def leisurely(slices: Slices[T]) -> T:
    """Compute what comes in slices, and let the loop run between them."""
    while True:
        until_s = time.perf_counter() + SLICE_S
        while time.perf_counter() < until_s:
            try:
                next(slices)
            except StopIteration as end:
                found: T = end.value
                return found
        await asyncio.sleep(0)


class Looks:
    """Makes looks as they fall due, or are called for."""

    def __init__(self, look: Callable[[int], Slices[None]]) -> None:
        """``look`` looks at the tree at a place; it never raises."""
        self._look = look
        self._due: set[int] = set()
        self._called: set[int] = set()
        """Trees that somebody has begun to wait for."""
        self._begins: asyncio.TimerHandle | None = None
        self._under_way: Slices[None] | None = None
        self._is_called_for = False
        self._took_s = 0.0
        """How long the look that is under way has held the loop, all in all."""
        self._rest_until_s = 0.0
        self._for_present: list[asyncio.Future[None]] = []
        self._for_next: list[asyncio.Future[None]] = []

    def due(self, places: Iterable[int]) -> None:
        """Look at some trees now, or after the look that is under way."""
        self._due.update(places)
        if self._under_way is None:
            self._begin_in(0.0)

    def call(self, place: int) -> None:
        """Look at a tree soon: somebody has begun to wait."""
        self._called.add(place)
        if self._under_way is None and self._begins is None:
            self._begin_in(self._rest_s())

    async def settled(self) -> None:
        """Wait until those who have begun to wait by now were looked at."""
        if not self._called and self._under_way is None:
            return
        done = asyncio.get_running_loop().create_future()
        (self._for_next if self._called else self._for_present).append(done)
        await done

    def _rest_s(self) -> float:
        return max(0.0, self._rest_until_s - asyncio.get_running_loop().time())

    def _begin_in(self, delay_s: float) -> None:
        if self._begins is not None:
            self._begins.cancel()
        self._begins = asyncio.get_running_loop().call_later(delay_s, self._begin)

    def _begin(self) -> None:
        self._begins = None
        places = sorted(self._due | self._called)
        self._is_called_for, self._took_s = bool(self._called), 0.0
        self._due.clear()
        self._called.clear()
        self._for_present, self._for_next = self._for_next, []
        self._under_way = self._all(places)
        self._go_on()

    def _all(self, places: Iterable[int]) -> Slices[None]:
        for place in places:
            yield from self._look(place)

    def _go_on(self) -> None:
        assert self._under_way is not None
        began_s = time.perf_counter()
        for _ in self._under_way:
            if time.perf_counter() - began_s >= SLICE_S:
                self._took_s += time.perf_counter() - began_s
                asyncio.get_running_loop().call_soon(self._go_on)
                return
        self._took_s += time.perf_counter() - began_s
        self._end()

    def _end(self) -> None:
        self._under_way = None
        if self._is_called_for:
            now_s = asyncio.get_running_loop().time()
            self._rest_until_s = now_s + REST * self._took_s
        done, self._for_present = self._for_present, []
        for future in done:
            if not future.done():
                future.set_result(None)
        if self._due:
            self._begin_in(0.0)
        elif self._called:
            self._begin_in(self._rest_s())
