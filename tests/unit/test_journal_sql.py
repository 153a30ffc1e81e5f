from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from gateway.core.errors import FixInstallation
from gateway.core.facts import FactKind
from gateway.guard.journal_chores import CHUNK_ROWS, DAY_MS, Keep, prune, used_bytes
from gateway.guard.journal_entry import DropLatch, DropLease, DropLock, Entry
from gateway.guard.journal_schema import open_journal
from gateway.guard.journal_sql import last_seq, write_entry
from gateway.link.journal import JournalReader
from gateway.link.records import (
    LatchRecord,
    LeaseRecord,
    LockRecord,
    MinuteRecord,
    RequestRecord,
    Spread,
)
from tests.support.journal import UTC_MS, draft, entry

MINUTE = UTC_MS // 60_000 * 60_000


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "guard.db"


@pytest.fixture
def db(path: Path) -> Iterator[sqlite3.Connection]:
    with closing(open_journal(path)) as db:
        yield db


@pytest.fixture
def reader(db: sqlite3.Connection, path: Path) -> Iterator[JournalReader]:
    assert last_seq(db) == 0
    with JournalReader(path) as reader:
        yield reader


def _minute(outlet: str = "n1-1", minute: int = MINUTE, **fields: object) -> MinuteRecord:
    plain: dict[str, object] = {"samples": 1, "energy_mwh": 1}
    return MinuteRecord(outlet=outlet, minute_utc_ms=minute, **plain | fields)  # type: ignore[arg-type]


def test_facts_are_numbered_one_after_the_other(
    db: sqlite3.Connection, reader: JournalReader
) -> None:
    facts = write_entry(db, 0, Entry((draft("n1-1"), draft("n1-2", FactKind.OUTLET_CUT, x=[1]))))
    facts += write_entry(db, 2, entry("n1-3"))
    assert [fact.seq for fact in facts] == [1, 2, 3]
    assert tuple(reader.facts_after(0)) == facts
    assert reader.facts_after(1, limit=1) == [facts[1]]
    assert reader.last_seq() == last_seq(db) == 3
    assert reader.first_seq() == 1
    assert facts[1].data == {"outlet": "n1-2", "x": [1]}
    assert facts[0].id[14] == "7", "a UUID of version 7"


@pytest.mark.parametrize("seq", [0, 2, 7])
def test_the_file_itself_refuses_a_gap_and_a_duplicate(db: sqlite3.Connection, seq: int) -> None:
    write_entry(db, 0, entry())
    with pytest.raises(sqlite3.IntegrityError, match="without gaps"):
        write_entry(db, seq, entry())


def test_the_file_itself_refuses_to_change_a_fact(db: sqlite3.Connection) -> None:
    write_entry(db, 0, entry())
    with pytest.raises(sqlite3.IntegrityError, match="never changed"):
        db.execute("UPDATE facts SET reason = 'other'")


def test_state_comes_back_as_it_was_put(db: sqlite3.Connection, reader: JournalReader) -> None:
    latch = LatchRecord(
        outlet="n1-1",
        reason="overpower",
        rule="overpower",
        release="operator",
        since_utc_ms=UTC_MS,
        evidence={"value": 2100.5, "samples": [{"age_ms": 3}]},
    )
    lock = LockRecord(scope="pile/n1", actor="ann", reason="wet floor", since_utc_ms=UTC_MS)
    lease = LeaseRecord(
        outlet="n1-2",
        lease_id="l1",
        request_id="r1",
        actor="ann",
        reason="charge",
        granted_utc_ms=UTC_MS,
        until_utc_ms=UTC_MS + 60_000,
        power_w=500.0,
        data={"register_mwh": 3},
    )
    answer = RequestRecord(request_id="r1", answer={"lease_id": "l1"}, utc_ms=UTC_MS)
    write_entry(db, 0, Entry((), (latch, lock, lease, answer)))
    assert reader.latches() == [latch]
    assert reader.locks() == [lock]
    assert reader.leases() == [lease]
    assert reader.request("r1") == answer
    assert reader.request("r2") is None

    write_entry(db, 0, Entry((), (DropLatch("n1-1"), DropLock("pile/n1"), DropLease("n1-2"))))
    assert (reader.latches(), reader.locks(), reader.leases()) == ([], [], [])


def test_parts_of_a_minute_are_joined(db: sqlite3.Connection, reader: JournalReader) -> None:
    first = _minute(
        samples=3,
        energy_mwh=5,
        voltage_v=Spread(low=229.0, high=231.0, mean=230.0),
        power_w=Spread(low=90.0, high=110.0, mean=100.0),
    )
    second = _minute(
        samples=1,
        energy_mwh=2,
        power_w=Spread(low=20.0, high=20.0, mean=20.0),
        current_a=Spread(low=1.0, high=2.0, mean=1.5),
    )
    write_entry(db, 0, Entry((), (first, second)))
    assert reader.minutes("n1-1", MINUTE, MINUTE + 60_000) == [
        _minute(
            samples=4,
            energy_mwh=7,
            voltage_v=Spread(low=229.0, high=231.0, mean=230.0),
            current_a=Spread(low=1.0, high=2.0, mean=1.5),
            power_w=Spread(low=20.0, high=110.0, mean=80.0),
        )
    ]


def test_minutes_are_read_by_outlet_and_half_open_range(
    db: sqlite3.Connection, reader: JournalReader
) -> None:
    minutes = [_minute(minute=MINUTE + k * 60_000) for k in range(5)]
    write_entry(db, 0, Entry((), (*minutes, _minute("n1-2"))))
    assert reader.minutes("n1-1", MINUTE + 1, MINUTE + 180_000) == minutes[1:3]
    assert reader.minutes("n1-1", MINUTE, MINUTE + 10**12, limit=2) == minutes[:2]
    assert reader.minutes("n1-1", MINUTE, MINUTE) == []
    assert reader.minutes("n9-9", MINUTE, MINUTE + 600_000) == []


