from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import pytest

from drivers.modbus.bus import ModbusBus
from gateway.config import RtuBus, Site, TcpBus
from gateway.core.errors import NotKnown
from gateway.core.ids import BusId, OutletId
from gateway.guard.model import BusState, DeviceState, Sample, WriteResult
from tests.support.modbus_script import Line, LoopClock, Stage, play
from tests.support.modbus_site import (
    BOARD,
    METER,
    REF10,
    SETUP,
    Recorder,
    device,
    module_site,
    outlet,
    profile,
    site,
)
from tests.support.virtual_loop import run_virtually

LINE = RtuBus(id=BusId("line"), port="/dev/none", baud=9_600, poll_ms=1_000)
NET = TcpBus(id=BusId("net"), host="127.0.0.1", poll_ms=1_000)

# a module of two outlets: registers 0 relays, 1 alarms, 2 voltage, 3 current, 4 current
TWO: dict[str, Any] = {
    "profile": "two",
    "name": "two outlets",
    "source": "tests",
    "channels": 2,
    "read_across": 4,
    "values": {
        "relay_on": {"space": "input", "address": 0, "bit": 0, "bit_stride": 1},
        "voltage_v": {"space": "input", "address": 2, "scale": 0.1},
        "current_a": {"space": "input", "address": 3, "stride": 1, "scale": 0.01},
    },
    "relay": {"style": "coil", "address": 0, "multiple": True},
}
ASK1 = "> 01 04 00 00 00 05 *"
ASK2 = "> 02 04 00 00 00 05 *"
OFF = "00 00 00 00 08 fc"
ONE_BY_ONE = """
> 01 05 00 00 00 00 *
< 01 05 00 00 00 00 *
> 01 05 00 01 00 00 *
< 01 05 00 01 00 00 *
"""
"""The two outlets of a module go off by two writes."""
DONE, FAILED, DROPPED = WriteResult.DONE, WriteResult.FAILED, WriteResult.DROPPED


def says(unit: int, relays: int = 0, first_ca: int = 0, second_ca: int = 0) -> str:
    """An answer of a module of two outlets at 230 V."""
    return f"{unit:02x} 04 0a {relays:04x} 0000 08fc {first_ca:04x} {second_ca:04x} *"


def at_ms(stage: Stage) -> list[int]:
    return [sample.at_ms for _, sample in stage.recorder.samples]


def two(*units: int) -> Site:
    return module_site(LINE, *units, kind=profile(TWO), outlets=2)


class Cutter(Recorder):
    """Acts like the guard: cuts what is over 10 A, in the same call."""

    switch_off: Callable[..., None]

    def on_sample(self, outlet_id: OutletId, sample: Sample) -> None:
        super().on_sample(outlet_id, sample)
        if sample.current_a is not None and sample.current_a > 10:
            self.switch_off(outlet_id, urgent=True)


def play_cutting(bus: RtuBus, site_: Site, transcript: str) -> Stage:
    async def main() -> Stage:
        cutter = Cutter()
        stage = Stage(bus, site_, cutter)
        cutter.switch_off = stage.bus.switch_off
        await stage.play(transcript)
        return stage

    return run_virtually(main())


# ------------------------------------------------------------------ polls


def test_a_poll_gives_each_outlet_what_the_answer_says_and_nothing_else() -> None:
    stage = play(LINE, two(1), f"{ASK1}\n< 20ms {says(1, 0b10, 0, 512)}\n= 10ms")
    second, first = stage.recorder.samples
    assert second[0] == "m1-2", "the one that draws most comes first"
    assert first[0] == "m1-1"
    assert (first[1].relay_on, first[1].voltage_v, first[1].current_a) == (False, 230.0, 0.0)
    assert (second[1].relay_on, second[1].current_a) == (True, 5.12)
    assert second[1].power_w is None
    assert stage.recorder.devices == [("m1", DeviceState.ONLINE, "answers")]


def test_a_sample_has_the_time_at_which_its_answer_was_complete() -> None:
    whole = "01 04 0a 0001 | 0000 08fc 0000 0000 *"
    stage = play(LINE, two(1), f"{ASK1}\n< 20ms {whole}")
    assert {round(at - stage.line.sent_ms[0]) for at in at_ms(stage)} == {20}


def test_rounds_begin_on_their_grid() -> None:
    answer = f"< 30ms {says(1)}"
    stage = play(LINE, two(1), f"{ASK1}\n{answer}\n= 950ms\n{ASK1}\n{answer}\n= 900ms")
    assert [round(sent_ms) % 1_000 for sent_ms in stage.line.sent_ms[1:]] == [0]


