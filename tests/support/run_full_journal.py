"""A journal with free pages on a disk without any: told by a process in a mount namespace of its
own. Exit status 1 and a traceback when something is not so."""

from __future__ import annotations

import asyncio
import subprocess
import sys
from contextlib import closing
from pathlib import Path

from gateway.guard.journal import Journal
from gateway.guard.journal_schema import open_journal
from gateway.guard.journal_writer import Condition
from gateway.link.journal import JournalReader
from tests.support.journal import entry
from tests.support.run_full_disk import fill

DISK = "size=5m"
ROOM_BYTES = 1_000_000
ENTRIES = 150
"""Their log is many times as long as what the journal has of the disk."""


def leave_room(path: Path) -> None:
    """Make a journal whose file holds free pages, as one has that was pruned."""
    with closing(open_journal(path)) as db:
        db.execute("CREATE TABLE room AS SELECT zeroblob(?) AS bytes", (ROOM_BYTES,))
        db.execute("DROP TABLE room")
        db.execute("PRAGMA wal_checkpoint(TRUNCATE)")


async def story(folder: Path) -> None:
    path = folder / "guard.db"
    leave_room(path)
    journal = Journal(path)
    journal.start()
    for number in range(10):
        await journal.put(entry(n=number)).durable()
    fill(folder / "filler")
    with JournalReader(path) as reader:  # serve keeps it open
        reader.last_seq()
        for number in range(10, ENTRIES):
            await journal.put_urgent(entry(n=number, text="x" * 900)).durable()
        assert journal.state.condition is Condition.OK
        assert journal.figures().retries > 0, "the disk was never full"
        assert [fact.data["n"] for fact in reader.facts_after(0)] == list(range(ENTRIES))
    assert await journal.close()


async def main(folder: Path) -> None:
    async with asyncio.timeout(60):
        await story(folder)


if __name__ == "__main__":
    subprocess.run(["mount", "-t", "tmpfs", "-o", DISK, "none", sys.argv[1]], check=True)
    asyncio.run(main(Path(sys.argv[1])))
