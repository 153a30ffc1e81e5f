"""Running one thing while others go on for ever beside it."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from typing import Any, TypeVar

T = TypeVar("T")


async def alongside(main: Coroutine[Any, Any, T], **helpers: Coroutine[Any, Any, None]) -> T:
    """Give what ``main`` gives; a helper that ends before it, ends it with its error.

    Whatever happens, all of them have ended on return. A helper that returns is a bug.
    """
    first = asyncio.create_task(main, name="main")
    beside = [asyncio.create_task(helper, name=name) for name, helper in helpers.items()]
    try:
        await asyncio.wait([first, *beside], return_when=asyncio.FIRST_COMPLETED)
        if not first.done():
            ended = next(task for task in beside if task.done())
            ended.result()
            raise RuntimeError(f"task {ended.get_name()} is meant to run for ever, and returned")
        return first.result()
    finally:
        for task in (first, *beside):
            task.cancel()
        await asyncio.gather(first, *beside, return_exceptions=True)
