"""Asking the guard: errors say whether it is reachable, and who should do what."""

from __future__ import annotations

import socket
import struct
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from gateway.commands.failure import GuardNotReachable
from gateway.commands.settings import Settings
from gateway.core.errors import FixInstallation
from gateway.link.address import connect_unix
from gateway.link.messages import OutletView
from gateway.link.once import call_once
from gateway.link.requests import HelloAnswer, Method, SnapshotPage

_UCRED = struct.Struct("3i")
"""pid, uid, gid of SO_PEERCRED, unix(7)."""


def ask(
    settings: Settings, method: Method, *, timeout_s: float = 5.0, **params: object
) -> dict[str, Any]:
    """Ask the guard one thing. Raises GuardNotReachable when none runs, TryLater when it hangs."""
    return ask_at(settings.socket(), method, timeout_s=timeout_s, **params)


def ask_at(
    socket_path: Path, method: Method, *, timeout_s: float = 5.0, **params: object
) -> dict[str, Any]:
    """Ask the guard that listens at ``socket_path``. Raises GuardNotReachable."""
    try:
        return call_once(socket_path, method, timeout_s=timeout_s, **params)
    except FixInstallation as error:
        if guard_pid(socket_path) is None:
            raise GuardNotReachable(str(error)) from error
        raise


def ask_outlets(settings: Settings, outlets: Sequence[str] | None = None) -> list[OutletView]:
    """Get the views of the named outlets, or of all, page by page."""
    if outlets is not None:
        page = SnapshotPage.from_json(ask(settings, Method.SNAPSHOT, outlets=list(outlets)))
        return list(page.outlets)
    return all_outlets(settings.socket())


def all_outlets(socket_path: Path) -> list[OutletView]:
    """Get the views of all outlets, page by page."""
    views: list[OutletView] = []
    after: str | None = None
    while True:
        page = SnapshotPage.from_json(ask_at(socket_path, Method.SNAPSHOT, after=after))
        views += page.outlets
        if page.next is None:
            return views
        after = page.next


def other_site(settings: Settings) -> str:
    """Say that the guard keeps another site than the site file is of; empty when it does not."""
    meant = settings.site_id()
    if meant is None:
        return ""
    kept = HelloAnswer.from_json(ask(settings, Method.HELLO)).site
    if kept == meant:
        return ""
    return (
        f"the guard at {settings.socket()} keeps site {kept}, and {settings.site_file()} is of "
        f"site {meant}: correct --site or --state-dir, or start that site's guard"
    )


def guard_pid(path: Path) -> int | None:
    """Find the process that listens on a control socket, even one that hangs.

    The kernel accepts the connection and knows the listener; None when nobody listens.
    """
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
        probe.settimeout(0.5)
        try:
            connect_unix(probe, path)
            credentials = probe.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _UCRED.size)
        except OSError:
            return None
    pid, _uid, _gid = _UCRED.unpack(credentials)
    return int(pid) or None
