"""Recorded charges as files: ``seconds,power_w`` and whatever more a recorder knows."""

from __future__ import annotations

import csv
import math
from pathlib import Path
from typing import TYPE_CHECKING

from gateway.core.errors import CorrectFiles, Problem

if TYPE_CHECKING:
    from gateway.guard.replay import Row

SUFFIXES = (".csv", ".jsonl", ".ndjson")
SECONDS, POWER = "seconds", "power_w"
OPTIONAL = ("current_a", "voltage_v", "temperature_c")
MOST_ROWS = 1_000_000
MOST_PROBLEMS = 20
LARGEST = 1e6


def recordings(paths: tuple[Path, ...]) -> list[Path]:
    """List files, and the recordings of folders. Raises CorrectFiles for what is neither."""
    found: list[Path] = []
    problems: list[Problem] = []
    for path in paths:
        if path.is_dir():
            inside = sorted(file for file in path.iterdir() if file.suffix.lower() in SUFFIXES)
            found += inside
            if not inside:
                message = f"holds no {' or '.join(SUFFIXES)} file"
                problems.append(Problem(str(path), None, "", message))
        elif path.is_file():
            found.append(path)
        else:
            problems.append(Problem(str(path), None, "", "there is no such file or folder"))
    if problems:
        raise CorrectFiles(problems)
    return found


def read_recording(path: Path, *, voltage_v: float, power_factor: float) -> list[Row]:
    """Read a file whose first line names its columns.

    ``seconds`` and ``power_w`` are needed. A voltage that is not recorded is taken to be
    ``voltage_v``, and a current is worked out with ``power_factor``. Raises CorrectFiles with
    every wrong line, twenty at most.
    """
    reader = _Reader(path, voltage_v, power_factor)
    try:
        with path.open(newline="", encoding="utf-8-sig") as file:
            reader.take(file)
    except (OSError, UnicodeDecodeError, csv.Error) as err:
        reader.wrong(None, "", f"can't be read as CSV in UTF-8: {err}")
    if not reader.rows and not reader.problems:
        reader.wrong(None, "", "has no rows")
    if reader.problems:
        raise CorrectFiles(reader.problems)
    return reader.rows


class _Reader:
    def __init__(self, path: Path, voltage_v: float, power_factor: float) -> None:
        self._path = path
        self._voltage_v = voltage_v
        self._power_factor = power_factor
        self.rows: list[Row] = []
        self.problems: list[Problem] = []

    def wrong(self, line: int | None, column: str, message: str) -> None:
        if len(self.problems) < MOST_PROBLEMS:
            self.problems.append(Problem(str(self._path), line, column, message))

    def take(self, file: object) -> None:
        lines = csv.reader(file)  # type: ignore[arg-type]
        header = [name.strip() for name in next(lines, [])]
        missing = [name for name in (SECONDS, POWER) if name not in header]
        if missing:
            self.wrong(1, "", f"the first line must name {' and '.join(missing)}")
            return
        columns = {
            name: header.index(name) for name in (SECONDS, POWER, *OPTIONAL) if name in header
        }
        for cells in lines:
            if cells:
                self._row(lines.line_num, cells, columns)
            if len(self.rows) >= MOST_ROWS:
                self.wrong(lines.line_num, "", f"has more than {MOST_ROWS} rows: cut it in two")
                return

    def _row(self, line: int, cells: list[str], columns: dict[str, int]) -> None:
        from gateway.guard.replay import Row  # noqa: PLC0415 - the machine is slow to import

        values: dict[str, float] = {}
        for name, index in columns.items():
            text = cells[index].strip() if index < len(cells) else ""
            if not text and name in OPTIONAL:
                continue
            value = _number(text)
            if value is None:
                self.wrong(line, name, f"{text!r} is no number within ±{LARGEST:g}")
                return
            values[name] = value
        if self.rows and values[SECONDS] < self.rows[-1].at_s:
            self.wrong(line, SECONDS, "runs backwards: sort the rows by time")
            return
        power_w, volts = values[POWER], values.get("voltage_v", self._voltage_v)
        current_a = values.get("current_a")
        if current_a is None:
            current_a = abs(power_w) / (volts * self._power_factor) if volts > 0 else 0.0
        self.rows.append(
            Row(values[SECONDS], power_w, current_a, volts, values.get("temperature_c"))
        )


def _number(text: str) -> float | None:
    try:
        value = float(text)
    except ValueError:
        return None
    return value if math.isfinite(value) and abs(value) <= LARGEST else None