def test_without_a_period_requests_follow_each_other_after_the_gap() -> None:
    bus = RtuBus(id=BusId("line"), port="/dev/none", baud=9_600, poll_ms=0)
    stage = play(bus, two(1, 2), f"{ASK1}\n< 30ms {says(1)}\n{ASK2}\n< 30ms {says(2)}\n{ASK1}\n")
    # 3.5 characters of 10 bits at 9,600 baud are 3.65 ms
    first, second, third = stage.line.sent_ms
    assert (second - first, third - second) == pytest.approx((33.646, 33.646), abs=0.01)


def test_buses_of_one_site_begin_their_rounds_at_different_times() -> None:
    other = RtuBus(id=BusId("other"), port="/dev/none", poll_ms=1_000)
    kind = profile(TWO)
    both = site(
        (LINE, other),
        (device("m1", "line", 1, kind), device("m2", "other", 2, kind)),
        (outlet("m1-1", ("m1", 1)), outlet("m2-1", ("m2", 1))),
    )
    first = play(LINE, both, "> 01 04 00 00 00 04 *\n= 900ms\n> 01 04 00 00 00 01 *")
    second = play(other, both, "> 02 04 00 00 00 04 *\n= 200ms\n> 02 04 00 00 00 01 *")
    assert [round(s.line.sent_ms[1]) % 1_000 for s in (first, second)] == [0, 500]


def test_a_device_that_needs_silence_gets_it_and_holds_nobody_up() -> None:
    bus = RtuBus(id=BusId("line"), port="/dev/none", poll_ms=5_000)
    slow, quick = profile(TWO, min_gap_ms=200), profile(TWO)
    both = site(
        (bus,),
        (device("m1", "line", 1, slow), device("m2", "line", 2, quick)),
        (
            outlet("m1-1", ("m1", 1)),
            outlet("m1-2", ("m1", 2)),
            outlet("m2-1", ("m2", 1)),
            outlet("m2-2", ("m2", 2)),
        ),
    )
    stage = play(
        bus,
        both,
        f"""
        {ASK1}
        ! cut m1-1
        < 10ms {says(1)}
        {ASK2}
        < 10ms {says(2)}
        = 50ms
        ! cut m2-1
        > 02 05 00 00 00 00 *
        < 10ms 02 05 00 00 00 00 *
        > 01 05 00 00 00 00 *
        < 10ms 01 05 00 00 00 00 *
        """,
    )
    answered_ms = stage.line.sent_ms[0] + 10
    assert stage.line.sent_ms[3] - answered_ms >= 200


# ------------------------------------------------------------------ cut-offs


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


TCP_ASK = "00 00 00 06 01 04 00 00 00 05"
SECOND_OFF = "00 00 00 06 01 05 00 01 00 00"
FIRST_OFF = "00 00 00 06 01 05 00 00 00 00"


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


def test_a_joined_write_spares_outlets_that_were_switched_on() -> None:
    kind = profile(REF10, values={"relay_on": REF10["values"]["relay_on"]})
    ask, answer = "> 01 04 00 00 00 01 *", "< 30ms 01 04 02 0000 *"
    stage = play(
        LINE,
        module_site(LINE, 1, kind=kind),
        f"""
        {ask}
        {answer}
        ! on m1-4
        > 01 05 00 03 ff 00 *
        < 01 05 00 03 ff 00 *
        = 50ms
        ! cut m1-1 m1-3 m1-6 m1-9
        > 01 0f 00 00 00 03 01 00 *
        < 01 0f 00 00 00 03 *
        > 01 0f 00 05 00 04 01 00 *
        < 01 0f 00 05 00 04 *
        = 50ms
        """,
    )
    done = [name for name, wanted_on, result in stage.recorder.writes if not wanted_on]
    assert done == ["m1-1", "m1-3", "m1-6", "m1-9"]


def test_without_fc0f_each_relay_gets_a_write_of_its_own() -> None:
    kind = profile(TWO, relay={"style": "coil", "address": 0, "multiple": False})
    play(
        LINE,
        module_site(LINE, 1, kind=kind, outlets=2),
        f"""
        {ASK1}
        < {says(1)}
        ! cut m1-1 m1-2
        {ONE_BY_ONE}
        = 50ms
        """,
    )


