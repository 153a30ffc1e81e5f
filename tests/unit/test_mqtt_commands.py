"""ON and OFF to plugs: sent in the call, done when the plug says so, never late."""

from __future__ import annotations

import asyncio
import json

import pytest

from gateway.core.errors import NotKnown
from gateway.core.ids import OutletId
from gateway.guard.model import WriteResult
from tests.support.mqtt_script import (
    A1,
    OFF,
    ON,
    Stage,
    esphome,
    gen2,
    native,
    online,
    play,
    zigbee,
)
from tests.support.mqtt_site import plug


def test_an_off_is_sent_within_the_call() -> None:
    async def story(stage: Stage) -> None:
        online(stage)
        stage.driver.switch_off(A1, urgent=True)
        [(topic, payload, qos)] = stage.wire.sent
        assert (topic, qos) == ("pilegate/a/command", 1)
        assert '"relay_on":false' in payload

    play(story, native)


def test_an_on_is_done_when_the_plug_says_so_by_number() -> None:
    async def story(stage: Stage) -> None:
        online(stage)
        stage.driver.switch_on(A1, 90_000)
        [(_, payload, qos)] = stage.wire.take("command")
        command = json.loads(payload)
        assert (command["for_s"], command["relay_on"], qos) == (90, True, 0)
        stage.say("pilegate/a/ack", {"id": "999", "result": "done"})
        stage.say("pilegate/a/state", {"outlets": [{"channel": 1, "relay_on": True}]})
        assert stage.recorder.writes == []
        stage.say("pilegate/a/ack", {"id": command["id"], "result": "done"})
        assert stage.recorder.writes == [(*ON, WriteResult.DONE)]

    play(story, native)


def test_a_command_without_an_answer_fails_once() -> None:
    async def story(stage: Stage) -> None:
        online(stage)
        stage.driver.switch_off(A1, urgent=True)
        await asyncio.sleep(0.7)
        assert stage.recorder.writes == []
        await asyncio.sleep(0.2)
        assert stage.recorder.writes == [(*OFF, WriteResult.FAILED)]
        assert stage.driver.stats().timeouts

    play(story, native)


def test_an_on_to_a_plug_that_is_not_there_is_dropped_and_not_sent() -> None:
    async def story(stage: Stage) -> None:
        stage.wire.take()
        stage.driver.switch_on(A1, 90_000)
        assert stage.recorder.writes == []  # not within the call
        await asyncio.sleep(0)
        assert stage.recorder.writes == [(*ON, WriteResult.DROPPED)]
        assert stage.wire.take("command") == []

    play(story, native)


def test_an_on_keeps_the_least_gap_and_an_off_removes_it() -> None:
    async def story(stage: Stage) -> None:
        stage.say("stat/a/POWER", "OFF")
        stage.driver.switch_off(A1, urgent=False)
        stage.wire.take()
        stage.driver.switch_on(A1, 90_000)
        assert stage.wire.take("Backlog0") == []
        assert stage.driver.room_for_ons() == 49
        await asyncio.sleep(0.55)
        assert len(stage.wire.take("Backlog0")) == 1
        stage.driver.switch_on(A1, 90_000)
        stage.driver.switch_off(A1, urgent=True)
        await asyncio.sleep(0.6)
        assert stage.wire.take("Backlog0") == []
        assert (*ON, WriteResult.DROPPED) in stage.recorder.writes

    play(story, lambda: plug("a", "tasmota-plug", profile_changes={"min_gap_ms": 500}))


def test_an_outlet_of_another_bus_is_refused() -> None:
    async def story(stage: Stage) -> None:
        other = OutletId("x")
        no_relay = "no relay on bus plugs"
        with pytest.raises(NotKnown, match=no_relay):
            stage.driver.switch_on(other, 1)
        with pytest.raises(NotKnown, match=no_relay):
            stage.driver.keep_on(other, 1)
        with pytest.raises(NotKnown, match=no_relay):
            stage.driver.switch_off(other, urgent=True)

    play(story, native)


def test_a_timer_shorter_than_the_lease_is_set_anew_while_the_relay_is_on() -> None:
    async def story(stage: Stage) -> None:
        topic = "zigbee2mqtt/a"
        stage.say(f"{topic}/availability", {"state": "online"}, retained=True)
        stage.say(topic, {"state": "OFF", "power": 0})
        stage.say(topic, {"state": "OFF", "power": 0})
        stage.driver.switch_on(A1, 4 * 3_600_000)
        sets = stage.wire.take("/set")
        assert sets == [(f"{topic}/set", '{"state":"ON","on_time":6553}', 0)]
        stage.say(topic, {"state": "ON", "power": 0})
        await asyncio.sleep(3_200)
        assert stage.wire.take("/set") == []
        await asyncio.sleep(200)
        assert len(stage.wire.take("/set")) == 1

        # Off by itself, or by hand: never switched on again.
        stage.say(topic, {"state": "OFF", "power": 0})
        await asyncio.sleep(7_000)
        assert stage.wire.take("/set") == []

    play(story, zigbee)


def test_keep_on_never_switches_a_shelly_on() -> None:
    async def story(stage: Stage) -> None:
        def status(*, is_on: bool) -> None:
            params = {"switch:0": {"id": 0, "output": is_on, "apower": 1}}
            stage.say("a/events/rpc", {"method": "NotifyStatus", "params": params})

        def sets() -> list[str]:
            return [text for _, text, _ in stage.wire.take("/rpc") if "Switch.Set" in text]

        status(is_on=False)
        stage.driver.keep_on(A1, 60_000)
        assert sets() == []
        stage.driver.switch_on(A1, 20_000)
        assert '"toggle_after":20' in sets()[0]
        status(is_on=True)
        await asyncio.sleep(0.5)
        stage.driver.keep_on(A1, 60_000)
        assert sets() == []  # the ON is not answered yet
        await asyncio.sleep(1)
        status(is_on=True)
        stage.driver.keep_on(A1, 60_000)
        assert '"toggle_after":60' in sets()[0]
        await asyncio.sleep(57)
        status(is_on=True)
        stage.driver.keep_on(A1, 60_000)
        assert sets() == []  # it may have run out by now: nobody can tell

    play(story, gen2)


def test_a_plug_without_a_timer_gets_none() -> None:
    async def story(stage: Stage) -> None:
        stage.say("a/switch/relay/state", "OFF")
        stage.driver.switch_on(A1, 60_000)
        stage.driver.keep_on(A1, 60_000)
        assert stage.wire.take() == [("a/switch/relay/command", "ON", 0)]
        stage.say("a/switch/relay/state", "ON")
        assert stage.recorder.writes == [(*ON, WriteResult.DONE)]

    play(story, esphome)
