"""The disk's worst day: what fails and is there all the same, what hangs, what never ends."""

from __future__ import annotations

import logging
import sqlite3
import threading
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from gateway.core.facts import Fact
from gateway.guard import journal_writer
from gateway.guard.journal import Journal
from gateway.guard.journal_entry import Entry, JournalFull
from gateway.guard.journal_sql import write_entry
from gateway.guard.journal_writer import Condition
from gateway.link.journal import JournalReader
from gateway.link.records import MinuteRecord
from tests.support.journal import UTC_MS, entry, run_journal
from tests.support.namespace import need_namespace, tell
from tests.support.waiting import until

MINUTE = MinuteRecord(
    outlet="n1-1", minute_utc_ms=UTC_MS // 60_000 * 60_000, samples=7, energy_mwh=1
)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "state" / "guard.db"


class Disk:
    """Whose COMMIT says that it failed: for so many times, with this code."""

    def __init__(self) -> None:
        self.fails = 0
        self.code = sqlite3.SQLITE_IOERR
        self.keeps = True
        """Whether it is in the file all the same."""

    def connection(self) -> type[sqlite3.Connection]:
        disk = self

        class Failing(sqlite3.Connection):
            def execute(self, sql: str, *values: Any) -> sqlite3.Cursor:
                if sql != "COMMIT" or not disk.fails:
                    return super().execute(sql, *values)
                disk.fails -= 1
                if disk.keeps:
                    super().execute(sql)
                err = sqlite3.OperationalError("disk I/O error")
                err.sqlite_errorcode = disk.code
                raise err

        return Failing


@pytest.fixture
def disk(monkeypatch: pytest.MonkeyPatch) -> Disk:
    disk, connect = Disk(), sqlite3.connect

    def failing(*where: Any, **how: Any) -> sqlite3.Connection:
        return connect(*where, **how, factory=disk.connection())

    monkeypatch.setattr(sqlite3, "connect", failing)
    return disk


FSYNC_FAILED = sqlite3.SQLITE_IOERR | 4 << 8
"""SQLITE_IOERR_FSYNC."""


@pytest.mark.parametrize("code", [FSYNC_FAILED, sqlite3.SQLITE_FULL])
@pytest.mark.parametrize("keeps", [True, False])
def test_a_commit_that_failed_and_may_be_there_is_written_once(
    path: Path, disk: Disk, code: int, keeps: bool
) -> None:
    heard: list[int] = []

    async def act(journal: Journal) -> None:
        journal.subscribe(lambda facts: heard.extend(fact.seq for fact in facts))
        await journal.put(entry()).durable()
        disk.fails, disk.code, disk.keeps = 3, code, keeps
        facts = await journal.put(Entry(entry().facts, (MINUTE,))).durable()
        assert [fact.seq for fact in facts] == [2]
        assert journal.figures().retries >= 1
        await journal.put(Entry((), (MINUTE,))).durable()
        assert [fact.seq for fact in await journal.put(entry()).durable()] == [3]
        assert journal.state.condition is Condition.OK
        with JournalReader(path) as reader:
            assert reader.facts_after(1, 1) == list(facts), "what was told is what is there"

    run_journal(path, act)
    assert heard == [1, 2, 3]
    with JournalReader(path) as reader:
        assert [fact.seq for fact in reader.facts_after(0)] == [1, 2, 3]
        minutes = reader.minutes("n1-1", MINUTE.minute_utc_ms, MINUTE.minute_utc_ms + 1)
    assert [minute.samples for minute in minutes] == [14], "each part of a minute counts once"


def _move(path: Path, to: Path) -> None:
    """Move a database with the files that belong to it, the log first."""
    for suffix in ("-wal", "-shm", ""):
        part = path.with_name(path.name + suffix)
        if part.exists():
            part.rename(to.with_name(to.name + suffix))


