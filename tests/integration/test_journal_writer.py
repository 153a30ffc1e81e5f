from __future__ import annotations

import asyncio
import contextlib
import errno
import os
import sqlite3
from collections.abc import Callable, Sequence
from contextlib import closing
from pathlib import Path

import pytest

from gateway.core.errors import FixInstallation, TryLater
from gateway.core.facts import Fact
from gateway.guard.journal import Journal
from gateway.guard.journal_chores import Keep
from gateway.guard.journal_entry import Entry, JournalFull, NotWritten, Ticket
from gateway.guard.journal_sql import write_entry
from gateway.guard.journal_writer import Condition
from gateway.link.journal import SCHEMA_VERSION, JournalReader
from gateway.link.records import LatchRecord
from tests.support.journal import draft, entry, run_journal
from tests.support.waiting import until


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "state" / "guard.db"


def test_an_entry_is_readable_by_others_once_it_is_durable(path: Path) -> None:
    async def act(journal: Journal) -> None:
        facts = await journal.put(entry()).durable()
        assert [fact.seq for fact in facts] == [1]
        with JournalReader(path) as reader:
            assert reader.facts_after(0) == list(facts)

    run_journal(path, act)


def test_numbers_go_on_after_a_restart(path: Path) -> None:
    async def act(journal: Journal) -> None:
        before = journal.last_seq
        facts = await journal.put(entry()).durable()
        assert [fact.seq for fact in facts] == [before + 1]
        assert journal.last_seq == before + 1

    for _ in range(3):
        run_journal(path, act)
    with JournalReader(path) as reader:
        assert reader.last_seq() == 3


def test_listeners_hear_every_fact_once_in_order_and_after_its_ticket(path: Path) -> None:
    heard: list[int] = []
    settled: list[int] = []

    def listen(facts: Sequence[Fact]) -> None:
        heard.extend(fact.seq for fact in facts)
        assert settled[: len(heard)] == heard

    def fail(_: Sequence[Fact]) -> None:
        raise RuntimeError("a listener's own fault")

    async def act(journal: Journal) -> None:
        journal.subscribe(fail)
        journal.subscribe(listen)
        for n in range(400):
            put = journal.put if n % 3 else journal.put_urgent
            put(Entry((draft(n=n), draft(n=n)))).when_done(
                lambda ticket: settled.extend(fact.seq for fact in ticket.facts or ())
            )
        await until(lambda: len(heard) >= 800)

    run_journal(path, act)
    assert heard == list(range(1, 801))


def test_close_writes_what_waits(path: Path) -> None:
    async def main() -> None:
        journal = Journal(path)
        journal.start()
        tickets = [journal.put(entry(n=n)) for n in range(500)]
        assert await journal.close(60.0)
        assert all(ticket.facts for ticket in tickets)
        with pytest.raises(JournalFull):
            journal.put(entry())

    asyncio.run(main())
    with JournalReader(path) as reader:
        assert reader.last_seq() == 500


def test_a_locked_file_is_tried_again_and_close_gives_up_in_time(path: Path) -> None:
    async def main() -> None:
        journal = Journal(path)
        journal.start()
        with closing(sqlite3.connect(path, isolation_level=None)) as other:
            other.execute("BEGIN IMMEDIATE")
            first = journal.put(entry())
            await until(lambda: journal.state.condition is Condition.RETRYING)
            assert "locked" in journal.state.detail
            other.execute("ROLLBACK")
            assert len(await first.durable()) == 1
            assert journal.state.condition is Condition.OK

            other.execute("BEGIN IMMEDIATE")
            lost = journal.put_urgent(entry())
            assert not await journal.close(0.3)
            with pytest.raises(NotWritten, match="stopped"):
                await lost.durable()

    asyncio.run(main())
    with JournalReader(path) as reader:
        assert reader.last_seq() == 1


def test_a_full_disk_refuses_leases_takes_cut_offs_and_loses_nothing(path: Path) -> None:
    async def act(journal: Journal) -> None:
        await journal.put(entry()).durable()
        db = journal._writer._db
        assert db is not None
        pages = db.execute("PRAGMA page_count").fetchone()[0]
        db.execute(f"PRAGMA max_page_count = {pages}")
        tickets: list[Ticket] = []
        while journal.state.condition is Condition.OK:
            with contextlib.suppress(JournalFull):
                tickets.append(journal.put(entry(text="x" * 900)))
            await asyncio.sleep(0)
        assert "full" in journal.state.detail
        full = None
        while full is None:
            try:
                tickets.append(journal.put(entry()))
            except JournalFull as err:
                full = err
        assert "disk is full: make room" in str(full)
        tickets.append(journal.put_urgent(entry()))
        # Room again.
        db.execute("PRAGMA max_page_count = 1000000")
        seqs = [fact.seq for ticket in tickets for fact in await ticket.durable()]
        assert seqs == list(range(2, len(tickets) + 2))
        assert journal.state.detail == ""

    run_journal(path, act, capacity=100)


