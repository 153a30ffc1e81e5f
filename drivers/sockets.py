"""What a connection to the outlets asks of its socket."""

from __future__ import annotations

import fcntl
import socket
import struct
import termios
from typing import Any

SocketOption = tuple[int, int, int | bytes]
"""Level, name and value, as ``setsockopt`` takes them."""
SocketLike = Any
"""A socket, or what an event loop gives of it."""


def socket_options(unacked_ms: int) -> list[SocketOption]:
    """Make a socket send at once, and keep nothing back when the connection is lost.

    What the other machine does not take for ``unacked_ms`` ends the connection, and is thrown
    away: on a network that comes back, an ON would else arrive long after it was meant. So it
    would out of a socket that was closed, which the system goes on sending from.
    """
    options: list[SocketOption] = [
        (socket.IPPROTO_TCP, socket.TCP_NODELAY, 1),
        (socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0)),
    ]
    if hasattr(socket, "TCP_USER_TIMEOUT"):  # of Linux
        options.append((socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, unacked_ms))
    return options


def close_in_peace(sock: SocketLike) -> None:
    """Let the other end see an orderly end where it took everything: nothing is to be thrown away.

    A reset is for what still waits; some report it as an error.
    """
    waiting = fcntl.ioctl(sock.fileno(), termios.TIOCOUTQ, bytes(4))  # SIOCOUTQ, tcp(7)
    if waiting == bytes(4):
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 0, 0))
