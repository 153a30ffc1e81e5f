"""What the machine itself adds: how late its timers are while something is measured."""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Iterator

NAP_S = 0.005


@contextlib.contextmanager
def timers() -> Iterator[list[float]]:
    """Collect by how many ms short sleeps of a thread are late, until the block ends."""
    late_ms: list[float] = []
    ended = threading.Event()

    def nap() -> None:
        while not ended.is_set():
            began_s = time.monotonic()
            time.sleep(NAP_S)
            late_ms.append((time.monotonic() - began_s - NAP_S) * 1_000)

    thread = threading.Thread(target=nap, name="timers", daemon=True)
    thread.start()
    try:
        yield late_ms
    finally:
        ended.set()
        thread.join()
