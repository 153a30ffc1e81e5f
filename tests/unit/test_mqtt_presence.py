"""Who is there: plugs that fall silent, bridges that remember, rubbish, namesakes."""

from __future__ import annotations

import asyncio
import json

from gateway.guard.model import DeviceState
from tests.support.mqtt_script import (
    Stage,
    gen2,
    native,
    online,
    play,
    tasmota,
    zigbee,
)
from tests.support.mqtt_site import plug


def test_a_plug_that_stops_answering_is_silent_and_found_again() -> None:
    async def story(stage: Stage) -> None:
        online(stage)
        assert stage.state() is DeviceState.ONLINE
        await asyncio.sleep(4.5)
        assert stage.state() is DeviceState.SILENT
        assert "check its topic (a)" in stage.recorder.devices[-1][2]
        assert len(stage.wire.take("/ask")) >= 4
        online(stage)
        assert stage.state() is DeviceState.ONLINE

    play(story, native)


def test_rubbish_is_no_sign_of_life_and_is_named() -> None:
    async def story(stage: Stage) -> None:
        for _ in range(120):
            stage.say("pilegate/a/telemetry", "{")
            await asyncio.sleep(0.1)
        assert stage.state() is DeviceState.SILENT
        assert "nothing that can be read" in stage.recorder.devices[-1][2]
        assert stage.driver.stats().errors == {"json": 120}

    play(story, native)


def test_only_a_live_plug_that_reports_on_change_is_alive() -> None:
    async def story(stage: Stage) -> None:
        stage.say("zigbee2mqtt/a/availability", {"state": "online"}, retained=True)
        await asyncio.sleep(5)
        assert stage.recorder.alive == []
        stage.say("zigbee2mqtt/a", {"state": "OFF", "power": 0})
        await asyncio.sleep(900)
        assert stage.state() is DeviceState.ONLINE
        assert 850 <= len(stage.recorder.alive) <= 950
        count = len(stage.recorder.alive)
        stage.say("zigbee2mqtt/bridge/state", {"state": "offline"})
        await asyncio.sleep(5)
        assert len(stage.recorder.alive) == count
        assert stage.state() is DeviceState.SILENT
        stage.say("zigbee2mqtt/bridge/state", {"state": "online"})
        await asyncio.sleep(5)
        assert len(stage.recorder.alive) == count
        stage.say("zigbee2mqtt/a/availability", {"state": "online"})
        await asyncio.sleep(5)
        assert len(stage.recorder.alive) > count

    play(story, zigbee)


def test_a_plug_of_which_nobody_tells_whether_it_is_there_is_asked_for_its_relay() -> None:
    async def story(stage: Stage) -> None:
        topic = "zigbee2mqtt/a"
        stage.say(topic, {"state": "ON", "power": 56})
        stage.wire.take()
        for _ in range(10):
            await asyncio.sleep(61)
            [asked] = stage.wire.take("/get")
            assert asked == (f"{topic}/get", '{"state":""}', 0)
            stage.say(topic, {"state": "ON", "power": 56})
        assert stage.state() is DeviceState.ONLINE
        assert stage.recorder.last("a-1").relay_on is True
        count = len(stage.recorder.alive)
        assert count > 500
        await asyncio.sleep(200)  # the plug is gone, and the bridge can't say so
        assert stage.state() is DeviceState.SILENT
        count = len(stage.recorder.alive)
        await asyncio.sleep(60)
        assert len(stage.recorder.alive) == count
        stage.say(f"{topic}/availability", {"state": "online"})
        stage.wire.take()
        await asyncio.sleep(600)
        assert stage.wire.take("/get") == []  # from now on the bridge tells
        assert stage.state() is DeviceState.ONLINE

    play(story, zigbee)


def test_what_a_bridge_remembers_of_a_plug_that_is_gone_does_not_bring_it_back() -> None:
    async def story(stage: Stage) -> None:
        topic = "zigbee2mqtt/a"
        await asyncio.sleep(5)
        stage.say(topic, {"state": "ON", "power": 56})
        stage.say(f"{topic}/availability", {"state": "offline"})
        assert stage.state() is DeviceState.SILENT
        stage.say(topic, {"state": "ON", "power": 56})
        stage.say(topic, {"state": "ON", "power": 56, "linkquality": 3})
        assert stage.state() is DeviceState.SILENT
        stage.say(topic, {"state": "ON", "power": 57})
        assert stage.state() is DeviceState.ONLINE

    play(story, zigbee)


