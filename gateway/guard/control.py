"""The control socket: who may speak to the guard, and one line of one client a turn.

``<state_dir>/guard.sock``, JSON-RPC 2.0, one message a line (``gateway.link.rpc``). All
clients together get one request worked on in each turn of the event loop, so that a client
that floods the socket delays neither a cut-off nor the others.
"""

from __future__ import annotations

import asyncio
import contextlib
import grp
import logging
import os
import socket
import stat
import struct
from collections import deque
from collections.abc import Coroutine
from pathlib import Path

from gateway.core.errors import FixInstallation, NotAllowed, PilegateError, Refused, TryLater
from gateway.guard.control_connection import Connection
from gateway.guard.control_dispatch import Dispatcher
from gateway.guard.control_follow import Follower, FollowHub
from gateway.guard.control_service import GuardService
from gateway.guard.journal import Journal
from gateway.link.address import bind_unix, connect_unix, socket_path
from gateway.link.requests import FollowRequest, Method
from gateway.link.rpc import BadRequest, Request, error_line, parse_request

MOST_CLIENTS = 64
MOST_OF_ONE = 48
"""Connections of one process: whoever leaks them keeps nobody else from switching off."""
BACKLOG = 128
SOCKET_MODE = 0o660
STOP_S = 1.0
"""How long requests under way may take when the guard stops."""

_SO_PEERGROUPS = 59
"""Supplementary groups of the peer (socket(7), Linux 4.13; asm-generic value: x86, Arm)."""

log = logging.getLogger(__name__)