def test_a_disk_that_fails_beneath_the_file_is_tried_again(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real, failing = Path.stat, [False]

    def stat(self: Path, *, follow_symlinks: bool = True) -> os.stat_result:
        if failing[0] and self.parent == path.parent:
            raise OSError(errno.EIO, "Input/output error")
        return real(self, follow_symlinks=follow_symlinks)

    async def act(journal: Journal) -> None:
        await journal.put(entry()).durable()
        failing[0] = True
        ticket = journal.put(entry())
        await until(lambda: journal.state.condition is Condition.RETRYING)
        assert "Input/output error: check the disk" in journal.state.detail
        failing[0] = False
        assert [fact.seq for fact in await ticket.durable()] == [2]

    monkeypatch.setattr(Path, "stat", stat)
    run_journal(path, act)


def test_an_error_of_the_guards_own_does_not_end_the_writing(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    broken = [True]

    def write(db: sqlite3.Connection, seq: int, what: Entry) -> tuple[Fact, ...]:
        if broken[0]:
            raise AttributeError("a fault of the guard")
        return write_entry(db, seq, what)

    async def act(journal: Journal) -> None:
        ticket = journal.put(entry())
        await until(lambda: journal.state.condition is Condition.RETRYING)
        assert "a fault of the guard" in journal.state.detail
        broken[0] = False
        assert [fact.seq for fact in await ticket.durable()] == [1]

    monkeypatch.setattr("gateway.guard.journal_writer.write_entry", write)
    run_journal(path, act)


def test_one_entry_that_can_never_be_written_holds_up_no_other(path: Path) -> None:
    async def act(journal: Journal) -> None:
        good = [journal.put(entry(n=n)) for n in range(3)]
        bad = [
            journal.put(entry(value=float("nan"))),
            journal.put(entry(value=object())),
            journal.put(entry("half \ud800 surrogate")),
            journal.put(
                Entry(
                    (draft(),),
                    (
                        LatchRecord(
                            outlet="o",
                            reason="r",
                            rule="r",
                            release="r",
                            since_utc_ms="x",  # type: ignore[arg-type]
                        ),
                    ),
                )
            ),
        ]
        good += [journal.put(entry(n=n)) for n in range(3)]
        for ticket in bad:
            with pytest.raises(NotWritten):
                await ticket.durable()
        seqs = [fact.seq for ticket in good for fact in await ticket.durable()]
        assert seqs == [1, 2, 3, 4, 5, 6]
        assert journal.state.condition is Condition.OK

    run_journal(path, act)


def _move(path: Path, to: Path) -> None:
    """Move a database with the files that belong to it, the log first."""
    for suffix in ("-wal", "-shm", ""):
        part = path.with_name(path.name + suffix)
        if part.exists():
            part.rename(to.with_name(to.name + suffix))


def _make_journal(path: Path) -> None:
    asyncio.run(Journal(path).close())


def test_a_file_taken_away_is_never_replaced_by_another_one(path: Path) -> None:
    aside, other = path.with_name("aside.db"), path.with_name("other.db")
    _make_journal(path)
    _make_journal(other)

    async def act(journal: Journal) -> None:
        await journal.put(entry()).durable()
        _move(path, aside)
        waiting = journal.put(entry())
        await until(lambda: "put it back" in journal.state.detail)
        assert journal.state.condition is Condition.FAILED
        with pytest.raises(FixInstallation, match="no journal"):
            JournalReader(path)

        _move(other, path)
        await until(lambda: "another journal" in journal.state.detail)

        _move(path, other)
        _move(aside, path)
        assert [fact.seq for fact in await waiting.durable()] == [2]

    run_journal(path, act)
    with JournalReader(path) as reader:
        assert [fact.seq for fact in reader.facts_after(0)] == [1, 2]


def test_chores_run_beside_the_writing(path: Path) -> None:
    async def main() -> None:
        journal = Journal(path, keep=Keep(largest_bytes=1))
        journal.start()
        await journal.put(entry()).durable()
        await until(lambda: journal.figures().size_bytes > 0)
        assert journal.figures().waiting == 0
        assert journal.figures().dropped_facts == 0
        await journal.close()

    asyncio.run(main())


def test_a_newer_journal_is_refused_by_writer_and_reader(path: Path) -> None:
    asyncio.run(Journal(path).close())
    with closing(sqlite3.connect(path)) as db:
        db.execute(f"PRAGMA user_version = {SCHEMA_VERSION + 1}")
    for opened in (Journal, JournalReader):
        with pytest.raises(FixInstallation, match="newer pilegate") as err:
            opened(path)
        assert "\n" not in str(err.value)


@pytest.mark.parametrize("opened", [Journal, JournalReader])
def test_what_is_no_journal_is_refused(path: Path, opened: Callable[[Path], object]) -> None:
    path.parent.mkdir()
    path.write_bytes(b"not a database, but long enough to look at" * 100)
    with pytest.raises(FixInstallation, match="move the file away"):
        opened(path)
    path.unlink()
    with closing(sqlite3.connect(path)) as db:
        db.execute("CREATE TABLE other (x)")
    with pytest.raises(FixInstallation, match="not a journal"):
        opened(path)


def test_a_truncated_journal_is_refused(path: Path) -> None:
    asyncio.run(Journal(path).close())
    os.truncate(path, 6_000)
    with pytest.raises(FixInstallation, match=r"damaged|malformed"):
        Journal(path)


def test_a_directory_that_cannot_be_written_is_refused(path: Path) -> None:
    path.parent.parent.joinpath("state").write_text("a file where the directory should be")
    with pytest.raises(FixInstallation, match="directory"):
        Journal(path)


def test_a_locked_journal_can_be_opened_later(path: Path) -> None:
    path.parent.mkdir()
    with closing(sqlite3.connect(path, isolation_level=None)) as other:
        other.execute("BEGIN EXCLUSIVE")
        with pytest.raises(TryLater, match="locked"):
            Journal(path)
        other.execute("ROLLBACK")
    asyncio.run(Journal(path).close())


def test_reading_before_the_guard_ever_ran_says_so(path: Path) -> None:
    with pytest.raises(FixInstallation, match="no journal yet"):
        JournalReader(path)
