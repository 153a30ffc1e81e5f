from __future__ import annotations

from typing import Any

import pytest

from gateway.core.facts import Fact, FactKind
from gateway.serve import course
from gateway.serve.course import (
    ANSWER_LOST,
    CommandAction,
    CommandState,
    Course,
    OutletCourse,
    OutletResult,
)

ID = "c1"
ON = CommandAction.ON
OFF = CommandAction.OFF


def fact(kind: FactKind, outlet: str = "a", reason: str = "", **data: Any) -> Fact:
    return Fact(1, "f", kind.value, f"outlet/{outlet}", 0, "synced", "guard", reason, data)


def at(action: CommandAction, *targets: str, **parts: OutletResult) -> Course:
    outlets = {outlet: OutletCourse(result=result) for outlet, result in parts.items()}
    return Course(
        action=action, command_id=ID, targets=frozenset(targets or ("a",)), outlets=outlets
    )


def after(present: Course, *facts: Fact) -> Course:
    for each in facts:
        present = course.with_fact(present, each)
    return present


def state(present: Course) -> tuple[str, str]:
    return present.judged.state.value, present.judged.code


def test_an_on_succeeds_when_a_sample_shows_it() -> None:
    started = after(at(ON), fact(FactKind.LEASE_STARTED, request_id=ID, lease_id="l"))
    assert state(started) == ("accepted", "")
    shown = after(started, fact(FactKind.OUTLET_ON, request_id=ID, lease_id="l"))
    assert state(shown) == ("succeeded", "")
    assert shown.outlets["a"].lease_id == "l"


def test_an_on_fails_with_the_reason_its_lease_ended_for() -> None:
    ended = fact(FactKind.LEASE_ENDED, reason="no_reaction", request_id=ID)
    assert state(after(at(ON, a=OutletResult.WAITING), ended)) == ("failed", "no_reaction")


def test_the_end_of_a_charge_does_not_undo_its_start() -> None:
    present = after(at(ON, a=OutletResult.WAITING), fact(FactKind.OUTLET_ON, request_id=ID))
    assert state(after(present, fact(FactKind.LEASE_ENDED, reason="full", request_id=ID)))[0] == (
        "succeeded"
    )


def test_facts_of_another_request_say_nothing_about_an_on() -> None:
    present = at(ON, a=OutletResult.WAITING)
    assert after(present, fact(FactKind.OUTLET_ON, request_id="other")) == present
    assert after(present, fact(FactKind.OUTLET_ON, "b", request_id=ID)) == present
    assert after(present, fact(FactKind.OUTLET_ON)) == present


def test_an_off_succeeds_when_all_of_its_outlets_are_seen_off() -> None:
    present = at(OFF, "a", "b", "c", a=OutletResult.WAITING, b=OutletResult.WAITING)
    present = course.with_outlets(present, {"c": OutletCourse(result=OutletResult.NOTHING_TO_DO)})
    present = after(present, fact(FactKind.OUTLET_OFF, "a"))
    assert state(present)[0] == "accepted"
    assert state(after(present, fact(FactKind.OUTLET_OFF, "b")))[0] == "succeeded"


def test_an_off_that_is_seen_before_the_answer_comes_is_done() -> None:
    present = after(at(OFF), fact(FactKind.OUTLET_OFF))
    answered = course.with_outlets(present, {"a": OutletCourse(result=OutletResult.WAITING)})
    assert state(answered)[0] == "succeeded"


@pytest.mark.parametrize("kind", [FactKind.OUTLET_CUT, FactKind.OUTLET_ALARM])
@pytest.mark.parametrize("reason", ["welded", "no_reaction"])
def test_an_off_fails_when_the_relay_does_not_follow(kind: FactKind, reason: str) -> None:
    assert state(after(at(OFF, a=OutletResult.WAITING), fact(kind, reason=reason))) == (
        "failed",
        reason,
    )


def test_an_off_of_a_silent_device_is_unknown_until_samples_come_again() -> None:
    silent = after(at(OFF, a=OutletResult.WAITING), fact(FactKind.OUTLET_ALARM, reason="silence"))
    assert state(silent) == ("unknown", "silence")
    assert state(after(silent, fact(FactKind.OUTLET_OFF)))[0] == "succeeded"


def test_a_cut_for_another_reason_says_nothing_about_an_off() -> None:
    present = at(OFF, a=OutletResult.WAITING)
    assert after(present, fact(FactKind.OUTLET_CUT, reason="overpower")) == present


def test_what_was_not_delivered_is_revised_by_facts() -> None:
    lost = course.not_delivered(at(ON), "no trace")
    assert state(lost) == ("failed", "not_delivered")
    late = after(lost, fact(FactKind.LEASE_STARTED, request_id=ID))
    assert state(late)[0] == "accepted"
    assert state(after(late, fact(FactKind.OUTLET_ON, request_id=ID)))[0] == "succeeded"


