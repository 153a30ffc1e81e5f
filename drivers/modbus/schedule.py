"""Who is read in the next round, and how much of it. Pure.

A round asks every device that has outlets in use for what shows an overload first. In between,
step by step, the rest: the fast values of each device about every ``Pace.fast_ms``, all values
about every ``Pace.slow_ms``, always the longest due first, so that nobody starves. A device that
has its turn anyway is then asked for more in that turn, which costs less than a turn of its own.
How much of a round goes into that is what keeps pace, no more: the outlets in use wait for it.

Why ages are bounded (``oldest_ms``). What is due waits for what was due before it, each device
once: what is read meanwhile is due later. Once something is late by ``LATE`` of its pace, rounds
spend as much time on what is due as on the outlets in use. So, with W for a turn of everything of
every device and L for the leads of a round, the wait is that until it is late, the round that is
under way then, and at most ``2 W - L`` and the longest turn.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from typing import Generic, NamedTuple, TypeVar

from drivers.modbus.ladder import Level

Key = TypeVar("Key")

SPARE = 1.1
"""A round is given a little more time for the rest than keeps pace on average."""
MOST_SHARE = 0.5
"""The outlets in use have at least the other half."""
AHEAD = 0.5
"""Share of their pace by which slow values may be read before they are due."""
AGAIN = 1 / 3
"""Share of their pace after which fast values that were not given are asked for again."""
LATE = 0.1
"""Share of its pace by which something may be late before rounds get longer for it."""


class Menu(NamedTuple):
    """What one device's turn takes of the wire, at each level."""

    lead_ms: float
    """0: none of its outlets is in use."""
    fast_ms: float
    whole_ms: float

    def highest(self, level: Level) -> Level:
        """Give the highest level that costs no more: its reads are the same."""
        cost_ms = self.of(level)
        if cost_ms >= self.whole_ms:
            return Level.WHOLE
        return Level.FAST if cost_ms >= self.fast_ms else level

    def of(self, level: Level) -> float:
        return self[level]


class Pace(NamedTuple):
    """How often what does not lead is to be read."""

    fast_ms: float
    slow_ms: float


class Due(NamedTuple):
    """When a device's values are to be read again."""

    fast_ms: float
    whole_ms: float

    def after(self, level: Level, at_ms: float, pace: Pace) -> Due:
        """Give what is due after a turn at ``level`` that began at ``at_ms``."""
        if level is Level.LEAD:
            return self
        whole_ms = at_ms + pace.slow_ms if level is Level.WHOLE else self.whole_ms
        return Due(at_ms + pace.fast_ms, whole_ms)

    def tried(self, level: Level, at_ms: float, pace: Pace) -> Due:
        """Give what is due after a turn that did not bring everything.

        Who gives nothing, or not all, must not stay the longest due: nobody else had a turn then.
        """
        if level is Level.LEAD:
            return self
        again_ms = at_ms + AGAIN * pace.fast_ms
        return Due(max(self.fast_ms, again_ms), max(self.whole_ms, at_ms + pace.fast_ms))

    @property
    def first_ms(self) -> float:
        return min(self.fast_ms, self.whole_ms)

    def no_later(self, at_ms: float) -> Due:
        """Give the same, with fast values due at ``at_ms`` at the latest."""
        return Due(min(self.fast_ms, at_ms), self.whole_ms)


class Round(NamedTuple, Generic[Key]):
    """The turns of one round in their order, each device at most once."""

    turns: list[tuple[Key, Level]]
    left: Budget
    """What the next round may spend besides its own."""


class Budget(NamedTuple):
    """Time for what does not lead; below 0 what was spent ahead."""

    fast_ms: float = 0.0
    slow_ms: float = 0.0
    began_ms: float = math.inf
    """When the round began that left it."""


