"""When looks at circuits are made, and how they leave the loop to others."""

from __future__ import annotations

import asyncio
import itertools
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field

from gateway.guard.looks import REST, SLICE_S, Looks
from gateway.guard.slices import Slices


@dataclass
class Trees:
    """Trees whose looks take as many slices as they are told."""

    slices: int = 3
    slice_s: float = SLICE_S
    told: list[str] = field(default_factory=list)
    times_s: list[float] = field(default_factory=list)

    def look(self, place: int) -> Slices[None]:
        self.told.append(f"begin {place}")
        self.times_s.append(time.perf_counter())
        for _ in range(self.slices):
            time.sleep(self.slice_s)
            self.told.append(f"slice {place}")
            yield
        self.times_s.append(time.perf_counter())
        self.told.append(f"end {place}")


def play(trees: Trees, story: Callable[[Looks], Awaitable[None]]) -> None:
    async def run() -> None:
        await story(Looks(trees.look))

    asyncio.run(run())


def test_the_loop_runs_between_two_slices() -> None:
    trees = Trees()

    async def story(looks: Looks) -> None:
        async def others() -> None:
            while "end 0" not in trees.told:
                trees.told.append("other")
                await asyncio.sleep(0)

        looks.call(0)
        await asyncio.gather(looks.settled(), others())
        between = trees.told[trees.told.index("slice 0") : trees.told.index("end 0")]
        slices = [at for at, word in enumerate(between) if word == "slice 0"]
        assert len(slices) == 3
        assert all("other" in between[a:b] for a, b in itertools.pairwise(slices))

    play(trees, story)


def test_short_slices_are_not_parted_further() -> None:
    trees = Trees(slices=2, slice_s=0.0)

    async def story(looks: Looks) -> None:
        looks.call(0)
        await looks.settled()
        assert trees.told == ["begin 0", "slice 0", "slice 0", "end 0"]

    play(trees, story)


def test_two_looks_are_never_under_way_at_once() -> None:
    trees = Trees()

    async def story(looks: Looks) -> None:
        looks.call(0)
        while "slice 0" not in trees.told:
            await asyncio.sleep(0)
        looks.due([0, 1])
        looks.call(0)
        await looks.settled()
        bounds = [word for word in trees.told if not word.startswith("slice")]
        assert bounds == ["begin 0", "end 0", "begin 0", "end 0", "begin 1", "end 1"]

    play(trees, story)


def test_who_begins_to_wait_during_a_look_is_settled_by_the_next() -> None:
    trees = Trees(slices=20)

    async def story(looks: Looks) -> None:
        looks.call(0)
        first = asyncio.ensure_future(looks.settled())
        while "slice 0" not in trees.told:
            await asyncio.sleep(0)
        second = asyncio.ensure_future(looks.settled())
        await asyncio.sleep(0)
        looks.call(0)
        third = asyncio.ensure_future(looks.settled())
        await asyncio.gather(first, second)
        assert trees.told.count("end 0") == 1
        assert not third.done()
        await third
        assert trees.told.count("end 0") == 2

    play(trees, story)


def test_nobody_waits_for_looks_that_nobody_called_for() -> None:
    trees = Trees()

    async def story(looks: Looks) -> None:
        await looks.settled()
        assert trees.told == []

    play(trees, story)


def test_looks_that_are_called_for_leave_time_between_them() -> None:
    trees = Trees(slice_s=0.003)

    async def story(looks: Looks) -> None:
        for _ in range(2):
            looks.call(0)
            await looks.settled()
        _, ended_s, again_s, _ = trees.times_s
        assert again_s - ended_s >= REST * trees.slices * trees.slice_s * 0.99

    play(trees, story)


def test_a_look_that_is_due_waits_for_no_rest() -> None:
    trees = Trees(slice_s=0.1)

    async def story(looks: Looks) -> None:
        looks.call(0)
        await looks.settled()
        looks.call(0)
        rest_s = REST * trees.slices * trees.slice_s
        asyncio.get_running_loop().call_later(rest_s / 2, trees.told.append, "half a rest")
        looks.due([0])
        await looks.settled()
        assert "half a rest" not in trees.told

    play(trees, story)
