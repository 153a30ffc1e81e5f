from __future__ import annotations

from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from drivers.modbus.reads import Read, Wanted, barrier_reads, every_value, plan_reads, wanted_of
from gateway.config import Profile, Quantity, RtuBus, Space, Value
from gateway.core.errors import CorrectInput
from gateway.core.ids import BusId, OutletId
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

LINE = RtuBus(id=BusId("line"), port="/dev/none")


def plan_module(kind: Profile, outlets: int) -> tuple[Read, ...]:
    module = module_site(LINE, 1, kind=kind, outlets=outlets)
    return plan_reads(kind, wanted_of(module, module.devices[0]))


def spans(reads: tuple[Read, ...]) -> list[tuple[str, int, int]]:
    return [(str(read.space), read.address, read.count) for read in reads]


def test_the_reference_module_is_one_read() -> None:
    assert spans(plan_module(profile(REF10), 10)) == [("input", 0, 44)]


def test_only_channels_in_use_are_read() -> None:
    kind = profile(REF10, read_across=0)
    # relays and alarms, voltage, temperature, current of 1; power of 1; energy of 1
    assert spans(plan_module(kind, 1)) == [("input", 0, 5), ("input", 14, 1), ("input", 24, 2)]


def test_a_read_is_never_longer_than_the_device_can() -> None:
    kind = profile(REF10, max_read_registers=20)
    assert spans(plan_module(kind, 10)) == [("input", 0, 20), ("input", 20, 20), ("input", 40, 4)]


def test_holes_are_crossed_as_far_as_the_profile_allows_and_never_into_forbidden_ranges() -> None:
    values = {
        "voltage_v": {"space": "holding", "address": 0},
        "current_a": {"space": "holding", "address": 4},
    }
    for across, never, expected in (
        (2, {}, 2),
        (3, {}, 1),
        (3, {"holding": [[2, 2]]}, 2),
        (3, {"input": [[2, 2]]}, 1),
    ):
        kind = profile(REF10, values=values, read_across=across, never_read=never)
        assert len(plan_module(kind, 1)) == expected


def test_a_value_that_must_not_be_read_is_an_error_that_names_it() -> None:
    kind = profile(REF10, never_read={"input": [[5, 5]]})
    with pytest.raises(CorrectInput, match=r"ref10: values.current_a: input 5 of channel 2"):
        plan_module(kind, 2)
    kind = profile(REF10, max_read_registers=1)
    with pytest.raises(CorrectInput, match=r"values.energy_wh.*longest read has 1"):
        plan_module(kind, 1)


def test_a_composed_outlet_reads_the_relay_where_it_is_switched() -> None:
    meter, board = profile(METER), profile(BOARD)
    composed = site(
        (LINE,),
        (device("pz", "line", 1, meter), device("wr", "line", 2, board)),
        (outlet("x", ("wr", 3), ("pz", 1)),),
    )
    assert spans(plan_reads(meter, wanted_of(composed, composed.devices[0]))) == [("input", 0, 5)]
    assert spans(plan_reads(board, wanted_of(composed, composed.devices[1]))) == [("coil", 2, 1)]


def test_what_the_meter_has_is_not_taken_from_the_relays_device() -> None:
    meter = profile(METER)
    board = profile(
        BOARD,
        values=BOARD["values"]
        | {
            "voltage_v": {"space": "input", "address": 0},
            "temperature_c": {"space": "input", "address": 1},
        },
    )
    composed = site(
        (LINE,),
        (device("pz", "line", 1, meter), device("wr", "line", 2, board)),
        (outlet("x", ("wr", 1), ("pz", 1)),),
    )
    found = {item.quantity for item in wanted_of(composed, composed.devices[1])}
    assert found == {Quantity.RELAY_ON, Quantity.TEMPERATURE_C}


def test_barriers_have_answers_of_different_shapes_and_end_where_values_end() -> None:
    reads = plan_module(profile(METER), 1)
    barriers = barrier_reads(reads, 1)
    assert [barrier.pdu.hex(" ") for barrier in barriers] == [
        "04 00 00 00 01",
        "04 00 00 00 03",
        "04 00 00 00 05",
    ]
    assert len({barrier.head for barrier in barriers}) == 3