@pytest.mark.parametrize("code", ["01", "02", "03"])
def test_a_module_that_declines_fc0f_is_switched_relay_by_relay(code: str) -> None:
    stage = play(
        LINE,
        two(1),
        f"""
        {ASK1}
        < {says(1)}
        ! cut m1-1 m1-2
        > 01 0f 00 00 00 02 01 00 *
        < 01 8f {code} *
        {ONE_BY_ONE}
        = 50ms
        """,
    )
    assert stage.recorder.writes == [("m1-1", False, DONE), ("m1-2", False, DONE)]
    assert stage.bus.stats().errors == {"declined": 1}


def test_an_on_behind_offs_that_are_sent_again_one_by_one_is_not_forgotten() -> None:
    stage = play(
        LINE,
        two(1),
        f"""
        {ASK1}
        < {says(1)}
        ! cut m1-1 m1-2
        > 01 0f 00 00 00 02 01 00 *
        ! on m1-2
        < 01 8f 01 *
        {ONE_BY_ONE}
        > 01 05 00 01 ff 00 *
        < 01 05 00 01 ff 00 *
        = 50ms
        """,
    )
    assert stage.recorder.writes == [
        ("m1-1", False, DONE),
        ("m1-2", False, DONE),
        ("m1-2", True, DONE),
    ]


def test_relays_by_register_and_by_command_code() -> None:
    register = profile(TWO, relay={"style": "register", "address": 16, "on": 1, "off": 0})
    command = profile(
        TWO,
        relay={
            "style": "command",
            "function": "coil",
            "address": 0,
            "on": 0x0100,
            "off": 0x0200,
        },
    )
    for kind, on, off in (
        (register, "01 06 00 11 00 01 *", "01 06 00 11 00 00 *"),
        (command, "01 05 00 01 01 00 *", "01 05 00 01 02 00 *"),
    ):
        play(
            LINE,
            module_site(LINE, 1, kind=kind, outlets=2),
            f"""
            {ASK1}
            < {says(1)}
            ! on m1-2
            > {on}
            < {on}
            = 50ms
            ! cut m1-2
            > {off}
            < {off}
            = 50ms
            """,
        )


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


# ------------------------------------------------------------------ ONs


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


# ------------------------------------------------------------------ devices and lines


def test_a_module_gets_its_watchdog_and_limits_when_it_comes_online() -> None:
    kind = profile(TWO, SETUP)
    play(
        LINE,
        module_site(LINE, 1, kind=kind, outlets=2),
        f"""
        {ASK1}
        < {says(1)}
        > 01 06 00 00 00 0a *
        < 01 06 00 00 00 0a *
        > 01 06 00 0a 06 40 *
        < 01 06 00 0a 06 40 *
        > 01 06 00 0b 06 40 *
        < 01 06 00 0b 06 40 *
        = 100ms
        """,
    )


def test_a_silent_device_is_quarantined_and_found_again(caplog: pytest.LogCaptureFixture) -> None:
    kind = profile(BOARD)
    bus = RtuBus(id=BusId("line"), port="/dev/none", poll_ms=5_000)
    both = site(
        (bus,),
        (device("m1", "line", 1, kind), device("m2", "line", 2, profile(TWO))),
        (outlet("a", ("m1", 1)), outlet("b", ("m2", 1))),
    )
    ask1 = "> 01 01 00 00 00 01 *\n"
    turn = "> 02 04 00 00 00 04 *\n< 10ms 02 04 08 0000 0000 08fc 0000 *\n"
    # three rounds at its turn, then last in its round, after 1, 2, 4 and 8 s, more or less
    stage = play(
        bus,
        both,
        f"{(ask1 + turn) * 3}{(turn + ask1) * 3}{turn}{turn}{ask1}< 10ms 01 01 01 01 *\n= 100ms",
    )
    states = [state for name, state, _ in stage.recorder.devices if name == "m1"]
    assert states == [DeviceState.SILENT, DeviceState.QUARANTINED, DeviceState.ONLINE]
    detail = next(detail for name, _, detail in stage.recorder.devices if name == "m1")
    assert "unit 1 does not answer within" in detail
    assert caplog.text.count("unit 1 does not answer within") == 1, "down is logged once"
    assert stage.recorder.last("a").relay_on is True


