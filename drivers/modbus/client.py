"""pymodbus behind one file: its asyncio clients open lines and connections and move bytes.

Of pymodbus 3.16.1 its clients, transports and receive path are used. Its transaction layer is
not: ``execute`` takes a late answer for the next one's (its RTU framer checks neither count
nor echo), has one time-out for everything, and logs an error at each missing answer. So the
client's framer is replaced by one that hands all bytes to the driver's own codec and gives
pymodbus nothing, and each client serves one connection: it never reconnects by itself.
"""

from __future__ import annotations

import asyncio
import errno
import glob
import os
import socket
import termios
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import cast

from pymodbus.client import AsyncModbusSerialClient, AsyncModbusTcpClient
from pymodbus.framer import FramerBase
from pymodbus.pdu import DecodePDU, ModbusPDU
from pymodbus.transaction import TransactionManager
from pymodbus.transport.serialtransport import SerialTransport

from drivers.modbus.link import Link, LinkLost, OpenLink
from drivers.modbus.wire import TCP_MARGIN_MS
from drivers.sockets import SocketOption, close_in_peace, socket_options
from gateway.config import Bus, ConverterBus, RtuBus, TcpBus

CONNECT_TIMEOUT_S = 3.0
LEAST_UNACKED_MS = 1_000
"""Two lost segments in a row: what was lost is sent again after 200 ms, then after 400 (Linux)."""
MOST_UNACKED_MS = 2_000
"""An ON waits no longer for its turn either."""
_CHUNK_MAX = 1 << 20
"""pymodbus drops chunks longer than its buffer without a word; the driver bounds them itself."""

Client = AsyncModbusSerialClient | AsyncModbusTcpClient


class _Tap(FramerBase):
    """A framer that passes bytes on and never makes a PDU of them."""

    def __init__(self, on_bytes: Callable[[bytes], None]) -> None:
        super().__init__(DecodePDU(False))
        self._on_bytes = on_bytes

    def handleFrame(  # noqa: N802 - pymodbus's name
        self, data: bytes, exp_devid: int, exp_tid: int
    ) -> tuple[int, ModbusPDU | None]:
        del exp_devid, exp_tid
        self._on_bytes(data)
        return len(data), None


class PymodbusLink:
    """One connection of a pymodbus client."""

    def __init__(
        self,
        make_client: Callable[[], Client],
        explain: Callable[[OSError], str],
        options: Sequence[SocketOption] = (),
    ) -> None:
        self._make_client = make_client
        self._explain = explain
        self._options = options
        self._client: Client | None = None
        self._on_lost: Callable[[str], None] | None = None
        self._ready: asyncio.Event = asyncio.Event()
        self._broke = False
        """Whether the connection was lost, perhaps before anybody could be told."""
        self._cause: OSError = _GONE

    async def open(self, on_bytes: Callable[[bytes], None], on_lost: Callable[[str], None]) -> None:
        client = self._make_client()
        context = client.ctx
        context.framer = _Tap(on_bytes)
        context.max_buffer_size = _CHUNK_MAX
        context.trace_connect = self._connection_changed
        self._listen_for_cause(context)
        try:
            async with asyncio.timeout(CONNECT_TIMEOUT_S):
                # not client.connect(), which keeps the reason of a failure to itself
                context.transport, _ = await context.call_create()
                self._client = client
                await self._ready.wait()
                if not self._broke:
                    self._set_options(context.transport)
        except (OSError, termios.error, ValueError) as err:
            self.close()
            raise LinkLost(self._explain(_as_os_error(err))) from err
        if self._broke:
            # A converter that is pulled out at this moment: its port opens, and is gone at once.
            self.close()
            raise LinkLost(self._explain(self._cause))
        self._on_lost = on_lost

    def send(self, data: bytes) -> None:
        if self._client is None:
            return
        context = self._client.ctx
        transport = context.transport
        if isinstance(transport, SerialTransport):
            context.send(data)
            # it would write in the next pass of the loop: on a fast line that is time lost
            transport.intern_write_ready()
        elif transport and (rest := _write_now(cast("asyncio.WriteTransport", transport), data)):
            context.send(rest)

    def close(self) -> None:
        self._on_lost = None
        client, self._client = self._client, None
        if client is None:
            return
        transport = client.ctx.transport
        if self._options and transport is not None and not transport.is_closing():
            close_in_peace(transport.get_extra_info("socket"))
        client.close()
        if transport is not None:
            # bytes that a dead peer never took must not linger, neither here nor, by the socket's
            # options, in the system; uvloop's transports have abort() too, but are no subclass of
            # asyncio.Transport
            cast("asyncio.Transport", transport).abort()

    def _connection_changed(self, connected: bool) -> None:
        if connected:
            self._ready.set()
            return
        on_lost, self._on_lost = self._on_lost, None
        self._client = None
        self._broke = True
        if on_lost is not None:
            on_lost(self._explain(self._cause))

    def _listen_for_cause(self, context: TransactionManager) -> None:
        """Note why a connection ends: what ``trace_connect`` is told is only that it did."""
        tell = context.callback_disconnected

        def disconnected(exc: Exception | None) -> None:
            if isinstance(exc, TimeoutError):
                self._cause = exc
            tell(exc)

        context.callback_disconnected = disconnected  # type: ignore[method-assign]

    def _set_options(self, transport: asyncio.BaseTransport) -> None:
        if self._options:
            sock = transport.get_extra_info("socket")
            for option in self._options:
                sock.setsockopt(*option)


_GONE = OSError(errno.ECONNRESET, "closed by the other end")


