"""The flight recorder: rings, windows, and states from which a record can be replayed."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.core.clock import Now, TimeQuality
from gateway.core.facts import FactKind
from gateway.guard.events import Alive, RequestOff, RequestReset
from gateway.guard.flight import FEWEST_ROWS, MOST_OPEN, MOST_ROWS, Ring
from gateway.guard.flight_replay import FlightReplayed, replay_flight
from gateway.guard.flight_state import state_from_json, state_to_json
from gateway.guard.journal_entry import NotWritten, Ticket
from gateway.guard.limits import AboveCurrent, Limits
from gateway.guard.model import Sample
from gateway.link.flight import FlightRecord, row_from_json, unpack
from tests.support.machine import UTC_MS
from tests.support.recorded import AFTER_S, BEFORE_S, LIMITS, Recorded, played


def again(record: FlightRecord, limits: Limits = LIMITS) -> FlightReplayed:
    """Replay a record as it comes out of a file."""
    header, *lines = [json.loads(line) for line in record.lines()]
    found = replay_flight(header, [row_from_json(line) for line in lines], limits)
    assert found is not None
    return found


# The ring


def sample_at(at_ms: int, **values: Any) -> Sample:
    return Sample(at_ms=at_ms, utc_ms=UTC_MS + at_ms, **values)


FINITE = st.none() | st.floats(allow_nan=False, allow_infinity=False)
SAMPLES = st.builds(
    Sample,
    at_ms=st.integers(0, 2**40),
    utc_ms=st.integers(-(2**45), 2**45),
    voltage_v=FINITE,
    current_a=FINITE,
    power_w=FINITE,
    power_factor=FINITE,
    frequency_hz=FINITE,
    energy_mwh=st.none() | st.integers(-(2**62), 2**62),
    temperature_c=FINITE,
    relay_on=st.none() | st.booleans(),
    alarm=st.none() | st.booleans(),
)


@given(SAMPLES, st.sampled_from(list(TimeQuality)))
def test_a_sample_comes_out_as_it_went_in(sample: Sample, quality: TimeQuality) -> None:
    ring = Ring(1_000)
    ring.add(sample, quality)
    (row,) = unpack(ring.since(-1)[1])
    assert row.quality is quality
    assert Sample(at_ms=row.at_ms, utc_ms=row.utc_ms, **row.values) == sample  # type: ignore[arg-type]
    assert row_from_json(json.loads(json.dumps(row.to_json()))) == row


def test_what_is_no_number_is_not_told() -> None:
    ring = Ring(1_000)
    ring.add(sample_at(5, power_w=float("nan"), current_a=float("inf")), TimeQuality.SYNCED)
    ring.add_alive(6, Now(8, UTC_MS, TimeQuality.UNSET))
    first, second = unpack(ring.since(0)[1])
    assert (first.values, first.alive) == ({}, False)
    assert (second.values, second.alive, second.quality) == ({}, True, TimeQuality.UNSET)
    assert (second.at_ms, second.utc_ms) == (6, UTC_MS - 2)


@given(st.integers(1, 400), st.integers(1, 3_000), st.integers(50, 2_000))
def test_a_ring_keeps_its_span_and_grows_no_further(rows: int, every_ms: int, span_ms: int) -> None:
    ring = Ring(span_ms)
    for number in range(rows):
        ring.add(sample_at(number * every_ms, power_w=float(number)), TimeQuality.SYNCED)
    first, packed = ring.since(0)
    kept = [row.values["power_w"] for row in unpack(packed)]
    assert kept == list(range(first, rows)), "without a hole, in order, to the newest"
    assert len(kept) >= min(rows, span_ms // every_ms)
    assert len(kept) <= max(FEWEST_ROWS, 2 * (span_ms // every_ms + 1))
    late_ms = (rows - 1) * every_ms
    assert [row.at_ms for row in unpack(ring.since(late_ms)[1])] == [late_ms]


def test_a_ring_is_bounded_whatever_comes() -> None:
    ring = Ring(3_600_000)
    for number in range(3 * MOST_ROWS):
        ring.add(sample_at(number, power_w=float(number)), TimeQuality.SYNCED)
    first, packed = ring.since(0)
    assert first == 2 * MOST_ROWS
    assert [row.at_ms for row in unpack(packed)] == list(range(2 * MOST_ROWS, 3 * MOST_ROWS))


# Windows


def test_a_cut_off_leaves_one_record_with_what_was_before_and_after() -> None:
    machine = played((180, 400), (4_500, 1), (0, AFTER_S + 1))
    assert machine.cuts() == ["overcurrent_instant"]
    assert len(machine.kept) == 1, "its end and its cut-off are one"
    record = machine.record()
    rows = list(record.rows())
    at_ms = record.header["at_ms"]
    assert rows[0].at_ms == at_ms - BEFORE_S * 1000
    assert rows[-1].at_ms == at_ms + AFTER_S * 1000
    assert [row.values["power_w"] for row in rows if row.at_ms >= at_ms][:2] == [4500.0, 0.0]
    assert record.header["incomplete"] == []
    assert [fact["kind"] for fact in record.header["facts"]] == ["lease.ended", "outlet.cut"]
    assert record.header["seq"] == record.header["facts"][0]["seq"]
    assert record.header["lease"]["actor"] == "tester"
    assert record.header["limits"]["overcurrent_instant"]["above_a"] == 16.0
    assert (record.header["site"], record.header["boot_id"]) == ("shed", "boot")


def test_nothing_is_kept_before_the_window_has_lasted() -> None:
    machine = played((180, 10), (4_500, 1), (0, AFTER_S - 2))
    assert machine.kept == []
    machine.flights.close_all()
    assert machine.record().header["incomplete"] == ["after"]


def test_a_second_end_within_the_window_has_a_record_of_its_own() -> None:
    machine = played((180, 50), (4_500, 1), (0, 10))
    machine.feed(RequestReset(actor="tester", on_site=True))
    machine.switch_on(machine.lease(name="lease-2"))
    machine.course(180, 10)
    machine.course(4_500, 1)
    machine.course(0, AFTER_S + 1)
    assert [flight.lease and flight.lease.id for flight in machine.kept] == ["lease-1", "lease-2"]
    for number in (0, 1):
        found = again(machine.record(number))
        assert found.is_same, found
        assert found.recorded.reason == "overcurrent_instant"


def test_an_alarm_within_a_window_joins_it() -> None:
    machine = played((180, 50), (4_500, 1), (0, 5))
    machine.sample(0, relay_on=True)
    assert machine.reasons(FactKind.OUTLET_ALARM) == ["no_lease"]
    machine.course(0, AFTER_S)
    assert len(machine.kept) == 1
    facts = machine.record().header["facts"]
    assert [fact["kind"] for fact in facts] == ["lease.ended", "outlet.cut", "outlet.alarm"]


def test_an_end_after_an_alarm_has_a_record_of_its_own() -> None:
    machine = played((1_500, 40), (0, 5), limits=replace(LIMITS, overpower=None))
    assert machine.reasons(FactKind.OUTLET_ALARM) == ["wrong_appliance"]
    machine.feed(RequestOff(actor="tester"))
    machine.course(0, AFTER_S + BEFORE_S)
    kinds = [[fact["kind"] for fact in machine.record(n).header["facts"]] for n in (0, 1)]
    assert kinds == [["outlet.alarm"], ["lease.ended"]]
    assert again(machine.record(0), replace(LIMITS, overpower=None)).is_same


def test_windows_are_bounded() -> None:
    machine = Recorded()
    for number in range(3 * MOST_OPEN):
        machine.switch_on(machine.lease(name=f"lease-{number}"))
        machine.feed(RequestOff(actor="tester"))
        machine.course(0, 1)
    machine.course(0, AFTER_S + 1)
    assert len(machine.kept) <= 3 * MOST_OPEN
    assert machine.kept[0].settled
    assert not machine.flights._open


def test_more_than_is_kept_is_told() -> None:
    machine = Recorded()
    machine.switch_on()
    for _ in range(MOST_ROWS + 10):
        machine.sample(180, after_s=0.02)
    machine.feed(RequestOff(actor="tester"))
    machine.count()
    machine.sample(0, after_s=AFTER_S + 1)
    machine.count()
    assert machine.record().header["incomplete"] == ["before"]


def test_a_record_without_its_fact_is_none() -> None:
    machine = played((180, 50), (4_500, 1), (0, AFTER_S + 1))
    lost, dropped, waits = Ticket(), Ticket(), Ticket()
    lost.settle(NotWritten("no"))
    dropped.settle(())
    for ticket in (lost, dropped):
        flight = replace(machine.kept[0], tickets=(ticket,))
        assert flight.settled
        assert flight.make() is None
    assert not replace(machine.kept[0], tickets=(waits,)).settled


# Replay


ENDS = {
    "overcurrent_instant": ((180, 400), (4_500, 1), (0, 90)),
    "overcurrent": ((180, 400), (2_600, 10), (0, 90)),
    "unplugged": ((180, 4_000), (0, 120)),
    "full": ((180, 3_000), (60, 100), (4, 600)),
    "no_load": ((2, 1_990),),
}


@pytest.mark.parametrize("reason", ENDS)
def test_a_record_replayed_ends_as_it_did(reason: str) -> None:
    machine = played(*ENDS[reason])
    found = again(machine.record())
    assert found.recorded.reason == reason
    assert found.is_same, found
    assert found.found is not None
    assert found.found.at_ms == found.recorded.at_ms
    assert found.found.evidence["held_ms"] == found.recorded.evidence["held_ms"]
    assert found.recorded.at_ms - found.from_ms >= (BEFORE_S - 31) * 1000


@pytest.mark.parametrize("reason", ["overcurrent_instant", "unplugged", "full"])
def test_another_limit_can_be_tried(reason: str) -> None:
    limits = replace(
        LIMITS,
        overcurrent_instant=AboveCurrent(above_a=60.0),
        overcurrent=None,
        overpower=None,
        unplugged=None,
        full=None,
    )
    found = again(played(*ENDS[reason]).record(), limits)
    assert found.found is None
    assert not found.is_same


def test_a_stricter_limit_ends_it_sooner() -> None:
    machine = played((180, 400), (1_500, 20), (4_500, 1), (0, 90))
    strict = replace(LIMITS, overcurrent_instant=AboveCurrent(above_a=5.0))
    found = again(machine.record(), strict)
    assert found.found is not None
    assert found.found.reason == "overcurrent_instant"
    assert found.recorded.at_ms - found.found.at_ms == 20_000
    assert not found.is_same, "a limit that acts sooner is another limit"


def test_an_end_that_was_asked_for_is_the_same_when_nothing_else_came() -> None:
    machine = played((180, 400))
    machine.feed(RequestOff(actor="tester"))
    machine.course(0, AFTER_S + 2)
    found = again(machine.record())
    assert (found.recorded.reason, found.asked_for, found.is_same) == ("requested", True, True)


def test_silence_is_replayed() -> None:
    machine = played((180, 400))
    for _ in range(AFTER_S + 30):
        machine.tick()
        machine.count()
    assert machine.ends() == ["silence"]
    found = again(machine.record())
    assert found.is_same, found


def test_signs_of_life_are_replayed() -> None:
    machine = played((180, 40))
    for _ in range(200):
        machine.now_ms += 1_000
        machine.feed(Alive(machine.now_ms))
    machine.sample(4_500)
    machine.course(0, AFTER_S + 1)
    found = again(machine.record())
    assert found.recorded.reason == "overcurrent_instant"
    assert found.is_same, found


def test_a_longer_lease_is_known_to_the_replay() -> None:
    machine = played((180, 100))
    lease = machine.state.lease
    assert lease is not None
    machine.state = machine.state._replace(lease=replace(lease, until_ms=machine.now_ms + 50_000))
    machine.course(180, 70)
    machine.course(0, AFTER_S + 1)
    found = again(machine.record())
    assert found.recorded.reason == "lease_over"
    assert found.is_same, found


def test_a_record_without_a_state_says_nothing() -> None:
    record = played(*ENDS["overcurrent_instant"]).record()
    assert replay_flight({**record.header, "state": None}, list(record.rows()), LIMITS) is None


def test_a_welded_relay_is_replayed() -> None:
    machine = played((180, 200))
    machine.obeys = False
    machine.feed(RequestOff(actor="tester"))
    for _ in range(AFTER_S + 20):
        machine.sample(180, relay_on=False)
    assert machine.cuts() == ["welded"]
    found = [again(machine.record(number)) for number in (0, 1)]
    assert [one.recorded.reason for one in found] == ["requested", "welded"]
    assert all(one.is_same for one in found), found


# The state


def test_a_state_comes_back_as_it_was() -> None:
    flicker = ((180, 60), *((0, 2), (180, 8)) * 6)
    for course in (*ENDS.values(), flicker):
        machine = played(*course)
        kept = [flight.start.state for flight in machine.kept if flight.start is not None]
        for state in [*kept, machine.state._replace(recent=())]:
            data = json.loads(json.dumps(state_to_json(state)))
            bare = None if state.latch is None else replace(state.latch, evidence={})
            charge = None if state.charge is None else state.charge._replace(fall=())
            assert state_from_json(data) == state._replace(latch=bare, charge=charge)


def test_fields_of_another_version_do_no_harm() -> None:
    machine = played((180, 10))
    data = state_to_json(machine.state)
    data["charge"] |= {"mood": "fine"}
    del data["charge"]["returns"], data["locks"]
    assert state_from_json(data).charge is not None


@pytest.mark.parametrize(
    "change",
    [
        {"metered": "yes"},
        {"phase": "flying"},
        {"phase_ms": 1.5},
        {"charge": {"peak_w": 5}},
        {"charge": []},
        {"holds": {"overpowr": 1}},
        {"holds": 3},
        {"alarms": ["welded", 5]},
        {"latch": {"reason": "welded"}},
        {"measured": {"power_w": True}},
    ],
)
def test_what_is_no_state_is_refused(change: dict[str, Any]) -> None:
    data = state_to_json(played((180, 10)).state) | change
    with pytest.raises((TypeError, ValueError, KeyError, AttributeError)):
        state_from_json(data)