def test_an_older_copy_of_the_journal_is_another_one(path: Path) -> None:
    """Its last fact has the same number: what came after it is missing all the same."""
    copy, aside = path.with_name("copy.db"), path.with_name("aside.db")

    async def act(journal: Journal) -> None:
        await journal.put(entry()).durable()
        with closing(sqlite3.connect(path)) as db, closing(sqlite3.connect(copy)) as other:
            db.backup(other)
        await journal.put(Entry((), (MINUTE,))).durable()
        _move(path, aside)
        _move(copy, path)
        waiting = journal.put(entry())
        await until(lambda: "is another journal" in journal.state.detail)
        _move(path, copy)
        _move(aside, path)
        assert [fact.seq for fact in await waiting.durable()] == [2]

    run_journal(path, act)


def test_a_disk_that_hangs_is_told_by_figures(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    hangs = threading.Event()

    def write(db: sqlite3.Connection, seq: int, what: Entry) -> tuple[Fact, ...]:
        assert hangs.wait(60)
        return write_entry(db, seq, what)

    async def act(journal: Journal) -> None:
        assert journal.figures().behind_s == 0
        waiting = journal.put(entry())
        await until(lambda: journal.figures().behind_s > 0)
        first = journal.put(entry())
        with pytest.raises(JournalFull):
            journal.put(entry())
        assert journal.figures().refused == 1
        hangs.set()
        await waiting.durable()
        await first.durable()
        await until(lambda: journal.figures().behind_s == 0)

    monkeypatch.setattr(journal_writer, "write_entry", write)
    run_journal(path, act, capacity=1)


def test_a_disk_that_is_never_done_does_not_keep_the_journal_from_being_pruned(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pruned = threading.Event()

    def prune(*_: object) -> bool:
        pruned.set()
        return False

    async def act(journal: Journal) -> None:
        def write(db: sqlite3.Connection, seq: int, what: Entry) -> tuple[Fact, ...]:
            if not pruned.is_set():
                journal._queue.put_urgent(entry())  # while one is written, the next one comes
            return write_entry(db, seq, what)

        await until(pruned.is_set)  # at the start
        pruned.clear()
        monkeypatch.setattr(journal_writer, "write_entry", write)
        journal.put(entry())
        await until(pruned.is_set)

    monkeypatch.setattr(journal_writer, "CHORES_EVERY_S", 0.5)
    monkeypatch.setattr(journal_writer, "prune", prune)
    run_journal(path, act)


def test_a_reader_that_never_ends_is_told_before_the_disk_is_full(
    path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(journal_writer, "CHORES_EVERY_S", 0.01)
    monkeypatch.setattr(journal_writer, "WAL_LIMIT_BYTES", 64 * 1024)
    monkeypatch.setattr(journal_writer, "LONG_LOG_BYTES", 256 * 1024)

    def told() -> list[str]:
        return [record.message for record in caplog.records if "never ends" in record.message]

    async def act(journal: Journal) -> None:
        await journal.put(entry()).durable()
        with closing(sqlite3.connect(path, isolation_level=None)) as reader:
            reader.execute("BEGIN")
            reader.execute("SELECT count(*) FROM facts").fetchone()
            while not told():
                await journal.put(entry(text="x" * 20_000)).durable()
            long_bytes = journal.figures().log_bytes
            assert long_bytes > 256 * 1024
            assert "guard.db-wal has grown to" in told()[0]
            reader.execute("ROLLBACK")
        await until(lambda: journal.figures().log_bytes <= 64 * 1024)

    with caplog.at_level(logging.WARNING):
        run_journal(path, act)
    assert len(told()) == 1


def test_a_full_disk_does_not_stop_a_journal_that_has_room_of_its_own(tmp_path: Path) -> None:
    """The story is told in a process of its own: see tests/support/run_full_journal.py."""
    need_namespace(tmp_path)
    tell("tests.support.run_full_journal", tmp_path)
