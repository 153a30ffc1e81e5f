"""The guard's journal as serve reads it: in a thread, and opened anew when it was replaced."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from gateway.core.facts import Fact
from gateway.link.flight import FlightHead, FlightRecord
from gateway.link.journal import JournalReader
from gateway.link.records import MinuteRecord

PAGE = 500
"""Facts taken over in one transaction."""

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Page:
    """Facts after a cursor, and what the journal says about the cursor itself."""

    at_cursor: Fact | None
    """The fact with the cursor's number, if it is kept."""
    facts: tuple[Fact, ...]
    last_seq: int
    """Of the last fact that was ever written."""


class Journal:
    """Reads the journal at ``path`` without stalling the event loop.

    Every method raises FixInstallation (absent, damaged, newer version) or TryLater (locked).
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="journal")
        self._reader: JournalReader | None = None
        self._file: tuple[int, int] | None = None

    async def page(self, cursor_seq: int) -> Page:
        """Read up to ``PAGE`` facts after ``cursor_seq``, and the fact at it."""
        return await self._run(lambda reader: _page(reader, cursor_seq))

    async def minutes(
        self, outlet: str, from_utc_ms: int, to_utc_ms: int, limit: int
    ) -> list[MinuteRecord]:
        """Read the minutes of an outlet that start in [from, to), oldest first."""
        return await self._run(lambda reader: reader.minutes(outlet, from_utc_ms, to_utc_ms, limit))

    async def flights(
        self,
        *,
        outlet: str | None,
        kind: str | None,
        reason: str | None,
        before_seq: int | None,
        limit: int,
    ) -> list[FlightHead]:
        """Read the heads of flight records, newest first."""
        return await self._run(
            lambda reader: reader.flights(
                outlet=outlet, kind=kind, reason=reason, before_seq=before_seq, limit=limit
            )
        )

    async def flight_lines(self, seq: int) -> str | None:
        """Read the flight record that is about a fact, if there is one, as JSON Lines."""
        return await self._run(lambda reader: _lines(reader.flight(seq)))

    async def close(self) -> None:
        """Close the file and end the thread."""
        await asyncio.get_running_loop().run_in_executor(self._thread, self._close)
        self._thread.shutdown(wait=False)

    async def _run(self, read: Callable[[JournalReader], T]) -> T:
        def work() -> T:
            return read(self._opened())

        return await asyncio.get_running_loop().run_in_executor(self._thread, work)

    def _opened(self) -> JournalReader:
        """Open the file, again if another one lies there now."""
        try:
            found = self._path.stat()
            present = (found.st_dev, found.st_ino)
        except OSError:
            present = None
        if self._reader is None or present != self._file:
            self._close()
            self._reader = JournalReader(self._path)
            self._file = present
        return self._reader

    def _close(self) -> None:
        if self._reader is not None:
            self._reader.close()
            self._reader = None


def _lines(record: FlightRecord | None) -> str | None:
    # Thousands of rows take a moment: made here, in the thread.
    return None if record is None else "".join(f"{line}\n" for line in record.lines())


def _page(reader: JournalReader, cursor_seq: int) -> Page:
    facts = reader.facts_after(max(cursor_seq - 1, 0), PAGE + 1)
    at_cursor = facts[0] if facts and facts[0].seq == cursor_seq else None
    later = tuple(fact for fact in facts if fact.seq > cursor_seq)
    # Read after the facts, so that it is never behind them.
    return Page(at_cursor, later, reader.last_seq())
