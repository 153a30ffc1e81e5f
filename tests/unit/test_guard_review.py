"""What a review of the guard found: each of these was wrong once."""

from __future__ import annotations

import asyncio
import math
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from gateway.core.errors import Refused, TryLater
from gateway.core.facts import FactKind
from gateway.guard.effects import Refusal, SwitchOff, SwitchOn
from gateway.guard.energy import add, start, total_mwh
from gateway.guard.events import LeaseDurable, Renew, RequestOff, RequestReset, Written
from gateway.guard.journal_entry import Entry, JournalFull, NotWritten, Ticket
from gateway.guard.limits import (
    AboveCurrent,
    AbovePower,
    AboveVoltage,
    Action,
    Full,
    InverseTime,
    Limits,
    NoReaction,
    Release,
    Silence,
    Welded,
)
from gateway.guard.model import Sample, WriteResult
from gateway.guard.state import Phase
from gateway.link.journal import JournalReader
from gateway.link.messages import OutletState as Shown
from gateway.link.requests import RenewRequest, SnapshotRequest
from tests.support.machine import UTC_MS, Machine
from tests.unit.test_guard_service import A1, Shed, on, play


def charging(machine: Machine, power_w: float = 150.0, seconds: int = 30) -> Machine:
    machine.switch_on()
    for _ in range(seconds):
        machine.sample(power_w)
    assert machine.state.phase is Phase.ON, machine.ends()
    return machine


def codes(effects: tuple[object, ...]) -> list[str]:
    return [e.code for e in effects if isinstance(e, Refusal)]


def answering(ticket: Ticket) -> Callable[[Entry], Ticket]:
    """Make a journal's put that gives but this ticket."""

    def put(entry: Entry) -> Ticket:
        assert entry.facts
        return ticket

    return put


def part(machine: Machine, **values: float | bool | None) -> tuple[object, ...]:
    """Show what one device of a composed outlet says, a second later."""
    machine.now_ms += 1_000
    at_ms = machine.now_ms
    return machine.feed(Sample(at_ms=at_ms, utc_ms=UTC_MS + at_ms, **values))  # type: ignore[arg-type]


# While a lease is being written down


@pytest.mark.parametrize(
    ("sample", "reason"),
    [
        ({"voltage_v": 290.0}, "overvoltage"),
        ({"temperature_c": 95.0}, "overtemperature"),
        ({"alarm": True}, "device_alarm"),
        ({"current_a": 0.5}, "welded"),
    ],
)
def test_what_comes_up_while_the_lease_is_written_down_forbids_the_on(
    sample: dict[str, float], reason: str
) -> None:
    machine = Machine()
    machine.sample()
    machine.ask_on()
    machine.sample(**sample)  # type: ignore[arg-type]
    assert machine.feed(LeaseDurable(lease_id="lease-1"))
    assert not machine.relay_on
    assert machine.ends() == [reason]


def test_a_lease_that_was_over_before_it_was_written_down_switches_nothing_on() -> None:
    machine = Machine()
    machine.sample()
    machine.ask_on(machine.lease(for_s=1))
    machine.sample(after_s=2)
    machine.feed(LeaseDurable(lease_id="lease-1"))
    assert not machine.relay_on
    assert machine.ends() == ["lease_over"]


def test_an_outlet_that_fell_silent_meanwhile_is_not_switched_on() -> None:
    machine = Machine(Limits(silence=Silence(delay_s=2)))
    machine.sample()
    machine.ask_on()
    machine.now_ms += 2_000
    machine.feed(LeaseDurable(lease_id="lease-1"))
    assert not machine.relay_on
    assert machine.ends() == ["silence"]


def test_a_relay_found_closed_before_it_was_told_to_is_opened() -> None:
    machine = Machine()
    machine.sample()
    machine.ask_on()
    machine.relay_on = True
    effects = machine.sample(100)
    assert effects[0] == SwitchOff(urgent=True)
    assert machine.ends() == ["interrupted"]
    assert machine.reasons(FactKind.OUTLET_ALARM) == ["no_lease"]


