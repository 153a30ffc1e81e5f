"""What an end says about the course of power that it was judged by."""

from __future__ import annotations

from typing import Any

from gateway.commands.show import event_detail
from gateway.core.facts import Fact, FactKind
from gateway.guard.evidence import told
from gateway.guard.limits import Full, Limits, Unplugged
from tests.support.machine import Machine

LIMITS = Limits(
    unplugged=Unplugged(delay_s=30),
    full=Full(delay_s=300, settle_s=60, taper_delay_s=3_600),
)


def end_of(*course: tuple[float, int]) -> tuple[str, dict[str, Any], str]:
    """Play (W, seconds) after each other; give the end's reason, evidence and line."""
    machine = Machine(LIMITS)
    machine.switch_on()
    for power_w, seconds in course:
        for _ in range(seconds):
            machine.sample(power_w)
            if machine.ends():
                note = machine.notes(FactKind.LEASE_ENDED)[0]
                data = {**note.data, "evidence": told(note.data["evidence"])}
                fact = Fact(1, "", note.kind, "outlet/n1-1", 0, "synced", "", note.reason, data)
                return str(note.reason), data["evidence"], event_detail(fact)
    raise AssertionError("it goes on")


def test_a_pulled_plug_shows_the_samples_of_the_fall() -> None:
    reason, evidence, line = end_of((180, 400), (0.3, 60))
    assert (reason, evidence["way_down"]) == ("unplugged", "sudden")
    assert (evidence["before_zero_w"], evidence["stays_w"]) == (180.0, 0.3)
    assert (evidence["threshold_w"], evidence["held_ms"]) == (1.0, 30_000)
    powers = [row["power_w"] for row in evidence["fall"]]
    assert powers == [180.0] * 7 + [0.3]
    assert evidence["fall"][-1]["age_ms"] == evidence["held_ms"]
    assert [row["power_w"] for row in evidence["samples"]] == [0.3] * 8
    assert line.startswith("from 180 W suddenly to at most 0.3 W for 30s,")


def test_a_change_over_is_told_of_later() -> None:
    reason, evidence, _ = end_of((180, 400), (0, 20), (180, 100), (0, 5), (180, 100), (0, 60))
    assert reason == "unplugged"
    assert (evidence["returns"], evidence["longest_gone_ms"]) == (2, 20_000)


def test_what_was_zero_before_any_load_is_no_return() -> None:
    _, evidence, _ = end_of((0, 25), (180, 400), (0, 60))
    assert (evidence["returns"], evidence["longest_gone_ms"]) == (0, 0)


def test_a_taper_to_zero_is_full() -> None:
    reason, evidence, line = end_of((180, 400), (60, 100), (20, 100), (0, 60))
    assert (reason, evidence["way_down"]) == ("full", "taper")
    assert [row["power_w"] for row in evidence["fall"]] == [20.0] * 7 + [0.0]
    assert line.startswith("from 20.0 W after a taper to at most 0.0 W")


def test_a_float_shows_its_level() -> None:
    reason, evidence, line = end_of((180, 400), (60, 100), (4, 100), (5, 100), (4.5, 300))
    assert (reason, evidence["way_down"]) == ("full", "taper")
    assert evidence["stays_w"] == 5.0
    assert [row["power_w"] for row in evidence["fall"]] == [60.0] * 7 + [4.0]
    assert line.startswith("floats after a taper from 180 W, at most 5.0 W for 5m")


def test_no_load_says_what_it_saw() -> None:
    reason, _, line = end_of((2, 1_900))
    assert reason == "no_load"
    assert line.startswith("at most 2.0 W in 30m00s,")


def test_an_end_by_a_limit_names_it_in_its_account() -> None:
    reason, _, line = end_of((180, 60), (2_400, 10))
    assert reason == "overcurrent"
    assert line.startswith("10.435 A, limit 10 for 3.0 s,")
