"""Composition root of the guard: what it is made of, how it starts and how it stops."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import signal
import uuid
from collections.abc import Sequence
from pathlib import Path

from drivers import BUSES, BusDriver
from gateway.config import Site
from gateway.core.clock import Clock, SystemClock
from gateway.core.errors import PilegateError
from gateway.core.facts import FactDraft, FactKind
from gateway.core.ids import OutletId
from gateway.core.reasons import Reason
from gateway.guard.circuit_views import circuit_views
from gateway.guard.commands import Commands
from gateway.guard.control import ControlServer
from gateway.guard.counting import Counting
from gateway.guard.effects import Note
from gateway.guard.events import RequestOff
from gateway.guard.fleet import Fleet
from gateway.guard.flight import Flights
from gateway.guard.flight_record import Run
from gateway.guard.grid import Grid
from gateway.guard.interrupted import past_of
from gateway.guard.journal import Journal
from gateway.guard.journal_chores import Keep
from gateway.guard.journal_entry import Entry, JournalFull, Ticket
from gateway.guard.looks import leisurely
from gateway.guard.metrics import Metrics
from gateway.guard.model import BusState, DeviceState
from gateway.guard.outlet import Outlet
from gateway.guard.panel import Panel
from gateway.guard.recorder import FactRecorder
from gateway.guard.service import Service
from gateway.guard.slices import whole
from gateway.guard.state import Phase
from gateway.guard.state_lock import StateLock
from gateway.guard.views import Views
from gateway.link.journal import JournalReader, journal_path
from gateway.link.records import RequestRecord
from gateway.runtime import loop_lag, sd_notify
from gateway.runtime.swift import favour_the_loop
from gateway.runtime.version import program_version

log = logging.getLogger(__name__)

TICK_MS = 1_000
"""Every outlet's timers are looked at once in this time, a slice of them at a time."""
TICK_SLICES = 100
FIRST_READ_S = 5.0
"""How long a start waits for every bus to be read once."""
FIRST_WRITE_S = 10.0
"""How long READY waits for the journal; after that the guard goes on, and grants no leases."""
STOP_S = 5.0
"""How long a stop waits for outlets to be seen off."""
DRAIN_S = 5.0
"""How long a stop waits for the journal."""


