"""How late the event loop is: what every cut-off waits for besides the bus."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable

PERIOD_S = 0.1


async def measure(observe: Callable[[float], None]) -> None:
    """Report for ever, in seconds, by how much a short sleep overslept."""
    while True:
        began_s = time.monotonic()
        await asyncio.sleep(PERIOD_S)
        observe(max(0.0, time.monotonic() - began_s - PERIOD_S))
