"""What a bus tells about itself, for metrics and tables."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True, kw_only=True)
class BusStats:
    """Counters since the program started, and the present state of a bus."""

    utilisation: float
    """Share of the last seconds in which the wire was needed, 0 to 1. On a serial line that is
    frames both ways, one gap each, and the devices' stated turn-around; waits for answers that
    did not come count as they were."""
    busy_ms: float
    """The same as a counter."""
    requests: int
    timeouts: int
    errors: Mapping[str, int] = field(default_factory=dict)
    """Wrong data on the wire by kind: crc, unit, function, length, echo, transaction,
    unexpected, oversized; and ``declined`` for exception answers."""
    cycle_ms: float | None
    """How long the last round of polls took."""
    queue_depth: int
    """Commands that wait."""
    oldest_fast_ms: float | None = None
    """Age of the oldest value that is wanted often, of all devices that answer."""
    oldest_slow_ms: float | None = None
    """The same, of values that change slowly."""
