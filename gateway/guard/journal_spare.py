"""Flight records that wait for the journal's writer to have nothing better to do.

They are the first to go: when the disk can't follow, the oldest is dropped for the newest, and
counted. No fact ever waits for more than one short transaction of them.
"""

from __future__ import annotations

import threading
from collections import deque

from gateway.guard.flight_record import Flight

MOST_WAITING = 1_024
"""Records in memory, about 15 KB each: all outlets of a large site that stop at once."""
MOST_AT_ONCE = 8
"""Records in one transaction: a fact waits for no more."""
MOST_AT_THE_END = 256
"""Once no fact can come any more."""


class Spare:
    """A bounded queue between the event loop and the writer."""

    def __init__(self, most: int = MOST_WAITING) -> None:
        self._most = most
        self._waiting: deque[Flight] = deque()
        self._lock = threading.Lock()
        self.dropped = 0

    def __len__(self) -> int:
        return len(self._waiting)

    def put(self, flight: Flight) -> None:
        """Queue a record, in place of the oldest if there is no room."""
        with self._lock:
            if len(self._waiting) >= self._most:
                self._waiting.popleft()
                self.dropped += 1
            self._waiting.append(flight)

    def take(self, most: int = MOST_AT_ONCE) -> list[Flight]:
        """Take some records, oldest first, up to one whose facts have no numbers yet."""
        taken: list[Flight] = []
        with self._lock:
            while self._waiting and len(taken) < most and self._waiting[0].settled:
                taken.append(self._waiting.popleft())
        return taken

    def put_back(self, flights: list[Flight]) -> None:
        """Put records back that could not be written, before those that came since."""
        with self._lock:
            room = max(0, self._most - len(self._waiting))
            kept = flights[len(flights) - room :] if room < len(flights) else flights
            self.dropped += len(flights) - len(kept)
            self._waiting.extendleft(reversed(kept))

    def drop(self, count: int) -> None:
        """Count records that can't be written at all."""
        with self._lock:
            self.dropped += count
