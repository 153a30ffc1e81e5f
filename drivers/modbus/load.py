"""How much of a bus's time is used. Pure; times are monotonic milliseconds handed in."""

from __future__ import annotations

WINDOW_MS = 5_000.0


class Load:
    """Busy time as a counter, and its share of the last ``WINDOW_MS`` to twice that."""

    def __init__(self, now_ms: float) -> None:
        self.busy_ms = 0.0
        self._marks = [(now_ms, 0.0)]

    def add(self, busy_ms: float, now_ms: float) -> None:
        self.busy_ms += busy_ms
        if now_ms - self._marks[-1][0] >= WINDOW_MS:
            self._marks = [self._marks[-1], (now_ms, self.busy_ms)]

    def utilisation(self, now_ms: float) -> float:
        """Share of the last seconds, 0 to 1."""
        since_ms, busy_ms = self._marks[0]
        elapsed_ms = now_ms - since_ms
        return min(1.0, (self.busy_ms - busy_ms) / elapsed_ms) if elapsed_ms > 0 else 0.0
