"""Facts by file: reading the guard's journal, which only the guard writes.

Any process of this machine may read while the guard writes (SQLite, WAL). Every method is
one short read transaction, blocks on the disk, and may be called from any thread; in an
event loop, call it in a worker thread.
"""

from __future__ import annotations

import json
import sqlite3
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Self
from urllib.parse import quote

from gateway.core.errors import FixInstallation, TryLater
from gateway.core.facts import Fact
from gateway.link.flight import FlightHead, FlightRecord, expand
from gateway.link.records import (
    LatchRecord,
    LeaseRecord,
    LockRecord,
    MinuteRecord,
    RequestRecord,
    Spread,
)

JOURNAL_NAME = "guard.db"
"""The journal in the guard's state directory."""

SCHEMA_VERSION = 2

MOST_FACTS = 1_000
"""Facts in one page."""
MOST_FLIGHTS = 200
"""Flight records in one page."""
MOST_MINUTES = 1_440
"""Minutes in one page: a day."""

_MINUTE_MS = 60_000
_FLIGHTS_SINCE = 2
"""Schema from which on there are flight records."""


def journal_path(state_dir: Path) -> Path:
    """Give the journal of a state directory."""
    return state_dir.absolute() / JOURNAL_NAME


def check_version(path: Path, found: int) -> None:
    """Refuse what is no journal, or one of a newer pilegate. Raises FixInstallation."""
    if found < 1:
        raise FixInstallation(f"{path}: is not a journal of pilegate: check the path")
    if found > SCHEMA_VERSION:
        raise FixInstallation(
            f"{path}: was written by a newer pilegate (schema {found}, this one knows "
            f"{SCHEMA_VERSION}): run that version again, or restore the file saved before it"
        )


@contextmanager
def readable(path: Path) -> Iterator[None]:
    """Turn the errors of SQLite into ours: TryLater when locked, else FixInstallation."""
    try:
        yield
    except sqlite3.OperationalError as err:
        if is_locked(err):
            raise TryLater(f"{path}: is locked by another program: try again") from err
        raise FixInstallation(f"{path}: {err}: check the disk and who may use the file") from err
    except sqlite3.DatabaseError as err:
        raise FixInstallation(
            f"{path}: {err}: move the file away, and restore it from a backup if there is one"
        ) from err


@contextmanager
def _for_a_reader(path: Path) -> Iterator[None]:
    """Say what SQLite means: who may not write there needs the files of a writer that is there."""
    try:
        yield
    except sqlite3.OperationalError as err:
        primary = getattr(err, "sqlite_errorcode", 0) & 0xFF
        if primary not in (sqlite3.SQLITE_READONLY, sqlite3.SQLITE_CANTOPEN):
            raise
        raise FixInstallation(
            f"{path}: this user can read it only while the guard runs: start the guard"
        ) from err


def is_locked(err: sqlite3.Error) -> bool:
    """Say whether another connection is in the way."""
    primary = getattr(err, "sqlite_errorcode", 0) & 0xFF
    return primary in (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED)


