from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from sqlalchemy.ext.asyncio import AsyncSession

from gateway.core.errors import FixInstallation
from gateway.guard.journal import Journal as GuardJournal
from gateway.link.journal import journal_path
from gateway.serve.events import Event, EventFeed, Wanted, read_events
from gateway.serve.facts import FactTaker
from gateway.serve.journal import Journal
from gateway.storage.engine import Database
from tests.support.journal import entry
from tests.support.serving import open_database_in
from tests.support.shed import HandClock


@dataclass
class Noting:
    """An effect that notes what it was given, and can fail."""

    seen: list[int | None] = field(default_factory=list)
    fails: bool = False

    async def apply(self, session: AsyncSession, events: Sequence[Event]) -> None:
        assert session.in_transaction()
        if self.fails:
            raise RuntimeError("power cut")
        self.seen += [event.seq for event in events]

    def committed(self) -> None:
        pass


@dataclass
class Taking:
    """A taker, and what it works on."""

    database: Database
    journal: Journal
    feed: EventFeed
    effect: Noting
    taker: FactTaker

    async def events(self) -> list[Event]:
        events, _ = await read_events(self.database, 0, 10_000, Wanted())
        return events


def _taking(folder: Path, database: Database) -> Taking:
    journal, feed, effect = Journal(journal_path(folder)), EventFeed(), Noting()
    taker = FactTaker(database, journal, HandClock(), feed, [effect])
    return Taking(database, journal, feed, effect, taker)


async def _write(folder: Path, count: int, start: int = 0) -> None:
    journal = GuardJournal(journal_path(folder))
    journal.start()
    for ticket in [journal.put(entry(n=start + i)) for i in range(count)]:
        await ticket.durable()
    await journal.close()


def _check_gapless(events: list[Event]) -> None:
    assert [event.position for event in events] == list(range(1, len(events) + 1))
    assert len({event.id for event in events}) == len(events)


def test_facts_are_taken_over_once(tmp_path: Path) -> None:
    async def main() -> None:
        async with open_database_in(tmp_path) as database:
            taking = _taking(tmp_path, database)
            await _write(tmp_path, 1_203)
            assert await taking.taker.take_over() == 1_203
            assert await taking.taker.take_over() == 0
            await _write(tmp_path, 2, 1_203)
            assert await taking.taker.take_over() == 2
            events = await taking.events()
            _check_gapless(events)
            assert [event.seq for event in events] == list(range(1, 1_206))
            assert taking.effect.seen == list(range(1, 1_206))
            assert [event.data["n"] for event in events] == list(range(1_205))
            assert taking.taker.lag == 0
            await taking.journal.close()

    asyncio.run(main())


def test_a_crash_before_the_commit_leaves_nothing(tmp_path: Path) -> None:
    async def main() -> None:
        async with open_database_in(tmp_path) as database:
            taking = _taking(tmp_path, database)
            await _write(tmp_path, 3)
            taking.effect.fails = True
            with pytest.raises(RuntimeError, match="power cut"):
                await taking.taker.take_over()
            assert await taking.events() == []
            assert taking.feed.last_position == 0
            taking.effect.fails = False
            assert await taking.taker.take_over() == 3
            assert taking.effect.seen == [1, 2, 3]
            await taking.journal.close()

    asyncio.run(main())


def test_two_takers_share_the_work(tmp_path: Path) -> None:
    async def main() -> None:
        async with open_database_in(tmp_path) as database:
            one, other = _taking(tmp_path, database), _taking(tmp_path, database)
            await _write(tmp_path, 1_100)
            counts = await asyncio.gather(one.taker.take_over(), other.taker.take_over())
            assert sum(counts) == 1_100
            _check_gapless(await one.events())
            assert sorted(filter(None, one.effect.seen + other.effect.seen)) == list(
                range(1, 1_101)
            )
            await one.taker.take_over()
            assert one.feed.last_position == 1_100
            await one.journal.close()
            await other.journal.close()

    asyncio.run(main())


def _replace(folder: Path) -> None:
    for path in folder.glob("guard.db*"):
        path.unlink()


@pytest.mark.parametrize("count", [1, 5, 9])
def test_a_journal_that_was_replaced_is_reported_and_not_mixed_up(
    tmp_path: Path, count: int
) -> None:
    """With fewer facts, as many, or more than were taken over from the one before."""

    async def main() -> None:
        async with open_database_in(tmp_path) as database:
            taking = _taking(tmp_path, database)
            await _write(tmp_path, 5)
            await taking.taker.take_over()
            _replace(tmp_path)
            await _write(tmp_path, count, 100)
            await taking.taker.take_over()
            events = await taking.events()
            _check_gapless(events)
            assert events[5].kind == "journal.replaced"
            assert events[5].seq is None
            assert events[5].data["before_seq"] == 5
            assert [event.data["n"] for event in events[6:]] == list(range(100, 100 + count))
            assert [event.seq for event in events[6:]] == list(range(1, count + 1))
            assert {event.journal for event in events[5:]} == {2}
            await taking.journal.close()

    asyncio.run(main())


