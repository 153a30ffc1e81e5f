"""The flight recorder: every sample of the last minutes, kept when something ends.

It stands behind the way from a sample to a cut-off: samples reach it some milliseconds after they
were judged, and are packed into one ring of bytes an outlet, so that 1,000 outlets at full rate
leave nothing for the garbage collector. An end or a cut-off opens a window; once that has lasted,
the ring is copied and handed on. What lies in memory (rings, open windows) is lost with the
process: a guard that is killed keeps the records whose windows were closed, and no others.
"""

from __future__ import annotations

import struct
from bisect import bisect_left
from collections import deque
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from gateway.core.clock import Now, TimeQuality
from gateway.core.facts import FactKind
from gateway.core.ids import OutletId
from gateway.guard.effects import Note
from gateway.guard.events import Alive
from gateway.guard.flight_record import KINDS, Flight, Run, Start
from gateway.guard.journal_entry import Ticket
from gateway.guard.limits import Limits
from gateway.guard.model import Lease, Sample
from gateway.guard.state import OutletState, Phase
from gateway.link.flight import (
    ALARM_SHIFT,
    ALIVE_BIT,
    NO_ENERGY,
    NOT_TOLD,
    QUALITIES,
    RELAY_SHIFT,
    ROW,
)

FEWEST_ROWS = 64
MOST_ROWS = 4_096
"""Of one outlet, 280 KB: three minutes of a device that tells twenty values a second."""
START_EVERY_MS = 30_000
"""A replay begins at one of the states that are kept so often."""
MOST_OPEN = 8
"""Windows of one outlet; what happens beyond joins the newest."""

_BITS = {quality: number for number, quality in enumerate(QUALITIES)}
_AT = struct.Struct("<q")
_ENDS = (FactKind.LEASE_ENDED, FactKind.OUTLET_CUT)


class Watched(Protocol):
    """What is looked at of an outlet."""

    @property
    def id(self) -> OutletId: ...

    @property
    def limits(self) -> Limits: ...

    @property
    def state(self) -> OutletState: ...


class Ring:
    """The newest rows of one outlet, as bytes. Grows while it holds less than ``span_ms``."""

    def __init__(self, span_ms: int) -> None:
        self._span_ms = span_ms
        self._slots = FEWEST_ROWS
        self._bytes = bytearray(self._slots * ROW.size)
        self._oldest = 0
        self.kept = 0
        self.total = 0
        """Rows that were ever added."""

    def add(self, sample: Sample, quality: TimeQuality) -> None:
        """Take a sample in."""
        relay_on, alarm = sample.relay_on, sample.alarm
        bits = _BITS[quality]
        if relay_on is not None:
            bits |= (2 if relay_on else 1) << RELAY_SHIFT
        if alarm is not None:
            bits |= (2 if alarm else 1) << ALARM_SHIFT
        none = NOT_TOLD
        row = ROW.pack(
            sample.at_ms,
            sample.utc_ms,
            none if sample.voltage_v is None else sample.voltage_v,
            none if sample.current_a is None else sample.current_a,
            none if sample.power_w is None else sample.power_w,
            none if sample.power_factor is None else sample.power_factor,
            none if sample.frequency_hz is None else sample.frequency_hz,
            none if sample.temperature_c is None else sample.temperature_c,
            NO_ENERGY if sample.energy_mwh is None else sample.energy_mwh,
            bits,
        )
        self._put(row, sample.at_ms)

    def add_alive(self, at_ms: int, now: Now) -> None:
        """Take a sign of life in."""
        utc_ms = now.utc_ms - (now.mono_ms - at_ms)
        bits = _BITS[now.quality] | ALIVE_BIT
        self._put(ROW.pack(at_ms, utc_ms, *(NOT_TOLD,) * 6, NO_ENERGY, bits), at_ms)

    def since(self, from_ms: int) -> tuple[int, bytes]:
        """Return the number of the first row from a moment on, and the rows from it on."""
        rows = self._in_order()
        first = bisect_left(range(self.kept), from_ms, key=lambda n: _time(rows, n))
        return self.total - self.kept + first, bytes(rows[first * ROW.size :])

    def _put(self, row: bytes, at_ms: int) -> None:
        if self.kept == self._slots and self._slots < MOST_ROWS:
            oldest_ms = _time(self._bytes, self._oldest)
            if at_ms - oldest_ms < self._span_ms:
                self._grow()
        if self.kept < self._slots:
            place = self.kept
            self.kept += 1
        else:
            place = self._oldest
            self._oldest = (place + 1) % self._slots
        self._bytes[place * ROW.size : (place + 1) * ROW.size] = row
        self.total += 1

    def _grow(self) -> None:
        rows = self._in_order()
        self._oldest = 0
        self._bytes = rows + bytes(len(rows))
        self._slots *= 2

    def _in_order(self) -> bytearray:
        split = self._oldest * ROW.size
        return self._bytes[split : self.kept * ROW.size] + self._bytes[:split]


def _time(rows: bytes | bytearray, number: int) -> int:
    at_ms: int = _AT.unpack_from(rows, number * ROW.size)[0]
    return at_ms


@dataclass(slots=True)
class _Window:
    """An end, a cut-off or an alarm, and what comes after it."""

    outlet: Watched
    at: Now
    due_ms: int
    lease: Lease | None
    starts: tuple[Start, ...]
    tickets: list[Ticket]


@dataclass(slots=True)
class _Track:
    """What is kept of one outlet."""

    ring: Ring
    starts: deque[tuple[int, Start]] = field(default_factory=deque)
    """States, each with when it was kept, oldest first."""
    open: deque[_Window] = field(default_factory=deque)


