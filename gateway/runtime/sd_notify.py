"""Telling systemd how a service does (sd_notify(3)). Without systemd every call does nothing."""

from __future__ import annotations

import asyncio
import logging
import os
import socket

log = logging.getLogger(__name__)


def notify(*lines: str) -> bool:
    """Send ``READY=1`` and its like; say whether there was anybody to send it to.

    ``NOTIFY_SOCKET`` names a socket file, or an abstract socket when it begins with ``@``.
    """
    address = os.environ.get("NOTIFY_SOCKET", "")
    if not address:
        return False
    if address.startswith("@"):
        address = "\0" + address[1:]
    try:
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as sock:
            # Never waits: a systemd that hangs must not hold up a cut-off.
            sock.setblocking(False)
            sock.connect(address)
            sock.sendall("\n".join(lines).encode())
    except OSError as err:
        log.warning("systemd was not told %s: %s", lines, err)
        return False
    return True


def watchdog_period_s() -> float | None:
    """Return how often systemd wants to hear from this process; ``None``: it does not.

    Half of ``WATCHDOG_USEC``, as sd_watchdog_enabled(3) recommends.
    """
    usec = os.environ.get("WATCHDOG_USEC", "")
    pid = os.environ.get("WATCHDOG_PID", "")
    if not usec.isdigit() or (pid.isdigit() and int(pid) != os.getpid()):
        return None
    return int(usec) / 2_000_000 if int(usec) > 0 else None


async def watchdog() -> None:
    """Say for ever that the loop goes round. A loop that hangs does not, and is restarted."""
    period_s = watchdog_period_s()
    while True:
        if period_s is not None:
            notify("WATCHDOG=1")
        await asyncio.sleep(period_s if period_s is not None else 3_600)
