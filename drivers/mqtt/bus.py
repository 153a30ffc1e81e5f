"""The driver of one broker connection: what the guard speaks to, and the owner of the link."""

from __future__ import annotations

import asyncio
import logging
import random
import time
from collections.abc import Callable, Coroutine

from drivers.modbus.health import Backoff
from drivers.mqtt.link import Link, LinkLost, OpenLink, broker_links
from drivers.mqtt.plugs import Plugs
from drivers.stats import BusStats
from gateway.config import MqttBus, Site
from gateway.core.clock import Clock
from gateway.core.errors import NotKnown
from gateway.core.ids import BusId, OutletId
from gateway.guard.model import BusState, Sink, WriteResult

log = logging.getLogger(__name__)

LONGEST_ON_WAIT_S = 2.0
"""An ON that could not be sent by then is dropped, never sent late."""
ONS_AT_ONCE = 50
FIRST_RECONNECT_MS = 250.0
LONGEST_RECONNECT_MS = 10_000.0
LOGIN_RECONNECT_MS = 60_000.0
"""A broker that does not let this client in is asked as seldom as this: some lock out who asks
again and again."""
SHORT_LIFE_S = 10.0
"""A connection that the broker ends sooner than this did not hold."""
TAKEN_AFTER = 2
"""So many short lives in a row look like another client of the same name."""
TRIES_ALL_OFF = 3
_BETWEEN_TRIES_S = 0.2
_LONGEST_CONNECT_S = 10.0
_LONGEST_TRY_S = 6.0

TimeS = Callable[[], float]


