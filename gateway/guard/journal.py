"""The guard's own journal: what happened and what must survive, in one SQLite file.

The event loop puts entries into a bounded queue and never waits; a thread writes them,
many a transaction, each synchronised to the disk; what became durable comes back into the
loop in order.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from gateway.core.facts import Fact
from gateway.guard.flight_record import Flight
from gateway.guard.journal_chores import Keep
from gateway.guard.journal_entry import Entry, JournalFull, NotWritten, Ticket
from gateway.guard.journal_queue import Queue
from gateway.guard.journal_schema import open_journal
from gateway.guard.journal_spare import Spare
from gateway.guard.journal_sql import last_seq
from gateway.guard.journal_writer import Outcome, State, Writer

CAPACITY = 2_048
"""Entries that may wait before new leases are refused."""
RESERVE = 8_192
"""Further places for cut-offs: several of each of 1,000 outlets."""
DELIVERED_AT_ONCE = 50
"""Entries whose outcome is told in one turn of the loop: a cut-off never waits longer."""

WAKE_AFTER_S = 0.003

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class Figures:
    """How the journal does, for metrics."""

    waiting: int
    dropped_facts: int
    dropped_flights: int
    retries: int
    size_bytes: int
    last_seq: int
    refused: int
    """Entries that found no room: of leases, which are not granted then, and of what can be
    missed (minutes, refusals, devices lost and found)."""
    behind_s: float
    """How long the oldest entries have been tried to be written; 0: none wait."""
    log_bytes: int
    """Size of the write-ahead log, which a reader that never ends makes grow."""


class Journal:
    """The journal of one guard. Every method is called in the event loop's thread."""

    def __init__(
        self,
        path: Path,
        *,
        keep: Keep | None = None,
        capacity: int = CAPACITY,
        reserve: int = RESERVE,
    ) -> None:
        """Open or make the file, or bring it up to date.

        Raises FixInstallation for a read-only directory or disk, a damaged file or one of
        a newer version; TryLater when another program holds it locked.
        """
        self.path = path
        db = open_journal(path)
        self._last_seq = last_seq(db)
        self._queue = Queue(capacity, reserve)
        self._spare = Spare()
        self._writer = Writer(
            path, db, self._queue, self._spare, keep=keep or Keep(), deliver=self._hand_over
        )
        self._loop: asyncio.AbstractEventLoop | None = None
        self._outcomes: deque[Outcome] = deque()
        self._delivering = False
        self._waking = False
        self._refused = 0
        self._listeners: list[Callable[[Sequence[Fact]], None]] = []

    def start(self) -> None:
        """Start writing; from now on outcomes come back into the running loop."""
        self._loop = asyncio.get_running_loop()
        self._writer.start()

    def subscribe(self, listener: Callable[[Sequence[Fact]], None]) -> None:
        """Have ``listener`` called with facts once they are durable, in order, without gaps.

        It is called after the ticket of their entry was settled, and must return at once.
        """
        self._listeners.append(listener)

    def unsubscribe(self, listener: Callable[[Sequence[Fact]], None]) -> None:
        self._listeners.remove(listener)

    def put(self, entry: Entry) -> Ticket:
        """Queue an entry and return at once.

        Raises JournalFull when the queue has no room or the journal is closed.
        """
        ticket = None if self._queue.closed else self._queue.put(entry)
        if ticket is None:
            self._refused += 1
            raise JournalFull(
                f"the journal is behind ({len(self._queue)} entries wait): try again"
                if self.state.detail == ""
                else f"the journal can't be written: {self.state.detail}"
            )
        self._wake_soon()
        return ticket

    def put_urgent(self, entry: Entry) -> Ticket:
        """Queue what a cut-off leaves behind: never refused, never waits.

        Once even the reserve is full, only state and the facts it rests on are kept, under
        one ticket for all.
        """
        ticket = self._queue.put_urgent(entry)
        self._wake_soon()
        return ticket

    def put_flight(self, flight: Flight) -> None:
        """Queue a flight record, to be written when there is nothing else to write.

        Never refuses and never waits; what finds no room, or no disk, is dropped and counted.
        """
        if not self._queue.closed:
            self._spare.put(flight)
            self._wake_soon()

    def _wake_soon(self) -> None:
        """Wake the writer once the frame that switches off has left.

        A thread that wakes takes the interpreter from the loop for up to its switch interval,
        and an entry is put in the very call that queues the cut-off.
        """
        if self._loop is not None and not self._waking:
            self._waking = True
            self._loop.call_later(WAKE_AFTER_S, self._wake)

    def _wake(self) -> None:
        self._waking = False
        self._queue.wake()

    @property
    def state(self) -> State:
        """Whether entries reach the disk, and if not, what to do about it."""
        return self._writer.state

    @property
    def last_seq(self) -> int:
        """The number of the last fact that listeners were told."""
        return self._last_seq

    def figures(self) -> Figures:
        since_s = self._writer.in_hand_since_s
        return Figures(
            waiting=len(self._queue),
            dropped_facts=self._queue.dropped_facts,
            dropped_flights=self._spare.dropped,
            retries=self._writer.retries,
            size_bytes=self._writer.size_bytes,
            last_seq=self._last_seq,
            refused=self._refused,
            behind_s=0.0 if since_s == 0 else time.monotonic() - since_s,
            log_bytes=self._writer.log_bytes,
        )

    async def close(self, timeout_s: float = 5.0) -> bool:
        """Write what waits and close the file; say whether all of it was written.

        Nothing can be put from now on. After ``timeout_s`` what still waits is given up:
        its tickets fail with NotWritten.
        """
        self._queue.close(time.monotonic() + timeout_s)
        if self._loop is None:
            self._writer.run()
        else:
            # Past its deadline only a disk that hangs in the kernel can hold the writer.
            await asyncio.to_thread(self._writer.join, timeout_s + 1.0)
        # All that the writer handed over before it ended has arrived: it was queued earlier.
        while self._outcomes:
            self._tell()
        left = [*self._writer.in_hand, *self._queue.drain()]
        for waiting in left:
            waiting.ticket.settle(NotWritten("the guard stopped before this was written"))
        if left:
            log.error("journal: %d entries were not written: %s", len(left), self.state.detail)
        return not left

    def _hand_over(self, outcomes: Sequence[Outcome]) -> None:
        """Bring outcomes from the writer's thread into the loop."""
        if self._loop is None:
            self._receive(outcomes)
            return
        try:
            self._loop.call_soon_threadsafe(self._receive, outcomes)
        except RuntimeError:
            log.warning("journal: the loop ended before %d outcomes were told", len(outcomes))

    def _receive(self, outcomes: Sequence[Outcome]) -> None:
        self._outcomes.extend(outcomes)
        if not self._delivering:
            self._tell()

    def _tell(self) -> None:
        for _ in range(min(DELIVERED_AT_ONCE, len(self._outcomes))):
            ticket, outcome = self._outcomes.popleft()
            ticket.settle(outcome)
            if isinstance(outcome, tuple) and outcome:
                self._last_seq = outcome[-1].seq
                self._tell_listeners(outcome)
        self._delivering = bool(self._outcomes)
        if self._delivering:
            asyncio.get_running_loop().call_soon(self._tell)

    def _tell_listeners(self, facts: Sequence[Fact]) -> None:
        for listener in self._listeners:
            try:
                listener(facts)
            except Exception:  # one listener's fault must not keep facts from the others
                log.exception("a listener of the journal failed")
