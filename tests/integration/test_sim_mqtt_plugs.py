"""Simulated plugs of every family in one process, at a real broker, beside Modbus modules."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.support.brokers import Client, any_broker, client, embedded
from tests.support.ports import free_port
from tests.support.sim_program import Simulator, simulating
from tests.support.waiting import wait_until

SITE = """
site: {{id: t, name: T}}
buses:
  - {{id: plugs, kind: mqtt, port: {port}}}
  - {{id: net1, kind: modbus-tcp, host: 127.0.0.1, port: 0}}
devices:
  - {{id: m1, bus: net1, unit: 1, profile: pilegate-ref10}}
  - {{id: t1, bus: plugs, topic: tas, profile: tasmota-plug}}
  - {{id: n1, bus: plugs, topic: nat, profile: pilegate-native}}
  - {{id: g1, bus: plugs, topic: gen1, profile: shelly-plug-s}}
  - {{id: g2, bus: plugs, topic: gen2, profile: shelly-plus-plug-s}}
  - {{id: z1, bus: plugs, topic: zig, profile: zigbee-plug}}
  - {{id: e1, bus: plugs, topic: esp, profile: esphome-plug}}
stations:
  - id: s
    piles:
      - {{id: p0, module: {{device: m1, channels: 1-10, outlets: "m1-{{channel}}"}}}}
      - {{id: p1, module: {{device: n1, channels: 1-4, outlets: "n1-{{channel}}"}}}}
      - id: p2
        outlets:
          - {{id: t1, device: t1, channel: 1}}
          - {{id: g1, device: g1, channel: 1}}
          - {{id: g2, device: g2, channel: 1}}
          - {{id: z1, device: z1, channel: 1}}
          - {{id: e1, device: e1, channel: 1}}
"""
SCENARIO = """
scenario: plugs
title: Every family
site: site.yaml
duration_s: 600
over_a: 8
loads:
  kettle: {kind: appliance, power_w: 2000, power_factor: 1.0, ripple: 0}
plugs:
  "*": {keepalive_s: 2, reconnect_s: 0.3, boot_s: 0.2, overpower_w: 0}
  t1: {old_retained: true}
