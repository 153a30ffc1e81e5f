"""The journal's writer: one thread, one connection, many entries a transaction.

A disk that is full, locked, read-only or gone is tried again for ever, with back-off;
nothing that was taken from the queue is given up before the guard stops.
"""

from __future__ import annotations

import logging
import shutil
import sqlite3
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import NamedTuple

from gateway.core.clock import Steady, SystemClock
from gateway.core.errors import FixInstallation, PilegateError, TryLater
from gateway.core.facts import Fact
from gateway.guard.flight_record import Flight, MadeFlight
from gateway.guard.journal_chores import Keep, prune, used_bytes
from gateway.guard.journal_entry import NotWritten, Ticket
from gateway.guard.journal_queue import Queue, Waiting
from gateway.guard.journal_schema import WAL_LIMIT_BYTES, open_journal
from gateway.guard.journal_spare import MOST_AT_ONCE, MOST_AT_THE_END, Spare
from gateway.guard.journal_sql import Tip, leave_mark, tip, write_entry, write_flight
from gateway.link.journal import is_locked

GATHER_S = 0.05
"""Commits follow each other no closer, unless something is urgent: spares flash memory."""
FIRST_PAUSE_S = 0.1
LONGEST_PAUSE_S = 5.0
CHORES_EVERY_S = 60.0
LEFT_FOR_FACTS_BYTES = 32 * 1024 * 1024
"""With less room on the disk no flight record is written."""
NEXT_SPARE_S = 1.0
"""How soon flight records are tried again that could not be written, or have no number yet."""
NEXT_CHUNK_S = 0.02
LONG_LOG_BYTES = 4 * WAL_LIMIT_BYTES
"""Nothing but a reader that never ends makes the write-ahead log so long."""

log = logging.getLogger(__name__)

Outcome = tuple[Ticket, tuple[Fact, ...] | NotWritten]


class Condition(StrEnum):
    """Whether entries reach the disk."""

    OK = "ok"
    RETRYING = "retrying"
    """They wait for a disk that is full, locked, read-only or failing."""
    FAILED = "failed"
    """They wait for a person: the file is damaged, gone or another one."""


@dataclass(frozen=True, slots=True)
class State:
    """The condition, and in one line what to do about it."""

    condition: Condition
    detail: str = ""


_DAMAGED = (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB)
_STALE = (sqlite3.SQLITE_IOERR, sqlite3.SQLITE_CANTOPEN, sqlite3.SQLITE_READONLY, *_DAMAGED)
"""After these the connection is opened anew: the disk may have been mounted again."""

_POISON = (
    *(sqlite3.IntegrityError, sqlite3.ProgrammingError, sqlite3.DataError, sqlite3.InterfaceError),
    *(ValueError, TypeError, OverflowError, RecursionError),
)
"""The entry itself is at fault: trying again can't help."""
_EXPECTED = (sqlite3.Error, PilegateError, OSError)
"""What a disk or a person can do to a file."""


class Doubt(NamedTuple):
    """A transaction whose COMMIT failed.

    It can be in the file all the same: what failed may have been the last thing to do.
    """

    tip: Tip
    written: list[Outcome]


