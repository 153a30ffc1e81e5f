"""Polls: their grid, what an answer says, silent devices, lines that are lost."""

from __future__ import annotations

import pytest

from gateway.config import RtuBus
from gateway.core.ids import BusId, OutletId
from gateway.guard.model import BusState, DeviceState, Sample
from tests.support.modbus_script import play
from tests.support.modbus_site import (
    BOARD,
    METER,
    SETUP,
    Recorder,
    device,
    module_site,
    outlet,
    profile,
    site,
)
from tests.support.two_outlets import (
    ASK1,
    ASK2,
    FAILED,
    LINE,
    TWO,
    at_ms,
    says,
    two,
)


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
