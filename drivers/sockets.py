"""What a connection to the outlets asks of its socket."""

from __future__ import annotations

import socket
import struct

SocketOption = tuple[int, int, int | bytes]
"""Level, name and value, as ``setsockopt`` takes them."""


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
