"""Flight records as files: JSON Lines, one record after the other, read a record at a time."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

from gateway.core.errors import CorrectInput, Problem
from gateway.link.flight import FORMAT, MARK, FlightRow, row_from_json

BOM = b"\xef\xbb\xbf"
LONGEST_LINE = 1_000_000
MOST_ROWS = 100_000
"""Of one record; the recorder keeps a few thousand."""
MOST_PROBLEMS = 20

_NEEDED: dict[str, type | tuple[type, ...]] = {
    "seq": int,
    "outlet": str,
    "kind": str,
    "reason": str,
    "at_ms": int,
    "utc_ms": int,
    "limits": dict,
    "state": (dict, type(None)),
    "state_rows": (int, type(None)),
}


class FileRecord(NamedTuple):
    """One record of a file, and the line of its header."""

    line: int
    header: dict[str, Any]
    rows: list[FlightRow]


def is_flight_file(path: Path) -> bool:
    """Say whether a file begins like JSON Lines; one that can't be read does not."""
    try:
        with path.open("rb") as file:
            return file.read(64).removeprefix(BOM).lstrip().startswith(b"{")
    except OSError:
        return False


class FlightFile:
    """Reads the records of a file; what is wrong is in ``problems`` once all were read."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._line = 0
        self._record: FileRecord | None = None
        self._skipping = False
        """After a header that can't be used: its rows say nothing."""
        self.problems: list[Problem] = []

    def records(self) -> Iterator[FileRecord]:
        """Give record after record; one with a wrong line is left out."""
        try:
            with self._path.open("rb") as file:
                while raw := file.readline(LONGEST_LINE + 1):
                    self._line += 1
                    if len(raw) > LONGEST_LINE:
                        self._give_up("", f"is longer than {LONGEST_LINE} bytes: not read on")
                        return
                    yield from self._take(raw)
        except OSError as err:
            self._wrong("", f"can't be read: {err.strerror}")
            return
        yield from self._finished()
        if not self._line:
            self._wrong("", "is empty")

    def _take(self, raw: bytes) -> Iterator[FileRecord]:
        text = (raw.removeprefix(BOM) if self._line == 1 else raw).strip()
        if not text:
            return
        try:
            data = json.loads(text)
        except (ValueError, RecursionError) as err:
            self._give_up("", f"is no JSON: {err}")
            return
        if not isinstance(data, dict):
            self._give_up("", "is no JSON object")
        elif MARK in data:
            yield from self._finished()
            self._header(data)
        elif not self._skipping:
            self._row(data)

    def _header(self, data: dict[str, Any]) -> None:
        self._skipping = False
        version = data[MARK]
        if isinstance(version, bool) or not isinstance(version, int) or version < 1:
            self._give_up(MARK, f"{version!r} is no version")
            return
        if version > FORMAT:
            self._give_up(MARK, f"was written by a newer pilegate ({version}, this one: {FORMAT})")
            return
        for name, kinds in _NEEDED.items():
            if not isinstance(data.get(name), kinds) or isinstance(data.get(name), bool):
                self._give_up(name, "is missing or of another type")
                return
        self._record = FileRecord(self._line, data, [])

    def _row(self, data: dict[str, Any]) -> None:
        if self._record is None:
            self._give_up("", f"stands before any header (a line with {MARK!r})")
            return
        if len(self._record.rows) >= MOST_ROWS:
            self._give_up("", f"is row {MOST_ROWS + 1} of one record: that is none")
            return
        try:
            self._record.rows.append(row_from_json(data))
        except CorrectInput as err:
            self._give_up(err.field, str(err))

    def _finished(self) -> Iterator[FileRecord]:
        record, self._record = self._record, None
        if record is not None:
            yield record

    def _give_up(self, key: str, message: str) -> None:
        self._wrong(key, message)
        self._record = None
        self._skipping = True

    def _wrong(self, key: str, message: str) -> None:
        if len(self.problems) < MOST_PROBLEMS:
            self.problems.append(Problem(str(self._path), self._line or None, key, message))
