"""Reads of parts: what the device allows, as long as it is worth it."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st

from drivers.modbus.ladder import Ladder, Level
from drivers.modbus.polling import Polling, polling_of
from drivers.modbus.reads import Read, plan_reads, wanted_of
from drivers.modbus.timeline import gaps_ms, play
from gateway.config import Profile, Quantity, RtuBus, Site, TcpBus
from gateway.core.ids import BusId, DeviceId, OutletId
from gateway.guard.limits import Limits
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

LINE = RtuBus(id=BusId("line"), port="/dev/none", baud=9_600, poll_ms=50)
SLOW: dict[str, dict[str, object]] = {
    name: REF10["values"][name] | {"poll": "slow"}
    for name in ("energy_wh", "voltage_v", "temperature_c")
}
MODULE = profile(REF10, values=REF10["values"] | SLOW)
BY_CURRENT = Limits(overpower=None)


def ladder_of(kind: Profile, bus: RtuBus | TcpBus = LINE, outlets: int = 10) -> Ladder:
    return polling_of(bus, quiet(module_site(bus, 1, kind=kind, outlets=outlets))).ladders[
        DeviceId("m1")
    ]


def quiet(of: Site) -> Site:
    """Let nobody be cut off by power, which would have to lead then."""
    outlets = tuple(
        outlet(
            each.id,
            (each.relay.device, each.relay.channel),
            None if each.meter is None else (each.meter.device, each.meter.channel),
            BY_CURRENT,
        )
        for each in of.outlets
    )
    return site(of.buses, of.devices, outlets)


def spans(reads: tuple[Read, ...]) -> list[tuple[int, int]]:
    return [(read.address, read.count) for read in reads]


def used(*channels: int) -> frozenset[OutletId]:
    return frozenset(OutletId(f"m1-{channel}") for channel in channels)


def test_of_the_reference_module_the_currents_in_use_lead() -> None:
    ladder = ladder_of(MODULE)
    assert spans(ladder.whole) == [(0, 44)]
    assert spans(ladder.fast) == [(0, 24)]
    assert spans(ladder.lead(used(3))) == [(6, 1)]
    assert spans(ladder.lead(used(3, 8))) == [(6, 6)]
    assert ladder.lead(used()) == ()
    assert 0 < ladder.lead_ms(used(3)) < ladder.fast_ms < ladder.whole_ms


def test_what_lies_between_comes_with_it() -> None:
    [read] = ladder_of(MODULE).lead(used(3, 5))
    assert {item.outlet for item in read.wanted} == used(3, 4, 5)
    [read] = ladder_of(MODULE).fast
    assert Quantity.VOLTAGE_V in {item.quantity for item in read.wanted}


def test_two_short_reads_where_they_take_less_time_than_a_long_one() -> None:
    values = {"current_a": {"space": "input", "address": 0, "stride": 1, "scale": 0.01}}
    ladder = ladder_of(profile(REF10, channels=60, max_read_registers=60, values=values), LINE, 60)
    assert spans(ladder.lead(used(1, 10))) == [(0, 10)]
    assert spans(ladder.lead(used(1, 2, 60))) == [(0, 2), (59, 1)]


def test_where_a_shorter_read_gains_nothing_it_is_the_whole_one() -> None:
    ladder = ladder_of(MODULE, TcpBus(id=BusId("net"), host="127.0.0.1", poll_ms=1_000))
    assert ladder.lead(used(3)) is ladder.whole
    assert ladder.fast is ladder.whole


def test_a_device_of_whole_reads_is_asked_for_nothing_less() -> None:
    ladder = ladder_of(profile(MODULE.model_dump(), whole_reads=True), outlets=2)
    assert spans(ladder.whole) == [(0, 44)]
    assert ladder.fast == ladder.lead(used(2)) == ladder.whole
    assert ladder.lead(frozenset()) == ()


def test_a_meter_without_current_leads_with_power() -> None:
    values = {name: METER["values"][name] for name in ("voltage_v", "power_w")}
    ladder = ladder_of(profile(METER, REF10, channels=1, values=values), outlets=1)
    assert spans(ladder.lead(used(1))) == [(3, 2)]


def test_power_leads_too_where_the_promise_needs_it() -> None:
    modules = module_site(LINE, *range(1, 17), kind=MODULE)
    assert modules.promise_cut_off_ms == 2_500
    assert polling_of(LINE, modules).leads(OutletId("m1-1"), Quantity.POWER_W)
    assert not polling_of(LINE, quiet(modules)).leads(OutletId("m1-1"), Quantity.POWER_W)


def test_a_bus_with_time_for_everything_is_read_whole() -> None:
    bus = RtuBus(id=BusId("line"), port="/dev/none", baud=9_600, poll_ms=1_000)
    assert polling_of(bus, module_site(bus, 1, 2, kind=MODULE)).pace is None
    assert polling_of(bus, module_site(bus, *range(1, 17), kind=MODULE)).pace is not None


# ------------------------------------------------------------------ properties


def mixed(kinds: list[str]) -> Polling:
    """Plan a line of modules, and of meters each with a relay of a board."""
    devices, outlets = [], []
    boards = 0
    for number, kind in enumerate(kinds):
        name = f"d{number}"
        unit = 2 * number + 1
        if kind == "module":
            devices.append(device(name, "line", unit, MODULE))
            outlets += [outlet(f"{name}-{at}", (name, at), None, BY_CURRENT) for at in (1, 4, 9)]
            continue
        if boards % 8 == 0:
            devices.append(device(f"b{boards // 8}", "line", unit + 1, profile(BOARD)))
        devices.append(device(name, "line", unit, profile(METER)))
        relay = (f"b{boards // 8}", boards % 8 + 1)
        outlets.append(outlet(name, relay, (name, 1), BY_CURRENT))
        boards += 1
    return polling_of(LINE, site((LINE,), tuple(devices), tuple(outlets)))


@settings(max_examples=60, deadline=None)
@given(
    st.lists(st.sampled_from(["module", "meter"]), min_size=2, max_size=30),
    st.data(),
)
def test_any_mix_of_devices_is_read_in_time(kinds: list[str], data: st.DataObject) -> None:
    polling = mixed(kinds)
    if polling.pace is None:
        return
    in_use = frozenset(data.draw(st.lists(st.sampled_from(sorted(polling.outlets)))))
    menus = polling.menus(in_use)
    answers = play(menus, polling.pace, 4 * polling.pace.slow_ms)
    fast_ms, slow_ms = polling.oldest_ms()
    for key, menu in menus.items():
        assert max(gaps_ms(answers[key], Level.FAST)) <= fast_ms
        assert max(gaps_ms(answers[key], Level.WHOLE)) <= slow_ms
        if menu.lead_ms:
            assert max(gaps_ms(answers[key], Level.LEAD)) <= polling.longest_gap_ms() + 0.001


@settings(max_examples=100, deadline=None)
@given(
    st.integers(1, 60),
    st.integers(0, 20),
    st.lists(st.integers(1, 10), unique=True, max_size=10),
)
def test_parts_are_within_what_the_device_accepts(
    longest: int, across: int, channels: list[int]
) -> None:
    kind = profile(MODULE.model_dump(), max_read_registers=max(longest, 2), read_across=across)
    module = module_site(LINE, 1, kind=kind)
    ladder = ladder_of(kind)
    whole = plan_reads(kind, wanted_of(module, module.devices[0]))
    for read in (*ladder.fast, *ladder.lead(used(*channels))):
        inside = [
            around
            for around in whole
            if around.space is read.space
            and around.address <= read.address
            and read.address + read.count <= around.address + around.count
        ]
        assert len(inside) == 1, "nothing is touched that the plan does not touch"
        assert read.count <= kind.max_read_registers
        ends = {item.start for item in inside[0].wanted}, {item.end for item in inside[0].wanted}
        assert read.address in ends[0]
        assert read.address + read.count in ends[1]
    led = {
        (item.outlet, item.quantity)
        for read in ladder.lead(used(*channels))
        for item in read.wanted
    }
    assert {(name, Quantity.CURRENT_A) for name in used(*channels)} <= led


def test_values_are_read_well_before_silence() -> None:
    modules = quiet(module_site(LINE, *range(1, 6), kind=MODULE))
    silence_ms = modules.outlets[0].limits.silence.delay_s * 1_000
    polling = polling_of(LINE, modules)
    assert polling.pace is not None
    assert polling.pace.fast_ms * 3 <= silence_ms
    assert polling.oldest_ms()[0] < 0.85 * silence_ms
