"""PURE: the course of a command, from its answer and the facts that follow.

``recorded`` (written down here) -> ``accepted`` (the guard has taken it) -> ``succeeded``,
``failed`` or ``unknown``; or ``refused``. Commanded is not actual: an ``on`` has succeeded
when the fact says that a sample shows the outlet on, an ``off`` when samples show it off.
Facts are the truth: they also revise a verdict that was given for want of them
(``not_delivered``, ``unknown``).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from enum import StrEnum
from typing import Any

from gateway.core.facts import Fact, FactKind
from gateway.core.reasons import Reason


class CommandAction(StrEnum):
    """What may be asked for."""

    ON = "on"
    OFF = "off"
    RESET = "reset"
    LOCK = "lock"
    UNLOCK = "unlock"


class CommandState(StrEnum):
    """How far a command has come."""

    RECORDED = "recorded"
    """Written down; the guard has not answered yet."""
    ACCEPTED = "accepted"
    """The guard has taken it; samples have not shown it yet."""
    REFUSED = "refused"
    """The guard has turned it down, for all of its outlets."""
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    """At least one outlet did not do it, or nothing was delivered."""
    UNKNOWN = "unknown"
    """What became of it can't be known; look at the outlets."""


OPEN = (CommandState.RECORDED, CommandState.ACCEPTED)

NOT_DELIVERED = "not_delivered"
ANSWER_LOST = "answer_lost"
INTERRUPTED = "interrupted"
NOT_SEEN = "not_seen"
WAITS = "waits_for_room"
"""Of an ``on`` whose circuits have no room: it goes on when they have, or ends with its lease."""

REVISABLE = frozenset({NOT_DELIVERED, ANSWER_LOST, INTERRUPTED, NOT_SEEN, Reason.SILENCE.value})
"""Codes that stand for want of facts."""

_WITHOUT_ANSWER = frozenset({NOT_DELIVERED, ANSWER_LOST})
"""Codes that stand for want of an answer; the other ones were given by facts or by time."""

_NO_REACTION = frozenset({Reason.NO_REACTION.value, Reason.WELDED.value})


class OutletResult(StrEnum):
    """How a command fares for one outlet."""

    WAITING = "waiting"
    """Told; samples have not shown it yet."""
    DONE = "done"
    NOTHING_TO_DO = "nothing_to_do"
    REFUSED = "refused"
    FAILED = "failed"
    UNKNOWN = "unknown"


_BAD = (OutletResult.REFUSED, OutletResult.FAILED, OutletResult.UNKNOWN)