def test_an_overload_seen_before_the_on_is_not_held_against_it() -> None:
    machine = Machine()
    machine.sample()
    machine.ask_on()
    part(machine, power_w=5_000.0, current_a=0.0)
    machine.now_ms += 1_500
    part(machine, relay_on=False, current_a=0.0)
    machine.feed(LeaseDurable(lease_id="lease-1"))
    machine.sample(5_000, current_a=1.0)
    assert machine.state.phase is Phase.ON, "it has 3 s of its own"
    for _ in range(3):
        machine.sample(5_000, current_a=1.0)
    assert machine.cuts() == ["overpower"]


# Relays


def test_a_module_that_can_be_read_but_refuses_every_off_is_cut() -> None:
    machine = charging(Machine(answers=False))
    machine.obeys = False
    machine.feed(RequestOff(actor="x"))
    for _ in range(8):
        machine.feed(Written(wanted_on=False, result=WriteResult.FAILED))
        machine.sample(150)
    assert machine.cuts() == ["no_reaction"]


def test_an_off_that_waited_for_a_lost_bus_is_no_fault_of_the_relay() -> None:
    machine = charging(Machine(answers=False))
    machine.obeys = False
    machine.feed(RequestOff(actor="x"))
    for _ in range(30):
        machine.feed(Written(wanted_on=False, result=WriteResult.FAILED))
        machine.tick()
    machine.sample(150)
    machine.feed(Written(wanted_on=False, result=WriteResult.DONE))
    machine.sample(150)
    machine.relay_on = False
    machine.sample(0)
    assert machine.cuts() == []
    assert machine.state.phase is Phase.OFF


def test_a_device_that_falls_silent_after_an_on_is_silent_and_not_accused() -> None:
    machine = Machine(obeys=False)
    machine.sample()
    machine.ask_on()
    machine.feed(LeaseDurable(lease_id="lease-1"))
    machine.sample(0, after_s=0.01)
    for _ in range(8):
        machine.tick()
    assert machine.ends() == ["silence"]
    assert machine.state.latch is None


def test_a_start_that_only_alarms_of_no_reaction_still_hears_silence() -> None:
    machine = Machine(Limits(no_reaction=NoReaction(action=Action.ALARM)), obeys=False)
    machine.sample()
    machine.ask_on()
    machine.feed(LeaseDurable(lease_id="lease-1"))
    for _ in range(20):
        machine.sample(0)
    assert machine.state.alarms == {"no_reaction"}
    for _ in range(8):
        machine.tick()
    assert machine.ends() == ["silence"]


def test_the_alarm_of_no_reaction_is_over_when_the_relay_closes() -> None:
    machine = Machine(Limits(no_reaction=NoReaction(action=Action.ALARM)), obeys=False)
    machine.sample()
    machine.ask_on()
    machine.feed(LeaseDurable(lease_id="lease-1"))
    for _ in range(10):
        machine.sample(0)
    machine.relay_on = True
    machine.sample(100)
    assert machine.state.alarms == frozenset()


def test_a_meter_of_power_alone_can_be_seen_off() -> None:
    machine = Machine()
    part(machine, relay_on=False, power_w=0.0)
    machine.ask_on()
    machine.feed(LeaseDurable(lease_id="lease-1"))
    part(machine, relay_on=True, power_w=150.0)
    assert machine.reasons(FactKind.OUTLET_ON) == [""]
    machine.feed(RequestOff(actor="x"))
    part(machine, relay_on=False, power_w=150.0)
    assert machine.state.stop is not None
    part(machine, relay_on=False, power_w=0.0)
    assert machine.state.phase is Phase.OFF
    for _ in range(4):
        part(machine, relay_on=False, power_w=150.0)
    assert machine.cuts() == ["welded"]


