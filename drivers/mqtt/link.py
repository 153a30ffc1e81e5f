"""One connection to a broker as the driver sees it; the only file that knows aiomqtt."""

from __future__ import annotations

import asyncio
import logging
import socket
import ssl
import threading
from collections import deque
from collections.abc import Callable, Sequence
from typing import Protocol

import aiomqtt
from aiomqtt.exceptions import MqttConnectError
from paho.mqtt.reasoncodes import ReasonCode

from drivers.mqtt.credentials import credentials
from drivers.mqtt.sockets import (
    UNACKED_MS,
    ReadAhead,
    SocketLike,
    flush_at_close,
    forget_excess,
)
from drivers.mqtt.words import Out
from drivers.sockets import socket_options
from gateway.config import MqttBus
from gateway.core.errors import FixInstallation

log = logging.getLogger(__name__)

CONNECT_TIMEOUT_S = 5.0
MAX_WAITING = 2_000
"""Messages of one read; beyond that the oldest is dropped, and counted."""
READ_AT_ONCE = 20
"""So many reads are made before others in the loop have their turn."""
_TOPICS_AT_ONCE = 50
_SAYS_NOTHING = "Operation timed out"
"""What aiomqtt says when CONNACK does not come; no answer to TCP is another error's text."""
_FORBIDDEN = 0x80
"""Return code of SUBACK (MQTT 3.1.1, 3.9.3)."""
_BAD_LOGIN = {4, 5, 134, 135}
"""Return codes 4 and 5 of MQTT 3.1.1, 3.2.2.3, and the reason codes paho makes of them."""

_GONE = {
    # What paho makes of the end of a connection under MQTT 3.1.1, which has no words for it.
    128: "closed without a word",
    130: "it sent what is no MQTT",
    141: "no answer to a ping",
}

OnMessage = Callable[[str, bytes, bool], None]
"""Topic, payload, and whether the broker had kept it (retained)."""


class LinkLost(Exception):
    """No connection, or no more; says why in one line."""

    def __init__(self, detail: str, *, is_login: bool = False) -> None:
        super().__init__(detail)
        self.is_login = is_login
        """The broker does not let this client in: asking again soon is of no use."""


class Link(Protocol):
    """What the driver asks of a connection. One link is one connection."""

    async def open(self) -> None:
        """Connect. Raises LinkLost."""
        ...

    async def subscribe(self, topics: Sequence[str]) -> None:
        """Subscribe. Raises LinkLost."""
        ...

    def publish(self, out: Out, *, qos: int) -> bool:
        """Hand a message to the socket in this very call. False when that was not possible."""
        ...

    async def lost(self) -> str:
        """Wait until the connection is gone, and say why."""
        ...

    async def close(self) -> None: ...

    @property
    def dropped(self) -> int:
        """Messages that were dropped because too many waited."""
        ...


OpenLink = Callable[[OnMessage], Link]


def broker_links(bus: MqttBus) -> OpenLink:
    """Make links to the broker of a bus."""
    return lambda on_message: BrokerLink(bus, on_message)


