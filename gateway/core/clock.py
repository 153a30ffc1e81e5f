"""Time, read once at the edge and passed down.

Timers use the monotonic clock, which steps of the wall clock do not touch;
records use UTC, and say how far it could be trusted when they were written.
"""

from __future__ import annotations

import time
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
    """The system says that its clock follows a time source."""
    UNSYNCED = "unsynced"
    """Plausible, but nothing says that it was set."""
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


class SystemClock:
    """The machine's clocks. The quality is looked up at most once a minute."""

    def __init__(self) -> None:
        self._synced = False
        self._checked_mono_ms: int | None = None

    def now(self) -> Now:
        """Read both clocks."""
        mono_ms = time.monotonic_ns() // 1_000_000
        utc_ms = time.time_ns() // 1_000_000
        if self._checked_mono_ms is None or mono_ms - self._checked_mono_ms > 60_000:
            self._synced = SYNCHRONIZED_FLAG.exists()
            self._checked_mono_ms = mono_ms
        return Now(mono_ms, utc_ms, self._quality(utc_ms))

    def _quality(self, utc_ms: int) -> TimeQuality:
        if utc_ms < EARLIEST_UTC_MS:
            return TimeQuality.UNSET
        return TimeQuality.SYNCED if self._synced else TimeQuality.UNSYNCED
