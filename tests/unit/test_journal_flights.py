"""Flight records in the journal's file: written, listed, read, and deleted in time."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from gateway.core.clock import EARLIEST_UTC_MS
from gateway.core.errors import FixInstallation
from gateway.guard.journal_chores import CHUNK_FLIGHTS, DAY_MS, Keep, prune
from gateway.guard.journal_entry import Ticket
from gateway.guard.journal_schema import _TABLES, open_journal
from gateway.guard.journal_spare import MOST_AT_ONCE, Spare
from gateway.guard.journal_sql import last_seq, write_entry, write_flight
from gateway.link.journal import SCHEMA_VERSION, JournalReader
from tests.support.flights import cut_off, flight
from tests.support.journal import UTC_MS, entry


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


def write(db: sqlite3.Connection, outlet: str = "n1-1", utc_ms: int = UTC_MS) -> int:
    """Write a cut-off and its record; give the record's number."""
    ticket = Ticket()
    ticket.settle(write_entry(db, last_seq(db), cut_off(outlet, utc_ms)))
    made = flight(ticket, outlet, utc_ms=utc_ms).make()
    assert made is not None
    write_flight(db, made)
    return made.head.seq


def numbers(reader: JournalReader) -> list[int]:
    return [head.seq for head in reader.flights()]


def test_a_record_comes_back_as_it_was_put(db: sqlite3.Connection, reader: JournalReader) -> None:
    write_entry(db, 0, entry())
    seq = write(db)
    (head,) = reader.flights()
    assert (head.seq, head.outlet, head.kind, head.reason) == (2, "n1-1", "outlet.cut", "overpower")
    assert (head.samples, head.utc_ms, head.quality) == (10, UTC_MS, "synced")
    record = reader.flight(seq)
    assert record is not None
    header, *rows = [json.loads(line) for line in record.lines()]
    assert header["pilegate_flight"] == 1
    assert [fact["seq"] for fact in header["facts"]] == [2, 3]
    assert header["facts"][1]["data"]["evidence"] == {"value": 3000.0}
    assert [row["power_w"] for row in rows] == [100 + n / 10 for n in range(10)]
    assert rows[0]["voltage_v"] == 230.1
    assert "temperature_c" not in rows[0]
    assert reader.flight(3) == record, "found by each fact it is about"
    assert reader.flight(1) is None
    assert reader.flight(4) is None


def test_records_are_listed_newest_first_and_filtered(
    db: sqlite3.Connection, reader: JournalReader
) -> None:
    for outlet in ("n1-1", "n1-2", "n1-1", "n1-3"):
        write(db, outlet)
    assert numbers(reader) == [7, 5, 3, 1]
    assert [head.seq for head in reader.flights(limit=2)] == [7, 5]
    assert [head.seq for head in reader.flights(limit=2, before_seq=5)] == [3, 1]
    assert [head.seq for head in reader.flights(outlet="n1-1")] == [5, 1]
    assert [head.seq for head in reader.flights(outlet="n1-1", kind="outlet.cut")] == [5, 1]
    assert reader.flights(kind="lease.ended") == []
    assert reader.flights(reason="welded") == []
    assert len(reader.flights(reason="overpower")) == 4


def test_a_damaged_record_says_so(db: sqlite3.Connection, reader: JournalReader) -> None:
    seq = write(db)
    db.execute("UPDATE flights SET rows = x'00'")
    with pytest.raises(FixInstallation, match="is damaged"):
        reader.flight(seq)


def test_records_are_kept_for_their_days(db: sqlite3.Connection, reader: JournalReader) -> None:
    old, young = write(db), write(db, utc_ms=UTC_MS + 10 * DAY_MS)
    keep = Keep(flights_days=7)
    assert not prune(db, UTC_MS + 6 * DAY_MS, keep)
    assert prune(db, UTC_MS + 8 * DAY_MS, keep)
    assert not prune(db, UTC_MS + 8 * DAY_MS, keep)
    assert numbers(reader) == [young]
    assert reader.flight(old) is None