def test_an_old_word_of_the_relay_does_not_make_a_weld() -> None:
    machine = charging(Machine())
    machine.relay_on = False
    machine.sample(0, relay_on=False)
    assert machine.ends() == ["interrupted"]
    for _ in range(5):
        part(machine, current_a=0.6, power_w=138.0)
    assert machine.cuts() == []


def test_a_current_seen_before_an_off_says_nothing_about_the_time_after_it() -> None:
    machine = Machine()
    machine.sample(0)
    machine.sample(0, current_a=0.06)
    machine.relay_on = True
    machine.sample(0)
    machine.sample(0)
    assert machine.state.phase is Phase.OFF
    machine.sample(0, current_a=0.06)
    assert machine.cuts() == []


def test_an_overload_measured_while_the_off_is_on_its_way_is_latched() -> None:
    machine = charging(Machine())
    machine.obeys = False
    machine.feed(RequestOff(actor="x"))
    machine.sample(9_000, after_s=0.3)
    assert machine.cuts() == ["overcurrent_instant"]
    machine.relay_on = False
    machine.sample(0)
    assert codes(machine.ask_on()) == ["latched"]


# Silence


def test_a_meter_that_is_silent_while_an_off_is_on_its_way_is_told() -> None:
    machine = charging(Machine())
    machine.feed(RequestOff(actor="x"))
    for _ in range(30):
        part(machine, relay_on=False)
    assert machine.state.phase is Phase.STOPPING
    assert machine.reasons(FactKind.OUTLET_ALARM) == ["silence"]
    assert machine.reasons(FactKind.OUTLET_ALARM_CLEARED) == []


def test_an_alarm_of_silence_stays_while_the_meter_is_silent() -> None:
    machine = charging(Machine(Limits(silence=Silence(action=Action.ALARM))))
    for _ in range(120):
        part(machine, relay_on=True)
    assert machine.reasons(FactKind.OUTLET_ALARM) == ["silence"]
    assert machine.reasons(FactKind.OUTLET_ALARM_CLEARED) == []
    for _ in range(12):
        machine.sample(150)
    assert machine.reasons(FactKind.OUTLET_ALARM_CLEARED) == ["silence"]


def test_a_meter_whose_power_is_no_number_any_more_is_silent() -> None:
    machine = charging(Machine())
    for _ in range(12):
        machine.sample(math.nan, current_a=0.6)
    assert machine.ends() == ["silence"]


# Values


@pytest.mark.parametrize("absurd", [math.nan, math.inf, -math.inf])
@pytest.mark.parametrize("name", ["current_a", "power_w", "voltage_v", "temperature_c"])
def test_what_is_no_number_is_no_value(name: str, absurd: float) -> None:
    machine = charging(Machine())
    before = machine.state.measured
    part(machine, relay_on=True, **{name: absurd})
    assert getattr(machine.state.measured, name) == getattr(before, name)
    assert machine.state.phase is Phase.ON
    machine.sample(9_000)
    assert machine.cuts() == ["overcurrent_instant"]


def test_absurd_values_are_cut_and_not_charged_for() -> None:
    machine = charging(Machine())
    machine.sample(3e38)
    assert machine.cuts() == ["overcurrent_instant"]
    assert machine.notes(FactKind.LEASE_ENDED)[0].data["energy_mwh"] < 10_000


def test_a_sample_from_the_future_is_none() -> None:
    machine = charging(Machine())
    machine.feed(Sample(at_ms=machine.now_ms + 10**9, utc_ms=0, current_a=0.5, relay_on=True))
    for _ in range(12):
        machine.tick()
    assert machine.ends() == ["silence"]


