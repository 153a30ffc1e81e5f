"""Time, read once at the edge and passed down.

Timers use the monotonic clock, which steps of the wall clock do not touch;
records use UTC, and say how far it could be trusted when they were written.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Protocol

# No record of this program can be older than the program: 2026-01-01T00:00:00Z.
EARLIEST_UTC_MS = 1_767_225_600_000

# systemd-timesyncd creates this file once it has set the clock (systemd-timesyncd.service(8)).
SYNCHRONIZED_FLAG = Path("/run/systemd/timesync/synchronized")


class TimeQuality(StrEnum):
    """How far a UTC time can be trusted."""

    SYNCED = "synced"
    """The system says that its clock follows a time source, and it runs as a clock does."""
    UNSYNCED = "unsynced"
    """Plausible, but nothing says that it was set, or it was moved within the last minute."""
    UNSET = "unset"
    """Before this program existed: the box has no battery and was not set yet."""


@dataclass(frozen=True, slots=True)
class Now:
    """One reading of both clocks."""

    mono_ms: int
    utc_ms: int
    quality: TimeQuality = TimeQuality.UNSYNCED


class Clock(Protocol):
    """Where the time comes from."""

    def now(self) -> Now: ...


# The two clocks drift apart by less than this between two corrections of the wall clock; more
# is a step, or a slew that has added up.
_APART_NS = 5_000_000

CHECK_MS = 60_000
MOST_MOVED_MS = 250
"""A clock that moved further within a minute was stepped, or stands still, or runs away: a time
source corrects a good one by 30 ms a minute at most (500 ppm, adjtimex(2))."""

STEADY_AFTER_MS = 3_600_000
STEP_MS = 30_000


class SystemClock:
    """The machine's clocks. The quality is looked up at most once a minute.

    UTC is the monotonic clock plus an offset that changes only when the clocks have moved apart
    by 5 ms: a moment that lies ahead has the same UTC whenever it is told.
    """

    def __init__(
        self,
        mono_ns: Callable[[], int] = time.monotonic_ns,
        utc_ns: Callable[[], int] = time.time_ns,
    ) -> None:
        self._mono_ns = mono_ns
        self._utc_ns = utc_ns
        self._offset_ms: int | None = None
        self._moved_ms = 0
        self._synced = False
        self._checked_mono_ms: int | None = None

    def now(self) -> Now:
        """Read both clocks."""
        mono_ns = self._mono_ns()
        offset_ms = self._offset_ms
        if offset_ms is None or abs(self._utc_ns() - mono_ns - offset_ms * 1_000_000) > _APART_NS:
            mono_ns, new_ms = self._compare()
            self._moved_ms += 0 if offset_ms is None else abs(new_ms - offset_ms)
            self._offset_ms = offset_ms = new_ms
            if self._moved_ms > MOST_MOVED_MS:
                self._synced = False
        mono_ms = mono_ns // 1_000_000
        if self._checked_mono_ms is None or mono_ms - self._checked_mono_ms > CHECK_MS:
            self._synced = self._moved_ms <= MOST_MOVED_MS and SYNCHRONIZED_FLAG.exists()
            self._moved_ms = 0
            self._checked_mono_ms = mono_ms
        utc_ms = mono_ms + offset_ms
        return Now(mono_ms, utc_ms, self._quality(utc_ms))

    def _compare(self) -> tuple[int, int]:
        """Read the clocks at one moment: again, if something else ran between the readings."""
        for _ in range(3):
            before_ns, utc_ns, after_ns = self._mono_ns(), self._utc_ns(), self._mono_ns()
            if after_ns - before_ns < 1_000_000:
                break
        return after_ns, (utc_ns - after_ns) // 1_000_000

    def _quality(self, utc_ms: int) -> TimeQuality:
        if utc_ms < EARLIEST_UTC_MS:
            return TimeQuality.UNSET
        return TimeQuality.SYNCED if self._synced else TimeQuality.UNSYNCED


class Steady:
    """Says whether UTC can be trusted with deleting what is old.

    A clock that was set wrongly makes everything old, and what it deletes does not come back when
    it is set right. So nothing goes by its age until UTC has run beside the monotonic clock for
    an hour: since the start of the process, or since the last step.
    """

    def __init__(self) -> None:
        self._offset_ms: int | None = None
        self._since_ms = 0

    def is_steady(self, now: Now) -> bool:
        """Look at the clock; call it at least every few hours."""
        offset_ms = now.utc_ms - now.mono_ms
        if self._offset_ms is None or abs(offset_ms - self._offset_ms) > STEP_MS:
            self._since_ms = now.mono_ms
        self._offset_ms = offset_ms
        set_once = now.quality is not TimeQuality.UNSET
        return set_once and now.mono_ms - self._since_ms >= STEADY_AFTER_MS
