"""PURE: a recorded charge through the state machine, at full speed.

What a recording can say: the outlet is switched on at its first row, each poll measures the
newest row at or before it, and once the outlet is switched off the recording is over. The last
row holds for as long as the recorder was ever quiet between two rows: one that writes changes
down ends with the change.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import Any, NamedTuple

from gateway.core.clock import Now
from gateway.core.facts import FactKind
from gateway.guard import energy
from gateway.guard.effects import Effect, Note, SwitchOff, SwitchOn
from gateway.guard.events import Event, LeaseDurable, RequestOn, Tick
from gateway.guard.evidence import told
from gateway.guard.limits import Limits
from gateway.guard.model import Lease, Sample
from gateway.guard.protection import step
from gateway.guard.state import OutletState, Phase

_START_MS = 1_000_000
_LEASE = "replay"


class Row(NamedTuple):
    """One row of a recording."""

    at_s: float
    power_w: float
    current_a: float
    voltage_v: float
    temperature_c: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Happening:
    """A fact that came of the recording: an end, a cut-off or an alarm."""

    at_s: float
    """Since the first row."""
    kind: FactKind
    reason: str
    evidence: Mapping[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class Replayed:
    """What came of one recording."""

    lasts_s: float
    """From the first row to the last."""
    end: Happening | None
    """How the charge ended; None: it was still going on at the last row."""
    is_cut: bool
    """Whether it ended latched."""
    alarms: tuple[Happening, ...]
    energy_wh: float
    """Delivered until the end."""
    highest_w: float
    last_w: float
    """The power of the sample that decided, or of the last one."""


def replay(
    rows: Sequence[Row],
    limits: Limits,
    *,
    poll_s: float = 1.0,
    longest_gap_s: float | None = None,
) -> Replayed:
    """Switch an outlet on, show it the rows as polls would, and tell what came of it.

    Rows are in the order of their times, at least one. A row holds until the next one, but no
    longer than ``longest_gap_s``: after that nothing is heard. The lease lasts as long as the
    longest time allows.
    """
    # Rows that are held look like a meter that stands still.
    play = _Play(replace(limits, frozen_meter=None), rows[0])
    highest_w = last_w = 0.0
    for row, at_s in _polls(rows, poll_s):
        if play.end is not None:
            break
        if longest_gap_s is not None and at_s - row.at_s > longest_gap_s:
            play.wait(at_s - rows[0].at_s)
            continue
        play.show(row, at_s - rows[0].at_s)
        highest_w = max(highest_w, row.power_w)
        last_w = row.power_w
    return Replayed(
        lasts_s=rows[-1].at_s - rows[0].at_s,
        end=play.end,
        is_cut=play.state.latch is not None,
        alarms=tuple(play.alarms),
        energy_wh=energy.total_mwh(play.state.energy) / 1000,
        highest_w=highest_w,
        last_w=last_w,
    )


LONGEST_HOLD_S = 3_600.0
"""A longer pause is no quiet recorder, but one that was away."""


def _ends_s(rows: Sequence[Row]) -> float:
    """Say until when the last row holds."""
    pauses_s = [after.at_s - row.at_s for row, after in pairwise(rows)]
    return rows[-1].at_s + min(max(pauses_s, default=0.0), LONGEST_HOLD_S)


def _polls(rows: Sequence[Row], poll_s: float) -> Iterator[tuple[Row, float]]:
    index = polls = 0
    ends_s = _ends_s(rows)
    while (at_s := rows[0].at_s + polls * poll_s) <= ends_s:
        while index + 1 < len(rows) and rows[index + 1].at_s <= at_s:
            index += 1
        yield rows[index], at_s
        polls += 1


class _Play:
    """One outlet, from the moment it was switched on."""

    def __init__(self, limits: Limits, first: Row) -> None:
        self._limits = limits
        self._now_ms = _START_MS
        self._relay_on = False
        self.state = OutletState(metered=True)
        self.end: Happening | None = None
        self.alarms: list[Happening] = []
        self._feed(self._sample(Row(0.0, 0.0, 0.0, first.voltage_v)))
        lasts_ms = round(limits.longest_time.delay_s * 1000)
        lease = Lease(
            id=_LEASE,
            request_id=_LEASE,
            actor=_LEASE,
            reason=_LEASE,
            granted_ms=self._now_ms,
            granted_utc_ms=self._now_ms,
            until_ms=self._now_ms + lasts_ms,
        )
        self._feed(RequestOn(lease=lease))
        self._feed(LeaseDurable(lease_id=_LEASE))
        if self.state.phase is not Phase.STARTING:
            # Such as a voltage that forbids a start: the first row says why.
            self._note(FactKind.REQUEST_REFUSED, "not started", {"voltage_v": first.voltage_v})

    def show(self, row: Row, since_s: float) -> None:
        """Let time go by until a poll, and show what it measures."""
        self._now_ms = _START_MS + 1 + round(since_s * 1000)
        self._feed(self._sample(row))

    def wait(self, since_s: float) -> None:
        """Let time go by in which nothing is heard."""
        self._now_ms = _START_MS + 1 + round(since_s * 1000)
        self._feed(Tick())

    def _sample(self, row: Row) -> Sample:
        return Sample(
            at_ms=self._now_ms,
            utc_ms=self._now_ms,
            voltage_v=row.voltage_v,
            current_a=row.current_a,
            power_w=row.power_w,
            temperature_c=row.temperature_c,
            relay_on=self._relay_on,
        )

    def _feed(self, event: Event) -> None:
        now = Now(self._now_ms, self._now_ms)
        self.state, effects = step(self.state, event, self._limits, now)
        for effect in effects:
            self._obey(effect)

    def _obey(self, effect: Effect) -> None:
        match effect:
            case SwitchOn():
                self._relay_on = True
            case SwitchOff():
                self._relay_on = False
            case Note(kind=FactKind.LEASE_ENDED | FactKind.OUTLET_ALARM):
                self._note(effect.kind, str(effect.reason), effect.data.get("evidence", {}))

    def _note(self, kind: FactKind, reason: str, evidence: Mapping[str, Any]) -> None:
        at_s = max(0, self._now_ms - _START_MS - 1) / 1000
        found = Happening(at_s=at_s, kind=kind, reason=reason, evidence=told(evidence))
        if kind is FactKind.OUTLET_ALARM:
            self.alarms.append(found)
        elif self.end is None:
            self.end = found
