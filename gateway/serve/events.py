"""Events: the facts that took effect here, in order, for everyone who wants to know."""

from __future__ import annotations

import asyncio
import json
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from sqlalchemy import func, select
from sqlalchemy.ext.asyncio import AsyncSession

from gateway.core.errors import Refused
from gateway.core.facts import Fact, FactKind
from gateway.serve.tables import EventRow
from gateway.storage.engine import Database

MOST_EVENTS = 200
"""Events in one page."""

KEPT = 2_000
"""Events kept in memory for those who follow; older ones are read from the database."""


class OwnKind(StrEnum):
    """Events of serve's own, beside the guard's facts."""

    JOURNAL_REPLACED = "journal.replaced"
    """The guard's journal is another one, or an older copy of the one before."""
    JOURNAL_GAP = "journal.gap"
    """Facts were removed from the journal before they were taken over."""


KINDS = frozenset([*FactKind, *OwnKind])


@dataclass(frozen=True, slots=True)
class Event:
    """A fact with its place in the order in which facts took effect here."""

    position: int
    journal: int
    seq: int | None
    """Its number in the guard's journal; None for serve's own."""
    id: str
    utc_ms: int
    quality: str
    kind: str
    subject: str
    actor: str
    reason: str
    data: dict[str, Any]

    def to_json(self) -> dict[str, Any]:
        return {
            "position": self.position,
            "journal": self.journal,
            "seq": self.seq,
            "id": self.id,
            "utc_ms": self.utc_ms,
            "quality": self.quality,
            "kind": self.kind,
            "subject": self.subject,
            "actor": self.actor,
            "reason": self.reason,
            "data": self.data,
        }

    def as_fact(self) -> Fact:
        return Fact(
            self.seq or 0,
            self.id,
            self.kind,
            self.subject,
            self.utc_ms,
            self.quality,
            self.actor,
            self.reason,
            self.data,
        )


@dataclass(frozen=True, slots=True)
class Wanted:
    """Which events somebody wants to see."""

    kinds: frozenset[str] = frozenset()
    """Empty: all."""
    subject: str | None = None

    def holds(self, event: Event) -> bool:
        if self.subject is not None and event.subject != self.subject:
            return False
        return not self.kinds or event.kind in self.kinds


@dataclass(frozen=True, slots=True)
class Told:
    """An event and its JSON, made once for everyone who follows."""

    event: Event
    json: bytes


def tell(event: Event) -> Told:
    """Write an event as JSON, in ASCII, on one line."""
    return Told(event, json.dumps(event.to_json(), separators=(",", ":")).encode("ascii"))


class EventFeed:
    """The newest events in memory, and a bell that rings when there are more."""

    def __init__(self) -> None:
        self._kept: deque[Told] = deque(maxlen=KEPT)
        self._bell = asyncio.Event()
        self.last_position = 0
        self.closed = False

    def close(self) -> None:
        """Let everyone who follows go: the process ends."""
        self.closed = True
        self._bell.set()

    def catch_up(self, position: int) -> None:
        """Take note of events that are not in memory: from before the start, or from elsewhere."""
        if position > self.last_position:
            self._kept.clear()
            self._ring(position)

    def publish(self, events: Sequence[Event]) -> None:
        """Take in events that are committed, and wake everyone who waits."""
        if not events:
            return
        if events[0].position != self.last_position + 1:
            self._kept.clear()
        self._kept.extend(tell(event) for event in events)
        self._ring(events[-1].position)

    def _ring(self, position: int) -> None:
        self.last_position = position
        bell, self._bell = self._bell, asyncio.Event()
        bell.set()

    async def beyond(self, position: int) -> None:
        """Wait until there is an event after ``position``, or until the feed is closed."""
        while self.last_position <= position and not self.closed:
            await self._bell.wait()

    def kept_after(self, position: int) -> list[Told] | None:
        """Give all events after ``position``; None when memory does not reach back so far."""
        if position >= self.last_position:
            return []
        if not self._kept or self._kept[0].event.position > position + 1:
            return None
        count = self.last_position - position
        return [self._kept[index] for index in range(len(self._kept) - count, len(self._kept))]


async def read_events(
    database: Database, after: int, limit: int, wanted: Wanted
) -> tuple[list[Event], int]:
    """Read up to ``limit`` events after a position, and how far was looked.

    Positions up to the second value hold no other wanted event. Raises Refused for a position
    that no event has had yet.
    """
    query = select(EventRow).where(EventRow.position > after).order_by(EventRow.position)
    if wanted.kinds:
        query = query.where(EventRow.kind.in_(sorted(wanted.kinds)))
    if wanted.subject is not None:
        query = query.where(EventRow.subject == wanted.subject)
    async with database.reading() as session:
        rows = (await session.scalars(query.limit(limit))).all()
        if len(rows) == limit:
            return [event_of(row) for row in rows], rows[-1].position
        last = await _last_position(session)
    _require_not_ahead(after, last)
    return [event_of(row) for row in rows], last


async def require_position(database: Database, position: int) -> None:
    """Make sure that it is known what came before a position. Raises Refused.

    Whoever waits for what comes after one that is ahead would miss all events until then.
    """
    async with database.reading() as session:
        last = await _last_position(session)
    _require_not_ahead(position, last)


async def _last_position(session: AsyncSession) -> int:
    return await session.scalar(select(func.max(EventRow.position))) or 0


def _require_not_ahead(position: int, last: int) -> None:
    if position > last:
        raise Refused(
            f"no event has had position {position} yet, the newest has {last}: this is another "
            "database, or an older copy; read from 0 again",
            code="position_ahead",
        )


async def first_position(database: Database) -> int:
    """Give the position of the oldest event that is kept; 0: none is."""
    async with database.reading() as session:
        return await session.scalar(select(func.min(EventRow.position))) or 0


def event_of(row: EventRow) -> Event:
    """Read a row."""
    return Event(
        row.position,
        row.journal,
        row.seq,
        row.id,
        row.utc_ms,
        row.quality,
        row.kind,
        row.subject,
        row.actor,
        row.reason,
        row.data,
    )