class Writer(threading.Thread):
    """Takes entries from the queue, writes them, and delivers what became of them in order."""

    def __init__(
        self,
        path: Path,
        db: sqlite3.Connection,
        queue: Queue,
        spare: Spare,
        *,
        keep: Keep,
        deliver: Callable[[Sequence[Outcome]], None],
    ) -> None:
        super().__init__(name="journal-writer", daemon=True)
        self._path = path
        self._db: sqlite3.Connection | None = db
        self._queue = queue
        self._spare = spare
        self._spare_s = 0.0
        self._clock = SystemClock()
        self._steady = Steady()
        self._keep = keep
        self._deliver = deliver
        self._identity = _identity(path)
        self._tip = tip(db)
        self._doubt: Doubt | None = None
        self._committed_s = 0.0
        self._chores_s = time.monotonic()
        self.state = State(Condition.OK)
        self.size_bytes = used_bytes(db)
        self.retries = 0
        self.in_hand: tuple[Waiting, ...] = ()
        """Taken from the queue, and neither written nor given up."""
        self.in_hand_since_s = 0.0
        """Since when, monotonic; 0: nothing is in hand."""
        self.log_bytes = 0
        """Size of the write-ahead log when it was last looked at."""
        self._long_log = False

    def run(self) -> None:
        """Write until the queue is closed and empty, or the time to drain is over."""
        try:
            while not self._over():
                batch = self._queue.take(self._wait_s(), self._committed_s + GATHER_S)
                if batch:
                    self.in_hand, self.in_hand_since_s = tuple(batch), time.monotonic()
                    self._write(batch)
                    self.in_hand_since_s = 0.0
                # Behind a slow disk there is always something to write.
                late_s = CHORES_EVERY_S if batch else 0.0
                if not self._queue.closed and time.monotonic() >= self._chores_s + late_s:
                    self._chores()
                elif not batch and len(self._spare):
                    self._write_spare()
        finally:
            self._close()

    def _close(self) -> None:
        db, self._db = self._db, None
        if db is not None:
            try:
                db.close()
            except sqlite3.Error as err:
                log.debug("journal: closing: %s", err)

    def _over(self) -> bool:
        if self._queue.given_up():
            return True
        return self._queue.closed and self._queue.empty and not len(self._spare)

    def _wait_s(self) -> float:
        next_s = min(self._chores_s, self._spare_s) if len(self._spare) else self._chores_s
        return max(next_s - time.monotonic(), 0)

    def _write(self, batch: list[Waiting]) -> None:
        """Write a batch however long it takes; alone what can't be written with others."""
        failures = 0
        while not self._queue.given_up():
            try:
                written = self._transact(batch)
            except _POISON as err:
                self._separate(batch, err)
                return
            except Exception as err:  # noqa: BLE001 - whatever it is, it must not end this thread
                failures += 1
                self._trouble(err)
                self._queue.pause(min(FIRST_PAUSE_S * 2.0 ** (failures - 1), LONGEST_PAUSE_S))
            else:
                self._committed_s = time.monotonic()
                self._well()
                self._told(batch)
                self._deliver(written)
                return

    def _separate(self, batch: list[Waiting], err: Exception) -> None:
        """Keep one entry that can never be written from holding up the others."""
        if len(batch) > 1:
            for waiting in batch:
                self._write([waiting])
            return
        log.error("journal: an entry can't be written and is left out: %r", err)
        self._told(batch)
        self._deliver([(batch[0].ticket, NotWritten(f"journal: not written: {err}"))])

    def _told(self, batch: list[Waiting]) -> None:
        self.in_hand = self.in_hand[len(batch) :]

    def _transact(self, batch: list[Waiting]) -> list[Outcome]:
        db = self._open()
        made = self._made_after_all(db)
        if made is None:
            made = self._attempt(db, batch)
        self._tip, self._doubt = made.tip, None
        return made.written

    def _attempt(self, db: sqlite3.Connection, batch: list[Waiting]) -> Doubt:
        seq = self._tip.seq
        written: list[Outcome] = []
        db.execute("BEGIN IMMEDIATE")
        try:
            for waiting in batch:
                facts = write_entry(db, seq, waiting.entry)
                seq += len(facts)
                written.append((waiting.ticket, facts))
            made = self._doubt = Doubt(Tip(seq, leave_mark(db)), written)
            db.execute("COMMIT")
        finally:
            if db.in_transaction:
                db.execute("ROLLBACK")
        return made

    def _made_after_all(self, db: sqlite3.Connection) -> Doubt | None:
        """Give the transaction in hand if its COMMIT failed and the file has it all the same.

        To write it once more would give its facts twice. It is told once the whole log is in
        the file: pages of the log that a failed fsync left may never reach the disk.
        """
        if self._doubt is None or tip(db) != self._doubt.tip:
            return None
        busy, frames, done = db.execute("PRAGMA wal_checkpoint(FULL)").fetchone()
        if busy or done < frames:
            raise TryLater(f"{self._path}: a program that reads it holds it: end that program")
        return self._doubt

    def _write_spare(self) -> None:
        """Write a few flight records, if all else is written; their trouble is nobody else's."""
        if not self._queue.closed and time.monotonic() < self._spare_s:
            return  # woken by something else
        flights = self._spare.take(MOST_AT_THE_END if self._queue.closed else MOST_AT_ONCE)
        if not flights:
            # The facts they are about are written, and that is not told yet.
            self._again_in(NEXT_SPARE_S)
            return
        try:
            if shutil.disk_usage(self._path.parent).free < LEFT_FOR_FACTS_BYTES:
                self._spare.drop(len(flights))
            else:
                self._transact_flights(flights)
        except (OSError, sqlite3.Error, PilegateError) as err:
            log.debug("journal: flight records wait: %s", err)
            self._spare.put_back(flights)
            self._again_in(LONGEST_PAUSE_S)

    def _again_in(self, wait_s: float) -> None:
        self._spare_s = time.monotonic() + wait_s
        if self._queue.closed:
            self._queue.pause(FIRST_PAUSE_S)

    def _transact_flights(self, flights: list[Flight]) -> None:
        made = [found for flight in flights if (found := self._make(flight)) is not None]
        db = self._open()
        db.execute("BEGIN IMMEDIATE")
        try:
            for found in made:
                write_flight(db, found)
            db.execute("COMMIT")
        finally:
            if db.in_transaction:
                db.execute("ROLLBACK")

    def _make(self, flight: Flight) -> MadeFlight | None:
        try:
            return flight.make()
        except _POISON as err:
            log.warning("journal: a flight record can't be written: %r", err)
            self._spare.drop(1)
            return None

    def _open(self) -> sqlite3.Connection:
        if self._db is not None:
            if self._identity == _identity(self._path):
                return self._db
            # Renamed or deleted: what is written through the old handle is found by nobody.
            self._close()
        if not self._path.exists():
            raise FixInstallation(
                f"{self._path}: was taken away from under the guard: put it back, or restart "
                "the guard to begin a new one, which knows of no latch and no lock"
            )
        db = open_journal(self._path)
        found = tip(db)
        if found != self._tip and (self._doubt is None or found != self._doubt.tip):
            db.close()
            raise FixInstallation(
                f"{self._path}: is another journal (last fact {found.seq}, expected "
                f"{self._tip.seq}): put the right one back, or restart the guard to go on with "
                "this one"
            )
        self._db = db
        self._identity = _identity(self._path)
        return db

    def _trouble(self, err: Exception) -> None:
        primary = getattr(err, "sqlite_errorcode", 0) & 0xFF
        if primary in _STALE:
            self._close()
        elif primary == sqlite3.SQLITE_FULL:
            self._use_log_again()
        failed = primary in _DAMAGED or isinstance(err, FixInstallation)
        detail = _advice(err, self._path)
        self.retries += 1
        if self.state.condition is Condition.OK or self.state.detail != detail:
            log.error("journal: %s", detail, exc_info=None if isinstance(err, _EXPECTED) else err)
        self.state = State(Condition.FAILED if failed else Condition.RETRYING, detail)

    def _use_log_again(self) -> None:
        """Have the write-ahead log begin anew in the room that it has.

        SQLite does so by itself after a commit that went through: on a full disk none does,
        even if the file has free pages enough.
        """
        if self._db is None:
            return
        try:
            self._db.execute("PRAGMA wal_checkpoint(PASSIVE)")
        except sqlite3.Error as err:
            log.debug("journal: the log stays as long as it is: %s", err)

    def _well(self) -> None:
        if self.state.condition is not Condition.OK:
            log.warning("journal: writes again")
            self.state = State(Condition.OK)

    def _chores(self) -> None:
        try:
            db = self._open()
            now = self._clock.now()
            more = prune(db, now.utc_ms if self._steady.is_steady(now) else 0, self._keep)
            if not more:
                self.size_bytes = used_bytes(db)
                self._cut_back_log(db)
        except (sqlite3.Error, PilegateError, OSError) as err:
            # The next entry meets the same trouble and shows it; chores can wait.
            log.debug("journal: chores wait: %s", err)
            more = False
        self._chores_s = time.monotonic() + (NEXT_CHUNK_S if more else CHORES_EVERY_S)

    def _cut_back_log(self, db: sqlite3.Connection) -> None:
        wal = self._path.with_name(self._path.name + "-wal")
        self.log_bytes = wal.stat().st_size if wal.exists() else 0
        if self.log_bytes <= WAL_LIMIT_BYTES:
            self._long_log = False
            return
        busy = db.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()[0]
        if busy and self.log_bytes > LONG_LOG_BYTES and not self._long_log:
            self._long_log = True
            log.warning(
                "journal: %s has grown to %d MB: a program began to read the journal and never "
                "ends: find it (fuser %s) and end it, before the disk is full",
                *(wal, self.log_bytes // 1_000_000, self._path),
            )


def _identity(path: Path) -> tuple[int, int] | None:
    """Tell one file from another of the same name; None: there is none."""
    try:
        status = path.stat()
    except OSError:
        return None
    return status.st_dev, status.st_ino


def _advice(err: Exception, path: Path) -> str:
    """Say in one line what is wrong and what to do."""
    if isinstance(err, PilegateError):
        return str(err)
    if isinstance(err, OSError):
        return f"{path}: {err.strerror or err}: check the disk"
    if not isinstance(err, sqlite3.Error):
        return f"{path}: an error of the guard's own: {err!r}: see its log"
    if is_locked(err):
        return f"{path}: another program holds it locked: end that program"
    match getattr(err, "sqlite_errorcode", 0) & 0xFF:
        case sqlite3.SQLITE_FULL:
            return f"{path}: the disk is full: make room"
        case sqlite3.SQLITE_READONLY:
            return f"{path}: may not be written: is the disk mounted read-only?"
        case sqlite3.SQLITE_CORRUPT | sqlite3.SQLITE_NOTADB:
            return (
                f"{path}: is damaged: stop the guard, move the file away, and restore it from a "
                "backup if there is one"
            )
        case _:
            return f"{path}: {err}: check the disk"
