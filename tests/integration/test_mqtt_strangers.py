"""Where a broker should be there is none: no such host, nobody who speaks, or rubbish."""

from __future__ import annotations

import asyncio
import random
from contextlib import suppress

from drivers.mqtt.link import BrokerLink, LinkLost
from gateway.guard.model import BusState
from tests.support.modbus_site import Recorder
from tests.support.mqtt_driving import bus_is, driving
from tests.support.mqtt_site import (
    WITHIN_S,
    mqtt_bus,
    plug,
)
from tests.support.waiting import until


def detail(recorder: Recorder) -> str:
    return recorder.buses[-1][2]


def test_a_host_that_is_unknown_and_a_server_that_says_nothing() -> None:
    async def story() -> None:
        async with driving(
            mqtt_bus(1, host="no-such-host.invalid"), plug("n", "pilegate-native")
        ) as (
            _,
            recorder,
        ):
            await until(lambda: bus_is(recorder, BusState.LOST))
            assert detail(recorder).startswith("host 'no-such-host.invalid' is unknown")
        held: list[asyncio.StreamWriter] = []
        server = await asyncio.start_server(lambda _, writer: held.append(writer), "127.0.0.1", 0)
        port = server.sockets[0].getsockname()[1]
        async with driving(mqtt_bus(port), plug("n", "pilegate-native")) as (_, recorder):
            await until(lambda: bus_is(recorder, BusState.LOST))
            assert "accepts the connection and says nothing" in detail(recorder)
        for writer in held:
            writer.close()
        server.close()
        await server.wait_closed()

    asyncio.run(story())


def test_a_server_that_speaks_something_else_is_named_and_left() -> None:
    """After a proper CONNACK comes rubbish: it must neither spin nor end the driver."""
    rng = random.Random(3)

    async def rubbish(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read(1_000)
        writer.write(b"\x20\x02\x00\x00")
        await reader.read(1_000)
        writer.write(rng.randbytes(400))
        with suppress(OSError):
            await reader.read()
        writer.close()

    async def story() -> None:
        server = await asyncio.start_server(rubbish, "127.0.0.1", 0)
        port = server.sockets[0].getsockname()[1]
        async with driving(mqtt_bus(port), plug("n", "pilegate-native")) as (driver, recorder):
            await until(lambda: len({text for _, _, text in recorder.buses}) > 1)
            await until(lambda: bus_is(recorder, BusState.LOST))
            assert driver.stats().queue_depth == 0
        server.close()

    asyncio.run(story())


def test_rubbish_after_the_handshake_ends_each_connection() -> None:
    ends: list[str] = []

    async def meet(seed: int) -> None:
        rng = random.Random(seed)

        async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            await reader.read(1_000)
            writer.write(b"\x20\x02\x00\x00")
            rubbish = bytearray(rng.randbytes(rng.choice([2, 3, 20, 400])))
            rubbish[0] = rng.choice([rubbish[0], 0x30, 0x32, 0x34, 0x40, 0x62, 0x90, 0xD0, 0x20])
            rubbish[1] = rng.choice([rubbish[1], rng.randrange(20)])
            writer.write(bytes(rubbish))
            await asyncio.sleep(0.02)
            writer.close()

        server = await asyncio.start_server(answer, "127.0.0.1", 0)
        port = server.sockets[0].getsockname()[1]
        link = BrokerLink(mqtt_bus(port), lambda *_: None)
        try:
            await link.open()
            async with asyncio.timeout(WITHIN_S):
                ends.append(await link.lost())
        except LinkLost as err:
            ends.append(str(err))
        finally:
            await link.close()
            server.close()

    async def story() -> None:
        await asyncio.gather(*(meet(seed) for seed in range(40)))

    asyncio.run(story())
    assert len(ends) == 40
    assert all(text.startswith("127.0.0.1:") for text in ends)