class BrokerLink:
    """A connection by aiomqtt."""

    def __init__(self, bus: MqttBus, on_message: OnMessage) -> None:
        self._bus = bus
        self._where = f"{bus.host}:{bus.port}"
        self._on_message = on_message
        self._client: aiomqtt.Client | None = None
        self._waiting: deque[aiomqtt.Message] = deque()
        self._presence = f"pilegate/{bus.client_id}/online"
        self._rubbish = ""
        self._ahead: ReadAhead | None = None
        self.dropped = 0

    async def open(self) -> None:
        # Files are read elsewhere: a bundle of authorities takes longer than a cut-off may wait.
        try:
            password, tls = await asyncio.to_thread(credentials, self._bus)
        except FixInstallation as err:
            raise LinkLost(str(err)) from err
        client = self._make_client(password, tls)
        opening = asyncio.ensure_future(client.__aenter__())
        try:
            await asyncio.shield(opening)
        except asyncio.CancelledError:
            # The library connects in a thread, which can't be cancelled: it must not be left
            # to hand a socket to a loop that is gone.
            await asyncio.wait([opening], timeout=CONNECT_TIMEOUT_S)
            if opening.done() and not opening.cancelled():
                opening.exception()
            _tear(client)
            raise
        except aiomqtt.MqttError as err:
            _tear(client)
            raise self._explained(err) from err
        except (OSError, ValueError) as err:
            _tear(client)
            raise LinkLost(f"{self._where}: {err}") from err
        if client._client.socket() is None:  # noqa: SLF001 - aiomqtt forgets an end so early
            taken = f"is client_id {self._bus.client_id!r} taken or forbidden?"
            raise LinkLost(f"{self._where} closes the connection as soon as it is open: {taken}")
        self._client = client
        self._watch_reads(client)
        self.publish(Out(self._presence, "true"), qos=1)

    def _make_client(self, password: str | None, tls: ssl.SSLContext | None) -> aiomqtt.Client:
        bus, link = self._bus, self

        class Inbox(asyncio.Queue[aiomqtt.Message]):
            def put_nowait(self, item: aiomqtt.Message) -> None:
                link._received(item)

        client = aiomqtt.Client(
            bus.host,
            bus.port,
            username=bus.username,
            password=password,
            identifier=bus.client_id,
            queue_type=Inbox,
            protocol=aiomqtt.ProtocolVersion.V311,
            will=aiomqtt.Will(self._presence, "false", qos=1, retain=True),
            # Nothing of an old session is wanted: neither its messages nor its commands.
            clean_session=True,
            timeout=CONNECT_TIMEOUT_S,
            keepalive=bus.keepalive_s,
            max_inflight_messages=0,
            tls_context=tls,
            socket_options=socket_options(UNACKED_MS),
            logger=_silent(),
        )
        client._client.connect_timeout = CONNECT_TIMEOUT_S  # noqa: SLF001 - not offered otherwise
        client._disconnected.add_done_callback(_look_at)  # noqa: SLF001 - as in _look_at
        self._ahead = ReadAhead(client._client)  # noqa: SLF001 - as in publish
        _Writes(client)
        return client

    def _watch_reads(self, client: aiomqtt.Client) -> None:
        """Read packets that are there, up to a bound: aiomqtt takes one a turn of the loop."""
        paho = client._client  # noqa: SLF001 - as in publish
        sock = paho.socket()
        assert sock is not None
        loop = asyncio.get_running_loop()

        def is_more() -> bool:
            """Say whether there is more that the socket does not show."""
            if paho.socket() is not sock or sock.fileno() < 0:
                return False
            ahead = self._ahead is not None and self._ahead.holds_more
            return ahead or (isinstance(sock, ssl.SSLSocket) and sock.pending() > 0)

        def read() -> None:
            for _ in range(READ_AT_ONCE):
                try:
                    paho.loop_read()
                except Exception as err:  # noqa: BLE001 - paho raises many kinds on rubbish
                    self._rubbish = f"{self._where} sends no MQTT ({err!r}): is it a broker?"
                    _tear(client)
                    return
                forget_excess(paho)
                self._hand_over()
                if not is_more():
                    return
            loop.call_soon(read)

        loop.add_reader(sock.fileno(), read)
        if is_more():
            loop.call_soon(read)

    async def subscribe(self, topics: Sequence[str]) -> None:
        client = self._client
        if client is None:
            raise LinkLost("not connected")
        try:
            for first in range(0, len(topics), _TOPICS_AT_ONCE):
                part = topics[first : first + _TOPICS_AT_ONCE]
                granted: Sequence[int | ReasonCode] = await client.subscribe(
                    [(topic, 1) for topic in part]
                )
                for topic, code in zip(part, granted, strict=False):
                    if (code if isinstance(code, int) else int(code.value)) >= _FORBIDDEN:
                        raise LinkLost(
                            f"{self._where} forbids to read {topic}: see the broker's access list",
                            is_login=True,
                        )
        except aiomqtt.MqttError as err:
            raise self._explained(err) from err

    def publish(self, out: Out, *, qos: int) -> bool:
        client = self._client
        if client is None:
            return False
        # aiomqtt's publish is a coroutine that sends when it is first awaited: a cut-off would
        # leave a turn of the loop later. Paho queues and lets itself be told to write.
        paho = client._client  # noqa: SLF001
        retain = out.topic == self._presence
        try:
            info = paho.publish(out.topic, out.payload, qos=qos, retain=retain)
            if info.rc != 0:
                return False
            return paho.loop_write() == 0
        except (OSError, ValueError, RuntimeError) as err:
            log.warning("bus %s: can't send to %s: %s", self._bus.id, out.topic, err)
            return False

    async def lost(self) -> str:
        client = self._client
        if client is None:
            return "not connected"
        try:
            async for _ in client.messages:  # none comes this way; it ends with the connection
                continue
        except aiomqtt.MqttError as err:
            return self._rubbish or str(self._explained(err))
        return f"{self._where} closed the connection"

    async def close(self) -> None:
        client, self._client = self._client, None
        self._waiting.clear()
        if client is None:
            return
        paho = client._client  # noqa: SLF001 - as in publish
        if paho.is_connected():
            flush_at_close(paho.socket())
            paho.publish(self._presence, "false", qos=1, retain=True)
        _tear(client)

    # ------------------------------------------------------------ what comes in

    def _received(self, message: aiomqtt.Message) -> None:
        """Keep a message for a moment: paho holds a lock while it calls this."""
        if len(self._waiting) >= MAX_WAITING:
            self._waiting.popleft()
            self.dropped += 1
        self._waiting.append(message)

    def _hand_over(self) -> None:
        """Hand over what was read; what one causes to be sent leaves before the next."""
        while self._waiting:
            message = self._waiting.popleft()
            payload = message.payload
            body = payload if isinstance(payload, bytes) else str(payload or "").encode()
            self._on_message(message.topic.value, body, message.retain)

    # ------------------------------------------------------------ what goes wrong

    def _explained(self, err: aiomqtt.MqttError) -> LinkLost:
        bus, where = self._bus, self._where
        if isinstance(err, MqttConnectError):
            return self._not_let_in(err)
        cause = err.__cause__ or err.__context__
        if str(err) == _SAYS_NOTHING:
            return LinkLost(f"{where} accepts the connection and says nothing: is it a broker?")
        if isinstance(cause, ConnectionRefusedError):
            return LinkLost(f"{where} refuses connections: is the broker running?")
        if isinstance(cause, socket.gaierror):
            return LinkLost(f"host {bus.host!r} is unknown: check its name and the network")
        if isinstance(cause, ssl.SSLError):
            reason = getattr(cause, "verify_message", "") or cause.reason or cause
            return LinkLost(f"{where}: TLS fails ({reason}): check tls.ca and the host name")
        if isinstance(cause, TimeoutError):
            return LinkLost(f"{where} does not answer: check host, port and network")
        if isinstance(cause, aiomqtt.MqttCodeError):
            return LinkLost(f"{where} is gone ({_words(cause)})")
        return LinkLost(f"{where}: {err}")

    def _not_let_in(self, err: MqttConnectError) -> LinkLost:
        bus, where = self._bus, self._where
        code = err.rc if isinstance(err.rc, int) else getattr(err.rc, "value", None)
        if code in _BAD_LOGIN:
            who = f"user {bus.username!r}" if bus.username else "a client without a password"
            how = "check username and password_file" if bus.username else "add username"
            return LinkLost(f"{where} does not let {who} in: {how} of bus {bus.id}", is_login=True)
        return LinkLost(f"{where} does not let client {bus.client_id!r} in: {_words(err)}")


