"""One time for all threads: CLOCK_MONOTONIC in ns, and seconds since the world began."""

from __future__ import annotations

import time


class WorldClock:
    """Monotonic nanoseconds are comparable between processes of one machine."""

    def __init__(self) -> None:
        self._epoch_ns = time.monotonic_ns()

    def now_ns(self) -> int:
        return time.monotonic_ns()

    def now_s(self) -> float:
        """Seconds since the world began."""
        return self.at_s(time.monotonic_ns())

    def at_s(self, mono_ns: int) -> float:
        """Turn monotonic nanoseconds into seconds since the world began."""
        return (mono_ns - self._epoch_ns) / 1e9
