"""One client of the control socket: lines in, lines out, everything bounded."""

from __future__ import annotations

import asyncio
import logging
from typing import Protocol, cast

from gateway.core.errors import PilegateError
from gateway.link.requests import Notice
from gateway.link.rpc import (
    INVALID_REQUEST,
    LONGEST_REQUEST_BYTES,
    BadRequest,
    dump,
    error_line,
    notice_line,
)

MOST_UNDER_WAY = 64
"""Requests of one client that may wait for their answer; the next stay unread. Far more than serve
has under way (8 ONs, 8 commands that stop, and its questions): ONs that wait for a slow disk must
not keep an OFF behind them unread."""
UNSENT_BYTES = 256 * 1024
"""Past it nothing more is asked of this client, nor sent to it, until it has read."""
STALL_S = 10.0
"""A client that leaves its answers unread for so long is dropped."""
GRACE_S = 2.0
"""How long the last line may take to leave."""

log = logging.getLogger(__name__)


class Host(Protocol):
    """Who owns the connections."""

    def admit(self, connection: Connection) -> PilegateError | None:
        """Count a new client in, or say why not."""
        ...

    def ready(self, connection: Connection) -> None:
        """Hear that the connection may have a line to be worked on."""
        ...

    def gone(self, connection: Connection) -> None: ...


class Connection(asyncio.Protocol):
    """Keeps what came in and what may go out. Lines are taken by the host, one a turn."""

    def __init__(self, host: Host) -> None:
        self._host = host
        self._received = bytearray()
        self._searched = 0
        self._reading = True
        self._ended = False
        self._stall: asyncio.TimerHandle | None = None
        self._may_write = asyncio.Event()
        self._may_write.set()
        self.transport: asyncio.Transport | None = None
        self.pid = 0
        """The peer's process."""
        self.closing = False
        self.queued = False
        """Whether the host has it in its round already."""
        self.follows = False
        self.under_way = 0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast("asyncio.Transport", transport)
        self.transport.set_write_buffer_limits(high=UNSENT_BYTES)
        refusal = self._host.admit(self)
        if refusal is not None:
            self.close(error_line(None, refusal))

    def data_received(self, data: bytes) -> None:
        if self.closing:
            return
        self._received += data
        if self._reading and len(self._received) > LONGEST_REQUEST_BYTES and self.transport:
            self._reading = False
            self.transport.pause_reading()
        self._host.ready(self)

    def eof_received(self) -> bool:
        """Let a client that sends no more still have its answers."""
        self._ended = True
        self._close_if_done()
        return not self.closing

    def connection_lost(self, exc: Exception | None) -> None:
        if exc is not None:
            log.debug("control: a connection broke: %s", exc)
        self.closing = True
        self._may_write.set()
        self._forget_stall()
        self._host.gone(self)

    def pause_writing(self) -> None:
        self._may_write.clear()
        self._stall = asyncio.get_running_loop().call_later(STALL_S, self._stalled)

    def resume_writing(self) -> None:
        self._may_write.set()
        self._forget_stall()
        if not self.closing:
            self._host.ready(self)

    def take_line(self) -> bytes | None:
        """Take the next whole line without its newline, if it may be worked on now.

        Raises BadRequest for a line that is too long; nothing can be read after it.
        """
        if self.closing or self.under_way >= MOST_UNDER_WAY or not self._may_write.is_set():
            return None
        end = self._received.find(b"\n", self._searched, LONGEST_REQUEST_BYTES)
        if end < 0:
            if len(self._received) >= LONGEST_REQUEST_BYTES:
                raise BadRequest(
                    f"a line has at most {LONGEST_REQUEST_BYTES} bytes: ask for less at a time",
                    code=INVALID_REQUEST,
                )
            self._searched = len(self._received)
            return None
        line = bytes(self._received[:end])
        del self._received[: end + 1]
        self._searched = 0
        if not self._reading and len(self._received) <= LONGEST_REQUEST_BYTES and self.transport:
            self._reading = True
            self.transport.resume_reading()
        return line

    def begin(self) -> None:
        """Count a request that is being worked on."""
        self.under_way += 1

    def finish(self, answer: bytes) -> None:
        """Send the answer of a request that was counted."""
        self.under_way -= 1
        self.send(answer)
        self._close_if_done()
        self._host.ready(self)

    def send(self, lines: bytes) -> None:
        """Send whole lines. What a client that is gone should have got is forgotten."""
        if self.transport is not None and not self.closing:
            self.transport.write(lines)

    @property
    def writable(self) -> bool:
        """Whether the client has read most of what it was sent."""
        return self._may_write.is_set()

    async def until_writable(self) -> bool:
        """Wait until more may be sent; False when the connection is gone."""
        await self._may_write.wait()
        return not self.closing

    def drop(self, message: str) -> None:
        """Close with a last line that says why."""
        self.close(notice_line(Notice.DROPPED, dump({"message": message})))

    def close(self, last: bytes = b"") -> None:
        """Send a last line and close, within bounds even when the client does not read."""
        transport = self.transport
        if transport is None or self.closing:
            return
        self.closing = True
        self._may_write.set()
        self._forget_stall()
        if last:
            transport.write(last)
        transport.close()
        asyncio.get_running_loop().call_later(GRACE_S, transport.abort)

    def _stalled(self) -> None:
        log.warning("control: a client is dropped: it did not read for %g s", STALL_S)
        self.drop(f"this client did not read for {STALL_S:g} s")

    def _forget_stall(self) -> None:
        if self._stall is not None:
            self._stall.cancel()
            self._stall = None

    def _close_if_done(self) -> None:
        idle = self.under_way == 0 and not self.follows
        if self._ended and idle and b"\n" not in self._received:
            self.close()
