"""The MQTT driver with a scripted connection, in virtual time."""

from __future__ import annotations

import asyncio
import json
import random
from collections.abc import Awaitable, Callable, Sequence
from functools import partial
from typing import Any

import pytest

from drivers.mqtt.bus import LOGIN_RECONNECT_MS, LONGEST_RECONNECT_MS, MqttPlugs
from drivers.mqtt.link import LinkLost, OnMessage
from drivers.mqtt.plugs import PLUGS_AT_ONCE
from drivers.mqtt.words import Out
from gateway.config import MqttDevice
from gateway.core.clock import Now
from gateway.core.errors import NotKnown
from gateway.core.ids import OutletId
from gateway.guard.model import BusState, DeviceState, WriteResult
from tests.support.modbus_site import Recorder
from tests.support.mqtt_site import mqtt_bus, plug, plug_site
from tests.support.virtual_loop import run_virtually

A1 = OutletId("a-1")
ON = ("a-1", True)
OFF = ("a-1", False)


class FakeLink:
    """A connection that keeps what is published and ends when told to."""

    def __init__(self, stage: Stage, on_message: OnMessage) -> None:
        self._stage = stage
        self.say = on_message
        self.sent: list[tuple[str, str, int]] = []
        self.over: asyncio.Future[str] = asyncio.get_running_loop().create_future()
        self.dropped = 0

    async def open(self) -> None:
        self._stage.attempts.append(asyncio.get_running_loop().time())
        if self._stage.refuses is not None:
            raise self._stage.refuses
        self._stage.link = self

    async def subscribe(self, topics: Sequence[str]) -> None:
        self.topics = list(topics)

    def publish(self, out: Out, *, qos: int) -> bool:
        self.sent.append((out.topic, out.payload, qos))
        return not self.over.done()

    async def lost(self) -> str:
        return await self.over

    async def close(self) -> None:
        if not self.over.done():
            self.over.cancel()

    def take(self, ending: str = "") -> list[tuple[str, str, int]]:
        """What was sent since the last look, of topics that end so."""
        found = [each for each in self.sent if each[0].endswith(ending)]
        self.sent.clear()
        return found


class Stage:
    def __init__(self, *plugs: MqttDevice, **bus: Any) -> None:
        self.recorder = Recorder()
        self.attempts: list[float] = []
        self.refuses: LinkLost | None = None
        self.link: FakeLink | None = None
        loop = asyncio.get_running_loop()
        settings = mqtt_bus(**{"poll_ms": 1_000, **bus})
        self.driver = MqttPlugs(
            settings,
            plug_site(settings, *plugs),
            self.recorder,
            self,
            open_link=lambda on_message: FakeLink(self, on_message),
            time_s=loop.time,
            rng=random.Random(1),
        )

    def now(self) -> Now:
        mono_ms = int(asyncio.get_running_loop().time() * 1_000)
        return Now(mono_ms, mono_ms + 1_800_000_000_000)

    @property
    def wire(self) -> FakeLink:
        assert self.link is not None
        return self.link

    def say(self, topic: str, payload: Any, *, retained: bool = False) -> None:
        text = payload if isinstance(payload, str) else json.dumps(payload)
        self.wire.say(topic, text.encode(), retained)

    def state(self) -> DeviceState:
        return self.recorder.devices[-1][1]


Story = Callable[[Stage], Awaitable[None]]


def play(story: Story, *plugs: Callable[[], MqttDevice], **bus: Any) -> None:
    async def main() -> None:
        stage = Stage(*(make() for make in plugs), **bus)
        running = asyncio.create_task(stage.driver.run())
        await asyncio.sleep(0.01)
        try:
            await story(stage)
        finally:
            running.cancel()
            await asyncio.wait([running])
            assert running.cancelled()

    run_virtually(main())


def native() -> MqttDevice:
    return plug("a", "pilegate-native")


def tasmota() -> MqttDevice:
    return plug("a", "tasmota-plug")


def zigbee() -> MqttDevice:
    return plug("a", "zigbee-plug")


def gen2() -> MqttDevice:
    return plug("a", "shelly-plus-plug-s")


