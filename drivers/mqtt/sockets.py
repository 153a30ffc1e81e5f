"""How a connection to a broker ends, and bounds of what is read from it."""

from __future__ import annotations

import socket
import struct
from typing import Any

UNACKED_MS = 5_000
"""What the broker's machine does not take for so long ends the connection, and is thrown away."""
READ_BYTES = 65_536
"""Most that is read from the socket at once."""
KEPT_BYTES = 65_536
"""Of a longer packet only this much is kept, enough to acknowledge it and to call it too long."""

SocketLike = Any
"""Paho's type for whatever it sends by."""
PahoClient = Any
"""Its client: what is asked of it here has no public name, and so no type."""


def flush_at_close(sock: SocketLike) -> None:
    """Let what was written arrive: this end of the connection is meant."""
    if sock is not None and sock.fileno() >= 0:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 0, 0))


class ReadAhead:
    """Reads what is there in one call of the system, and gives paho its small pieces of that.

    By itself paho asks the system three times for each message, and for a packet's whole rest.
    """

    def __init__(self, client: PahoClient) -> None:
        self._receive = client._sock_recv  # noqa: SLF001 - paho offers no bound of its own
        self._data = b""
        self._at = 0
        client._sock_recv = self._take  # noqa: SLF001 - as above

    @property
    def holds_more(self) -> bool:
        """Whether something was read that paho has not had yet."""
        return self._at < len(self._data)

    def _take(self, size: int) -> bytes:
        """Give some bytes; none at the end of the connection. Raises what a socket raises."""
        if self._at >= len(self._data):
            self._data, self._at = self._receive(READ_BYTES), 0
        part = self._data[self._at : self._at + size]
        self._at += len(part)
        return part


def forget_excess(client: PahoClient) -> None:
    """Forget what a packet has too much: up to 256 MiB would else pile up until it ends."""
    packet = client._in_packet["packet"]  # noqa: SLF001 - as in ReadAhead
    if len(packet) > KEPT_BYTES:
        del packet[KEPT_BYTES:]