class ControlServer:
    """The guard's socket: everyone who is let in gets one line's turn after the other."""

    def __init__(
        self, state_dir: Path, group: str | None, service: GuardService, journal: Journal
    ) -> None:
        """``group``: a group of the system whose members may speak to the guard as well."""
        self.path = socket_path(state_dir)
        self._group = group
        self._gid: int | None = None
        self._journal = journal
        self._dispatcher = Dispatcher(service)
        self._hub = FollowHub(journal.path, service, journal.last_seq, self._dispatcher.encoding)
        # From the first fact of this run on, long before anybody is let in: what is written
        # down at the start must not be a gap to those who follow.
        journal.subscribe(self._hub.on_facts)
        self._sock: socket.socket | None = None
        self._connections: set[Connection] = set()
        self._round: deque[Connection] = deque()
        self._work = asyncio.Event()
        self._tasks: set[asyncio.Task[None]] = set()

    def bind(self) -> None:
        """Take the address; nobody is let in before ``run``.

        Raises FixInstallation when another guard is running there, the group does not
        exist, or the directory can't be used.
        """
        if self._group is not None:
            self._gid = _group_id(self._group)
        _clear_stale(self.path)
        sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        try:
            bind_unix(sock, self.path)
            self.path.chmod(SOCKET_MODE)
            if self._gid is not None:
                os.chown(self.path, -1, self._gid)
        except OSError as err:
            sock.close()
            raise FixInstallation(
                f"{self.path}: {err.strerror}: give the guard a state directory it may write to"
                + (f", and make it a member of the group {self._group}" if self._group else "")
            ) from err
        sock.setblocking(False)
        self._sock = sock

    async def run(self) -> None:
        """Serve until cancelled; then close every connection and the socket.

        Raises FixInstallation as ``bind`` does, unless that was done before.
        """
        if self._sock is None:
            self.bind()
        server = await asyncio.get_running_loop().create_unix_server(
            lambda: Connection(self), sock=self._sock, backlog=BACKLOG
        )
        try:
            async with asyncio.TaskGroup() as group:
                group.create_task(self._serve(), name="control-requests")
                group.create_task(self._hub.show(), name="control-views")
        finally:
            self._journal.unsubscribe(self._hub.on_facts)
            server.close()
            self.path.unlink(missing_ok=True)
            await self._close()

    # What connections tell

    def admit(self, connection: Connection) -> PilegateError | None:
        """Count a client in, or say why it may not speak to the guard."""
        assert connection.transport is not None
        connection.pid, may_speak = self._peer(connection.transport)
        if not may_speak:
            return NotAllowed(
                "this user may not speak to the guard: use the guard's user or root"
                + (f", or join the group {self._group}" if self._group else "")
            )
        if len(self._connections) >= MOST_CLIENTS:
            return TryLater(f"{MOST_CLIENTS} clients are connected already: close one, try again")
        if sum(other.pid == connection.pid for other in self._connections) >= MOST_OF_ONE:
            return TryLater(
                f"process {connection.pid} has {MOST_OF_ONE} connections already: close one, "
                "try again"
            )
        self._connections.add(connection)
        return None

    def ready(self, connection: Connection) -> None:
        """Have a connection looked at in the round."""
        if not connection.queued and connection in self._connections:
            connection.queued = True
            self._round.append(connection)
            self._work.set()

    def gone(self, connection: Connection) -> None:
        self._connections.discard(connection)
        self._hub.leave(connection)

    # Work

    async def _serve(self) -> None:
        while True:
            await self._work.wait()
            self._work.clear()
            while self._round:
                connection = self._round.popleft()
                connection.queued = False
                if self._step(connection):
                    self.ready(connection)
                    await asyncio.sleep(0)

    def _step(self, connection: Connection) -> bool:
        """Begin one request of a client; False when there is none to begin now."""
        try:
            line = connection.take_line()
        except BadRequest as err:
            connection.close(error_line(err.id, err))
            return False
        if line is None:
            return False
        connection.begin()
        try:
            request = parse_request(line)
        except BadRequest as err:
            connection.finish(error_line(err.id, err))
            return True
        self._spawn(self._answer(connection, request), f"control-{request.method[:20]}")
        return True

    async def _answer(self, connection: Connection, request: Request) -> None:
        follower: Follower | None = None

        async def follow(params: object) -> bytes:
            nonlocal follower
            wanted = FollowRequest.from_json(params)
            if connection.follows:
                raise Refused("this connection follows already: use another one", code="follows")
            connection.follows = True
            try:
                cursor, answer = await self._hub.check(wanted)
            except BaseException:
                connection.follows = False
                raise
            follower = Follower(connection, cursor, wanted.views)
            return answer

        connection.finish(await self._dispatcher.answer(request, follow))
        if follower is not None:
            self._spawn(self._hub.feed(follower), f"control-{Method.FOLLOW}-facts")

    def _spawn(self, work: Coroutine[None, None, None], name: str) -> None:
        # A client's task lives as long as its client, not as long as the server's group:
        # it never raises, and is waited for when the guard stops.
        task = asyncio.get_running_loop().create_task(work, name=name)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _close(self) -> None:
        """Flag, drain, bounded wait, cancel."""
        if self._tasks:
            waiting = [t for t in self._tasks if not t.get_name().endswith("-facts")]
            if waiting:
                await asyncio.wait(waiting, timeout=STOP_S)
        for connection in list(self._connections):
            connection.drop("the guard stops") if connection.follows else connection.close()
        self._hub.close()
        for task in list(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def _peer(self, transport: asyncio.Transport) -> tuple[int, bool]:
        """Ask the kernel who the peer was when it connected (SO_PEERCRED).

        Gives its process, and whether it may speak to the guard.
        """
        handle = transport.get_extra_info("socket").fileno()
        with contextlib.closing(socket.socket(fileno=os.dup(handle))) as sock:
            cred = sock.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, struct.calcsize("3i"))
            pid, uid, gid = struct.unpack("3i", cred)
            if uid in (0, os.geteuid()) or gid == self._gid:
                return pid, True
            if self._gid is None:
                return pid, False
            try:
                groups = sock.getsockopt(socket.SOL_SOCKET, _SO_PEERGROUPS, 1_024)
            except OSError as err:
                log.debug("control: groups of a peer: %s", err)
                return pid, False
        return pid, self._gid in struct.unpack(f"{len(groups) // 4}I", groups)


def _group_id(name: str) -> int:
    try:
        return grp.getgrnam(name).gr_gid
    except KeyError:
        raise FixInstallation(
            f"guard.socket_group: there is no group {name!r} here: make it with `groupadd {name}`, "
            "or name another one in the site file"
        ) from None


def _clear_stale(path: Path) -> None:
    """Remove the socket that a guard left behind when it died.

    Raises FixInstallation when a guard answers there, or it is something else.
    """
    try:
        if not stat.S_ISSOCK(path.lstat().st_mode):
            raise FixInstallation(f"{path}: is not a socket: move it away")
    except FileNotFoundError:
        return
    except OSError as err:
        raise FixInstallation(f"{path}: {err.strerror}: check the state directory") from err
    with contextlib.closing(socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)) as sock:
        sock.setblocking(False)
        try:
            connect_unix(sock, path)
        except ConnectionRefusedError:
            path.unlink(missing_ok=True)
            return
        except FileNotFoundError:
            return
        except OSError as err:
            log.debug("control: %s: %s", path, err)
    raise FixInstallation(f"{path}: another guard is running there: stop that one first")
