"""The connection to a real broker: refused, secured, lost and found again."""

from __future__ import annotations

import asyncio
import shutil
import signal
import socket
import ssl
import struct
import subprocess
from pathlib import Path

import aiomqtt
import pytest

from drivers.mqtt import bus as bus_module
from drivers.mqtt.link import BrokerLink
from drivers.mqtt.sockets import UNACKED_MS
from gateway.config import MqttTls
from gateway.guard.model import BusState, DeviceState, WriteResult
from tests.support.modbus_site import Recorder
from tests.support.mosquitto import mosquitto
from tests.support.mqtt_driving import N2, Native, bus_is, driving, states
from tests.support.mqtt_site import (
    device,
    mqtt_bus,
    plug,
    reachable,
)
from tests.support.ports import free_port
from tests.support.waiting import until

pytestmark = pytest.mark.mosquitto


def detail(recorder: Recorder) -> str:
    return recorder.buses[-1][2]


def test_a_broker_that_is_away_makes_its_plugs_silent_and_gets_the_offs_first(
    tmp_path: Path,
) -> None:
    port = free_port()

    async def story() -> None:
        bus = mqtt_bus(port)
        native = Native()
        async with driving(bus, plug("n", "pilegate-native")) as (driver, recorder):
            await until(lambda: bus_is(recorder, BusState.LOST))
            assert (
                detail(recorder) == f"127.0.0.1:{port} refuses connections: is the broker running?"
            )
            assert recorder.devices[-1][:2] == ("n", DeviceState.SILENT)
            driver.switch_on(N2, 60_000)
            await until(lambda: recorder.writes == [("n-2", True, WriteResult.DROPPED)])

            with mosquitto(tmp_path, port) as broker:
                await reachable(port)
                async with device(port, ["pilegate/n/command", "pilegate/n/ask"], native):
                    await until(lambda: states(recorder, "n")[-1:] == [DeviceState.ONLINE])
                    driver.switch_on(N2, 60_000)
                    await until(lambda: native.relays[2])
                    broker.kill()
                    await until(lambda: states(recorder, "n")[-1:] == [DeviceState.SILENT])
            driver.switch_off(N2, urgent=True)
            await until(lambda: recorder.writes[-1] == ("n-2", False, WriteResult.FAILED))
            assert native.relays[2]

            with mosquitto(tmp_path, port):
                await reachable(port)
                async with device(port, ["pilegate/n/command", "pilegate/n/ask"], native) as module:
                    await until(lambda: bus_is(recorder, BusState.OPEN))
                    for _ in range(20):  # as the guard does, until it is seen off
                        if not native.relays[2]:
                            break
                        driver.switch_off(N2, urgent=True)
                        await asyncio.sleep(1.0)
                    assert not native.relays[2]
                    assert all('relay_on":true' not in payload for _, payload in module.heard)

    asyncio.run(story())


def test_a_wrong_password_and_a_missing_one_say_so(tmp_path: Path) -> None:
    port = free_port()
    users = tmp_path / "users"
    subprocess.run(
        ["mosquitto_passwd", "-b", "-c", str(users), "guard", "right"], check=True, timeout=60
    )
    (tmp_path / "wrong").write_text("wrong\n", encoding="utf-8")
    (tmp_path / "right").write_text("right\n", encoding="utf-8")

    async def lost(**changes: object) -> str:
        bus = mqtt_bus(port, **changes)
        async with driving(bus, plug("n", "pilegate-native")) as (_, recorder):
            await until(lambda: bus_is(recorder, BusState.OPEN, BusState.LOST))
            return detail(recorder)

    async def story() -> None:
        await reachable(port)
        where = f"127.0.0.1:{port}"
        assert await lost() == (
            f"{where} does not let a client without a password in: add username of bus plugs"
        )
        assert await lost(username="guard", password_file=tmp_path / "wrong") == (
            f"{where} does not let user 'guard' in: check username and password_file of bus plugs"
        )
        missing = tmp_path / "missing"
        assert f"can't read password_file {missing}" in await lost(
            username="guard", password_file=missing
        )
        assert await lost(username="guard", password_file=tmp_path / "right") == where

    with mosquitto(tmp_path, port, f"password_file {users}"):
        asyncio.run(story())


