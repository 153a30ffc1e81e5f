"""Far ends for real connections: they answer as a test tells them, on TCP or a pseudo-terminal."""

from __future__ import annotations

import asyncio
import contextlib
import os
import tty
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Protocol

from tests.support.modbus_script import crc

Answer = Callable[[bytes], list[bytes | float]]
"""Takes a whole request frame; gives bytes to send and seconds to wait, in order."""
CLOSE = b""
"""In place of bytes: hang up."""


Take = Callable[[asyncio.StreamReader], Awaitable[bytes]]
"""Reads one request off a connection."""


async def tcp_request(reader: asyncio.StreamReader) -> bytes:
    header = await reader.readexactly(6)
    return header + await reader.readexactly(int.from_bytes(header[4:6], "big"))


async def rtu_request(reader: asyncio.StreamReader) -> bytes:
    head = await reader.readexactly(8)
    more = 1 + head[6] if head[1] in (15, 16) else 0
    request = head + await reader.readexactly(more)
    assert crc(request[:-2]) == request[-2:], request.hex(" ")
    return request


class Peer(Protocol):
    answer: Answer
    asked: list[bytes]


class TcpPeer:
    """A listener on loopback."""

    def __init__(self, answer: Answer, take: Take) -> None:
        self.answer = answer
        self.asked: list[bytes] = []
        self.connections = 0
        self.hello: list[bytes | float] = []
        """What whoever connects is told unasked."""
        self._take = take
        self.port = 0
        self._open: set[asyncio.StreamWriter] = set()

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        self._open.add(writer)
        try:
            parts = self.hello
            while True:
                for part in parts:
                    if isinstance(part, float):
                        await asyncio.sleep(part)
                    elif part == CLOSE:
                        return
                    else:
                        writer.write(part)
                        await writer.drain()
                request = await self._take(reader)
                self.asked.append(request)
                parts = self.answer(request)
        except (asyncio.IncompleteReadError, ConnectionError):
            return
        finally:
            self._open.discard(writer)
            writer.close()

    def hang_up(self) -> None:
        for writer in tuple(self._open):
            writer.close()


@asynccontextmanager
async def tcp_peer(answer: Answer, take: Take = tcp_request) -> AsyncIterator[TcpPeer]:
    peer = TcpPeer(answer, take)
    tasks: set[asyncio.Task[None]] = set()

    def connected(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.create_task(peer.serve(reader, writer))
        tasks.add(task)
        task.add_done_callback(tasks.discard)

    server = await asyncio.start_server(connected, "127.0.0.1", 0)
    peer.port = server.sockets[0].getsockname()[1]
    try:
        yield peer
    finally:
        server.close()
        for task in tuple(tasks):
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await server.wait_closed()


class PtyPeer:
    """The far end of a serial line; requests are told apart by their length."""

    def __init__(self, path: Path, answer: Answer) -> None:
        self.answer = answer
        self.asked: list[bytes] = []
        self.path = path
        self._fd, self._slave = os.openpty()
        tty.setraw(self._slave)
        os.set_blocking(self._fd, False)
        path.symlink_to(os.ttyname(self._slave))
        self._buffer = b""
        self._loop = asyncio.get_running_loop()
        self._loop.add_reader(self._fd, self._readable)
        self._tasks: set[asyncio.Task[None]] = set()

    def _readable(self) -> None:
        with contextlib.suppress(BlockingIOError):
            self._buffer += os.read(self._fd, 1024)
        while len(self._buffer) >= 8:
            size = 9 + self._buffer[6] if self._buffer[1] in (15, 16) else 8
            if len(self._buffer) < size:
                return
            request, self._buffer = self._buffer[:size], self._buffer[size:]
            assert crc(request[:-2]) == request[-2:], request.hex(" ")
            self.asked.append(request)
            task = self._loop.create_task(self._send(self.answer(request)))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)

    async def _send(self, parts: list[bytes | float]) -> None:
        for part in parts:
            if isinstance(part, float):
                await asyncio.sleep(part)
            else:
                with contextlib.suppress(BlockingIOError):  # a full terminal loses bytes
                    os.write(self._fd, part)

    def unplug(self) -> None:
        """Pull the converter out: reads and writes fail, and the device file is gone."""
        self._loop.remove_reader(self._fd)
        self.path.unlink()
        os.close(self._fd)
        os.close(self._slave)
        self._fd = -1

    def close(self) -> None:
        for task in self._tasks:
            task.cancel()
        if self._fd >= 0:
            self.unplug()


def registers(request: bytes, values: dict[int, int]) -> bytes:
    """Give the PDU that answers a register read (a PDU) from ``values``, 0 elsewhere."""
    first, count = int.from_bytes(request[1:3], "big"), int.from_bytes(request[3:5], "big")
    data = b"".join(values.get(at, 0).to_bytes(2, "big") for at in range(first, first + count))
    return bytes((request[0], len(data))) + data


def rtu(unit: int, pdu: bytes) -> bytes:
    body = bytes((unit,)) + pdu
    return body + crc(body)


def tcp(transaction: bytes, unit: int, pdu: bytes, protocol: int = 0) -> bytes:
    size = (len(pdu) + 1).to_bytes(2, "big")
    return transaction + protocol.to_bytes(2, "big") + size + bytes((unit,)) + pdu
