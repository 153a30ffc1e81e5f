"""Modbus TCP: one asyncio server a bus; a hundred of them cost little in one process."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable
from typing import Any

from gateway.core.errors import FixInstallation
from simulators.codec import BadFrame, TcpFrame, take_tcp_frame, tcp_frame
from simulators.faults import spoil_bytes
from simulators.sites import TcpPlace
from simulators.world import Told, World
from simulators.world_clock import WorldClock

MAX_CONNECTIONS = 16
"""More than a module allows; what comes beyond is closed at once."""
MAX_BUFFER_BYTES = 8_192
MAX_WAITING = 32
SPOILABLE_BYTES = 9
"""Header, function and byte count: TCP's own checksum guards the values behind them."""


class TcpServer:
    """Listens for one bus."""

    def __init__(
        self,
        world: World,
        place: TcpPlace,
        clock: WorldClock,
        report: Callable[[dict[str, Any]], None],
    ) -> None:
        self.place = place
        self.world = world
        self.clock = clock
        self.report = report
        self.requests = 0
        self.answers = 0
        self._connections: set[_Connection] = set()
        self._server: asyncio.Server | None = None

    async def start(self) -> int:
        """Listen; gives the port. Raises FixInstallation when it can't be had."""
        loop = asyncio.get_running_loop()
        host, port = self.place.host, self.place.port
        try:
            self._server = await loop.create_server(
                lambda: _Connection(self), host, port, reuse_address=True
            )
        except OSError as err:
            raise FixInstallation(
                f"{host}:{port} of bus {self.place.id} can't be listened on"
                f" ({err.strerror or err}): end what uses it, or choose another port"
            ) from err
        bound: int = self._server.sockets[0].getsockname()[1]
        return bound

    async def close(self) -> None:
        """Stop listening and drop every connection."""
        if self._server is None:
            return
        self._server.close()
        for connection in [*self._connections]:
            connection.abort()
        await self._server.wait_closed()

    def babble(self) -> None:
        """Send the garbage that is due."""
        garbage = self.world.babble(self.place.id, self.clock.now_s())
        if garbage:
            for connection in self._connections:
                connection.send_raw(garbage)

    def admit(self, connection: _Connection) -> bool:
        """Take a connection in, unless there are too many."""
        if len(self._connections) >= MAX_CONNECTIONS:
            return False
        self._connections.add(connection)
        return True

    def leave(self, connection: _Connection) -> None:
        self._connections.discard(connection)

    def stats(self) -> dict[str, Any]:
        """Counters since the start."""
        return {"bus": self.place.id, "requests": self.requests, "answers": self.answers}


class _Connection(asyncio.Protocol):
    """One client: requests are carried out in their order, each after the turn-around."""

    def __init__(self, server: TcpServer) -> None:
        self._server = server
        self._transport: asyncio.Transport | None = None
        self._buffer = bytearray()
        self._waiting: deque[tuple[TcpFrame, int]] = deque()
        self._busy = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport
        if not self._server.admit(self):
            transport.abort()

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002 - asyncio's signature
        self._transport = None
        self._waiting.clear()
        self._server.leave(self)

    def data_received(self, data: bytes) -> None:
        received_ns = self._server.clock.now_ns()
        self._buffer += data
        try:
            while True:
                frame, used = take_tcp_frame(bytes(self._buffer))
                if frame is None:
                    break
                del self._buffer[:used]
                self._waiting.append((frame, received_ns))
        except BadFrame:
            self.abort()
            return
        if len(self._buffer) > MAX_BUFFER_BYTES or len(self._waiting) > MAX_WAITING:
            self.abort()
            return
        if not self._busy:
            self._serve_next()

    def abort(self) -> None:
        if self._transport is not None:
            self._transport.abort()

    def send_raw(self, data: bytes) -> None:
        if self._transport is not None and not self._transport.is_closing():
            self._transport.write(data)

    def _serve_next(self) -> None:
        server = self._server
        self._busy = False
        while self._waiting and not self._busy:
            frame, received_ns = self._waiting.popleft()
            server.requests += 1
            now_s = server.clock.now_s()
            bus = server.place.id
            if frame.unit == 0 and not server.world.has_unit(bus, 0):
                server.world.broadcast(bus, frame.pdu, now_s, received_ns)
                continue
            told = server.world.ask(bus, frame.unit, frame.pdu, now_s, received_ns)
            if told is not None:
                self._busy = True
                loop = asyncio.get_running_loop()
                loop.call_later(told.turnaround_s, self._turned_around, told, frame.transaction)

    def _turned_around(self, told: Told, transaction: int) -> None:
        if told.answer.delay_s > 0:
            loop = asyncio.get_running_loop()
            loop.call_later(told.answer.delay_s, self._send, told, transaction)
        else:
            self._send(told, transaction)
        self._serve_next()

    def _send(self, told: Told, transaction: int) -> None:
        if self._transport is None or self._transport.is_closing():
            return
        answer = told.answer
        frame = tcp_frame(transaction, answer.unit, answer.pdu)
        frame = spoil_bytes(frame, answer, spoilable=SPOILABLE_BYTES)
        self._server.answers += 1
        sent_ns = self._server.clock.now_ns()
        if answer.pieces == 1:
            self._transport.write(frame)
        else:
            self._send_pieces(frame, answer.pieces)
        for outlet in told.over:
            self._server.report({"kind": "over", "outlet": outlet, "mono_ns": sent_ns})

    def _send_pieces(self, frame: bytes, pieces: int) -> None:
        loop = asyncio.get_running_loop()
        size = -(-len(frame) // pieces)
        for index in range(0, len(frame), size):
            loop.call_later(0.005 * index / size, self.send_raw, frame[index : index + size])