def _count(db: sqlite3.Connection, table: str) -> int:
    return int(db.execute(f"SELECT count(*) FROM {table}").fetchone()[0])


def test_old_minutes_go_in_chunks_and_young_ones_stay(db: sqlite3.Connection) -> None:
    now_ms = MINUTE + 31 * DAY_MS
    old = [_minute(f"n1-{k}") for k in range(CHUNK_ROWS + 20)]
    write_entry(db, 0, Entry((), (*old, _minute(minute=now_ms - 29 * DAY_MS))))
    assert prune(db, now_ms, Keep(minutes_days=30))
    assert _count(db, "minutes") == 21
    assert prune(db, now_ms, Keep(minutes_days=30))
    assert not prune(db, now_ms, Keep(minutes_days=30))
    assert _count(db, "minutes") == 1


def test_answers_are_kept_for_seven_days(db: sqlite3.Connection, reader: JournalReader) -> None:
    for name, age_days in (("old", 8), ("young", 6)):
        record = RequestRecord(request_id=name, answer={}, utc_ms=UTC_MS - age_days * DAY_MS)
        write_entry(db, 0, Entry((), (record,)))
    while prune(db, UTC_MS, Keep()):
        pass
    assert reader.request("old") is None
    assert reader.request("young") is not None


def test_a_clock_that_was_never_set_deletes_nothing(db: sqlite3.Connection) -> None:
    write_entry(db, 0, Entry((), (_minute(minute=0),)))
    assert not prune(db, 40 * DAY_MS, Keep(minutes_days=30))
    assert _count(db, "minutes") == 1


def test_a_large_journal_loses_minutes_first_then_old_facts_and_never_young_ones(
    db: sqlite3.Connection, reader: JournalReader
) -> None:
    seq = 0
    for k in range(CHUNK_ROWS + 100):
        seq += len(write_entry(db, seq, Entry((draft(utc_ms=UTC_MS - 8 * DAY_MS, k=k),))))
    for k in range(30):
        seq += len(write_entry(db, seq, Entry((draft(utc_ms=UTC_MS, k=k),), (_minute(f"o{k}"),))))
    keep = Keep(largest_bytes=1)
    assert prune(db, UTC_MS + 60_000, keep)
    assert _count(db, "minutes") == 0
    assert reader.first_seq() == 1
    assert prune(db, UTC_MS + 60_000, keep)
    assert reader.first_seq() == CHUNK_ROWS + 1
    while prune(db, UTC_MS + 60_000, keep):
        pass
    assert reader.first_seq() == CHUNK_ROWS + 101
    assert reader.last_seq() == seq
    assert _count(db, "facts") == 30
    assert used_bytes(db) > 0


def test_numbers_go_on_when_every_fact_was_deleted(
    db: sqlite3.Connection, reader: JournalReader
) -> None:
    write_entry(db, 0, entry())
    while prune(db, UTC_MS + 90 * DAY_MS, Keep(largest_bytes=1)):
        pass
    assert (reader.first_seq(), reader.last_seq()) == (2, 1)
    assert write_entry(db, 1, entry())[0].seq == 2


class _ReadOnly:
    """A connection as SQLite gives it to who may not write beside a journal that nobody holds."""

    def execute(self, sql: str, values: object) -> None:
        err = sqlite3.OperationalError(f"attempt to write a readonly database: {sql} {values}")
        err.sqlite_errorcode = sqlite3.SQLITE_READONLY_CANTINIT
        raise err

    def close(self) -> None:
        """Nothing is open."""


def test_who_may_only_read_is_told_that_the_guard_must_run(tmp_path: Path) -> None:
    path = tmp_path / "guard.db"
    open_journal(path).close()
    with JournalReader(path) as reader:
        reader._db.close()
        reader._db = _ReadOnly()  # type: ignore[assignment]
        with pytest.raises(FixInstallation, match="only while the guard runs: start the guard"):
            reader.last_seq()


def test_facts_of_1970_are_not_the_first_to_go(
    db: sqlite3.Connection, reader: JournalReader
) -> None:
    """Nobody knows how old they are, but what comes before something old is old."""
    times = [5_000, UTC_MS - 8 * DAY_MS, 9_000, UTC_MS]
    for seq, utc_ms in enumerate(times):
        write_entry(db, seq, Entry((draft(utc_ms=utc_ms),)))
    while prune(db, UTC_MS, Keep(largest_bytes=1)):
        pass
    assert [fact.seq for fact in reader.facts_after(0)] == [3, 4]


def test_an_answer_of_1970_is_kept_for_seven_days_from_when_the_clock_was_set(
    db: sqlite3.Connection, reader: JournalReader
) -> None:
    record = RequestRecord(request_id="unset", answer={}, utc_ms=5_000)
    write_entry(db, 0, Entry((), (record,)))
    for days, kept in ((0, True), (6, True), (8, False)):
        while prune(db, UTC_MS + days * DAY_MS, Keep()):
            pass
        assert (reader.request("unset") is not None) is kept


def test_a_clock_that_cannot_be_trusted_still_keeps_the_size(db: sqlite3.Connection) -> None:
    write_entry(db, 0, Entry((draft(),), (_minute(),)))
    assert not prune(db, 0, Keep())
    assert prune(db, 0, Keep(largest_bytes=1))
    assert (_count(db, "minutes"), _count(db, "facts")) == (0, 1)
