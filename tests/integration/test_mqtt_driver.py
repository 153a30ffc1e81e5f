"""Plugs at a real broker: sampled, switched, and what is heard that is no sample."""

from __future__ import annotations

import asyncio
import json
import resource
from collections.abc import Iterator
from pathlib import Path

import aiomqtt
import pytest

from drivers import BUSES
from drivers.mqtt import bus as bus_module
from drivers.mqtt import plug as plug_module
from drivers.mqtt.bus import MqttPlugs
from gateway.core.clock import SystemClock
from gateway.core.ids import OutletId
from gateway.guard.model import BusState, DeviceState, Sample, WriteResult
from tests.support.modbus_site import Recorder
from tests.support.mosquitto import mosquitto
from tests.support.mqtt_driving import N2, Native, bus_is, driving, states
from tests.support.mqtt_site import (
    device,
    mqtt_bus,
    plug,
    plug_site,
    reachable,
)
from tests.support.ports import free_port
from tests.support.waiting import until

pytestmark = pytest.mark.mosquitto

T1 = OutletId("t1-1")


class Tasmota:
    """A plug of one outlet, as its documentation describes it."""

    def __init__(self) -> None:
        self.is_on = False
        self.power_w = 0
        self.pulse: str | None = None
        self.power_on_state = "3"

    def __call__(self, topic: str, payload: str) -> list[tuple[str, str]]:
        command = topic.rpartition("/")[2]
        if command == "STATUS" and payload == "8":
            energy = {"Total": 1.5, "Power": self.power_w, "Voltage": 230, "Current": 0.1}
            return [("stat/t1/STATUS8", json.dumps({"StatusSNS": {"ENERGY": energy}}))]
        if command == "STATUS":
            return [("stat/t1/STATUS11", json.dumps({"StatusSTS": {"POWER": self._word()}}))]
        if command == "Backlog0":
            pulse, _, power = payload.partition("; ")
            self.pulse = pulse.partition(" ")[2]
            return self._power(power.partition(" ")[2])
        if command.startswith("POWER"):
            return self._power(payload)
        if command == "PowerOnState":
            self.power_on_state = payload or self.power_on_state
            return [("stat/t1/RESULT", json.dumps({"PowerOnState": int(self.power_on_state)}))]
        return []

    def _word(self) -> str:
        return "ON" if self.is_on else "OFF"

    def _power(self, word: str) -> list[tuple[str, str]]:
        self.is_on = word == "ON"
        return [
            ("stat/t1/RESULT", json.dumps({"POWER": self._word()})),
            ("stat/t1/POWER", self._word()),
        ]


@pytest.fixture
def port(tmp_path: Path) -> Iterator[int]:
    number = free_port()
    with mosquitto(tmp_path, number):
        yield number


@pytest.fixture
def _patient(monkeypatch: pytest.MonkeyPatch) -> None:
    """No answer is late and no plug is silent because this machine stood still."""
    monkeypatch.setattr(plug_module, "SPARE_MS", 20_000)
    monkeypatch.setattr(plug_module, "LEAST_SILENT_MS", 20_000.0)


@pytest.mark.usefixtures("_patient")
def test_a_tasmota_plug_and_a_native_module_are_sampled_and_switched(port: int) -> None:
    async def story() -> None:
        await reachable(port)
        tasmota, native = Tasmota(), Native()
        async with (
            device(port, ["cmnd/t1/#"], tasmota),
            device(port, ["pilegate/n/command", "pilegate/n/ask"], native),
            driving(mqtt_bus(port), plug("t1", "tasmota-plug"), plug("n", "pilegate-native")) as (
                driver,
                recorder,
            ),
        ):
            await until(lambda: {"t1-1", "n-2"} <= {name for name, _ in recorder.samples})
            assert recorder.buses[-1][1] is BusState.OPEN
            assert states(recorder, "t1") == states(recorder, "n") == [DeviceState.ONLINE]
            await until(lambda: tasmota.power_on_state == "0")

            driver.switch_on(T1, 3_600_000)
            driver.switch_on(N2, 60_000)
            await until(lambda: len(recorder.writes) == 2)
            assert set(recorder.writes) == {
                ("t1-1", True, WriteResult.DONE),
                ("n-2", True, WriteResult.DONE),
            }
            assert (tasmota.is_on, tasmota.pulse) == (True, "3700")
            assert (native.relays[2], native.timers) == (True, {2: 60})
            await until(lambda: recorder.last("n-2").power_w == 10.5)
            await until(lambda: recorder.last("n-2").relay_on)

            driver.keep_on(N2, 120_000)
            await until(lambda: native.timers == {2: 120})

            driver.switch_off(T1, urgent=True)
            driver.switch_off(N2, urgent=True)
            await until(lambda: len(recorder.writes) == 4)
            assert {result for _, _, result in recorder.writes} == {WriteResult.DONE}
            assert not tasmota.is_on
            assert not native.relays[2]
            native.refuses = True
            driver.switch_off(N2, urgent=True)
            await until(lambda: recorder.writes[-1] == ("n-2", False, WriteResult.FAILED))

    asyncio.run(story())


