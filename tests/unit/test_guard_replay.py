"""Recorded charges through the machine."""

from __future__ import annotations

import pytest

from gateway.core.facts import FactKind
from gateway.guard.limits import AboveCurrent, AbovePower, Action, Limits, LongestTime
from gateway.guard.replay import Row, replay
from tests.support.machine import trace


def rows(name: str) -> list[Row]:
    return [Row(at_s, power_w, power_w / 230, 230.0) for at_s, power_w in trace(name)]


@pytest.mark.parametrize(
    ("name", "reason"),
    [("ebike-dual-pack-full.csv", "full"), ("ebike-single-pack-90.csv", "unplugged")],
)
@pytest.mark.parametrize("poll_s", [0.5, 1.0, 5.0])
def test_recorded_charges_end_as_they_did(name: str, reason: str, poll_s: float) -> None:
    found = replay(rows(name), Limits(), poll_s=poll_s)
    assert found.end is not None
    assert (found.end.reason, found.is_cut, found.alarms) == (reason, False, ())


def test_a_limit_can_be_tried() -> None:
    kettle = rows("appliance-kettle.csv")
    assert replay(kettle, Limits()).end is None
    limits = Limits(overcurrent_instant=AboveCurrent(above_a=5.0))
    found = replay(kettle, limits)
    assert found.end is not None
    assert (found.end.reason, found.is_cut) == ("overcurrent_instant", True)
    first_over_s = next(row.at_s for row in kettle if row.power_w > 5 * 230)
    assert 0 <= found.end.at_s - first_over_s <= 1.0
    assert found.end.evidence["threshold"] == 5.0
    assert found.end.evidence["samples"][-1]["power_w"] == found.last_w


def test_a_rule_that_only_says_so_leaves_the_charge_running() -> None:
    rule = AbovePower(above_w=1000, delay_s=3, action=Action.ALARM)
    limits = Limits(overpower=rule, wrong_appliance=None)
    found = replay(rows("appliance-kettle.csv"), limits)
    assert found.end is None
    assert [(alarm.kind, alarm.reason) for alarm in found.alarms] == [
        (FactKind.OUTLET_ALARM, "overpower")
    ]


def test_the_longest_time_holds_for_a_recording_too() -> None:
    found = replay(rows("ebike-dual-pack-full.csv"), Limits(longest_time=LongestTime(delay_s=600)))
    assert found.end is not None
    assert found.end.at_s == pytest.approx(600, abs=1)


def test_a_recording_that_begins_with_a_voltage_that_forbids_a_start_says_so() -> None:
    found = replay([Row(0, 0, 0, 300.0), Row(5, 0, 0, 300.0)], Limits())
    assert found.end is not None
    assert found.end.reason != ""
    assert found.energy_wh == 0


def test_one_row_is_a_recording() -> None:
    found = replay([Row(7.5, 100, 0.5, 230.0)], Limits())
    assert (found.end, found.lasts_s) == (None, 0.0)


def recorded(*changes: tuple[float, float]) -> list[Row]:
    return [Row(at_s, power_w, power_w / 230, 230.0) for at_s, power_w in changes]


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        # A recorder that writes changes down ends with the change
        ([(0, 150), (600, 149), (1_500, 151), (1_980, 0)], "unplugged"),
        ([(0, 150), (600, 149), (1_500, 20), (1_980, 0)], "full"),
        ([(0, 150), (2_400, 5)], "full"),
        # One that writes a row a minute
        ([*((60 * n, 150) for n in range(30)), (1_800, 0)], "unplugged"),
        # One that writes each second says no more than its last second
        ([*((n, 150) for n in range(600)), (600, 0)], None),
        ([(0, 150), (600, 149), (1_500, 151)], None),
    ],
)
def test_the_last_row_holds_as_long_as_the_recorder_was_ever_quiet(
    changes: list[tuple[float, float]], reason: str | None
) -> None:
    end = replay(recorded(*changes), Limits()).end
    assert (None if end is None else end.reason) == reason


def test_a_recorder_that_was_away_for_long_holds_its_last_row_for_an_hour() -> None:
    assert replay(recorded((0, 150), (30_000, 12)), Limits(), poll_s=60).end is None
