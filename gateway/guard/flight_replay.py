"""PURE: a flight record through the state machine, from the state that was kept before it.

Samples, signs of life and the gaps between them come at their own times, and the relay is what it
was. The recording ends where the outlet was switched off: what was measured after that says
nothing about a charge that other limits would have let go on. Ends that somebody asked for are
not in the samples; nothing but the record itself tells of them.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from typing import Any

from gateway.core.clock import Now
from gateway.core.facts import FactKind
from gateway.core.reasons import Reason
from gateway.guard.effects import Note
from gateway.guard.events import Alive, Event, Tick
from gateway.guard.evidence import told
from gateway.guard.flight_state import state_from_json
from gateway.guard.limits import Limits
from gateway.guard.model import Sample
from gateway.guard.protection import step
from gateway.guard.state import OutletState
from gateway.link.flight import FlightRow

TICK_MS = 1_000
"""Time goes by in such steps where nothing was heard, as it does in the guard."""
SAME_WITHIN_MS = 1_500
"""A tick, and what a busy guard may be late."""
MOST_TICKS = 100_000
"""A gap of more than a day is no gap within one record."""

_ACTIONS = {
    FactKind.OUTLET_CUT: "cut",
    FactKind.LEASE_ENDED: "off",
    FactKind.OUTLET_ALARM: "alarm",
}
_JUDGED = frozenset(
    {
        *(field.name for field in fields(Limits)),
        *(Reason.LEASE_OVER, Reason.LEASE_ENERGY, Reason.INTERRUPTED, Reason.NO_LEASE),
    }
)
"""Reasons that samples and time lead to; the others are asked for."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """What happened to the outlet, or would have."""

    action: str
    """``cut``, ``off`` or ``alarm``."""
    reason: str
    at_ms: int
    evidence: Mapping[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class FlightReplayed:
    """What came of one record."""

    recorded: Verdict
    found: Verdict | None
    """None: nothing, until the moment at which the recorded one was decided."""
    alarms: tuple[str, ...]
    from_ms: int
    """Where the replay began; monotonic, as all times here."""

    @property
    def asked_for(self) -> bool:
        """Whether somebody asked for the recorded end: no limit leads to it."""
        return self.recorded.reason not in _JUDGED

    @property
    def is_same(self) -> bool:
        """Whether the same happens again, for the same reason, at the same time."""
        found, recorded = self.found, self.recorded
        if found is None:
            return self.asked_for
        same = (found.action, found.reason) == (recorded.action, recorded.reason)
        return same and abs(found.at_ms - recorded.at_ms) < SAME_WITHIN_MS


def replay_flight(
    header: Mapping[str, Any], rows: Sequence[FlightRow], limits: Limits
) -> FlightReplayed | None:
    """Show the outlet what followed its kept state; None where none was kept.

    Raises ValueError, TypeError, KeyError or AttributeError for a state that can't be read.
    """
    if header.get("state") is None:
        return None
    play = _Play(state_from_json(header["state"]), limits)
    at_ms = int(header["at_ms"])
    kind = FactKind(header["kind"])
    recorded = Verdict(
        action=_ACTIONS[kind],
        reason=str(header["reason"]),
        at_ms=at_ms,
        evidence=_recorded_evidence(header, kind),
    )
    later = rows[int(header.get("state_rows") or 0) :]
    from_ms = play.now_ms = min((row.at_ms for row in later), default=at_ms)
    for row in later:
        if row.at_ms > at_ms or play.end is not None:
            break
        play.wait_until(row.at_ms)
        play.show(row)
    play.wait_until(at_ms)
    play.feed(Tick())
    return FlightReplayed(
        recorded=recorded,
        found=play.end or play.first_alarm(recorded),
        alarms=tuple(alarm.reason for alarm in play.alarms),
        from_ms=min(from_ms, at_ms),
    )


class _Play:
    def __init__(self, state: OutletState, limits: Limits) -> None:
        self._limits = limits
        self._state = state
        self._utc_ahead_ms = 0
        self.now_ms = 0
        self.end: Verdict | None = None
        self.alarms: list[Verdict] = []

    def wait_until(self, at_ms: int) -> None:
        """Let time go by until just before a moment, or until an end."""
        for _ in range(MOST_TICKS):
            if self.end is not None or self.now_ms + TICK_MS >= at_ms:
                break
            self.now_ms += TICK_MS
            self.feed(Tick())
        if self.end is None:
            self.now_ms = max(self.now_ms, at_ms)

    def show(self, row: FlightRow) -> None:
        self._utc_ahead_ms = row.utc_ms - row.at_ms
        if row.alive:
            self.feed(Alive(row.at_ms))
        else:
            self.feed(Sample(at_ms=row.at_ms, utc_ms=row.utc_ms, **row.values))  # type: ignore[arg-type]

    def feed(self, event: Event) -> None:
        if self.end is not None:
            return
        now = Now(self.now_ms, self.now_ms + self._utc_ahead_ms)
        self._state, effects = step(self._state, event, self._limits, now)
        notes = [effect for effect in effects if isinstance(effect, Note)]
        self.alarms += [self._verdict(n) for n in notes if n.kind is FactKind.OUTLET_ALARM]
        ends = [n for n in notes if n.kind in (FactKind.OUTLET_CUT, FactKind.LEASE_ENDED)]
        if ends:
            cut = next((n for n in ends if n.kind is FactKind.OUTLET_CUT), ends[0])
            self.end = self._verdict(cut)

    def first_alarm(self, recorded: Verdict) -> Verdict | None:
        """Return the alarm that answers a recorded one: the same, else any."""
        if recorded.action != _ACTIONS[FactKind.OUTLET_ALARM]:
            return None
        same = (alarm for alarm in self.alarms if alarm.reason == recorded.reason)
        return next(same, self.alarms[0] if self.alarms else None)

    def _verdict(self, note: Note) -> Verdict:
        return Verdict(
            action=_ACTIONS[note.kind],
            reason=str(note.reason),
            at_ms=self.now_ms,
            evidence=told(note.data.get("evidence", {})),
        )


def _recorded_evidence(header: Mapping[str, Any], kind: FactKind) -> Mapping[str, Any]:
    for fact in header.get("facts") or ():
        if fact.get("kind") == kind:
            evidence: Mapping[str, Any] = fact.get("data", {}).get("evidence", {})
            return evidence
    return {}