def test_offs_that_waited_are_the_first_messages_of_a_connection(port: int) -> None:
    async def story() -> None:
        await reachable(port)
        recorder = Recorder()
        bus = mqtt_bus(port)
        driver = BUSES["mqtt"](
            bus, plug_site(bus, plug("n", "pilegate-native")), recorder, SystemClock()
        )
        driver.switch_off(N2, urgent=True)
        async with device(port, ["pilegate/n/#"], lambda *_: []) as module:
            running = asyncio.create_task(driver.run())
            await until(lambda: len(module.heard) >= 2)
            assert module.heard[0][0] == "pilegate/n/command"
            assert '"relay_on":false' in module.heard[0][1]
            running.cancel()
            await asyncio.wait([running])

    asyncio.run(story())


def test_retained_messages_are_no_samples(port: int) -> None:
    async def story() -> None:
        await reachable(port)
        old = json.dumps({"outlets": [{"channel": 1, "relay_on": True, "power_w": 900}]})
        async with (
            device(port, ["nothing"], lambda *_: []) as last_year,
            driving(mqtt_bus(port), plug("e", "esphome-plug"), plug("n", "pilegate-native")) as (
                driver,
                recorder,
            ),
        ):
            await until(lambda: bus_is(recorder, BusState.OPEN))
            await last_year.say("pilegate/n/telemetry", old, retain=True)
            await last_year.say("pilegate/n/online", "true", retain=True)
            await until(lambda: states(recorder, "n")[-1:] == [DeviceState.ONLINE])
            assert [name for name, _ in recorder.samples] == ["n-1"]
        assert driver.stats().errors == {}
        async with driving(mqtt_bus(port, client_id="second"), plug("n", "pilegate-native")) as (
            driver,
            recorder,
        ):
            # All retained messages come before anything that is sent now.
            await until(lambda: bus_is(recorder, BusState.OPEN))
            async with device(port, ["pilegate/n/ask"], lambda *_: []) as module:
                await until(lambda: module.heard)
            assert recorder.samples == []
            assert states(recorder, "n") == []
            driver.switch_on(N2, 60_000)
            await until(lambda: recorder.writes == [("n-2", True, WriteResult.DROPPED)])

    asyncio.run(story())


def test_a_last_will_makes_a_plug_silent_and_an_on_to_it_is_dropped(port: int) -> None:
    async def story() -> None:
        await reachable(port)
        native = Native()
        will = aiomqtt.Will("pilegate/n/online", "false", qos=1, retain=True)
        bus = mqtt_bus(port)
        async with driving(bus, plug("n", "pilegate-native")) as (driver, recorder):
            await until(lambda: bus_is(recorder, BusState.OPEN))
            async with device(
                port, ["pilegate/n/command", "pilegate/n/ask"], native, will
            ) as module:
                await until(lambda: states(recorder, "n")[-1:] == [DeviceState.ONLINE])
                await module.say("pilegate/n/online", "false", retain=True)
                await module.client.unsubscribe("pilegate/n/ask")
                await until(lambda: states(recorder, "n")[-1:] == [DeviceState.SILENT])
            assert "last will" in recorder.devices[-1][2]
            driver.switch_on(N2, 60_000)
            await until(lambda: recorder.writes == [("n-2", True, WriteResult.DROPPED)])
            async with device(
                port, ["pilegate/n/command", "pilegate/n/ask"], native, will
            ) as module:
                await module.say("pilegate/n/online", "true", retain=True)
                await until(lambda: states(recorder, "n")[-1:] == [DeviceState.ONLINE])

    asyncio.run(story())


def test_our_own_last_will_and_no_retained_command(port: int) -> None:
    async def story() -> None:
        await reachable(port)
        async with (
            device(port, ["pilegate/guard/online"], lambda *_: []) as listener,
            device(port, ["pilegate/n/command", "pilegate/n/ask"], Native()),
        ):
            async with driving(mqtt_bus(port), plug("n", "pilegate-native")) as (driver, recorder):
                await until(lambda: states(recorder, "n")[-1:] == [DeviceState.ONLINE])
                driver.switch_on(N2, 60_000)
                driver.switch_off(N2, urgent=True)
                await until(lambda: listener.heard == [("pilegate/guard/online", "true")])
            await until(lambda: listener.heard[-1] == ("pilegate/guard/online", "false"))
        async with device(port, ["#"], lambda *_: []) as late:
            # All retained messages come before anything that is sent now.
            await late.say("now", "")
            await until(lambda: ("now", "") in late.heard)
            assert late.heard == [("pilegate/guard/online", "false"), ("now", "")]

    asyncio.run(story())


