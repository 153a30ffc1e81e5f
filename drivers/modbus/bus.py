"""The driver of one Modbus bus: what the guard speaks to, and the owner of the connection."""

from __future__ import annotations

import asyncio
import logging
import random
import time

from drivers.modbus.client import links_of
from drivers.modbus.dispatch import Dispatcher
from drivers.modbus.health import Backoff
from drivers.modbus.link import Link, LinkLost, OpenLink
from drivers.modbus.pause import LoopPause, Pause, precise_pause
from drivers.modbus.talk import Talk, TimeS
from drivers.modbus.wire import SerialWire, wire_of
from drivers.stats import BusStats
from gateway.config import Bus, RtuBus, Site
from gateway.core.clock import Clock
from gateway.core.errors import NotKnown
from gateway.core.ids import BusId, OutletId
from gateway.guard.model import BusState, Sink, WriteResult

log = logging.getLogger(__name__)

LONGEST_ON_WAIT_S = 2.0
"""An ON that could not be sent by then is dropped, never sent late."""
FIRST_RECONNECT_MS = 250.0
LONGEST_RECONNECT_MS = 10_000.0
STEADY_S = 5.0
"""A connection that was used for so long and broke is opened again soon; one that breaks sooner
each time, because another master takes it over, is tried ever less often."""
SETTLED_S = 1.0
"""A connection that was lost is told to be open again once it has held for so long: a device that
serves somebody else accepts and hangs up at once, which is no recovery."""
TRIES_ALL_OFF = 3
_BETWEEN_TRIES_S = 0.2
"""A relay needs a moment before its state can be read back."""
_LONGEST_TRY_S = 15.0


