"""Rounds played ahead: how long it takes on average until something is seen. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import pairwise
from typing import NamedTuple

from drivers.modbus.ladder import Level
from drivers.modbus.polling import Polling
from drivers.modbus.schedule import Budget, Due, Key, Menu, Pace, plan_round
from gateway.core.ids import OutletId


class Answer(NamedTuple):
    """One turn that was answered."""

    at_ms: float
    level: Level


def play(menus: Mapping[Key, Menu], pace: Pace, for_ms: float) -> dict[Key, list[Answer]]:
    """Play rounds for ``for_ms``, in which nothing but reads is on the wire.

    Everything is due at the beginning, which is the worst that can be.
    """
    dues = {key: Due(0.0, 0.0) for key in menus}
    answers: dict[Key, list[Answer]] = {key: [] for key in menus}
    now_ms, left = 0.0, Budget()
    while now_ms < for_ms and menus:
        turns, left = plan_round(menus, dues, pace, now_ms, left)
        for key, level in turns:
            dues[key] = dues[key].after(level, now_ms, pace)
            now_ms += menus[key].of(level)
            answers[key].append(Answer(now_ms, level))
    return answers


def gaps_ms(answers: Sequence[Answer], level: Level) -> list[float]:
    """Give the times between answers that held at least the values of ``level``."""
    times = [answer.at_ms for answer in answers if answer.level >= level]
    return [later - earlier for earlier, later in pairwise(times)]


def typical_ms(polling: Polling, in_use: frozenset[OutletId]) -> tuple[float, float]:
    """Give the mean time until an overload is seen: of an outlet in use, and of an idle one.

    From any moment to the end of the next answer that holds it, its own wire time included.
    """
    menus = polling.menus(in_use)
    if polling.pace is None:
        round_ms = polling.longest_gap_ms()
        mean_ms = _mean([round_ms / 2 + menu.whole_ms for menu in menus.values()])
        return mean_ms, mean_ms
    answers = play(menus, polling.pace, 6 * polling.pace.slow_ms)
    leads = [
        _wait_ms(answers[key], Level.LEAD) + m.lead_ms for key, m in menus.items() if m.lead_ms
    ]
    rest = [_wait_ms(answers[key], Level.FAST) + menu.fast_ms for key, menu in menus.items()]
    return _mean(leads), _mean(rest)


def _wait_ms(answers: Sequence[Answer], level: Level) -> float:
    """Give the mean time from any moment to the next answer."""
    gaps = gaps_ms(answers, level)
    total_ms = sum(gaps)
    return sum(gap_ms**2 for gap_ms in gaps) / 2 / total_ms if total_ms else 0.0


def _mean(values: Sequence[float]) -> float:
    return sum(values) / len(values) if values else 0.0
