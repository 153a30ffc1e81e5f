"""An MQTT driver that runs, the module that it drives most, and what has been told of both."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from drivers import BUSES
from drivers.mqtt.bus import MqttPlugs
from gateway.config import MqttBus, MqttDevice
from gateway.core.clock import SystemClock
from gateway.core.ids import OutletId
from gateway.guard.model import BusState, DeviceState
from tests.support.modbus_site import Recorder
from tests.support.mqtt_site import plug_site

N2 = OutletId("n-2")


class Native:
    """A module of four outlets that speaks the project's own format."""

    def __init__(self) -> None:
        self.relays = dict.fromkeys(range(1, 5), False)
        self.timers: dict[int, int] = {}
        self.refuses = False

    def __call__(self, topic: str, payload: str) -> list[tuple[str, str]]:
        message = json.loads(payload)
        if topic.endswith("/ask"):
            return [("pilegate/n/telemetry", self.telemetry())]
        result = "refused" if self.refuses else "done"
        if not self.refuses:
            if "relay_on" in message:
                self.relays[message["channel"]] = message["relay_on"]
            if "for_s" in message:
                self.timers[message["channel"]] = message["for_s"]
        ack = {"id": message["id"], "result": result, "detail": "too hot"}
        return [("pilegate/n/ack", json.dumps(ack)), ("pilegate/n/state", self.telemetry())]

    def telemetry(self) -> str:
        return json.dumps(
            {
                "outlets": [
                    {"channel": channel, "relay_on": is_on, "power_w": 10.5 * is_on}
                    for channel, is_on in self.relays.items()
                ]
            }
        )


@asynccontextmanager
async def driving(bus: MqttBus, *plugs: MqttDevice) -> AsyncIterator[tuple[MqttPlugs, Recorder]]:
    recorder = Recorder()
    driver = BUSES["mqtt"](bus, plug_site(bus, *plugs), recorder, SystemClock())
    assert isinstance(driver, MqttPlugs)
    running = asyncio.create_task(driver.run())
    try:
        yield driver, recorder
        assert not running.done(), "the driver ended"
    finally:
        running.cancel()
        await asyncio.wait([running])


def states(recorder: Recorder, device_id: str) -> list[DeviceState]:
    return [state for name, state, _ in recorder.devices if name == device_id]


def bus_is(recorder: Recorder, *states: BusState) -> bool:
    return bool(recorder.buses) and recorder.buses[-1][1] in states
