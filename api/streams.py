"""Server-sent events (WHATWG HTML, 9.2): one line per event, resumed where the client was."""

from __future__ import annotations

import asyncio
import math
import time
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import aclosing, suppress

from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from api.problems import of_error
from gateway.core.errors import PilegateError, TryLater
from gateway.serve.events import MOST_EVENTS, EventFeed, Told, Wanted, read_events, tell
from gateway.storage.engine import Database

MOST_STREAMS = 100
HEARTBEAT_S = 15.0
"""Without events, a comment is sent so often: both ends see that the other is there."""

SEND_WITHIN_S = 20.0
"""A client that does not read for so long is dropped; it resumes by itself."""

LONGEST_S = 3_600.0
"""A stream ends after an hour, and its client resumes: nothing is held for ever."""

ALLOWED_S = 2.0
"""How long a stream that has events to send trusts its token before it looks again. One that
has none looks with every comment."""

RETRY_MS = 2_000


class Streams:
    """Counts the streams that are open."""

    def __init__(self) -> None:
        self.open = 0


class EventStream(Response):
    """The answer that goes on."""

    media_type = "text/event-stream"

    def __init__(
        self,
        *,
        database: Database,
        feed: EventFeed,
        wanted: Wanted,
        after: int,
        streams: Streams,
        allowed: Callable[[], Awaitable[bool]],
    ) -> None:
        super().__init__(headers={"X-Accel-Buffering": "no"})
        del self.headers["content-length"]
        self._database = database
        self._feed = feed
        self._wanted = wanted
        self._position = after
        self._streams = streams
        self._allowed = allowed
        self._allowed_until_s = time.monotonic() + ALLOWED_S

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        # Counted here: between the route and this, others may have come.
        if self._streams.open >= MOST_STREAMS:
            full = TryLater(f"{MOST_STREAMS} streams are open: try again", retry_after_s=10.0)
            await of_error(full)(scope, receive, send)
            return
        self._streams.open += 1
        try:
            async with asyncio.TaskGroup() as tasks:
                work = tasks.create_task(self._send(send), name="event-stream")
                watch = tasks.create_task(_gone(receive), name="event-stream-client")
                watch.add_done_callback(lambda _: work.cancel())
                work.add_done_callback(lambda _: watch.cancel())
        finally:
            self._streams.open -= 1

    async def _send(self, send: Send) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": self.raw_headers})
        # A database that does not answer ends it as well: its client resumes, and is told.
        with suppress(TimeoutError, PilegateError):
            async with asyncio.timeout(LONGEST_S), aclosing(self._pieces()) as pieces:
                async for piece in pieces:
                    async with asyncio.timeout(SEND_WITHIN_S):
                        await send({"type": "http.response.body", "body": piece, "more_body": True})
        with suppress(TimeoutError):
            async with asyncio.timeout(1.0):
                await send({"type": "http.response.body", "body": b"", "more_body": False})

    async def _pieces(self) -> AsyncGenerator[bytes, None]:
        yield b"retry: %d\n\n" % RETRY_MS
        while not self._feed.closed and await self._is_allowed():
            told = await self._next()
            if told:
                yield b"".join(_piece(one) for one in told)
            try:
                async with asyncio.timeout(HEARTBEAT_S):
                    await self._feed.beyond(self._position)
            except TimeoutError:
                self._allowed_until_s = -math.inf
                yield b": still here\n\n"

    async def _is_allowed(self) -> bool:
        """Say whether the token still is good: a revoked one's stream ends."""
        if time.monotonic() > self._allowed_until_s:
            self._allowed_until_s = time.monotonic() + ALLOWED_S
            return await self._allowed()
        return True

    async def _next(self) -> list[Told]:
        """Take the next events from memory, or from the database when they are older."""
        kept = self._feed.kept_after(self._position)
        if kept is not None:
            page = kept[:MOST_EVENTS]
            if page:
                self._position = page[-1].event.position
            return [told for told in page if self._wanted.holds(told.event)]
        events, self._position = await read_events(
            self._database, self._position, MOST_EVENTS, self._wanted
        )
        return [tell(event) for event in events]


async def _gone(receive: Receive) -> None:
    """Wait until the client has gone."""
    while (await receive())["type"] != "http.disconnect":
        pass


def _piece(told: Told) -> bytes:
    event = told.event
    return b"id: %d\nevent: %s\ndata: %s\n\n" % (
        event.position,
        event.kind.encode("ascii", "replace"),
        told.json,
    )
