"""Cut-offs on a connection: the off frame leaves in the call that wanted it."""

from __future__ import annotations

from typing import Any

import pytest

from gateway.core.ids import OutletId
from gateway.guard.model import Sample
from tests.support.modbus_script import Line, Stage
from tests.support.modbus_site import (
    module_site,
    profile,
)
from tests.support.two_outlets import (
    DONE,
    FAILED,
    NET,
    TWO,
    Cutter,
)
from tests.support.virtual_loop import run_virtually

TCP_ASK = "00 00 00 06 01 04 00 00 00 05"
SECOND_OFF = "00 00 00 06 01 05 00 01 00 00"
FIRST_OFF = "00 00 00 06 01 05 00 00 00 00"


class Watching(Cutter):
    """Notes how much had been sent by the time each sample was handed over."""

    def __init__(self) -> None:
        super().__init__()
        self.sent: list[int] = []
        self.line: Line

    def on_sample(self, outlet_id: OutletId, sample: Sample) -> None:
        super().on_sample(outlet_id, sample)
        self.sent.append(len(self.line.sent_ms))


def by_tcp(transcript: str, **changes: Any) -> Watching:
    """Cut as ``play_cutting`` does, on a connection, which needs no silence between frames."""

    async def main() -> Watching:
        watching = Watching()
        one = module_site(NET, 1, kind=profile(TWO, **changes), outlets=2)
        stage = Stage(NET, one, watching)
        watching.switch_off, watching.line = stage.bus.switch_off, stage.line
        await stage.play(transcript)
        return watching

    return run_virtually(main())


def tcp_says(first_ca: int, second_ca: int) -> str:
    return f"00 00 00 0d 01 04 0a 0003 0000 08fc {first_ca:04x} {second_ca:04x}"


def test_by_tcp_the_off_frame_leaves_in_the_call_that_wanted_it() -> None:
    watching = by_tcp(
        f"""
        > 00 01 {TCP_ASK}
        < 00 01 {tcp_says(100, 2_000)}
        > 00 02 {SECOND_OFF}
        < 00 02 {SECOND_OFF}
        = 50ms
        """
    )
    assert [outlet for outlet, _ in watching.samples] == ["m1-2", "m1-1"]
    assert watching.sent == [2, 2], "sent before the other outlet was looked at"
    assert watching.writes == [("m1-2", False, DONE)]


def test_by_tcp_another_cut_off_of_the_same_answer_follows() -> None:
    watching = by_tcp(
        f"""
        > 00 01 {TCP_ASK}
        < 00 01 {tcp_says(2_000, 3_000)}
        > 00 02 {SECOND_OFF}
        < 00 02 {SECOND_OFF}
        > 00 03 {FIRST_OFF}
        < 00 03 {FIRST_OFF}
        = 50ms
        """
    )
    assert watching.writes == [("m1-2", False, DONE), ("m1-1", False, DONE)]


def test_by_tcp_a_cut_off_waits_for_the_answer_under_way_and_for_nothing_between_polls() -> None:
    watching = by_tcp(
        f"""
        > 00 01 {TCP_ASK}
        ! cut m1-2
        = 1ms
        < 00 01 {tcp_says(0, 0)}
        > 00 02 {SECOND_OFF}
        < 00 02 {SECOND_OFF}
        = 20ms
        ! cut m1-1
        > 00 03 {FIRST_OFF}
        < 00 03 {FIRST_OFF}
        = 20ms
        """
    )
    assert watching.writes == [("m1-2", False, DONE), ("m1-1", False, DONE)]


@pytest.mark.parametrize("end", ["! break gone\n= 20ms", "= 300ms"])
def test_by_tcp_a_cut_off_that_gets_no_answer_has_failed_once(end: str) -> None:
    watching = by_tcp(
        f"""
        > 00 01 {TCP_ASK}
        < 00 01 {tcp_says(100, 2_000)}
        > 00 02 {SECOND_OFF}
        {end}
        """
    )
    assert watching.writes == [("m1-2", False, FAILED)]


def test_by_tcp_a_device_that_needs_a_pause_gets_it_before_its_cut_off() -> None:
    watching = by_tcp(
        f"""
        > 00 01 {TCP_ASK}
        < 00 01 {tcp_says(100, 2_000)}
        = 90ms
        > 00 02 {SECOND_OFF}
        < 00 02 {SECOND_OFF}
        = 20ms
        """,
        min_gap_ms=100,
    )
    assert watching.writes == [("m1-2", False, DONE)]
