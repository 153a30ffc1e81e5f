"""PURE: what the guard's answers mean for a command."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from gateway.core.errors import CorrectInput, NotAllowed, NotKnown, PilegateError, Refused
from gateway.link.messages import Outcome
from gateway.link.requests import Verdict
from gateway.serve import course
from gateway.serve.course import CommandAction, Course, OutletCourse, OutletResult


def part_of(result: OutletResult, code: str, message: str) -> OutletCourse:
    """Say how an outlet fares, and why."""
    return OutletCourse(result=result, code=code, message=message)


def with_parts(parts: Mapping[str, OutletCourse]) -> Callable[[Course], Course]:
    """Make the step that takes in how some outlets fare."""
    return lambda present: course.with_outlets(present, parts)


def refused(err: PilegateError) -> Callable[[Course], Course]:
    """Make the step that takes in a refusal of the whole."""
    part = no(err)
    return lambda present: course.refused(present, part)


def no(err: PilegateError) -> OutletCourse:
    """Read the guard's refusal."""
    match err:
        case Refused():
            return part_of(OutletResult.REFUSED, err.code, str(err))
        case NotKnown():
            return part_of(OutletResult.REFUSED, "not_known", str(err))
        case CorrectInput():
            return part_of(OutletResult.REFUSED, "invalid", str(err))
        case NotAllowed():
            return part_of(OutletResult.FAILED, "not_allowed", str(err))
        case _:
            return part_of(OutletResult.FAILED, "failed", str(err))


def answered(action: CommandAction, verdicts: tuple[Verdict, ...]) -> Callable[[Course], Course]:
    """Make the step that takes in the guard's answer.

    An ``off`` is done when samples show it, the rest at once.
    """
    done = OutletResult.WAITING if action is CommandAction.OFF else OutletResult.DONE
    results = {
        Outcome.DONE: done,
        Outcome.REFUSED: OutletResult.REFUSED,
        Outcome.NOTHING_TO_DO: OutletResult.NOTHING_TO_DO,
    }
    parts = {
        verdict.outlet: part_of(
            results[verdict.result],
            "refused" if verdict.result is Outcome.REFUSED else "",
            verdict.message or "",
        )
        for verdict in verdicts
    }

    def step(present: Course) -> Course:
        told = course.with_outlets(present, parts)
        lacking = part_of(OutletResult.REFUSED, "not_known", "the guard's site file lacks it")
        return course.for_all(told, told.unanswered, lacking)

    return step
