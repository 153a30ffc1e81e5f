"""The meter of one circuit."""

from __future__ import annotations

from collections.abc import Callable

from gateway.core.clock import Now
from gateway.guard.model import Sample, WriteResult
from gateway.guard.usage import MeterState, amount_of


class Meter:
    """The meter of one circuit (a ``fleet.PointOwner``)."""

    def __init__(self, now: Now, told: Callable[[float, int], None]) -> None:
        """``told`` takes each new current, and its time."""
        self.state = MeterState(now.mono_ms)
        self._told = told

    def on_sample(self, sample: Sample) -> None:
        self.state = self.state.take(sample)
        amount = amount_of(self.state.power_w, self.state.current_a)
        if amount is not None and self.state.at_ms == sample.at_ms:
            self._told(amount.current_a, sample.at_ms)

    def on_alive(self, at_ms: int) -> None:
        self.state = self.state._replace(at_ms=max(self.state.at_ms, at_ms))

    def on_write(self, wanted_on: bool, result: WriteResult) -> None:
        """Nothing is switched here."""
