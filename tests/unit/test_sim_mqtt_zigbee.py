"""The simulated Zigbee plugs behind a bridge."""

from __future__ import annotations

import pytest

from simulators.mqtt.families import make_nodes
from simulators.mqtt.message import Message
from simulators.mqtt.places import PlugName
from tests.support.sim_plugs import PlugBench, document_on

ON = {
    "native": ("pilegate/p1/command", {"id": "1", "channel": 1, "relay_on": True}),
    "tasmota": ("cmnd/p1/POWER", "ON"),
    "shelly-gen1": ("shellies/p1/relay/0/command", "on"),
    "shelly-gen2": ("p1/command/switch:0", "on"),
    "zigbee2mqtt": ("zigbee2mqtt/p1/set", {"state": "ON"}),
    "esphome": ("p1/switch/relay/command", "ON"),
}


def test_zigbee_answers_with_its_whole_cache_and_reports_on_change() -> None:
    bench = PlugBench("zigbee2mqtt", topic="shed/p1")
    said = bench.connect(0.0)
    assert document_on(said, "zigbee2mqtt/bridge/state") == {"state": "online"}
    assert document_on(said, "zigbee2mqtt/shed/p1/availability") == {"state": "online"}
    bench.run(0.0, 0.2)
    bench.load(460, 1.0)
    answer = document_on(
        bench.tell("zigbee2mqtt/shed/p1/set", {"state": "ON"}, 1.0), "zigbee2mqtt/shed/p1"
    )
    assert answer["state"] == "ON"
    assert answer["power"] == 0, "the power is as old as its last report"
    told = bench.run(1.1, 20.0)
    assert [m.topic for _, m in told] == ["zigbee2mqtt/shed/p1"]
    at_s, report = told[0]
    assert at_s == pytest.approx(10.0, abs=0.3), "reports are at least ten seconds apart"
    assert document_on([report], "zigbee2mqtt/shed/p1")["power"] == 460
    assert bench.run(20.1, 600.0) == [], "a flat load is told for an hour"


def test_zigbee_on_time_is_told_by_the_report_and_never_shortened() -> None:
    bench = PlugBench("zigbee2mqtt")
    bench.tick(0.0)
    assert bench.tell("zigbee2mqtt/p1/set", {"state": "ON", "on_time": 5}, 1.0) != []
    assert bench.tell("zigbee2mqtt/p1/set", {"state": "ON", "on_time": 2}, 2.0) == []
    bench.run(2.1, 5.8)
    assert bench.plug.is_on(0)
    told = [m for _, m in bench.run(5.9, 6.3)]
    assert document_on(told, "zigbee2mqtt/p1")["state"] == "OFF"


def test_zigbee_power_is_read_only_where_the_plug_lets_it() -> None:
    for can_be_asked in (False, True):
        bench = PlugBench("zigbee2mqtt", can_be_asked=can_be_asked)
        bench.tick(0.0)
        bench.load(460, 1.0)
        bench.tell("zigbee2mqtt/p1/set", "ON", 1.0)
        said = bench.tell("zigbee2mqtt/p1/get", {"state": "", "power": ""}, 4.0)
        assert [document_on([m], "zigbee2mqtt/p1")["power"] for m in said] == [460] * can_be_asked


def test_zigbee_a_report_does_not_overtake_an_answer_that_is_older() -> None:
    bench = PlugBench("zigbee2mqtt")
    bench.tick(0.0)
    bench.load(460, 1.0)
    bench.tell("zigbee2mqtt/p1/set", {"state": "ON"}, 1.0)
    bench.run(1.1, 20.0)
    [answer] = bench.tell("zigbee2mqtt/p1/set", {"state": "OFF"}, 30.0)
    assert document_on([answer], "zigbee2mqtt/p1")["power"] == 460
    [out] = bench.said
    assert bench.tick(31.0 - 0.5 * out.delay_s) != []  # long after it
    bench.load(460, 32.0)
    bench.tell("zigbee2mqtt/p1/set", {"state": "ON"}, 50.0)
    assert bench.tick(50.0 + 0.5 * out.delay_s) == []


