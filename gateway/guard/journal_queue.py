"""The bounded queue between the event loop and the journal's writer."""

from __future__ import annotations

import threading
import time
from collections import deque
from dataclasses import dataclass

from gateway.guard.journal_entry import (
    Change,
    DropLatch,
    DropLease,
    DropLock,
    Entry,
    Ticket,
)
from gateway.link.records import LatchRecord, LeaseRecord, LockRecord

MOST_IN_BATCH = 256
"""Entries in one transaction."""


@dataclass(frozen=True, slots=True)
class Waiting:
    """One entry in the queue."""

    entry: Entry
    ticket: Ticket
    urgent: bool


class Queue:
    """Entries in the order in which they came.

    The last ``reserve`` places are for urgent entries. When even these are taken, urgent
    facts are dropped and counted, and the state of outlets (latches, locks, leases) is
    kept, the newest of each, and written once there is room: a latch is never lost as long
    as the guard lives.
    """

    def __init__(self, capacity: int, reserve: int) -> None:
        self._capacity = capacity
        self._reserve = reserve
        self._entries: deque[Waiting] = deque()
        self._urgent = 0
        self._kept: dict[tuple[str, str], Change] = {}
        self._kept_ticket = Ticket()
        self._changed = threading.Condition()
        self._closed_at_s: float | None = None
        self.dropped_facts = 0

    def __len__(self) -> int:
        return len(self._entries)

    def put(self, entry: Entry) -> Ticket | None:
        """Queue an entry; None when there is no room for one that is not urgent."""
        with self._changed:
            if len(self._entries) >= self._capacity or self._kept:
                return None
            return self._append(entry, urgent=False)

    def put_urgent(self, entry: Entry) -> Ticket:
        """Queue an entry that must not wait behind a full queue. Never refuses."""
        with self._changed:
            if len(self._entries) < self._capacity + self._reserve and not self._kept:
                return self._append(entry, urgent=True)
            self.dropped_facts += len(entry.facts)
            for change in entry.changes:
                key = _key(change)
                if key is not None:
                    self._kept[key] = change
            return self._kept_ticket

    def _append(self, entry: Entry, *, urgent: bool) -> Ticket:
        ticket = Ticket()
        self._entries.append(Waiting(entry, ticket, urgent))
        self._urgent += urgent
        self._changed.notify()
        return ticket

    def take(self, wait_s: float, not_before_s: float) -> list[Waiting]:
        """Take what waits, oldest first; an empty list when nothing came within ``wait_s``.

        Before the monotonic time ``not_before_s`` more is gathered, unless something is
        urgent. For the writer's thread.
        """
        with self._changed:
            if not self._entries and not self._kept:
                self._changed.wait_for(self._awake, wait_s)
            while self._entries and not self._hurry():
                left_s = not_before_s - time.monotonic()
                if left_s <= 0:
                    break
                self._changed.wait(left_s)
            batch = []
            while self._entries and len(batch) < MOST_IN_BATCH:
                waiting = self._entries.popleft()
                self._urgent -= waiting.urgent
                batch.append(waiting)
            if not self._entries and self._kept:
                # Behind everything that came before it, and before everything that comes.
                batch.append(
                    Waiting(Entry((), tuple(self._kept.values())), self._kept_ticket, True)
                )
                self._kept, self._kept_ticket = {}, Ticket()
            return batch

    def _awake(self) -> bool:
        return bool(self._entries) or bool(self._kept) or self._closed_at_s is not None

    def _hurry(self) -> bool:
        full = len(self._entries) >= MOST_IN_BATCH
        return self._urgent > 0 or full or self._closed_at_s is not None

    def close(self, deadline_s: float) -> None:
        """Let the writer end once the queue is empty, or at the monotonic ``deadline_s``."""
        with self._changed:
            self._closed_at_s = deadline_s
            self._changed.notify_all()

    @property
    def closed(self) -> bool:
        return self._closed_at_s is not None

    @property
    def empty(self) -> bool:
        with self._changed:
            return not self._entries and not self._kept

    def given_up(self) -> bool:
        """Say whether the time to drain is over."""
        return self._closed_at_s is not None and time.monotonic() >= self._closed_at_s

    def pause(self, wait_s: float) -> None:
        """Wait before another try; a close cuts the wait short to its deadline."""
        end_s = time.monotonic() + wait_s
        with self._changed:
            while not self.given_up():
                left_s = end_s - time.monotonic()
                if self._closed_at_s is not None:
                    left_s = min(left_s, self._closed_at_s - time.monotonic(), 0.1)
                    end_s = min(end_s, time.monotonic() + left_s)
                if left_s <= 0:
                    return
                self._changed.wait(left_s)


def _key(change: Change) -> tuple[str, str] | None:
    """Name what a change is about; None for what is not kept: answers and minutes."""
    match change:
        case LatchRecord() | DropLatch():
            return ("latch", change.outlet)
        case LockRecord() | DropLock():
            return ("lock", change.scope)
        case LeaseRecord() | DropLease():
            return ("lease", change.outlet)
        case _:
            return None
