"""Questions that cost somebody something: asked at most once a second, however many ask here."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from typing import Generic, TypeVar

from sqlalchemy import text

from gateway.core.errors import PilegateError
from gateway.link.requests import BusesAnswer, Method
from gateway.serve.guard_link import GuardLink
from gateway.storage.engine import Database

FRESH_S = 1.0

GUARD_WITHIN_S = 2.0

T = TypeVar("T")


class Remembered(Generic[T]):
    """The answer to a question, asked again when it is older than ``FRESH_S``."""

    def __init__(self, ask: Callable[[], Awaitable[T]]) -> None:
        self._ask = ask
        self._lock = asyncio.Lock()
        self._answer: tuple[float, T] | None = None

    async def get(self) -> T:
        """Give the answer; raises whatever asking raises, which is not remembered."""
        async with self._lock:
            if self._answer is None or time.monotonic() - self._answer[0] > FRESH_S:
                self._answer = (time.monotonic(), await self._ask())
            return self._answer[1]


class Inquiries:
    """What the guard and the database are asked on behalf of many."""

    def __init__(self, link: GuardLink, database: Database) -> None:
        self._link = link
        self._database = database
        self._buses = Remembered(self._ask_buses)
        self._metrics = Remembered(self._ask_metrics)
        self._database_trouble = Remembered(self._ask_database)

    async def buses(self) -> BusesAnswer:
        """Ask for buses and devices. Raises what the guard answers, or that it is away."""
        return await self._buses.get()

    async def guard_metrics(self) -> bytes:
        """Ask for the guard's figures; empty when it does not answer."""
        return await self._metrics.get()

    async def database_trouble(self) -> str:
        """Say why the database can't be written; empty: it can."""
        return await self._database_trouble.get()

    async def _ask_buses(self) -> BusesAnswer:
        answer = await self._link.call(Method.BUSES, timeout_s=GUARD_WITHIN_S)
        return BusesAnswer.from_json(answer)

    async def _ask_metrics(self) -> bytes:
        try:
            answer = await self._link.call(Method.METRICS, timeout_s=GUARD_WITHIN_S)
        except PilegateError:
            return b""
        return str(answer.get("text", "")).encode("utf-8")

    async def _ask_database(self) -> str:
        try:
            async with self._database.writing() as session:
                await session.execute(text("SELECT 1"))
        except PilegateError as err:
            return str(err)
        return ""
