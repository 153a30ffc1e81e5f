"""Each family's plug says and does what its documentation says, at times handed in."""

from __future__ import annotations

from typing import Any

import pytest

from simulators.mqtt.families import PLUGS, make_nodes
from simulators.mqtt.message import Message
from simulators.mqtt.places import PlugName
from tests.support.sim_plugs import PlugBench, document_on, texts

RPC = {"id": 7, "src": "guard"}


def status8(bench: PlugBench, now_s: float) -> Any:
    said = bench.tell("cmnd/p1/STATUS", "8", now_s)
    return document_on(said, "stat/p1/STATUS8")["StatusSNS"]["ENERGY"]


def rpc(bench: PlugBench, now_s: float, method: str, **params: Any) -> Any:
    said = bench.tell("p1/rpc", {**RPC, "method": method, "params": params}, now_s)
    return document_on(said, "guard/rpc")


# Native


def test_native_switches_acknowledges_and_goes_off_by_its_own_timer() -> None:
    bench = PlugBench("native", channels=2)
    bench.load(230, 0.0, outlet=2)
    bench.connect()
    command = {"id": "a1", "channel": 2, "relay_on": True, "for_s": 3}
    said = bench.tell("pilegate/p1/command", command, 1.0)

    assert document_on(said, "pilegate/p1/ack") == {"id": "a1", "result": "done", "detail": ""}
    assert [o["channel"] for o in document_on(said, "pilegate/p1/state")["outlets"]] == [2]
    outlet = document_on(bench.tell("pilegate/p1/ask", {}, 2.0), "pilegate/p1/telemetry")
    assert outlet["outlets"][1] == {
        "channel": 2,
        "voltage_v": 230.0,
        "current_a": 1.0,
        "power_w": 230.0,
        "energy_wh": pytest.approx(0.06, abs=0.01),
        "relay_on": True,
        "temperature_c": 25.0,
    }
    told = [m for _, m in bench.run(3.9, 4.2) if m.topic.endswith("/state")]
    assert document_on(told, "pilegate/p1/state")["outlets"][0]["relay_on"] is False
    assert bench.relays() == [("o2", True, "frame"), ("o2", False, "module")]


def test_native_renews_a_timer_and_never_switches_on_by_that() -> None:
    bench = PlugBench("native")
    bench.tell("pilegate/p1/command", {"id": "1", "channel": 1, "for_s": 9}, 0.0)
    assert bench.relays() == []
    bench.tell("pilegate/p1/command", {"id": "2", "channel": 1, "relay_on": True, "for_s": 2}, 1.0)
    bench.tell("pilegate/p1/command", {"id": "3", "channel": 1, "for_s": 5}, 2.0)
    bench.run(2.1, 6.9)
    assert bench.relays() == [("o1", True, "frame")]
    bench.run(7.0, 7.2)
    assert bench.relays()[1:] == [("o1", False, "module")]


def test_native_carries_an_on_out_once_and_an_off_always() -> None:
    bench = PlugBench("native")
    on = {"id": "x", "channel": 1, "relay_on": True}
    off = {"id": "y", "channel": 1, "relay_on": False}
    for now_s, command in enumerate([on, off, on, off]):
        said = bench.tell("pilegate/p1/command", command, float(now_s))
        assert document_on(said, "pilegate/p1/ack")["result"] == "done"
    assert [on for _, on, _ in bench.relays()] == [True, False, False]


@pytest.mark.parametrize(
    ("command", "detail"),
    [
        ({"channel": 9, "relay_on": True}, "there is no channel 9"),
        ({"channel": True, "relay_on": True}, "channel is missing"),
        ({"channel": 1, "relay_on": 1}, "relay_on is missing"),
        ({"channel": 1, "relay_on": True, "for_s": -1}, "for_s is above 0 and at most 86400"),
        ({"channel": 1, "for_s": 5}, "the relay is off"),
    ],
)
def test_native_refuses_with_the_reason(command: dict[str, Any], detail: str) -> None:
    bench = PlugBench("native")
    said = bench.tell("pilegate/p1/command", {"id": "n", **command}, 0.0)
    ack = document_on(said, "pilegate/p1/ack")
    assert (ack["result"], ack["detail"]) == ("refused", detail)
    assert bench.relays() == []


