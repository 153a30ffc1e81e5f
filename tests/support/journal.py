"""Entries for tests of the journal, and of those who read it."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import replace
from pathlib import Path

from gateway.core.clock import TimeQuality
from gateway.core.facts import FactDraft, FactKind
from gateway.guard.journal import Journal
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


def run_journal(
    path: Path, act: Callable[[Journal], Awaitable[None]], *, capacity: int = 2_048
) -> None:
    """Start a journal, act on it for a minute at most, and close it."""

    async def main() -> None:
        journal = Journal(path, capacity=capacity)
        journal.start()
        try:
            async with asyncio.timeout(60):
                await act(journal)
        finally:
            await journal.close(30.0)

    asyncio.run(main())
