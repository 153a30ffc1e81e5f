from __future__ import annotations

import pytest

from drivers.modbus.plan import BusPlan, plan_bus
from gateway.config import RtuBus, TcpBus
from gateway.core.ids import BusId
from tests.support.modbus_site import (
    BOARD,
    METER,
    REF10,
    device,
    module_site,
    outlet,
    profile,
    site,
)


def line(baud: int = 9_600, poll_ms: int = 1_000) -> RtuBus:
    return RtuBus(id=BusId("line"), port="/dev/none", baud=baud, poll_ms=poll_ms)


def plan(bus: RtuBus, *units: int, multiple: bool = True) -> BusPlan:
    kind = profile(REF10, relay={"style": "coil", "address": 0, "multiple": multiple})
    return plan_bus(bus, module_site(bus, *units, kind=kind))


def test_a_round_is_listed_with_its_wire_times() -> None:
    found = plan(line(), 1, 2)
    assert [(request.device, request.what) for request in found.requests] == [
        ("m1", "read input 0-43"),
        ("m2", "read input 0-43"),
    ]
    # 8 + 93 characters of 10 bits and two gaps of 3.5 characters, at 9,600 baud
    assert found.requests[0].wire_time_ms == pytest.approx((8 + 93 + 7) * 10 / 9.6)
    assert found.cycle_ms == pytest.approx(2 * (112.5 + 5))
    assert found.utilisation == pytest.approx(0.235)


def test_the_worst_cut_off_is_a_period_a_command_a_sample_a_foreign_one_and_a_write() -> None:
    found = plan(line(), 1)
    command_ms = (11 + 8 + 7) * 10 / 9.6 + 5  # all its outlets off in one write
    transaction_ms = 112.5 + 5
    write_ms = (8 + 3.5) * 10 / 9.6
    assert found.worst_cut_ms == pytest.approx(1_000 + command_ms + 2 * transaction_ms + write_ms)
    assert found.worst_cut_silent_ms > found.worst_cut_ms


def test_all_outlets_of_a_module_take_one_write_or_one_after_the_other() -> None:
    joined, single = plan(line(), 1), plan(line(), 1, multiple=False)
    assert joined.worst_cut_all_ms - joined.worst_cut_ms < 5
    # nine more writes with their answers: 24 ms on the wire and 5 ms turn-around each
    extra_ms = single.worst_cut_all_ms - single.worst_cut_ms
    assert extra_ms == pytest.approx(9 * (23.96 + 5), abs=0.1)


def test_a_round_longer_than_its_period_counts_in_full() -> None:
    slow = plan(line(poll_ms=100), *range(1, 11))
    assert slow.utilisation == 1.0
    assert slow.period_ms > slow.cycle_ms > 1_000
    assert plan(line(115_200), *range(1, 11)).cycle_ms < slow.cycle_ms / 4


def test_a_composed_outlet_waits_for_its_meters_bus() -> None:
    meters = line(poll_ms=3_000)
    relays = TcpBus(id=BusId("net"), host="127.0.0.1", poll_ms=500)
    composed = site(
        (meters, relays),
        (device("pz", "line", 1, profile(METER)), device("wr", "net", 1, profile(BOARD))),
        (outlet("x", ("wr", 1), ("pz", 1)),),
    )
    found = plan_bus(relays, composed)
    assert found.worst_cut_ms > 3_000
    assert [plan.outlet for plan in found.outlets] == ["x"]
    assert plan_bus(meters, composed).outlets == ()
    assert plan_bus(meters, composed).worst_cut_ms == 0


def test_a_given_time_out_is_the_one_planned_with() -> None:
    bus = RtuBus(id=BusId("line"), port="/dev/none", timeout_ms=900)
    found = plan(bus, 1)
    assert found.requests[0].timeout_ms == 900
    assert found.worst_cut_silent_ms > 1_900