def test_native_takes_no_retained_command() -> None:
    bench = PlugBench("native")
    old = Message("pilegate/p1/command", b'{"id":"o","channel":1,"relay_on":true}', retain=True)
    assert bench.node.receive(old, 0.0, 1) == []
    assert bench.relays() == []


# Tasmota


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


# Shelly, first generation


def test_shelly_gen1_reports_every_thirty_seconds_and_on_change() -> None:
    bench = PlugBench("shelly-gen1")
    said = bench.connect(0.0)
    assert said[0] == Message("shellies/p1/online", b"true", retain=True)
    assert not any(message.retain for message in said[1:])
    bench.tell("shellies/p1/relay/0/command", "on", 1.0)
    bench.load(460, 5.0)
    told = [(at, m) for at, m in bench.run(2.0, 31.0) if m.topic.endswith("/power")]
    assert [m.payload for _, m in told][:1] == [b"460.00"]
    assert told[0][0] < 7.0
    assert any(29.9 <= at <= 30.3 for at, _ in told)


def test_shelly_gen1_counts_watt_minutes_and_forgets_them_without_supply() -> None:
    bench = PlugBench("shelly-gen1")
    bench.load(600, 0.0)
    bench.tell("shellies/p1/relay/0/command", "on", 0.0)
    energy = dict(texts(bench.tell("shellies/p1/command", "update", 60.0)))
    assert float(energy["shellies/p1/relay/0/energy"]) == pytest.approx(600, abs=15)
    heal = bench.suffer("power_loss")
    bench.tick(61.0)
    heal()
    bench.tick(62.0)
    again = dict(texts(bench.tell("shellies/p1/command", "update", 70.0)))
    assert again["shellies/p1/relay/0/energy"] == "0"
    assert again["shellies/p1/relay/0"] == "off"


def test_shelly_gen1_says_overpower_after_its_own_cut_until_it_is_commanded() -> None:
    bench = PlugBench("shelly-gen1", overpower_w=1_000)
    bench.load(2_000, 0.0)
    bench.tell("shellies/p1/relay/0/command", "on", 0.0)
    said = texts([m for _, m in bench.run(0.1, 3.0)])
    assert ("shellies/p1/relay/0", "overpower") in said
    assert bench.relays()[-1] == ("o1", False, "module")
    assert dict(texts(bench.tell("shellies/command", "update", 4.0)))["shellies/p1/relay/0"] == (
        "overpower"
    )
    assert texts(bench.tell("shellies/p1/relay/0/command", "off", 5.0))[0][1] == "off"


# Shelly, second generation


def test_shelly_gen2_answers_requests_where_they_ask_for_it() -> None:
    bench = PlugBench("shelly-gen2")
    bench.load(230, 0.0)
    answer = rpc(bench, 1.0, "Switch.Set", id=0, on=True)
    assert answer == {"id": 7, "src": "p1", "dst": "guard", "result": {"was_on": False}}
    status = rpc(bench, 3.0, "Switch.GetStatus", id=0)["result"]
    assert (status["output"], status["apower"], status["current"]) == (True, 230.0, 1.0)
    assert status["temperature"] == {"tC": 25.0, "tF": 77.0}
    assert rpc(bench, 4.0, "Shelly.GetStatus")["result"]["switch:0"]["voltage"] == 230.0


@pytest.mark.parametrize(
    ("method", "params", "code"),
    [
        ("Switch.Set", {"id": 5, "on": True}, -105),
        ("Switch.Set", {"id": 0}, -103),
        ("Switch.Set", {"id": 0, "on": True, "toggle_after": "x"}, -103),
        ("Bulb.Set", {"id": 0}, 404),
    ],
)
def test_shelly_gen2_says_what_is_wrong(method: str, params: dict[str, Any], code: int) -> None:
    bench = PlugBench("shelly-gen2")
    assert rpc(bench, 0.0, method, **params)["error"]["code"] == code
    assert bench.relays() == []


