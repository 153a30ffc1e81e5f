"""What a connection asks of its socket, and bounds of what is read from it."""

from __future__ import annotations

import socket
import struct
from typing import Any

import paho.mqtt.client as paho

UNACKED_MS = 5_000
"""What the other machine does not take for so long ends the connection, and is thrown away: on a
network that comes back, an ON would else arrive long after it was meant."""
READ_BYTES = 65_536
"""Most that is read from the socket at once."""
KEPT_BYTES = 65_536
"""Of a longer packet only this much is kept, enough to acknowledge it and to call it too long."""

SocketLike = Any
"""Paho's type for whatever it sends by."""


def socket_options() -> list[tuple[int, int, int | bytes]]:
    """Make the socket send at once, and keep nothing back when the connection is lost."""
    options: list[tuple[int, int, int | bytes]] = [
        (socket.IPPROTO_TCP, socket.TCP_NODELAY, 1),
        (socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0)),
    ]
    if hasattr(socket, "TCP_USER_TIMEOUT"):  # of Linux
        options.append((socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, UNACKED_MS))
    return options


def flush_at_close(sock: SocketLike) -> None:
    """Let what was written arrive: this end of the connection is meant."""
    if sock is not None and sock.fileno() >= 0:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 0, 0))


def bound_reads(client: paho.Client) -> None:
    """Let paho ask the socket for no more than a part: it asks for a packet's whole rest."""
    own: Any = client
    receive = own._sock_recv  # noqa: SLF001 - paho offers no bound of its own

    def receive_part(size: int) -> bytes:
        part: bytes = receive(min(size, READ_BYTES))
        return part

    own._sock_recv = receive_part  # noqa: SLF001 - as above


def forget_excess(client: paho.Client) -> None:
    """Forget what a packet has too much: up to 256 MiB would else pile up until it ends."""
    packet = client._in_packet["packet"]  # noqa: SLF001 - as above
    if len(packet) > KEPT_BYTES:
        del packet[KEPT_BYTES:]
