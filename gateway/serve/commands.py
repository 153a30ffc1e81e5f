"""Commands: an intent is written down with its key, actor and reason before anything is sent."""

from __future__ import annotations

import asyncio
import hashlib
import json
from collections.abc import Callable, Iterable
from dataclasses import asdict, dataclass

from sqlalchemy import func, select
from sqlalchemy.exc import IntegrityError
from sqlalchemy.ext.asyncio import AsyncSession

from gateway.config.site import Site
from gateway.core.clock import Clock
from gateway.core.errors import NotKnown, Refused, TryLater
from gateway.core.ids import uuid7
from gateway.link.messages import Target, TargetKind
from gateway.serve.course import (
    OPEN,
    CommandAction,
    CommandState,
    Course,
    OutletCourse,
)
from gateway.serve.tables import CommandRow, EventRow, JournalRow
from gateway.serve.tokens import Caller
from gateway.storage.engine import Database

MOST_WAITING = 100
"""Callers that wait for a verdict at the same time: half of the API's requests, so that an
``off`` always finds room."""

MOST_OPEN = 1_000
"""Commands that may be under way at the same time."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LeaseTerms:
    """For how long, and with which limits of its own, an outlet may be on."""

    for_s: float
    energy_mwh: int | None = None
    power_w: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Order:
    """What somebody wants done."""

    action: CommandAction
    target: Target
    reason: str
    lease: LeaseTerms | None = None
    """Of an ``on``, and of nothing else."""
    on_site: bool = False
    """Of a ``reset``: the person says that they stand at the outlet."""

    @property
    def digest(self) -> str:
        """SHA-256 of everything that was asked, in hex."""
        text = json.dumps(asdict(self), sort_keys=True, separators=(",", ":"))
        return hashlib.sha256(text.encode("utf-8")).hexdigest()


@dataclass(frozen=True, slots=True, kw_only=True)
class Command:
    """An order as it was recorded, and what has become of it."""

    id: str
    order: Order
    actor: str
    idempotency_key: str | None
    state: CommandState
    code: str
    message: str
    outlets: dict[str, OutletCourse]
    created_utc_ms: int
    answered_utc_ms: int | None
    finished_utc_ms: int | None


class Commands:
    """The use cases of commands, one transaction each."""

    def __init__(
        self, database: Database, site: Site, clock: Clock, send: Callable[[Command], None]
    ) -> None:
        self._database = database
        self._site = site
        self._clock = clock
        self._send = send
        self._bells: dict[str, list[asyncio.Event]] = {}

    async def submit(self, order: Order, caller: Caller, key: str | None) -> Command:
        """Record an order and have it sent; with a known key, give the command it made.

        Raises NotKnown for a target that the site does not have, Refused for a target
        without outlets and for a key that was used with another body, TryLater when too many
        commands are under way.
        """
        target = order.target
        try:
            outlets = self._site.outlets_of(target.kind, target.id)
        except NotKnown:
            raise NotKnown(f"no {target.kind} {target.id!r} in this site: see /v1/groups") from None
        if not outlets:
            raise Refused(f"{target.scope} has no outlets", code="nothing_to_do")
        try:
            command, is_new = await self._record(order, caller, key)
        except IntegrityError:
            # Somebody else recorded the same key in between: now it can be seen.
            command, is_new = await self._record(order, caller, key)
        if is_new:
            self._send(command)
        return command

    async def get(self, command_id: str) -> Command:
        """Look a command up. Raises NotKnown."""
        async with self._database.reading() as session:
            row = await session.get(CommandRow, command_id)
        if row is None:
            raise NotKnown(f"no command {command_id!r}: see /v1/commands")
        return command_of(row)

    async def page(
        self, *, before: str | None, limit: int, target: Target | None, state: CommandState | None
    ) -> tuple[list[Command], str | None]:
        """List commands, newest first; the second value is ``before`` of the next page."""
        query = select(CommandRow).order_by(CommandRow.id.desc()).limit(limit + 1)
        if before is not None:
            query = query.where(CommandRow.id < before)
        if target is not None:
            query = query.where(
                CommandRow.target_kind == target.kind.value, CommandRow.target_id == target.id
            )
        if state is not None:
            query = query.where(CommandRow.state == state.value)
        async with self._database.reading() as session:
            rows = (await session.scalars(query)).all()
        commands = [command_of(row) for row in rows[:limit]]
        return commands, commands[-1].id if len(rows) > limit else None

    async def wait(self, command_id: str, wait_s: float) -> Command:
        """Wait up to ``wait_s`` for the verdict; give the command as it then stands.

        When very many wait already, it is given at once.
        """
        if sum(map(len, self._bells.values())) >= MOST_WAITING:
            return await self.get(command_id)
        bell = asyncio.Event()
        self._bells.setdefault(command_id, []).append(bell)
        try:
            async with asyncio.timeout(wait_s):
                while True:
                    # Before the look: what rings while it is read must not be missed.
                    bell.clear()
                    command = await self.get(command_id)
                    if command.state not in OPEN:
                        return command
                    await bell.wait()
        except TimeoutError:
            return await self.get(command_id)
        finally:
            bells = self._bells[command_id]
            bells.remove(bell)
            if not bells:
                del self._bells[command_id]

    async def unfinished(self, extra: Iterable[str] = ()) -> list[Command]:
        """Give all commands under way, and finished ones that have one of the codes ``extra``."""
        query = select(CommandRow).where(
            CommandRow.finished_utc_ms.is_(None) | CommandRow.code.in_(list(extra))
        )
        async with self._database.reading() as session:
            rows = (await session.scalars(query.order_by(CommandRow.id))).all()
        return [command_of(row) for row in rows]

    async def advance(
        self, command_id: str, step: Callable[[Course], Course], *, answered: bool = False
    ) -> None:
        """Move a command on by a pure step from its present course."""
        async with self._database.writing() as session:
            row = await session.get(CommandRow, command_id, with_for_update=True)
            if row is None:
                return
            if answered and row.answered_utc_ms is None:
                row.answered_utc_ms = self._clock.now().utc_ms
            self.store(row, step(self.course(row)))
        self.ring([command_id])

    def course(self, row: CommandRow) -> Course:
        """Read a row's course."""
        order = order_of(row)
        try:
            targets = {str(o.id) for o in self._site.outlets_of(order.target.kind, order.target.id)}
        except NotKnown:
            targets = set()  # the site file has changed since
        return Course(
            action=order.action,
            command_id=row.id,
            targets=frozenset(targets | row.outlets.keys()),
            outlets={o: OutletCourse.from_json(part) for o, part in row.outlets.items()},
        )

    def store(self, row: CommandRow, course: Course) -> None:
        """Write a course into its row."""
        judged = course.judged
        row.outlets = {outlet: part.to_json() for outlet, part in course.outlets.items()}
        row.state, row.code, row.message = judged.state.value, judged.code, judged.message
        if judged.state in OPEN:
            row.finished_utc_ms = None
        elif row.finished_utc_ms is None:
            row.finished_utc_ms = self._clock.now().utc_ms

    def ring(self, command_ids: Iterable[str]) -> None:
        """Wake whoever waits for one of these commands."""
        for command_id in command_ids:
            for bell in self._bells.get(command_id, ()):
                bell.set()

    async def _record(self, order: Order, caller: Caller, key: str | None) -> tuple[Command, bool]:
        async with self._database.writing() as session:
            if key is not None:
                known = await _by_key(session, caller, key)
                if known is not None:
                    if known.body_hash != order.digest:
                        raise Refused(
                            "this Idempotency-Key was used with another body: "
                            "use a new key for a new command",
                            code="idempotency_key_reused",
                        )
                    return command_of(known), False
            await self._require_room(session)
            row = self._row(order, caller, key, await _position(session))
            session.add(row)
            await session.flush()
            return command_of(row), True

    async def _require_room(self, session: AsyncSession) -> None:
        count = await session.scalar(
            select(func.count()).where(CommandRow.finished_utc_ms.is_(None))
        )
        if (count or 0) >= MOST_OPEN:
            raise TryLater(f"{MOST_OPEN} commands are under way: try again", retry_after_s=5.0)

    def _row(self, order: Order, caller: Caller, key: str | None, position: int) -> CommandRow:
        now = self._clock.now()
        lease = order.lease
        return CommandRow(
            id=str(uuid7(now.utc_ms)),
            token_id=caller.token_id,
            actor=caller.actor,
            idempotency_key=key,
            body_hash=order.digest,
            action=order.action.value,
            target_kind=order.target.kind.value,
            target_id=order.target.id,
            for_s=lease.for_s if lease else None,
            energy_mwh=lease.energy_mwh if lease else None,
            power_w=lease.power_w if lease else None,
            on_site=order.on_site,
            reason=order.reason,
            state=CommandState.RECORDED.value,
            code="",
            message="",
            outlets={},
            created_utc_ms=now.utc_ms,
            recorded_position=position,
            answered_utc_ms=None,
            finished_utc_ms=None,
        )