@pytest.mark.parametrize("more", [0, 2, 8])
def test_an_older_copy_of_the_journal_has_no_effect_twice(tmp_path: Path, more: int) -> None:
    async def main() -> None:
        async with open_database_in(tmp_path) as database:
            taking = _taking(tmp_path, database)
            await _write(tmp_path, 5)
            copy = journal_path(tmp_path).read_bytes()
            await _write(tmp_path, 5, 5)
            await taking.taker.take_over()
            _replace(tmp_path)
            journal_path(tmp_path).write_bytes(copy)
            await _write(tmp_path, more, 50)
            await taking.taker.take_over()
            events = await taking.events()
            _check_gapless(events)
            assert [e.kind for e in events].count("journal.replaced") == 1
            numbers = [event.data["n"] for event in events if "n" in event.data]
            assert numbers == [*range(10), *range(50, 50 + more)]
            await taking.journal.close()

    asyncio.run(main())


def test_facts_that_were_removed_unread_are_reported(tmp_path: Path) -> None:
    async def main() -> None:
        async with open_database_in(tmp_path) as database:
            taking = _taking(tmp_path, database)
            await _write(tmp_path, 3)
            await taking.taker.take_over()
            await _write(tmp_path, 6, 3)
            with sqlite3.connect(journal_path(tmp_path)) as db:
                db.execute("DELETE FROM facts WHERE seq <= 6")
            db.close()
            await taking.taker.take_over()
            events = await taking.events()
            _check_gapless(events)
            assert events[3].kind == "journal.gap"
            assert (events[3].data["first_missing"], events[3].data["last_missing"]) == (4, 6)
            assert [event.seq for event in events[4:]] == [7, 8, 9]
            await taking.journal.close()

    asyncio.run(main())


def test_facts_removed_after_they_were_read_are_no_gap(tmp_path: Path) -> None:
    async def main() -> None:
        async with open_database_in(tmp_path) as database:
            taking = _taking(tmp_path, database)
            await _write(tmp_path, 3)
            await taking.taker.take_over()
            await _write(tmp_path, 2, 3)
            with sqlite3.connect(journal_path(tmp_path)) as db:
                db.execute("DELETE FROM facts WHERE seq <= 3")
            db.close()
            await taking.taker.take_over()
            assert [event.seq for event in await taking.events()] == [1, 2, 3, 4, 5]
            await taking.journal.close()

    asyncio.run(main())


def test_a_journal_that_is_not_there_is_waited_for(tmp_path: Path) -> None:
    async def main() -> None:
        async with open_database_in(tmp_path) as database:
            taking = _taking(tmp_path, database)
            with pytest.raises(FixInstallation, match="no journal yet"):
                await taking.taker.take_over()
            running = asyncio.create_task(taking.taker.run())
            async with asyncio.timeout(30):
                while taking.taker.trouble is None:
                    await asyncio.sleep(0.01)
                await _write(tmp_path, 2)
                taking.taker.wake()
                await taking.feed.beyond(1)
                while taking.taker.trouble is not None:
                    await asyncio.sleep(0.01)
            running.cancel()
            await asyncio.wait([running])
            await taking.journal.close()

    asyncio.run(main())


def test_the_feed_gives_what_memory_holds_and_sends_others_to_the_database(
    tmp_path: Path,
) -> None:
    async def main() -> None:
        async with open_database_in(tmp_path) as database:
            first = _taking(tmp_path, database)
            await _write(tmp_path, 4)
            await first.taker.take_over()
            await first.journal.close()
            taking = _taking(tmp_path, database)
            await _write(tmp_path, 2, 4)
            await taking.taker.take_over()
            assert taking.feed.kept_after(3) is None
            kept = taking.feed.kept_after(4)
            assert kept is not None
            assert [told.event.position for told in kept] == [5, 6]
            assert taking.feed.kept_after(6) == []
            assert taking.feed.kept_after(99) == []
            await taking.journal.close()

    asyncio.run(main())


def test_filters_go_on_behind_what_they_passed_over(tmp_path: Path) -> None:
    async def main() -> None:
        async with open_database_in(tmp_path) as database:
            taking = _taking(tmp_path, database)
            await _write(tmp_path, 5)
            await taking.taker.take_over()
            none = Wanted(frozenset({"outlet.cut"}), None)
            assert await read_events(database, 0, 2, none) == ([], 5)
            events, looked_to = await read_events(database, 0, 2, Wanted())
            assert ([event.position for event in events], looked_to) == ([1, 2], 2)
            elsewhere = Wanted(frozenset(), "outlet/n9")
            assert await read_events(database, 0, 2, elsewhere) == ([], 5)
            await taking.journal.close()

    asyncio.run(main())
