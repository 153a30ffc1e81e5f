from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from drivers.modbus.lanes import Lanes, Off, Relay
from gateway.core.ids import DeviceId, OutletId

M1, M2 = DeviceId("m1"), DeviceId("m2")


def module(
    device: DeviceId = M1, count: int = 8, *, joinable: bool = True
) -> dict[OutletId, Relay]:
    return {name(device, at): Relay(device, at, joinable) for at in range(count)}


def name(device: DeviceId, address: int) -> OutletId:
    return OutletId(f"{device}-{address}")


def drain(lanes: Lanes) -> list[Off]:
    found = []
    while (off := lanes.take_cut(lambda _: 0)) or (off := lanes.take_off(lambda _: 0)):
        found.append(off)
    return found


def test_a_span_goes_over_free_outlets_and_ends_at_waiting_ones() -> None:
    lanes = Lanes(module())
    lanes.put_off(name(M1, 2), urgent=True)
    lanes.put_off(name(M1, 5), urgent=False)
    [off] = drain(lanes)
    assert (off.first, off.last) == (2, 5)
    assert off.outlets == (name(M1, 2), name(M1, 5))


def test_an_outlet_that_is_on_splits_the_span() -> None:
    lanes = Lanes(module())
    lanes.put_on(name(M1, 3))
    for at in (1, 2, 4, 5):
        lanes.put_off(name(M1, at), urgent=True)
    assert [(off.first, off.last) for off in drain(lanes)] == [(1, 2), (4, 5)]


def test_devices_in_better_health_go_first() -> None:
    lanes = Lanes(module(M1) | module(M2))
    lanes.put_off(name(M1, 0), urgent=True)
    lanes.put_off(name(M2, 0), urgent=True)
    off = lanes.take_cut(lambda device: 1 if device == M1 else 0)
    assert off is not None
    assert off.device == M2
    assert lanes.take_cut(lambda _: None) is None
    assert lanes.has_cuts


@given(
    st.lists(
        st.tuples(
            st.sampled_from(["on", "off", "cut", "send"]),
            st.sampled_from([M1, M2]),
            st.integers(0, 11),
        ),
        max_size=60,
    )
)
def test_no_write_covers_an_outlet_that_is_to_be_on(
    calls: list[tuple[str, DeviceId, int]],
) -> None:
    # of m1 every third coil is no outlet; m2 can't join
    relays = {
        outlet: relay for outlet, relay in module(M1, 12).items() if relay.address % 3 != 2
    } | module(M2, 12, joinable=False)
    lanes = Lanes(relays)
    wanted: dict[OutletId, bool] = {}
    sent: list[OutletId] = []
    asked: list[OutletId] = []

    def check(off: Off) -> None:
        by_address = {r.address: o for o, r in relays.items() if r.device == off.device}
        for address in range(off.first, off.last + 1):
            assert address in by_address, "a coil that is no outlet"
            outlet = by_address[address]
            assert outlet in off.outlets or not wanted.get(outlet, False)
        assert off.device == M1 or off.count == 1
        assert relays[off.outlets[0]].address == off.first
        assert relays[off.outlets[-1]].address == off.last
        sent.extend(off.outlets)

    for verb, device, address in calls:
        outlet = name(device, address)
        if outlet not in relays:
            continue
        if verb == "on":
            lanes.put_on(outlet)
            wanted[outlet] = True
        elif verb == "send":
            if off := lanes.take_cut(lambda _: 0):
                check(off)
        else:
            lanes.put_off(outlet, urgent=verb == "cut")
            wanted[outlet] = False
            asked.append(outlet)
    for off in drain(lanes):
        check(off)
    assert set(sent) == set(asked)
    while (outlet_on := lanes.take_on(lambda _: True)) is not None:
        assert wanted[outlet_on]
    assert len(lanes) == 0
