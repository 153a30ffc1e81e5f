"""How a charge ends without anything wrong: unplugged, full, by its time, by its energy."""

from __future__ import annotations

import pytest

from gateway.core.facts import FactKind
from gateway.guard.energy import add, start, total_mwh
from gateway.guard.events import (
    Renew,
)
from gateway.guard.limits import (
    Full,
    Limits,
    Silence,
)
from gateway.guard.model import Sample
from tests.support.machine import Machine, charging, refusal_codes


def register(rows: list[tuple[int, float, int]]) -> int:
    """Feed (ms, W, register in mWh) rows to a lease; give its energy in mWh."""
    counted = start(None)
    for at_ms, power_w, energy_mwh in rows:
        sample = Sample(at_ms=at_ms, utc_ms=0, power_w=power_w, energy_mwh=energy_mwh)
        counted = add(counted, sample, 10_000)
    return total_mwh(counted)


def test_unplugged_after_a_minute_at_zero() -> None:
    machine = charging(Machine())
    for _ in range(60):
        machine.sample(0)
    assert machine.ends() == []
    machine.sample(0)
    assert machine.ends() == ["unplugged"]
    assert machine.state.latch is None


@pytest.mark.parametrize("dip_w", [0.0, 40.0, 90.0])
def test_a_change_over_and_a_re_top_trip_nothing(dip_w: float) -> None:
    machine = charging(Machine(), power_w=170, seconds=900)
    for _ in range(20):
        machine.sample(dip_w)
    for _ in range(900):
        machine.sample(170)
    for _ in range(600):
        machine.sample(22)
    for _ in range(30):
        machine.sample(64)
    for _ in range(300):
        machine.sample(22)
    assert machine.ends() == []
    for _ in range(62):
        machine.sample(0)
    assert machine.ends() == ["full"]
    assert machine.cuts() == []


def test_floating_is_full_and_a_rise_starts_the_time_anew() -> None:
    limits = Limits(full=Full(delay_s=600))
    machine = charging(Machine(limits), power_w=170, seconds=900)
    for _ in range(590):
        machine.sample(2)
    machine.sample(9)
    for _ in range(595):
        machine.sample(2)
    assert machine.ends() == []
    for _ in range(10):
        machine.sample(2)
    assert machine.ends() == ["full"]


def test_a_last_stage_above_the_float_ends_after_its_own_time() -> None:
    limits = Limits(full=Full(taper_delay_s=7_200))
    machine = charging(Machine(limits), power_w=170, seconds=900)
    for _ in range(7_190):
        machine.sample(28)
    assert machine.ends() == []
    for _ in range(15):
        machine.sample(28)
    assert machine.ends() == ["full"]


def test_zero_on_the_plateau_of_the_second_pack_is_unplugged() -> None:
    machine = charging(Machine(), power_w=170, seconds=900)
    for _ in range(120):
        machine.sample(20)
    for _ in range(900):
        machine.sample(170)
    for _ in range(62):
        machine.sample(0)
    assert machine.ends() == ["unplugged"]


def test_no_load_after_the_start() -> None:
    machine = Machine()
    machine.switch_on()
    for _ in range(1795):
        machine.sample(2.0)
    assert machine.ends() == []
    for _ in range(10):
        machine.sample(2.0)
    assert machine.ends() == ["no_load"]


def test_the_lease_ends_in_time_with_samples_and_without() -> None:
    machine = Machine()
    machine.switch_on(machine.lease(for_s=10))
    for _ in range(10):
        machine.sample(150)
    assert machine.ends() == ["lease_over"]
    machine = Machine(Limits(silence=Silence(delay_s=100)))
    machine.switch_on(machine.lease(for_s=10))
    for _ in range(10):
        machine.tick()
    assert machine.ends() == ["lease_over"]


def test_renewing_moves_the_end_but_not_the_longest_time() -> None:
    limits = Limits(longest_time=Limits().longest_time.__class__(delay_s=30))
    machine = Machine(limits)
    machine.switch_on(machine.lease(for_s=10))
    machine.feed(Renew(lease_id="lease-1", until_ms=machine.now_ms + 600_000, actor="x"))
    for _ in range(25):
        machine.sample(150)
    assert machine.ends() == []
    for _ in range(10):
        machine.sample(150)
    assert machine.ends() == ["longest_time"]
    refused = machine.feed(Renew(lease_id="lease-1", until_ms=machine.now_ms + 1, actor="x"))
    assert refusal_codes(refused) == ["not_on"]


def test_the_energy_limit_is_kept_by_the_guard() -> None:
    machine = Machine()
    machine.switch_on(machine.lease(energy_mwh=1_000))
    for _ in range(100):
        machine.sample(360)
    assert machine.ends() == ["lease_energy"]
    note = machine.notes(FactKind.LEASE_ENDED)[0]
    assert 1_000 <= note.data["energy_mwh"] <= 1_100


def test_a_lease_that_is_over_is_not_renewed() -> None:
    machine = Machine()
    machine.switch_on(machine.lease(for_s=10))
    machine.now_ms += 20_000
    renew = Renew(lease_id="lease-1", until_ms=machine.now_ms + 60_000, actor="x")
    assert refusal_codes(machine.feed(renew)) == ["not_on"]


def test_a_register_that_was_misread_once_is_not_paid_for() -> None:
    rows = [(s * 1_000, 360.0, 1_234_000_000 + s // 10 * 1_000) for s in range(100)]
    rows[50] = (50_000, 360.0, 0)
    assert 9_000 <= register(rows) <= 11_000
    rows[50] = (50_000, 360.0, 4_000_000_000)
    assert 9_000 <= register(rows) <= 11_000
