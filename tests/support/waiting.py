"""Waiting for a state instead of a moment: bounded, and told by its place when it fails."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable

PATIENCE_S = 30.0
"""Longer than a busy machine takes for anything that is waited for."""

LOOKS_AGAIN_AFTER_S = 0.01


async def until(true: Callable[[], object]) -> None:
    """Wait in a loop until ``true()`` is. Fails after ``PATIENCE_S``."""
    async with asyncio.timeout(PATIENCE_S):
        while not true():
            await asyncio.sleep(LOOKS_AGAIN_AFTER_S)


def wait_until(true: Callable[[], object]) -> None:
    """The same without a loop."""
    ends_s = time.monotonic() + PATIENCE_S
    while not true():
        assert time.monotonic() < ends_s, f"did not come about within {PATIENCE_S:g} s"
        time.sleep(LOOKS_AGAIN_AFTER_S)
