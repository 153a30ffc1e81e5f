"""Entries as SQL. Runs in the writer's thread, inside a transaction that the writer opened."""

from __future__ import annotations

import json
import secrets
import sqlite3
from typing import Any, NamedTuple

from gateway.core.facts import Fact
from gateway.core.ids import uuid7
from gateway.guard.flight_record import MadeFlight
from gateway.guard.journal_entry import Change, DropLatch, DropLease, DropLock, Entry
from gateway.link.records import (
    LatchRecord,
    LeaseRecord,
    LockRecord,
    MinuteRecord,
    RequestRecord,
    Spread,
)

_FACT = "INSERT INTO facts VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)"

# A minute can come in parts: a lease ends and another starts, or the clock is set back.
_MINUTE = """
INSERT INTO minutes VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)
ON CONFLICT DO UPDATE SET
  samples = samples + excluded.samples,
  energy_mwh = energy_mwh + excluded.energy_mwh,
""" + ",\n".join(
    f"""
  {q}_low_{u} = min(coalesce({q}_low_{u}, excluded.{q}_low_{u}),
                    coalesce(excluded.{q}_low_{u}, {q}_low_{u})),
  {q}_high_{u} = max(coalesce({q}_high_{u}, excluded.{q}_high_{u}),
                     coalesce(excluded.{q}_high_{u}, {q}_high_{u})),
  {q}_mean_{u} = coalesce(
    ({q}_mean_{u} * samples + excluded.{q}_mean_{u} * excluded.samples)
      / (samples + excluded.samples),
    {q}_mean_{u}, excluded.{q}_mean_{u})"""
    for q, u in (("voltage", "v"), ("current", "a"), ("power", "w"))
)


def last_seq(db: sqlite3.Connection) -> int:
    """Give the number of the last fact in the file."""
    return int(db.execute("SELECT value FROM meta WHERE key = 'last_seq'").fetchone()[0])


class Tip(NamedTuple):
    """What tells a file from every other: where it ends."""

    seq: int
    """Of the last fact."""
    mark: int
    """A random number that each transaction of entries leaves; 0: none did yet."""


def tip(db: sqlite3.Connection) -> Tip:
    """Read where the file ends."""
    found = dict(db.execute("SELECT key, value FROM meta WHERE key IN ('last_seq', 'mark')"))
    return Tip(found["last_seq"], found.get("mark", 0))


def leave_mark(db: sqlite3.Connection) -> int:
    """Leave a new mark, by which this transaction is known again."""
    mark = secrets.randbits(62)
    db.execute("INSERT OR REPLACE INTO meta VALUES ('mark', ?)", (mark,))
    return mark


def write_entry(db: sqlite3.Connection, seq: int, entry: Entry) -> tuple[Fact, ...]:
    """Write one entry; its facts get the numbers after ``seq``.

    Raises sqlite3.Error, or ValueError and TypeError for values that JSON or SQLite can't
    hold.
    """
    facts = []
    for number, draft in enumerate(entry.facts, seq + 1):
        fact = Fact(
            seq=number,
            id=str(uuid7(draft.utc_ms)),
            kind=draft.kind.value,
            subject=draft.subject,
            utc_ms=draft.utc_ms,
            quality=draft.quality.value,
            actor=draft.actor,
            reason=draft.reason,
            data=draft.data,
        )
        db.execute(
            _FACT,
            (
                fact.seq,
                fact.id,
                fact.utc_ms,
                fact.quality,
                fact.kind,
                fact.subject,
                fact.actor,
                fact.reason,
                _json(fact.data),
            ),
        )
        facts.append(fact)
    for change in entry.changes:
        _apply(db, change)
    return tuple(facts)


def write_flight(db: sqlite3.Connection, made: MadeFlight) -> None:
    """Write a flight record."""
    head, last_seq, header, rows = made
    db.execute(
        "INSERT OR REPLACE INTO flights VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
        (
            *(head.seq, last_seq, head.outlet, head.utc_ms, head.quality),
            *(head.kind, head.reason, head.samples, len(header) + len(rows), header, rows),
        ),
    )


def _apply(db: sqlite3.Connection, change: Change) -> None:
    match change:
        case LatchRecord() as c:
            values: tuple[Any, ...] = (
                *(c.outlet, c.reason, c.rule, c.release, c.since_utc_ms),
                _json(c.evidence),
            )
            db.execute("INSERT OR REPLACE INTO latches VALUES (?, ?, ?, ?, ?, ?)", values)
        case LockRecord() as c:
            values = (c.scope, c.actor, c.reason, c.since_utc_ms)
            db.execute("INSERT OR REPLACE INTO locks VALUES (?, ?, ?, ?)", values)
        case LeaseRecord() as c:
            values = (
                *(c.outlet, c.lease_id, c.request_id, c.actor, c.reason),
                *(c.granted_utc_ms, c.until_utc_ms, c.energy_mwh, c.power_w),
                _json(c.data),
            )
            db.execute(
                "INSERT OR REPLACE INTO leases VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)", values
            )
        case RequestRecord() as c:
            values = (c.request_id, _json(c.answer), c.utc_ms)
            db.execute("INSERT OR REPLACE INTO requests VALUES (?, ?, ?)", values)
        case MinuteRecord() as c:
            values = (
                *(c.minute_utc_ms, c.outlet, c.samples, c.energy_mwh),
                *(*_three(c.voltage_v), *_three(c.current_a), *_three(c.power_w)),
            )
            db.execute(_MINUTE, values)
        case DropLatch():
            db.execute("DELETE FROM latches WHERE outlet = ?", (change.outlet,))
        case DropLock():
            db.execute("DELETE FROM locks WHERE scope = ?", (change.scope,))
        case DropLease():
            db.execute("DELETE FROM leases WHERE outlet = ?", (change.outlet,))


def _json(value: dict[str, Any]) -> str:
    return json.dumps(value, separators=(",", ":"), allow_nan=False)


def _three(spread: Spread | None) -> tuple[float | None, float | None, float | None]:
    return (None, None, None) if spread is None else (spread.low, spread.high, spread.mean)
