"""Log lines: one line a record, for a terminal or for the journal of the system."""

from __future__ import annotations

import logging
import os
import sys
import time

_PRIORITY = {
    logging.DEBUG: 7,
    logging.INFO: 6,
    logging.WARNING: 4,
    logging.ERROR: 3,
    logging.CRITICAL: 2,
}
"""syslog(3) priorities, as sd-daemon(3) reads them from the start of a line."""

FLOOD_LINES = 200
FLOOD_S = 10.0
"""So many lines in so many seconds are shown; the rest is counted."""


class OneLine(logging.Formatter):
    """``12:00:01.234 WARNING guard: text``; a traceback follows on the same line."""

    converter = staticmethod(time.gmtime)

    def __init__(self, *, for_systemd: bool) -> None:
        when = "" if for_systemd else "%(asctime)s.%(msecs)03dZ "
        super().__init__(f"{when}%(levelname)s %(name)s: %(message)s", "%H:%M:%S")
        self._for_systemd = for_systemd

    def format(self, record: logging.LogRecord) -> str:
        """Write the record on one line."""
        line = super().format(record).replace("\n", " | ")
        if self._for_systemd:
            return f"<{_PRIORITY.get(record.levelno, 6)}>{line}"
        return line


class Flood(logging.Filter):
    """Lets a bounded number of lines through in any stretch of time, and counts the others."""

    def __init__(self) -> None:
        super().__init__()
        self._began_s = time.monotonic()
        self._lines = 0
        self._dropped = 0

    def filter(self, record: logging.LogRecord) -> bool:
        """Say whether the record is shown; the first after a flood tells how many were not."""
        now_s = time.monotonic()
        if now_s - self._began_s >= FLOOD_S:
            self._began_s, self._lines = now_s, 0
            if self._dropped:
                record.msg = f"({self._dropped} lines were left out) {record.msg}"
                self._dropped = 0
        self._lines += 1
        if self._lines <= FLOOD_LINES:
            return True
        self._dropped += 1
        return False


def set_up_logging(*, debug: bool = False) -> None:
    """Log to standard error. Call once, first of all, in a process of its own."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(OneLine(for_systemd="JOURNAL_STREAM" in os.environ))
    handler.addFilter(Flood())
    logging.basicConfig(level=logging.DEBUG if debug else logging.INFO, handlers=[handler])
    # Libraries speak only of what is wrong: ours say the rest, once.
    for library in ("pymodbus", "asyncio", "uvicorn.access", "aiosqlite", "alembic"):
        logging.getLogger(library).setLevel(logging.WARNING)
    logging.getLogger("pymodbus").setLevel(logging.CRITICAL)