"""
ON = {
    "t1": ("cmnd/tas/POWER", "ON"),
    "n1-2": ("pilegate/nat/command", '{"id":"1","channel":2,"relay_on":true}'),
    "g1": ("shellies/gen1/relay/0/command", "on"),
    "g2": ("gen2/rpc", '{"id":1,"src":"me","method":"Switch.Set","params":{"id":0,"on":true}}'),
    "z1": ("zigbee2mqtt/zig/set", '{"state":"ON"}'),
    "e1": ("esp/switch/relay/command", "ON"),
}
PRESENCE = {
    "t1": ("tele/tas/LWT", "Online", "Offline"),
    "n1": ("pilegate/nat/online", "true", "false"),
    "g1": ("shellies/gen1/online", "true", "false"),
    "g2": ("gen2/online", "true", "false"),
    "e1": ("esp/status", "online", "offline"),
}
CLIENTS = {*PRESENCE, "zigbee2mqtt"}


def files(folder: Path, port: int) -> tuple[str, str, str, str]:
    (folder / "site.yaml").write_text(SITE.format(port=port))
    (folder / "scenario.yaml").write_text(SCENARIO)
    return "--scenario", str(folder / "scenario.yaml"), "--site", str(folder / "site.yaml")


def all_connected(sim: Simulator) -> None:
    """Wait until every plug and the bridge are connected, in whatever order."""
    missing = set(CLIENTS)
    while missing:
        missing.discard(sim.wait_for("plug", state="connected")["device"])


@pytest.fixture(params=["embedded", pytest.param("mosquitto", marks=pytest.mark.mosquitto)])
def port(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[int]:
    with any_broker(request.param, tmp_path) as number:
        yield number


def say(sim: Simulator, **step: Any) -> None:
    sim.say(step)


@pytest.mark.ahead
def test_every_family_is_switched_overloaded_lost_and_back(port: int, tmp_path: Path) -> None:
    with client(port, "#") as ear, simulating(*files(tmp_path, port)) as sim:
        ready = sim.wait_for("ready")
        assert ready["buses"]["plugs"] == {"host": "127.0.0.1", "port": port}
        assert ready["buses"]["net1"]["port"] > 0, "Modbus in the same process"
        all_connected(sim)
        for topic, online, _ in PRESENCE.values():
            ear.wait_for(topic, lambda text, online=online: text == online)  # type: ignore[misc]
        ear.wait_for("zigbee2mqtt/bridge/state", lambda text: text == '{"state":"online"}')

        for outlet, (topic, payload) in ON.items():
            ear.say(topic, payload)
            switched = sim.wait_for("relay", outlet=outlet)
            assert (switched["on"], switched["by"]) == (True, "frame")
        for outlet in ("n1-2", "g1", "g2", "e1"):
            say(sim, plug=outlet, load="kettle")
        over: set[str] = set()
        while over != {"n1-2", "g1", "g2", "e1"}:
            # What Shelly Gen1 has no current for is named all the same: it shows the power.
            over.add(sim.wait_for("over")["outlet"])
        say(sim, plug="t1", load="kettle")
        wait_until(lambda: _tasmota_amps(ear) > 8)
        assert sim.wait_for("over")["outlet"] == "t1"

        ear.heard.clear()
        for device in PRESENCE:
            say(sim, fault="power_loss", device=device)
        for topic, _, offline in PRESENCE.values():
            ear.wait_for(topic, lambda text, offline=offline: text == offline)  # type: ignore[misc]
        ear.heard.clear()
        for device in PRESENCE:
            say(sim, heal=device)
        for topic, online, _ in PRESENCE.values():
            ear.wait_for(topic, lambda text, online=online: text == online)  # type: ignore[misc]
        ear.wait_for("stat/tas/POWER", lambda text: text == "ON")  # PowerOnState 3, as delivered
        ear.wait_for("esp/switch/relay/state", lambda text: text == "OFF")


def _tasmota_amps(ear: Client) -> float:
    ear.say("cmnd/tas/STATUS", "8")
    answers = ear.texts("stat/tas/STATUS8")
    return float(json.loads(answers[-1])["StatusSNS"]["ENERGY"]["Current"]) if answers else 0.0


def test_what_the_broker_keeps_from_last_year(port: int, tmp_path: Path) -> None:
    kept_topics = ("tele/tas/LWT", "stat/tas/POWER", "esp/sensor/power/state")
    with client(port, "#") as ear, simulating(*files(tmp_path, port)) as sim:
        all_connected(sim)
        for topic in kept_topics:
            ear.wait_for(topic)
        with client(port, "#") as late:
            late.wait_for("tele/tas/SENSOR", lambda text: "3251" in text)
            for topic in kept_topics:
                late.wait_for(topic)
            kept = {message.topic: message for message in late.heard if message.retain}
            assert kept["tele/tas/SENSOR"].retain
            assert kept["stat/tas/POWER"].payload == b"ON"
            assert kept["tele/tas/LWT"].payload == b"Online"
            assert "pilegate/nat/telemetry" not in kept
            assert kept["esp/sensor/power/state"].payload == b"0.0", "ESPHome retains everything"


def test_steps_of_the_console_reach_plugs(port: int, tmp_path: Path) -> None:
    with client(port, "#") as ear, simulating(*files(tmp_path, port)) as sim:
        all_connected(sim)
        say(sim, publish="somebody/else", bus="plugs", payload="{", times=3)
        wait_until(lambda: len(ear.texts("somebody/else")) == 3)
        say(sim, publish="x", bus="net1")
        assert "no bus of kind mqtt" in sim.wait_for("error")["message"]
        say(sim, fault="wrong_unit", device="t1")
        assert "t1 has one of silent" in sim.wait_for("error")["message"]
        say(sim, fault="power_loss", device="m1")
        assert "m1 has one of silent" in sim.wait_for("error")["message"]

        ear.say(*ON["n1-2"])
        sim.wait_for("relay", outlet="n1-2", on=True)
        say(sim, mains={"voltage_v": 0}, for_s=0.5)
        sim.wait_for("relay", outlet="n1-2", on=False, by="supply")
        sim.wait_for("plug", device="n1", state="away")
        sim.wait_for("plug", device="n1", state="connected")
        ear.heard.clear()
        ear.say("pilegate/nat/ask", "{}")
        answer = ear.wait_for("pilegate/nat/telemetry")
        assert [o["relay_on"] for o in json.loads(answer)["outlets"]] == [False] * 4
        wait_until(lambda: sim.stats()["mqtt"][0]["connected"] == len(CLIENTS))


def test_plugs_wait_for_a_broker_and_come_back_when_it_does(tmp_path: Path) -> None:
    port = free_port()
    with simulating(*files(tmp_path, port)) as sim:
        sim.wait_for("ready")
        away = sim.wait_for("plug", device="n1", state="away")
        assert away["detail"]
        with embedded("--listen", f"127.0.0.1:{port}"):
            all_connected(sim)
        sim.wait_for("plug", device="n1", state="away")
        with embedded("--listen", f"127.0.0.1:{port}"):
            all_connected(sim)
        assert sim.end() == 0
