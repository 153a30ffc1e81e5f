from __future__ import annotations

from typing import Any

import pytest

from simulators.faults import Answer, LinkFault, LinkFaults, LinkTrouble, spoil_bytes
from tests.support.sim_world import Bench, demo_bench

REF = ("net1", 1)
READ = "04 0000 002C"


def started(*outlets: str) -> Bench:
    bench = demo_bench()
    for outlet in outlets:
        bench.do(0.0, plug=outlet, load="bike")
    bench.ask(*REF, "0F 0000 000A 02 FF03", 0.5)
    return bench


def test_sudden_and_passing_load() -> None:
    bench = started("n1-1")
    undo = bench.do(2.0, load_step="n1-1", power_w=3000, for_s=5)
    assert bench.words(*REF, "04 0004 0001", 2.0)[0] > 1300
    assert undo is not None
    undo(7.0)
    assert bench.words(*REF, "04 0004 0001", 7.0)[0] < 200


def test_creeping_load() -> None:
    bench = started("n1-1")
    bench.do(2.0, load_step="n1-1", power_w=2300, ramp_s=10)
    amps = [bench.words(*REF, "04 0004 0001", 2.0 + now_s)[0] / 100 for now_s in range(12)]
    assert amps == sorted(amps)
    assert amps[5] == pytest.approx(amps[0] + 5, abs=0.3)
    assert amps[11] == pytest.approx(amps[0] + 10, abs=0.3)


def test_unplugging() -> None:
    bench = started("n1-1", "n1-2")
    bench.do(2.0, unplug="n1-1")
    assert bench.words(*REF, "04 0004 0002", 3.0)[0] == 0
    assert bench.words(*REF, "04 0004 0002", 3.0)[1] > 0


def test_a_welded_relay_says_off_while_current_flows() -> None:
    bench = started("n1-1")
    bench.do(2.0, fault="welded", outlet="n1-1")
    bench.ask(*REF, "05 0000 0000", 3.0)
    words = bench.words(*REF, READ, 4.0)
    assert words[0] & 1 == 0
    assert words[4] > 50
    bench.do(5.0, heal="n1-1")
    assert bench.words(*REF, READ, 5.0)[4] == 0


def test_a_relay_that_is_stuck_open_says_off() -> None:
    bench = demo_bench()
    bench.do(0.0, plug="n1-1", load="bike")
    bench.do(0.0, fault="stuck_open", outlet="n1-1")
    assert bench.ask(*REF, "05 0000 FF00", 1.0) == "050000ff00"
    words = bench.words(*REF, READ, 2.0)
    assert (words[0], words[4]) == (0, 0)


def test_a_frozen_meter() -> None:
    bench = started("n1-1")
    undo = bench.do(2.0, fault="frozen_meter", outlet="n1-1")
    before = bench.words(*REF, READ, 2.0)
    bench.do(3.0, unplug="n1-1")
    assert bench.words(*REF, READ, 4.0) == before
    assert undo is not None
    undo(5.0)
    assert bench.words(*REF, READ, 5.0)[4] == 0


def test_heat_is_the_hottest_outlet_of_the_module() -> None:
    bench = started()
    bench.do(2.0, fault="hot", outlet="n1-7", temperature_c=95)
    assert bench.words(*REF, "04 0003 0001", 2.0) == [950]
    bench.do(3.0, heal="n1-7")
    assert bench.words(*REF, "04 0003 0001", 3.0) == [250]


def test_mains_dips_and_comes_back() -> None:
    bench = started("n1-1")
    undo = bench.do(2.0, mains={"voltage_v": 85}, for_s=1)
    words = bench.words(*REF, READ, 2.5)
    assert (words[2], words[4]) == (850, 0)
    assert undo is not None
    undo(3.0)
    words = bench.words(*REF, READ, 4.0)
    assert words[2] == 2300
    assert words[4] > 0


def test_over_names_an_outlet_once_until_it_was_below_again() -> None:
    bench = started("n1-1", "n1-2")

    def over(now_s: float, pdu: str = READ) -> tuple[str, ...]:
        told = bench.world.ask(*REF, bytes.fromhex(pdu), now_s, 1)
        assert told is not None
        return told.over

    bench.do(1.0, report_over="n1-1", above_a=8)
    assert over(1.0) == ()
    bench.do(2.0, load_step="n1-1", power_w=3000, for_s=1)
    bench.do(2.0, load_step="n1-2", power_w=3000)
    assert over(2.1, "04 0005 0009") == ()  # this answer does not hold its current
    assert over(2.2) == ("n1-1",)
    assert over(2.3) == ()
    bench.do(3.0, unplug="n1-1")
    assert over(3.1) == ()
    bench.do(4.0, load_step="n1-1", power_w=3000)
    assert over(4.1) == ("n1-1",)
    bench.do(5.0, report_over="n1-2", above_a=8)
    assert over(5.1) == ("n1-2",)
    bench.do(6.0, report_over="n1-2", above_a=0)
    assert over(6.1) == ()


