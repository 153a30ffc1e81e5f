"""The MQTT driver with a scripted connection, in virtual time."""

from __future__ import annotations

import asyncio
import json
import random
from collections.abc import Awaitable, Callable, Sequence
from typing import Any

from drivers.mqtt.bus import MqttPlugs
from drivers.mqtt.link import LinkLost, OnMessage
from drivers.mqtt.words import Out
from gateway.config import MqttDevice
from gateway.core.clock import Now
from gateway.core.ids import OutletId
from gateway.guard.model import DeviceState
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
