"""How a guard starts after one that was killed: what was on is told to go off, heard or not."""

from __future__ import annotations

import asyncio
from pathlib import Path

from gateway.core.ids import OutletId
from gateway.guard.app import Guard
from gateway.guard.journal import Journal
from gateway.guard.journal_entry import Entry
from gateway.guard.model import Sample
from gateway.guard.state import Phase
from gateway.link.journal import JournalReader, journal_path
from gateway.link.records import LeaseRecord
from tests.support.journal import UTC_MS
from tests.support.shed import HandClock, NotingSwitch, small_site

A1, A2 = OutletId("n1-1"), OutletId("n1-2")


def leave_on(folder: Path, *outlets: str) -> None:
    """Leave the journal of a guard that was killed while outlets were on."""

    async def write() -> None:
        journal = Journal(journal_path(folder))
        journal.start()
        leases = [
            LeaseRecord(
                outlet=outlet,
                lease_id=f"lease-{outlet}",
                request_id=f"request-{outlet}",
                actor="t",
                reason="test",
                granted_utc_ms=UTC_MS - 60_000,
                until_utc_ms=UTC_MS + 60_000,
            )
            for outlet in outlets
        ]
        await journal.put(Entry((), tuple(leases))).durable()
        await journal.close()

    asyncio.run(write())


def test_what_was_on_is_told_to_go_off_before_it_is_heard(tmp_path: Path) -> None:
    leave_on(tmp_path, A1, "of-another-site")

    async def main() -> NotingSwitch:
        clock = HandClock(utc_ms=UTC_MS)
        guard = Guard(small_site(tmp_path), tmp_path, clock)
        switch = NotingSwitch()
        guard.fleet.switches.update(dict.fromkeys(guard.fleet.outlets, switch))
        run = asyncio.create_task(guard.run())
        async with asyncio.timeout(30):
            while not switch.told:
                await asyncio.sleep(0.005)
        assert guard.fleet.outlets[A1].state.phase is Phase.STOPPING
        assert guard.fleet.outlets[A2].state.phase is Phase.OFF
        clock.go(1)
        now = clock.now()
        seen = Sample(
            at_ms=now.mono_ms, utc_ms=now.utc_ms, relay_on=False, current_a=0.0, power_w=0.0
        )
        guard.fleet.on_sample(A1, seen)
        guard.stop()
        async with asyncio.timeout(30):
            await run
        return switch

    assert set(asyncio.run(main()).told) == {(A1, "cut")}
    with JournalReader(journal_path(tmp_path)) as reader:
        told = [(fact.kind, fact.subject, fact.reason) for fact in reader.facts_after(0)]
    assert told[0][0] == "guard.started"
    assert told[1:3] == [
        ("lease.ended", f"outlet/{A1}", "interrupted"),
        ("lease.ended", "outlet/of-another-site", "interrupted"),
    ]
    assert ("outlet.off", f"outlet/{A1}", "interrupted") in told
