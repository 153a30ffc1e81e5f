"""PURE: the contactor of one circuit: closed, and once opened closed again by a person alone.

Its relay holds it closed, so that it opens when the relay's module loses its supply. Told to open
it is told again, as an outlet is (``stopping``): three times at once, then once a second. What it
does is known from its feedback where there is one, and from the circuit's meter otherwise.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from gateway.core.facts import FactKind
from gateway.core.reasons import Reason
from gateway.guard.effects import Note
from gateway.guard.stopping import AT_ONCE, RETRY_MS

SEEN_MS = 5_000
"""A contactor follows within this, feedback and poll included; later it is an alarm."""
CLOSE_AGAIN_MS = 10_000
"""A contactor that is found open without having been told to is told to close so often."""
FLOWS_A = 0.5
"""More than this behind an open contactor is a current: feeds are measured coarsely."""


class Seen(NamedTuple):
    """What samples say about a contactor."""

    is_closed: bool | None = None
    at_ms: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Opened:
    """Why a contactor stays open, until a person on site releases it."""

    reason: Reason
    since_ms: int
    since_utc_ms: int
    evidence: Mapping[str, Any] = field(default_factory=dict)


class ContactorState(NamedTuple):
    """All that is known of a contactor. Times are monotonic milliseconds."""

    opened: Opened | None = None
    seen: Seen = Seen()
    told_ms: int | None = None
    """When it was last told what it is told now."""
    asked_ms: int | None = None
    """Since when it has been told that."""
    attempts: int = 0
    flows_ms: int | None = None
    """When current was last seen behind it."""
    confirmed: bool = False
    """Whether it was seen as it was told."""
    alarmed: bool = False

    @property
    def is_open(self) -> bool:
        """Whether it is open, or told to open, for all that is known."""
        return self.opened is not None or self.seen.is_closed is False


class Move(NamedTuple):
    """What the contactor's relay is told."""

    close: bool
    urgent: bool = False


Step = tuple[ContactorState, list[Move], list[Note]]


def open_it(
    state: ContactorState,
    reason: Reason,
    evidence: Mapping[str, Any],
    now_ms: int,
    utc_ms: int,
) -> Step:
    """Open the contactor, at once and for good; what opened it first stands."""
    if state.opened is not None:
        return state, [], []
    opened = Opened(reason=reason, since_ms=now_ms, since_utc_ms=utc_ms, evidence=dict(evidence))
    note = Note(kind=FactKind.CONTACTOR_OPENED, reason=reason, data={"evidence": dict(evidence)})
    state = ContactorState(opened, state.seen, now_ms, now_ms, 1, state.flows_ms)
    return state, [Move(close=False, urgent=True)], [note]


def release(state: ContactorState, actor: str, why: str, now_ms: int) -> Step:
    """Let the contactor close again; it is told to when nothing behind it is on."""
    if state.opened is None:
        return state, [], []
    data: dict[str, Any] = {"opened_ms": now_ms - state.opened.since_ms}
    if why:
        data["why"] = why
    note = Note(
        kind=FactKind.CONTACTOR_RELEASED, reason=state.opened.reason, actor=actor, data=data
    )
    return ContactorState(seen=state.seen), [], [note]


def sample(state: ContactorState, is_closed: bool, at_ms: int) -> Step:
    """Take in what its feedback, or its relay, says."""
    if state.seen.at_ms is not None and at_ms <= state.seen.at_ms:
        return state, [], []
    return _judge(state._replace(seen=Seen(is_closed, at_ms)), at_ms, is_closed=is_closed)


def flows(state: ContactorState, current_a: float, at_ms: int) -> Step:
    """Take in what the circuit's meter says: current behind an open contactor is a weld."""
    if current_a > FLOWS_A:
        return state._replace(flows_ms=at_ms, confirmed=False), [], []
    if state.seen.is_closed is None and state.opened is not None:
        # Nobody sees its contacts; but nothing flows.
        return _judge(state._replace(seen=Seen(None, at_ms)), at_ms, is_closed=False)
    return state, [], []


def tick(state: ContactorState, now_ms: int, *, may_close: bool) -> Step:
    """Let time go by: tell it again, and say when it does not follow.

    ``may_close``: nothing behind it is on, or may be.
    """
    if state.opened is not None:
        return _tell_to_open(state, now_ms)
    if state.seen.is_closed is not False:
        return state, [], []
    waited = state.told_ms is None or now_ms - state.told_ms >= CLOSE_AGAIN_MS
    moves = [Move(close=True)] if may_close and waited else []
    if moves:
        asked_ms = now_ms if state.asked_ms is None else state.asked_ms
        attempts = state.attempts + 1
        state = state._replace(told_ms=now_ms, asked_ms=asked_ms, attempts=attempts)
    return _alarm(state, moves, now_ms, "it stays open although told to close")


def _tell_to_open(state: ContactorState, now_ms: int) -> Step:
    moves: list[Move] = []
    if not state.confirmed and (state.told_ms is None or now_ms - state.told_ms >= RETRY_MS):
        moves.append(Move(close=False, urgent=state.attempts < AT_ONCE))
        state = state._replace(told_ms=now_ms, attempts=state.attempts + 1)
        if state.asked_ms is None:
            state = state._replace(asked_ms=now_ms)
    if state.flows_ms is not None and state.flows_ms > (state.asked_ms or now_ms) + SEEN_MS:
        return _alarm(state, moves, now_ms, "current flows behind it although told to open")
    if state.confirmed:
        return state, moves, []
    return _alarm(state, moves, now_ms, "it is not seen open although told to")


def _alarm(state: ContactorState, moves: list[Move], now_ms: int, detail: str) -> Step:
    late = state.asked_ms is not None and now_ms - state.asked_ms >= SEEN_MS
    if state.alarmed or not late:
        return state, moves, []
    reason = Reason.WELDED if state.flows_ms is not None and state.opened else Reason.NO_REACTION
    note = Note(kind=FactKind.CONTACTOR_ALARM, reason=reason, data={"detail": detail})
    return state._replace(alarmed=True), moves, [note]


def _judge(state: ContactorState, at_ms: int, *, is_closed: bool) -> Step:
    wanted_closed = state.opened is None
    if state.asked_ms is None or is_closed is not wanted_closed:
        return state._replace(confirmed=False), [], []
    still_flows = state.flows_ms is not None and state.flows_ms > state.asked_ms + SEEN_MS
    if state.confirmed or at_ms <= state.asked_ms or (not wanted_closed and still_flows):
        return state, [], []
    data = {"closed": wanted_closed, "after_ms": at_ms - state.asked_ms, "attempts": state.attempts}
    notes = [Note(kind=FactKind.CONTACTOR_SEEN, data=data)]
    if state.alarmed:
        notes.append(Note(kind=FactKind.CONTACTOR_ALARM_CLEARED))
    state = state._replace(confirmed=True, alarmed=False)
    if wanted_closed:
        state = ContactorState(seen=state.seen)
    return state, [], notes