# ------------------------------------------------------------------ properties

wanted_values = st.builds(
    lambda space, start, kind: Wanted(
        OutletId("x"),
        Quantity.POWER_W,
        Value.model_validate(
            {"space": space, "address": start} | ({"type": kind} if space[0] in "hi" else {}),
            strict=False,
        ),
        1,
    ),
    st.sampled_from(["holding", "input", "coil", "discrete"]),
    st.integers(0, 300),
    st.sampled_from(["u16", "u32"]),
)
profiles = st.builds(
    lambda longest, across, never: profile(
        REF10,
        max_read_registers=longest,
        max_read_bits=longest,
        read_across=across,
        never_read={"input": never, "coil": never},
    ),
    st.integers(2, 60),
    st.integers(0, 20),
    st.lists(
        st.tuples(st.integers(0, 300), st.integers(0, 5)).map(lambda t: [t[0], t[0] + t[1]]),
        max_size=4,
    ),
)


def forbidden(kind: Profile, space: Space) -> set[int]:
    return {
        address
        for first, last in kind.never_read.get(space, ())
        for address in range(first, last + 1)
    }


@given(st.lists(wanted_values, max_size=40), profiles)
def test_every_value_is_read_once_and_nothing_forbidden(
    wanted: list[Wanted], kind: Profile
) -> None:
    wanted = [
        item
        for item in wanted
        if not forbidden(kind, item.value.space) & set(range(item.start, item.end))
    ]
    reads = plan_reads(kind, wanted)
    found: list[Any] = []
    for read in reads:
        found.extend(read.wanted)
        covered = range(read.address, read.address + read.count)
        longest = kind.max_read_bits if read.space.is_bits else kind.max_read_registers
        assert 1 <= read.count <= longest
        assert not forbidden(kind, read.space) & set(covered)
        listed = set()
        for item in read.wanted:
            assert item.value.space is read.space
            assert item.start in covered
            assert item.end - 1 in covered
            listed |= set(range(item.start, item.end))
        for hole in _holes(covered, listed):
            assert hole <= kind.read_across
        read.request(1)
        for barrier in barrier_reads((read,), 1):
            address, count = barrier.pdu[1:3], barrier.pdu[3:5]
            assert int.from_bytes(address, "big") == read.address
            assert int.from_bytes(count, "big") <= read.count
    assert sorted(map(id, found)) == sorted(map(id, wanted))


def _holes(covered: range, listed: set[int]) -> list[int]:
    holes, width = [], 0
    for address in covered:
        width = 0 if address in listed else width + 1
        holes.append(width)
    return holes


@given(st.lists(wanted_values, min_size=1, max_size=40), profiles)
def test_neighbouring_reads_could_not_have_been_one(wanted: list[Wanted], kind: Profile) -> None:
    wanted = [
        item
        for item in wanted
        if not forbidden(kind, item.value.space) & set(range(item.start, item.end))
    ]
    reads = plan_reads(kind, wanted)
    for first, second in pairwise(reads):
        if first.space is not second.space:
            continue
        longest = kind.max_read_bits if first.space.is_bits else kind.max_read_registers
        hole = second.address - (first.address + first.count)
        between = set(range(first.address + first.count, second.address))
        next_end = min(second.wanted, key=lambda item: (item.start, item.end)).end
        assert (
            hole > kind.read_across
            or next_end - first.address > longest
            or between & forbidden(kind, first.space)
        )


def test_a_device_of_whole_reads_is_asked_for_nothing_less() -> None:
    kind = profile(REF10, whole_reads=True)
    module = module_site(LINE, 1, kind=kind, outlets=2)
    wanted = wanted_of(module, module.devices[0])
    reads = plan_reads(kind, wanted)
    everything = plan_reads(kind, every_value(kind))
    assert [(read.address, read.count) for read in reads] == [
        (read.address, read.count) for read in everything
    ]
    assert {item.outlet for read in reads for item in read.wanted} == {"m1-1", "m1-2"}
    barriers = barrier_reads(reads, 1, in_parts=False)
    assert [request.pdu for request in barriers] == [read.request(1).pdu for read in reads]
