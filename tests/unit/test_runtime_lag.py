from __future__ import annotations

import asyncio
import time

import pytest

from gateway.runtime import loop_lag


def test_a_loop_that_is_held_up_is_late(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(loop_lag, "PERIOD_S", 0.001)
    lags: list[float] = []

    async def main() -> None:
        task = asyncio.create_task(loop_lag.measure(lags.append))
        while not lags:
            await asyncio.sleep(0.001)
        time.sleep(0.05)  # noqa: ASYNC251 - what is measured
        held_up = len(lags)
        while len(lags) == held_up:
            await asyncio.sleep(0.001)
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)

    asyncio.run(main())
    assert min(lags) >= 0
    assert max(lags) > 0.02
