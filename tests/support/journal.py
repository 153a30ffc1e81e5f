"""Entries for tests of the journal, and of those who read it."""

from __future__ import annotations

from dataclasses import replace

from gateway.core.clock import TimeQuality
from gateway.core.facts import FactDraft, FactKind
from gateway.guard.journal_entry import Entry

UTC_MS = 1_790_000_000_000


def draft(
    outlet: str = "n1-1", kind: FactKind = FactKind.OUTLET_ON, utc_ms: int = UTC_MS, **data: object
) -> FactDraft:
    return FactDraft(
        kind=kind,
        subject=f"outlet/{outlet}",
        utc_ms=utc_ms,
        quality=TimeQuality.SYNCED,
        reason="requested",
        data={"outlet": outlet, **data},
    )


def entry(outlet: str = "n1-1", **data: object) -> Entry:
    return Entry((replace(draft(outlet), data={"outlet": outlet, **data}),))
