"""Questions that cost somebody something: asked at most once a second, however many ask here."""

from __future__ import annotations

import asyncio
import math
import time
from collections.abc import Awaitable, Callable
from typing import Generic, TypeVar, cast

from sqlalchemy import text

from gateway.core.errors import PilegateError
from gateway.link.requests import BusesAnswer, CircuitsAnswer, InterlocksAnswer, Method
from gateway.serve.guard_link import GuardLink
from gateway.storage.engine import Database

FRESH_S = 1.0

GUARD_WITHIN_S = 2.0

T = TypeVar("T")


class Remembered(Generic[T]):
    """The answer to a question, asked again when it is older than ``FRESH_S``.

    Whoever comes while it is being asked shares what comes of it, also an error: a guard or
    a database that hangs would else be waited for by one after the other.
    """

    def __init__(self, ask: Callable[[], Awaitable[T]]) -> None:
        self._ask = ask
        self._lock = asyncio.Lock()
        self._outcome: T | PilegateError | None = None
        self._good_until_s = -math.inf
        """Who came until then takes the outcome."""

    async def get(self) -> T:
        """Give the answer. Raises the PilegateError that asking raises; it is not remembered."""
        came_s = time.monotonic()
        async with self._lock:
            if came_s > self._good_until_s:
                await self._ask_anew()
            outcome = self._outcome
        if isinstance(outcome, PilegateError):
            raise outcome
        return cast("T", outcome)

    async def _ask_anew(self) -> None:
        try:
            self._outcome = await self._ask()
        except PilegateError as err:
            self._outcome = err
            self._good_until_s = time.monotonic()
        else:
            self._good_until_s = time.monotonic() + FRESH_S


class Inquiries:
    """What the guard and the database are asked on behalf of many."""

    def __init__(self, link: GuardLink, database: Database) -> None:
        self._link = link
        self._database = database
        self._buses = Remembered(self._ask_buses)
        self._circuits = Remembered(self._ask_circuits)
        self._interlocks = Remembered(self._ask_interlocks)
        self._metrics = Remembered(self._ask_metrics)
        self._database_trouble = Remembered(self._ask_database)

    async def buses(self) -> BusesAnswer:
        """Ask for buses and devices. Raises what the guard answers, or that it is away."""
        return await self._buses.get()

    async def circuits(self) -> CircuitsAnswer:
        """Ask for circuits. Raises what the guard answers, or that it is away."""
        return await self._circuits.get()

    async def interlocks(self) -> InterlocksAnswer:
        """Ask for interlocks. Raises what the guard answers, or that it is away."""
        return await self._interlocks.get()

    async def guard_metrics(self) -> bytes:
        """Ask for the guard's figures; empty when it does not answer."""
        return await self._metrics.get()

    async def database_trouble(self) -> str:
        """Say why the database can't be written; empty: it can."""
        return await self._database_trouble.get()

    async def _ask_buses(self) -> BusesAnswer:
        answer = await self._link.call(Method.BUSES, timeout_s=GUARD_WITHIN_S)
        return BusesAnswer.from_json(answer)

    async def _ask_circuits(self) -> CircuitsAnswer:
        answer = await self._link.call(Method.CIRCUITS, timeout_s=GUARD_WITHIN_S)
        return CircuitsAnswer.from_json(answer)

    async def _ask_interlocks(self) -> InterlocksAnswer:
        answer = await self._link.call(Method.INTERLOCKS, timeout_s=GUARD_WITHIN_S)
        return InterlocksAnswer.from_json(answer)

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
