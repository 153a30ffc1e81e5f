"""What holds for circuits whatever happens to outlets between two slices of a look."""

from __future__ import annotations

import asyncio
from collections.abc import Generator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from gateway.core.ids import OutletId
from gateway.guard.events import LeaseDurable, Renew, RequestOff, RequestOn
from gateway.guard.state import Phase
from gateway.guard.turn import ACTIVE
from tests.support.guarded_yard import SITE, Yard

ALL_START_WITH_THEIR_LIMIT = SITE.replace("    start_w: 300\n", "")
ABOVE = tuple(OutletId(f"n1-{n}") for n in (1, 2, 3))
BENEATH = tuple(OutletId(f"n2-{n}") for n in (4, 5, 6))
LIMITS_W = ((1_000, (*ABOVE, *BENEATH)), (600, BENEATH))
"""Of the circuits ``top`` and ``under``."""

NAMES = st.sampled_from((ABOVE[0], ABOVE[2], BENEATH[0]))
NEARLY_FULL = (("on", ABOVE[0], 400, 40), ("on", ABOVE[1], 400, 40))
STORIES = st.lists(
    st.tuples(
        st.sampled_from(["on", "on", "anew", "anew", "off", "renew", "read"]),
        NAMES,
        st.sampled_from([150, 300, 400, 600]),
        st.integers(0, 20),
    ),
    min_size=5,
    max_size=40,
)
"""What happens, to whom, how much power it is about, and how many slices come after it."""


class Play:
    """A yard in which outlets draw what their leases allow, and looks that go on by slices."""

    def __init__(self, yard: Yard) -> None:
        self.yard = yard
        self.look: Generator[None] | None = None
        self.asked = 0

    def tell(self, word: str, name: OutletId, power_w: int, slices: int) -> None:
        yard, outlet = self.yard, self.yard.fleet.outlets[name]
        if word in ("off", "anew"):
            outlet.feed(RequestOff(actor="t"))
        if word in ("on", "anew"):
            self.ask(name, float(power_w))
        elif word == "renew" and outlet.state.lease is not None:
            until_ms = yard.clock.mono_ms + 900_000
            outlet.feed(Renew(lease_id=outlet.state.lease.id, until_ms=until_ms, actor="t"))
        elif word == "read":
            yard.read()
        self.check()
        self.go_on(slices)

    def ask(self, name: OutletId, power_w: float) -> None:
        yard, outlet = self.yard, self.yard.fleet.outlets[name]
        self.asked += 1
        lease = yard.lease(str(self.asked), power_w)
        if yard.grid.check(outlet, power_w) is None and outlet.feed(RequestOn(lease=lease)) is None:
            yard.watts[name] = power_w
            outlet.feed(LeaseDurable(lease_id=lease.id))

    def go_on(self, slices: int) -> None:
        for _ in range(slices):
            if self.look is None:
                self.look = self.yard.grid._look_at(0)
            try:
                next(self.look)
            except StopIteration:
                self.look = None
            self.check()

    def check(self) -> None:
        """Compare what may flow with what each circuit carries."""
        for limit_w, names in LIMITS_W:
            flows_w = 0.0
            for name in names:
                state = self.yard.fleet.outlets[name].state
                if state.phase in ACTIVE:
                    assert state.lease is not None
                    flows_w += state.lease.power_w or 0.0
                elif state.phase is Phase.STOPPING:
                    flows_w += state.measured.power_w or 0.0
            assert flows_w <= limit_w


@settings(
    max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(STORIES)
def test_no_start_exceeds_a_circuit_whatever_happens_between_two_slices(
    tmp_path_factory: pytest.TempPathFactory, story: list[tuple[str, OutletId, int, int]]
) -> None:
    async def run(folder: Path) -> None:
        yard = Yard(folder, ALL_START_WITH_THEIR_LIMIT)
        try:
            yard.round()
            play = Play(yard)
            for event in (*NEARLY_FULL, *story):
                play.tell(*event)
        finally:
            await yard.journal.close()

    asyncio.run(run(tmp_path_factory.mktemp("yard")))
