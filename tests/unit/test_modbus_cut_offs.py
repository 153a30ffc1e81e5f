"""Cut-offs on a line: after the sample that decided, before whatever else waits."""

from __future__ import annotations

from tests.support.modbus_script import play
from tests.support.two_outlets import (
    ASK1,
    ASK2,
    DONE,
    LINE,
    play_cutting,
    says,
    two,
)


def test_a_cut_off_is_the_next_thing_on_the_wire_after_its_sample() -> None:
    stage = play_cutting(
        LINE,
        two(1, 2),
        f"""
        {ASK1}
        < 30ms {says(1, 1, 1_001)}
        > 01 05 00 00 00 00 *
        < 20ms 01 05 00 00 00 00 *
        {ASK2}
        < 30ms {says(2)}
        """,
    )
    assert stage.recorder.writes == [("m1-1", False, DONE)]


def test_cut_offs_of_one_module_go_in_one_write() -> None:
    stage = play_cutting(
        LINE,
        two(1),
        f"""
        {ASK1}
        < 30ms {says(1, 3, 1_001, 1_002)}
        > 01 0f 00 00 00 02 01 00 *
        < 20ms 01 0f 00 00 00 02 *
        """,
    )
    assert stage.recorder.writes == [("m1-1", False, DONE), ("m1-2", False, DONE)]


def test_a_cut_off_waits_for_one_foreign_transaction_at_most() -> None:
    play(
        LINE,
        two(1, 2),
        f"""
        {ASK1}
        ! on m1-1
        ! cut m2-2
        < 30ms {says(1)}
        > 02 05 00 01 00 00 *
        < 20ms 02 05 00 01 00 00 *
        > 01 05 00 00 ff 00 *
        < 20ms 01 05 00 00 ff 00 *
        {ASK2}
        < 30ms {says(2)}
        """,
    )
