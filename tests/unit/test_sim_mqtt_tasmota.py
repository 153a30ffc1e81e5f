"""The simulated Tasmota plug says and does what its documentation says."""

from __future__ import annotations

from typing import Any

import pytest

from simulators.mqtt.message import Message
from tests.support.sim_plugs import PlugBench, document_on, texts

ON = {
    "native": ("pilegate/p1/command", {"id": "1", "channel": 1, "relay_on": True}),
    "tasmota": ("cmnd/p1/POWER", "ON"),
    "shelly-gen1": ("shellies/p1/relay/0/command", "on"),
    "shelly-gen2": ("p1/command/switch:0", "on"),
    "zigbee2mqtt": ("zigbee2mqtt/p1/set", {"state": "ON"}),
    "esphome": ("p1/switch/relay/command", "ON"),
}


def status8(bench: PlugBench, now_s: float) -> Any:
    said = bench.tell("cmnd/p1/STATUS", "8", now_s)
    return document_on(said, "stat/p1/STATUS8")["StatusSNS"]["ENERGY"]


def test_tasmota_tells_its_state_on_a_connection_and_telemetry_five_seconds_later() -> None:
    bench = PlugBench("tasmota")
    said = bench.connect(0.0)
    assert (said[0].topic, said[0].payload, said[0].retain) == ("tele/p1/LWT", b"Online", True)
    assert texts(said)[-2:] == [("stat/p1/RESULT", '{"POWER":"OFF"}'), ("stat/p1/POWER", "OFF")]
    will = bench.node.login.will
    assert will == Message("tele/p1/LWT", b"Offline", retain=True, qos=1)
    times = [now_s for now_s, m in bench.run(0.0, 400.0) if m.topic == "tele/p1/SENSOR"]
    assert times == pytest.approx([5.0, 305.0], abs=0.2)


def test_tasmota_never_reports_faster_than_every_ten_seconds() -> None:
    bench = PlugBench("tasmota")
    bench.connect(0.0)
    said = bench.tell("cmnd/p1/TelePeriod", "2", 0.0)
    assert texts(said) == [("stat/p1/RESULT", '{"TelePeriod":10}')]
    times = [now_s for now_s, m in bench.run(0.0, 25.0) if m.topic == "tele/p1/STATE"]
    assert times == pytest.approx([10.0, 20.0], abs=0.3)


def test_tasmota_shows_nothing_while_it_is_off_unless_told_to() -> None:
    bench = PlugBench("tasmota")
    assert status8(bench, 1.0)["Voltage"] == 0
    bench.tell("cmnd/p1/SetOption21", "1", 1.0)
    assert status8(bench, 2.0)["Voltage"] == 230


def test_tasmota_hides_a_welded_contact_unless_told_to_measure_while_off() -> None:
    bench = PlugBench("tasmota")
    bench.load(460, 0.0)
    bench.tell("cmnd/p1/POWER", "ON", 0.0)
    bench.outlets[0].weld(True, 1.0)
    bench.tell("cmnd/p1/POWER", "OFF", 1.0)
    assert status8(bench, 3.0)["Power"] == 0
    bench.tell("cmnd/p1/SetOption21", "1", 3.0)
    assert status8(bench, 4.0)["Power"] == 460


@pytest.mark.parametrize(("value", "lasts_s"), [(20, 2.0), (111, 11.1), (112, 12.0), (130, 30.0)])
def test_tasmota_pulse_time_counts_tenths_and_then_seconds(value: int, lasts_s: float) -> None:
    bench = PlugBench("tasmota")
    said = bench.tell("cmnd/p1/Backlog0", f"PulseTime1 {value}; Power1 ON", 0.0)
    assert texts(said) == [
        ("stat/p1/RESULT", f'{{"PulseTime1":{{"Set":{value},"Remaining":{value}}}}}'),
        ("stat/p1/RESULT", '{"POWER":"ON"}'),
        ("stat/p1/POWER", "ON"),
    ]
    bench.run(0.1, lasts_s - 0.2)
    assert bench.relays() == [("o1", True, "frame")]
    bench.run(lasts_s - 0.1, lasts_s + 0.2)
    assert bench.relays() == [("o1", True, "frame"), ("o1", False, "module")]


