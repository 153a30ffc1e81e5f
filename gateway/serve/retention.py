"""Keeps the business database small: old events and finished commands go, a chunk at a time.

Each chunk is one short transaction, so that no command waits for more than one. Events go from
the oldest on and up to the first young one: what stays has no gap. The newest is never deleted,
as positions are counted on from it.
"""

from __future__ import annotations

import asyncio
import logging

from sqlalchemy import delete, func, select

from gateway.core.clock import EARLIEST_UTC_MS, Clock, Steady
from gateway.core.errors import PilegateError
from gateway.serve.tables import CommandRow, EventRow
from gateway.storage.engine import Database

DAY_MS = 86_400_000
CHUNK_ROWS = 500
EVERY_S = 3_600.0
NEXT_CHUNK_S = 0.1

log = logging.getLogger(__name__)


class Retention:
    """Deletes what is older than ``days``: events, and commands that were finished before.

    With the command its ``Idempotency-Key`` is forgotten. A clock that was just moved makes nothing
    old, and of what was written by one that was not set nobody knows the age.
    """

    def __init__(self, database: Database, clock: Clock, days: int) -> None:
        self._database = database
        self._clock = clock
        self._days = days
        self._steady = Steady()

    async def run(self) -> None:
        """Delete what is due every hour, until cancelled."""
        while True:
            try:
                while self._steady.is_steady(self._clock.now()) and await self.delete_chunk():
                    await asyncio.sleep(NEXT_CHUNK_S)
            except PilegateError as err:
                log.warning("old events and commands stay for now: %s", err)
            await asyncio.sleep(EVERY_S)

    async def delete_chunk(self) -> bool:
        """Delete one chunk; say whether there may be more.

        With a clock that was never set nothing is deleted. Raises as ``Database.writing``.
        """
        utc_ms = self._clock.now().utc_ms
        if utc_ms < EARLIEST_UTC_MS:
            return False
        before_utc_ms = utc_ms - self._days * DAY_MS
        return await self._delete_events(before_utc_ms) or await self._delete_commands(
            before_utc_ms
        )

    async def _delete_events(self, before_utc_ms: int) -> bool:
        async with self._database.writing() as session:
            newest = await session.scalar(select(func.max(EventRow.position))) or 0
            oldest = await session.execute(
                select(EventRow.position, EventRow.utc_ms)
                .where(EventRow.position < newest)
                .order_by(EventRow.position)
                .limit(CHUNK_ROWS)
            )
            last = 0
            for position, utc_ms in oldest:
                if utc_ms >= before_utc_ms:
                    break
                if utc_ms >= EARLIEST_UTC_MS:
                    last = position
            if last:
                await session.execute(delete(EventRow).where(EventRow.position <= last))
        return last > 0

    async def _delete_commands(self, before_utc_ms: int) -> bool:
        async with self._database.writing() as session:
            old = (
                select(CommandRow.id)
                .where(CommandRow.finished_utc_ms < before_utc_ms)
                .where(CommandRow.finished_utc_ms >= EARLIEST_UTC_MS)
                .order_by(CommandRow.finished_utc_ms)
                .limit(CHUNK_ROWS)
            )
            ids = (await session.scalars(old)).all()
            if ids:
                await session.execute(delete(CommandRow).where(CommandRow.id.in_(ids)))
        return bool(ids)