def test_values_that_a_bridge_polls_may_stay_the_same_for_hours() -> None:
    async def story(stage: Stage) -> None:
        for _ in range(60):
            stage.say("zigbee2mqtt/a", {"state": "ON", "power": 56})
            await asyncio.sleep(10)
        assert stage.state() is DeviceState.ONLINE
        assert len(stage.recorder.alive) > 500
        await asyncio.sleep(40)
        assert stage.state() is DeviceState.SILENT

    play(story, lambda: plug("a", "zigbee-plug-tuya-polled"))


def test_another_device_with_the_same_topics_is_named_and_not_taken() -> None:
    async def story(stage: Stage) -> None:
        def status(source: str, power_w: float) -> None:
            params = {"switch:0": {"id": 0, "output": False, "apower": power_w}}
            message = {"src": source, "method": "NotifyStatus", "params": params}
            stage.say("a/events/rpc", message)

        status("shellyplusplugs-1", 1)
        status("shellyplusplugs-2", 2)
        assert stage.recorder.last("a-1").power_w == 1
        assert stage.driver.stats().errors == {"source": 1}
        stage.say("a/online", "false")
        stage.say("a/online", "true")
        status("shellyplusplugs-2", 3)  # it was exchanged
        assert stage.recorder.last("a-1").power_w == 3

    play(story, gen2)


def test_a_retained_message_that_is_taken_back_says_nothing() -> None:
    async def story(stage: Stage) -> None:
        online(stage)
        for topic in ("telemetry", "state", "online"):
            stage.say(f"pilegate/a/{topic}", "")
        assert stage.driver.stats().errors == {}
        assert stage.state() is DeviceState.ONLINE

    play(story, native)


def test_a_polled_plug_is_never_called_alive() -> None:
    async def story(stage: Stage) -> None:
        for _ in range(20):
            online(stage)
            await asyncio.sleep(1)
        assert stage.recorder.alive == []

    play(story, native)


def test_a_plug_that_came_back_is_asked_and_set_again() -> None:
    async def story(stage: Stage) -> None:
        stage.wire.take()
        stage.say("tele/a/LWT", "Online")
        assert ("cmnd/a/PowerOnState", "", 0) in stage.wire.take()
        stage.say("stat/a/RESULT", {"PowerOnState": 3})
        assert stage.wire.take("PowerOnState") == [("cmnd/a/PowerOnState", "0", 1)]
        stage.say("stat/a/RESULT", {"PowerOnState": 3})
        assert stage.wire.take("PowerOnState") == []  # not again and again
        await asyncio.sleep(61)
        stage.say("stat/a/RESULT", {"PowerOnState": 3})
        assert len(stage.wire.take("PowerOnState")) == 1

    play(story, tasmota)


def test_a_shelly_that_switches_on_by_itself_is_told_not_to() -> None:
    async def story(stage: Stage) -> None:
        asked = [json.loads(text) for _, text, _ in stage.wire.take("/rpc")]
        [config] = [each for each in asked if each["method"] == "Switch.GetConfig"]
        result = {"id": 0, "initial_state": "off", "auto_on": True, "auto_on_delay": 5}
        stage.say("guard/a/rpc", {"id": config["id"], "src": "a", "result": result})
        [(_, text, qos)] = stage.wire.take("/rpc")
        assert json.loads(text)["method"] == "Switch.SetConfig"
        assert json.loads(text)["params"] == {"id": 0, "config": {"auto_on": False}}
        assert qos == 1

    play(story, gen2)


def test_a_plug_that_does_not_say_that_it_stays_off_is_named_once() -> None:
    async def story(stage: Stage) -> None:
        def doubts() -> list[str]:
            return [detail for *_, detail in stage.recorder.devices if "blackout" in detail]

        await asyncio.sleep(300)  # it comes later than the broker
        for seconds, count in ((55, 0), (15, 1), (200, 1)):
            for _ in range(seconds):
                stage.say("stat/a/STATUS8", {"StatusSNS": {"ENERGY": {"Power": 0}}})
                await asyncio.sleep(1)
            assert len(doubts()) == count
        assert stage.state() is DeviceState.ONLINE

    play(story, tasmota)


def test_a_plug_that_says_that_it_stays_off_is_not_doubted() -> None:
    async def story(stage: Stage) -> None:
        for _ in range(100):
            stage.say("stat/a/STATUS8", {"StatusSNS": {"ENERGY": {"Power": 0}}})
            stage.say("stat/a/RESULT", {"PowerOnState": 0})
            await asyncio.sleep(1)
        assert not any("blackout" in detail for *_, detail in stage.recorder.devices)

    play(story, tasmota)