def test_zigbee_two_endpoints_and_power_on_behaviour() -> None:
    names = {"relay_on": PlugName("state_l{channel}"), "power_w": PlugName("power_l{channel}")}
    bench = PlugBench("zigbee2mqtt", channels=2, names=names)
    bench.tick(0.0)
    bench.tell("zigbee2mqtt/p1/l2/set", {"state": "ON"}, 1.0)
    said = bench.tell("zigbee2mqtt/p1/set", {"power_on_behavior": "off"}, 2.0)
    state = document_on(said, "zigbee2mqtt/p1")
    assert (state["state_l1"], state["state_l2"]) == ("OFF", "ON")
    assert state["power_on_behavior"] == "off"
    assert bench.plug.power_on == "off"


def test_a_zigbee_plug_without_supply_costs_a_line_and_is_offline_ten_minutes_later() -> None:
    bench = PlugBench("zigbee2mqtt")
    bench.connect(0.0)
    bench.tick(0.0)
    bench.suffer("power_loss")
    bench.tick(1.0)
    said = bench.tell("zigbee2mqtt/p1/set", {"state": "ON"}, 2.0)
    assert [m.topic for m in said] == ["zigbee2mqtt/bridge/logging"]
    assert bench.relays() == []
    assert bench.node.is_reachable(2.0), "the bridge stays"
    assert bench.tick(590.0) == []
    offline = document_on(bench.tick(601.0), "zigbee2mqtt/p1/availability")
    assert offline == {"state": "offline"}


def test_zigbee_tuya_counts_down_and_knows_no_on_time() -> None:
    kind = {"timer_name": "countdown", "power_on_name": "power_outage_memory"}
    bench = PlugBench("zigbee2mqtt", profile=kind)
    bench.tick(0.0)
    bench.tell("zigbee2mqtt/p1/set", {"state": "ON", "on_time": 5}, 1.0)
    bench.run(1.1, 12.0)
    assert bench.plug.is_on(0), "it was switched on without a timer"
    said = bench.tell("zigbee2mqtt/p1/set", {"state": "ON", "countdown": 9}, 12.1)
    assert document_on(said, "zigbee2mqtt/p1")["state"] == "ON"
    bench.tell("zigbee2mqtt/p1/set", {"state": "ON", "countdown": 3}, 13.0)
    bench.run(13.1, 16.5)
    assert not bench.plug.is_on(0), "a shorter one takes the place of a longer one"
    said = bench.tell("zigbee2mqtt/p1/get", {"power_outage_memory": ""}, 17.0)
    assert document_on(said, "zigbee2mqtt/p1")["power_outage_memory"] == "restore"
    bench.tell("zigbee2mqtt/p1/set", {"power_outage_memory": "off"}, 18.0)
    assert bench.plug.power_on == "off"


def test_zigbee_a_timer_belongs_to_its_endpoint() -> None:
    names = {"relay_on": PlugName("state_l{channel}")}
    bench = PlugBench("zigbee2mqtt", channels=2, names=names)
    bench.tick(0.0)
    bench.tell("zigbee2mqtt/p1/set", {"state_l1": "ON"}, 1.0)
    bench.tell("zigbee2mqtt/p1/set", {"state_l2": "ON", "on_time_l2": 2}, 1.0)
    bench.run(1.1, 4.0)
    assert (bench.plug.is_on(0), bench.plug.is_on(1)) == (True, False)


def test_zigbee_a_name_that_begins_like_another_s_is_another_plug() -> None:
    near, far = PlugBench("zigbee2mqtt", topic="shed"), PlugBench("zigbee2mqtt", topic="shed/p1")
    [bridge] = make_nodes([near.plug, far.plug])
    bridge.connected(0.0)
    bridge.receive(Message("zigbee2mqtt/shed/p1/set", b'{"state": "ON"}'), 1.0, 7)
    assert (near.plug.is_on(0), far.plug.is_on(0)) == (False, True)
    bridge.receive(Message("zigbee2mqtt/shed/set", b'{"state": "ON"}'), 2.0, 7)
    assert near.plug.is_on(0)