def test_the_clock_does_not_make_a_record_old(
    db: sqlite3.Connection, reader: JournalReader
) -> None:
    unset = write(db, utc_ms=5_000)
    young = write(db)
    back = write(db, utc_ms=UTC_MS - 3 * DAY_MS)
    keep = Keep(flights_days=7)
    while prune(db, UTC_MS, keep):
        pass
    assert numbers(reader) == [back, young, unset], "of 1970 nobody knows how old it is"
    assert not prune(db, EARLIEST_UTC_MS - 1, Keep(flights_days=1))
    while prune(db, UTC_MS + 8 * DAY_MS, keep):
        pass
    assert numbers(reader) == [], "what came before an old one is old"


def test_too_many_records_go_oldest_first(db: sqlite3.Connection, reader: JournalReader) -> None:
    written = [write(db) for _ in range(CHUNK_FLIGHTS + 20)]
    assert prune(db, UTC_MS, Keep(flights=30))
    assert numbers(reader) == written[:-21:-1]
    assert not prune(db, UTC_MS, Keep(flights=30))
    assert prune(db, UTC_MS, Keep(flights_bytes=100))
    assert numbers(reader) == []


def test_a_large_journal_loses_its_records_first(
    db: sqlite3.Connection, reader: JournalReader
) -> None:
    for _ in range(CHUNK_FLIGHTS + 1):
        write(db)
    facts = reader.last_seq()
    keep = Keep(largest_bytes=1)
    assert prune(db, UTC_MS, keep)
    assert prune(db, UTC_MS, keep)
    assert numbers(reader) == []
    assert reader.first_seq() == 1, "facts are too young to go"
    assert len(reader.facts_after(0)) == facts


def test_a_journal_of_the_version_before_is_brought_up_to_date(path: Path) -> None:
    with closing(sqlite3.connect(path, isolation_level=None)) as old:
        old.execute("PRAGMA journal_mode = WAL")
        old.executescript(f"BEGIN;{_TABLES}PRAGMA user_version = 1;COMMIT;")
        write_entry(old, 0, entry())
        with JournalReader(path) as reader:
            assert reader.flights() == []
            assert reader.flight(1) is None
            assert reader.last_seq() == 1
    with JournalReader(path) as before, closing(open_journal(path)) as db:
        assert db.execute("PRAGMA user_version").fetchone() == (SCHEMA_VERSION,)
        assert write(db) == 2
        assert numbers(before) == [2], "who had it open sees what is new"
        with JournalReader(path) as reader:
            assert [fact.seq for fact in reader.facts_after(0)] == [1, 2, 3]
            assert numbers(reader) == [2]


# The queue before it


def settled() -> Ticket:
    ticket = Ticket()
    ticket.settle(())
    return ticket


def test_the_oldest_gives_way() -> None:
    spare = Spare(most=3)
    made = [flight(settled(), f"n{n}") for n in range(5)]
    for one in made:
        spare.put(one)
    assert spare.take() == made[2:]
    assert (spare.dropped, len(spare)) == (2, 0)


def test_what_could_not_be_written_is_before_what_came_since() -> None:
    spare = Spare(most=3)
    made = [flight(settled(), f"n{n}") for n in range(5)]
    for one in made[:3]:
        spare.put(one)
    taken = spare.take()
    for one in made[3:]:
        spare.put(one)
    spare.put_back(taken)
    assert spare.take() == made[2:]
    assert spare.dropped == 2


def test_records_wait_for_the_numbers_of_their_facts() -> None:
    spare = Spare()
    waits = Ticket()
    for ticket in (settled(), waits, settled()):
        spare.put(flight(ticket))
    assert len(spare.take()) == 1
    assert spare.take() == []
    waits.settle(())
    assert len(spare.take()) == 2


def test_a_transaction_is_short() -> None:
    spare = Spare()
    for _ in range(MOST_AT_ONCE + 1):
        spare.put(flight(settled()))
    assert len(spare.take()) == MOST_AT_ONCE
    assert len(spare.take()) == 1
