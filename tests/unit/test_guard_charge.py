"""Courses of a charge, and how each ends."""

from __future__ import annotations

import pytest

from gateway.guard.charge import ending, follow
from gateway.guard.limits import Action, Full, Limits, NoLoad, Unplugged
from gateway.guard.state import Charge

MINUTE = 60
HOUR = 3_600

Course = list[tuple[float, int]]
"""(W, s) one after the other."""


def played(course: Course, limits: Limits, *, every_s: int = 1) -> tuple[str | None, int]:
    """Play a course until it ends by itself; give the reason and the second of the end."""
    charge = Charge(on_ms=0)
    second = 0
    for power_w, seconds in course:
        for _ in range(0, seconds, every_s):
            second += every_s
            charge = follow(charge, power_w, second * 1_000, limits)
            ended = ending(charge, limits, second * 1_000)
            if ended is not None and ended.action is not Action.ALARM:
                return str(ended.reason), second
    return None, second


BULK: Course = [(180, 2 * HOUR)]
TAPER: Course = [(150, 600), (110, 600), (75, 600), (50, 600)]
CREEPS: Course = [(2, 300), (0.95, 250), (0.75, 250), (0.55, 250), (0.4, 600)]

COURSES: list[tuple[str, Course, str | None]] = [
    # Ends that are one
    ("taper and float", [*BULK, *TAPER, (6, HOUR)], "full"),
    ("taper, then nothing", [*BULK, *TAPER, (20, 120), (0, 120)], "full"),
    ("taper, then a stand-by of 0.6 W", [*BULK, *TAPER, (20, 120), (0.6, 920)], "full"),
    ("pulled out of a stand-by of 0.6 W", [*BULK, *TAPER, (20, 120), (0.6, 300), (0, 70)], "full"),
    ("creeps, and stays", [(32, HOUR), (2, 900), (1.7, 900), (1.4, HOUR)], "full"),
    ("a float that wavers", [*BULK, *TAPER, *([(6.2, 60), (5.8, 60)] * 20)], "full"),
    ("taper, then a stand-by of 1.8 W", [*BULK, *TAPER, (20, 120), (1.8, HOUR)], "full"),
    ("pulled out on the plateau", [*BULK, (0, 120)], "unplugged"),
    ("pulled out while it tapers", [*BULK, (150, 600), (110, 600), (0, 120)], "unplugged"),
    ("pulled out, stand-by of 0.5 W in the cable", [*BULK, (0.5, 120)], "unplugged"),
    ("pulled out of the second pack", [*BULK, (0, 20), *BULK, (0, 120)], "unplugged"),
    ("nothing plugged in", [(0, HOUR)], "no_load"),
    ("only a charger without a battery", [(1.5, HOUR)], "no_load"),
    ("lead-acid: bulk, absorption, float", [(80, HOUR), (40, HOUR), (2.5, HOUR)], "full"),
    ("lead-acid at a sixth for 3 h", [(80, HOUR), (13.3, 3 * HOUR), (2.2, HOUR)], "full"),
    ("full when plugged in", [(40, 30), (1.5, HOUR)], "full"),
    ("pulses from nothing, for ever", [*BULK, *TAPER, *([(0, 30), (20, 30)] * 300)], "full"),
    ("pulses from stand-by, for ever", [*BULK, *TAPER, *([(3, 55), (45, 5)] * 300)], "full"),
    ("re-tops for ever", [*BULK, *TAPER, *([(4, 1_170), (64, 30)] * 13)], "full"),
    ("pulled out of its pulses", [*BULK, *([(0, 30), (20, 30)] * 20), (0, 120)], "full"),
    ("pulled out soon after pre-charge", [(8, 300), (150, 100), (0, 120)], "unplugged"),
    ("a spike when the relay closes", [(60, 2), (0, HOUR)], "no_load"),
    ("a fan that tries itself, no battery", [(12, 4), (5, HOUR)], "no_load"),
    ("never more than a trickle", [(40, 30), (8, 5 * HOUR)], "full"),
    # Courses that go on
    ("slow start of 25 minutes", [(0, 1_500), *BULK], None),
    ("dual pack: 20 s at nothing", [*BULK, (0, 20), *BULK], None),
    ("dual pack: 20 s at 90 W", [*BULK, (90, 20), *BULK], None),
    ("pause of 5 min at 6 W", [*BULK, (6, 300), *BULK], None),
    ("pause of 5 min at 1.5 W", [*BULK, (1.5, 300), *BULK], None),
    ("three pauses", [*BULK, (4, 300), *BULK, (4, 300), *BULK, (4, 300), (180, 60)], None),
    ("pre-charge, then plateau", [(15, 1_200), *BULK], None),
    ("pre-charge at 8 W for an hour", [(8, HOUR), *BULK], None),
    ("lead-acid absorption goes on", [(80, HOUR), (13.3, 3 * HOUR)], None),
    ("the taper of a small charger", [(25, HOUR), (9, HOUR), (5, HOUR)], None),
    ("a small charger creeps", [(32, HOUR), *((2 - 0.2 * n, 600) for n in range(6))], None),
    ("a small charger creeps on below a watt", [(26, HOUR), *CREEPS, (64, 20), (0.4, 600)], None),
    ("a re-top of a stand-by of 0.6 W", [*BULK, (20, 120), (0.6, 600), (64, 30), (0.6, 600)], None),
    ("long pre-charge above float", [(25, HOUR), *BULK], None),
    ("a spike, and the plug comes later", [(60, 2), (0, 1_500), *BULK], None),
    ("pulses for an hour, then another pack", [*BULK, *([(0, 30), (20, 30)] * 60), *BULK], None),
    ("re-top each 20 min", [*BULK, *TAPER, *([(6, 1_200), (64, 30)] * 6)], None),
    ("a spike when it starts", [(900, 2), *([(100, 600)] * 10)], None),
    ("zero for 59 s", [*BULK, (0, 59), *BULK], None),
]


