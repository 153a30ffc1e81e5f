"""A gateway that takes nothing any more, and then everything at once: no ON may be among it."""

from __future__ import annotations

import asyncio
import os
import socket
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import pytest

from drivers.modbus.client import (
    LEAST_UNACKED_MS,
    MOST_UNACKED_MS,
    PymodbusLink,
    tcp_links,
    unacked_ms,
)
from gateway.config import ConverterBus, TcpBus
from gateway.core.ids import BusId
from tests.support.loops import Loop, on_either_loop
from tests.support.waiting import until

ON = bytes.fromhex("0007 0000 0006 01 05 0003 FF00")
BEFORE = bytes(100_000)
"""More than the far end has room for: what comes behind waits in this system."""
Bus = TcpBus | ConverterBus


def gateway(port: int, timeout_ms: int | None = 100) -> TcpBus:
    return TcpBus(id=BusId("net"), host="127.0.0.1", port=port, timeout_ms=timeout_ms)


def converter(port: int) -> ConverterBus:
    return ConverterBus(id=BusId("line"), host="127.0.0.1", port=port)


@asynccontextmanager
async def stalled(
    make: Callable[[int], Bus],
) -> AsyncIterator[tuple[PymodbusLink, socket.socket, list[str]]]:
    """Give a link with an ON that the far end has no room for, and what the link tells."""
    listener = socket.socket()
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4_096)
    listener.bind(("127.0.0.1", 0))
    listener.listen()
    listener.setblocking(False)
    told: list[str] = []
    link = tcp_links(make(listener.getsockname()[1]))()
    assert isinstance(link, PymodbusLink)
    await link.open(lambda _: None, told.append)
    peer, _ = await asyncio.get_running_loop().sock_accept(listener)
    try:
        link.send(BEFORE)
        link.send(ON)
        assert link._client is not None
        transport: Any = link._client.ctx.transport
        assert transport.get_write_buffer_size() == 0, "the ON must be in the system's hands"
        yield link, peer, told
    finally:
        link.close()
        peer.close()
        listener.close()


def is_open(number: int) -> bool:
    try:
        os.fstat(number)
    except OSError:
        return False
    return True


async def take_all(peer: socket.socket) -> bytes:
    """Read until the connection ends, one way or another."""
    taken = bytearray()
    peer.setblocking(False)
    try:
        async with asyncio.timeout(30):
            while data := await asyncio.get_running_loop().sock_recv(peer, 65_536):
                taken += data
    except ConnectionResetError:
        return bytes(taken)
    return bytes(taken)


@pytest.mark.parametrize("make", [gateway, converter])
@on_either_loop
def test_an_on_that_is_not_taken_in_time_never_arrives(
    run: Loop, make: Callable[[int], Bus]
) -> None:
    async def main() -> None:
        async with stalled(make) as (_, peer, told):
            await until(lambda: bool(told))
            assert "does not answer: check its power" in told[0]
            assert ON not in await take_all(peer)

    run(main())


@on_either_loop
def test_an_on_on_a_connection_that_was_given_up_never_arrives(run: Loop) -> None:
    async def main() -> None:
        async with stalled(gateway) as (link, peer, told):
            assert link._client is not None
            number = link._client.ctx.transport.get_extra_info("socket").fileno()
            link.close()
            await until(lambda: not is_open(number))
            assert ON not in await take_all(peer)
            assert not told

    run(main())


@on_either_loop
def test_a_connection_on_which_nothing_waits_ends_in_order(run: Loop) -> None:
    async def main() -> None:
        accepted = asyncio.Event()
        ends: list[bytes] = []

        async def peer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            await reader.readexactly(len(ON))
            accepted.set()
            ends.append(await reader.read())  # raises where the connection is reset
            writer.close()

        async with await asyncio.start_server(peer, "127.0.0.1", 0) as server:
            link = tcp_links(gateway(server.sockets[0].getsockname()[1]))()
            await link.open(lambda _: None, lambda _: None)
            link.send(ON)
            await accepted.wait()
            link.close()
            await until(lambda: bool(ends))
        assert ends == [b""]

    run(main())


def test_the_bound_follows_the_time_out() -> None:
    assert unacked_ms(gateway(502, 50)) == LEAST_UNACKED_MS
    assert unacked_ms(gateway(502, 700)) == 1_400
    assert unacked_ms(gateway(502, 10_000)) == MOST_UNACKED_MS
    assert unacked_ms(gateway(502, None)) == unacked_ms(converter(502)) == LEAST_UNACKED_MS
