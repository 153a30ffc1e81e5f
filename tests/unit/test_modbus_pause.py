from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import uvloop

from drivers.modbus.pause import LoopPause, Pause, TimerPause


@pytest.mark.parametrize("run", [asyncio.run, uvloop.run])
@pytest.mark.parametrize("make", [TimerPause, LoopPause])
def test_a_pause_never_ends_early(run: Callable[[Any], None], make: Callable[[], Pause]) -> None:
    async def main() -> None:
        pause = make()
        for wait_s in (0.0, 0.0001, 0.00175, 0.004, 0.03):
            at_s = time.monotonic() + wait_s
            await pause.until(at_s)
            assert time.monotonic() >= at_s - (0.001 if make is LoopPause else 0)
        await pause.until(time.monotonic() - 1)
        pause.close()

    run(main())


def _descriptors() -> int:
    return len(list(Path("/proc/self/fd").iterdir()))


def test_a_cancelled_pause_can_be_used_again_and_closed_twice() -> None:
    async def main() -> None:
        before = _descriptors()
        pause = TimerPause()
        waiting = asyncio.create_task(pause.until(time.monotonic() + 0.005))
        await asyncio.sleep(0)
        waiting.cancel()
        await asyncio.wait([waiting])
        await asyncio.sleep(0.01)
        at_s = time.monotonic() + 0.002
        await pause.until(at_s)
        assert time.monotonic() >= at_s
        pause.close()
        pause.close()
        assert _descriptors() == before

    asyncio.run(main())
