"""A process that writes its journal until it is killed, and says what became durable.

Prints one line for each durable entry: its own count and the numbers of its facts.
"""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path

from gateway.guard.journal import Journal
from gateway.guard.journal_entry import Entry, Ticket
from gateway.link.records import LatchRecord
from tests.support.journal import UTC_MS, draft


async def main(path: Path, start: int) -> None:
    journal = Journal(path)
    journal.start()

    def tell(count: int, ticket: Ticket) -> None:
        seqs = [fact.seq for fact in ticket.facts or ()]
        sys.stdout.write(f"{count} {seqs[0]} {seqs[1]}\n")
        sys.stdout.flush()

    for count in range(start, start + 100_000):
        latch = LatchRecord(
            outlet=f"o{count}", reason="r", rule="r", release="operator", since_utc_ms=UTC_MS
        )
        facts = (draft(n=count), draft(n=count))
        ticket = journal.put_urgent(Entry(facts, (latch,)))
        ticket.when_done(lambda ticket, count=count: tell(count, ticket))  # type: ignore[misc]
        await asyncio.sleep(0 if count % 7 else 0.002)


asyncio.run(main(Path(sys.argv[1]), int(sys.argv[2])))
