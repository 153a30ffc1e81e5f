"""Who speaks next on an open bus.

The order is: cut-offs; reads that confirm a write; one command, which is an OFF that is not
urgent, else an ON, else a module's setting; then a poll before the next. Only one request is
ever outstanding, so a cut-off waits for one foreign transaction at most; and commands never keep
a bus from seeing what the other outlets draw.
"""

from __future__ import annotations

import asyncio
import logging
import math
import random
from collections.abc import Callable, Coroutine
from functools import partial

from drivers.modbus import frames
from drivers.modbus.asking import Asker
from drivers.modbus.frames import Request
from drivers.modbus.health import SILENT_AFTER, Backoff
from drivers.modbus.in_use import InUse
from drivers.modbus.ladder import Level
from drivers.modbus.lanes import Lanes, Off
from drivers.modbus.pause import Pause
from drivers.modbus.polling import polling_of
from drivers.modbus.rounds import Rounds, Turn
from drivers.modbus.switching import Switching, Written
from drivers.modbus.talk import Outcome, Talk, TimeS
from drivers.modbus.unit import CompiledRead, Unit, make_unit
from drivers.modbus.wire import Wire
from drivers.modbus.writes import off_request, switch_request, switched_by
from gateway.config import Bus, Site
from gateway.core.clock import Clock
from gateway.core.ids import DeviceId, OutletId
from gateway.guard.model import DeviceState, Sample, Sink, WriteResult

log = logging.getLogger(__name__)

LONGEST_SILENCE_WAIT_S = 0.1
"""A line that never falls silent is spoken on all the same after so long."""

Step = Coroutine[None, None, None]


