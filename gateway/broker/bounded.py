"""amqtt, with bounds and without its surprises: the only file that knows it from inside.

What amqtt 0.12.1 does, seen in its source and in tests, and what stands here instead:

- it never lets a silent client go, so that the will of a plug that lost its supply is never
  published; here one and a half times the keepalive is kept (MQTT 3.1.1, 3.1.2.10);
- a second connection under the same client id leaves the first one open, whose end then calls
  the client dead; here the first one ends before the second is let in, and nobody takes over
  an id without having logged in;
- it sends retained messages to clients that did not subscribe to them, raises a message's QoS
  to the subscription's, and ends a connection when another subscribes at the wrong moment;
- it reads packets of up to 256 MB, waits for ever for a client's first word and for one that
  does not read, and keeps any number of messages.
"""

from __future__ import annotations

import asyncio
import logging
from asyncio import IncompleteReadError, StreamReader, StreamWriter
from collections import deque
from collections.abc import Iterator
from contextvars import ContextVar
from dataclasses import dataclass, field
from typing import Any

from amqtt.adapters import ReaderAdapter, StreamReaderAdapter, StreamWriterAdapter, WriterAdapter
from amqtt.broker import Broker
from amqtt.errors import AMQTTError, MQTTError, NoDataError
from amqtt.mqtt.protocol.broker_handler import BrokerProtocolHandler
from amqtt.session import Session

from gateway.broker.login import Logins

log = logging.getLogger(__name__)

MAX_PACKET_BYTES = 262_144
MAX_CONNECTIONS = 1_000
FIRST_PACKET_S = 10.0
SLOWEST_READER_S = 5.0
"""A client that reads nothing for so long is let go: others' messages wait in memory for it."""
KEEPALIVE_TIMES = 1.5
MAX_RETAINED = 20_000
MAX_WAITING = 1_000
"""Messages that are kept for a client that is away; the oldest go first."""
AT_ONCE = 100
"""Messages that are handed out before others get a turn."""
TOLD_ONCE = 50

_published_qos: ContextVar[int | None] = ContextVar("published_qos", default=None)


class _Reader(StreamReaderAdapter):
    """Reads no packet that is too long, and waits no longer than the client promised."""

    def __init__(self, reader: StreamReader, writer: _Writer) -> None:
        super().__init__(reader)
        self.silence_s: float | None = FIRST_PACKET_S
        self._writer = writer

    async def read(self, n: int = -1) -> bytes:
        if n > MAX_PACKET_BYTES:
            self._writer.let_go(f"sent a packet of {n} bytes")
            raise IncompleteReadError(b"", n)
        try:
            async with asyncio.timeout(self.silence_s):
                return bytes(await super().read(n))
        except TimeoutError:
            self._writer.let_go(None)
            raise IncompleteReadError(b"", n) from None


class _Writer(StreamWriterAdapter):
    """Waits for no reader for ever."""

    def __init__(self, writer: StreamWriter, peer: str) -> None:
        super().__init__(writer)
        self._peer = peer

    async def drain(self) -> None:
        try:
            async with asyncio.timeout(SLOWEST_READER_S):
                await super().drain()
        except TimeoutError:
            self.let_go("reads nothing")
            raise ConnectionResetError("the client reads nothing") from None

    async def close(self) -> None:
        try:
            async with asyncio.timeout(SLOWEST_READER_S):
                await super().close()
        except (TimeoutError, OSError):
            self.let_go(None)

    def let_go(self, why: str | None) -> None:
        """Close without waiting for what is unsent."""
        if why is not None and not self.is_closed:
            log.warning("client %s %s: let go", self._peer, why)
        self.is_closed = True
        self._writer.transport.abort()


class _Topics(dict[str, Any]):
    """Something by topic that may change while the library walks through it."""

    def __iter__(self) -> Iterator[str]:
        return iter([*super().keys()])

    def items(self) -> Any:
        """Give what is there now."""
        return [*super().items()]


@dataclass(slots=True)
class _Served:
    """A connection that is served, and when it no longer is."""

    handler: BrokerProtocolHandler
    ended: asyncio.Event = field(default_factory=asyncio.Event)