def test_the_late_part_of_a_sample_is_neither_judged_nor_counted() -> None:
    machine = charging(Machine(Limits(silence=Silence(delay_s=60))))
    late = Sample(
        at_ms=machine.now_ms - 500,
        utc_ms=0,
        current_a=60.0,
        power_w=13_800.0,
        temperature_c=20.0,
        energy_mwh=10,
    )
    machine.sample(150, energy_mwh=5_000)
    machine.feed(replace(late, at_ms=machine.now_ms - 500))
    assert machine.state.phase is Phase.ON
    assert machine.state.measured.temperature_c == 20.0
    assert machine.state.energy.register_mwh == 5_000


# Limits of the lease


@pytest.mark.parametrize("rule", [None, AbovePower(above_w=1_000, action=Action.ALARM)])
def test_the_leases_own_power_limit_is_kept_where_the_rule_is_off(rule: AbovePower | None) -> None:
    machine = Machine(Limits(overpower=rule))
    machine.switch_on(machine.lease(power_w=200))
    for _ in range(5):
        machine.sample(250)
    assert machine.ends() == ["overpower"]


@pytest.mark.parametrize("limit", [{"energy_mwh": 1_000}, {"power_w": 100.0}])
def test_limits_that_cannot_be_measured_are_not_promised(limit: dict[str, int]) -> None:
    machine = Machine(metered=False)
    part(machine, relay_on=False)
    assert codes(machine.ask_on(machine.lease(**limit))) == ["not_metered"]  # type: ignore[arg-type]
    assert codes(machine.ask_on()) == []
    machine = Machine()
    part(machine, relay_on=False, current_a=0.0)
    assert codes(machine.ask_on(machine.lease(**limit))) == ["not_metered"]  # type: ignore[arg-type]


def test_a_lease_that_is_over_is_not_renewed() -> None:
    machine = Machine()
    machine.switch_on(machine.lease(for_s=10))
    machine.now_ms += 20_000
    renew = Renew(lease_id="lease-1", until_ms=machine.now_ms + 60_000, actor="x")
    assert codes(machine.feed(renew)) == ["not_on"]


# Latches


def test_a_latch_is_not_reset_while_nobody_knows_whether_it_is_off() -> None:
    machine = charging(Machine())
    machine.sample(5_000)
    machine.sample(0)
    assert machine.state.phase is Phase.OFF
    machine.now_ms += 60_000
    assert codes(machine.feed(RequestReset(actor="x", on_site=True))) == ["not_off"]
    machine.sample(0)
    assert codes(machine.feed(RequestReset(actor="x", on_site=True))) == []


def test_the_cool_down_needs_the_quantity_and_no_gap() -> None:
    volts = AboveVoltage(above_v=270, release=Release.AUTOMATIC, cooldown_s=30)
    machine = charging(Machine(Limits(overvoltage=volts)))
    machine.sample(150, voltage_v=280)
    machine.sample(0)
    assert machine.cuts() == ["overvoltage"]
    for _ in range(60):
        part(machine, relay_on=False)
    assert machine.state.latch is not None, "the voltage was not measured"
    machine.sample(0)
    machine.sample(0, after_s=600)
    assert machine.state.latch is not None, "nobody knows what was in between"
    for _ in range(30):
        machine.sample(0)
    assert machine.state.latch is None


# Alarms


def test_an_alarm_of_inverse_time_does_not_flood() -> None:
    rule = InverseTime(pickup_a=4, action=Action.ALARM)
    limits = Limits(overcurrent_inverse=rule, overcurrent=None, wrong_appliance=None)
    machine = charging(Machine(limits))
    for _ in range(120):
        machine.sample(1_500)
    assert machine.reasons(FactKind.OUTLET_ALARM) == ["overcurrent_inverse"]
    assert machine.reasons(FactKind.OUTLET_ALARM_CLEARED) == []
    for _ in range(12):
        machine.sample(150)
    assert machine.reasons(FactKind.OUTLET_ALARM_CLEARED) == ["overcurrent_inverse"]