def test_tasmota_sets_a_running_pulse_anew_without_switching() -> None:
    bench = PlugBench("tasmota")
    bench.tell("cmnd/p1/Backlog0", "PulseTime1 30; Power1 ON", 0.0)
    bench.tell("cmnd/p1/PulseTime1", "105", 2.0)
    bench.run(2.1, 12.0)
    assert bench.relays() == [("o1", True, "frame")]
    bench.run(12.1, 13.0)
    assert bench.relays()[1:] == [("o1", False, "module")]


def test_tasmota_with_several_channels_mixes_lists_and_scalars() -> None:
    bench = PlugBench("tasmota", channels=3)
    bench.load(690, 0.0, outlet=2)
    assert texts(bench.tell("cmnd/p1/POWER2", "ON", 0.0))[1] == ("stat/p1/POWER2", "ON")
    energy = status8(bench, 2.0)
    assert energy["Power"] == [0, 690, 0]
    assert energy["Current"] == [0.0, 3.0, 0.0]
    assert energy["Voltage"] == 230
    lists = PlugBench("tasmota", channels=3, lists=True, shows_power_off=True)
    assert status8(lists, 1.0)["Voltage"] == [230, 230, 230]


@pytest.mark.parametrize(
    ("topic", "place"),
    [
        ("shed/%prefix%/p1", "shed/{}/p1"),
        ("p1/%prefix%", "p1/{}"),
        ("p1", "{}/p1"),
    ],
)
def test_tasmota_stands_where_its_full_topic_says(topic: str, place: str) -> None:
    bench = PlugBench("tasmota", topic=topic)
    cmnd, stat, tele = (place.format(prefix) for prefix in ("cmnd", "stat", "tele"))
    assert (f"{tele}/LWT", "Online") in texts(bench.connect(0.0))
    assert bench.plug.will is not None
    assert bench.plug.will.topic == f"{tele}/LWT"
    assert (f"{stat}/POWER", "ON") in texts(bench.tell(f"{cmnd}/POWER", "ON", 1.0))
    assert [m.topic for m in bench.tell(f"{cmnd}/STATUS", "10", 2.0)] == [f"{stat}/STATUS10"]


def test_tasmota_answers_on_the_command_s_topic_with_setoption4() -> None:
    bench = PlugBench("tasmota", answers_by_command=True)
    assert texts(bench.tell("cmnd/p1/POWER1", "ON", 1.0)) == [
        ("stat/p1/POWER", '{"POWER":"ON"}'),
        ("stat/p1/POWER", "ON"),
    ]
    said = texts(bench.tell("cmnd/p1/PowerOnState", "", 1.0))
    assert said == [("stat/p1/POWERONSTATE", '{"PowerOnState":3}')]
    assert [m.topic for m in bench.tell("cmnd/p1/SetOption21", "", 1.0)] == ["stat/p1/SETOPTION"]


@pytest.mark.parametrize(
    ("state", "comes_back_on"), [("0", False), ("1", True), ("3", True), (None, True)]
)
def test_tasmota_does_after_a_blackout_what_power_on_state_says(
    state: str | None, comes_back_on: bool
) -> None:
    bench = PlugBench("tasmota")
    if state is not None:
        bench.tell("cmnd/p1/PowerOnState", state, 0.0)
    bench.tell("cmnd/p1/POWER", "ON", 0.0)
    heal = bench.suffer("power_loss")
    bench.tick(1.0)
    assert bench.relays()[-1] == ("o1", False, "supply")
    assert not bench.node.is_reachable(1.0)
    heal()
    bench.tick(2.0)
    assert bench.plug.is_on(0) is comes_back_on
    assert not bench.node.is_reachable(2.1), "it boots first"
    assert bench.node.is_reachable(6.0)


def test_tasmota_keeps_its_power_topic_only_if_told_to() -> None:
    bench = PlugBench("tasmota")
    assert not bench.tell("cmnd/p1/POWER", "ON", 0.0)[1].retain
    bench.tell("cmnd/p1/PowerRetain", "ON", 1.0)
    assert bench.tell("cmnd/p1/POWER", "OFF", 1.0)[1].retain


def test_tasmota_cuts_above_max_power_after_ten_seconds() -> None:
    bench = PlugBench("tasmota")
    bench.load(2_000, 0.0)
    bench.tell("cmnd/p1/MaxPower", "1000", 0.0)
    bench.tell("cmnd/p1/POWER", "ON", 0.0)
    said = bench.run(0.1, 12.0)
    assert ("stat/p1/WARNING", '{"MaxPowerReached":"1000W"}') in texts([m for _, m in said])
    assert bench.relays()[-1] == ("o1", False, "module")