class BoundedBroker(Broker):
    """A broker that bounds what any client may ask of it. ``logins`` None: anybody may connect."""

    def __init__(self, config: dict[str, Any], logins: Logins | None) -> None:
        super().__init__(config)
        self._logins = logins
        self._connections = 0
        self._served: dict[str, _Served] = {}
        self._told: set[str] = set()
        self._subscriptions = _Topics()
        self._retained_messages = _Topics()

    @property
    def port(self) -> int:
        """Port that is listened on."""
        server: Any = self._servers["default"].instance
        return int(server.sockets[0].getsockname()[1])

    # Connections

    async def stream_connected(
        self, reader: StreamReader, writer: StreamWriter, listener_name: str
    ) -> None:
        """Serve one connection until it ends."""
        address = writer.get_extra_info("peername") or ("?", 0)
        if self._connections >= MAX_CONNECTIONS:
            self._tell_once(f"more than {MAX_CONNECTIONS} connections: further ones are refused")
            writer.transport.abort()
            return
        self._connections += 1
        bounded = _Writer(writer, f"{address[0]}:{address[1]}")
        try:
            await self._client_connected(listener_name, _Reader(reader, bounded), bounded)
        except OSError as err:
            log.debug("%s: %s", address, err)
        except Exception as err:  # noqa: BLE001 - one client must not fill the log with traces
            log.warning("client %s:%s is let go: %r", address[0], address[1], err)
        finally:
            self._connections -= 1
            bounded.let_go(None)

    async def _initialize_client_session(
        self,
        reader: ReaderAdapter,
        writer: WriterAdapter,
        remote_address: str,
        remote_port: int,
    ) -> tuple[BrokerProtocolHandler, Session]:
        """Read the CONNECT, let the client log in, and only then end who had its id before."""
        del remote_address, remote_port
        try:
            async with asyncio.timeout(FIRST_PACKET_S):
                handler, session = await BrokerProtocolHandler.init_from_connect(
                    reader, writer, self.plugins_manager
                )
        except (AMQTTError, MQTTError, NoDataError):
            raise
        except Exception as err:
            # What is not MQTT meets the library's decoder unprepared.
            raise MQTTError(f"not MQTT: {err!r}") from err
        if not await self._may_enter(session):
            handler.attach(session, reader, writer)
            await handler.mqtt_connack_authorize(False)
            raise MQTTError("refused")
        assert isinstance(reader, _Reader)
        reader.silence_s = session.keep_alive * KEEPALIVE_TIMES or None
        session.keep_alive = 0  # the reader minds it
        await self._end_former(str(session.client_id))
        return handler, await self._resumed(session)

    async def _resumed(self, session: Session) -> Session:
        """Give the session that goes on: the one that was kept, with what the client says now."""
        client_id = str(session.client_id)
        if session.clean_session or client_id not in self._sessions:
            await self._delete_session(client_id)
            session.parent = 0
            return session
        kept, _ = self._sessions[client_id]
        for name in ("will_flag", "will_message", "will_topic", "will_qos", "will_retain"):
            setattr(kept, name, getattr(session, name))
        kept.keep_alive, kept.username = 0, session.username
        kept.clean_session, kept.is_anonymous = False, session.is_anonymous
        kept.parent = 1
        return kept

    async def _may_enter(self, session: Session) -> bool:
        if self._logins is None:
            return True
        return await self._logins.allows(session.username, session.password)

    async def _authenticate(self, session: Session, _: Any) -> bool:
        del session
        return True  # it has logged in before its session was looked up

    async def _end_former(self, client_id: str) -> None:
        """End the connection that has this id, and wait until its will is on its way."""
        served = self._served.get(client_id)
        if served is None:
            return
        await served.handler.handle_connection_closed()
        try:
            async with asyncio.timeout(SLOWEST_READER_S):
                await served.ended.wait()
        except TimeoutError:
            log.warning("client id %r: the former connection does not end", client_id)

    async def _client_message_loop(
        self, client_session: Session, handler: BrokerProtocolHandler
    ) -> None:
        client_id = str(client_session.client_id)
        served = self._served[client_id] = _Served(handler)
        try:
            await super()._client_message_loop(client_session, handler)
        finally:
            if self._served.get(client_id) is served:
                del self._served[client_id]
            served.ended.set()

    # Messages

    async def _handle_message_delivery(
        self, client_session: Session, handler: BrokerProtocolHandler, wait_deliver: Any
    ) -> bool:
        message = wait_deliver.result()
        _published_qos.set(None if message is None else message.qos)
        return bool(await super()._handle_message_delivery(client_session, handler, wait_deliver))

    async def _broadcast_message(
        self,
        session: Session | None,
        topic: str | None,
        data: bytes | bytearray | None,
        force_qos: int | None = None,
    ) -> None:
        qos = _published_qos.get() if force_qos is None else force_qos
        await super()._broadcast_message(session, topic, data, qos or 0)

    async def _run_broadcast(self, running_tasks: deque[asyncio.Task[Any]]) -> None:
        broadcast = await self._broadcast_queue.get()
        for _ in range(AT_ONCE):
            await self._hand_out(broadcast, running_tasks)
            if self._broadcast_queue.empty():
                return
            broadcast = self._broadcast_queue.get_nowait()
        await self._hand_out(broadcast, running_tasks)

    async def _hand_out(self, broadcast: Any, running_tasks: deque[asyncio.Task[Any]]) -> None:
        """Give one message to everybody who wants it, once each."""
        topic, published_qos = str(broadcast["topic"]), broadcast.get("qos", 0)
        wanted: dict[str, tuple[Session, int]] = {}
        for session, qos in self._subscribers(topic):
            client_id = str(session.client_id)
            if client_id not in wanted or wanted[client_id][1] < qos:
                wanted[client_id] = (session, qos)
        for session, subscribed_qos in wanted.values():
            qos = min(published_qos, subscribed_qos)
            if session.transitions.state == "connected":
                handler = self._get_handler(session)
                if handler is not None:
                    publish = handler.mqtt_publish(topic, broadcast["data"], qos, retain=False)
                    running_tasks.append(asyncio.ensure_future(publish))
            elif qos and not session.clean_session:
                await self._retain_broadcast_message(broadcast, qos, session)

    def _subscribers(self, topic: str) -> list[tuple[Session, int]]:
        found = [*self._subscriptions.get(topic, ())]
        for pattern, subscriptions in dict.items(self._subscriptions):
            if ("+" in pattern or "#" in pattern) and self._matches(topic, pattern):
                found += subscriptions
        return found

    async def _publish_session_retained_messages(self, session: Session) -> None:
        """Deliver what waited for a client that was away; that is no retained message."""
        handler = self._get_handler(session)
        while handler is not None and not session.retained_messages.empty():
            waiting = session.retained_messages.get_nowait()
            await handler.mqtt_publish(waiting.topic, waiting.data, waiting.qos, retain=False)

    async def _publish_retained_messages_for_subscription(
        self, subscription: tuple[str, int], session: Session
    ) -> None:
        pattern = subscription[0]
        own = [s for s, _ in self._subscriptions.get(pattern, ()) if s is session]
        if own:
            await super()._publish_retained_messages_for_subscription(subscription, session)

    async def retain_message(
        self,
        source_session: Session | None,
        topic_name: str | None,
        data: bytes | bytearray | None,
        qos: int | None = None,
    ) -> None:
        """Keep a message for whoever subscribes later, if there is room."""
        is_new = topic_name not in self._retained_messages
        if data and is_new and len(self._retained_messages) >= MAX_RETAINED:
            self._tell_once(f"{MAX_RETAINED} messages are retained: further topics are not")
            return
        await super().retain_message(source_session, topic_name, data, qos)

    async def _retain_broadcast_message(
        self, broadcast: Any, qos: int, target_session: Session
    ) -> None:
        while target_session.retained_messages.qsize() >= MAX_WAITING:
            target_session.retained_messages.get_nowait()
            self._tell_once(f"more than {MAX_WAITING} messages wait for {target_session.client_id}")
        await super()._retain_broadcast_message(broadcast, qos, target_session)

    def _tell_once(self, text: str) -> None:
        if text not in self._told and len(self._told) < TOLD_ONCE:
            self._told.add(text)
            log.warning("%s", text)
