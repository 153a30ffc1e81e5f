"""A device's connection to its broker: a small client that can also fall silent.

A plug that loses its supply or its radio closes nothing: the connection stays half open until
the broker misses its pings, or until the plug comes back under the same client id.
"""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Callable, Sequence

from gateway.core.errors import TryLater
from simulators.mqtt import packets
from simulators.mqtt.message import Message
from simulators.mqtt.packets import BadPacket, Login, Packet

CONNECT_TIMEOUT_S = 10.0
MAX_UNSENT_BYTES = 4_000_000
"""A broker that reads nothing: what is published beyond this is dropped, as a plug does."""

Hear = Callable[[Message, int], None]
"""Takes a message and the monotonic ns at which its bytes arrived."""


class Link(asyncio.Protocol):
    """One connection. ``gone`` is set when it is of no more use."""

    def __init__(self, login: Login, hear: Hear, now_ns: Callable[[], int]) -> None:
        self.gone = asyncio.Event()
        self.sent = 0
        self.dropped = 0
        self._login = login
        self._hear = hear
        self._now_ns = now_ns
        self._transport: asyncio.Transport | None = None
        self._accepted: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._buffer = bytearray()
        self._packet_id = 0
        self._frozen = False
        self._ping_answered = True
        self._pinger: asyncio.TimerHandle | None = None

    # asyncio's side

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport
        transport.write(packets.connect(self._login))

    def connection_lost(self, exc: Exception | None) -> None:
        self._transport = None
        if self._pinger is not None:
            self._pinger.cancel()
        self._fail(TryLater(f"the broker closed the connection ({exc or 'without a word'})"))
        self.gone.set()

    def data_received(self, data: bytes) -> None:
        received_ns = self._now_ns()
        if self._frozen:
            return
        self._buffer += data
        try:
            while not self._frozen:
                packet, used = packets.take_packet(self._buffer)
                if packet is None:
                    return
                del self._buffer[:used]
                self._take(packet, received_ns)
        except BadPacket as err:
            self._fail(TryLater(f"the broker does not speak MQTT 3.1.1: {err}"))
            self.abort()

    def _take(self, packet: Packet, received_ns: int) -> None:
        if not self._accepted.done():
            code = packets.connack_code(packet)
            if code == 0:
                self._accepted.set_result(None)
            else:
                self._fail(TryLater(packets.REFUSALS.get(code, f"refused with code {code}")))
                self.abort()
        elif packet.kind == packets.PUBLISH:
            arrived = packets.received(packet)
            if arrived.packet_id is not None:
                self._write(packets.puback(arrived.packet_id))
            self._hear(arrived.message, received_ns)
        elif packet.kind == packets.PINGRESP:
            self._ping_answered = True

    def _fail(self, error: Exception) -> None:
        if not self._accepted.done():
            self._accepted.set_exception(error)
            self._accepted.exception()  # told to whoever waits; nobody may

    # The device's side

    async def accepted(self) -> None:
        """Wait for the broker's word. Raises TryLater."""
        await self._accepted
        self._ping_later()

    def subscribe(self, filters: Sequence[tuple[str, int]]) -> None:
        """Subscribe to ``(filter, qos)``."""
        if filters:
            self._write(packets.subscribe(self._next_id(), filters))

    def publish(self, message: Message, *, duplicate: bool = False) -> bool:
        """Publish, if the connection is there and the broker reads."""
        transport = self._transport
        if self._frozen or transport is None or transport.is_closing():
            return False
        if transport.get_write_buffer_size() > MAX_UNSENT_BYTES:
            self.dropped += 1
            return False
        # At QoS 0 a second one is a message of its own (3.3.1.1).
        is_marked = duplicate and message.qos > 0
        transport.write(packets.publish(message, self._next_id(), duplicate=is_marked))
        self.sent += 1
        return True

    def freeze(self) -> None:
        """Fall silent without closing: no word is sent, no ping, and none is heard."""
        self._frozen = True
        if self._pinger is not None:
            self._pinger.cancel()
        self.gone.set()

    def abort(self) -> None:
        """Close without a DISCONNECT: the broker publishes the will."""
        if self._transport is not None:
            self._transport.abort()

    def disconnect(self) -> None:
        """Take leave in order: the broker forgets the will."""
        if self._transport is not None:
            self._write(packets.DISCONNECT)
            self._transport.close()

    def _write(self, data: bytes) -> None:
        if self._transport is not None and not self._frozen:
            self._transport.write(data)

    def _next_id(self) -> int:
        self._packet_id = self._packet_id % 0xFFFF + 1
        return self._packet_id

    def _ping_later(self) -> None:
        if self._login.keepalive_s > 0 and self._transport is not None:
            loop = asyncio.get_running_loop()
            self._pinger = loop.call_later(self._login.keepalive_s * 0.7, self._ping)

    def _ping(self) -> None:
        if not self._ping_answered:
            self.abort()
            return
        self._ping_answered = False
        self._write(packets.PINGREQ)
        self._ping_later()


async def open_link(
    host: str,
    port: int,
    login: Login,
    *,
    hear: Hear,
    now_ns: Callable[[], int],
    tls: ssl.SSLContext | None = None,
) -> Link:
    """Connect and log in. Raises OSError, TimeoutError, or TryLater when the broker refuses."""
    loop = asyncio.get_running_loop()
    link: Link | None = None
    try:
        async with asyncio.timeout(CONNECT_TIMEOUT_S):
            _, link = await loop.create_connection(
                lambda: Link(login, hear, now_ns), host, port, ssl=tls
            )
            await link.accepted()
    except BaseException:
        if link is not None:
            link.abort()
        raise
    return link
