"""The guard's control socket: who may come in, and whose line is next."""

from __future__ import annotations

import asyncio
import contextlib
import grp
import logging
import os
import pwd
import socket
import struct
from collections import deque
from collections.abc import Coroutine
from pathlib import Path
from typing import Any

from gateway.core.errors import FixInstallation, NotAllowed, PilegateError, TryLater
from gateway.guard.control_connection import Connection
from gateway.guard.control_dispatch import Dispatcher
from gateway.guard.control_follow import Follower, FollowHub
from gateway.guard.control_service import GuardService
from gateway.guard.journal import Journal
from gateway.link.address import bind_unix, socket_path
from gateway.link.requests import FollowRequest
from gateway.link.rpc import BadRequest, Request, error_line, parse_request

MOST_CLIENTS = 64

log = logging.getLogger(__name__)


class ControlServer:
    """Listens on the socket; every connection gets one line's turn after the other."""

    def __init__(
        self, state_dir: Path, group: str | None, service: GuardService, journal: Journal
    ) -> None:
        self.path = socket_path(state_dir)
        self._group = group
        self._dispatcher = Dispatcher(service)
        self._journal = journal
        self._hub = FollowHub(journal.path, service, journal.last_seq, self._dispatcher.encoding)
        self._connections: set[Connection] = set()
        self._round: deque[Connection] = deque()
        self._wake = asyncio.Event()
        self._tasks: set[asyncio.Task[None]] = set()

    async def run(self) -> None:
        """Serve until cancelled. Raises FixInstallation if the socket can't be made."""
        self._journal.subscribe(self._hub.on_facts)
        sock = self._bind()
        server = await asyncio.get_running_loop().create_unix_server(
            lambda: Connection(self), sock=sock
        )
        try:
            async with asyncio.TaskGroup() as group:
                group.create_task(self._hub.show(), name="control: show")
                group.create_task(self._take_turns(), name="control: turns")
        finally:
            server.close()
            for task in self._tasks:
                task.cancel()
            for connection in list(self._connections):
                connection.drop("the guard is stopping")
            self._journal.unsubscribe(self._hub.on_facts)
            self._hub.close()
            with contextlib.suppress(FileNotFoundError):
                self.path.unlink()

    def _bind(self) -> socket.socket:
        sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM | socket.SOCK_CLOEXEC)
        try:
            # The state directory is locked by this guard: a socket left there is nobody's.
            self.path.unlink(missing_ok=True)
            before = os.umask(0o177)
            try:
                bind_unix(sock, self.path)
            finally:
                os.umask(before)
            self._give_to_group()
        except OSError as err:
            sock.close()
            raise FixInstallation(
                f"{self.path}: {err.strerror}: the guard must be able to make its socket there"
            ) from err
        return sock

    def _give_to_group(self) -> None:
        if self._group is not None:
            try:
                os.chown(self.path, -1, grp.getgrnam(self._group).gr_gid)
            except KeyError:
                raise FixInstallation(
                    f"there is no group {self._group!r}: add it "
                    f"(groupadd --system {self._group}), or correct guard.socket_group"
                ) from None
            except PermissionError:
                raise FixInstallation(
                    f"{self.path}: can't be given to group {self._group!r}: "
                    "make the guard's user a member of it"
                ) from None
        self.path.chmod(0o660)

    # What connections say (control_connection.Host)

    def admit(self, connection: Connection) -> PilegateError | None:
        """Count a new client in, or say why not."""
        transport = connection.transport
        assert transport is not None
        uid = _peer_uid(transport.get_extra_info("socket"))
        if not _may_speak(uid, self._group):
            return NotAllowed(
                f"user id {uid} may not speak to the guard: use the guard's user or root, "
                "or join the group named in guard.socket_group"
            )
        if len(self._connections) >= MOST_CLIENTS:
            return TryLater(f"{MOST_CLIENTS} connections are open: close one, or try again")
        self._connections.add(connection)
        return None

    def ready(self, connection: Connection) -> None:
        """Put a connection into the round."""
        if not connection.queued and connection in self._connections:
            connection.queued = True
            self._round.append(connection)
            self._wake.set()

    def gone(self, connection: Connection) -> None:
        """Forget a connection."""
        self._connections.discard(connection)
        self._hub.leave(connection)

    # One line a turn

    async def _take_turns(self) -> None:
        """Work on one line of one connection in a turn of the loop: nobody crowds out others."""
        while True:
            while self._round:
                connection = self._round.popleft()
                connection.queued = False
                self._one_line(connection)
                await asyncio.sleep(0)
            self._wake.clear()
            await self._wake.wait()

    def _one_line(self, connection: Connection) -> None:
        try:
            line = connection.take_line()
        except BadRequest as err:
            connection.close(error_line(None, err))
            return
        if line is None:
            return
        self.ready(connection)
        if not line.strip():
            return
        try:
            request = parse_request(line)
        except BadRequest as err:
            connection.send(error_line(err.id, err))
            return
        connection.begin()
        self._spawn(self._answer(connection, request), f"control: {request.method[:20]}")

    async def _answer(self, connection: Connection, request: Request) -> None:
        joined: list[Follower] = []

        async def follow(params: object) -> bytes:
            asked = FollowRequest.from_json(params)
            if connection.follows:
                raise TryLater("this connection follows already: open another one")
            connection.follows = True
            try:
                cursor, answer = await self._hub.check(asked)
            except PilegateError:
                connection.follows = False
                raise
            joined.append(Follower(connection, cursor, asked.views, behind=asked.views))
            return answer

        connection.finish(await self._dispatcher.answer(request, follow))
        for follower in joined:
            self._spawn(self._hub.feed(follower), "control: follow")

    def _spawn(self, work: Coroutine[Any, Any, None], name: str) -> None:
        task = asyncio.create_task(work, name=name)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)


def _peer_uid(sock: socket.socket) -> int:
    """Return the user id at the other end (SO_PEERCRED, unix(7))."""
    size = struct.calcsize("3i")
    _, uid, _ = struct.unpack("3i", sock.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, size))
    return int(uid)


def _may_speak(uid: int, group: str | None) -> bool:
    if uid in (0, os.geteuid()):
        return True
    if group is None:
        return False
    try:
        entry = grp.getgrnam(group)
        user = pwd.getpwuid(uid)
    except KeyError:
        return False
    return user.pw_gid == entry.gr_gid or user.pw_name in entry.gr_mem
