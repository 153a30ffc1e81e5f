"""Hears whether a process still goes round: what systemd's watchdog is to a unit (sd_notify(3)).

For ``pilegate run``, under which no systemd watches the guard. A process that was stopped, or whose
loop hangs, is not dead: its outlets stay as they are, and nobody judges them.
"""

from __future__ import annotations

import asyncio
import os
import secrets
import socket
import struct
import sys

PATIENCE_S = 10.0
"""A process that beat once and then not for so long hangs; the same as the guard's unit."""
START_S = 90.0
"""A process that has not beat yet is starting up, for so long; the same as the guard's unit."""
LOOKS = 20
"""How often it is looked at in that time. A machine that slept has looked at nothing meanwhile."""

_CREDENTIALS = struct.Struct("iII")
"""pid, uid and gid of a sender (unix(7), SCM_CREDENTIALS)."""


class Heartbeat:
    """The socket that one process beats on; needs Linux's abstract sockets."""

    def __init__(self, patience_s: float = PATIENCE_S, start_s: float = START_S) -> None:
        self._patience_s = patience_s
        self._start_s = start_s
        name = f"pilegate-{os.getpid()}-{secrets.token_hex(8)}"
        self.environment = {
            "NOTIFY_SOCKET": f"@{name}",
            "WATCHDOG_USEC": str(round(patience_s * 1_000_000)),
        }
        """What the process needs to know."""
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC)
        self._socket.setblocking(False)
        self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_PASSCRED, 1)
        self._socket.bind(f"\0{name}")

    def close(self) -> None:
        self._socket.close()

    async def stops(self, pid: int) -> None:
        """Return once the process ``pid`` has not beat for too long."""
        look_s = self._patience_s / LOOKS
        missed, most = 0, round(self._start_s / look_s)
        while missed < most:
            await asyncio.sleep(look_s)
            if self._heard(pid):
                missed, most = 0, LOOKS
            else:
                missed += 1

    def _heard(self, pid: int) -> bool:
        """Take all that has come; say whether any of it came from ``pid``."""
        heard = False
        while True:
            try:
                data, ancillary, _, _ = self._socket.recvmsg(
                    4_096, socket.CMSG_SPACE(_CREDENTIALS.size)
                )
            except BlockingIOError:
                return heard
            for level, kind, value in ancillary:
                if (level, kind) == (socket.SOL_SOCKET, socket.SCM_CREDENTIALS):
                    sender, _, _ = _CREDENTIALS.unpack(value[: _CREDENTIALS.size])
                    heard = heard or (sender == pid and b"WATCHDOG=1" in data)


def can_be_heard() -> bool:
    """Say whether this system has what it takes."""
    return sys.platform == "linux"
