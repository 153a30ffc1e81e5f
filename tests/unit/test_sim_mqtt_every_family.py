"""What holds for the simulated plugs of every family."""

from __future__ import annotations

import pytest

from simulators.mqtt.families import PLUGS
from tests.support.sim_plugs import PlugBench

FAMILIES = sorted(PLUGS)
ON = {
    "native": ("pilegate/p1/command", {"id": "1", "channel": 1, "relay_on": True}),
    "tasmota": ("cmnd/p1/POWER", "ON"),
    "shelly-gen1": ("shellies/p1/relay/0/command", "on"),
    "shelly-gen2": ("p1/command/switch:0", "on"),
    "zigbee2mqtt": ("zigbee2mqtt/p1/set", {"state": "ON"}),
    "esphome": ("p1/switch/relay/command", "ON"),
}


@pytest.mark.parametrize("family", FAMILIES)
def test_a_stuck_relay_is_told_on_by_a_plug_that_has_no_feedback(family: str) -> None:
    bench = PlugBench(family, can_be_asked=True)
    bench.load(460, 0.0)
    bench.outlets[0].stick_open(True, 0.0)
    bench.tell(*ON[family], 1.0)
    assert bench.plug.is_on(0)
    assert bench.outlets[0].reading(3.0).power_w == 0


@pytest.mark.parametrize("family", FAMILIES)
def test_a_blackout_of_the_mains_takes_the_plug_with_it(family: str) -> None:
    bench = PlugBench(family, power_on="last")
    bench.tell(*ON[family], 0.0)
    bench.mains.set_voltage(0.0, 1.0)
    bench.tick(1.0)
    assert not bench.plug.is_powered
    assert not bench.plug.is_reachable(1.0)
    bench.mains.set_voltage(230.0, 2.0)
    bench.tick(2.0)
    assert bench.plug.is_on(0)


@pytest.mark.parametrize("family", FAMILIES)
def test_a_level_that_was_shown_is_named_once(family: str) -> None:
    bench = PlugBench(family, can_be_asked=True, overpower_w=0, report_s=2)
    bench.tick(0.0)
    bench.plug.report_over("o1", 8.0)
    bench.tell(*ON[family], 0.0)
    bench.load(2_300, 1.0)
    over = []
    for tenth in range(10, 200):
        bench.tick(tenth / 10)
        over += [name for out in bench.said for name in out.over]
    assert over == ["o1"]


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize(
    "payload", [b"", b"\xff\xfe", b"[" * 9_000, b"{}", b"null", b"NaN", b"[1]", b"9" * 5_000]
)
def test_no_command_breaks_a_plug(family: str, payload: bytes) -> None:
    bench = PlugBench(family)
    bench.connect()
    bench.tick(0.0)
    topic, _ = ON[family]
    for pattern, _ in [*bench.node.filters, (topic, 0), (f"{topic}/x/y", 0)]:
        named = pattern.replace("#", "POWER1").replace("+", "x")
        bench.tell(named, payload, 1.0)
    assert not bench.plug.is_on(0)


@pytest.mark.parametrize("family", FAMILIES)
def test_what_a_broker_keeps_from_last_year_says_on(family: str) -> None:
    bench = PlugBench(family, old_retained=True)
    old = bench.node.old_messages()
    assert old
    assert all(message.retain for message in old)
    assert bench.node.old_messages() == [], "once"
    assert not bench.plug.is_on(0)