@pytest.mark.parametrize(
    "step",
    [
        {"plug": "n9-1", "load": "bike"},
        {"plug": "n1-1", "load": "truck"},
        {"unplug": "n9-1"},
        {"load_step": "n9-1", "power_w": 1},
        {"fault": "welded", "outlet": "n9-1"},
        {"fault": "silent", "device": "m9"},
        {"heal": "m9"},
        {"report_over": "n9-1", "above_a": 1},
    ],
)
def test_steps_that_name_what_is_not_there(step: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match="is called"):
        demo_bench().do(0.0, **step)


def test_a_silent_device_says_nothing_until_it_heals() -> None:
    bench = started()
    bench.do(1.0, fault="silent", device="m1")
    assert bench.ask(*REF, "05 0000 0000", 2.0) is None
    assert len(bench.relays()) == 10
    bench.do(3.0, heal="m1")
    assert bench.ask(*REF, "04 0000 0001", 4.0) is not None


def test_lost_frames_are_as_many_as_said_and_half_of_them_did_act() -> None:
    bench = started()
    bench.do(1.0, fault="lost", device="m1", share=0.5)
    before = len(bench.relays())
    answers = [bench.ask(*REF, "05 0000 0000", 2.0 + step * 0.1) for step in range(1000)]
    acted = len(bench.relays()) - before

    assert 430 <= answers.count(None) <= 570
    assert 690 <= acted <= 810


def faulty(kind: LinkFault, **more: Any) -> LinkFaults:
    faults = LinkFaults(7)
    faults.start(LinkTrouble(kind, **more))
    return faults


ANSWER = Answer(1, bytes.fromhex("04 02 1234"))


@pytest.mark.parametrize("kind", [kind for kind in LinkFault if kind is not LinkFault.BABBLE])
def test_faults_repeat_by_their_seed_and_end(kind: LinkFault) -> None:
    def played() -> list[tuple[bool, Answer | None]]:
        faults = faulty(kind, share=0.5)
        return [(faults.loses_request(), faults.spoil(ANSWER)) for _ in range(50)]

    assert played() == played()
    assert played() != [(False, ANSWER)] * 50
    healed = faulty(kind)
    healed.stop()
    assert (healed.loses_request(), healed.spoil(ANSWER)) == (False, ANSWER)


def test_what_each_fault_does_to_an_answer() -> None:
    def spoilt(kind: LinkFault) -> Answer:
        answer = faulty(kind, delay_ms=250).spoil(ANSWER)
        assert answer is not None
        return answer

    assert spoilt(LinkFault.LATE).delay_s == 0.25
    assert spoilt(LinkFault.WRONG_UNIT).unit == 2
    assert spoilt(LinkFault.WRONG_FUNCTION).pdu == bytes.fromhex("03 02 1234")
    assert spoilt(LinkFault.PIECES).pieces in (2, 3, 4)
    frame = bytes(range(20))
    torn = spoil_bytes(frame, spoilt(LinkFault.TRUNCATED), spoilable=20)
    assert 1 <= len(torn) < 20
    assert frame.startswith(torn)
    bent = spoil_bytes(frame, spoilt(LinkFault.CORRUPT), spoilable=20)
    assert sum(a != b for a, b in zip(frame, bent, strict=True)) == 1


def test_corruption_stays_within_what_may_be_spoilt() -> None:
    faults = faulty(LinkFault.CORRUPT)
    frame = bytes(20)
    for _ in range(200):
        answer = faults.spoil(ANSWER)
        assert answer is not None
        assert spoil_bytes(frame, answer, spoilable=9)[9:] == frame[9:]


def test_babble_comes_now_and_then_and_is_short() -> None:
    faults = faulty(LinkFault.BABBLE)
    said = [faults.babble(step * 0.05) for step in range(400)]
    sizes = [len(noise) for noise in said if noise]
    assert 50 < len(sizes) < 160
    assert max(sizes) <= 24
    faults.stop()
    assert faults.babble(100.0) == b""
