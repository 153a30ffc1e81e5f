"""What is written down when the journal fails, and what a restart makes of it."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from pathlib import Path

import pytest

from gateway.core.clock import EARLIEST_UTC_MS, Now
from gateway.core.reasons import Reason
from gateway.guard.events import LeaseNotDurable
from gateway.guard.interrupted import first_entry, latches_of
from gateway.guard.journal import Journal
from gateway.guard.journal_entry import DropLease, Entry, NotWritten, Ticket
from gateway.guard.limits import Release
from gateway.link.journal import JournalReader
from gateway.link.records import LatchRecord, LeaseRecord, MinuteRecord
from tests.support.guarded_shed import A1, Shed, on, play
from tests.support.shed import small_site

MINUTE_MS = 60_000


def test_a_lease_that_never_started_has_no_end_either(tmp_path: Path) -> None:
    async def story(shed: Shed) -> None:
        shed.sample(A1)
        lost, put = Ticket(), shed.journal.put
        entries: list[Entry] = []

        def lose(entry: Entry) -> Ticket:
            entries.append(entry)
            return lost

        shed.journal.put = lose  # type: ignore[method-assign]
        lost.settle(NotWritten("poison"))
        with pytest.raises(Exception, match="not switched on"):
            await shed.commands.on(on())
        shed.journal.put = put  # type: ignore[method-assign]
        assert [fact.kind for fact in entries[0].facts] == ["lease.started"]
        assert await shed.kinds() == []
        assert shed.fleet.outlets[A1].state.lease is None

    play(tmp_path, story)


def test_a_lease_taken_back_before_it_was_written_has_a_start_and_an_end(tmp_path: Path) -> None:
    async def story(shed: Shed) -> None:
        shed.sample(A1)
        outlet = shed.fleet.outlets[A1]
        ticket_before = len(shed.switch.told)
        task_answer = shed.commands.on(on(request_id=None))
        task_answer.send(None)  # up to the wait for the disk
        lease = outlet.state.lease
        assert lease is not None
        outlet.feed(LeaseNotDurable(lease_id=lease.id))
        task_answer.close()
        assert await shed.kinds() == ["lease.started", "lease.ended"]
        assert len(shed.switch.told) == ticket_before
        with JournalReader(shed.path) as reader:
            assert reader.leases() == []

    play(tmp_path, story)


def lease_from(granted_utc_ms: int) -> LeaseRecord:
    return LeaseRecord(
        outlet="a1",
        lease_id="l1",
        request_id="r1",
        actor="x",
        reason="",
        granted_utc_ms=granted_utc_ms,
        until_utc_ms=granted_utc_ms + 3_600_000,
    )


@pytest.mark.parametrize(
    ("granted_after_ms", "expected_mwh"),
    [
        (0, 10 + 20 + 30),
        (30_000, 20 + 30),  # its first minute also holds the end of another lease
        (-30_000, 10 + 20 + 30),
        (2 * MINUTE_MS + 1, 0),
    ],
)
def test_the_energy_of_an_interrupted_lease_is_at_least_what_is_said(
    tmp_path: Path, granted_after_ms: int, expected_mwh: int
) -> None:
    start = (EARLIEST_UTC_MS // MINUTE_MS + 10) * MINUTE_MS
    lease = lease_from(start + granted_after_ms)
    assert energy_said(tmp_path, lease, start) == expected_mwh


def test_by_a_clock_that_was_not_set_nothing_is_certain(tmp_path: Path) -> None:
    assert energy_said(tmp_path, lease_from(1_000_000), 1_020_000 // MINUTE_MS * MINUTE_MS) == 0


def test_a_restart_looks_for_no_minutes_after_the_end_of_a_lease(tmp_path: Path) -> None:
    start = (EARLIEST_UTC_MS // MINUTE_MS + 10) * MINUTE_MS
    lease = replace(lease_from(start), until_utc_ms=start + 2 * MINUTE_MS)
    assert energy_said(tmp_path, lease, start) == 10 + 20


@pytest.mark.parametrize(
    ("reason", "release"), [("meteor", "automatic"), ("overcurrent", "astronomer")]
)
def test_a_latch_in_words_of_another_version_is_kept_for_a_person_on_site(
    tmp_path: Path, reason: str, release: str
) -> None:
    record = LatchRecord(
        outlet=A1, reason=reason, rule=reason, release=release, since_utc_ms=EARLIEST_UTC_MS
    )
    latch = latches_of(small_site(tmp_path), [record], Now(5_000, EARLIEST_UTC_MS))[A1]
    assert (latch.reason, latch.release) == (Reason.INTERRUPTED, Release.ON_SITE)
    assert latch.evidence["written_as"] == f"{reason}, {release}"


def energy_said(folder: Path, lease: LeaseRecord, start_utc_ms: int) -> int:
    """Write three minutes of 10, 20 and 30 mWh; give what a restart says of the lease."""
    path = folder / "guard.db"
    journal = Journal(path)
    tickets = [
        journal.put(
            Entry(
                (),
                (
                    MinuteRecord(
                        outlet="a1",
                        minute_utc_ms=start_utc_ms + place * MINUTE_MS,
                        samples=60,
                        energy_mwh=10 * (place + 1),
                        voltage_v=None,
                        current_a=None,
                        power_w=None,
                    ),
                ),
            )
        )
        for place in range(3)
    ]
    asyncio.run(journal.close())
    assert all(ticket.error is None for ticket in tickets)
    now = Now(5_000, start_utc_ms + 60 * MINUTE_MS)
    with JournalReader(path) as reader:
        entry = first_entry(reader, [lease], now, version="1", boot_id="b")
    started, ended = entry.facts
    assert started.data["interrupted"] == ["a1"]
    assert ended.data["energy_is"] == "at_least"
    assert entry.changes == (DropLease("a1"),)
    return int(ended.data["energy_mwh"])
