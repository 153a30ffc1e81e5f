"""Keeping the journal small: each call is one short transaction.

A cut-off's fact waits for one such chunk at most.
"""

from __future__ import annotations

import sqlite3
from dataclasses import dataclass

from gateway.core.clock import EARLIEST_UTC_MS

DAY_MS = 86_400_000
CHUNK_ROWS = 500

KEEP_REQUESTS_DAYS = 7
KEEP_FACTS_DAYS = 7
"""Facts younger than this are never deleted (T/GBC 48-2025: data kept at least 7 days)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Keep:
    """What is kept, and for how long."""

    minutes_days: int = 30
    largest_bytes: int = 512 * 1024 * 1024
    """Above it the oldest minutes go first, then facts older than 7 days."""


def used_bytes(db: sqlite3.Connection) -> int:
    """Give the bytes of the file that hold something; deleted pages are used again."""
    pages = db.execute("PRAGMA page_count").fetchone()[0]
    free = db.execute("PRAGMA freelist_count").fetchone()[0]
    page_bytes = db.execute("PRAGMA page_size").fetchone()[0]
    return int((pages - free) * page_bytes)


def prune(db: sqlite3.Connection, utc_ms: int, keep: Keep) -> bool:
    """Delete one chunk of what is kept no longer; say whether there may be more.

    With a clock that was never set nothing is deleted by age.
    """
    if utc_ms >= EARLIEST_UTC_MS:
        if _delete_minutes(db, utc_ms - keep.minutes_days * DAY_MS):
            return True
        if _delete_requests(db, utc_ms - KEEP_REQUESTS_DAYS * DAY_MS):
            return True
    if used_bytes(db) <= keep.largest_bytes:
        return False
    return _delete_minutes(db, utc_ms) or _delete_facts(db, utc_ms - KEEP_FACTS_DAYS * DAY_MS)


def _delete_minutes(db: sqlite3.Connection, before_utc_ms: int) -> bool:
    done = db.execute(
        "DELETE FROM minutes WHERE (minute_utc_ms, outlet) IN (SELECT minute_utc_ms, outlet"
        " FROM minutes WHERE minute_utc_ms < ? ORDER BY minute_utc_ms, outlet LIMIT ?)",
        (before_utc_ms, CHUNK_ROWS),
    )
    return done.rowcount > 0


def _delete_requests(db: sqlite3.Connection, before_utc_ms: int) -> bool:
    done = db.execute(
        "DELETE FROM requests WHERE request_id IN (SELECT request_id FROM requests"
        " WHERE utc_ms < ? ORDER BY utc_ms LIMIT ?)",
        (before_utc_ms, CHUNK_ROWS),
    )
    return done.rowcount > 0


def _delete_facts(db: sqlite3.Connection, before_utc_ms: int) -> bool:
    # Oldest first and up to the first young one, so that what stays has no gap.
    done = db.execute(
        "DELETE FROM facts WHERE seq < min("
        " (SELECT min(seq) FROM facts) + :chunk,"
        " coalesce((SELECT min(seq) FROM (SELECT seq, utc_ms FROM facts ORDER BY seq LIMIT :chunk)"
        "  WHERE utc_ms >= :before), 9223372036854775807))",
        {"chunk": CHUNK_ROWS, "before": before_utc_ms},
    )
    return done.rowcount > 0