@dataclass(frozen=True, slots=True, kw_only=True)
class OutletCourse:
    """How a command fares for one outlet."""

    result: OutletResult
    code: str = ""
    message: str = ""
    lease_id: str | None = None
    until_utc_ms: int | None = None
    """When the lease is over, unless something ends it before."""

    def to_json(self) -> dict[str, Any]:
        return {
            "result": self.result.value,
            "code": self.code,
            "message": self.message,
            "lease_id": self.lease_id,
            "until_utc_ms": self.until_utc_ms,
        }

    @staticmethod
    def from_json(value: Mapping[str, Any]) -> OutletCourse:
        return OutletCourse(
            result=OutletResult(value["result"]),
            code=value["code"],
            message=value["message"],
            lease_id=value["lease_id"],
            until_utc_ms=value["until_utc_ms"],
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Course:
    """Where a command stands: known from how it fares for each of its outlets."""

    action: CommandAction
    command_id: str
    targets: frozenset[str]
    """The outlets it is meant for; never empty."""
    outlets: Mapping[str, OutletCourse] = field(default_factory=dict)
    """Those of which something is known."""

    @property
    def unanswered(self) -> frozenset[str]:
        """Outlets of which nothing is known yet, or of which the answer was lost."""
        known = {o for o, part in self.outlets.items() if part.code != ANSWER_LOST}
        return self.targets - known

    @property
    def waiting(self) -> frozenset[str]:
        """Outlets that were told and that samples have not shown yet."""
        return frozenset(
            o for o, part in self.outlets.items() if part.result is OutletResult.WAITING
        )

    @property
    def open_to_facts(self) -> bool:
        """Whether facts may still change it."""
        return self.judged.state in OPEN or any(
            part.code in REVISABLE for part in self.outlets.values()
        )

    @property
    def judged(self) -> Judgement:
        """The whole, judged by its parts."""
        if not self.outlets:
            return Judgement(CommandState.RECORDED)
        results = {part.result for part in self.outlets.values()}
        if OutletResult.WAITING in results or self.targets - self.outlets.keys():
            held = [part for part in self.outlets.values() if part.code == WAITS]
            if held:
                return Judgement(CommandState.ACCEPTED, WAITS, held[0].message)
            return Judgement(CommandState.ACCEPTED)
        if results <= {OutletResult.DONE, OutletResult.NOTHING_TO_DO}:
            return Judgement(CommandState.SUCCEEDED)
        if results == {OutletResult.REFUSED}:
            state = CommandState.REFUSED
        elif results & {OutletResult.FAILED, OutletResult.REFUSED}:
            state = CommandState.FAILED
        else:
            state = CommandState.UNKNOWN
        return self._worst(state)

    def _worst(self, state: CommandState) -> Judgement:
        bad = {o: part for o, part in self.outlets.items() if part.result in _BAD}
        outlet, part = next(iter(bad.items()))
        if len(self.targets) == 1:
            return Judgement(state, part.code, part.message)
        count = f"{len(bad)} of {len(self.targets)} outlets"
        message = part.message.removeprefix(f"{outlet}: ")
        return Judgement(state, part.code, f"{count}; {outlet}: {message}")


@dataclass(frozen=True, slots=True)
class Judgement:
    """What a command's parts amount to."""

    state: CommandState
    code: str = ""
    message: str = ""


def request_id(command_id: str, outlet: str, *, single: bool) -> str:
    """Name a command's request to the guard: the command's id, for groups with the outlet."""
    return command_id if single else f"{command_id}/{outlet}"


def with_outlets(course: Course, results: Mapping[str, OutletCourse]) -> Course:
    """Take in how some of the outlets fare.

    What facts have shown in the meantime stands: an answer is older than the facts.
    """
    news = {
        outlet: part
        for outlet, part in results.items()
        if not (
            part.result is OutletResult.WAITING
            and outlet in course.outlets
            and course.outlets[outlet].code not in _WITHOUT_ANSWER
        )
    }
    return replace(course, outlets={**course.outlets, **news})


def for_all(course: Course, outlets: Iterable[str], part: OutletCourse) -> Course:
    """Let some of the outlets fare alike."""
    return with_outlets(course, dict.fromkeys(sorted(outlets), part))


def refused(course: Course, part: OutletCourse) -> Course:
    """Say that the guard has turned the whole command down."""
    return for_all(course, course.unanswered, part)


def not_delivered(course: Course, message: str) -> Course:
    """Say that nothing reached the guard, as far as its facts tell."""
    part = OutletCourse(result=OutletResult.FAILED, code=NOT_DELIVERED, message=message)
    return for_all(course, course.unanswered, part)


def not_seen(course: Course, message: str) -> Course:
    """Say that it was accepted, and that no sample has shown it in all the time allowed.

    What waits for room on a circuit is given the time of its lease.
    """
    late = {o for o in course.waiting if course.outlets[o].code != WAITS}
    return _ended(course, OutletResult.UNKNOWN, NOT_SEEN, message, late)


def with_fact(course: Course, fact: Fact) -> Course:
    """Take one fact in; one that says nothing about the command changes nothing."""
    if not course.open_to_facts:
        return course
    if fact.kind == FactKind.GUARD_STARTED:
        return _interrupted(course)
    scope, _, outlet = fact.subject.partition("/")
    if scope != "outlet" or outlet not in course.targets:
        return course
    if course.action is CommandAction.ON:
        found = _on_fact(course, fact, outlet)
    elif course.action is CommandAction.OFF:
        found = _off_fact(course, fact, outlet)
    else:
        found = None
    return course if found is None else replace(course, outlets={**course.outlets, outlet: found})


def _on_fact(course: Course, fact: Fact, outlet: str) -> OutletCourse | None:
    """Judge an ``on`` by the facts of its own request; others on the outlet are not its own."""
    mine = request_id(course.command_id, outlet, single=len(course.targets) == 1)
    if fact.data.get("request_id") not in (mine, course.command_id):
        return None
    known = course.outlets.get(outlet, OutletCourse(result=OutletResult.WAITING))
    if known.result is not OutletResult.WAITING and known.code not in REVISABLE:
        return None
    match fact.kind:
        case FactKind.LEASE_STARTED:
            return OutletCourse(
                result=OutletResult.WAITING,
                lease_id=_text(fact.data.get("lease_id")),
                until_utc_ms=_integer(fact.data.get("until_utc_ms")),
            )
        case FactKind.OUTLET_WAITING:
            message = f"no room on circuit {fact.data.get('circuit')}: it goes on when there is"
            return replace(known, code=WAITS, message=message)
        case FactKind.OUTLET_ON:
            lease_id = _text(fact.data.get("lease_id")) or known.lease_id
            return replace(known, result=OutletResult.DONE, code="", message="", lease_id=lease_id)
        case FactKind.LEASE_ENDED:
            message = f"its lease ended before a sample showed the outlet on: {fact.reason}"
            return replace(known, result=OutletResult.FAILED, code=fact.reason, message=message)
        case FactKind.REQUEST_REFUSED:
            return _refusal(fact)
    return None


def _off_fact(course: Course, fact: Fact, outlet: str) -> OutletCourse | None:
    """Judge an ``off`` by what is seen at the outlet, whoever else wanted it off as well."""
    known = course.outlets.get(outlet)
    if fact.kind == FactKind.REQUEST_REFUSED:
        mine = fact.data.get("request_id") == course.command_id
        return _refusal(fact) if mine else None
    if (
        known is not None
        and known.result is not OutletResult.WAITING
        and known.code not in REVISABLE
    ):
        return None
    if fact.kind == FactKind.OUTLET_OFF:
        return OutletCourse(result=OutletResult.DONE)
    reason = fact.reason
    if fact.kind in (FactKind.OUTLET_CUT, FactKind.OUTLET_ALARM) and reason in _NO_REACTION:
        message = f"told to go off, and samples say otherwise: {reason}"
        return OutletCourse(result=OutletResult.FAILED, code=reason, message=message)
    if fact.kind == FactKind.OUTLET_ALARM and reason == Reason.SILENCE:
        message = "told to go off, and its device does not answer"
        return OutletCourse(result=OutletResult.UNKNOWN, code=reason, message=message)
    return None


def _refusal(fact: Fact) -> OutletCourse:
    return OutletCourse(
        result=OutletResult.REFUSED,
        code=_text(fact.data.get("code")) or "refused",
        message=_text(fact.data.get("message")) or "",
    )


def _interrupted(course: Course) -> Course:
    """End what the guard was about: it has started anew, and switches everything off."""
    if course.action is CommandAction.ON:
        message = "the guard was restarted before a sample showed the outlet on"
        return _ended(course, OutletResult.FAILED, INTERRUPTED, message)
    message = "the guard was restarted before samples showed the outlet off; it switches it off"
    return _ended(course, OutletResult.UNKNOWN, INTERRUPTED, message)


def _ended(
    course: Course,
    result: OutletResult,
    code: str,
    message: str,
    outlets: Iterable[str] | None = None,
) -> Course:
    ended = {
        outlet: replace(course.outlets[outlet], result=result, code=code, message=message)
        for outlet in sorted(course.waiting if outlets is None else outlets)
    }
    return replace(course, outlets={**course.outlets, **ended})


def _text(value: object) -> str | None:
    return value if isinstance(value, str) else None


def _integer(value: object) -> int | None:
    return value if isinstance(value, int) else None