def test_a_declined_read_is_no_value_and_names_the_profile() -> None:
    stage = play(
        RtuBus(id=BusId("line"), port="/dev/none", poll_ms=100),
        two(1),
        f"{ASK1}\n< 01 84 02 *\n{ASK1}\n< 01 84 02 *\n= 50ms",
    )
    assert not stage.recorder.samples
    [(name, state, detail)] = stage.recorder.devices
    assert (name, state) == ("m1", DeviceState.SILENT)
    assert "illegal address" in detail
    assert "profile two" in detail


def test_a_composed_outlet_gets_two_samples_each_with_its_own_time() -> None:
    composed = site(
        (LINE,),
        (device("pz", "line", 1, profile(METER)), device("wr", "line", 2, profile(BOARD))),
        (outlet("x", ("wr", 2), ("pz", 1)),),
    )
    stage = play(
        LINE,
        composed,
        """
        > 01 04 00 00 00 05 *
        < 30ms 01 04 0a 08fc 03e8 0000 0001 0001 *
        > 02 01 00 01 00 01 *
        < 30ms 02 01 01 01 *
        """,
    )
    meter, relay = (sample for _, sample in stage.recorder.samples)
    assert (meter.voltage_v, meter.current_a, meter.power_w) == (230.0, 1.0, 6553.7)
    assert meter.relay_on is None
    assert relay.relay_on is True
    assert relay.voltage_v is None
    assert relay.at_ms > meter.at_ms


def test_a_lost_line_fails_waiting_offs_and_is_opened_again() -> None:
    stage = play(
        LINE,
        two(1),
        f"""
        {ASK1}
        < {says(1)}
        = 20ms
        ! refuse /dev/none does not exist
        ! break /dev/none is gone
        = 5ms
        ! cut m1-1
        = 3000ms
        ! refuse
        {ASK1}
        < {says(1)}
        """,
    )
    assert [(state, detail) for _, state, detail in stage.recorder.buses] == [
        (BusState.CONNECTING, "opening /dev/none at 9600 baud"),
        (BusState.OPEN, "/dev/none at 9600 baud"),
        (BusState.LOST, "/dev/none is gone"),
        (BusState.LOST, "/dev/none does not exist"),
        (BusState.OPEN, "/dev/none at 9600 baud"),
    ]
    assert stage.recorder.writes == [("m1-1", False, FAILED)]
    assert [state for _, state, _ in stage.recorder.devices] == [
        DeviceState.ONLINE,
        DeviceState.UNKNOWN,
        DeviceState.ONLINE,
    ]


def test_a_break_during_a_transaction_ends_it() -> None:
    stage = play(
        LINE,
        two(1),
        f"""
        {ASK1}
        < {says(1)}
        = 20ms
        ! cut m1-1
        > 01 05 00 00 00 00 *
        ! break gone
        {ASK1}
        < {says(1)}
        """,
    )
    assert stage.recorder.writes == [("m1-1", False, FAILED)]


def test_a_sink_that_fails_for_one_outlet_does_not_keep_the_others_from_their_samples() -> None:
    class Failing(Recorder):
        def on_sample(self, outlet_id: OutletId, sample: Sample) -> None:
            if outlet_id == "m1-1":
                raise RuntimeError("a bug")
            super().on_sample(outlet_id, sample)

    stage = play(LINE, two(1), f"{ASK1}\n< {says(1)}\n= 20ms", Failing())
    assert [name for name, _ in stage.recorder.samples] == ["m1-2"]


# ------------------------------------------------------------------ all off


def test_all_off_switches_off_and_reads_back() -> None:
    async def main() -> None:
        stage = Stage(LINE, two(1))
        results = asyncio.create_task(stage.bus.all_off())
        relays, writes = 3, []
        while not results.done():
            try:
                async with asyncio.timeout(1):
                    sent = await stage.line.sent.get()
            except TimeoutError:
                continue
            if sent[1] == 4:
                await stage._line(f"< 20ms {says(1, relays)}")
                continue
            writes.append(sent.hex(" ", 1)[:-6])
            relays = 2 if len(writes) == 1 else 0  # the second one does not open at once
            await stage._line(f"< 20ms {sent[:6].hex()} *")
        assert results.result() == [("m1-1", DONE), ("m1-2", DONE)]
        assert writes == ["01 0f 00 00 00 02 01 00", "01 05 00 01 00 00"]

    run_virtually(main())


def test_all_off_without_a_line_says_failed() -> None:
    async def main() -> None:
        stage = Stage(LINE, two(1))
        stage.line.refuse = "no such port"
        assert await stage.bus.all_off() == [("m1-1", FAILED), ("m1-2", FAILED)]

    run_virtually(main())
