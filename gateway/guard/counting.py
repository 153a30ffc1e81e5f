"""What samples are counted for once a cut-off that they may cause has left.

Figures, minutes of outlets in use, and the flight recorder. None of them may end a run, fill its
log, or hold a cut-off up.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Callable, Iterator

from gateway.core.clock import Clock, Now
from gateway.guard.effects import Note
from gateway.guard.events import Alive
from gateway.guard.flight import Flights
from gateway.guard.journal import Journal
from gateway.guard.journal_entry import Entry, JournalFull, Ticket
from gateway.guard.minutes import Minutes
from gateway.guard.model import Sample
from gateway.guard.outlet import Outlet
from gateway.guard.state import OutletState, Phase
from gateway.link.records import MinuteRecord

log = logging.getLogger(__name__)

COUNT_AFTER_S = 0.004
"""Samples are counted so much later than they are judged."""
FLIGHTS_AT_ONCE = 8
"""Flight records that are closed in one slice of a tick: when all outlets stop, so do these."""


class Counting:
    """Keeps what was seen for a moment, and counts it then."""

    def __init__(
        self, journal: Journal, flights: Flights, clock: Clock, counted: Callable[[int], None]
    ) -> None:
        """Count nothing yet; ``counted`` takes how many samples there were more."""
        self.minutes = Minutes()
        self._journal = journal
        self._flights = flights
        self._clock = clock
        self._counted = counted
        self._seen: list[tuple[Outlet, Sample | Alive]] = []
        self._is_due = False
        self._has_failed = False

    def on_sample(self, outlet: Outlet, event: Sample | Alive) -> None:
        """Note the sample for later."""
        self._seen.append((outlet, event))
        self._count_soon()

    def on_entry(
        self, outlet: Outlet, notes: list[Note], before: OutletState, now: Now, ticket: Ticket
    ) -> None:
        """Note for later what the flight recorder has to keep."""
        self._flights.happened(outlet, notes, before, now, ticket)
        self._count_soon()

    def close_due(self) -> None:
        """Write down a few of the flight records whose time is over."""
        with self._told_once():
            self._flights.close_due(self._clock.now().mono_ms, FLIGHTS_AT_ONCE)

    def close(self) -> None:
        """Count what is left, and write down what is unfinished."""
        self.count()
        with self._told_once():
            self._flights.close_all()
        for minute in self.minutes.close_all():
            self._keep(minute)

    def count(self) -> None:
        """Count samples, gather minutes of outlets in use, and feed the flight recorder."""
        self._is_due = False
        seen, self._seen = self._seen, []
        with self._told_once():
            self._flights.take(seen, self._clock.now())
        samples = [(outlet, event) for outlet, event in seen if isinstance(event, Sample)]
        self._counted(len(samples))
        for outlet, sample in samples:
            try:
                self._gather(outlet, sample)
            except Exception:
                if not self._has_failed:
                    log.exception("outlet %s: a sample was not counted; told once", outlet.id)
                self._has_failed = True

    def _count_soon(self) -> None:
        if not self._is_due:
            self._is_due = True
            asyncio.get_running_loop().call_later(COUNT_AFTER_S, self.count)

    @contextlib.contextmanager
    def _told_once(self) -> Iterator[None]:
        """Go on without the flight recorder where it fails: outlets come first."""
        try:
            yield
        except Exception:
            if not self._has_failed:
                log.exception("the flight recorder failed; told once")
            self._has_failed = True

    def _gather(self, outlet: Outlet, sample: Sample) -> None:
        total_uj = outlet.state.energy.total_uj
        if outlet.state.lease is not None and outlet.state.phase is not Phase.WAITING:
            self._keep(self.minutes.add(outlet.id, sample, total_uj))
        else:
            self._keep(self.minutes.close(outlet.id, total_uj))

    def _keep(self, minute: MinuteRecord | None) -> None:
        if minute is None:
            return
        try:
            self._journal.put(Entry((), (minute,)))
        except JournalFull:
            # Aggregates are the first to go when the disk can't follow.
            log.debug("a minute of %s was not kept", minute.outlet)
