"""Takes the guard's facts over into the business database, each with its effect once.

The facts, their effects and the cursor are committed in one transaction: a crash before it
leaves nothing, a crash after it leaves all. The socket only wakes this; it also looks by
itself every few seconds.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Protocol

from sqlalchemy import Select, func, select
from sqlalchemy.ext.asyncio import AsyncSession

from gateway.core.clock import Clock
from gateway.core.errors import PilegateError
from gateway.core.facts import Fact
from gateway.core.ids import uuid7
from gateway.serve.events import Event, EventFeed, OwnKind
from gateway.serve.journal import Journal, Page
from gateway.serve.tables import EventRow, JournalRow
from gateway.storage.engine import Database

LOOK_S = 2.0
"""How often the journal is looked at without being woken."""

log = logging.getLogger(__name__)


class Effect(Protocol):
    """What facts do in a business room. ``committed`` is called after the transaction."""

    async def apply(self, session: AsyncSession, events: Sequence[Event]) -> None: ...

    def committed(self) -> None: ...


class Standing(StrEnum):
    """How a journal relates to the one that the cursor belongs to."""

    SAME = "same"
    REPLACED = "replaced"
    GAP = "gap"


@dataclass(frozen=True, slots=True)
class Cursor:
    """How far the present journal was taken over."""

    journal: int
    seq: int
    fact_id: str


def standing(cursor: Cursor, page: Page) -> Standing:
    """Compare the journal with the cursor; numbers alone could match by chance."""
    if page.last_seq < cursor.seq:
        return Standing.REPLACED
    if page.at_cursor is not None and page.at_cursor.id != cursor.fact_id:
        return Standing.REPLACED
    if cursor.seq and page.facts and page.facts[0].seq != cursor.seq + 1:
        return Standing.GAP
    return Standing.SAME


class FactTaker:
    """Takes facts over, for ever."""

    def __init__(
        self,
        database: Database,
        journal: Journal,
        clock: Clock,
        feed: EventFeed,
        effects: Sequence[Effect] = (),
    ) -> None:
        self._database = database
        self._journal = journal
        self._clock = clock
        self._feed = feed
        self._effects = effects
        self._wake = asyncio.Event()
        self._lock = asyncio.Lock()
        self.trouble: str | None = None
        """Why facts can't be taken over at present; None: they can."""
        self.taken_seq = 0
        """The last fact that was taken over from the present journal."""
        self.journal_seq = 0
        """The last fact of the journal, when it was last looked at."""

    @property
    def lag(self) -> int:
        """How many facts are known to wait."""
        return max(0, self.journal_seq - self.taken_seq)

    def wake(self) -> None:
        """Have a look soon."""
        self._wake.set()

    async def run(self) -> None:
        """Take over whatever comes, until cancelled. Trouble is told once, and recovery once."""
        while True:
            self._wake.clear()
            try:
                await self.take_over()
            except PilegateError as err:
                self._troubled(str(err))
            else:
                self._recovered()
            try:
                async with asyncio.timeout(LOOK_S):
                    await self._wake.wait()
            except TimeoutError:
                continue

    async def take_over(self) -> int:
        """Take over all facts there are; return how many.

        Raises PilegateError when journal or database can't be used; nothing is lost then.
        """
        async with self._lock:
            taken = 0
            while True:
                count, more = await self._batch()
                taken += count
                if not more:
                    return taken

    async def _batch(self) -> tuple[int, bool]:
        """Take over one page; return how many facts, and whether to go on."""
        async with self._database.reading() as session:
            cursor = await _cursor(session)
            self._feed.catch_up(await _last_position(session))
        page = await self._journal.page(cursor.seq)
        self.journal_seq = page.last_seq
        self.taken_seq = cursor.seq
        found = standing(cursor, page)
        if found is Standing.SAME and not page.facts:
            return 0, False
        async with self._database.writing() as session:
            row = await _row_for_update(session)
            if _cursor_of(row) != cursor or row.replaced_utc_ms is not None:
                return 0, True  # another process was faster: look again
            events = await self._write(session, cursor, row, page, found)
            for effect in self._effects:
                await effect.apply(session, events)
        self._feed.publish(events)
        for effect in self._effects:
            effect.committed()
        return len(events), True

    async def _write(
        self,
        session: AsyncSession,
        cursor: Cursor,
        row: JournalRow,
        page: Page,
        found: Standing,
    ) -> list[Event]:
        """Write the page's facts and the cursor, or what is to be told about the journal."""
        position = await _last_position(session)
        if found is Standing.REPLACED:
            row.replaced_utc_ms = self._clock.now().utc_ms
            row = JournalRow(number=row.number + 1, cursor_seq=0, cursor_fact_id="")
            session.add(row)
            await session.flush()
        events: list[Event] = []
        if found in (Standing.REPLACED, Standing.GAP):
            data = _report(cursor, page, found)
            log.warning("guard's journal: %s: %s", found.value, data["detail"])
            events.append(self._own(position + 1, row.number, found, data))
        if found is not Standing.REPLACED:
            new = await _unknown(session, page.facts)
            start = position + len(events) + 1
            events += [_event(start + i, row.number, fact) for i, fact in enumerate(new)]
            if page.facts:
                row.cursor_seq, row.cursor_fact_id = page.facts[-1].seq, page.facts[-1].id
                self.taken_seq = row.cursor_seq
        session.add_all(_event_row(event) for event in events)
        await session.flush()
        return events

    def _own(self, position: int, journal: int, found: Standing, data: dict[str, Any]) -> Event:
        now = self._clock.now()
        replaced = found is Standing.REPLACED
        return Event(
            position=position,
            journal=journal,
            seq=None,
            id=str(uuid7(now.utc_ms)),
            utc_ms=now.utc_ms,
            quality=now.quality.value,
            kind=OwnKind.JOURNAL_REPLACED if replaced else OwnKind.JOURNAL_GAP,
            subject="guard",
            actor="serve",
            reason="",
            data=data,
        )

    def _troubled(self, text: str) -> None:
        if self.trouble is None:
            log.warning("facts are not taken over: %s", text)
        self.trouble = text

    def _recovered(self) -> None:
        if self.trouble is not None:
            log.info("facts are taken over again")
        self.trouble = None


