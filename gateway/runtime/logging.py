"""Log lines: one line a record, for a person at a terminal or for a collector.

Whoever logs never waits for who reads: lines are handed to a thread, and when the reader
hangs, they are counted and left out. A cut-off must not wait for a full pipe.
"""

from __future__ import annotations

import json
import logging
import os
import sys
import threading
import time
from collections import deque
from typing import TextIO

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

WAITING_LINES = 2_000
"""Lines that may wait for the reader."""
WRITE_EVERY_S = 0.05
"""Lines are looked for, not announced: waking a thread takes the interpreter from the loop."""
LAST_LINES_S = 1.0
"""How long an ending process waits for its last lines to leave."""


class OneLine(logging.Formatter):
    """``12:00:01.234Z WARNING guard: text``; a traceback follows on the same line."""

    converter = staticmethod(time.gmtime)

    def __init__(self) -> None:
        super().__init__("%(asctime)s.%(msecs)03dZ %(levelname)s %(name)s: %(message)s", "%H:%M:%S")

    def format(self, record: logging.LogRecord) -> str:
        """Write the record on one line."""
        return " | ".join(super().format(record).splitlines())


class Logfmt(logging.Formatter):
    """``ts=2026-11-22T12:00:01.234Z level=warning logger=guard msg="text"``, on one line."""

    converter = staticmethod(time.gmtime)

    def __init__(self, *, for_systemd: bool) -> None:
        """``for_systemd``: each line begins with its priority; systemd adds the time itself."""
        super().__init__()
        self._for_systemd = for_systemd

    def format(self, record: logging.LogRecord) -> str:
        """Write the record on one line."""
        fields = f"level={record.levelname.lower()} logger={record.name}"
        fields += f" msg={json.dumps(record.getMessage(), ensure_ascii=False)}"
        if record.exc_info:
            trace = self.formatException(record.exc_info)
            fields += f" trace={json.dumps(trace, ensure_ascii=False)}"
        if self._for_systemd:
            return f"<{_PRIORITY.get(record.levelno, 6)}>{fields}"
        when = self.formatTime(record, "%Y-%m-%dT%H:%M:%S")
        return f"ts={when}.{int(record.msecs):03d}Z {fields}"


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


class Background(logging.Handler):
    """Writes lines from a thread of its own, so that a reader that hangs holds up nobody."""

    def __init__(self, stream: TextIO) -> None:
        super().__init__()
        self._stream = stream
        self._lines: deque[str] = deque()
        self._dropped = 0
        self._writing = False
        self._closed = threading.Event()
        self._thread = threading.Thread(target=self._write, name="log-writer", daemon=True)
        self._thread.start()

    def emit(self, record: logging.LogRecord) -> None:
        """Queue a line; when the reader is too far behind, only count it."""
        if len(self._lines) >= WAITING_LINES:
            self._dropped += 1
            return
        try:
            self._lines.append(self.format(record))
        except Exception as err:  # noqa: BLE001 - an argument may raise anything when it is shown
            self._lines.append(f"{record.name}: a line can't be shown: {record.msg!r}: {err!r}")

    def flush(self) -> None:
        """Wait, within bounds, until what was logged has left."""
        end_s = time.monotonic() + LAST_LINES_S
        while (self._lines or self._writing) and time.monotonic() < end_s:
            time.sleep(0.002)

    def close(self) -> None:
        self._closed.set()
        super().close()

    def _write(self) -> None:
        while not self._closed.wait(WRITE_EVERY_S):
            self._write_waiting()
        self._write_waiting()

    def _write_waiting(self) -> None:
        self._writing = True
        lines = []
        while self._lines:
            lines.append(self._lines.popleft())
        if self._dropped:
            lines.append(f"({self._dropped} lines were left out: nobody read them)")
            self._dropped = 0
        try:
            if lines:
                # One line at a time: a pipe keeps lines whole, and a hang loses the fewest.
                for line in lines:
                    self._stream.write(line + "\n")
                self._stream.flush()
        except (OSError, ValueError):
            # Whoever read is gone for good, and there is nowhere to say so.
            self._closed.set()
        self._writing = False


def set_up_logging(*, debug: bool = False) -> None:
    """Log to standard error. Call once, first of all, in a process of its own.

    A terminal gets lines for people; anything else logfmt, with priorities under systemd.
    """
    handler = Background(sys.stderr)
    if sys.stderr.isatty():
        handler.setFormatter(OneLine())
    else:
        handler.setFormatter(Logfmt(for_systemd="JOURNAL_STREAM" in os.environ))
    handler.addFilter(Flood())
    logging.basicConfig(level=logging.DEBUG if debug else logging.INFO, handlers=[handler])
    # Libraries speak only of what is wrong: ours say the rest, once.
    for library in ("asyncio", "uvicorn.access", "aiosqlite", "alembic"):
        logging.getLogger(library).setLevel(logging.WARNING)
    # The bus driver counts and tells what pymodbus would log at every frame.
    logging.getLogger("pymodbus").setLevel(logging.CRITICAL)
