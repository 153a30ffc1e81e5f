from __future__ import annotations

import random

from hypothesis import given
from hypothesis import strategies as st

from drivers.modbus.frames import Function, read
from drivers.modbus.health import (
    HOLD_MS,
    JITTER,
    LONGEST_BACKOFF_MS,
    MOST_DECLINED,
    Backoff,
    Health,
    Suspicion,
)
from drivers.modbus.load import WINDOW_MS, Load
from gateway.guard.model import DeviceState


def test_one_miss_is_no_news_and_three_are_quarantine() -> None:
    health = Health(Backoff(random.Random(1)))
    assert health.answered(0)
    changes = [(health.missed(at_ms), health.state) for at_ms in (1_000, 2_000, 3_000)]
    assert changes == [
        (False, DeviceState.ONLINE),
        (True, DeviceState.SILENT),
        (True, DeviceState.QUARANTINED),
    ]
    assert not health.is_due(3_500)
    assert health.is_due(4_300)
    assert health.answered(4_300)
    assert not health.answered(4_400)


@given(st.integers(0, 1_000), st.integers(1, 40))
def test_waits_double_up_to_a_cap_and_are_jittered(seed: int, tries: int) -> None:
    backoff = Backoff(random.Random(seed))
    waits = [backoff.next_ms() for _ in range(tries)]
    for attempt, wait_ms in enumerate(waits):
        middle_ms = min(1_000 * 2**attempt, LONGEST_BACKOFF_MS)
        assert middle_ms * (1 - JITTER) <= wait_ms <= middle_ms * (1 + JITTER)
    backoff.reset()
    assert backoff.next_ms() <= 1_000 * (1 + JITTER)


def test_two_buses_do_not_wait_alike() -> None:
    assert Backoff(random.Random(1)).next_ms() != Backoff(random.Random(2)).next_ms()


BARRIERS = [read(1, Function.READ_INPUT, 0, count) for count in (1, 2, 3)]


def test_a_barrier_never_has_a_shape_that_is_owed() -> None:
    suspicion = Suspicion(BARRIERS)
    suspicion.owes(read(1, Function.READ_INPUT, 7, 2).head, 10_000)
    assert suspicion.barrier(10_100) == BARRIERS[0]
    suspicion.owes(BARRIERS[0].head, 10_200)
    assert suspicion.barrier(10_200) == BARRIERS[2]
    suspicion.owes(BARRIERS[2].head, 10_300)
    assert suspicion.barrier(10_300) is None
    assert suspicion.is_suspect
    # the oldest is taken as lost first
    assert suspicion.barrier(10_000 + HOLD_MS) == BARRIERS[1]
    suspicion.cleared()
    assert not suspicion.is_suspect


def test_what_can_not_be_proved_is_waited_for() -> None:
    suspicion = Suspicion(())
    suspicion.owes(BARRIERS[0].head, 10_000)
    assert suspicion.barrier(10_000 + HOLD_MS - 1) is None
    assert suspicion.is_suspect
    assert suspicion.barrier(10_000 + HOLD_MS) is None
    assert not suspicion.is_suspect


def test_what_a_converter_may_have_kept_counts_from_the_next_connection() -> None:
    suspicion = Suspicion(())
    suspicion.owes(BARRIERS[0].head, 10_000)
    suspicion.owes_anew(60_000)
    suspicion.barrier(60_000 + HOLD_MS - 1)
    assert suspicion.is_suspect
    suspicion.barrier(60_000 + HOLD_MS)
    assert not suspicion.is_suspect


def test_a_device_that_declines_barriers_is_waited_for() -> None:
    suspicion = Suspicion(BARRIERS)
    suspicion.owes(BARRIERS[1].head, 10_000)
    suspicion.declined = MOST_DECLINED
    assert suspicion.barrier(10_100) is None
    assert suspicion.barrier(10_000 + HOLD_MS) is None
    assert not suspicion.is_suspect


def test_the_load_is_that_of_the_last_seconds() -> None:
    load = Load(0)
    assert load.utilisation(0) == 0
    for second in range(1, 21):
        load.add(500, second * 1_000)
    assert abs(load.utilisation(20_000) - 0.5) < 0.1
    assert load.busy_ms == 10_000
    for second in range(21, 21 + int(3 * WINDOW_MS / 1_000)):
        load.add(0, second * 1_000)
    assert load.utilisation(36_000) < 0.05
