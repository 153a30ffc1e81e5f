"""A recorded load: ``seconds,power_w`` with uneven steps, played at a speed."""

from __future__ import annotations

import csv
import math
from bisect import bisect_right
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from gateway.core.errors import CorrectFiles, Problem
from simulators.physics import DEAD_BELOW_V, NO_DRAW, Draw, draw_at

MAX_ROWS = 1_000_000


@dataclass(frozen=True, slots=True)
class Trace:
    """Times in seconds from the first row, never falling, and power in watts."""

    seconds: tuple[float, ...]
    power_w: tuple[float, ...]

    def at(self, second: float) -> float:
        """Power of the newest row at or before ``second``: nothing is interpolated."""
        index = bisect_right(self.seconds, second) - 1
        return self.power_w[max(0, index)]


def read_trace(path: Path) -> Trace:
    """Read a file with the header ``seconds,power_w``.

    Raises CorrectFiles with every bad line.
    """
    problems: list[Problem] = []
    seconds: list[float] = []
    powers: list[float] = []

    def wrong(line: int | None, key: str, message: str) -> None:
        problems.append(Problem(str(path), line, key, message))

    try:
        with path.open(newline="", encoding="utf-8") as file:
            rows = csv.reader(file)
            header = next(rows, [])
            if [name.strip() for name in header] != ["seconds", "power_w"]:
                wrong(1, "header", "write seconds,power_w in the first line")
            for row in rows:
                _take_row(row, rows.line_num, seconds, powers, wrong)
                if len(seconds) > MAX_ROWS:
                    wrong(rows.line_num, "", f"a trace has at most {MAX_ROWS} rows")
                    break
    except (OSError, UnicodeDecodeError, csv.Error) as err:
        wrong(None, "", f"can't be read: {getattr(err, 'strerror', None) or err}")
    if not seconds and not problems:
        wrong(None, "", "has no rows")
    if problems:
        raise CorrectFiles(problems)
    return Trace(tuple(seconds), tuple(powers))


def _take_row(
    row: list[str],
    line: int,
    seconds: list[float],
    powers: list[float],
    wrong: Callable[[int | None, str, str], None],
) -> None:
    if not row:
        return
    try:
        second, power_w = (float(cell) for cell in row)
    except ValueError:
        wrong(line, "", "write two numbers: seconds,power_w")
        return
    if not (math.isfinite(second) and math.isfinite(power_w) and power_w >= 0):
        wrong(line, "power_w", "write finite numbers, and no power below 0")
    elif seconds and second < seconds[-1]:
        wrong(line, "seconds", f"comes after {seconds[-1]:g}: seconds never fall")
    else:
        seconds.append(second)
        powers.append(power_w)


class TracePlayer:
    """Plays a trace while the outlet is on; it stands still while the outlet is off."""

    def __init__(
        self, trace: Trace, speed: float = 1.0, power_factor: float = 0.6, start_s: float = 0.0
    ) -> None:
        self._trace = trace
        self._speed = speed
        self._power_factor = power_factor
        self._second = start_s

    def step(self, dt_s: float, voltage_v: float) -> Draw:
        if voltage_v < DEAD_BELOW_V:
            return NO_DRAW
        power_w = self._trace.at(self._second)
        self._second += dt_s * self._speed
        return draw_at(power_w, voltage_v, self._power_factor)
