"""Keeping the journal small: each call is one short transaction.

A cut-off's fact waits for one such chunk at most.
"""

from __future__ import annotations

import sqlite3
from dataclasses import dataclass

from gateway.core.clock import EARLIEST_UTC_MS

DAY_MS = 86_400_000
CHUNK_ROWS = 500
_LATER = 1 << 62

CHUNK_FLIGHTS = 50
"""A record is a few pages of the file; a minute is a line in one."""

KEEP_REQUESTS_DAYS = 7
KEEP_FACTS_DAYS = 7
"""Facts younger than this are never deleted (T/GBC 48-2025: data kept at least 7 days)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Keep:
    """What is kept, and for how long."""

    minutes_days: int = 30
    flights_days: int = 30
    flights_bytes: int = 64 * 1024 * 1024
    flights: int = 20_000
    largest_bytes: int = 512 * 1024 * 1024
    """Above it flight records go first, then the oldest minutes, then facts older than 7 days."""


def used_bytes(db: sqlite3.Connection) -> int:
    """Give the bytes of the file that hold something; deleted pages are used again."""
    pages = db.execute("PRAGMA page_count").fetchone()[0]
    free = db.execute("PRAGMA freelist_count").fetchone()[0]
    page_bytes = db.execute("PRAGMA page_size").fetchone()[0]
    return int((pages - free) * page_bytes)


def prune(db: sqlite3.Connection, utc_ms: int, keep: Keep) -> bool:
    """Delete one chunk of what is kept no longer; say whether there may be more.

    With a clock that was never set, or that can't be trusted (0), nothing is deleted by age.
    """
    if utc_ms >= EARLIEST_UTC_MS:
        _date_answers(db, utc_ms)
        if _delete_minutes(db, utc_ms - keep.minutes_days * DAY_MS):
            return True
        if _delete_requests(db, utc_ms - KEEP_REQUESTS_DAYS * DAY_MS):
            return True
        if _delete_flights(db, utc_ms - keep.flights_days * DAY_MS):
            return True
    if _too_many_flights(db, keep):
        return _delete_oldest_flights(db)
    if used_bytes(db) <= keep.largest_bytes:
        return False
    return (
        _delete_oldest_flights(db)
        or _delete_minutes(db, _LATER)
        or _delete_facts(db, utc_ms - KEEP_FACTS_DAYS * DAY_MS)
    )


def _delete_minutes(db: sqlite3.Connection, before_utc_ms: int) -> bool:
    done = db.execute(
        "DELETE FROM minutes WHERE (minute_utc_ms, outlet) IN (SELECT minute_utc_ms, outlet"
        " FROM minutes WHERE minute_utc_ms < ? ORDER BY minute_utc_ms, outlet LIMIT ?)",
        (before_utc_ms, CHUNK_ROWS),
    )
    return done.rowcount > 0


def _date_answers(db: sqlite3.Connection, utc_ms: int) -> None:
    """Count the age of answers that were given by a clock that was not set from now on."""
    db.execute("UPDATE requests SET utc_ms = ? WHERE utc_ms < ?", (utc_ms, EARLIEST_UTC_MS))


def _delete_requests(db: sqlite3.Connection, before_utc_ms: int) -> bool:
    done = db.execute(
        "DELETE FROM requests WHERE request_id IN (SELECT request_id FROM requests"
        " WHERE utc_ms < ? ORDER BY utc_ms LIMIT ?)",
        (before_utc_ms, CHUNK_ROWS),
    )
    return done.rowcount > 0


def _too_many_flights(db: sqlite3.Connection, keep: Keep) -> bool:
    count, size_bytes = db.execute("SELECT count(*), total(bytes) FROM flights").fetchone()
    return bool(count > keep.flights or size_bytes > keep.flights_bytes)


def _delete_oldest_flights(db: sqlite3.Connection) -> bool:
    done = db.execute(
        "DELETE FROM flights WHERE seq IN (SELECT seq FROM flights ORDER BY seq LIMIT ?)",
        (CHUNK_FLIGHTS,),
    )
    return done.rowcount > 0


def _delete_flights(db: sqlite3.Connection, before_utc_ms: int) -> bool:
    last = _last_old(db, "flights", CHUNK_FLIGHTS, before_utc_ms)
    return last > 0 and db.execute("DELETE FROM flights WHERE seq <= ?", (last,)).rowcount > 0


def _delete_facts(db: sqlite3.Connection, before_utc_ms: int) -> bool:
    """Delete the oldest, up to the first young one, so that what stays has no gap."""
    last = _last_old(db, "facts", CHUNK_ROWS, before_utc_ms)
    return last > 0 and db.execute("DELETE FROM facts WHERE seq <= ?", (last,)).rowcount > 0


def _last_old(db: sqlite3.Connection, table: str, rows: int, before_utc_ms: int) -> int:
    """Find the last old row before the first young one, of the oldest; 0: there is none.

    Of what was written by a clock that was not set nobody knows the age, but what comes before
    something old is old.
    """
    oldest = db.execute(
        f"SELECT seq, utc_ms FROM {table} ORDER BY seq LIMIT ?",  # noqa: S608 - our own names
        (rows,),
    )
    last = 0
    for seq, utc_ms in oldest:
        if utc_ms >= before_utc_ms:
            break
        if utc_ms >= EARLIEST_UTC_MS:
            last = seq
    return last
