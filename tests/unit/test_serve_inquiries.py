from __future__ import annotations

import asyncio

import pytest

from gateway.core.errors import TryLater
from gateway.serve import inquiries
from gateway.serve.inquiries import Remembered


class Asked:
    """Counts how often it is asked; answers, or fails, when told to."""

    def __init__(self, error: TryLater | None = None) -> None:
        self.count = 0
        self.error = error
        self.go = asyncio.Event()

    async def __call__(self) -> int:
        self.count += 1
        await self.go.wait()
        if self.error is not None:
            raise self.error
        return self.count


async def _many(asked: Asked) -> list[int | BaseException]:
    remembered = Remembered(asked)
    asking = [asyncio.create_task(remembered.get()) for _ in range(20)]
    while not asked.count:
        await asyncio.sleep(0)
    asked.go.set()
    async with asyncio.timeout(20):
        return await asyncio.gather(*asking, return_exceptions=True)


def test_many_at_once_ask_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(inquiries, "FRESH_S", 0.0)

    async def main() -> None:
        asked = Asked()
        assert await _many(asked) == [1] * 20
        assert asked.count == 1

    asyncio.run(main())


def test_many_at_once_share_an_error_that_is_not_remembered() -> None:
    async def main() -> None:
        error = TryLater("the guard does not answer")
        asked = Asked(error)
        assert await _many(asked) == [error] * 20
        assert asked.count == 1
        remembered = Remembered(asked)
        with pytest.raises(TryLater):
            await remembered.get()
        asked.error = None
        assert await remembered.get() == await remembered.get() == 3

    asyncio.run(main())
