"""The simulated ESPHome plug."""

from __future__ import annotations

import pytest

from simulators.mqtt.message import Message
from simulators.mqtt.places import PlugName
from tests.support.sim_plugs import PlugBench, texts

ON = {
    "native": ("pilegate/p1/command", {"id": "1", "channel": 1, "relay_on": True}),
    "tasmota": ("cmnd/p1/POWER", "ON"),
    "shelly-gen1": ("shellies/p1/relay/0/command", "on"),
    "shelly-gen2": ("p1/command/switch:0", "on"),
    "zigbee2mqtt": ("zigbee2mqtt/p1/set", {"state": "ON"}),
    "esphome": ("p1/switch/relay/command", "ON"),
}


def test_esphome_has_a_topic_for_each_value_and_retains_all() -> None:
    names = {
        "relay_on": PlugName("switch/relay/state"),
        "power_w": PlugName("sensor/plug_power/state", 1_000.0),
    }
    bench = PlugBench("esphome", names=names, report_s=2)
    said = bench.connect(0.0)
    assert said[0] == Message("p1/status", b"online", retain=True)
    assert all(m.retain for m in said if m.topic != "p1/debug")
    bench.load(460, 0.5)
    assert texts(bench.tell("p1/switch/relay/command", "ON", 0.5)) == [
        ("p1/switch/relay/state", "ON")
    ]
    told = [(at, m) for at, m in bench.run(1.0, 6.0) if "plug_power" in m.topic]
    assert [m.payload for _, m in told][-1] == b"0.5", "in kilowatts, as its profile says"
    assert [at for at, _ in told][1:] == pytest.approx([2.0, 4.0, 6.0])


def test_esphome_comes_back_off() -> None:
    bench = PlugBench("esphome")
    bench.tell("p1/switch/relay/command", "ON", 0.0)
    heal = bench.suffer("power_loss")
    bench.tick(1.0)
    heal()
    bench.tick(2.0)
    assert not bench.plug.is_on(0)
