"""When each device is polled. Pure; times are monotonic milliseconds handed in."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable

from drivers.modbus.unit import Unit
from gateway.guard.model import DeviceState

EMPTY_ROUND_MS = 50.0
"""A round in which nobody could be asked anything is not repeated before that."""


class Rounds:
    """Rounds of reads over all devices of a bus, begun every ``poll_ms``.

    Rounds begin on a grid with its own phase, so that a hundred buses of one process don't all
    answer in the same millisecond. A round that takes longer than ``poll_ms`` is followed by
    the next at once. At most one quarantined device is tried a round: each costs a time-out.
    """

    def __init__(self, units: Iterable[Unit], poll_ms: float, phase_ms: float) -> None:
        self._units = tuple(units)
        self._poll_ms = poll_ms
        self._phase_ms = phase_ms
        self._turns: deque[Unit] = deque()
        self._began_ms = 0.0
        self.next_ms = 0.0
        self.cycle_ms: float | None = None
        """How long the last whole round took."""

    @property
    def is_running(self) -> bool:
        return bool(self._turns)

    @property
    def turns(self) -> tuple[Unit, ...]:
        """Devices that still have their turn in this round, the next one first."""
        return tuple(self._turns)

    def restart(self, now_ms: float) -> None:
        """Forget the present round and begin one now."""
        self._turns.clear()
        self.next_ms = now_ms

    def begin(self, now_ms: float) -> None:
        """Begin a round."""
        self._began_ms = now_ms
        if self._poll_ms > 0:
            passed = (now_ms - self._phase_ms) // self._poll_ms
            self.next_ms = self._phase_ms + (passed + 1) * self._poll_ms
        else:
            self.next_ms = now_ms
        quarantined: list[Unit] = []
        for unit in self._units:
            if not unit.reads:
                continue
            if unit.health.state is not DeviceState.QUARANTINED:
                self._give_turn(unit)
            elif unit.health.is_due(now_ms):
                quarantined.append(unit)
        if quarantined:
            self._give_turn(min(quarantined, key=lambda unit: unit.health.due_ms))
        if not self._turns:
            self.next_ms = max(self.next_ms, now_ms + EMPTY_ROUND_MS)

    def promote(self, unit: Unit) -> None:
        """Let a device be read next, from its first read on."""
        if unit in self._turns:
            self._turns.remove(unit)
        unit.cursor = 0
        self._turns.appendleft(unit)

    def done(self, unit: Unit, now_ms: float) -> None:
        """End a device's turn."""
        self._turns.remove(unit)
        if not self._turns:
            self.cycle_ms = now_ms - self._began_ms

    def skip(self, unit: Unit, now_ms: float) -> None:
        """End a device's turn without having asked it anything."""
        self.done(unit, now_ms)
        self.next_ms = max(self.next_ms, now_ms + EMPTY_ROUND_MS)

    def _give_turn(self, unit: Unit) -> None:
        unit.cursor = 0
        self._turns.append(unit)