@pytest.mark.parametrize(
    ("course", "reason"), [c[1:] for c in COURSES], ids=[c[0] for c in COURSES]
)
def test_courses(course: Course, reason: str | None) -> None:
    assert played(course, Limits())[0] == reason


@pytest.mark.parametrize(
    ("course", "reason"), [c[1:] for c in COURSES[:-2]], ids=[c[0] for c in COURSES[:-2]]
)
def test_courses_seen_by_a_slow_poll(course: Course, reason: str | None) -> None:
    assert played(course, Limits(), every_s=5)[0] == reason


def test_full_needs_its_whole_delay() -> None:
    course = [(180.0, HOUR), (6.0, 2 * HOUR)]
    assert played(course, Limits(full=Full(delay_s=900)))[1] in range(HOUR + 900, HOUR + 903)


def test_unplugged_needs_its_whole_delay() -> None:
    course = [(180.0, HOUR), (0.0, HOUR)]
    assert played(course, Limits(unplugged=Unplugged(delay_s=300)))[1] == HOUR + 301


@pytest.mark.parametrize(
    ("limits", "reason"),
    [
        (Limits(unplugged=None), "full"),
        (Limits(unplugged=None, full=None), None),
        (Limits(full=None), "unplugged"),
        (Limits(no_load=None), "unplugged"),
        (Limits(full=Full(action=Action.ALARM)), "full"),
        (
            Limits(full=Full(action=Action.ALARM), unplugged=Unplugged(action=Action.ALARM)),
            None,
        ),
    ],
)
def test_a_rule_that_is_off_ends_nothing(limits: Limits, reason: str | None) -> None:
    course = [*BULK, *TAPER, (20.0, 120), (0.0, HOUR)]
    if limits.no_load is None:
        course = [*BULK, (0.0, HOUR)]
    assert played(course, limits)[0] == reason


def test_no_load_is_judged_by_its_own_threshold() -> None:
    course = [(20.0, HOUR)]
    assert played(course, Limits(no_load=NoLoad(below_w=30)))[0] == "no_load"
    assert played(course, Limits(no_load=NoLoad(below_w=20)))[0] is None


def test_a_load_that_just_began_is_no_lack_of_one() -> None:
    limits = Limits(no_load=NoLoad(delay_s=3))
    assert played([(100, HOUR)], limits)[0] is None
    assert played([(0, 2), (100, 600), (0, 120)], limits)[0] == "unplugged"
    assert played([(100, 2), (0, 120)], limits) == ("no_load", 3)


def test_time_without_samples_ends_nothing() -> None:
    limits = Limits()
    charge = Charge(on_ms=0)
    assert ending(charge, limits, 10**9) is None
    for second in range(1, 120):
        charge = follow(charge, 180.0, second * 1_000, limits)
    charge = follow(charge, 0.0, 121_000, limits)
    assert ending(charge, limits, 10**9) is None


def test_a_late_sample_changes_nothing() -> None:
    limits = Limits()
    charge = follow(follow(Charge(on_ms=0), 100.0, 1_000, limits), 100.0, 2_000, limits)
    assert follow(charge, 0.0, 1_500, limits) is charge
    assert follow(charge, 0.0, 2_000, limits) is charge
