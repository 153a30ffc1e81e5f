"""A machine with a flight recorder behind it, as the guard has it: samples come a bit later."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from gateway.core.facts import Fact
from gateway.core.ids import OutletId
from gateway.guard.effects import Note
from gateway.guard.events import Alive, Event
from gateway.guard.evidence import told
from gateway.guard.flight import Flights
from gateway.guard.flight_record import Flight, Run
from gateway.guard.journal_entry import Ticket
from gateway.guard.limits import Full, Limits, Unplugged
from gateway.guard.model import Sample
from gateway.guard.state import OutletState
from gateway.link.flight import FlightRecord, expand
from tests.support.machine import UTC_MS, Machine

BEFORE_S, AFTER_S = 120, 60
RUN = Run(site="shed", version="9.9", boot_id="boot")
LIMITS = Limits(unplugged=Unplugged(delay_s=30), full=Full(delay_s=300, settle_s=60))


@dataclass
class Watched:
    """An outlet, as the recorder looks at it."""

    id: OutletId
    limits: Limits
    state: OutletState


class Recorded(Machine):
    """A machine with a recorder behind it, as the guard has it: samples come a bit later."""

    def __init__(self, limits: Limits = LIMITS) -> None:
        super().__init__(limits)
        self.kept: list[Flight] = []
        self.flights = Flights(
            before_ms=BEFORE_S * 1000, after_ms=AFTER_S * 1000, run=RUN, put=self.kept.append
        )
        self.watched = Watched(OutletId("n1-1"), limits, self.state)
        self.seq = 0
        self._seen: list[tuple[Watched, Sample | Alive]] = []

    def feed(self, event: Event) -> Any:
        before = self.state
        effects = super().feed(event)
        notes = [effect for effect in effects if isinstance(effect, Note)]
        if notes:
            ticket = Ticket()
            ticket.settle(tuple(self._fact(note) for note in notes))
            self.flights.happened(self.watched, notes, before, self.now(), ticket)
        if isinstance(event, Sample | Alive):
            self._seen.append((self.watched, event))
            self.count()
        return effects

    def count(self) -> None:
        self.watched.state = self.state
        self.flights.take(self._seen, self.now())
        self._seen = []
        self.flights.close_due(self.now_ms, 10)

    def _fact(self, note: Note) -> Fact:
        self.seq += 1
        data = dict(note.data)
        if "evidence" in data:
            data["evidence"] = told(data["evidence"])
        return Fact(
            *(self.seq, f"id-{self.seq}", note.kind, "outlet/n1-1", UTC_MS + self.now_ms),
            *("synced", note.actor, str(note.reason), data),
        )

    def course(self, power_w: float, seconds: int, **values: Any) -> None:
        for _ in range(seconds):
            self.sample(power_w if self.relay_on else 0.0, **values)

    def record(self, number: int = -1) -> FlightRecord:
        made = self.kept[number].make()
        assert made is not None
        return expand(made.header, made.rows)


def played(*course: tuple[float, int], limits: Limits = LIMITS) -> Recorded:
    machine = Recorded(limits)
    machine.switch_on()
    for power_w, seconds in course:
        machine.course(power_w, seconds)
    return machine
