"""A TCP port that looks like a serial one: a converter that passes bytes on as they are.

As such boxes do: every client hears what comes off the line, whoever asked; what clients say goes
onto the line in the order in which it comes.
"""

from __future__ import annotations

import select
import socket

from gateway.core.errors import FixInstallation

READ_BYTES = 1_024
MAX_CLIENTS = 4
"""Such boxes take a few; what comes beyond is closed at once."""


class ConverterPort:
    """The line's side of a converter; ``fileno`` can be waited for with ``select``."""

    def __init__(self, bus: str, host: str, port: int) -> None:
        self._bus = bus
        self._host = host
        self._port = port
        self._events: select.epoll | None = None
        self._listener: socket.socket | None = None
        self._clients: dict[int, socket.socket] = {}

    def open(self) -> str:
        """Listen; gives ``HOST:PORT``. Raises FixInstallation when the port can't be had."""
        try:
            listener = socket.create_server((self._host, self._port))
        except OSError as err:
            raise FixInstallation(
                f"{self._host}:{self._port} of bus {self._bus} can't be listened on"
                f" ({err.strerror or err}): end what uses it, or choose another port"
            ) from err
        listener.setblocking(False)
        self._events = select.epoll()
        self._events.register(listener, select.EPOLLIN)
        self._listener = listener
        host, port = listener.getsockname()[:2]
        return f"{host}:{port}"

    def fileno(self) -> int:
        return -1 if self._events is None else self._events.fileno()

    def read(self) -> bytes:
        """Take what clients have sent; empty when nothing is there."""
        assert self._events is not None
        assert self._listener is not None
        data = b""
        for number, _ in self._events.poll(0):
            if number == self._listener.fileno():
                self._accept(self._listener)
            else:
                data += self._take(number)
        return data

    def write(self, data: bytes) -> bool:
        """Hand bytes to every client; False when nobody took them."""
        taken = [self._give(number, data) for number in tuple(self._clients)]
        return any(taken)

    def close(self) -> None:
        """Stop listening, and drop every client."""
        for number in tuple(self._clients):
            self._drop(number)
        if self._events is not None:
            self._events.close()
        if self._listener is not None:
            self._listener.close()
        self._events = self._listener = None

    def _accept(self, listener: socket.socket) -> None:
        try:
            client, _ = listener.accept()
        except BlockingIOError:
            return  # it went away meanwhile
        if len(self._clients) >= MAX_CLIENTS:
            client.close()
            return
        client.setblocking(False)
        client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        assert self._events is not None
        self._events.register(client, select.EPOLLIN)
        self._clients[client.fileno()] = client

    def _take(self, number: int) -> bytes:
        try:
            data = self._clients[number].recv(READ_BYTES)
        except BlockingIOError:
            return b""
        except OSError:
            data = b""
        if not data:
            self._drop(number)
        return data

    def _give(self, number: int, data: bytes) -> bool:
        try:
            return self._clients[number].send(data) == len(data)
        except BlockingIOError:
            return False
        except OSError:
            self._drop(number)
            return False

    def _drop(self, number: int) -> None:
        client = self._clients.pop(number)
        assert self._events is not None
        self._events.unregister(client)
        client.close()