def test_a_lost_answer_is_settled_by_what_facts_tell() -> None:
    part = OutletCourse(result=OutletResult.UNKNOWN, code=ANSWER_LOST, message="gone")
    lost = course.with_outlets(at(ON), {"a": part})
    assert state(lost) == ("unknown", ANSWER_LOST)
    assert state(course.not_delivered(lost, "no trace")) == ("failed", "not_delivered")
    told = after(lost, fact(FactKind.LEASE_STARTED, request_id=ID))
    assert course.not_delivered(told, "no trace") == told


def test_a_refusal_is_final() -> None:
    refusal = fact(FactKind.REQUEST_REFUSED, request_id=ID, code="latched", message="cut off")
    present = after(at(ON), refusal)
    assert state(present) == ("refused", "latched")
    assert after(present, fact(FactKind.OUTLET_ON, request_id=ID)) == present


def test_a_new_life_of_the_guard_ends_what_was_under_way() -> None:
    assert state(after(at(ON, a=OutletResult.WAITING), fact(FactKind.GUARD_STARTED))) == (
        "failed",
        "interrupted",
    )
    assert state(after(at(OFF, a=OutletResult.WAITING), fact(FactKind.GUARD_STARTED))) == (
        "unknown",
        "interrupted",
    )
    assert state(after(at(ON), fact(FactKind.GUARD_STARTED)))[0] == "recorded"


def test_an_answer_from_the_guard_s_last_life_does_not_open_a_command_again() -> None:
    restarted = after(
        at(ON),
        fact(FactKind.LEASE_STARTED, request_id=ID, lease_id="l"),
        Fact(2, "g", FactKind.GUARD_STARTED.value, "guard", 0, "synced", "guard", "", {}),
    )
    answer = OutletCourse(result=OutletResult.WAITING, lease_id="l")
    assert state(course.with_outlets(restarted, {"a": answer})) == ("failed", "interrupted")


def test_a_group_is_judged_by_its_worst_outlet() -> None:
    refused = OutletCourse(result=OutletResult.REFUSED, code="latched", message="cut off")
    done = OutletCourse(result=OutletResult.DONE)
    group = at(ON, "a", "b", "c")
    assert state(course.with_outlets(group, {"a": done}))[0] == "accepted"
    partly = course.with_outlets(group, {"a": done, "b": refused, "c": done}).judged
    assert partly.state is CommandState.FAILED
    assert partly.message == "1 of 3 outlets; b: cut off"
    all_ = course.for_all(group, group.targets, refused).judged
    assert all_.state is CommandState.REFUSED


def test_a_group_that_was_sent_in_part_fails_for_the_rest() -> None:
    group = at(ON, "a", "b", a=OutletResult.DONE)
    present = course.not_delivered(group, "no trace")
    assert present.outlets["a"].result is OutletResult.DONE
    assert state(present) == ("failed", "not_delivered")


def test_nothing_seen_in_time_is_unknown_and_may_still_come() -> None:
    present = course.not_seen(at(ON, a=OutletResult.WAITING), "no sample")
    assert state(present) == ("unknown", "not_seen")
    assert state(after(present, fact(FactKind.OUTLET_ON, request_id=ID)))[0] == "succeeded"


def test_a_course_survives_being_written_down() -> None:
    part = OutletCourse(
        result=OutletResult.WAITING, code="x", message="y", lease_id="l", until_utc_ms=5
    )
    assert OutletCourse.from_json(part.to_json()) == part


def test_an_on_that_waits_for_room_is_accepted_and_says_so() -> None:
    waits = fact(FactKind.OUTLET_WAITING, request_id=ID, lease_id="l", circuit="north")
    present = after(at(ON), fact(FactKind.LEASE_STARTED, request_id=ID, lease_id="l"), waits)
    assert state(present) == ("accepted", "waits_for_room")
    assert "no room on circuit north" in present.judged.message
    assert state(after(present, fact(FactKind.OUTLET_ON, request_id=ID))) == ("succeeded", "")
    over = fact(FactKind.LEASE_ENDED, reason="lease_over", request_id=ID)
    assert state(after(present, over)) == ("failed", "lease_over")


def test_what_waits_for_room_is_given_the_time_of_its_lease() -> None:
    waits = fact(FactKind.OUTLET_WAITING, request_id=ID, circuit="north")
    present = after(at(ON, a=OutletResult.WAITING), waits)
    assert state(course.not_seen(present, "late")) == ("accepted", "waits_for_room")
    assert state(course.not_seen(at(ON, a=OutletResult.WAITING), "late"))[0] == "unknown"