def esphome() -> MqttDevice:
    return plug("a", "esphome-plug")


def online(stage: Stage) -> None:
    stage.say("pilegate/a/telemetry", {"outlets": [{"channel": 1, "relay_on": False}]})
    stage.wire.take()


# ------------------------------------------------------------ commands


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


# ------------------------------------------------------------ timers


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


# ------------------------------------------------------------ who is there


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


# ------------------------------------------------------------ what is news


def test_a_bridge_that_repeats_old_values_gives_them_no_new_time() -> None:
    async def story(stage: Stage) -> None:
        topic = "zigbee2mqtt/a"
        await asyncio.sleep(5)  # what was asked at the start is not answered any more
        stage.say(topic, {"state": "ON", "power": 56, "current": 0.25})
        assert stage.recorder.samples == []
        stage.say(topic, {"state": "ON", "power": 57, "current": 0.25})
        assert stage.recorder.last("a-1").power_w == 57
        assert stage.recorder.last("a-1").current_a is None
        stage.say(topic, {"state": "OFF", "power": 57, "current": 0.25})
        assert stage.recorder.last("a-1").relay_on is False
        assert stage.recorder.last("a-1").power_w is None
        count = len(stage.recorder.samples)
        stage.say(topic, {"state": "OFF", "power": 0, "current": 0})
        assert stage.recorder.last("a-1").power_w == 0
        stage.say(topic, {"state": "OFF", "power": 0, "current": 0, "linkquality": 3})
        assert stage.recorder.last("a-1").power_w == 0  # nothing else shows an unused outlet
        assert len(stage.recorder.samples) == count + 2

    play(story, zigbee)


def test_what_was_asked_for_is_news_and_an_old_message_of_the_broker_is_not() -> None:
    async def story(stage: Stage) -> None:
        stage.say("zigbee2mqtt/a", {"state": "ON", "power": 56}, retained=True)
        assert stage.recorder.samples == []
        stage.say("zigbee2mqtt/a", {"state": "ON", "power": 56})
        assert stage.recorder.last("a-1").relay_on is True
        assert stage.recorder.last("a-1").power_w is None

    play(story, zigbee)


def test_an_answer_to_a_question_nobody_asked_is_not_taken() -> None:
    async def story(stage: Stage) -> None:
        asked = [json.loads(text) for _, text, _ in stage.wire.take("/rpc")]
        assert [each["method"] for each in asked] == ["Switch.GetStatus", "Switch.GetConfig"]
        result = {"id": 0, "output": True, "apower": 7}
        stage.say("guard/a/rpc", {"id": asked[0]["id"] + 400, "src": "a", "result": result})
        assert stage.recorder.samples == []
        assert stage.driver.stats().errors == {"stray": 1}
        stage.say("guard/a/rpc", {"id": asked[0]["id"], "src": "a", "result": result})
        assert stage.recorder.last("a-1").power_w == 7
        stage.say("guard/a/rpc", {"id": asked[0]["id"], "src": "a", "result": result})
        assert len(stage.recorder.samples) == 1

    play(story, gen2)


# ------------------------------------------------------------ the broker


def test_reconnects_are_capped_and_jittered_and_rare_after_a_wrong_password() -> None:
    async def main() -> None:
        stage = Stage(native())
        stage.refuses = LinkLost("refused")
        running = asyncio.create_task(stage.driver.run())
        await asyncio.sleep(120)
        gaps = [b - a for a, b in zip(stage.attempts, stage.attempts[1:], strict=False)]
        assert gaps[0] < 0.4
        assert 6 < max(gaps) <= LONGEST_RECONNECT_MS * 1.2 / 1_000
        assert len({round(gap, 3) for gap in gaps[-4:]}) == 4

        count = len(stage.attempts)
        stage.refuses = LinkLost("wrong password", is_login=True)
        await asyncio.sleep(600)
        assert len(stage.attempts) - count <= 600_000 / LOGIN_RECONNECT_MS / 0.8 + 2
        lost = [text for _, state, text in stage.recorder.buses if state is BusState.LOST]
        assert lost == ["refused", "wrong password"]  # each told once
        running.cancel()
        await asyncio.wait([running])

    run_virtually(main())