class MqttPlugs:
    """The plugs behind one broker.

    ``open_link``, ``time_s`` and ``rng`` replace the network and chance in tests.
    """

    def __init__(
        self,
        bus: MqttBus,
        site: Site,
        sink: Sink,
        clock: Clock,
        *,
        open_link: OpenLink | None = None,
        time_s: TimeS = time.monotonic,
        rng: random.Random | None = None,
    ) -> None:
        self._bus = bus
        self._sink = sink
        self._time_s = time_s
        rng = rng or random.Random()  # noqa: S311 - spreads reconnects, guards no secret
        self._open_link = open_link or broker_links(bus)
        self._where = f"{bus.host}:{bus.port}"
        self._plugs = Plugs(bus, site, sink, clock, written=self._written)
        self._commands = self._plugs.commands
        self._backoff = Backoff(rng, FIRST_RECONNECT_MS, LONGEST_RECONNECT_MS)
        self._rng = rng
        self._state = BusState.CONNECTING
        self._detail = ""
        self._running = False
        self._short_lives = 0
        self._urgent = asyncio.Event()
        self._open = asyncio.Event()
        self._watched: dict[OutletId, asyncio.Future[WriteResult]] = {}

    @property
    def id(self) -> BusId:
        """The bus's id in the site file."""
        return self._bus.id

    # ------------------------------------------------------------ commands

    def switch_on(self, outlet: OutletId, for_ms: int) -> None:
        """Send an ON with its timer, or drop it. Raises NotKnown for an outlet of another bus."""
        self._check(outlet)
        self._commands.switch_on(outlet, for_ms)

    def keep_on(self, outlet: OutletId, for_ms: int) -> None:
        """Set the timer of a plug that is on anew. Raises NotKnown as ``switch_on``."""
        self._check(outlet)
        self._commands.keep_on(outlet, for_ms)

    def switch_off(self, outlet: OutletId, *, urgent: bool) -> None:
        """Send an OFF in this very call. Raises NotKnown as ``switch_on``.

        Without a connection it fails at once, and is the first thing sent on the next one.
        """
        self._check(outlet)
        self._commands.switch_off(outlet)
        if urgent:
            self._urgent.set()

    def room_for_ons(self) -> int:
        """How many ONs may be asked for now."""
        return ONS_AT_ONCE - self._commands.waiting_ons

    def _check(self, outlet: OutletId) -> None:
        if outlet not in self._commands.places:
            raise NotKnown(f"outlet {outlet} has no relay on bus {self.id}: see the site file")

    def _written(self, outlet: OutletId, wanted_on: bool, result: WriteResult) -> None:
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
        self._tell(BusState.CONNECTING, f"opening {self._where}")
        try:
            while True:
                lost = await self._use(self._open_link(self._plugs.received))
                self._tell(BusState.LOST, str(lost))
                await self._wait_before_reconnect(lost)
        finally:
            self._plugs.stop()
            self._open.clear()
            self._running = False

    async def _use(self, link: Link) -> LinkLost:
        """Open a link and serve it until it is lost; say why it was."""
        try:
            await link.open()
        except LinkLost as err:
            self._plugs.away(str(err))
            return err
        opened_s = self._time_s()
        watch = asyncio.create_task(link.lost(), name=f"bus {self.id}: connection")
        try:
            # What waited for a connection goes out before anything is asked.
            self._plugs.connected(link)
            await _unless(watch, link.subscribe(self._plugs.topics))
            self._tell(BusState.OPEN, self._where)
            self._open.set()
            await self._plugs.prepare_all(watch)
            await self._serve(watch)
            detail = watch.result()
        except LinkLost as err:
            return err
        finally:
            watch.cancel()
            self._open.clear()
            await link.close()
            self._plugs.dropped(link.dropped)
            self._plugs.away(f"broker {self._where} is away")
        return self._ended(detail, self._time_s() - opened_s)

    async def _serve(self, watch: asyncio.Task[str]) -> None:
        slot, slots = 0, self._plugs.slots
        due_s = self._time_s()
        while not watch.done():
            slot = (slot + 1) % slots
            due_s = max(due_s + self._bus.poll_ms / 1_000 / slots, self._time_s())
            await asyncio.wait({watch}, timeout=max(due_s - self._time_s(), 0.001))
            if not watch.done():
                self._plugs.tick(slot)

    def _ended(self, detail: str, lived_s: float) -> LinkLost:
        if lived_s >= SHORT_LIFE_S:
            self._backoff.reset()
            self._short_lives = 0
            return LinkLost(detail)
        self._short_lives += 1
        if self._short_lives < TAKEN_AFTER:
            return LinkLost(detail)
        return LinkLost(
            f"{self._where} ends each connection soon: another client may use the client_id "
            f"{self._bus.client_id!r} of bus {self.id}"
        )

    async def _wait_before_reconnect(self, lost: LinkLost) -> None:
        """Wait, capped and jittered; a cut-off in the meantime ends it after the least of waits."""
        self._urgent.clear()
        wait_ms = self._backoff.next_ms()
        if lost.is_login:
            wait_ms = LOGIN_RECONNECT_MS * self._rng.uniform(0.8, 1.0)
        least_s = min(wait_ms, FIRST_RECONNECT_MS) / 1_000
        await asyncio.sleep(least_s)
        left_s = wait_ms / 1_000 - least_s
        if left_s <= 0:
            return
        try:
            async with asyncio.timeout(left_s):
                # With a wrong password even a cut-off can only knock in vain.
                await (asyncio.sleep(left_s) if lost.is_login else self._urgent.wait())
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
        """Count messages sent as requests, and answers that did not come as time-outs.

        A broker has no wire that could be full: utilisation is 0.
        """
        return self._plugs.stats()

    async def all_off(self) -> list[tuple[OutletId, WriteResult]]:
        """Switch every plug off, whether ``run`` is running or not.

        DONE means that the plug itself said so: by its answer, or by its relay's state.
        """
        owner = None
        if not self._running:
            owner = asyncio.create_task(self.run(), name=f"bus {self.id}: all off")
        results = dict.fromkeys(self._commands.places, WriteResult.FAILED)
        try:
            await asyncio.wait_for(self._open.wait(), _LONGEST_CONNECT_S)
            for attempt in range(TRIES_ALL_OFF):
                left = [outlet for outlet, end in results.items() if end is not WriteResult.DONE]
                if not left:
                    break
                if attempt:
                    await asyncio.sleep(_BETWEEN_TRIES_S)
                results.update(await self._try_off(left))
        except TimeoutError:
            log.warning("bus %s: all off: %s", self.id, self._detail)
        finally:
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


async def _unless(watch: asyncio.Task[str], step: Coroutine[None, None, None]) -> None:
    """Do a step of the opening. Raises LinkLost, also when the connection ends meanwhile."""
    doing = asyncio.ensure_future(step)
    try:
        await asyncio.wait({watch, doing}, return_when=asyncio.FIRST_COMPLETED)
        if not doing.done():
            raise LinkLost(watch.result())
        doing.result()
    finally:
        doing.cancel()