def plan_round(
    menus: Mapping[Key, Menu],
    dues: Mapping[Key, Due],
    pace: Pace,
    now_ms: float,
    left: Budget,
) -> Round[Key]:
    """Plan one round. With nothing in use everybody has a turn.

    ``left`` is what the round before left.
    """
    base_ms = sum(menu.lead_ms for menu in menus.values())
    is_idle = base_ms == 0
    fast_ms, slow_ms, _ = _budget(menus, pace, left)
    order = sorted(menus, key=lambda key: dues[key].first_ms)
    is_late = bool(order) and now_ms - dues[order[0]].first_ms > LATE * pace.fast_ms
    levels = {key: menu.highest(Level.LEAD) for key, menu in menus.items() if menu.lead_ms}
    chosen = list[Key]()
    fast_spent_ms = slow_spent_ms = 0.0
    for key in order:
        menu, whole_due_ms = menus[key], dues[key].whole_ms
        can_slow = whole_due_ms < now_ms + AHEAD * pace.slow_ms and slow_spent_ms < slow_ms
        is_whole = can_slow or whole_due_ms <= now_ms
        if not is_whole and levels.get(key) is Level.FAST:
            continue  # it is read as far as it should be already
        if base_ms and not menu.lead_ms and dues[key].fast_ms >= left.began_ms + pace.fast_ms:
            continue  # it was read in the round before: nobody in use waits for it twice
        spent_ms = fast_spent_ms + slow_spent_ms
        is_wanted = (
            fast_spent_ms < fast_ms or can_slow or (is_late and dues[key].first_ms <= now_ms)
        )
        if not (is_idle or (is_wanted and spent_ms < base_ms)):
            break
        chosen.append(key)
        levels[key] = menu.highest(Level.WHOLE if is_whole else Level.FAST)
        fast_spent_ms += menu.fast_ms - menu.lead_ms
        slow_spent_ms += menu.of(levels[key]) - menu.fast_ms
    turns = _spread(
        [(key, levels[key]) for key, menu in menus.items() if menu.lead_ms or is_idle],
        [(key, levels[key]) for key in chosen if not (menus[key].lead_ms or is_idle)],
    )
    longest_ms = max((menu.whole_ms for menu in menus.values()), default=0.0)
    left = Budget(
        _within(fast_ms - fast_spent_ms, longest_ms),
        _within(slow_ms - slow_spent_ms, longest_ms),
        now_ms,
    )
    return Round(turns, left)


def _budget(menus: Mapping[Key, Menu], pace: Pace, left: Budget) -> Budget:
    """Give what a round has to spend on fast and on slow values, so that they keep pace.

    Where all of that would take more than half of the wire, it is given half of it.
    """
    base_ms = sum(menu.lead_ms for menu in menus.values())
    fast = sum(menu.fast_ms - menu.lead_ms for menu in menus.values()) / pace.fast_ms
    slow = sum(menu.whole_ms - menu.fast_ms for menu in menus.values()) / pace.slow_ms
    if not base_ms:
        base_ms, fast = fast * pace.fast_ms, 0.0
    share = SPARE * (fast + slow)
    scale = base_ms / (1 - share) if share < MOST_SHARE else base_ms / share
    return Budget(left.fast_ms + SPARE * fast * scale, left.slow_ms + SPARE * slow * scale)


def _within(left_ms: float, most_ms: float) -> float:
    return max(-most_ms, min(left_ms, most_ms))


def _spread(
    leads: list[tuple[Key, Level]], others: list[tuple[Key, Level]]
) -> list[tuple[Key, Level]]:
    """Put the others between the leads, evenly; a lead is the first."""
    turns, used = [], 0
    for count, lead in enumerate(leads, 1):
        turns.append(lead)
        until = len(others) * count // len(leads)
        turns.extend(others[used:until])
        used = until
    return turns


def longest_gap_ms(all_in_use: Iterable[Menu]) -> float:
    """Bound the time between two answers with what leads of an outlet that stays in use.

    In between every other device in use has its turn once, an idle one at most once, as long as
    nothing is switched; and what does not lead is at most what two rounds spend on that.
    """
    menus = list(all_in_use)
    whole_ms = sum(menu.whole_ms for menu in menus)
    longest_ms = max((menu.whole_ms for menu in menus), default=0.0)
    leads_ms = sum(menu.lead_ms for menu in menus)
    return min(whole_ms, 3 * leads_ms + 2 * longest_ms)


def oldest_ms(all_in_use: Iterable[Menu], pace: Pace) -> tuple[float, float]:
    """Bound the time between two answers that hold a value, whichever outlets are in use.

    Fast values first, slow ones second. ``all_in_use`` are the menus with every outlet in use.
    Holds while every device answers and nothing but reads is on the wire.
    """
    menus = list(all_in_use)
    whole_ms = sum(menu.whole_ms for menu in menus)
    longest_ms = max((menu.whole_ms for menu in menus), default=0.0)
    leads_ms = sum(menu.lead_ms for menu in menus)
    bend_ms = min(leads_ms, max(0.0, whole_ms - longest_ms) / 2)
    # the round under way, less the leads: largest at an end or at its bend
    wait_ms = max(
        min(whole_ms, 2 * base_ms + longest_ms) - base_ms for base_ms in (0.0, bend_ms, leads_ms)
    )
    late_ms = LATE * pace.fast_ms + wait_ms + 2 * whole_ms + longest_ms
    return pace.fast_ms + late_ms, pace.slow_ms + late_ms
