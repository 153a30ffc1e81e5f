"""A guard without wires for tests: what is asked of it, and what it writes down."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from pathlib import Path

from gateway.core.facts import FactDraft
from gateway.core.ids import OutletId
from gateway.guard.commands import Commands
from gateway.guard.fleet import Fleet
from gateway.guard.interrupted import first_entry, latches_of
from gateway.guard.journal import Journal
from gateway.guard.journal_entry import Entry
from gateway.guard.model import Sample
from gateway.guard.recorder import FactRecorder
from gateway.guard.views import Views
from gateway.link.journal import JournalReader
from gateway.link.messages import OutletState as Shown
from gateway.link.messages import Target, TargetKind
from gateway.link.records import RequestRecord
from gateway.link.requests import OnRequest, SnapshotRequest, TargetRequest
from tests.support.shed import HandClock, NotingSwitch, small_site

A1 = OutletId("n1-1")


class Shed:
    """A guard without wires: samples are handed in, switching is noted."""

    def __init__(self, folder: Path) -> None:
        self.site = small_site(folder)
        self.path = folder / "guard.db"
        # Of today: the journal's own clock forgets answers that are a week old.
        self.clock = HandClock(utc_ms=time.time_ns() // 1_000_000)
        self.switch = NotingSwitch()
        self.open()

    def open(self) -> None:
        self.journal = Journal(self.path)
        self.journal.start()
        now = self.clock.now()
        with JournalReader(self.path) as reader:
            latches = latches_of(self.site, reader.latches(), now)
            locks = [record.scope for record in reader.locks()]
            self.first = first_entry(reader, reader.leases(), now, version="1", boot_id="b")
        recorder = FactRecorder(self.journal, self.clock, lambda _: None)
        self.fleet = Fleet(
            self.site,
            clock=self.clock,
            recorder=recorder,
            write_fact=self.write,
            on_sample=lambda *_: None,
            latches=latches,
            locks=locks,
        )
        for outlet in self.fleet.outlets:
            self.fleet.switches[outlet] = self.switch
        self.commands = Commands(
            site=self.site,
            fleet=self.fleet,
            recorder=recorder,
            journal=self.journal,
            clock=self.clock,
            find_answer=self.find_answer,
        )
        self.views = Views(self.site, self.fleet, self.clock)

    def write(self, draft: FactDraft) -> None:
        self.journal.put(Entry((draft,)))

    def find_answer(self, request_id: str) -> RequestRecord | None:
        with JournalReader(self.path) as reader:
            return reader.request(request_id)

    def sample(self, outlet: str, power_w: float = 0.0, *, relay_on: bool = False) -> None:
        self.clock.go(0.5)
        now = self.clock.now()
        self.fleet.on_sample(
            OutletId(outlet),
            Sample(
                at_ms=now.mono_ms,
                utc_ms=now.utc_ms,
                voltage_v=230.0,
                current_a=power_w / 230,
                power_w=power_w,
                relay_on=relay_on,
            ),
        )

    def shown(self, outlet: str = A1) -> Shown:
        return self.views.page(SnapshotRequest(outlets=(outlet,)), 0).outlets[0].state

    async def settle(self) -> None:
        await self.journal.put_urgent(Entry()).durable()

    async def kinds(self) -> list[str]:
        await self.settle()
        with JournalReader(self.path) as reader:
            return [fact.kind for fact in reader.facts_after(0)]

    async def switched_on(self, outlet: str = A1, request_id: str = "r1") -> None:
        self.sample(outlet)
        await self.commands.on(on(outlet, request_id))
        self.sample(outlet, 150, relay_on=True)


def on(outlet: str = A1, request_id: str | None = "r1", for_s: float = 600) -> OnRequest:
    return OnRequest(outlet=outlet, for_s=for_s, actor="t", reason="test", request_id=request_id)


def of(kind: TargetKind, name: str, *, on_site: bool = False) -> TargetRequest:
    return TargetRequest(target=Target(kind, name), actor="t", reason="test", on_site=on_site)


def play(folder: Path, story: Callable[[Shed], Awaitable[None]]) -> None:
    async def run() -> None:
        shed = Shed(folder)
        try:
            await story(shed)
        finally:
            await shed.journal.close()

    asyncio.run(run())
