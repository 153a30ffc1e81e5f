"""Facts and views for those who follow.

A fact is encoded once for all. A follower has a cursor: it is fed from a ring of recent
facts, or, when it is further behind, from the journal's file. So a slow one costs nothing
and gets no gap. Views are encoded once for all, a slice a turn; a follower that could not
take them gets all of them later.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeVar

from gateway.core.errors import PilegateError
from gateway.core.facts import Fact
from gateway.guard.control_connection import Connection
from gateway.guard.control_dispatch import SLICE_VIEWS, views_json
from gateway.guard.control_service import GuardService
from gateway.link.decode import wrong
from gateway.link.journal import JournalReader
from gateway.link.messages import MOST_VIEWS, fact_to_json
from gateway.link.requests import FollowRequest, Notice, SnapshotRequest
from gateway.link.rpc import dump, notice_line

RING_FACTS = 2_048
AT_ONCE = 50
"""Facts sent in one turn of the loop."""
REPLAY_PAGE = 200
VIEWS_EVERY_S = 1.0
FULL_EVERY_S = 0.25
"""All views are encoded no more often, however many followers come and go."""

T = TypeVar("T")

log = logging.getLogger(__name__)


def fact_line(fact: Fact) -> bytes:
    """Write a fact as a notification."""
    return notice_line(Notice.FACT, dump(fact_to_json(fact)))


@dataclass(eq=False, slots=True)
class Follower:
    """One connection that follows."""

    connection: Connection
    cursor: int
    views: bool
    behind: bool = True
    """Whether it needs all views, not only changed ones."""
    news: asyncio.Event = field(default_factory=asyncio.Event)


class FollowHub:
    """Feeds all followers."""

    def __init__(
        self, journal: Path, service: GuardService, last_seq: int, encoding: asyncio.Lock
    ) -> None:
        """Be ready to feed.

        ``encoding`` is held while slices are encoded, so that one turn encodes one.
        """
        self._journal = journal
        self._service = service
        self._encoding = encoding
        self._last_seq = last_seq
        self._ring: list[bytes] = []
        self._ring_first = last_seq + 1
        self._followers: set[Follower] = set()
        self._joined = asyncio.Event()
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="journal-replay")
        self._reader: JournalReader | None = None

    def on_facts(self, facts: Sequence[Fact]) -> None:
        """Take facts that are durable, in order (a listener of the journal)."""
        self._last_seq = facts[-1].seq
        if not self._followers:
            self._ring.clear()
            self._ring_first = self._last_seq + 1
            return
        self._ring.extend(fact_line(fact) for fact in facts)
        if len(self._ring) > 2 * RING_FACTS:
            surplus = len(self._ring) - RING_FACTS
            del self._ring[:surplus]
            self._ring_first += surplus
        for follower in self._followers:
            follower.news.set()

    async def check(self, request: FollowRequest) -> tuple[int, bytes]:
        """Give the cursor to begin with, and the answer to ``follow``.

        Raises CorrectInput for a cursor that this journal has not reached.
        """
        first_seq, last_seq = await self._in_thread(self._bounds)
        cursor = last_seq if request.facts_after is None else request.facts_after
        if cursor > last_seq:
            raise wrong(
                "facts_after",
                f"is {cursor}, and the last fact here is {last_seq}: this is another journal",
            )
        return cursor, dump({"seq": last_seq, "first_seq": first_seq})

    async def feed(self, follower: Follower) -> None:
        """Feed one follower until its connection is gone. Never raises but CancelledError."""
        self._followers.add(follower)
        if follower.views:
            self._joined.set()
        try:
            while await follower.connection.until_writable():
                follower.news.clear()
                lines, follower.cursor = await self._next(follower.cursor)
                if lines:
                    follower.connection.send(b"".join(lines))
                    await asyncio.sleep(0)
                elif not follower.connection.closing:
                    await follower.news.wait()
        except PilegateError as err:
            log.warning("control: a follower is dropped: %s", err)
            follower.connection.drop(str(err))
        except Exception:  # one follower's trouble must not end the others
            log.exception("control: a follower could not be fed")
            follower.connection.drop("the guard failed at it; its log says why")
        finally:
            self._followers.discard(follower)

    def leave(self, connection: Connection) -> None:
        """Let the task of a connection that is gone come to its end."""
        for follower in self._followers:
            if follower.connection is connection:
                follower.news.set()

    def close(self) -> None:
        """Close the journal once the page being read is read."""
        self._thread.submit(self._close_reader)
        self._thread.shutdown(wait=False)

    async def show(self) -> None:
        """Send views, for ever: all to those who came or fell behind, then what changed."""
        loop = asyncio.get_running_loop()
        changed_s = 0.0
        while True:
            await self._wait_for_viewers()
            try:
                if any(follower.behind for follower in self._viewers()):
                    await self._show_all()
                if loop.time() - changed_s >= VIEWS_EVERY_S:
                    changed_s = loop.time()
                    await self._show_changed()
            except Exception:  # what is shown is never worth the guard's end
                log.exception("control: outlets could not be shown")
            await asyncio.sleep(FULL_EVERY_S)

    async def _wait_for_viewers(self) -> None:
        while not any(follower.views for follower in self._followers):
            self._joined.clear()
            await self._joined.wait()

    def _viewers(self) -> list[Follower]:
        return [f for f in self._followers if f.views and f.connection.writable]

    async def _show_all(self) -> None:
        takers = [follower for follower in self._viewers() if follower.behind]
        after: str | None = None
        while True:
            async with self._encoding:
                page = self._service.snapshot(SnapshotRequest(after=after, limit=SLICE_VIEWS))
                line = _outlets_line(views_json(page.outlets))
            for follower in takers:
                follower.connection.send(line)
            after = page.next
            await asyncio.sleep(0)
            if after is None:
                break
        for follower in takers:
            follower.behind = False

    async def _show_changed(self) -> None:
        # What changes again meanwhile waits for the next second.
        for _ in range(MOST_VIEWS):
            async with self._encoding:
                views = self._service.changed(SLICE_VIEWS)
                if not views:
                    return
                line = _outlets_line(views_json(views))
            for follower in self._followers:
                if follower.views and not follower.behind:
                    if follower.connection.writable:
                        follower.connection.send(line)
                    else:
                        follower.behind = True
            await asyncio.sleep(0)
            if len(views) < SLICE_VIEWS:
                return

    async def _next(self, cursor: int) -> tuple[list[bytes], int]:
        """Give the lines after a cursor, and the cursor after them.

        They come from the ring, or from the file, or there are none yet.
        """
        if cursor >= self._last_seq:
            return [], cursor
        if cursor + 1 >= self._ring_first:
            start = cursor + 1 - self._ring_first
            lines = self._ring[start : start + AT_ONCE]
            return lines, cursor + len(lines)
        return await self._in_thread(lambda: self._replay(cursor))

    async def _in_thread(self, work: Callable[[], T]) -> T:
        return await asyncio.get_running_loop().run_in_executor(self._thread, work)

    def _replay(self, cursor: int) -> tuple[list[bytes], int]:
        facts = self._open().facts_after(cursor, REPLAY_PAGE)
        return [fact_line(fact) for fact in facts], facts[-1].seq if facts else cursor

    def _bounds(self) -> tuple[int, int]:
        return self._open().first_seq(), self._open().last_seq()

    def _open(self) -> JournalReader:
        if self._reader is None:
            self._reader = JournalReader(self._journal)
        return self._reader

    def _close_reader(self) -> None:
        if self._reader is not None:
            self._reader.close()


def _outlets_line(views: bytes) -> bytes:
    return notice_line(Notice.OUTLETS, b'{"outlets":[' + views + b"]}")
