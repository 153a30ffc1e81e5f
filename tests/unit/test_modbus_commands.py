"""Commands in their turn: off before on, polls between them, and no on that is late."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import pytest

from drivers.modbus.bus import ModbusBus
from gateway.config import RtuBus
from gateway.core.errors import NotKnown
from gateway.core.ids import BusId, OutletId
from gateway.guard.model import WriteResult
from tests.support.modbus_script import LoopClock, Stage, play
from tests.support.modbus_site import (
    REF10,
    Recorder,
    module_site,
    profile,
)
from tests.support.two_outlets import (
    ASK1,
    ASK2,
    DONE,
    DROPPED,
    FAILED,
    LINE,
    says,
    two,
)
from tests.support.virtual_loop import run_virtually


def test_offs_that_are_not_urgent_have_a_poll_between_them_and_go_before_an_on() -> None:
    stage = play(
        LINE,
        two(1, 2),
        f"""
        {ASK1}
        ! on m2-1
        ! off m1-1
        ! off m2-2
        < 30ms {says(1)}
        > 01 05 00 00 00 00 *
        < 20ms 01 05 00 00 00 00 *
        {ASK2}
        < 30ms {says(2)}
        > 02 05 00 01 00 00 *
        < 20ms 02 05 00 01 00 00 *
        > 02 05 00 00 ff 00 *
        < 20ms 02 05 00 00 ff 00 *
        = 100ms
        """,
    )
    assert stage.recorder.writes[:2] == [("m1-1", False, DONE), ("m2-2", False, DONE)]


@pytest.mark.parametrize("urgent", [True, False])
def test_retries_leave_room_for_polls(*, urgent: bool) -> None:
    class Stubborn(Recorder):
        switch_off: Callable[..., None]

        def on_write(self, outlet_id: OutletId, wanted_on: bool, result: WriteResult) -> None:
            super().on_write(outlet_id, wanted_on, result)
            self.switch_off(outlet_id, urgent=urgent)

    async def main() -> str:
        stubborn = Stubborn()
        bus = RtuBus(id=BusId("line"), port="/dev/none", baud=9_600, poll_ms=0)
        stage = Stage(bus, two(1, 2), stubborn)
        stubborn.switch_off = stage.bus.switch_off
        stage.bus.switch_off(OutletId("m2-1"), urgent=urgent)
        owner = asyncio.create_task(stage.bus.run())
        order = ""
        while len(order) < 24:
            sent = await stage.line.sent.get()
            order += "w" if sent[1] == 5 else f"{sent[0]}"
            if sent[0] == 1:
                await stage._line(f"< 20ms {says(1)}")
        owner.cancel()
        await asyncio.wait([owner])
        return order

    order = run_virtually(main())
    assert "ww" not in order
    assert order.count("w") >= 5
    assert order.count("1") >= 5


def test_an_off_removes_a_waiting_on() -> None:
    stage = play(
        LINE,
        two(1),
        f"""
        {ASK1}
        ! on m1-1
        ! cut m1-1
        < 30ms {says(1)}
        > 01 05 00 00 00 00 *
        < 20ms 01 05 00 00 00 00 *
        = 50ms
        """,
    )
    assert stage.recorder.writes == [("m1-1", True, DROPPED), ("m1-1", False, DONE)]


def test_an_on_after_an_off_stays_behind_it() -> None:
    stage = play(
        LINE,
        two(1, 2),
        f"""
        {ASK1}
        ! off m1-1
        ! on m1-1
        < 30ms {says(1)}
        > 01 05 00 00 00 00 *
        < 20ms 01 05 00 00 00 00 *
        {ASK2}
        < 30ms {says(2)}
        > 01 05 00 00 ff 00 *
        < 20ms 01 05 00 00 ff 00 *
        = 50ms
        """,
    )
    assert stage.recorder.writes == [("m1-1", False, DONE), ("m1-1", True, DONE)]


def test_an_on_that_waits_behind_an_off_is_dropped_too_whatever_became_of_an_earlier_one() -> None:
    stage = play(
        RtuBus(id=BusId("line"), port="/dev/none", poll_ms=10_000),
        two(1),
        f"""
        {ASK1}
        < 30ms {says(1)}
        ! on m1-1
        > 01 05 00 00 ff 00 *
        ! cut m1-1
        ! on m1-1
        < 20ms 01 05 00 00 ff 00 *
        > 01 05 00 00 00 00 *
        = 2100ms
        """,
    )
    assert stage.recorder.writes == [
        ("m1-1", True, DONE),
        ("m1-1", False, FAILED),
        ("m1-1", True, DROPPED),
    ]


def test_an_on_that_waits_too_long_is_dropped_and_never_sent() -> None:
    # the device never answers, so nobody knows that it is there
    stage = play(
        RtuBus(id=BusId("line"), port="/dev/none", poll_ms=10_000),
        two(1),
        f"{ASK1}\n! on m1-1\n= 1900ms",
    )
    assert not stage.recorder.writes
    stage = play(
        RtuBus(id=BusId("line"), port="/dev/none", poll_ms=10_000),
        two(1),
        f"{ASK1}\n! on m1-1\n= 2100ms",
    )
    assert stage.recorder.writes == [("m1-1", True, DROPPED)]


def test_polls_go_on_between_many_ons() -> None:
    kind = profile(REF10, values={"relay_on": REF10["values"]["relay_on"]})
    bus = RtuBus(id=BusId("line"), port="/dev/none", poll_ms=0)
    ask, answer = "> 01 04 00 00 00 01 *", "< 30ms 01 04 02 0000 *"
    play(
        bus,
        module_site(bus, 1, kind=kind),
        f"""
        {ask}
        ! on m1-1
        ! on m1-2
        {answer}
        > 01 05 00 00 ff 00 *
        < 01 05 00 00 ff 00 *
        {ask}
        {answer}
        > 01 05 00 01 ff 00 *
        < 01 05 00 01 ff 00 *
        {ask}
        """,
    )


def test_a_command_for_an_outlet_elsewhere_is_refused() -> None:
    async def main() -> None:
        bus = ModbusBus(LINE, two(1), Recorder(), LoopClock())
        with pytest.raises(NotKnown, match="m7-1"):
            bus.switch_on(OutletId("m7-1"), 60_000)
        with pytest.raises(NotKnown, match="m7-1"):
            bus.switch_off(OutletId("m7-1"), urgent=True)

    run_virtually(main())
