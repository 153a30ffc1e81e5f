"""The bounded queue between the event loop and the journal's writer."""

from __future__ import annotations

import threading
import time
from collections import deque
from dataclasses import dataclass

from gateway.core.facts import FactDraft, FactKind
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


_NEVER_DROPPED = (
    *(FactKind.LEASE_ENDED, FactKind.OUTLET_CUT),
    *(FactKind.CONTACTOR_OPENED, FactKind.INTERLOCK_TRIPPED),
)
"""Facts that money and safety rest on."""


@dataclass(frozen=True, slots=True)
class Waiting:
    """One entry in the queue."""

    entry: Entry
    ticket: Ticket
    urgent: bool


class Queue:
    """Entries in the order in which they came.

    The last ``reserve`` places are for urgent entries. When even these are taken, the
    newest state of each outlet (latch, lock, lease) is kept with the facts that it rests
    on, and written once there is room; other facts are dropped and counted. As no lease
    starts meanwhile, what is kept is bounded by the number of outlets.
    """

    def __init__(self, capacity: int, reserve: int) -> None:
        self._capacity = capacity
        self._reserve = reserve
        self._entries: deque[Waiting] = deque()
        self._urgent = 0
        self._kept: dict[tuple[str, str], Change] = {}
        self._kept_facts: dict[tuple[str, str], FactDraft] = {}
        self._kept_ticket = Ticket()
        self._changed = threading.Condition()
        self._overflown = False
        self._woken = False
        self._closed_at_s: float | None = None
        self.dropped_facts = 0

    def __len__(self) -> int:
        return len(self._entries)

    def put(self, entry: Entry) -> Ticket | None:
        """Queue an entry; None when there is no room for one that is not urgent."""
        with self._changed:
            if len(self._entries) >= self._capacity or self._overflown:
                return None
            return self._append(entry, urgent=False)

    def put_urgent(self, entry: Entry) -> Ticket:
        """Queue an entry that must not wait behind a full queue. Never refuses."""
        with self._changed:
            if len(self._entries) < self._capacity + self._reserve and not self._overflown:
                return self._append(entry, urgent=True)
            return self._keep(entry)

    def _keep(self, entry: Entry) -> Ticket:
        self._overflown = True
        for fact in entry.facts:
            kept = len(self._kept_facts)
            if fact.kind in _NEVER_DROPPED:
                self._kept_facts[fact.kind, fact.subject] = fact
            self.dropped_facts += len(self._kept_facts) == kept
        for change in entry.changes:
            key = _key(change)
            if key is not None:
                self._kept[key] = change
        return self._kept_ticket

    def _append(self, entry: Entry, *, urgent: bool) -> Ticket:
        ticket = Ticket()
        self._entries.append(Waiting(entry, ticket, urgent))
        self._urgent += urgent
        return ticket

    def wake(self) -> None:
        """Have the writer look at what waits, here or elsewhere."""
        with self._changed:
            self._woken = True
            self._changed.notify()

    def take(self, wait_s: float, not_before_s: float) -> list[Waiting]:
        """Take what waits, oldest first; an empty list when nothing came within ``wait_s``.

        Before the monotonic time ``not_before_s`` more is gathered, unless something is
        urgent. For the writer's thread.
        """
        with self._changed:
            if not self._entries and not self._overflown:
                self._changed.wait_for(self._awake, wait_s)
            self._woken = False
            while self._entries and not self._hurry():
                left_s = not_before_s - time.monotonic()
                if left_s <= 0:
                    break
                self._changed.wait(left_s)
            batch: list[Waiting] = []
            while self._entries and len(batch) < MOST_IN_BATCH:
                waiting = self._entries.popleft()
                self._urgent -= waiting.urgent
                batch.append(waiting)
            if not self._entries and self._overflown:
                # Behind everything that came before it, and before everything that comes.
                kept = Entry(tuple(self._kept_facts.values()), tuple(self._kept.values()))
                batch.append(Waiting(kept, self._kept_ticket, urgent=True))
                self._kept, self._kept_facts, self._kept_ticket = {}, {}, Ticket()
                self._overflown = False
            return batch

    def drain(self) -> list[Waiting]:
        """Take everything at once, after the writer has ended."""
        with self._changed:
            left = list(self._entries)
            self._entries.clear()
            if self._overflown:
                left.append(Waiting(Entry(), self._kept_ticket, urgent=True))
            return left

    def _awake(self) -> bool:
        closed = self._closed_at_s is not None
        return bool(self._entries) or self._overflown or self._woken or closed

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
            return not self._entries and not self._overflown

    def given_up(self) -> bool:
        """Say whether the time to drain is over."""
        return self._closed_at_s is not None and time.monotonic() >= self._closed_at_s

    def pause(self, wait_s: float) -> None:
        """Wait before another try; once closed, only shortly."""
        with self._changed:
            if self.closed:
                self._changed.wait(min(wait_s, 0.1))
            else:
                self._changed.wait_for(lambda: self.closed, wait_s)


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
