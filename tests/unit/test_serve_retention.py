"""What is deleted of the business database, and what never is."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from pathlib import Path

import pytest
from sqlalchemy import select

from gateway.core.clock import EARLIEST_UTC_MS, Now
from gateway.serve import retention
from gateway.serve.events import Wanted, first_position, read_events
from gateway.serve.retention import DAY_MS, Retention
from gateway.serve.tables import CommandRow, EventRow, TokenRow
from gateway.storage.engine import Database
from tests.support.serving import open_database_in
from tests.support.shed import HandClock

DAYS = 30
NOW = HandClock().utc_ms


def _event(position: int, age_days: float) -> EventRow:
    return EventRow(
        position=position,
        journal=1,
        seq=position,
        id=f"id-{position}",
        utc_ms=round(NOW - age_days * DAY_MS),
        quality="synced",
        kind="outlet.on",
        subject="outlet/n1-1",
        actor="guard",
        reason="",
        data={},
    )


def _command(name: str, age_days: float, *, finished: bool = True) -> CommandRow:
    utc_ms = round(NOW - age_days * DAY_MS)
    return CommandRow(
        id=name,
        token_id=1,
        actor="api:op",
        idempotency_key=name,
        body_hash="",
        action="off",
        target_kind="outlet",
        target_id="n1-1",
        on_site=False,
        reason="",
        state="succeeded" if finished else "accepted",
        code="",
        message="",
        outlets={},
        created_utc_ms=utc_ms,
        recorded_position=0,
        finished_utc_ms=utc_ms if finished else None,
    )


async def _fill(database: Database, rows: Sequence[EventRow | CommandRow]) -> None:
    token = TokenRow(id=1, name="op", role="operator", hash="h", created_utc_ms=0)
    async with database.writing() as session:
        session.add(token)
        await session.flush()
        session.add_all(rows)


async def _delete_all(database: Database, clock: HandClock) -> int:
    work = Retention(database, clock, DAYS)
    chunks = 0
    while await work.delete_chunk():
        chunks += 1
    return chunks


async def _positions(database: Database) -> list[int]:
    events, _ = await read_events(database, 0, 10_000, Wanted())
    return [event.position for event in events]


def test_old_events_go_in_chunks_and_what_stays_has_no_gap(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(retention, "CHUNK_ROWS", 10)

    async def main() -> None:
        async with open_database_in(tmp_path) as database:
            ages = [*[40.0] * 25, 29.0, 40.0, 1.0]  # one was written while the clock stood wrong
            await _fill(database, [_event(n, age) for n, age in enumerate(ages, 1)])
            assert await _delete_all(database, HandClock()) == 3
            assert await _positions(database) == [26, 27, 28]
            assert await first_position(database) == 26

    asyncio.run(main())


def test_the_newest_event_stays_so_that_positions_go_on(tmp_path: Path) -> None:
    async def main() -> None:
        async with open_database_in(tmp_path) as database:
            await _fill(database, [_event(n, 200.0) for n in range(1, 6)])
            assert await _delete_all(database, HandClock()) == 1
            assert await _positions(database) == [5]

    asyncio.run(main())


def test_finished_commands_go_and_open_ones_stay(tmp_path: Path) -> None:
    async def main() -> None:
        async with open_database_in(tmp_path) as database:
            rows = [_command("old", 31), _command("young", 29)]
            await _fill(database, [*rows, _command("open", 300, finished=False)])
            assert await _delete_all(database, HandClock()) == 1
            async with database.reading() as session:
                left = set((await session.scalars(select(CommandRow.id))).all())
            assert left == {"young", "open"}

    asyncio.run(main())


def test_with_a_clock_that_was_never_set_nothing_goes(tmp_path: Path) -> None:
    async def main() -> None:
        async with open_database_in(tmp_path) as database:
            row = _event(1, 0)
            row.utc_ms = 0
            await _fill(database, [row, _event(2, 0)])
            clock = HandClock(utc_ms=EARLIEST_UTC_MS - 1)
            assert await _delete_all(database, clock) == 0
            assert await _positions(database) == [1, 2]

    asyncio.run(main())


def test_what_was_written_in_1970_is_of_no_age(tmp_path: Path) -> None:
    """Nobody knows how old it is, but what comes before something old is old."""

    async def main() -> None:
        async with open_database_in(tmp_path) as database:
            unset = [replace_time(_event(n, 0), 5_000) for n in (1, 2)]
            rows = [*unset, _event(3, 40.0), replace_time(_event(4, 0), 9_000), _event(5, 1.0)]
            command = _command("c", 1.0)
            command.finished_utc_ms = 5_000
            await _fill(database, [*rows, command])
            await _delete_all(database, HandClock())
            assert await _positions(database) == [4, 5]
            async with database.reading() as session:
                assert (await session.scalars(select(CommandRow.id))).all() == ["c"]

    asyncio.run(main())


def replace_time(row: EventRow, utc_ms: int) -> EventRow:
    row.utc_ms = utc_ms
    return row


class WatchedClock(HandClock):
    """Knows how often somebody has looked at it."""

    looks = 0

    def now(self) -> Now:
        self.looks += 1
        return super().now()

    async def looked_at(self) -> None:
        """Wait until a whole turn was taken by it: each looks once or twice."""
        enough = self.looks + 4
        async with asyncio.timeout(30):
            while self.looks < enough:
                await asyncio.sleep(0.005)


def test_a_clock_that_was_just_moved_deletes_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(retention, "EVERY_S", 0.005)

    async def main() -> None:
        async with open_database_in(tmp_path) as database:
            await _fill(database, [_event(n, 1.0) for n in range(1, 4)])
            clock = WatchedClock(utc_ms=NOW + 1_000 * DAY_MS)
            task = asyncio.create_task(Retention(database, clock, DAYS).run())
            await clock.looked_at()
            assert await _positions(database) == [1, 2, 3]
            clock.utc_ms = NOW
            await clock.looked_at()
            clock.go(3_700)
            await clock.looked_at()
            assert await _positions(database) == [1, 2, 3], "set right again, nothing was old"
            # the database stays open until it has ended
            task.cancel()
            await asyncio.wait([task])

    asyncio.run(main())