def test_a_client_id_that_another_client_takes(tmp_path: Path) -> None:
    port = free_port()

    async def story() -> None:
        await reachable(port)
        bus = mqtt_bus(port)
        async with driving(bus, plug("n", "pilegate-native")) as (_, recorder):
            for _ in range(bus_module.TAKEN_AFTER + 1):
                await until(lambda: bus_is(recorder, BusState.OPEN))
                async with aiomqtt.Client("127.0.0.1", port, identifier="guard"):
                    await until(lambda: bus_is(recorder, BusState.LOST))
            lost = [text for _, state, text in recorder.buses if state is BusState.LOST]
            assert "another client may use the client_id 'guard'" in lost[-1]

    with mosquitto(tmp_path, port):
        asyncio.run(story())


@pytest.mark.ahead
def test_a_broker_that_stops_in_the_middle_is_found_out(tmp_path: Path) -> None:
    port = free_port()

    async def story(broker: subprocess.Popen[bytes]) -> None:
        await reachable(port)
        bus = mqtt_bus(port, keepalive_s=5)
        async with (
            device(port, ["pilegate/n/command", "pilegate/n/ask"], Native()),
            driving(bus, plug("n", "pilegate-native")) as (_, recorder),
        ):
            await until(lambda: states(recorder, "n")[-1:] == [DeviceState.ONLINE])
            broker.send_signal(signal.SIGSTOP)
            try:
                await until(lambda: states(recorder, "n")[-1] is DeviceState.SILENT)
                assert recorder.buses[-1][1] is BusState.OPEN
                await until(lambda: bus_is(recorder, BusState.LOST))
            finally:
                broker.send_signal(signal.SIGCONT)
            await until(lambda: states(recorder, "n")[-1] is DeviceState.ONLINE)

    with mosquitto(tmp_path, port) as broker:
        asyncio.run(story(broker))


@pytest.mark.skipif(shutil.which("openssl") is None, reason="no openssl on this machine")
def test_tls_with_the_broker_s_authority_and_without(tmp_path: Path) -> None:
    port = free_port()
    key, cert = tmp_path / "key.pem", tmp_path / "cert.pem"
    subject = ["-subj", "/CN=localhost", "-addext", "subjectAltName=DNS:localhost,IP:127.0.0.1"]
    made = ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", *subject]
    subprocess.run(
        [*made, "-keyout", str(key), "-out", str(cert)], check=True, capture_output=True, timeout=60
    )

    async def story() -> None:
        await reachable(port)
        native = Native()
        secured = mqtt_bus(port, tls=MqttTls(ca=cert))
        context = ssl.create_default_context(cafile=cert)
        async with (
            aiomqtt.Client("127.0.0.1", port, tls_context=context) as module,
            driving(secured, plug("n", "pilegate-native")) as (driver, recorder),
        ):
            await until(lambda: bus_is(recorder, BusState.OPEN))
            # More than one TLS record at once: none may be left lying.
            for _ in range(200):
                await module.publish("pilegate/n/telemetry", native.telemetry())
            await until(lambda: len(recorder.samples) == 800)
            driver.switch_off(N2, urgent=True)
            assert driver.stats().errors == {}
        async with driving(mqtt_bus(port, tls=MqttTls()), plug("n", "pilegate-native")) as (
            _,
            recorder,
        ):
            await until(lambda: bus_is(recorder, BusState.LOST))
            assert "TLS fails (" in detail(recorder)
            assert "check tls.ca and the host name" in detail(recorder)

    lines = (f"certfile {cert}", f"keyfile {key}", "allow_anonymous true")
    with mosquitto(tmp_path, port, *lines):
        asyncio.run(story())


def test_a_connection_keeps_nothing_back_for_a_network_that_returns(tmp_path: Path) -> None:
    port = free_port()

    async def story() -> None:
        await reachable(port)
        link = BrokerLink(mqtt_bus(port), lambda *_: None)
        await link.open()
        assert link._client is not None
        sock = link._client._client.socket()
        assert isinstance(sock, socket.socket)
        assert sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT) == UNACKED_MS
        linger = sock.getsockopt(socket.SOL_SOCKET, socket.SO_LINGER, 8)
        assert struct.unpack("ii", linger) == (1, 0)
        await link.close()

    with mosquitto(tmp_path, port):
        asyncio.run(story())