def test_an_alarm_of_a_weld_does_not_flood() -> None:
    machine = charging(Machine(Limits(welded=Welded(action=Action.ALARM))))
    machine.feed(RequestOff(actor="x"))
    for _ in range(120):
        machine.sample(150, relay_on=False)
    assert machine.reasons(FactKind.OUTLET_ALARM) == ["welded"]
    assert machine.reasons(FactKind.OUTLET_ALARM_CLEARED) == []


def test_alarms_about_a_charge_end_with_it() -> None:
    machine = charging(Machine(Limits(full=Full(action=Action.ALARM, delay_s=60))), seconds=300)
    for _ in range(100):
        machine.sample(5)
    assert machine.state.alarms == {"full"}
    machine.feed(RequestOff(actor="x"))
    machine.sample(0)
    assert machine.state.alarms == frozenset()


def test_a_fight_with_another_master_is_told_once() -> None:
    machine = Machine()
    for _ in range(30):
        machine.relay_on = True
        machine.sample(0)
        machine.sample(0)
    assert machine.reasons(FactKind.OUTLET_ALARM) == ["no_lease"]


# Energy


def register(rows: list[tuple[int, float, int]]) -> int:
    """Feed (ms, W, register in mWh) rows to a lease; give its energy in mWh."""
    counted = start(None)
    for at_ms, power_w, energy_mwh in rows:
        sample = Sample(at_ms=at_ms, utc_ms=0, power_w=power_w, energy_mwh=energy_mwh)
        counted = add(counted, sample, 10_000)
    return total_mwh(counted)


