"""PURE: what outlets in use did, minute by minute."""

from __future__ import annotations

from dataclasses import dataclass, field

from gateway.core.units import UJ_PER_MWH
from gateway.guard.model import Sample
from gateway.link.records import MinuteRecord, Spread

MINUTE_MS = 60_000


@dataclass(slots=True)
class Course:
    """Lowest, highest and sum of one quantity."""

    count: int = 0
    low: float = 0.0
    high: float = 0.0
    total: float = 0.0

    def add(self, value: float | None) -> None:
        """Take one more value in."""
        if value is None:
            return
        self.low = value if self.count == 0 else min(self.low, value)
        self.high = value if self.count == 0 else max(self.high, value)
        self.total += value
        self.count += 1

    def spread(self) -> Spread | None:
        """Return what the values did; ``None`` when there was none."""
        if self.count == 0:
            return None
        mean = self.total / self.count
        return Spread(low=round(self.low, 3), high=round(self.high, 3), mean=round(mean, 3))


@dataclass(slots=True)
class Minute:
    """One minute of one outlet, being filled."""

    minute_utc_ms: int
    start_uj: int
    samples: int = 0
    end_uj: int = 0
    voltage_v: Course = field(default_factory=Course)
    current_a: Course = field(default_factory=Course)
    power_w: Course = field(default_factory=Course)


class Minutes:
    """The minutes that are being filled, of all outlets."""

    def __init__(self) -> None:
        self._open: dict[str, Minute] = {}

    def add(self, outlet: str, sample: Sample, total_uj: int) -> MinuteRecord | None:
        """Take a sample of an outlet in use, with the energy of its lease so far (µJ).

        Returns the minute before, when this sample begins a new one.
        """
        start_utc_ms = sample.utc_ms - sample.utc_ms % MINUTE_MS
        minute = self._open.get(outlet)
        finished = None
        if minute is None or minute.minute_utc_ms != start_utc_ms:
            finished = self.close(outlet)
            start_uj = minute.end_uj if minute is not None else 0
            # A lease that began anew counts from zero.
            minute = Minute(start_utc_ms, min(start_uj, total_uj))
            self._open[outlet] = minute
        minute.samples += 1
        minute.end_uj = total_uj
        minute.voltage_v.add(sample.voltage_v)
        minute.current_a.add(sample.current_a)
        minute.power_w.add(sample.power_w)
        return finished

    def close(self, outlet: str, total_uj: int = 0) -> MinuteRecord | None:
        """Return what was gathered of an outlet that is no longer in use.

        The sample that ended its lease came with energy too: ``total_uj`` is what it was in all.
        """
        minute = self._open.pop(outlet, None)
        if minute is None or minute.samples == 0:
            return None
        minute.end_uj = max(minute.end_uj, total_uj)
        # Whole mWh of the lease at both ends: the minutes of a lease add up to it.
        used_mwh = minute.end_uj // UJ_PER_MWH - minute.start_uj // UJ_PER_MWH
        return MinuteRecord(
            outlet=outlet,
            minute_utc_ms=minute.minute_utc_ms,
            samples=minute.samples,
            energy_mwh=max(0, used_mwh),
            voltage_v=minute.voltage_v.spread(),
            current_a=minute.current_a.spread(),
            power_w=minute.power_w.spread(),
        )

    def close_all(self) -> list[MinuteRecord]:
        """Return what was gathered of every outlet, at the end of a run."""
        closed = (self.close(outlet) for outlet in list(self._open))
        return [minute for minute in closed if minute is not None]
