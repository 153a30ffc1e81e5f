"""The simulated Shelly plugs, first generation and later ones."""

from __future__ import annotations

from typing import Any

import pytest

from simulators.mqtt.message import Message
from tests.support.sim_plugs import PlugBench, document_on, texts

RPC = {"id": 7, "src": "guard"}


def rpc(bench: PlugBench, now_s: float, method: str, **params: Any) -> Any:
    said = bench.tell("p1/rpc", {**RPC, "method": method, "params": params}, now_s)
    return document_on(said, "guard/rpc")


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
