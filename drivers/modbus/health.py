"""How one device answers: misses in a row, quarantine, and whom a late answer may fool. Pure.

Times are monotonic milliseconds handed in by the caller.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from random import Random

from drivers.modbus.frames import Request
from gateway.guard.model import DeviceState

SILENT_AFTER = 2
"""Misses in a row: one lost frame is no news."""
QUARANTINED_AFTER = 3
FIRST_BACKOFF_MS = 1_000.0
LONGEST_BACKOFF_MS = 30_000.0
JITTER = 0.2
HOLD_MS = 2_000.0
"""A device that has no shape of answer left to prove itself with is left alone for so long;
an answer later than that is taken as lost."""
MOST_DECLINED = 3
"""A device that declines so many barriers in a row does not like to be read in parts."""


@dataclass(slots=True)
class Backoff:
    """Doubling waits, capped and jittered."""

    random: Random
    first_ms: float = FIRST_BACKOFF_MS
    longest_ms: float = LONGEST_BACKOFF_MS
    _next_ms: float = 0.0

    def next_ms(self) -> float:
        """Give the next wait: twice the last one, give or take ``JITTER``."""
        wait_ms = min(max(self._next_ms, self.first_ms), self.longest_ms)
        self._next_ms = wait_ms * 2
        return wait_ms * self.random.uniform(1 - JITTER, 1 + JITTER)

    def reset(self) -> None:
        self._next_ms = 0.0


@dataclass(slots=True)
class Health:
    """The answers of one device."""

    backoff: Backoff
    state: DeviceState = DeviceState.UNKNOWN
    misses: int = 0
    due_ms: float = 0.0
    """A quarantined device is not polled before this time."""
    answered_ms: float | None = None

    def missed(self, now_ms: float) -> bool:
        """Count a missing answer. True when the state changed by it."""
        self.misses += 1
        before = self.state
        if self.misses >= QUARANTINED_AFTER:
            self.state = DeviceState.QUARANTINED
            self.due_ms = now_ms + self.backoff.next_ms()
        elif self.misses >= SILENT_AFTER:
            self.state = DeviceState.SILENT
        return self.state is not before

    def answered(self, now_ms: float) -> bool:
        """Count an answer. True when the device is online by it and was not before."""
        self.misses = 0
        self.answered_ms = now_ms
        if self.state is DeviceState.ONLINE:
            return False
        self.state = DeviceState.ONLINE
        self.due_ms = 0.0
        self.backoff.reset()
        return True

    def unreachable(self) -> None:
        """Forget what was known: the bus itself is lost."""
        self.state = DeviceState.UNKNOWN
        self.misses = 0
        self.due_ms = 0.0
        self.backoff.reset()

    def is_due(self, now_ms: float) -> bool:
        return self.state is not DeviceState.QUARANTINED or now_ms >= self.due_ms


@dataclass(slots=True)
class Suspicion:
    """Answers that a device on a serial line may still owe.

    RTU answers carry no number. After a time-out, an answer with the *shape* (head) of an
    unanswered request may be that one's, come late. So the device first has to answer a read
    of a shape that nothing unanswered has; as it answers in order, all earlier answers are
    then either here and discarded, or lost.
    """

    barriers: Sequence[Request]
    owed: dict[bytes, float] = field(default_factory=dict)
    """Heads of answers that may still come, and since when they are owed."""
    declined: int = 0
    """Barriers in a row that were declined."""

    @property
    def is_suspect(self) -> bool:
        return bool(self.owed)

    def owes(self, head: bytes, now_ms: float) -> None:
        """Note a request that was not answered, or an answer that may come twice."""
        self.owed[head] = now_ms

    def owes_anew(self, now_ms: float) -> None:
        """Count from now: a converter hands on what came off its line while nobody listened."""
        self.owed = dict.fromkeys(self.owed, now_ms)

    def barrier(self, now_ms: float) -> Request | None:
        """Give a read whose answer can't be mistaken, or None.

        With None the device is left alone, as long as it is suspect: what it has owed for
        ``HOLD_MS`` is forgotten where no barrier is left.
        """
        found = self._unmistakable()
        if found is None:
            self.owed = {
                head: since_ms
                for head, since_ms in self.owed.items()
                if now_ms - since_ms < HOLD_MS
            }
            found = self._unmistakable() if self.owed else None
        return found

    def _unmistakable(self) -> Request | None:
        if self.declined >= MOST_DECLINED:
            return None
        return next((read for read in self.barriers if read.head not in self.owed), None)

    def cleared(self) -> None:
        """Trust the device again: a barrier was answered."""
        self.owed.clear()
        self.declined = 0