def test_a_cut_off_given_as_soon_as_the_connection_is_lost_waits_for_no_back_off() -> None:
    async def main() -> None:
        stage = Stage(native())
        stage.refuses = LinkLost("refused")
        running = asyncio.create_task(stage.driver.run())
        await asyncio.sleep(120)
        count = len(stage.attempts)
        while len(stage.attempts) == count:
            await asyncio.sleep(0.01)
        stage.driver.switch_off(A1, urgent=True)
        at_s = stage.attempts[-1]
        await asyncio.sleep(20)
        gap_s = stage.attempts[count + 1] - at_s
        assert gap_s < 0.5
        running.cancel()
        await asyncio.wait([running])

    run_virtually(main())


def test_a_cut_off_tries_to_connect_at_once_and_goes_first() -> None:
    async def story(stage: Stage) -> None:
        online(stage)
        stage.refuses = LinkLost("refused")
        before = stage.wire
        before.over.set_result("gone")
        await asyncio.sleep(100)
        assert stage.state() is DeviceState.SILENT
        stage.refuses = None
        stage.driver.switch_off(A1, urgent=True)
        stage.driver.switch_on(A1, 60_000)  # dropped; the OFF is owed all the same
        await asyncio.sleep(0.5)
        assert stage.recorder.writes[:2] == [
            (*OFF, WriteResult.FAILED),
            (*ON, WriteResult.DROPPED),
        ]
        assert stage.wire is not before
        assert '"relay_on":false' in stage.wire.sent[0][1]
        assert stage.recorder.buses[-1][1] is BusState.OPEN

    play(story, native)


def test_a_lost_connection_fails_what_was_open_and_repeats_no_on() -> None:
    async def story(stage: Stage) -> None:
        online(stage)
        stage.driver.switch_on(A1, 60_000)
        stage.wire.over.set_result("gone")
        await asyncio.sleep(5)
        assert stage.recorder.writes == [(*ON, WriteResult.FAILED)]
        assert stage.recorder.buses[-1][1] is BusState.OPEN
        assert stage.wire.take("command") == []

    play(story, native)


def test_plugs_are_asked_one_after_the_other_at_their_own_pace() -> None:
    async def story(stage: Stage) -> None:
        await asyncio.sleep(20)
        asked = [topic for topic, _, _ in stage.wire.take()]
        fast = asked.count("pilegate/a/ask")
        slow = asked.count("shellies/b/command")
        assert 18 <= fast <= 23
        assert 9 <= slow <= 12

    play(story, native, lambda: plug("b", "shelly-plug-s"))


@pytest.mark.parametrize("count", [3, 100])
def test_plugs_are_asked_once_a_round_and_only_a_few_of_them_in_one_go(count: int) -> None:
    async def story(stage: Stage) -> None:
        await asyncio.sleep(1.0)
        for number in range(count):
            telemetry = {"outlets": [{"channel": 1, "relay_on": False}]}
            stage.say(f"pilegate/p{number}/telemetry", telemetry)
        await asyncio.sleep(1.0)
        stage.wire.take()
        asked: list[list[str]] = []
        for _ in range(1_000):
            await asyncio.sleep(0.001)
            asked.append([topic for topic, _, _ in stage.wire.take("ask")])
        topics = [topic for some in asked for topic in some]
        assert sorted(topics) == sorted(f"pilegate/p{number}/ask" for number in range(count))
        assert max(map(len, asked)) <= PLUGS_AT_ONCE

    play(story, *(partial(plug, f"p{n}", "pilegate-native") for n in range(count)))


def test_many_plugs_are_asked_as_often_as_a_short_poll_period_says() -> None:
    async def story(stage: Stage) -> None:
        await asyncio.sleep(1.0)
        stage.wire.take()
        await asyncio.sleep(1.0)
        asked = [topic for topic, _, _ in stage.wire.take("ask")]
        assert 19 <= asked.count("pilegate/p0/ask") <= 21

    often = {"ask_ms": 50, "min_gap_ms": 0}
    plugs = (partial(plug, f"p{n}", "pilegate-native", profile_changes=often) for n in range(400))
    play(story, *plugs, poll_ms=50)