def test_a_register_that_was_misread_once_is_not_paid_for() -> None:
    rows = [(s * 1_000, 360.0, 1_234_000_000 + s // 10 * 1_000) for s in range(100)]
    rows[50] = (50_000, 360.0, 0)
    assert 9_000 <= register(rows) <= 11_000
    rows[50] = (50_000, 360.0, 4_000_000_000)
    assert 9_000 <= register(rows) <= 11_000


# The shell


def test_an_on_that_finds_no_room_in_the_journal_is_not_answered_as_done(tmp_path: Path) -> None:
    async def story(shed: Shed) -> None:
        shed.sample(A1)

        def full(entry: Entry) -> Ticket:
            raise JournalFull(f"no room for {entry}")

        put, shed.journal.put = shed.journal.put, full  # type: ignore[method-assign]
        for _ in range(2):
            with pytest.raises(TryLater, match="not switched on"):
                await shed.commands.on(on())
        shed.journal.put = put  # type: ignore[method-assign]
        assert not (await shed.commands.on(on())).duplicate
        assert shed.switch.told == [(A1, "on")]
        assert await shed.kinds() == ["lease.started"]

    play(tmp_path, story)


def test_what_was_answered_as_not_switched_on_does_not_go_on_late(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("gateway.guard.commands.DURABLE_TIMEOUT_S", 0.05)

    async def story(shed: Shed) -> None:
        shed.sample(A1)
        slow = Ticket()
        shed.journal.put = answering(slow)  # type: ignore[method-assign, assignment]
        with pytest.raises(TryLater, match="not switched on"):
            await shed.commands.on(on())
        slow.settle(())
        assert shed.switch.told == []
        assert shed.fleet.outlets[A1].state.lease is None

    play(tmp_path, story)


def test_an_answer_is_forgotten_although_nobody_waited_for_the_failure(tmp_path: Path) -> None:
    async def story(shed: Shed) -> None:
        shed.sample(A1)
        lost = Ticket()
        put, shed.journal.put = shed.journal.put, answering(lost)  # type: ignore[method-assign, assignment]
        asked = asyncio.create_task(shed.commands.on(on()))
        while shed.fleet.outlets[A1].state.lease is None:
            await asyncio.sleep(0.001)
        asked.cancel()
        await asyncio.wait([asked])
        lost.settle(NotWritten("gone"))
        shed.journal.put = put  # type: ignore[method-assign]
        assert not (await shed.commands.on(on())).duplicate

    play(tmp_path, story)


def test_a_request_id_belongs_to_one_outlet(tmp_path: Path) -> None:
    async def story(shed: Shed) -> None:
        shed.sample(A1)
        shed.sample("n1-2")
        await shed.commands.on(on())
        with pytest.raises(Refused, match="was about n1-1"):
            await shed.commands.on(on("n1-2"))
        await shed.journal.close()
        shed.open()
        with pytest.raises(Refused, match="was about n1-1"):
            await shed.commands.on(on("n1-2"))

    play(tmp_path, story)


def test_the_journal_knows_how_long_a_renewed_lease_lasts(tmp_path: Path) -> None:
    async def story(shed: Shed) -> None:
        await shed.switched_on()
        lease = shed.fleet.outlets[A1].state.lease
        assert lease is not None
        answer = shed.commands.renew(RenewRequest(lease_id=lease.id, for_s=3_600, actor="t"))
        await shed.settle()
        with JournalReader(shed.path) as reader:
            assert [row.until_utc_ms for row in reader.leases()] == [answer.until_utc_ms]

    play(tmp_path, story)


def test_a_latch_whose_evidence_cannot_be_written_is_written_without(tmp_path: Path) -> None:
    async def story(shed: Shed) -> None:
        await shed.switched_on()
        put = shed.journal.put_urgent

        def refuse(entry: Entry) -> Ticket:
            if any("evidence" in fact.data for fact in entry.facts):
                ticket = Ticket()
                ticket.settle(NotWritten("poison"))
                return ticket
            return put(entry)

        shed.journal.put_urgent = refuse  # type: ignore[method-assign]
        shed.sample(A1, 9_000, relay_on=True)
        shed.sample(A1)
        assert (await shed.kinds())[-3:] == ["lease.ended", "outlet.cut", "outlet.off"]
        assert shed.shown() is Shown.CUT

    play(tmp_path, story)


def test_the_last_fact_of_an_outlet_is_its_own(tmp_path: Path) -> None:
    async def story(shed: Shed) -> None:
        await shed.switched_on()
        await shed.switched_on("n1-2", "r2")
        shared = Ticket()
        put, shed.journal.put_urgent = shed.journal.put_urgent, answering(shared)  # type: ignore[method-assign, assignment]
        shed.sample(A1, 9_000, relay_on=True)
        shed.journal.put_urgent = put  # type: ignore[method-assign]
        await shed.settle()
        with JournalReader(shed.path) as reader:
            facts = tuple(reader.facts_after(0))
        shared.settle(facts)
        last = shed.fleet.outlets[A1].last_fact
        assert last is not None
        mine = [fact.seq for fact in facts if fact.subject == f"outlet/{A1}"]
        assert last.seq == mine[-1]

    play(tmp_path, story)


def test_an_error_of_the_guards_own_switches_that_outlet_off_and_no_other(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    async def story(shed: Shed) -> None:
        await shed.switched_on()
        await shed.switched_on("n1-2", "r2")

        def broken(*_: object) -> None:
            raise ZeroDivisionError

        with monkeypatch.context() as patched:
            patched.setattr("gateway.guard.sampling.rules.causes", broken)
            shed.sample(A1, 150, relay_on=True)
            shed.sample(A1, 150, relay_on=True)
        shed.fleet.tick(shed.fleet.outlets.values())
        assert (A1, "cut") in shed.switch.told
        assert ("n1-2", "cut") not in shed.switch.told
        assert shed.fleet.outlets[A1].state.lease is None
        shed.sample(A1)
        kinds = await shed.kinds()
        assert kinds.count("lease.ended") == 1
        assert shed.shown() is Shown.OFF
        assert caplog.text.count("could not be judged") == 1

    play(tmp_path, story)


def test_an_outlet_whose_end_cannot_even_be_told_is_switched_off(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def story(shed: Shed) -> None:
        await shed.switched_on()

        def broken(*_: object, **__: object) -> None:
            raise ZeroDivisionError

        with monkeypatch.context() as patched:
            patched.setattr("gateway.guard.sampling.rules.causes", broken)
            patched.setattr("gateway.guard.failsafe.stop", broken)
            shed.sample(A1, 150, relay_on=True)
        assert shed.switch.told[-1] == (A1, "cut")
        assert shed.shown() is Shown.STOPPING

    play(tmp_path, story)


def test_a_bus_that_takes_no_off_is_told_again_and_the_end_is_written_down(
    tmp_path: Path,
) -> None:
    async def story(shed: Shed) -> None:
        await shed.switched_on()
        real = shed.fleet.switches.pop(A1)
        shed.sample(A1, 9_000, relay_on=True)
        assert (await shed.kinds())[-2:] == ["lease.ended", "outlet.cut"]
        shed.fleet.switches[A1] = real
        shed.clock.go(1)
        shed.fleet.tick([shed.fleet.outlets[A1]])
        assert shed.switch.told[-1] == (A1, "cut")

    play(tmp_path, story)


def test_the_on_is_not_sent_again_for_a_write_that_succeeded() -> None:
    machine = Machine(obeys=False, answers=False)
    machine.sample()
    machine.ask_on()
    machine.feed(LeaseDurable(lease_id="lease-1"))
    assert machine.feed(Written(wanted_on=True, result=WriteResult.DONE)) == ()
    assert [e for _, e in machine.effects if isinstance(e, SwitchOn)] == [
        SwitchOn(for_ms=36_000_000)
    ]


def test_the_time_shown_is_that_of_the_older_of_relay_and_meter(tmp_path: Path) -> None:
    async def story(shed: Shed) -> None:
        await shed.switched_on()
        shed.clock.go(1)
        view = shed.views.page(SnapshotRequest(outlets=(A1,)), 0).outlets[0]
        assert view.sample_age_ms == 1_000
        now = shed.clock.now()
        shed.fleet.on_sample(A1, Sample(at_ms=now.mono_ms, utc_ms=now.utc_ms, relay_on=True))
        view = shed.views.page(SnapshotRequest(outlets=(A1,)), 0).outlets[0]
        assert view.sample_age_ms == 1_000
        assert view.sample_utc_ms == now.utc_ms - 1_000, "a value keeps its own time"

    play(tmp_path, story)


def test_definite_time_survives_lost_polls() -> None:
    machine = charging(Machine(Limits(overcurrent=AboveCurrent(above_a=5, delay_s=3))))
    machine.sample(1_400)
    machine.tick()
    machine.tick()
    machine.sample(1_400)
    assert machine.cuts() == ["overcurrent"]


def test_the_first_of_equal_latches_stays() -> None:
    machine = charging(Machine())
    machine.obeys = False
    for _ in range(10):
        machine.sample(9_000)
    assert machine.cuts() == ["overcurrent_instant"]


def test_a_gap_that_nobody_watched_is_not_held_against_the_load() -> None:
    rule = InverseTime(pickup_a=4, time_multiplier=1.0)
    silence = Silence(delay_s=5, action=Action.ALARM)
    machine = charging(Machine(Limits(overcurrent_inverse=rule, silence=silence)))
    machine.sample(8 * 230, after_s=600)
    assert machine.cuts() == []
    assert machine.state.inverse_share == pytest.approx(5 / 13.5, rel=0.01)


def test_a_relay_has_its_time_from_when_it_heard_the_off() -> None:
    machine = charging(Machine(answers=False))
    machine.obeys = False
    machine.feed(RequestOff(actor="x"))
    machine.sample(150)
    for _ in range(6):
        machine.tick()
    machine.feed(Written(wanted_on=False, result=WriteResult.DONE))
    machine.sample(150, after_s=0.5)
    assert machine.cuts() == []