class ModbusBus:
    """One Modbus line or connection. Raises CorrectInput when the site can't be planned.

    ``open_link``, ``time_s``, ``pause`` and ``rng`` replace hardware and chance in tests.
    """

    def __init__(
        self,
        bus: Bus,
        site: Site,
        sink: Sink,
        clock: Clock,
        *,
        open_link: OpenLink | None = None,
        time_s: TimeS = time.monotonic,
        pause: Pause | None = None,
        rng: random.Random | None = None,
    ) -> None:
        self._id: BusId = bus.id
        self._sink = sink
        self._time_s = time_s
        self._pause = pause
        rng = rng or random.Random()  # noqa: S311 - spreads reconnects, guards no secret
        self._wire = wire_of(bus)
        self._open_link = open_link or links_of(bus)
        self._is_connection = not isinstance(bus, RtuBus)
        self._where = bus.place
        self._dispatch = Dispatcher(
            bus, site, sink, clock, self._wire, written=self._written, time_s=time_s, rng=rng
        )
        self._backoff = Backoff(rng, FIRST_RECONNECT_MS, LONGEST_RECONNECT_MS)
        self._state = BusState.CONNECTING
        self._detail = ""
        self._running = False
        self._off_waits = asyncio.Event()
        self._on_timers: dict[OutletId, asyncio.TimerHandle] = {}
        self._watched: dict[OutletId, asyncio.Future[WriteResult]] = {}

    @property
    def id(self) -> BusId:
        """The bus's id in the site file."""
        return self._id

    # ------------------------------------------------------------ commands

    def switch_on(self, outlet: OutletId, for_ms: int) -> None:
        """Queue an ON. Raises NotKnown for an outlet whose relay is elsewhere.

        No device here has a timer for each outlet: its watchdog stands for ``for_ms``.
        """
        del for_ms
        self._check(outlet)
        self._dispatch.lanes.put_on(outlet)
        if outlet not in self._on_timers:
            loop = asyncio.get_running_loop()
            timer = loop.call_later(LONGEST_ON_WAIT_S, self._drop_on, outlet)
            self._on_timers[outlet] = timer
        self._dispatch.kick()

    def keep_on(self, outlet: OutletId, for_ms: int) -> None:
        """Nothing is to be done: a module's watchdog is kept by polling it."""

    def switch_off(self, outlet: OutletId, *, urgent: bool) -> None:
        """Queue an OFF. Raises NotKnown for an outlet whose relay is elsewhere."""
        self._check(outlet)
        if self._dispatch.lanes.put_off(outlet, urgent=urgent):
            self._stop_timer(outlet)
            # not now: this may be called from within the outlet that will be told
            loop = asyncio.get_running_loop()
            loop.call_soon(self._sink.on_write, outlet, True, WriteResult.DROPPED)
        self._off_waits.set()
        if urgent:
            self._dispatch.send_cut()
        self._dispatch.kick()

    def room_for_ons(self) -> int:
        """How many more ONs leave within half the time after which they would be dropped.

        OFFs that can be sent go first, each with a poll. Those to a device that does not answer
        keep nobody waiting for long.
        """
        lanes, units = self._dispatch.lanes, self._dispatch.units
        most = round(LONGEST_ON_WAIT_S * 1_000 / 2 / self._dispatch.on_ms)
        offs = lanes.offs_waiting(lambda device: units[device].health.misses == 0)
        return max(1, most) - lanes.ons_waiting - offs

    def _check(self, outlet: OutletId) -> None:
        if outlet not in self._dispatch.lanes.relays:
            raise NotKnown(f"outlet {outlet} has no relay on bus {self.id}: see the site file")

    def _drop_on(self, outlet: OutletId) -> None:
        self._on_timers.pop(outlet, None)
        if self._dispatch.lanes.drop_on(outlet):
            self._sink.on_write(outlet, True, WriteResult.DROPPED)

    def _stop_timer(self, outlet: OutletId) -> None:
        timer = self._on_timers.pop(outlet, None)
        if timer is not None:
            timer.cancel()

    def _written(self, outlet: OutletId, wanted_on: bool, result: WriteResult) -> None:
        if wanted_on and outlet not in self._dispatch.lanes.ons:  # its timer may be a later one's
            self._stop_timer(outlet)
        self._sink.on_write(outlet, wanted_on, result)
        watcher = None if wanted_on else self._watched.pop(outlet, None)
        if watcher is not None and not watcher.done():
            watcher.set_result(result)

    # ------------------------------------------------------------ the connection

    async def run(self) -> None:
        """Own the connection until cancelled."""
        if self._running:
            raise RuntimeError(f"bus {self.id} has its owner already")
        self._running = True
        pause = self._pause or (
            precise_pause() if isinstance(self._wire, SerialWire) else LoopPause(self._time_s)
        )
        link: Link | None = None
        self._tell(BusState.CONNECTING, f"opening {self._where}")
        try:
            while True:
                link = self._open_link()
                again_at_once = await self._use(link, pause)
                link.close()
                if not again_at_once:
                    await self._wait_before_reconnect()
        finally:
            if link is not None:
                link.close()
            pause.close()
            for timer in self._on_timers.values():
                timer.cancel()
            self._on_timers.clear()
            self._running = False

    async def _use(self, link: Link, pause: Pause) -> bool:
        """Open a link and serve it until it is lost. True when it should be opened anew at once."""
        serial = self._wire if isinstance(self._wire, SerialWire) else None
        dispatch = self._dispatch
        talk = Talk(
            link,
            serial,
            dispatch.asker.numbers,
            counts=dispatch.asker.counts,
            on_stray=dispatch.asker.strayed,
            time_s=self._time_s,
        )

        def lost(detail: str) -> None:
            talk.broke(detail)
            dispatch.kick()

        try:
            await link.open(talk.received, lost)
        except LinkLost as err:
            self._lost(str(err))
            return False
        talk.opened()
        settling = self._opened()
        opened_s = self._time_s()
        try:
            again_at_once = await dispatch.serve(talk, pause)
        finally:
            if settling is not None:
                settling.cancel()
        if self._time_s() - opened_s >= STEADY_S:
            self._backoff.reset()
        if not again_at_once:
            self._lost(talk.lost or "")
        return again_at_once

    def _opened(self) -> asyncio.TimerHandle | None:
        """Tell that the bus is open, now or, by the timer it gives, once that has held."""
        if self._state is BusState.OPEN:
            return None
        self._dispatch.opened()
        if self._is_connection and self._state is BusState.LOST:
            loop = asyncio.get_running_loop()
            return loop.call_later(SETTLED_S, self._tell, BusState.OPEN, self._where)
        self._tell(BusState.OPEN, self._where)
        return None

    def _lost(self, detail: str) -> None:
        self._tell(BusState.LOST, detail)
        self._dispatch.lost(detail)
        for outlet in self._dispatch.lanes.ons:
            # what was asked for before the bus was lost is not done after it
            self._stop_timer(outlet)
            self._drop_on(outlet)
        self._dispatch.fail_offs()

    async def _wait_before_reconnect(self) -> None:
        """Wait, capped and jittered; an OFF in the meantime tries at once.

        One that has failed is asked for again once a second: what waits for it may be on.
        """
        wait_s = self._backoff.next_ms() / 1_000
        least_s = min(wait_s, FIRST_RECONNECT_MS / 1_000)
        await asyncio.sleep(least_s)
        lanes = self._dispatch.lanes
        if wait_s > least_s and not lanes.has_cuts and not lanes.has_offs:
            self._off_waits.clear()
            try:
                async with asyncio.timeout(wait_s - least_s):
                    await self._off_waits.wait()
            except TimeoutError:
                return

    def _tell(self, state: BusState, detail: str) -> None:
        if state is self._state and state is not BusState.CONNECTING:
            if state is BusState.LOST and detail != self._detail:
                # Logged once; the reason is another one by now, and is shown.
                self._detail = detail
                self._sink.on_bus(self.id, state, detail)
            return
        if state is BusState.LOST:
            log.warning("bus %s: %s", self.id, detail)
        elif self._state is BusState.LOST:
            log.info("bus %s: open again: %s", self.id, detail)
        self._state = state
        self._detail = detail
        self._sink.on_bus(self.id, state, detail)

    # ------------------------------------------------------------ the rest

    def stats(self) -> BusStats:
        asker = self._dispatch.asker
        now_ms = self._time_s() * 1_000
        fast_ms, slow_ms = self._dispatch.rounds.oldest_ms(now_ms)
        errors = {str(kind): count for kind, count in asker.counts.faults.items()}
        if asker.counts.declined:
            errors["declined"] = asker.counts.declined
        return BusStats(
            utilisation=asker.load.utilisation(now_ms),
            busy_ms=asker.load.busy_ms,
            requests=asker.counts.requests,
            timeouts=asker.counts.timeouts,
            errors=errors,
            cycle_ms=self._dispatch.rounds.cycle_ms,
            queue_depth=len(self._dispatch.lanes),
            oldest_fast_ms=fast_ms,
            oldest_slow_ms=slow_ms,
        )

    async def all_off(self) -> list[tuple[OutletId, WriteResult]]:
        """Switch every relay of this bus off, whether ``run`` is running or not."""
        owner = None
        if not self._running:
            owner = asyncio.create_task(self.run(), name=f"bus {self.id}: all off")
        results = dict.fromkeys(self._dispatch.lanes.relays, WriteResult.FAILED)
        self._dispatch.switching.confirm_all = True
        try:
            for attempt in range(TRIES_ALL_OFF):
                left = [outlet for outlet, end in results.items() if end is not WriteResult.DONE]
                if not left:
                    break
                if attempt:
                    await asyncio.sleep(_BETWEEN_TRIES_S)
                results.update(await self._try_off(left))
        finally:
            self._dispatch.switching.confirm_all = False
            if owner is not None:
                owner.cancel()
                await asyncio.wait([owner])
        return list(results.items())

    async def _try_off(self, outlets: list[OutletId]) -> dict[OutletId, WriteResult]:
        loop = asyncio.get_running_loop()
        watchers = {outlet: loop.create_future() for outlet in outlets}
        self._watched.update(watchers)
        for outlet in outlets:
            self.switch_off(outlet, urgent=True)
        await asyncio.wait(watchers.values(), timeout=_LONGEST_TRY_S)
        for outlet in outlets:
            self._watched.pop(outlet, None)
        return {outlet: watcher.result() for outlet, watcher in watchers.items() if watcher.done()}