def _as_os_error(err: Exception) -> OSError:
    """Make one kind of what a port (termios), a baud rate or a host's name (ValueError) raises."""
    if isinstance(err, OSError):
        return err
    return OSError(*err.args) if isinstance(err, termios.error) else OSError(str(err))


def _write_now(transport: asyncio.WriteTransport, data: bytes) -> bytes:
    """Give the system what a socket takes at once; returns the rest.

    uvloop's transports write at the end of a pass of the loop, and a pass may hold the answers of
    many modules.
    """
    if transport.is_closing() or transport.get_write_buffer_size() > 0:
        return data
    try:
        return data[os.write(transport.get_extra_info("socket").fileno(), data) :]
    except OSError:
        return data  # the transport meets it again, and says what it was


def links_of(bus: Bus) -> OpenLink:
    """Give what opens lines or connections of a bus."""
    return serial_links(bus) if isinstance(bus, RtuBus) else tcp_links(bus)


def tcp_links(bus: TcpBus | ConverterBus) -> OpenLink:
    """Give what opens connections to a device, a gateway or a converter."""

    def make() -> Client:
        return AsyncModbusTcpClient(
            bus.host,
            port=bus.port,
            name=bus.id,
            retries=0,
            reconnect_delay=0,
            timeout=CONNECT_TIMEOUT_S,
        )

    def link() -> Link:
        options = socket_options(unacked_ms(bus))
        return PymodbusLink(make, lambda err: explain_tcp(bus, err), options)

    return link


def unacked_ms(bus: TcpBus | ConverterBus) -> int:
    """Say how long a connection may take none of what is sent.

    Twice the time-out, within bounds: whoever waited for an answer has given it up by then.
    """
    twice_ms = round(2 * (bus.timeout_ms or TCP_MARGIN_MS))
    return max(LEAST_UNACKED_MS, min(twice_ms, MOST_UNACKED_MS))


def serial_links(bus: RtuBus) -> OpenLink:
    """Give what opens a serial bus; which port a pattern means is found out at each opening."""

    def make() -> Client:
        return AsyncModbusSerialClient(
            find_port(bus),
            baudrate=bus.baud,
            bytesize=8,
            parity=bus.parity,
            stopbits=bus.stop_bits,
            name=bus.id,
            retries=0,
            reconnect_delay=0,
            timeout=CONNECT_TIMEOUT_S,
        )

    def link() -> Link:
        return PymodbusLink(make, lambda err: explain_serial(bus, err))

    return link


def find_port(bus: RtuBus) -> str:
    """Give the port of a serial bus.

    Where ``port`` is a pattern (``*``, ``?``, ``[...]``), a converter may come back under
    another name: it is the one port that fits. Raises LinkLost when none or several do.
    """
    if not glob.has_magic(bus.port):
        return bus.port
    found = sorted(str(path) for path in Path("/").glob(bus.port.lstrip("/")))
    if not found:
        raise LinkLost(f"nothing fits {bus.port}: plug it in, or correct {_port_of(bus)}")
    if len({os.path.realpath(path) for path in found}) > 1:
        raise LinkLost(
            f"{bus.port} fits {', '.join(found[:4])}: narrow {_port_of(bus)}, so that it "
            "can't be another converter"
        )
    return found[0]


def explain_tcp(bus: TcpBus | ConverterBus, err: OSError) -> str:
    """Say in one line what happened to a connection, and what to do."""
    where = f"{bus.host}:{bus.port}"
    if isinstance(err, TimeoutError):
        return f"{where} does not answer: check its power, cable and address"
    if isinstance(err, ConnectionRefusedError):
        return f"{where} refuses the connection: check the port, and that no other master holds it"
    if isinstance(err, socket.gaierror):
        return f"{where}: the name is not known: correct {_host_of(bus)}, or the name server"
    if err.errno in (errno.ENETUNREACH, errno.EHOSTUNREACH):
        return f"{where}: no route: check the network of this machine and {_host_of(bus)}"
    if isinstance(err, ConnectionError):
        return f"{where} closed the connection: check that no other master takes it over"
    return f"{where}: {err.strerror or err}: check the network and bus {bus.id} in the site file"


def _host_of(bus: TcpBus | ConverterBus) -> str:
    """Say where a host's name is written: a bus that no site file names is called as its place."""
    return "it" if bus.host in bus.id else f"`host` of bus {bus.id}"


def explain_serial(bus: RtuBus, err: OSError) -> str:
    """Say in one line what happened to a serial port, and what to do."""
    if err.errno == errno.ENOENT:
        return f"{bus.port} does not exist: plug it in, or correct {_port_of(bus)}"
    if err.errno in (errno.EACCES, errno.EPERM):
        return f"{bus.port}: no permission: add this user to the port's group (often dialout)"
    if err.errno in (errno.EAGAIN, errno.EBUSY):
        return f"{bus.port} is taken by another program: stop that one (fuser {bus.port} names it)"
    if err.errno in (errno.EIO, errno.ENXIO, errno.ENODEV, errno.ECONNRESET):
        return f"{bus.port} is gone: plug the converter in again"
    if err.errno in (errno.ENOTTY, errno.EINVAL) or "configure port" in str(err):
        return f"{bus.port} does not take {bus.baud} baud, {bus.parity}: is it a serial port?"
    return f"{bus.port}: {err.strerror or err}: check {_port_of(bus)}"


def _port_of(bus: RtuBus) -> str:
    """Say where a port's name is written: a bus that no site file names is called as its port."""
    return "its name (ls /dev/serial/by-id)" if "/" in bus.id else f"`port` of bus {bus.id}"
