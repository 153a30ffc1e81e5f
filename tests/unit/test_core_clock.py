"""The machine's two clocks, told as one time."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.core import clock as clock_room
from gateway.core.clock import EARLIEST_UTC_MS, Now, Steady, SystemClock, TimeQuality

MS = 1_000_000


class Machine:
    """Two clocks whose readings lie some time apart, as they do on a busy machine."""

    def __init__(self, utc_ms: int = EARLIEST_UTC_MS) -> None:
        self.mono_ns = 0
        self.ahead_ns = utc_ms * MS
        self.between_ns: Callable[[], int] = lambda: 0

    def read_mono(self) -> int:
        self.mono_ns += self.between_ns()
        return self.mono_ns

    def read_utc(self) -> int:
        self.mono_ns += self.between_ns()
        return self.mono_ns + self.ahead_ns

    def clock(self) -> SystemClock:
        return SystemClock(self.read_mono, self.read_utc)


@given(st.lists(st.integers(0, 3 * MS), min_size=1, max_size=200), st.integers(1, 900_000))
def test_a_moment_ahead_has_one_utc_however_busy_the_machine(
    naps_ns: list[int], between_ns: int
) -> None:
    machine = Machine()
    machine.between_ns = lambda: between_ns
    clock = machine.clock()
    told = set()
    for nap_ns in naps_ns:
        machine.mono_ns += nap_ns
        now = clock.now()
        told.add(now.utc_ms - now.mono_ms)
    assert len(told) == 1


@given(st.integers(-(10**12), 10**12))
def test_a_step_is_told_at_once_and_timers_do_not_notice(step_ms: int) -> None:
    machine = Machine()
    clock = machine.clock()
    before = clock.now()
    machine.mono_ns += 1000 * MS
    machine.ahead_ns += step_ms * MS
    after = clock.now()
    assert after.mono_ms - before.mono_ms == 1000
    assert abs(after.utc_ms - before.utc_ms - 1000 - step_ms) <= 5


def test_a_slow_correction_is_followed() -> None:
    machine = Machine()
    clock = machine.clock()
    first = clock.now()
    for _ in range(1000):
        machine.mono_ns += 1000 * MS
        machine.ahead_ns += MS // 2
        now = clock.now()
        assert abs(now.utc_ms - (machine.mono_ns + machine.ahead_ns) // MS) <= 5
    assert now.utc_ms - first.utc_ms >= 1_000_000 + 495


def test_a_clock_that_was_never_set_says_so() -> None:
    assert Machine(utc_ms=0).clock().now().quality is TimeQuality.UNSET


@pytest.fixture
def synced(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(clock_room, "SYNCHRONIZED_FLAG", tmp_path)


def _qualities(machine: Machine, clock: SystemClock, seconds: int) -> list[TimeQuality]:
    found = []
    for _ in range(seconds * 10):
        machine.mono_ns += 100 * MS
        found.append(clock.now().quality)
    return found


@pytest.mark.usefixtures("synced")
def test_a_clock_that_follows_its_source_says_so() -> None:
    machine = Machine()
    clock = machine.clock()
    assert set(_qualities(machine, clock, 300)) == {TimeQuality.SYNCED}
    for _ in range(300):  # slewed as fast as the kernel does it
        machine.ahead_ns += MS // 2
        assert set(_qualities(machine, clock, 1)) == {TimeQuality.SYNCED}


@pytest.mark.usefixtures("synced")
@pytest.mark.parametrize("step_s", [-3_600, -1, 1, 3_600])
def test_a_step_is_doubted_for_a_while(step_s: int) -> None:
    machine = Machine(EARLIEST_UTC_MS + 7_200_000)
    clock = machine.clock()
    _qualities(machine, clock, 5)
    machine.ahead_ns += step_s * 1000 * MS
    after = _qualities(machine, clock, 200)
    assert after[0] is TimeQuality.UNSYNCED
    assert after[-1] is TimeQuality.SYNCED


@pytest.mark.usefixtures("synced")
def test_a_clock_that_stands_still_is_never_trusted_again() -> None:
    machine = Machine()
    clock = machine.clock()
    _qualities(machine, clock, 5)
    before = clock.now()
    seen = []
    for _ in range(3_000):
        machine.mono_ns += 100 * MS
        machine.ahead_ns -= 100 * MS
        seen.append(clock.now())
    assert {now.quality for now in seen[3:]} == {TimeQuality.UNSYNCED}
    assert abs(seen[-1].utc_ms - before.utc_ms) <= 10, "records tell what the clock says"
    assert seen[-1].mono_ms - before.mono_ms == 300_000, "timers do not notice"


def _now(mono_s: float, utc_s: float, quality: TimeQuality = TimeQuality.UNSYNCED) -> Now:
    return Now(round(mono_s * 1000), EARLIEST_UTC_MS + round(utc_s * 1000), quality)


def test_nothing_is_old_until_the_clock_has_been_steady_for_an_hour() -> None:
    steady = Steady()
    assert [steady.is_steady(_now(s, s)) for s in range(0, 3_660, 60)] == [False] * 60 + [True]
    assert not steady.is_steady(_now(3_660, 10**9)), "a step far ahead makes nothing old"
    assert not steady.is_steady(_now(3_720, 3_720)), "nor the way back"
    assert not steady.is_steady(_now(7_300, 7_300))
    assert steady.is_steady(_now(7_320, 7_320))


def test_a_clock_that_was_never_set_or_stands_still_makes_nothing_old() -> None:
    unset, frozen = Steady(), Steady()
    for s in range(0, 86_400, 60):
        assert not unset.is_steady(_now(s, s - 10**9, TimeQuality.UNSET))
        assert not frozen.is_steady(_now(s, 0))