async def _by_key(session: AsyncSession, caller: Caller, key: str) -> CommandRow | None:
    found: CommandRow | None = await session.scalar(
        select(CommandRow).where(
            CommandRow.token_id == caller.token_id, CommandRow.idempotency_key == key
        )
    )
    return found


async def _position(session: AsyncSession) -> int:
    """Give the last event, and keep facts from being taken over until this one is committed."""
    await session.scalar(
        select(JournalRow.number).order_by(JournalRow.number.desc()).limit(1).with_for_update()
    )
    return await session.scalar(select(func.max(EventRow.position))) or 0


def order_of(row: CommandRow) -> Order:
    """Read what was asked."""
    lease = None
    if row.for_s is not None:
        lease = LeaseTerms(for_s=row.for_s, energy_mwh=row.energy_mwh, power_w=row.power_w)
    return Order(
        action=CommandAction(row.action),
        target=Target(TargetKind(row.target_kind), row.target_id),
        reason=row.reason,
        lease=lease,
        on_site=row.on_site,
    )


def command_of(row: CommandRow) -> Command:
    """Read a row."""
    return Command(
        id=row.id,
        order=order_of(row),
        actor=row.actor,
        idempotency_key=row.idempotency_key,
        state=CommandState(row.state),
        code=row.code,
        message=row.message,
        outlets={outlet: OutletCourse.from_json(part) for outlet, part in row.outlets.items()},
        created_utc_ms=row.created_utc_ms,
        answered_utc_ms=row.answered_utc_ms,
        finished_utc_ms=row.finished_utc_ms,
    )
