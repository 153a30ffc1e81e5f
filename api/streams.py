"""Server-sent events (WHATWG HTML, 9.2): one line per event, resumed where the client was."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from contextlib import aclosing, suppress

from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from gateway.serve.events import MOST_EVENTS, EventFeed, Told, Wanted, read_events, tell
from gateway.storage.engine import Database

MOST_STREAMS = 100
HEARTBEAT_S = 15.0
"""Without events, a comment is sent so often: both ends see that the other is there."""

SEND_WITHIN_S = 20.0
"""A client that does not read for so long is dropped; it resumes by itself."""

LONGEST_S = 3_600.0
"""A stream ends after an hour, and its client resumes: so a revoked token ends as well."""

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
    ) -> None:
        super().__init__(headers={"X-Accel-Buffering": "no"})
        del self.headers["content-length"]
        self._database = database
        self._feed = feed
        self._wanted = wanted
        self._position = after
        self._streams = streams

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        del scope
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
        with suppress(TimeoutError):
            async with asyncio.timeout(LONGEST_S), aclosing(self._pieces()) as pieces:
                async for piece in pieces:
                    async with asyncio.timeout(SEND_WITHIN_S):
                        await send({"type": "http.response.body", "body": piece, "more_body": True})
        with suppress(TimeoutError):
            async with asyncio.timeout(1.0):
                await send({"type": "http.response.body", "body": b"", "more_body": False})

    async def _pieces(self) -> AsyncGenerator[bytes, None]:
        yield b"retry: %d\n\n" % RETRY_MS
        while not self._feed.closed:
            told = await self._next()
            if told:
                yield b"".join(_piece(one) for one in told)
            try:
                async with asyncio.timeout(HEARTBEAT_S):
                    await self._feed.beyond(self._position)
            except TimeoutError:
                yield b": still here\n\n"

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