def test_shelly_gen2_notifies_only_what_changed() -> None:
    bench = PlugBench("shelly-gen2")
    bench.connect(0.0)
    bench.tell("p1/rpc", {**RPC, "method": "Switch.Set", "params": {"id": 0, "on": True}}, 1.0)
    bench.load(460, 2.0)
    told = [m for _, m in bench.run(2.0, 5.0)]
    switch = document_on(told, "p1/events/rpc")["params"]["switch:0"]
    assert switch["apower"] == 460.0
    assert "output" not in switch
    assert "aenergy" not in switch
    minute = [m for _, m in bench.run(5.1, 60.2)]
    energy = document_on(minute, "p1/events/rpc")["params"]["switch:0"]
    assert set(energy) == {"id", "aenergy"}


def test_shelly_gen2_publishes_whole_states_only_if_told_to() -> None:
    quiet, chatty = PlugBench("shelly-gen2"), PlugBench("shelly-gen2", status_topic=True)
    topic = "p1/status/switch:0"
    assert topic not in dict(texts(quiet.connect()))
    assert document_on(chatty.connect(), topic)["output"] is False


def test_shelly_gen2_toggles_back_after_toggle_after() -> None:
    bench = PlugBench("shelly-gen2")
    rpc(bench, 0.0, "Switch.Set", id=0, on=True, toggle_after=3)
    assert rpc(bench, 1.0, "Switch.GetStatus", id=0)["result"]["timer_duration"] == 3.0
    rpc(bench, 2.0, "Switch.Set", id=0, on=True, toggle_after=5)
    bench.run(2.1, 6.8)
    assert bench.plug.is_on(0)
    told = [m for _, m in bench.run(6.9, 7.3)]
    assert document_on(told, "p1/events/rpc")["params"]["switch:0"]["source"] == "timer"
    assert bench.relays()[-1] == ("o1", False, "module")


def test_shelly_gen2_goes_on_by_itself_when_an_off_has_a_timer() -> None:
    bench = PlugBench("shelly-gen2")
    rpc(bench, 0.0, "Switch.Set", id=0, on=False, toggle_after=2)
    bench.run(0.1, 2.2)
    assert bench.plug.is_on(0)


def test_shelly_gen2_obeys_its_initial_state_and_its_own_limit() -> None:
    bench = PlugBench("shelly-gen2")
    rpc(bench, 0.0, "Switch.SetConfig", id=0, config={"initial_state": "off", "power_limit": 900})
    config = rpc(bench, 0.0, "Switch.GetConfig", id=0)["result"]
    assert (config["initial_state"], config["power_limit"]) == ("off", 900)
    bench.load(1_500, 0.0)
    rpc(bench, 1.0, "Switch.Set", id=0, on=True)
    told = [m for _, m in bench.run(1.1, 4.0) if b"errors" in m.payload]
    assert document_on(told, "p1/events/rpc")["params"]["switch:0"]["errors"] == ["overpower"]
    rpc(bench, 5.0, "Switch.Set", id=0, on=True)
    heal = bench.suffer("power_loss")
    bench.tick(5.1)
    heal()
    bench.tick(6.0)
    assert not bench.plug.is_on(0)


def test_shelly_gen2_closes_again_by_itself_where_it_was_set_to() -> None:
    bench = PlugBench("shelly-gen2", auto_on_s=5.0)
    assert rpc(bench, 0.0, "Switch.GetConfig", id=0)["result"]["auto_on"] is True
    rpc(bench, 1.0, "Switch.Set", id=0, on=True)
    rpc(bench, 2.0, "Switch.Set", id=0, on=False)
    bench.run(2.1, 7.5)
    assert bench.plug.is_on(0)
    rpc(bench, 8.0, "Switch.Set", id=0, on=False)
    rpc(bench, 9.0, "Switch.SetConfig", id=0, config={"auto_on": False})
    bench.run(9.1, 30.0)
    assert not bench.plug.is_on(0)


# Zigbee2MQTT


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


# ESPHome


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


# All of them

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