async def _cursor(session: AsyncSession) -> Cursor:
    return _cursor_of((await session.scalars(_newest())).one())


def _cursor_of(row: JournalRow) -> Cursor:
    return Cursor(row.number, row.cursor_seq, row.cursor_fact_id)


async def _row_for_update(session: AsyncSession) -> JournalRow:
    """Read the cursor and keep others from moving it until this transaction ends."""
    return (await session.scalars(_newest().with_for_update())).one()


def _newest() -> Select[JournalRow]:
    return select(JournalRow).order_by(JournalRow.number.desc()).limit(1)


async def _last_position(session: AsyncSession) -> int:
    return await session.scalar(select(func.max(EventRow.position))) or 0


async def _unknown(session: AsyncSession, facts: Sequence[Fact]) -> list[Fact]:
    """Leave out facts that were taken over before, from another copy of the same journal."""
    ids = [fact.id for fact in facts]
    known = set((await session.scalars(select(EventRow.id).where(EventRow.id.in_(ids)))).all())
    return [fact for fact in facts if fact.id not in known]


def _report(cursor: Cursor, page: Page, found: Standing) -> dict[str, Any]:
    if found is Standing.GAP:
        first = page.facts[0].seq
        detail = f"facts {cursor.seq + 1} to {first - 1} were removed before they were read"
        return {"first_missing": cursor.seq + 1, "last_missing": first - 1, "detail": detail}
    detail = (
        f"it has {page.last_seq} facts and does not go on after fact {cursor.seq} of the one "
        "before: it is read from its beginning"
    )
    return {"before_seq": cursor.seq, "journal_seq": page.last_seq, "detail": detail}


def _event(position: int, journal: int, fact: Fact) -> Event:
    return Event(
        position,
        journal,
        fact.seq,
        fact.id,
        fact.utc_ms,
        fact.quality,
        fact.kind,
        fact.subject,
        fact.actor,
        fact.reason,
        fact.data,
    )


def _event_row(event: Event) -> EventRow:
    return EventRow(
        position=event.position,
        journal=event.journal,
        seq=event.seq,
        id=event.id,
        utc_ms=event.utc_ms,
        quality=event.quality,
        kind=event.kind,
        subject=event.subject,
        actor=event.actor,
        reason=event.reason,
        data=event.data,
    )
