"""What the guard answers, and what it writes down when that fails."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path

import pytest

from gateway.core.errors import Refused, TryLater
from gateway.guard.journal_entry import Entry, JournalFull, NotWritten, Ticket
from gateway.guard.model import Sample
from gateway.link.journal import JournalReader
from gateway.link.messages import OutletState as Shown
from gateway.link.requests import RenewRequest, SnapshotRequest
from tests.support.guarded_shed import A1, Shed, on, play


def answering(ticket: Ticket) -> Callable[[Entry], Ticket]:
    """Make a journal's put that gives but this ticket."""

    def put(entry: Entry) -> Ticket:
        assert entry.facts
        return ticket

    return put


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
