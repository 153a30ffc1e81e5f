"""Flight records for tests of what keeps, lists and exports them."""

from __future__ import annotations

from gateway.core.clock import Now, TimeQuality
from gateway.core.facts import FactDraft, FactKind
from gateway.guard.flight import Ring
from gateway.guard.flight_record import Flight, Run, Start
from gateway.guard.journal import Journal
from gateway.guard.journal_entry import Entry, Ticket
from gateway.guard.limits import Limits
from gateway.guard.model import Sample
from gateway.guard.state import OutletState
from tests.support.journal import UTC_MS, draft

CUT = (FactKind.LEASE_ENDED, FactKind.OUTLET_CUT)
AT_MS = 500_000


def cut_off(outlet: str = "n1-1", utc_ms: int = UTC_MS, reason: str = "overpower") -> Entry:
    """Make the entry of a cut-off: the end of its lease, and the latch."""
    facts = (draft(outlet, kind, utc_ms) for kind in CUT)
    return Entry(
        tuple(
            FactDraft(
                kind=fact.kind,
                subject=fact.subject,
                utc_ms=utc_ms,
                quality=fact.quality,
                reason=reason,
                data={**fact.data, "evidence": {"value": 3_000.0}},
            )
            for fact in facts
        )
    )


def flight(ticket: Ticket, outlet: str = "n1-1", rows: int = 10, utc_ms: int = UTC_MS) -> Flight:
    """Make a record of an outlet at 100 W that has the facts of ``ticket``."""
    ring = Ring(10_000_000)
    for number in range(rows):
        at_ms = AT_MS - (rows - number) * 1_000
        sample = Sample(
            at_ms=at_ms,
            utc_ms=utc_ms - AT_MS + at_ms,
            power_w=100.0 + number / 10,
            current_a=0.4,
            voltage_v=230.1,
            relay_on=True,
        )
        ring.add(sample, TimeQuality.SYNCED)
    return Flight(
        outlet=outlet,
        run=Run(site="shed", version="9.9", boot_id="boot"),
        at=Now(AT_MS, utc_ms, TimeQuality.SYNCED),
        before_ms=120_000,
        after_ms=60_000,
        limits=Limits(),
        lease=None,
        start=Start(rows=0, state=OutletState(metered=True)),
        first_row=0,
        packed=ring.since(0)[1],
        incomplete=(),
        tickets=(ticket,),
    )


async def record_cut_offs(journal: Journal, *outlets: str, rows: int = 10) -> None:
    """Have cut-offs written down, each with its flight record; then close the journal."""
    for outlet in outlets:
        ticket = journal.put(cut_off(outlet))
        journal.put_flight(flight(ticket, outlet, rows))
    assert await journal.close()
