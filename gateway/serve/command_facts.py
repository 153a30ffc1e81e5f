"""What facts do to commands: success and failure are what the guard has seen."""

from __future__ import annotations

from collections.abc import Sequence

from sqlalchemy import or_, select
from sqlalchemy.ext.asyncio import AsyncSession

from gateway.core.clock import Clock
from gateway.core.facts import FactKind
from gateway.serve.commands import Commands
from gateway.serve.course import REVISABLE, with_fact
from gateway.serve.events import Event
from gateway.serve.tables import CommandRow

REVISED_WITHIN_MS = 3_600_000
"""How long after its end a verdict that was given for want of facts may be revised."""

TELLING = frozenset(
    {
        FactKind.LEASE_STARTED,
        FactKind.LEASE_ENDED,
        FactKind.OUTLET_ON,
        FactKind.OUTLET_OFF,
        FactKind.OUTLET_CUT,
        FactKind.OUTLET_ALARM,
        FactKind.REQUEST_REFUSED,
        FactKind.GUARD_STARTED,
    }
)
"""Facts that can say something about a command."""


class CommandFacts:
    """Moves commands on, in the transaction that takes the facts over."""

    def __init__(self, commands: Commands, clock: Clock) -> None:
        self._commands = commands
        self._clock = clock
        self._changed: list[str] = []

    async def apply(self, session: AsyncSession, events: Sequence[Event]) -> None:
        """Let every command that may be meant take the facts in."""
        self._changed = []
        telling = [event for event in events if event.kind in TELLING]
        if not telling:
            return
        for row in await self._candidates(session, telling):
            before = self._commands.course(row)
            course = before
            for event in telling:
                if event.position > row.recorded_position:
                    course = with_fact(course, event.as_fact())
            if course != before:
                self._commands.store(row, course)
                self._changed.append(row.id)

    def committed(self) -> None:
        """Wake whoever waits for a verdict."""
        self._commands.ring(self._changed)

    async def _candidates(
        self, session: AsyncSession, events: Sequence[Event]
    ) -> Sequence[CommandRow]:
        named = {
            request_id.partition("/")[0]
            for event in events
            if isinstance(request_id := event.data.get("request_id"), str)
        }
        since_utc_ms = self._clock.now().utc_ms - REVISED_WITHIN_MS
        query = select(CommandRow).where(
            or_(
                CommandRow.finished_utc_ms.is_(None),
                (CommandRow.finished_utc_ms > since_utc_ms)
                & CommandRow.code.in_(sorted(REVISABLE)),
                CommandRow.id.in_(sorted(named)),
            )
        )
        return (await session.scalars(query.with_for_update())).all()
