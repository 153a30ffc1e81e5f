"""The machine's two clocks, told as one time."""

from __future__ import annotations

from collections.abc import Callable

from hypothesis import given
from hypothesis import strategies as st

from gateway.core.clock import EARLIEST_UTC_MS, SystemClock, TimeQuality

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
