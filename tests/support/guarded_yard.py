"""A guard without wires: outlets of a tree draw, are read, told, and obey."""

from __future__ import annotations

import time
from pathlib import Path

from gateway.config import Site, load_site
from gateway.core.facts import FactDraft
from gateway.core.ids import OutletId
from gateway.guard.circuit_views import circuit_views
from gateway.guard.commands import Commands
from gateway.guard.fleet import Fleet
from gateway.guard.grid import Grid
from gateway.guard.interrupted import latches_of
from gateway.guard.journal import Journal
from gateway.guard.journal_entry import Entry
from gateway.guard.model import Lease, Sample
from gateway.guard.recorder import FactRecorder
from gateway.guard.slices import whole
from gateway.guard.views import Views
from gateway.link.circuits import CircuitView
from gateway.link.journal import JournalReader
from gateway.link.messages import OutletView
from gateway.link.requests import OnAnswer, OnRequest, SnapshotRequest
from tests.support.shed import HandClock, NotingSwitch

SITE = """
site: {id: shed}
limits: {silence: {delay_s: 5}, overpower: {above_w: 1000}}
buses:
  - {id: net1, kind: modbus-tcp, host: 127.0.0.1, port: 15020}
devices:
  - {id: m1, bus: net1, unit: 1, profile: pilegate-ref10}
  - {id: e1, bus: net1, unit: 2, profile: sdm120}
  - {id: w1, bus: net1, unit: 3, profile: waveshare-relay-d-contactor}
stations:
  - id: north
    piles:
      - {id: n1, module: {device: m1, channels: 1-3}}
      - {id: n2, module: {device: m1, channels: 4-6}}
circuits:
  - id: top
    feeds: [site]
    power_w: 1000
    start_w: 300
    settle_s: 2
    rest_s: 1
    delay_s: 2
    contactor: {device: w1, channel: 1, after_s: 6}
  - id: under
    parent: top
    feeds: [pile/n2]
    power_w: 600
"""
CONTACTOR = OutletId("circuit/top/contactor")
A, B, C = (OutletId(f"n1-{n}") for n in (1, 2, 3))
D = OutletId("n2-4")


class Yard:
    """A guard without wires."""

    def __init__(self, folder: Path, text: str = SITE) -> None:
        path = folder / "site.yaml"
        path.write_text(text)
        self.site: Site = load_site(path)
        self.path = folder / "guard.db"
        self.clock = HandClock(utc_ms=time.time_ns() // 1_000_000)
        self.switch = NotingSwitch()
        self.watts: dict[str, float] = {}
        self.closed: dict[str, bool] = {}
        self.contactor_closed = True
        self.volts: float | None = 230.0
        """What the module's one register for the voltage says; None: it is not read."""
        self.open()

    def open(self) -> None:
        self.journal = Journal(self.path)
        self.journal.start()
        now = self.clock.now()
        with JournalReader(self.path) as reader:
            latched = list(reader.latches())
        recorder = FactRecorder(self.journal, self.clock, lambda _: None)
        self.fleet = Fleet(
            self.site,
            clock=self.clock,
            recorder=recorder,
            write_fact=self.write,
            on_sample=lambda *_: None,
            latches=latches_of(self.site, latched, now),
            locks=(),
        )
        for point in self.site.points_on("net1"):
            if point.relay is not None:
                self.fleet.switches[point.id] = self.switch
        self.grid = Grid(self.site, self.fleet, self.clock, self.journal.put_urgent, latched)
        self.commands = Commands(
            site=self.site,
            fleet=self.fleet,
            recorder=recorder,
            journal=self.journal,
            clock=self.clock,
            find_answer=lambda _: None,
            grid=self.grid,
        )
        self.views = Views(self.site, self.fleet, self.clock)

    def write(self, draft: FactDraft) -> None:
        self.journal.put(Entry((draft,)))

    def round(self, count: int = 1) -> None:
        """Let half a second pass, read everything, and look at the circuits."""
        for _ in range(count):
            self.read()
            self.grid.look()

    def read(self) -> None:
        """Let half a second pass, and read everything."""
        self._obey()
        self.clock.go(0.5)
        for outlet in self.site.outlets:
            self.fleet.on_sample(outlet.id, self._sample(outlet.id))
        self.fleet.on_sample(CONTACTOR, self._sample(CONTACTOR))
        self.fleet.tick(list(self.fleet.outlets.values()))

    def _obey(self) -> None:
        for name, word in self.switch.told:
            if name == CONTACTOR:
                self.contactor_closed = word == "on"
            else:
                self.closed[name] = word == "on"
        self.switch.told.clear()

    def _sample(self, name: OutletId) -> Sample:
        now = self.clock.now()
        if name == CONTACTOR:
            return Sample(at_ms=now.mono_ms, utc_ms=now.utc_ms, relay_on=self.contactor_closed)
        closed = self.closed.get(name, False)
        power_w = self.watts.get(name, 200.0) if closed and self.contactor_closed else 0.0
        power_w = self.watts.get(f"{name} welded", power_w) if self.contactor_closed else 0.0
        return Sample(
            at_ms=now.mono_ms,
            utc_ms=now.utc_ms,
            relay_on=closed,
            voltage_v=self.volts,
            power_w=power_w,
            current_a=power_w / 230,
        )

    async def on(self, outlet: str, power_w: float | None = None) -> OnAnswer:
        request = OnRequest(outlet=outlet, for_s=600, actor="t", reason="test", power_w=power_w)
        return await self.commands.on(request)

    def lease(self, name: str, power_w: float) -> Lease:
        """Make a lease of ten minutes, as the commands do."""
        now = self.clock.now()
        return Lease(
            id=f"lease-{name}",
            request_id=f"request-{name}",
            actor="t",
            reason="test",
            granted_ms=now.mono_ms,
            granted_utc_ms=now.utc_ms,
            until_ms=now.mono_ms + 600_000,
            power_w=power_w,
        )

    def shown(self, outlet: str) -> OutletView:
        return self.views.page(SnapshotRequest(outlets=(outlet,)), 0).outlets[0]

    def circuit(self, name: str = "top") -> CircuitView:
        views = whole(circuit_views(self.grid))
        return next(view for view in views if view.circuit == name)

    async def facts(self, *kinds: str) -> list[tuple[str, str, str]]:
        await self.journal.put_urgent(Entry()).durable()
        with JournalReader(self.path) as reader:
            found = [(fact.kind, fact.subject, fact.reason) for fact in reader.facts_after(0)]
        return [fact for fact in found if not kinds or fact[0] in kinds]

    async def three_on(self) -> None:
        self.round()
        for outlet in (A, B, C):
            answer = await self.on(outlet)
            assert answer.waits_for is None
        self.watts |= {A: 300, B: 300, C: 300}
        self.round(8)