class Guard:
    """One run of the guard."""

    def __init__(self, site: Site, state_dir: Path, clock: Clock | None = None) -> None:
        """Open or make the journal, and build every outlet from what it holds.

        Raises FixInstallation for a state directory that can't be used.
        """
        self.site = site
        self.clock = clock or SystemClock()
        self.boot_id = str(uuid.uuid4())
        self.version = program_version()
        self.journal = Journal(journal_path(state_dir), keep=_keep_of(site))
        with JournalReader(self.journal.path) as reader:
            self._past = past_of(
                reader, site, self.clock.now(), version=self.version, boot_id=self.boot_id
            )
        self.counting = Counting(self.journal, self._flights(), self.clock, self._on_samples)
        self.recorder = FactRecorder(
            self.journal, self.clock, self._on_note, self.counting.on_entry
        )
        self.fleet = Fleet(
            site,
            clock=self.clock,
            recorder=self.recorder,
            write_fact=self._write_fact,
            on_sample=self.counting.on_sample,
            latches=self._past.latches,
            locks=self._past.locks,
        )
        self.grid = Grid(site, self.fleet, self.clock, self._write_entry, self._past.latched)
        self.panel = Panel(
            site.interlocks,
            clock=self.clock,
            outlets=self.fleet.outlets,
            open_feed=self.grid.open_feed,
            write_fact=lambda draft: self._write_entry(Entry((draft,))),
        )
        self.grid.tripped_over = self.panel.over_circuit
        self.fleet.points |= self.panel.points()
        self.commands = Commands(
            site=site,
            fleet=self.fleet,
            recorder=self.recorder,
            journal=self.journal,
            clock=self.clock,
            find_answer=self._find_answer,
            grid=self.grid if site.circuits else None,
            tripped_over=self.panel.over_circuit,
        )
        self.views = Views(site, self.fleet, self.clock)
        self.drivers = self._drivers()
        self.metrics = Metrics(
            self.fleet,
            self.journal,
            self.drivers,
            self.clock,
            lambda: whole(circuit_views(self.grid)),
        )
        self._stop = asyncio.Event()
        self.control = ControlServer(
            state_dir, site.guard.socket_group, self._service(), self.journal
        )

    def _flights(self) -> Flights:
        settings = self.site.guard.flights
        return Flights(
            before_ms=settings.before_s * 1000,
            after_ms=settings.after_s * 1000,
            run=Run(site=self.site.id, version=self.version, boot_id=self.boot_id),
            put=self.journal.put_flight,
        )

    async def run(self) -> None:
        """Run until told to stop (SIGTERM, SIGINT or ``stop``)."""
        self._catch_signals()
        self.control.bind()
        self.journal.start()
        # Before anything else in the queue, so that nothing new is granted before it stands.
        first = self.journal.put_urgent(self._past.first)
        try:
            await self._keep_safe(first)
        except BaseException:
            # A task failed, and the guard with it: a new one switches off what it finds on.
            # What happened until now is written down first.
            await self.journal.close(DRAIN_S)
            raise
        await self._close()

    async def _keep_safe(self, first: Ticket) -> None:
        async with asyncio.TaskGroup() as group:
            tasks = [
                group.create_task(_for_ever(driver.run(), f"bus {driver.id}"), name=driver.id)
                for driver in self.drivers
            ]
            for name, work in (
                ("tick", self._tick()),
                ("circuits", self.grid.run()),
                ("interlocks", self.panel.run()),
                ("loop lag", loop_lag.measure(self.metrics.lag)),
                ("watchdog", sd_notify.watchdog()),
                ("control", self.control.run()),
            ):
                tasks.append(group.create_task(_for_ever(work, name), name=name))
            self._switch_interrupted_off()
            await self._first_written(first)
            await self._first_round()
            favour_the_loop()
            log.info("guard is ready: %d outlets", len(self.fleet.outlets))
            sd_notify.notify("READY=1", f"STATUS=keeps {len(self.fleet.outlets)} outlets safe")
            await self._stop.wait()
            sd_notify.notify("STOPPING=1")
            await self._switch_off()
            for task in tasks:
                task.cancel()

    def stop(self) -> None:
        """Ask the guard to end in order."""
        self._stop.set()

    # What goes on while it runs

    async def _tick(self) -> None:
        """Let time go by for every outlet, a slice at a time, so that no cut-off waits."""
        outlets = list(self.fleet.outlets.values())
        size = max(1, -(-len(outlets) // TICK_SLICES))
        slices = [outlets[start : start + size] for start in range(0, len(outlets), size)]
        while True:
            for part in slices:
                self.fleet.tick(part)
                self.counting.close_due()
                await asyncio.sleep(TICK_MS / 1000 / len(slices))

    def _find_answer(self, request_id: str) -> RequestRecord | None:
        with JournalReader(self.journal.path) as reader:
            return reader.request(request_id)

    def _on_samples(self, count: int) -> None:
        self.metrics.samples(count)

    def _on_note(self, note: Note) -> None:
        self.metrics.note(note)

    def _service(self) -> Service:
        return Service(
            self.commands,
            self.views,
            self.drivers,
            hello=lambda: (self.version, self.site.id, self.boot_id, self.journal.last_seq),
            metrics=lambda: asyncio.to_thread(self.metrics.text),
            circuits=lambda: leisurely(circuit_views(self.grid)),
            interlocks=self.panel.views,
        )

    def _write_fact(self, draft: FactDraft) -> None:
        try:
            self.journal.put(Entry((draft,)))
        except JournalFull as err:
            log.warning("not written down: %s of %s: %s", draft.kind, draft.subject, err)

    def _write_entry(self, entry: Entry) -> None:
        """Write down what happened to a circuit or an interlock: no full queue keeps it out."""
        self.journal.put_urgent(entry)

    # Start

    def _drivers(self) -> list[BusDriver]:
        drivers: list[BusDriver] = []
        for bus in self.site.all_buses:
            driver = BUSES[bus.kind](bus, self.site, self.fleet, self.clock)
            drivers.append(driver)
            for point in self.site.points_on(bus.id):
                relay = point.relay
                if relay is not None and self.site.any_device(relay.device).bus == bus.id:
                    self.fleet.switches[point.id] = driver
        return drivers

    def _switch_interrupted_off(self) -> None:
        """Tell what was on to go off before it is read: perhaps it can't be read any more."""
        for outlet_id in self._past.interrupted:
            outlet = self.fleet.outlets.get(OutletId(outlet_id))
            if outlet is not None:
                outlet.feed(RequestOff(actor="guard", reason=Reason.INTERRUPTED))

    async def _first_written(self, ticket: Ticket) -> None:
        """Wait, within bounds, until it stands in the journal what was interrupted.

        The buses are at work meanwhile: a full disk must not keep an outlet on.
        """
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(FIRST_WRITE_S):
                while not self._stop.is_set() and not ticket.done:
                    await asyncio.sleep(0.02)
        if ticket.facts is None:
            log.error("what was interrupted is not written down: %s", self.journal.state.detail)

    async def _first_round(self) -> None:
        """Wait until every device was heard or given up, within bounds."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(FIRST_READ_S):
                while not self._stop.is_set() and not self._all_heard():
                    await asyncio.sleep(0.02)

    def _all_heard(self) -> bool:
        for device in self.site.all_devices:
            state, _ = self.fleet.device_states.get(device.id, (DeviceState.UNKNOWN, ""))
            bus, _ = self.fleet.bus_states.get(device.bus, (BusState.CONNECTING, ""))
            if state is DeviceState.UNKNOWN and bus is not BusState.LOST:
                return False
        return True

    def _catch_signals(self) -> None:
        loop = asyncio.get_running_loop()
        for name in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(name, self._stop.set)

    # Stop: flag, drain, bounded wait, cancel

    async def _switch_off(self) -> None:
        self.commands.stopping = True
        count = self.commands.stop_all(Reason.STOPPING)
        if count:
            log.info("stopping: %d outlets are switched off", count)
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(STOP_S):
                while any(self._still_on()):
                    await asyncio.sleep(0.02)
        left = [outlet.id for outlet in self._still_on()]
        if left:
            log.error("not seen off: %s: run `pilegate all-off`", ", ".join(left[:20]))

    def _still_on(self) -> Sequence[Outlet]:
        return [
            outlet
            for outlet in self.fleet.outlets.values()
            if outlet.state.phase not in (Phase.OFF, Phase.GRANTED, Phase.WAITING)
            and outlet.state.measured.relay_on is not None
        ]

    async def _close(self) -> None:
        self.counting.close()
        now = self.clock.now()
        stopped = FactDraft(
            kind=FactKind.GUARD_STOPPED,
            subject="guard",
            utc_ms=now.utc_ms,
            quality=now.quality,
            data={"boot_id": self.boot_id},
        )
        self.journal.put_urgent(Entry((stopped,)))
        if not await self.journal.close(DRAIN_S):
            log.error("the journal was not written to its end: %s", self.journal.state.detail)


def _keep_of(site: Site) -> Keep:
    """Say how much the journal keeps, and how long."""
    settings = site.guard
    return Keep(
        minutes_days=settings.minutes_retention_days,
        flights_days=settings.flights.retention_days,
        flights_bytes=settings.flights.max_mb * 1024 * 1024,
        largest_bytes=settings.journal_max_mb * 1024 * 1024,
    )


async def _for_ever(work: object, name: str) -> None:
    """Run a task that is meant never to return; when it does, that is a failure."""
    await work  # type: ignore[misc]
    raise PilegateError(f"{name} ended although nothing told it to: restart the guard")


async def run_guard(site: Site, state_dir: Path) -> None:
    """Run the guard of a site until SIGTERM or SIGINT. Raises FixInstallation."""
    with StateLock(state_dir):
        await Guard(site, state_dir).run()
