"""The writer's way with flight records: after everything else, and never in its way."""

from __future__ import annotations

import asyncio
import contextlib
import shutil
import sqlite3
from contextlib import closing
from pathlib import Path
from types import SimpleNamespace

import pytest

from gateway.guard import journal_writer
from gateway.guard.journal import Journal
from gateway.guard.journal_entry import Entry, Ticket
from gateway.guard.journal_writer import Condition
from gateway.link.journal import JournalReader
from tests.support.flights import cut_off, flight, record_cut_offs
from tests.support.journal import entry

WITHIN_S = 30.0


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "state" / "guard.db"


def numbers(path: Path) -> list[int]:
    with JournalReader(path) as reader:
        return [head.seq for head in reader.flights()]


async def _until_kept(path: Path, count: int) -> None:
    async with asyncio.timeout(WITHIN_S):
        while len(numbers(path)) < count:
            await asyncio.sleep(0.02)


def test_a_record_is_written_once_its_fact_is(path: Path) -> None:
    async def main() -> None:
        journal = Journal(path)
        journal.start()
        ticket = journal.put(cut_off())
        journal.put_flight(flight(ticket))
        await _until_kept(path, 1)
        assert await journal.close()

    asyncio.run(main())
    assert numbers(path) == [1]


@pytest.mark.parametrize("started", [True, False])
def test_what_waits_at_the_end_is_written(path: Path, started: bool) -> None:
    async def main() -> None:
        journal = Journal(path)
        if started:
            journal.start()
        await record_cut_offs(journal, *(f"n1-{n}" for n in range(1, 31)))

    asyncio.run(main())
    assert numbers(path) == list(range(59, 0, -2))


def test_a_record_of_a_fact_that_never_came_is_dropped(path: Path) -> None:
    async def main() -> None:
        journal = Journal(path)
        journal.start()
        nothing = Ticket()
        nothing.settle(())
        journal.put_flight(flight(nothing))
        await journal.put(entry()).durable()
        assert await journal.close()

    asyncio.run(main())
    assert numbers(path) == []


def test_a_locked_journal_keeps_records_and_facts_waiting_and_loses_none(path: Path) -> None:
    async def main() -> None:
        journal = Journal(path)
        journal.start()
        await journal.put(entry()).durable()
        with closing(sqlite3.connect(path, isolation_level=None)) as other:
            other.execute("BEGIN IMMEDIATE")
            ticket = journal.put(cut_off())
            journal.put_flight(flight(ticket))
            async with asyncio.timeout(WITHIN_S):
                while journal.state.condition is Condition.OK:
                    await asyncio.sleep(0.02)
            other.execute("ROLLBACK")
        await ticket.durable()
        await _until_kept(path, 1)
        assert await journal.close()

    asyncio.run(main())
    assert numbers(path) == [2]


def test_trouble_with_records_alone_is_no_trouble_of_the_journal(path: Path) -> None:
    async def main() -> None:
        journal = Journal(path)
        journal.start()
        ticket = journal.put(cut_off())
        await ticket.durable()
        with closing(sqlite3.connect(path, isolation_level=None)) as other:
            other.execute("ALTER TABLE flights RENAME TO away")
            journal.put_flight(flight(ticket))
            for _ in range(20):
                await journal.put(entry()).durable()
            assert journal.state.condition is Condition.OK
            other.execute("ALTER TABLE away RENAME TO flights")
        assert await journal.close()

    asyncio.run(main())
    assert numbers(path) == [1], "tried again at the end"


def test_a_disk_with_little_room_is_left_to_facts(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    room = SimpleNamespace(free=journal_writer.LEFT_FOR_FACTS_BYTES - 1)
    monkeypatch.setattr(shutil, "disk_usage", lambda _: room)

    async def main() -> None:
        journal = Journal(path)
        journal.start()
        await record_cut_offs(journal, "n1-1")
        assert journal.figures().dropped_flights == 1

    asyncio.run(main())
    assert numbers(path) == []
    with JournalReader(path) as reader:
        assert reader.last_seq() == 2


def test_a_record_that_json_cannot_hold_does_not_stop_the_others(path: Path) -> None:
    async def main() -> None:
        journal = Journal(path)
        journal.start()
        bad = journal.put(Entry(cut_off("n1-9").facts))
        facts = await bad.durable()
        facts[0].data["evidence"]["value"] = float("nan")
        for ticket, outlet in ((bad, "n1-9"), (journal.put(cut_off()), "n1-1")):
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(ticket.durable(), WITHIN_S)
            journal.put_flight(flight(ticket, outlet))
        assert await journal.close()
        assert journal.figures().dropped_flights == 1

    asyncio.run(main())
    assert numbers(path) == [3]
