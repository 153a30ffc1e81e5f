"""Writes down what happens to outlets, and tells them when it is written."""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import replace
from typing import Protocol

from gateway.core.clock import Clock, Now
from gateway.core.facts import FactKind
from gateway.guard.drafts import draft
from gateway.guard.effects import Note
from gateway.guard.events import LeaseDurable, LeaseNotDurable
from gateway.guard.evidence import told
from gateway.guard.journal_entry import (
    Change,
    DropLatch,
    DropLease,
    Entry,
    JournalFull,
    NotWritten,
    Ticket,
)
from gateway.guard.model import Lease
from gateway.guard.outlet import Outlet
from gateway.guard.state import Latch, OutletState
from gateway.link.messages import LastFact
from gateway.link.records import LatchRecord, LeaseRecord, RequestRecord

log = logging.getLogger(__name__)


class Journal(Protocol):
    """What the recorder needs of the journal."""

    def put(self, entry: Entry) -> Ticket: ...

    def put_urgent(self, entry: Entry) -> Ticket: ...


OnEntry = Callable[[Outlet, list[Note], OutletState, Now, Ticket], None]
"""Told of what is being written down of an outlet, and of its state before it."""


class FactRecorder:
    """Turns the notes of outlets into entries of the journal."""

    def __init__(
        self,
        journal: Journal,
        clock: Clock,
        on_note: Callable[[Note], None],
        on_entry: OnEntry | None = None,
    ) -> None:
        self._journal = journal
        self._clock = clock
        self._on_note = on_note
        self._on_entry = on_entry
        self._starts: dict[str, Ticket] = {}

    def start_of(self, lease_id: str) -> Ticket | None:
        """Return the ticket of a lease that is being written down."""
        return self._starts.get(lease_id)

    def record(self, outlet: Outlet, notes: list[Note], before: OutletState) -> None:
        """Queue one entry: the facts, and what changed of latch and lease since ``before``."""
        now = self._clock.now()
        for note in notes:
            self._on_note(note)
        if any(note.kind is FactKind.LEASE_STARTED for note in notes):
            self._start(outlet, notes, now)
            return
        notes = [note for note in notes if not self._never_started(note)]
        changes = _changes(before, outlet.state, outlet.id, now)
        entry = Entry(
            tuple(draft("outlet", outlet.id, note, now) for note in notes), tuple(changes)
        )
        latch = outlet.state.latch if outlet.state.latch is not before.latch else None

        def written(done: Ticket) -> None:
            if done.error is None:
                _written(outlet, done, latch)
                return
            # Its evidence or its words can't be written: that it happened can.
            log.error("outlet %s: written down again without evidence: %s", outlet.id, done.error)
            again = self._journal.put_urgent(_bare(entry))
            again.when_done(lambda last: _written(outlet, last, latch))

        ticket = self._journal.put_urgent(entry)
        ticket.when_done(written)
        if self._on_entry is not None:
            self._on_entry(outlet, notes, before, now, ticket)

    def _start(self, outlet: Outlet, notes: list[Note], now: Now) -> None:
        lease = outlet.state.lease
        if lease is None:
            return
        facts = tuple(draft("outlet", outlet.id, note, now) for note in notes)
        until_utc_ms = facts[0].data["until_utc_ms"]
        answer = {"outlet": outlet.id, "lease_id": lease.id, "until_utc_ms": until_utc_ms}
        request = RequestRecord(request_id=lease.request_id, answer=answer, utc_ms=now.utc_ms)
        entry = Entry(facts, (_lease_record(outlet.id, lease, now), request))
        try:
            ticket = self._journal.put(entry)
        except JournalFull as err:
            ticket = Ticket()
            ticket.settle(NotWritten(str(err)))
        self._starts[lease.id] = ticket
        ticket.when_done(lambda done: self._started(outlet, lease.id, done))

    def _started(self, outlet: Outlet, lease_id: str, ticket: Ticket) -> None:
        if ticket.error is None:
            self._starts.pop(lease_id, None)
            _written(outlet, ticket, None)
            outlet.feed(LeaseDurable(lease_id=lease_id))
        else:
            outlet.feed(LeaseNotDurable(lease_id=lease_id))
            self._starts.pop(lease_id, None)

    def _never_started(self, note: Note) -> bool:
        """Say whether a lease ended whose start will never be in the journal."""
        if note.kind is not FactKind.LEASE_ENDED:
            return False
        start = self._starts.get(str(note.data.get("lease_id")))
        return start is not None and start.error is not None


def _changes(before: OutletState, after: OutletState, outlet_id: str, now: Now) -> list[Change]:
    changes: list[Change] = []
    if after.latch is None and before.latch is not None:
        changes.append(DropLatch(outlet_id))
    elif after.latch is not None and (
        before.latch is None or not before.latch.is_same(after.latch)
    ):
        changes.append(_latch_record(outlet_id, after.latch))
    if after.lease is None and before.lease is not None:
        changes.append(DropLease(outlet_id))
    elif after.lease is not None and after.lease != before.lease:
        changes.append(_lease_record(outlet_id, after.lease, now))  # renewed
    return changes


def _latch_record(outlet_id: str, latch: Latch) -> LatchRecord:
    return LatchRecord(
        outlet=outlet_id,
        reason=latch.reason.value,
        rule=latch.reason.value,
        release=latch.release.value,
        since_utc_ms=latch.since_utc_ms,
        evidence={**told(latch.evidence), "cooldown_s": latch.cooldown_s},
    )


def _lease_record(outlet_id: str, lease: Lease, now: Now) -> LeaseRecord:
    return LeaseRecord(
        outlet=outlet_id,
        lease_id=lease.id,
        request_id=lease.request_id,
        actor=lease.actor,
        reason=lease.reason,
        granted_utc_ms=lease.granted_utc_ms,
        until_utc_ms=now.utc_ms + lease.until_ms - now.mono_ms,
        energy_mwh=lease.energy_mwh,
        power_w=lease.power_w,
    )


def _bare(entry: Entry) -> Entry:
    """Leave out of an entry what can keep it from being written."""
    return Entry(
        tuple(
            replace(
                fact,
                actor=_plain(fact.actor),
                reason=_plain(fact.reason),
                data={k: v for k, v in fact.data.items() if k not in ("evidence", "why")},
            )
            for fact in entry.facts
        ),
        tuple(
            replace(change, evidence={}) if isinstance(change, LatchRecord) else change
            for change in entry.changes
        ),
    )


def _plain(text: str) -> str:
    return text.encode("ascii", "replace").decode("ascii")


def _written(outlet: Outlet, ticket: Ticket, latch: Latch | None) -> None:
    if latch is not None and ticket.error is None:
        outlet.latch_written(latch)
    # One ticket can stand for the facts of many outlets.
    mine = [fact for fact in ticket.facts or () if fact.subject == f"outlet/{outlet.id}"]
    if mine:
        fact = mine[-1]
        outlet.last_fact = LastFact(
            seq=fact.seq, kind=fact.kind, reason=fact.reason, utc_ms=fact.utc_ms
        )
        outlet.changed = True
