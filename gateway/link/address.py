"""Unix sockets whose paths may be longer than the 107 bytes that the kernel takes."""

from __future__ import annotations

import os
import socket
from collections.abc import Callable
from pathlib import Path

LONGEST_ADDRESS_BYTES = 107
"""``sun_path`` has 108 bytes and a closing zero (unix(7))."""

SOCKET_NAME = "guard.sock"
"""The guard's socket in its state directory."""


def socket_path(state_dir: Path) -> Path:
    """Give the guard's socket of a state directory."""
    return state_dir.absolute() / SOCKET_NAME


def connect_unix(sock: socket.socket, path: Path) -> None:
    """Connect a Unix socket, by way of the open directory if the path is too long."""
    _with_address(path, sock.connect)


def bind_unix(sock: socket.socket, path: Path) -> None:
    """Bind a Unix socket, by way of the open directory if the path is too long."""
    _with_address(path, sock.bind)


def _with_address(path: Path, act: Callable[[str], None]) -> None:
    if len(os.fsencode(path)) <= LONGEST_ADDRESS_BYTES:
        act(str(path))
        return
    folder = os.open(path.parent, os.O_PATH | os.O_DIRECTORY)
    try:
        act(f"/proc/self/fd/{folder}/{path.name}")
    finally:
        os.close(folder)
