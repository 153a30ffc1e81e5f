"""What the simulators tell: one JSON object a line, written by a thread of its own.

Whoever is on the wire must not wait for a reader of standard output.
"""

from __future__ import annotations

import json
import queue
import threading
import time
from collections.abc import Callable
from typing import Any, TextIO

Record = dict[str, Any]


class Recorder:
    """Queues records and writes them in order. ``on_lost`` is called when nobody reads any more."""

    def __init__(self, out: TextIO, on_lost: Callable[[], None]) -> None:
        self._out = out
        self._on_lost = on_lost
        self._queue: queue.SimpleQueue[Record | None] = queue.SimpleQueue()
        self._thread = threading.Thread(target=self._write, name="records", daemon=True)
        self._thread.start()

    def tell(self, record: Record) -> None:
        """Queue a record; one without ``mono_ns`` gets the present time."""
        if record.get("mono_ns") is None:
            record["mono_ns"] = time.monotonic_ns()
        self._queue.put(record)

    def close(self, timeout_s: float = 2.0) -> None:
        """Write what is queued, and end."""
        self._queue.put(None)
        self._thread.join(timeout_s)

    def _write(self) -> None:
        try:
            while (record := self._queue.get()) is not None:
                self._out.write(json.dumps(record, separators=(",", ":")) + "\n")
                if self._queue.empty():
                    self._out.flush()
            self._out.flush()
        except (OSError, ValueError):
            # The reader is gone: nobody is left to tell.
            self._on_lost()
