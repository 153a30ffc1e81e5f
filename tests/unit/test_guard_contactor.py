"""A contactor: opened at once and for good, told until it is seen, closed by a person alone."""

from __future__ import annotations

from dataclasses import dataclass, field

from gateway.core.facts import FactKind
from gateway.core.reasons import Reason
from gateway.guard import contactor
from gateway.guard.contactor import ContactorState, Move, Step
from gateway.guard.effects import Note


@dataclass
class Contactor:
    state: ContactorState = field(default_factory=ContactorState)
    now_ms: int = 1_000_000
    moves: list[Move] = field(default_factory=list)
    notes: list[Note] = field(default_factory=list)

    def _take(self, step: Step) -> None:
        self.state, moves, notes = step
        self.moves += moves
        self.notes += notes

    def open_it(self, reason: Reason = Reason.WELDED) -> None:
        self._take(contactor.open_it(self.state, reason, {"outlet": "a"}, self.now_ms, 0))

    def release(self) -> None:
        self._take(contactor.release(self.state, "anna", "replaced", self.now_ms))

    def seen(self, closed: bool, after_ms: int = 500) -> None:
        self.now_ms += after_ms
        self._take(contactor.sample(self.state, closed, self.now_ms))

    def flows(self, current_a: float, after_ms: int = 500) -> None:
        self.now_ms += after_ms
        self._take(contactor.flows(self.state, current_a, self.now_ms))

    def tick(self, seconds: float, *, may_close: bool = False) -> None:
        for _ in range(round(seconds * 4)):
            self.now_ms += 250
            self._take(contactor.tick(self.state, self.now_ms, may_close=may_close))

    def kinds(self) -> list[FactKind]:
        return [note.kind for note in self.notes]


def test_it_is_told_at_once_and_until_it_is_seen_open() -> None:
    one = Contactor()
    one.seen(closed=True)
    one.open_it()
    assert one.moves == [Move(close=False, urgent=True)]
    one.tick(3)
    assert one.moves[1:] == [
        Move(close=False, urgent=True),
        Move(close=False, urgent=True),
        Move(close=False, urgent=False),
    ]
    one.seen(closed=False)
    assert one.kinds() == [FactKind.CONTACTOR_OPENED, FactKind.CONTACTOR_SEEN]
    count = len(one.moves)
    one.tick(60)
    assert len(one.moves) == count


def test_what_opened_it_first_stands() -> None:
    one = Contactor()
    one.open_it(Reason.WELDED)
    one.open_it(Reason.FIRE)
    assert one.state.opened is not None
    assert one.state.opened.reason is Reason.WELDED
    assert one.kinds() == [FactKind.CONTACTOR_OPENED]


def test_one_that_is_not_seen_open_is_an_alarm_once_and_is_told_for_ever() -> None:
    one = Contactor()
    one.seen(closed=True)
    one.open_it()
    for _ in range(20):
        one.tick(1)
        one.seen(closed=True)
    assert one.kinds() == [FactKind.CONTACTOR_OPENED, FactKind.CONTACTOR_ALARM]
    assert one.notes[-1].reason is Reason.NO_REACTION
    assert len(one.moves) > 15
    one.seen(closed=False)
    assert one.kinds()[2:] == [FactKind.CONTACTOR_SEEN, FactKind.CONTACTOR_ALARM_CLEARED]


def test_current_behind_an_open_contactor_is_a_weld() -> None:
    one = Contactor()
    one.open_it()
    one.seen(closed=False)
    one.tick(6)
    one.flows(12.0)
    one.tick(2)
    assert one.kinds()[-1] is FactKind.CONTACTOR_ALARM
    assert one.notes[-1].reason is Reason.WELDED
    assert one.moves[-1] == Move(close=False, urgent=True)


def test_without_feedback_it_is_seen_open_when_nothing_flows() -> None:
    one = Contactor()
    one.open_it()
    one.flows(0.01)
    assert one.kinds() == [FactKind.CONTACTOR_OPENED, FactKind.CONTACTOR_SEEN]


def test_it_never_closes_by_itself_once_opened() -> None:
    one = Contactor()
    one.open_it()
    one.seen(closed=False)
    one.tick(600, may_close=True)
    assert not any(move.close for move in one.moves)
    assert one.state.is_open


def test_released_it_closes_once_nothing_behind_it_is_on() -> None:
    one = Contactor()
    one.open_it()
    one.seen(closed=False)
    one.release()
    assert one.notes[-1].kind is FactKind.CONTACTOR_RELEASED
    assert one.notes[-1].actor == "anna"
    one.tick(5)
    assert not any(move.close for move in one.moves)
    one.tick(1, may_close=True)
    assert one.moves[-1] == Move(close=True)
    assert one.state.is_open
    one.seen(closed=True)
    assert not one.state.is_open
    assert one.notes[-1].data["closed"] is True


def test_one_that_fell_open_is_told_to_close_now_and_then_and_alarms() -> None:
    one = Contactor()
    one.seen(closed=False)
    one.tick(25, may_close=True)
    assert one.moves == [Move(close=True)] * 3
    assert one.kinds() == [FactKind.CONTACTOR_ALARM]


def test_an_old_sample_says_nothing() -> None:
    one = Contactor()
    one.open_it()
    one.seen(closed=False, after_ms=-500)
    assert one.kinds() == [FactKind.CONTACTOR_OPENED]
