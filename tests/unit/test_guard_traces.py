"""The recorded loads through the pure machine, at full speed."""

from __future__ import annotations

from itertools import pairwise

import pytest

from gateway.guard.limits import AboveCurrent, AbovePower, Limits, Silence
from tests.support.machine import Machine, trace

# The recordings are sampled each 4 to 15 s, with holes; a poll is each second.
SPARSE = Silence(delay_s=300)


def per_second(rows: list[tuple[float, float]]) -> list[tuple[float, float]]:
    """Hold each row until the next, sampled each second, as a poll would see it."""
    out = []
    for (start_s, power_w), (end_s, _) in pairwise(rows):
        second = start_s
        while second < end_s:
            out.append((second, power_w))
            second += 1.0
    return out


@pytest.mark.parametrize("polled", [False, True], ids=["as recorded", "each second"])
@pytest.mark.parametrize(
    ("name", "reason"),
    [("ebike-dual-pack-full.csv", "full"), ("ebike-single-pack-90.csv", "unplugged")],
)
def test_charges_end_as_they_did(name: str, reason: str, polled: bool) -> None:
    machine = Machine(Limits(silence=SPARSE))
    machine.switch_on()
    rows = trace(name)
    machine.play(per_second(rows) if polled else rows)
    assert machine.ends() == [reason]
    assert machine.cuts() == []


def test_the_dual_pack_ends_when_it_floats_not_at_its_change_over() -> None:
    rows = per_second(trace("ebike-dual-pack-full.csv"))
    machine = Machine(Limits(silence=SPARSE))
    machine.switch_on()
    on_ms = machine.now_ms
    machine.play(rows)
    ended_ms = next(at for at, e in machine.effects if getattr(e, "reason", "") == "full")
    delivered_wh = sum(w for s, w in rows if s * 1000 < ended_ms - on_ms) / 3600
    all_wh = sum(w for _, w in rows) / 3600
    assert delivered_wh > 0.95 * all_wh


@pytest.mark.parametrize(
    ("name", "limits"),
    [
        ("appliance-kettle.csv", Limits(overpower=AbovePower(above_w=1000, delay_s=0))),
        ("appliance-kettle.csv", Limits(overcurrent_instant=AboveCurrent(above_a=5.0))),
        ("appliance-vacuum.csv", Limits(overpower=AbovePower(above_w=1000, delay_s=3))),
        ("appliance-vacuum.csv", Limits(overcurrent=AboveCurrent(above_a=4.5, delay_s=2))),
    ],
)
def test_appliances_are_cut_where_the_limit_is_below_them(name: str, limits: Limits) -> None:
    machine = Machine(limits)
    machine.switch_on()
    machine.play(per_second(trace(name)))
    assert len(machine.cuts()) == 1
    assert machine.state.latch is not None
    assert not machine.relay_on
