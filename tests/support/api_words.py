"""What tests ask the API for, and the facts and minutes that it answers from."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from gateway.core.facts import FactKind
from gateway.guard.journal import Journal as GuardJournal
from gateway.guard.journal_entry import Entry
from gateway.link.journal import journal_path
from gateway.link.records import MinuteRecord, Spread
from gateway.serve.events import Event

ON: dict[str, Any] = {
    "action": "on",
    "target": {"kind": "outlet", "id": "n1-1"},
    "lease": {"for_s": 3600, "energy_wh": 500.5, "power_w": 300},
    "reason": "a test",
}
MINUTE_MS = 60_000
START_MS = 1_790_000_040_000


def event(position: int, kind: FactKind, outlet: str, **data: Any) -> Event:
    return Event(
        position, 1, position, f"id{position}", 0, "synced", kind, f"outlet/{outlet}", "guard", "",
        data,
    )  # fmt: skip


async def write_minutes(folder: Path, count: int) -> None:
    journal = GuardJournal(journal_path(folder))
    journal.start()
    minutes = tuple(
        MinuteRecord(
            outlet="n1-1",
            minute_utc_ms=START_MS + i * MINUTE_MS,
            samples=60,
            energy_mwh=3_000 + i,
            power_w=Spread(low=179.0, high=181.0, mean=180.0),
        )
        for i in range(count)
    )
    await journal.put(Entry((), minutes)).durable()
    await journal.close()