class Flights:
    """The recorders of all outlets. Every method is called in the event loop's thread."""

    def __init__(
        self, *, before_ms: int, after_ms: int, run: Run, put: Callable[[Flight], None]
    ) -> None:
        self._before_ms = before_ms
        self._after_ms = after_ms
        self._run = run
        self._put = put
        self._tracks: dict[OutletId, _Track] = {}
        self._open: deque[_Window] = deque()
        self._happened: list[tuple[Watched, Sequence[Note], OutletState, Now, Ticket]] = []

    def happened(
        self, outlet: Watched, notes: Sequence[Note], before: OutletState, now: Now, ticket: Ticket
    ) -> None:
        """Note that facts are being written down. Called while a cut-off leaves: only noted."""
        self._happened.append((outlet, notes, before, now, ticket))

    def take(self, seen: Iterable[tuple[Watched, Sample | Alive]], now: Now) -> None:
        """Take in what was fed to outlets since the last call, all of it, in its order."""
        happened, self._happened = self._happened, []
        touched: dict[OutletId, Watched] = {}
        for outlet, notes, before, at, ticket in happened:
            self._open_window(outlet, notes, before, at, ticket)
            touched[outlet.id] = outlet
        for outlet, event in seen:
            ring = self._track(outlet.id).ring
            if isinstance(event, Alive):
                ring.add_alive(event.at_ms, now)
            else:
                ring.add(event, now.quality)
            touched[outlet.id] = outlet
        # Only now do state and ring tell of the same moment.
        for outlet in touched.values():
            self._keep_start(outlet, now.mono_ms)

    def close_due(self, now_ms: int, most: int) -> None:
        """Close the windows that have lasted, some at a time."""
        for _ in range(most):
            if not self._open or self._open[0].due_ms > now_ms:
                return
            self._close(self._open.popleft(), whole=True)

    def close_all(self) -> None:
        """Close all windows: the run is over."""
        while self._open:
            self._close(self._open.popleft(), whole=False)

    def _track(self, outlet: OutletId) -> _Track:
        track = self._tracks.get(outlet)
        if track is None:
            # What comes while windows wait for their turn must not push out what they begin with.
            track = _Track(Ring(self._before_ms + self._after_ms + START_EVERY_MS))
            self._tracks[outlet] = track
        return track

    def _open_window(
        self, outlet: Watched, notes: Sequence[Note], before: OutletState, at: Now, ticket: Ticket
    ) -> None:
        kinds = {note.kind for note in notes}
        if kinds.isdisjoint(KINDS):
            return
        track = self._track(outlet.id)
        alarm = kinds.isdisjoint(_ENDS)
        if track.open and (alarm or len(track.open) >= MOST_OPEN):
            newest = track.open[-1]
            if len(newest.tickets) < MOST_OPEN:
                newest.tickets.append(ticket)
            return
        window = _Window(
            outlet=outlet,
            at=at,
            due_ms=at.mono_ms + self._after_ms,
            lease=before.lease,
            starts=tuple(start for _, start in track.starts),
            tickets=[ticket],
        )
        track.open.append(window)
        self._open.append(window)

    def _close(self, window: _Window, *, whole: bool) -> None:
        track = self._track(window.outlet.id)
        track.open.remove(window)
        first, packed = track.ring.since(window.at.mono_ms - self._before_ms)
        incomplete = () if whole else ("after",)
        lost = track.ring.total - track.ring.kept
        if first == lost > 0:
            incomplete = ("before", *incomplete)
        usable = (start for start in window.starts if start.rows >= first)
        self._put(
            Flight(
                outlet=window.outlet.id,
                run=self._run,
                at=window.at,
                before_ms=self._before_ms,
                after_ms=self._after_ms,
                limits=window.outlet.limits,
                lease=window.lease,
                start=next(usable, None),
                first_row=first,
                packed=packed,
                incomplete=incomplete,
                tickets=tuple(window.tickets),
            )
        )

    def _keep_start(self, outlet: Watched, now_ms: int) -> None:
        track = self._track(outlet.id)
        state, starts = outlet.state, track.starts
        if starts:
            last_ms, last = starts[-1]
            if not _leads_to(last.state, state):
                starts.clear()
            elif last.state.lease is not state.lease:
                # Renewed: what was known is the same, but for how long it may last.
                track.starts = starts = deque(
                    (at_ms, Start(rows=s.rows, state=s.state._replace(lease=state.lease)))
                    for at_ms, s in starts
                )
            if starts and now_ms - last_ms < START_EVERY_MS:
                return
        starts.append((now_ms, Start(rows=track.ring.total, state=state._replace(recent=()))))
        oldest_ms = now_ms - self._before_ms - self._after_ms - START_EVERY_MS
        while starts[0][0] < oldest_ms:
            starts.popleft()


def _leads_to(then: OutletState, now: OutletState) -> bool:
    """Say whether samples and time alone can have led from one state to the other.

    A request, a grant and a reset are not in the rows: a replay begins after them.
    """
    same_lease = (then.lease and then.lease.id) == (now.lease and now.lease.id)
    same_latch = then.latch is None or now.latch is not None
    moved = then.phase is not now.phase
    by_sample = then.phase is Phase.STARTING and now.phase is Phase.ON
    same_scopes = then.locks == now.locks and then.trips == now.trips
    return same_lease and same_latch and same_scopes and (by_sample or not moved)