class JournalReader:
    """The journal, read-only."""

    def __init__(self, path: Path) -> None:
        """Open the journal.

        Raises FixInstallation if it is absent, unreadable, damaged or of a newer version.
        """
        self._path = path
        self._lock = threading.Lock()
        if not path.exists():
            raise FixInstallation(
                f"{path}: no journal yet: start the guard, or check the state directory"
            )
        with readable(path):
            self._db = sqlite3.connect(
                f"file:{quote(str(path))}?mode=ro",
                uri=True,
                isolation_level=None,
                check_same_thread=False,
                timeout=2.0,
            )
        try:
            with readable(path), _for_a_reader(path):
                self._db.execute("PRAGMA query_only = ON")
                found = self._db.execute("PRAGMA user_version").fetchone()[0]
            check_version(path, found)
        except BaseException:
            self._db.close()
            raise

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        with self._lock:
            self._db.close()

    def last_seq(self) -> int:
        """Give the number of the last fact; 0: none was ever written."""
        return int(self._rows("SELECT value FROM meta WHERE key = 'last_seq'")[0][0])

    def first_seq(self) -> int:
        """Give the number of the oldest fact that is kept; last_seq + 1: none is."""
        rows = self._rows(
            "SELECT coalesce((SELECT min(seq) FROM facts),"
            " (SELECT value FROM meta WHERE key = 'last_seq') + 1)"
        )
        return int(rows[0][0])

    def facts_after(self, seq: int, limit: int = MOST_FACTS) -> list[Fact]:
        """Give up to ``limit`` facts with numbers above ``seq``, in order."""
        rows = self._rows(
            "SELECT seq, id, kind, subject, utc_ms, quality, actor, reason, data"
            " FROM facts WHERE seq > ? ORDER BY seq LIMIT ?",
            (seq, min(limit, MOST_FACTS)),
        )
        return [_fact(row) for row in rows]

    def latches(self) -> list[LatchRecord]:
        rows = self._rows(
            "SELECT outlet, reason, rule, release, since_utc_ms, evidence"
            " FROM latches ORDER BY outlet"
        )
        return [
            LatchRecord(
                outlet=row[0],
                reason=row[1],
                rule=row[2],
                release=row[3],
                since_utc_ms=row[4],
                evidence=_object(row[5]),
            )
            for row in rows
        ]

    def locks(self) -> list[LockRecord]:
        rows = self._rows("SELECT scope, actor, reason, since_utc_ms FROM locks ORDER BY scope")
        return [
            LockRecord(scope=scope, actor=actor, reason=reason, since_utc_ms=since_utc_ms)
            for scope, actor, reason, since_utc_ms in rows
        ]

    def leases(self) -> list[LeaseRecord]:
        """Give the leases that have not ended."""
        rows = self._rows(
            "SELECT outlet, lease_id, request_id, actor, reason, granted_utc_ms, until_utc_ms,"
            " energy_mwh, power_w, data FROM leases ORDER BY outlet"
        )
        return [
            LeaseRecord(
                outlet=row[0],
                lease_id=row[1],
                request_id=row[2],
                actor=row[3],
                reason=row[4],
                granted_utc_ms=row[5],
                until_utc_ms=row[6],
                energy_mwh=row[7],
                power_w=row[8],
                data=_object(row[9]),
            )
            for row in rows
        ]

    def request(self, request_id: str) -> RequestRecord | None:
        """Give the answer to one request, if it is kept."""
        rows = self._rows(
            "SELECT request_id, answer, utc_ms FROM requests WHERE request_id = ?", (request_id,)
        )
        if not rows:
            return None
        return RequestRecord(request_id=rows[0][0], answer=_object(rows[0][1]), utc_ms=rows[0][2])

    def minutes(
        self, outlet: str, from_utc_ms: int, to_utc_ms: int, limit: int = MOST_MINUTES
    ) -> list[MinuteRecord]:
        """Give up to ``limit`` minutes in use that start in [from, to), oldest first.

        At most the first 30 days of the range are looked at.
        """
        first = -(-from_utc_ms // _MINUTE_MS) * _MINUTE_MS
        last = min(to_utc_ms, first + 30 * 1_440 * _MINUTE_MS)
        # The table is ordered by time, which is kind to the disk; an outlet's minutes are
        # single look-ups in it.
        rows = self._rows(
            "WITH RECURSIVE span(minute) AS (SELECT :first WHERE :first < :last UNION ALL"
            " SELECT minute + 60000 FROM span WHERE minute + 60000 < :last)"
            " SELECT m.minute_utc_ms, m.outlet, m.samples, m.energy_mwh,"
            " m.voltage_low_v, m.voltage_high_v, m.voltage_mean_v,"
            " m.current_low_a, m.current_high_a, m.current_mean_a,"
            " m.power_low_w, m.power_high_w, m.power_mean_w"
            " FROM span CROSS JOIN minutes AS m"
            " ON m.minute_utc_ms = span.minute AND m.outlet = :outlet"
            " ORDER BY span.minute LIMIT :limit",
            {
                "first": first,
                "last": last,
                "outlet": outlet,
                "limit": min(limit, MOST_MINUTES),
            },
        )
        return [_minute(row) for row in rows]

    def flights(
        self,
        *,
        outlet: str | None = None,
        kind: str | None = None,
        reason: str | None = None,
        before_seq: int | None = None,
        limit: int = MOST_FLIGHTS,
    ) -> list[FlightHead]:
        """Give the heads of up to ``limit`` flight records, newest first."""
        if not self._has_flights():
            return []
        wanted = {"outlet": outlet, "kind": kind, "reason": reason}
        tests = [f"{name} = :{name}" for name, value in wanted.items() if value is not None]
        rows = self._rows(
            "SELECT seq, outlet, utc_ms, quality, kind, reason, samples FROM flights"  # noqa: S608 - names of columns
            f" WHERE {' AND '.join([*tests, 'seq < :before'])} ORDER BY seq DESC LIMIT :limit",
            {
                **wanted,
                "before": (1 << 63) - 1 if before_seq is None else before_seq,
                "limit": min(limit, MOST_FLIGHTS),
            },
        )
        return [
            FlightHead(
                seq=row[0],
                outlet=row[1],
                utc_ms=row[2],
                quality=row[3],
                kind=row[4],
                reason=row[5],
                samples=row[6],
            )
            for row in rows
        ]

    def flight(self, seq: int) -> FlightRecord | None:
        """Give the flight record that is about a fact, if there is one.

        Raises FixInstallation for one that is damaged.
        """
        if not self._has_flights():
            return None
        rows = self._rows(
            "SELECT header, rows FROM flights WHERE seq <= :seq AND last_seq >= :seq"
            " ORDER BY seq DESC LIMIT 1",
            {"seq": seq},
        )
        if not rows:
            return None
        try:
            return expand(*rows[0])
        except ValueError as err:
            raise FixInstallation(
                f"{self._path}: flight record {seq} is damaged ({err}): check the disk"
            ) from err

    def _has_flights(self) -> bool:
        """Say whether there is a place for them: a guard that is upgraded makes it meanwhile."""
        return bool(self._rows("PRAGMA user_version")[0][0] >= _FLIGHTS_SINCE)

    def _rows(self, sql: str, values: Sequence[Any] | dict[str, Any] = ()) -> list[Any]:
        with self._lock, readable(self._path), _for_a_reader(self._path):
            return self._db.execute(sql, values).fetchall()


def _object(text: str) -> dict[str, Any]:
    value: dict[str, Any] = json.loads(text)
    return value


def _fact(row: Sequence[Any]) -> Fact:
    return Fact(
        seq=row[0],
        id=row[1],
        kind=row[2],
        subject=row[3],
        utc_ms=row[4],
        quality=row[5],
        actor=row[6],
        reason=row[7],
        data=_object(row[8]),
    )


def _minute(row: Sequence[Any]) -> MinuteRecord:
    minute_utc_ms, outlet, samples, energy_mwh, *spreads = row
    return MinuteRecord(
        outlet=outlet,
        minute_utc_ms=minute_utc_ms,
        samples=samples,
        energy_mwh=energy_mwh,
        voltage_v=_spread(*spreads[0:3]),
        current_a=_spread(*spreads[3:6]),
        power_w=_spread(*spreads[6:9]),
    )


def _spread(low: float | None, high: float | None, mean: float | None) -> Spread | None:
    if low is None or high is None or mean is None:
        return None
    return Spread(low=low, high=high, mean=mean)
