"""When each device is polled, and how much of it. Pure; times are monotonic ms handed in."""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Collection, Iterable
from dataclasses import dataclass, field

from drivers.modbus.in_use import InUse
from drivers.modbus.ladder import Level
from drivers.modbus.polling import Polling
from drivers.modbus.schedule import Budget, Menu, plan_round
from drivers.modbus.unit import NOTHING_READ, CompiledRead, Unit
from gateway.core.ids import OutletId
from gateway.guard.model import DeviceState

EMPTY_ROUND_MS = 50.0
"""A round in which nobody could be asked anything is not repeated before that."""


@dataclass(slots=True, eq=False)
class Turn:
    """One device's turn in a round."""

    unit: Unit
    level: Level
    reads: tuple[CompiledRead, ...]
    cursor: int = 0
    """The next of its reads."""
    began_ms: float = field(default=0.0)
    """When the first of them was asked."""


class Rounds:
    """Rounds of reads over the devices of a bus, begun every ``poll_ms``.

    Rounds begin on a grid with its own phase, so that a hundred buses of one process don't all
    answer in the same millisecond. Where not everything can be read within ``poll_ms`` they follow
    each other at once. At most one quarantined device is tried a round: each costs a time-out.
    """

    def __init__(
        self, units: Iterable[Unit], polling: Polling, in_use: InUse, phase_ms: float
    ) -> None:
        self._units = tuple(units)
        self._polling = polling
        self._in_use = in_use
        self._poll_ms = polling.poll_ms
        self._phase_ms = phase_ms
        self._turns: deque[Turn] = deque()
        self._left = Budget()
        self._is_idle = False
        """Whether nothing was in use when this round was planned: everybody has a turn in it."""
        self._began_ms = 0.0
        self.next_ms = 0.0
        self.cycle_ms: float | None = None
        """How long the last whole round took."""

    @property
    def is_running(self) -> bool:
        return bool(self._turns)

    @property
    def turns(self) -> tuple[Turn, ...]:
        """Turns that are left of this round, the next one first."""
        return tuple(self._turns)

    def restart(self, now_ms: float) -> None:
        """Forget the present round and all that was read, and begin a round now."""
        self._turns.clear()
        self.next_ms = now_ms
        for unit in self._units:
            unit.due = NOTHING_READ

    def begin(self, now_ms: float) -> None:
        """Begin a round, by which outlets are in use now."""
        self._began_ms = now_ms
        if self._poll_ms > 0 and self._polling.pace is None:
            passed = (now_ms - self._phase_ms) // self._poll_ms
            self.next_ms = self._phase_ms + (passed + 1) * self._poll_ms
        else:
            self.next_ms = now_ms
        quarantined: list[Unit] = []
        asked: list[Unit] = []
        for unit in self._units:
            if not unit.reads:
                continue
            if unit.health.state is not DeviceState.QUARANTINED:
                asked.append(unit)
            elif unit.health.is_due(now_ms):
                quarantined.append(unit)
        self._turns.extend(self._plan(asked, now_ms))
        if quarantined:
            unit = min(quarantined, key=lambda unit: unit.health.due_ms)
            self._turns.append(self._turn(unit, Level.FAST))
        if not self._turns:
            self.next_ms = max(self.next_ms, now_ms + EMPTY_ROUND_MS)

    def _plan(self, units: list[Unit], now_ms: float) -> list[Turn]:
        pace = self._polling.pace
        if pace is None:
            return [self._turn(unit, Level.WHOLE) for unit in units]
        # Who had a turn longest ago comes first: nobody has two between another's.
        menus = {unit: self._menu(unit) for unit in sorted(units, key=lambda u: u.turned_ms)}
        self._is_idle = not any(menu.lead_ms for menu in menus.values())
        dues = {unit: unit.due for unit in units}
        turns, self._left = plan_round(menus, dues, pace, now_ms, self._left)
        return [self._turn(unit, level) for unit, level in turns]

    def _menu(self, unit: Unit) -> Menu:
        ladder = unit.ladder
        lead_ms = ladder.lead_ms(self._used(unit))
        if unit.takes_parts:
            return Menu(lead_ms, ladder.fast_ms, ladder.whole_ms)
        return Menu(ladder.whole_ms if lead_ms else 0.0, ladder.whole_ms, ladder.whole_ms)

    def _used(self, unit: Unit) -> frozenset[OutletId]:
        return frozenset(outlet for outlet in unit.ladder.outlets if outlet in self._in_use)

    def _turn(self, unit: Unit, level: Level) -> Turn:
        ladder = unit.ladder
        if level is Level.WHOLE or self._polling.pace is None or not unit.takes_parts:
            return Turn(unit, Level.WHOLE, unit.reads)
        reads = ladder.fast if level is Level.FAST else ladder.lead(self._used(unit))
        return Turn(unit, level, unit.compiled(reads))

    def promote(self, unit: Unit) -> None:
        """Let a device be read next, and all of it."""
        others = [turn for turn in self._turns if turn.unit is not unit]
        self._turns = deque(others)
        self._turns.appendleft(self._turn(unit, Level.WHOLE))

    def switched(self, units: Collection[Unit], now_ms: float, *, on: bool) -> None:
        """Have devices read soon on which something was switched.

        After an ON what leads is read in this round, or in the next where the device had its turn
        already; the rest comes with the next that is due. A round of an idle bus, which may be the
        first and ask for everything, is over for the others. Where everything is read in every
        round, it is.
        """
        if self._polling.pace is None:
            return
        if on and self._is_idle:
            self._is_idle = False
            self._turns = deque(
                turn for turn in self._turns if turn.unit.unconfirmed or turn.unit in units
            )
        for unit in units:
            unit.due = unit.due.no_later(now_ms)
            if not on or unit.health.state is DeviceState.QUARANTINED or not unit.reads:
                continue
            waiting = next((turn for turn in self._turns if turn.unit is unit), None)
            if waiting is not None and waiting.cursor == 0:
                waiting.reads = self._turn(unit, waiting.level).reads or waiting.reads

    def done(self, turn: Turn, now_ms: float, *, read: bool) -> None:
        """End a device's turn, and note whether all of it was ``read``."""
        self._turns.remove(turn)
        turn.unit.turned_ms = now_ms
        if read:
            turn.unit.was_read(turn.level, turn.began_ms, self._polling.pace)
        elif self._polling.pace is not None:
            turn.unit.due = turn.unit.due.tried(turn.level, now_ms, self._polling.pace)
        if not self._turns:
            self.cycle_ms = now_ms - self._began_ms

    def skip(self, turn: Turn, now_ms: float) -> None:
        """End a device's turn without having asked it anything."""
        self.done(turn, now_ms, read=False)
        self.next_ms = max(self.next_ms, now_ms + EMPTY_ROUND_MS)

    def oldest_ms(self, now_ms: float) -> tuple[float, float]:
        """Give the ages of the oldest fast and the oldest slow value of devices that answer."""
        read = [unit.read_ms for unit in self._units if unit.health.state is DeviceState.ONLINE]
        fast_ms = min((at.fast_ms for at in read if at.fast_ms > -math.inf), default=now_ms)
        slow_ms = min((at.whole_ms for at in read if at.whole_ms > -math.inf), default=now_ms)
        return now_ms - fast_ms, now_ms - slow_ms