class _Writes:
    """Watches the socket for room, only while something waits to be written.

    aiomqtt registers a little later than paho asks for it. What is written at once meanwhile
    would leave the socket watched for ever, which keeps the loop turning without a pause.
    """

    def __init__(self, client: aiomqtt.Client) -> None:
        self._client = client
        self._paho = client._client  # noqa: SLF001 - as in publish
        self._loop = asyncio.get_running_loop()
        self._thread = threading.get_ident()
        self._paho.on_socket_register_write = self._wanted
        self._paho.on_socket_unregister_write = self._unwanted

    def _wanted(self, _client: object, _userdata: object, sock: SocketLike) -> None:
        self._loop.call_soon_threadsafe(self._watch, sock)

    def _watch(self, sock: SocketLike) -> None:
        is_ours = self._paho.want_write() and self._paho.socket() == sock
        if is_ours and sock.fileno() >= 0:
            self._loop.add_writer(sock.fileno(), self._write)

    def _write(self) -> None:
        try:
            self._paho.loop_write()
        except (OSError, ValueError) as err:
            log.debug("writing: %s", err)
            _tear(self._client)

    def _unwanted(self, _client: object, _userdata: object, sock: SocketLike) -> None:
        fileno = sock.fileno()
        if fileno < 0:
            return
        if threading.get_ident() == self._thread:
            self._loop.remove_writer(fileno)
        else:
            self._loop.call_soon_threadsafe(self._loop.remove_writer, fileno)


def _words(err: aiomqtt.MqttCodeError) -> str:
    code = err.rc if isinstance(err.rc, int) else getattr(err.rc, "value", None)
    told = str(err).partition("] ")[2] or str(err)
    return _GONE.get(code or 0, told.lower())


def _silent() -> logging.Logger:
    """Keep the library's own lines back: the driver says what matters, once."""
    logger = logging.getLogger(f"{__name__}.aiomqtt")
    logger.setLevel(logging.CRITICAL)
    return logger


def _tear(client: aiomqtt.Client) -> None:
    """Close the socket at once, in whatever state the connection is."""
    paho = client._client  # noqa: SLF001 - aiomqtt leaves it open when CONNACK does not come
    try:
        paho.disconnect()
        paho.loop_write()
    except (OSError, ValueError, RuntimeError) as err:
        log.debug("closing: %s", err)


def _look_at(over: asyncio.Future[None]) -> None:
    """Look at how a connection ended: else the loop complains that nobody did."""
    if not over.cancelled():
        over.exception()