@pytest.mark.usefixtures("_patient")
def test_topics_and_payloads_that_do_not_belong_are_counted(port: int) -> None:
    async def story() -> None:
        await reachable(port)
        native = Native()
        bus = mqtt_bus(port)
        async with (
            device(port, ["pilegate/n/command", "pilegate/n/ask"], native) as module,
            driving(bus, plug("n", "pilegate-native")) as (driver, recorder),
        ):
            await until(lambda: recorder.samples)
            for payload in ("not json", "[" * 5_000, '{"outlets":7}', "x" * 200_000):
                await module.say("pilegate/n/telemetry", payload)
            wrong = '{"outlets":[{"channel":1,"power_w":-1e9}]}'
            await module.say("pilegate/n/telemetry", wrong)
            await module.say("pilegate/x/telemetry", native.telemetry())
            await until(lambda: driver.stats().errors.get("value"))
            assert driver.stats().errors == {
                "json": 1,
                "depth": 1,
                "shape": 1,
                "size": 1,
                "value": 1,
            }
            count = len(recorder.samples)
            await until(lambda: len(recorder.samples) > count)
            assert states(recorder, "n") == [DeviceState.ONLINE]

    asyncio.run(story())


def test_all_off_by_itself(port: int) -> None:
    async def story() -> None:
        await reachable(port)
        tasmota, native = Tasmota(), Native()
        tasmota.is_on = native.relays[1] = native.relays[4] = True
        bus = mqtt_bus(port)
        plugs = (
            plug("t1", "tasmota-plug"),
            plug("n", "pilegate-native"),
            plug("e", "esphome-plug"),
        )
        async with (
            device(port, ["cmnd/t1/#"], tasmota),
            device(port, ["pilegate/n/command", "pilegate/n/ask"], native),
        ):
            driver = BUSES["mqtt"](bus, plug_site(bus, *plugs), Recorder(), SystemClock())
            results = dict(await driver.all_off())
        assert results == {
            OutletId("t1-1"): WriteResult.DONE,
            **{OutletId(f"n-{channel}"): WriteResult.DONE for channel in range(1, 5)},
            OutletId("e-1"): WriteResult.FAILED,  # nobody there
        }
        assert not tasmota.is_on
        assert not any(native.relays.values())

    asyncio.run(story())


def test_all_off_without_a_broker_ends(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bus_module, "_LONGEST_CONNECT_S", 1.0)

    async def story() -> None:
        bus = mqtt_bus(free_port())
        driver = BUSES["mqtt"](
            bus, plug_site(bus, plug("t1", "tasmota-plug")), Recorder(), SystemClock()
        )
        assert await driver.all_off() == [(T1, WriteResult.FAILED)]

    asyncio.run(story())


class Cutting(Recorder):
    """A sink that cuts off within the sample, as the guard does."""

    driver: MqttPlugs

    def on_sample(self, outlet_id: OutletId, sample: Sample) -> None:
        super().on_sample(outlet_id, sample)
        if outlet_id == N2 and sample.relay_on:
            self.driver.switch_off(N2, urgent=True)


@pytest.mark.usefixtures("_patient")
def test_a_cut_off_within_a_sample(port: int) -> None:
    async def story() -> None:
        await reachable(port)
        native = Native()
        bus = mqtt_bus(port)
        recorder = Cutting()
        recorder.driver = MqttPlugs(
            bus, plug_site(bus, plug("n", "pilegate-native")), recorder, SystemClock()
        )
        running = asyncio.create_task(recorder.driver.run())
        async with device(port, ["pilegate/n/command", "pilegate/n/ask"], native) as module:
            await until(lambda: states(recorder, "n")[-1:] == [DeviceState.ONLINE])
            native.relays[2] = True
            await module.say("pilegate/n/state", native.telemetry())
            await until(lambda: not native.relays[2])
            await until(lambda: ("n-2", False, WriteResult.DONE) in recorder.writes)
        running.cancel()
        await asyncio.wait([running])

    asyncio.run(story())


def test_a_huge_message_costs_little_memory_and_no_connection(port: int) -> None:
    async def story() -> None:
        await reachable(port)
        bus = mqtt_bus(port)
        async with (
            device(port, ["pilegate/n/command", "pilegate/n/ask"], Native()),
            driving(bus, plug("n", "pilegate-native")) as (driver, recorder),
            aiomqtt.Client("127.0.0.1", port) as stranger,
        ):
            await until(lambda: states(recorder, "n")[-1:] == [DeviceState.ONLINE])
            before_kib = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
            huge = bytes(48 * 1_024 * 1_024)
            own_kib = 2 * len(huge) / 1_024  # this process also sends it
            for qos in (0, 1):
                await stranger.publish("pilegate/n/telemetry", huge, qos=qos)
            await until(lambda: driver.stats().errors.get("size") == 2)
            grown_kib = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before_kib
            assert grown_kib < own_kib + 40_000
            driver.switch_off(N2, urgent=True)
            await until(lambda: (N2, False, WriteResult.DONE) in recorder.writes)
            assert [state for _, state, _ in recorder.buses].count(BusState.LOST) == 0

    asyncio.run(story())