class Dispatcher:
    """The devices and the waiting commands of one bus. Raises CorrectInput for a wrong site."""

    def __init__(
        self,
        bus: Bus,
        site: Site,
        sink: Sink,
        clock: Clock,
        wire: Wire,
        *,
        written: Written,
        time_s: TimeS,
        rng: random.Random,
    ) -> None:
        self._sink = sink
        self._clock = clock
        self._written = written
        self._time_s = time_s
        polling = polling_of(bus, site)
        self.units: dict[DeviceId, Unit] = {
            device.id: make_unit(site, device, polling.ladders[device.id], Backoff(rng))
            for device in site.devices_on(bus.id)
        }
        self.asker = Asker(bus, wire, self.units.values(), sink, time_s)
        self.lanes = Lanes(
            {
                point.id: switched_by(site, point)
                for point in site.points_on(bus.id)
                if point.relay is not None and point.relay.device in self.units
            }
        )
        place = [other.id for other in site.buses].index(bus.id)
        phase_ms = bus.poll_ms * place / len(site.buses)
        outlets = site.outlets_on(bus.id)
        elsewhere = [outlet.id for outlet in outlets if outlet.relay.device not in self.units]
        self._in_use = InUse(outlets, elsewhere, self.lanes.switched_on)
        self._by_use = polling.pace is not None
        """Whether it matters which outlets are in use."""
        units_of = {
            point.id: tuple(
                self.units[device]
                for device in dict.fromkeys(
                    channel.device for channel in (point.meter, point.relay) if channel
                )
                if device in self.units
            )
            for point in site.points_on(bus.id)
        }
        self.rounds = Rounds(self.units.values(), polling, self._in_use, phase_ms)
        self.switching = Switching(
            self.asker, self.lanes, self.rounds, units_of, written=written, now_ms=self._now_ms
        )
        self._wake: asyncio.Future[None] | None = None
        self._polled = True
        self._spent = False
        """Whether an OFF to a silent device cost a time-out, and nobody has answered since."""
        self.on_ms = self._longest_on_ms(wire)
        """What an ON takes at most, with the poll that goes before the next."""
        self._talk: Talk | None = None
        self._ahead: tuple[Off, Request] | None = None
        """The cut-off that is on the wire before its turn came."""

    def _longest_on_ms(self, wire: Wire) -> float:
        on_ms = [
            wire.transaction_ms(switch_request(unit.device, relay.address, on=True))
            + unit.device.turnaround_ms
            for relay in self.lanes.relays.values()
            if (unit := self.units[relay.device])
        ]
        poll_ms = [
            wire.transaction_ms(read.request) + unit.device.turnaround_ms
            for unit in self.units.values()
            for read in unit.reads
        ]
        return max(on_ms, default=0.0) + max(poll_ms, default=0.0)

    def send_cut(self) -> None:
        """Send a cut-off this very moment if the connection is free; else it is the next.

        What wanted it may be a sample of the answer that is being handed over: the frame leaves
        before the rest of that answer is looked at, and before any other connection's.
        """
        talk = self._talk
        if talk is None or not talk.is_free or self._ahead is not None:
            return
        off = self.lanes.take_cut(self._ahead_rank)
        if off is None:
            return
        unit = self.units[off.device]
        request = off_request(unit.device, off.first, off.last)
        self._ahead = off, request
        talk.send_ahead(request, self.asker.patience_ms(unit, request))

    def kick(self) -> None:
        """Look again at what waits."""
        if self._wake is not None and not self._wake.done():
            self._wake.set_result(None)

    # ------------------------------------------------------------ coming and going

    def opened(self) -> None:
        """Begin a round at once: the bus was lost, and is open."""
        self.asker.counts.opened()
        self.rounds.restart(self._now_ms())

    def lost(self, detail: str) -> None:
        """Say what is known of the devices now: nothing."""
        for unit in self.units.values():
            self.switching.fail_unconfirmed(unit)
            if unit.health.state is not DeviceState.UNKNOWN:
                unit.health.unreachable()
                self._sink.on_device(
                    unit.device.id, unit.health.state, f"its bus is lost: {detail}"
                )

    def fail_offs(self) -> None:
        """Report every waiting OFF as failed. Whoever wanted it asks again."""
        for outlet in self.lanes.clear_offs():
            self._written(outlet, False, WriteResult.FAILED)

    # ------------------------------------------------------------ the loop

    async def serve(self, talk: Talk, pause: Pause) -> bool:
        """Ask one request after the other until the link is lost.

        True when it was given up here, and a new one should be opened at once.
        """
        self.asker.start()
        self._talk = talk
        try:
            while talk.lost is None and not self.asker.is_given_up:
                await self._silence(talk, pause)
                step = self._choose(talk)
                if step is not None:
                    await step
                else:
                    await self._idle()
        finally:
            self._talk = None
            if self._ahead is not None:
                sent, self._ahead = self._ahead, None
                self.switching.wrote(sent[0].outlets, False, WriteResult.FAILED)
        return self.asker.is_given_up and talk.lost is None

    async def _silence(self, talk: Talk, pause: Pause) -> None:
        """Keep the gap after the last byte on the line; bounded, as a line may babble."""
        latest_s = self._time_s() + LONGEST_SILENCE_WAIT_S
        while (quiet_s := talk.quiet_at_s) > (now_s := self._time_s()) and now_s < latest_s:
            await pause.until(min(quiet_s, latest_s))

    async def _idle(self) -> None:
        now_s = self._time_s()
        # in a round everybody left needs a moment of silence, or there would be a step
        at_s = math.inf if self.rounds.is_running else self.rounds.next_ms / 1_000
        for unit in self.units.values():
            if unit.ready_s > now_s:
                at_s = min(at_s, unit.ready_s)
        if at_s == math.inf:
            at_s = now_s  # it has had its silence since that was looked at
        loop = asyncio.get_running_loop()
        self._wake = loop.create_future()
        timer = loop.call_later(max(at_s - now_s, 0.0005), self.kick)
        try:
            await self._wake
        finally:
            timer.cancel()
            self._wake = None

    def _choose(self, talk: Talk) -> Step | None:
        """Give what goes on the wire next, or None when nothing may now."""
        if self._ahead is not None:
            sent, self._ahead = self._ahead, None
            return self._switch_off(talk, *sent)
        now_ms = self._now_ms()
        if self.lanes.has_cuts and (off := self.lanes.take_cut(self._cut_rank)):
            return self._switch_off(talk, off)
        confirming = self._next_turn(now_ms, lambda unit: bool(unit.unconfirmed))
        if confirming is not None:
            return self._poll(talk, *confirming)
        if self._polled and (step := self._command(talk)):
            self._polled = False
            return step
        if (step := self._next_poll(talk, now_ms)) is not None:
            return step
        # nobody can be polled now, so nobody is kept waiting by retries
        for unit in self.units.values():
            unit.cut_failed = False
        self._spent = False
        if self.lanes.has_cuts and (off := self.lanes.take_cut(self._cut_rank)):
            return self._switch_off(talk, off)
        return self._command(talk)

    def _switch_off(self, talk: Talk, off: Off, sent: Request | None = None) -> Step:
        unit = self.units[off.device]
        self._spent = self._spent or unit.health.misses >= SILENT_AFTER
        return self.switching.switch_off(talk, unit, off, sent)

    def _next_poll(self, talk: Talk, now_ms: float) -> Step | None:
        if (turn := self._next_turn(now_ms, lambda _: True)) is not None:
            return self._poll(talk, *turn)
        if self.rounds.is_running:
            return None  # everybody left needs a moment of silence
        if now_ms >= self.rounds.next_ms:
            for unit in self.units.values():
                unit.off_failed = False
            self.rounds.begin(now_ms)
            if (turn := self._next_turn(now_ms, lambda _: True)) is not None:
                return self._poll(talk, *turn)
        return None

    def _next_turn(
        self, now_ms: float, wanted: Callable[[Unit], bool]
    ) -> tuple[Turn, Request | None] | None:
        """Give the next turn that can be taken now, and the barrier its device owes, if any."""
        for turn in self.rounds.turns:
            unit = turn.unit
            if not wanted(unit) or unit.ready_s * 1_000 > now_ms:
                continue
            if not unit.suspicion.is_suspect:
                return turn, None
            barrier = unit.suspicion.barrier(now_ms)
            if barrier is not None or not unit.suspicion.is_suspect:
                return turn, barrier
            self.switching.fail_unconfirmed(unit)
            self.rounds.skip(turn, now_ms)
        return None

    def _command(self, talk: Talk) -> Step | None:
        """Give an OFF that may wait, an ON, or a setting of a module that came online."""
        if self.lanes.has_offs and (off := self.lanes.take_off(self._off_rank)):
            return self._switch_off(talk, off)
        outlet = self.lanes.take_on(lambda device: self.units[device].may_switch_on)
        if outlet is not None:
            unit = self.units[self.lanes.relays[outlet].device]
            return self.switching.switch_on(talk, unit, outlet)
        for unit in self.units.values():
            if unit.waiting_setup and unit.may_switch_on and unit.ready_s <= self._time_s():
                return self.switching.set_up(talk, unit, unit.waiting_setup[0])
        return None

    def _cut_rank(self, device: DeviceId) -> int | None:
        unit = self.units[device]
        if unit.cut_failed or unit.ready_s > self._time_s():
            return None
        if self._spent and unit.health.misses >= SILENT_AFTER and self._somebody_answers:
            # no two time-outs in a row without a look at what the others draw
            return None
        return 0 if unit.health.misses == 0 else 1

    @property
    def _somebody_answers(self) -> bool:
        return any(unit.health.misses < SILENT_AFTER for unit in self.units.values())

    def _ahead_rank(self, device: DeviceId) -> int | None:
        """As for a cut-off; but the gap after the answer at hand is not counted yet."""
        gapless = self.units[device].device.profile.min_gap_ms == 0
        return self._cut_rank(device) if gapless else None

    def _off_rank(self, device: DeviceId) -> int | None:
        return None if self.units[device].off_failed else self._cut_rank(device)

    # ------------------------------------------------------------ the steps

    async def _poll(self, talk: Talk, turn: Turn, barrier: Request | None) -> None:
        self._polled = True
        unit = turn.unit
        for other in self.units.values():
            other.cut_failed = False
        if barrier is not None:
            if await self.asker.ask(talk, unit, barrier) is Outcome.ANSWERED:
                self._spent = False
                unit.suspicion.cleared()
            else:
                self._end_turn(turn, read=False)
            return
        read = turn.reads[turn.cursor]
        if turn.cursor == 0:
            turn.began_ms = self._now_ms()
        outcome = await self.asker.ask(talk, unit, read.request, partial(self._deliver, unit, read))
        turn.cursor += 1
        self._spent = self._spent and outcome is Outcome.SILENT
        if outcome is not Outcome.ANSWERED:
            if outcome is Outcome.DECLINED and turn.level is not Level.WHOLE:
                self._read_whole(unit, talk.exception_code)
            self._end_turn(turn, read=False)
        elif turn.cursor >= len(turn.reads):
            self._end_turn(turn, read=True)

    def _read_whole(self, unit: Unit, code: int) -> None:
        """Give up reading a device in parts: it says that it can't be read so."""
        if code not in frames.NOT_THERE or not unit.takes_parts:
            return
        unit.takes_parts = False
        log.warning(
            "device %s refuses a shorter read: it is read whole, which takes longer",
            unit.device.id,
        )

    def _end_turn(self, turn: Turn, *, read: bool) -> None:
        self.switching.fail_unconfirmed(turn.unit)
        if turn in self.rounds.turns:
            self.rounds.done(turn, self._now_ms(), read=read)

    def _deliver(self, unit: Unit, read: CompiledRead, data: bytes) -> None:
        """Hand over what an answer says, in the call in which its last byte came.

        The outlets that draw most come first: to judge ten takes longer than to switch one off.
        """
        now = self._clock.now()
        for outlet, sample in read.samples(data, now.mono_ms, now.utc_ms):
            self._hand_over(unit, outlet, sample)

    def _hand_over(self, unit: Unit, outlet: OutletId, sample: Sample) -> None:
        try:
            self._sink.on_sample(outlet, sample)
        except Exception:  # one outlet's error must not keep the others from their samples
            log.exception("outlet %s: its sample was not taken", outlet)
        self.switching.seen(unit, outlet, sample)
        if self._by_use:
            self._in_use.saw(outlet, sample)

    def _now_ms(self) -> float:
        return self._time_s() * 1_000
