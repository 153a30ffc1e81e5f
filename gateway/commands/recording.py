"""Recorded charges as files: ``seconds,power_w`` and whatever more a recorder knows.

Accepted: commas, semicolons (then also a comma in numbers) or tabs; quoted cells, any case of the
names, no names where there are just the two columns, UTF-8 and (with its byte order mark) UTF-16,
both kinds of line ends, empty lines and lines that begin with ``#``, other columns of any kind,
times of any origin, several rows of one time (the last one counts). Needed in every row are a time
and a power; a current, a voltage or a temperature may be missing. Everything else is an error with
its file and line.
"""

from __future__ import annotations

import codecs
import csv
import math
from collections.abc import Iterable, Iterator
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING

from gateway.core.errors import CorrectFiles, Problem

if TYPE_CHECKING:
    from gateway.guard.replay import Row

SUFFIXES = (".csv", ".jsonl", ".ndjson")
SECONDS, POWER = "seconds", "power_w"
OPTIONAL = ("current_a", "voltage_v", "temperature_c")
DELIMITERS = (";", "\t", ",")
"""A comma comes last: it may be one in a number."""
MOST_ROWS = 1_000_000
MOST_PROBLEMS = 20
LARGEST = 1e6
LATEST_S = 1e11
"""Times may be those since 1970."""
LONGEST_S = 1e6
"""From the first row to the last: eleven days."""


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
    """Read a file whose first line names its columns, or that has just the two.

    ``seconds`` and ``power_w`` are needed, in this order where nothing names them. A voltage
    that is not recorded is taken to be ``voltage_v``, and a current is worked out with
    ``power_factor``. Raises CorrectFiles with every wrong line, twenty at most.
    """
    reader = _Reader(path, voltage_v, power_factor)
    try:
        # What stands in columns that are not used may be in any encoding.
        with path.open(newline="", encoding=_encoding(path), errors="replace") as file:
            reader.take(file)
    except OSError as err:
        reader.wrong(None, "", f"can't be read: {err.strerror}")
    if not reader.rows and not reader.problems:
        reader.wrong(None, "", "has no rows: a line that names seconds and power_w, then numbers")
    if reader.problems:
        raise CorrectFiles(reader.problems)
    return reader.rows


class _Reader:
    def __init__(self, path: Path, voltage_v: float, power_factor: float) -> None:
        self._path = path
        self._voltage_v = voltage_v
        self._power_factor = power_factor
        self._decimal = "."
        self._columns: dict[str, int] | None = None
        self.rows: list[Row] = []
        self.problems: list[Problem] = []

    def wrong(self, line: int | None, column: str, message: str) -> None:
        if len(self.problems) < MOST_PROBLEMS:
            self.problems.append(Problem(str(self._path), line, column, message))

    def take(self, file: Iterable[str]) -> None:
        """Read header and rows."""
        lines = _without_comments(file)
        empty: list[str] = []
        first = ""
        for first in lines:
            if first.strip():
                break
            empty.append(first)
        delimiter = _delimiter(first)
        self._decimal = "," if delimiter == ";" else "."
        rows = csv.reader(chain(empty, [first], lines), delimiter=delimiter)
        line = 0
        try:
            for cells in rows:
                line = rows.line_num
                self._line(line, cells)
                if self._columns == {}:
                    return
                if len(self.rows) >= MOST_ROWS:
                    self.wrong(line, "", f"has more than {MOST_ROWS} rows: cut it in two")
                    return
        except csv.Error as err:
            self.wrong(line + 1, "", f"is no CSV: {err}")

    def _line(self, line: int, cells: list[str]) -> None:
        if not any(cell.strip() for cell in cells):
            return
        if self._columns is None:
            if not self._is_unnamed(cells):
                self._columns = self._named(line, cells)
                return
            self._columns = {SECONDS: 0, POWER: 1}
        self._row(line, cells, self._columns)

    def _is_unnamed(self, cells: list[str]) -> bool:
        return len(cells) == len((SECONDS, POWER)) and all(
            _number(cell.strip().replace(self._decimal, "."), LATEST_S) is not None
            for cell in cells
        )

    def _named(self, line: int, cells: list[str]) -> dict[str, int]:
        """Find the columns that are used; none when one that is needed is not there."""
        header = [name.strip().lower() for name in cells]
        wanted = (SECONDS, POWER, *OPTIONAL)
        missing = [name for name in (SECONDS, POWER) if name not in header]
        twice = [name for name in wanted if header.count(name) > 1]
        if missing:
            named = ", ".join(name[:30] for name in header if name)
            needed = " and ".join(missing)
            self.wrong(line, "", f"the first line must name {needed}; it names {named[:200]!r}")
        if twice:
            self.wrong(line, "", f"the first line names {' and '.join(twice)} twice")
        if missing or twice:
            return {}
        return {name: header.index(name) for name in wanted if name in header}

    def _row(self, line: int, cells: list[str], columns: dict[str, int]) -> None:
        from gateway.guard.replay import Row  # noqa: PLC0415 - the machine is slow to import

        values: dict[str, float] = {}
        for name, index in columns.items():
            text = cells[index].strip() if index < len(cells) else ""
            if not text and name in OPTIONAL:
                continue
            largest = LATEST_S if name == SECONDS else LARGEST
            value = _number(text.replace(self._decimal, "."), largest)
            if value is None:
                self.wrong(line, name, f"{text[:40]!r} is no number within ±{largest:g}")
                return
            values[name] = value
        if self.rows and not self._follows(line, values[SECONDS]):
            return
        power_w, volts = values[POWER], values.get("voltage_v", self._voltage_v)
        current_a = values.get("current_a")
        if current_a is None:
            current_a = abs(power_w) / (volts * self._power_factor) if volts > 0 else 0.0
        self.rows.append(
            Row(values[SECONDS], power_w, current_a, volts, values.get("temperature_c"))
        )

    def _follows(self, line: int, at_s: float) -> bool:
        if at_s < self.rows[-1].at_s:
            self.wrong(line, SECONDS, "runs backwards: sort the rows by time")
            return False
        if at_s - self.rows[0].at_s > LONGEST_S:
            days = round(LONGEST_S / 86_400)
            self.wrong(
                line, SECONDS, f"is more than {days} days after the first row: cut it in two"
            )
            return False
        return True


def _encoding(path: Path) -> str:
    with path.open("rb") as file:
        mark = file.read(2)
    return "utf-16" if mark in (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE) else "utf-8-sig"


def _delimiter(first: str) -> str:
    if any(sign.isalpha() for sign in first):
        return max(DELIMITERS, key=first.count)
    return next((each for each in DELIMITERS if each in first), ",")


def _without_comments(file: Iterable[str]) -> Iterator[str]:
    """Give the lines; what begins with ``#`` as an empty one, so that numbers stay right."""
    for line in file:
        yield "\n" if line.startswith("#") else line


def _number(text: str, largest: float) -> float | None:
    try:
        value = float(text)
    except ValueError:
        return None
    if "_" in text or not math.isfinite(value) or abs(value) > largest:
        return None
    return value
