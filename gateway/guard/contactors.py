"""The contactors of the site, and the shell around their machine. Every method returns at once."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from gateway.config import Circuit
from gateway.config.circuit_model import contactor_point
from gateway.core.clock import Clock, Now
from gateway.core.ids import CircuitId, OutletId
from gateway.core.reasons import Reason
from gateway.guard import contactor as machine
from gateway.guard.contactor import ContactorState, Opened, Step
from gateway.guard.drafts import draft
from gateway.guard.evidence import told
from gateway.guard.journal_entry import Change, DropLatch, Entry
from gateway.guard.limits import Release
from gateway.guard.model import Relays, Sample, WriteResult
from gateway.link.records import LatchRecord

log = logging.getLogger(__name__)

ALWAYS_MS = 10 * 365 * 86_400_000
"""A contactor holds until it is told to open: as long as any timer can be set."""

Write = Callable[[Entry], object]
"""Queues an entry of the journal; never raises."""


class Contactor:
    """The contactor of one circuit (a ``fleet.PointOwner``)."""

    def __init__(
        self, circuit: Circuit, relays: Relays, clock: Clock, write: Write, opened: Opened | None
    ) -> None:
        self.circuit = circuit
        self.point: OutletId = contactor_point(circuit.id)
        self.state = ContactorState(opened=opened)
        self._relays = relays
        self._clock = clock
        self._write = write

    def open_it(self, reason: Reason, evidence: Mapping[str, Any]) -> bool:
        """Open it now, and keep it open. False: it is open already, for an earlier reason."""
        now = self._clock.now()
        was_open = self.state.opened is not None
        self._do(machine.open_it(self.state, reason, evidence, now.mono_ms, now.utc_ms), now)
        return not was_open

    def release(self, actor: str, why: str) -> None:
        """Let it close again, by a person on site."""
        now = self._clock.now()
        self._do(machine.release(self.state, actor, why, now.mono_ms), now)

    def tick(self, *, may_close: bool) -> None:
        """Let time go by."""
        now = self._clock.now()
        self._do(machine.tick(self.state, now.mono_ms, may_close=may_close), now)

    def flows(self, current_a: float, at_ms: int) -> None:
        """Take in what the circuit's meter says."""
        self._do(machine.flows(self.state, current_a, at_ms), self._clock.now())

    # What drivers say

    def on_sample(self, sample: Sample) -> None:
        if sample.relay_on is not None:
            step = machine.sample(self.state, sample.relay_on, sample.at_ms)
            self._do(step, self._clock.now())

    def on_alive(self, at_ms: int) -> None:
        """Nothing follows: what it said last holds for as long as it says nothing else."""

    def on_write(self, wanted_on: bool, result: WriteResult) -> None:
        """Nothing follows: it is told again until it is seen."""

    def _do(self, step: Step, now: Now) -> None:
        before, (self.state, moves, notes) = self.state, step
        for move in moves:
            try:
                if move.close:
                    self._relays.switch_on(self.point, ALWAYS_MS)
                else:
                    self._relays.switch_off(self.point, urgent=move.urgent)
            except Exception:  # it is told again
                log.exception("circuit %s: its contactor's bus did not take it", self.circuit.id)
        if notes:
            facts = tuple(draft("circuit", self.circuit.id, note, now) for note in notes)
            self._write(Entry(facts, tuple(self._changes(before))))

    def _changes(self, before: ContactorState) -> Iterable[Change]:
        scope, opened = f"circuit/{self.circuit.id}", self.state.opened
        if opened is before.opened:
            return
        if opened is None:
            yield DropLatch(scope)
            return
        yield LatchRecord(
            outlet=scope,
            reason=opened.reason.value,
            rule=opened.reason.value,
            release=Release.ON_SITE.value,
            since_utc_ms=opened.since_utc_ms,
            evidence=told(opened.evidence),
        )


def opened_of(circuit: CircuitId, records: Iterable[LatchRecord], now: Now) -> Opened | None:
    """Rebuild from the journal why a contactor was opened, if it was."""
    for record in records:
        if record.outlet == f"circuit/{circuit}":
            evidence = dict(record.evidence)
            try:
                reason = Reason(record.reason)
            except ValueError:  # another version's word: it stays open all the same
                reason, evidence["written_as"] = Reason.INTERRUPTED, record.reason
            return Opened(
                reason=reason,
                since_ms=now.mono_ms,
                since_utc_ms=record.since_utc_ms,
                evidence=evidence,
            )
    return None
