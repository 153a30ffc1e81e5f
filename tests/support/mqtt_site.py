"""Sites of plugs for tests, built without files, and a broker to speak with."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from typing import Any

import aiomqtt

from gateway.config import (
    MqttBus,
    MqttDevice,
    Outlet,
    Site,
    load_plug_profile,
)
from gateway.config.profile_files import BUILT_IN
from gateway.core.ids import BusId, DeviceId
from tests.support.modbus_site import outlet, site

WITHIN_S = 25.0


def mqtt_bus(port: int = 1, **changes: Any) -> MqttBus:
    return MqttBus(
        **{"id": BusId("plugs"), "client_id": "guard", "port": port, "poll_ms": 100, **changes}
    )


def plug(device_id: str, profile: str, **changes: Any) -> MqttDevice:
    """A plug of a delivered profile; its topic is its id unless told otherwise."""
    kind = load_plug_profile(BUILT_IN / f"{profile}.yaml")
    profile_changes = changes.pop("profile_changes", {})
    return MqttDevice(
        **{
            "id": DeviceId(device_id),
            "bus": BusId("plugs"),
            "topic": device_id,
            "profile": kind.model_copy(update=profile_changes),
            "power_on": kind.power_on,
            **changes,
        }
    )


def plug_site(bus: MqttBus, *plugs: MqttDevice) -> Site:
    """A site with outlets ``<plug>-<channel>``."""
    outlets: tuple[Outlet, ...] = tuple(
        outlet(f"{each.id}-{channel}", (each.id, channel))
        for each in plugs
        for channel in range(1, each.profile.channels + 1)
    )
    made = site((), (), ())
    return Site(
        **{
            **{name: getattr(made, name) for name in ("id", "name", "file", "state_dir")},
            "promise_cut_off_ms": 2_500,
            "buses": (),
            "devices": (),
            "outlets": outlets,
            "piles": (),
            "stations": (),
            "mqtt_buses": (bus,),
            "plugs": plugs,
        }
    )


async def reachable(port: int) -> None:
    async with asyncio.timeout(WITHIN_S):
        while True:
            try:
                _, writer = await asyncio.open_connection("127.0.0.1", port)
            except OSError:
                await asyncio.sleep(0.02)
                continue
            writer.close()
            await writer.wait_closed()
            return


Answer = Callable[[str, str], list[tuple[str, str]]]


class Device:
    """A scripted device: answers what it hears with what ``answer`` makes of it."""

    def __init__(self, client: aiomqtt.Client, answer: Answer) -> None:
        self.client = client
        self.heard: list[tuple[str, str]] = []
        self._answer = answer

    async def serve(self) -> None:
        async for message in self.client.messages:
            heard = (message.topic.value, bytes(message.payload).decode())
            self.heard.append(heard)
            for topic, payload in self._answer(*heard):
                await self.client.publish(topic, payload, qos=1)

    async def say(self, topic: str, payload: str, *, retain: bool = False) -> None:
        await self.client.publish(topic, payload, qos=1, retain=retain)


@asynccontextmanager
async def device(
    port: int, topics: list[str], answer: Answer, will: aiomqtt.Will | None = None
) -> AsyncIterator[Device]:
    """Connect a scripted device; a broker that is gone meanwhile is part of the story."""
    with suppress(aiomqtt.MqttError):
        async with _device(port, topics, answer, will) as made:
            yield made


@asynccontextmanager
async def _device(
    port: int, topics: list[str], answer: Answer, will: aiomqtt.Will | None
) -> AsyncIterator[Device]:
    async with aiomqtt.Client("127.0.0.1", port, will=will) as client:
        for topic in topics:
            await client.subscribe(topic, qos=1)
        made = Device(client, answer)
        serving = asyncio.create_task(made.serve())
        try:
            yield made
        finally:
            while not serving.done():
                # wait_for, which aiomqtt uses, may swallow a cancellation (Python 3.11).
                serving.cancel()
                await asyncio.wait([serving], timeout=0.2)
            if not serving.cancelled():
                serving.exception()
