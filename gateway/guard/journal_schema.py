"""The journal's tables, and opening the file to write."""

from __future__ import annotations

import os
import sqlite3
from pathlib import Path

from gateway.core.errors import FixInstallation
from gateway.link.journal import SCHEMA_VERSION, check_version, readable

WAL_LIMIT_BYTES = 16 * 1024 * 1024
"""The write-ahead log is cut back to this after a checkpoint."""

BUSY_MS = 250
"""How long SQLite itself waits for another connection; past it the writer's back-off counts."""

_TABLES = """
CREATE TABLE meta (
  key TEXT PRIMARY KEY,
  value INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
INSERT INTO meta VALUES ('last_seq', 0);

CREATE TABLE facts (
  seq INTEGER PRIMARY KEY CHECK (seq >= 1),
  id TEXT NOT NULL,
  utc_ms INTEGER NOT NULL,
  quality TEXT NOT NULL,
  kind TEXT NOT NULL,
  subject TEXT NOT NULL,
  actor TEXT NOT NULL,
  reason TEXT NOT NULL,
  data TEXT NOT NULL
) STRICT;
-- A number is given by counting on; one that is left out or given twice is a fault.
CREATE TRIGGER facts_gapless BEFORE INSERT ON facts
WHEN NEW.seq IS NOT (SELECT value + 1 FROM meta WHERE key = 'last_seq')
BEGIN SELECT RAISE(ABORT, 'facts are numbered without gaps'); END;
CREATE TRIGGER facts_counted AFTER INSERT ON facts
BEGIN UPDATE meta SET value = NEW.seq WHERE key = 'last_seq'; END;
CREATE TRIGGER facts_final BEFORE UPDATE ON facts
BEGIN SELECT RAISE(ABORT, 'facts are never changed'); END;

CREATE TABLE latches (
  outlet TEXT PRIMARY KEY,
  reason TEXT NOT NULL,
  rule TEXT NOT NULL,
  release TEXT NOT NULL,
  since_utc_ms INTEGER NOT NULL,
  evidence TEXT NOT NULL
) STRICT, WITHOUT ROWID;

CREATE TABLE locks (
  scope TEXT PRIMARY KEY,
  actor TEXT NOT NULL,
  reason TEXT NOT NULL,
  since_utc_ms INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

CREATE TABLE leases (
  outlet TEXT PRIMARY KEY,
  lease_id TEXT NOT NULL UNIQUE,
  request_id TEXT NOT NULL,
  actor TEXT NOT NULL,
  reason TEXT NOT NULL,
  granted_utc_ms INTEGER NOT NULL,
  until_utc_ms INTEGER NOT NULL,
  energy_mwh INTEGER,
  power_w REAL,
  data TEXT NOT NULL
) STRICT, WITHOUT ROWID;

CREATE TABLE requests (
  request_id TEXT PRIMARY KEY,
  answer TEXT NOT NULL,
  utc_ms INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
CREATE INDEX requests_by_time ON requests (utc_ms);

-- Ordered by time: a minute of all outlets lies together, when written and when deleted.
CREATE TABLE minutes (
  minute_utc_ms INTEGER NOT NULL,
  outlet TEXT NOT NULL,
  samples INTEGER NOT NULL,
  energy_mwh INTEGER NOT NULL,
  voltage_low_v REAL, voltage_high_v REAL, voltage_mean_v REAL,
  current_low_a REAL, current_high_a REAL, current_mean_a REAL,
  power_low_w REAL, power_high_w REAL, power_mean_w REAL,
  PRIMARY KEY (minute_utc_ms, outlet)
) STRICT, WITHOUT ROWID;
"""

_FLIGHTS = """
-- Named by the first fact it is about; last_seq is the last one of the same step.
CREATE TABLE flights (
  seq INTEGER PRIMARY KEY,
  last_seq INTEGER NOT NULL,
  outlet TEXT NOT NULL,
  utc_ms INTEGER NOT NULL,
  quality TEXT NOT NULL,
  kind TEXT NOT NULL,
  reason TEXT NOT NULL,
  samples INTEGER NOT NULL,
  bytes INTEGER NOT NULL,
  header BLOB NOT NULL,
  rows BLOB NOT NULL
) STRICT;
-- Also what is counted when old records are looked for: the records themselves lie elsewhere.
CREATE INDEX flights_by_outlet ON flights (outlet, seq, bytes);
"""

_MIGRATIONS: tuple[str, ...] = (_TABLES, _FLIGHTS)
"""Entry n leads from schema n to schema n + 1."""

assert len(_MIGRATIONS) == SCHEMA_VERSION


def open_journal(path: Path) -> sqlite3.Connection:
    """Open the journal to write, made or brought up to date if need be.

    The caller is the only writer and uses the connection from one thread at a time. Raises
    FixInstallation for a directory or disk that is read-only, a damaged file, or one of a
    newer version; TryLater when another program holds it locked.
    """
    try:
        path.parent.mkdir(mode=0o750, parents=True, exist_ok=True)
    except OSError as err:
        raise FixInstallation(
            f"{path.parent}: {err.strerror}: make it a directory the guard may write to"
        ) from err
    for needed in (path, path.parent):
        if needed.exists() and not os.access(needed, os.W_OK):
            raise FixInstallation(
                f"{needed}: is read-only for this user: give the guard a state directory "
                "on a disk it may write to"
            )
    with readable(path):
        db = sqlite3.connect(
            path, isolation_level=None, check_same_thread=False, timeout=BUSY_MS / 1000
        )
    try:
        with readable(path):
            _prepare(db, path)
    except BaseException:
        db.close()
        raise
    return db


def _prepare(db: sqlite3.Connection, path: Path) -> None:
    found = db.execute("PRAGMA user_version").fetchone()[0]
    if found:
        check_version(path, found)
    elif db.execute("SELECT count(*) FROM sqlite_schema").fetchone()[0]:
        raise FixInstallation(f"{path}: is not a journal of pilegate: move the file away")
    db.execute("PRAGMA journal_mode = WAL")
    # An answer that says "durable" must survive a power cut: every commit is synchronised.
    db.execute("PRAGMA synchronous = FULL")
    db.execute(f"PRAGMA journal_size_limit = {WAL_LIMIT_BYTES}")
    for version in range(found, SCHEMA_VERSION):
        db.executescript(
            f"BEGIN IMMEDIATE;{_MIGRATIONS[version]}PRAGMA user_version = {version + 1};COMMIT;"
        )
    # Only what the guard can't do without: a journal can be large, and outlets wait for this.
    for table in ("meta", "latches", "locks", "leases"):
        damage = db.execute(f"PRAGMA quick_check({table})").fetchone()[0]
        if damage != "ok":
            raise FixInstallation(
                f"{path}: is damaged ({damage.splitlines()[0]}): move the file away, and restore "
                "it from a backup if there is one"
            )
