"""All plugs of one bus: who is asked, who said what, who is there. Owns no connection."""

from __future__ import annotations

import asyncio
import logging
from collections import Counter

from drivers.mqtt.commands import OFF_QOS, ON_QOS, Commands, Outbox, Place, Written
from drivers.mqtt.families import FAMILIES
from drivers.mqtt.link import Link
from drivers.mqtt.plug import VOUCH_MS, Plug, make_plug
from drivers.mqtt.words import Decoder, Heard, Reading, WrongPayload
from drivers.stats import BusStats
from gateway.config import MqttBus, Site
from gateway.core.clock import Clock
from gateway.core.ids import DeviceId
from gateway.guard.model import DeviceState, Sink

log = logging.getLogger(__name__)

FEWEST_SLOTS = 10
PLUGS_AT_ONCE = 4
"""Plugs are looked after, and asked, one part after the other within a poll period: at 0.06 ms
each, a tenth of 400 plugs kept every cut-off waiting for 2.6 ms."""
LEAST_SLOT_MS = 3
"""No part is shorter: a loop's timer is good for a millisecond, and rounds would take longer than
the poll period that ``plan.py`` counts with."""


class Plugs:
    """The devices of one bus."""

    def __init__(
        self, bus: MqttBus, site: Site, sink: Sink, clock: Clock, *, written: Written
    ) -> None:
        self._bus = bus
        self._sink = sink
        self._clock = clock
        self._outbox = Outbox()
        self.commands = Commands(self._outbox, clock, written)
        self._plugs: list[Plug] = []
        self._routes: dict[str, list[tuple[Plug, Decoder]]] = {}
        self._errors: Counter[str] = Counter()
        self._missed = 0
        for device in site.plugs_on(bus.id):
            me = f"{bus.client_id}/{device.id}"
            codec = FAMILIES[device.profile.family](device.topic, device.profile, me)
            self._add(make_plug(site, device, codec, bus.poll_ms))

    def _add(self, plug: Plug) -> None:
        self._plugs.append(plug)
        self.commands.add(plug)
        for topic, decode in plug.codec.topics.items():
            self._routes.setdefault(topic, []).append((plug, decode))

    @property
    def topics(self) -> list[str]:
        """Everything to subscribe to."""
        return list(self._routes)

    # ------------------------------------------------------------ the connection

    def connected(self, link: Link) -> None:
        """Take a new connection, and send the OFFs that waited for it."""
        self._outbox.link = link
        now_ms = self._clock.now().mono_ms
        for plug in self._plugs:
            plug.opened(now_ms)
        self.commands.send_owed()

    async def prepare_all(self, lost: asyncio.Future[str]) -> None:
        """Ask every plug for its state and its settings, a few at a time, unless it is lost."""
        for number, plug in enumerate(self._plugs):
            if number % PLUGS_AT_ONCE == 0:
                await asyncio.sleep(0)
            if lost.done():
                return
            self._prepare(plug)

    def away(self, detail: str) -> None:
        """Give the connection up: every plug is silent, and every open command has failed."""
        self._outbox.link = None
        self.commands.fail_all()
        for plug in self._plugs:
            self._tell(plug, DeviceState.SILENT, detail)

    def stop(self) -> None:
        """Let go of every timer."""
        self._outbox.link = None
        self.commands.stop()

    def dropped(self, count: int) -> None:
        """Count messages that the link could not keep."""
        if count:
            self._errors["overrun"] += count

    # ------------------------------------------------------------ time

    @property
    def slots(self) -> int:
        """In how many parts all plugs are looked after."""
        wanted = -(-len(self._plugs) // PLUGS_AT_ONCE)
        return max(FEWEST_SLOTS, min(wanted, self._bus.poll_ms // LEAST_SLOT_MS))

    def tick(self, slot: int) -> None:
        """Ask the plugs of one slot, and look how they and their timers are."""
        now_ms = self._clock.now().mono_ms
        for plug in self._plugs[slot :: self.slots]:
            self._look_after(plug, now_ms)

    def _look_after(self, plug: Plug, now_ms: int) -> None:
        self._tell(plug, *plug.judge(now_ms))
        if plug.state is DeviceState.ONLINE and plug.is_doubtful(now_ms):
            told = (
                "answers, and does not say that it stays off after a blackout: look at its settings"
            )
            log.warning("device %s: %s", plug.device.id, told)
            self._sink.on_device(DeviceId(plug.device.id), plug.state, told)
        period_ms, profile = plug.period_ms, plug.device.profile
        if profile.ask_ms is not None and period_ms is not None:
            # A tick that comes a little early must not make it wait a whole round more.
            is_due = now_ms - plug.last_asked_ms >= period_ms - self._bus.poll_ms / 4
            if is_due and now_ms - plug.sent_ms >= profile.min_gap_ms:
                if plug.asked_ms is not None:
                    self._missed += 1
                self._ask(plug, now_ms)
        elif profile.is_on_change or plug.codec.repeats:
            self._look_after_quiet(plug, now_ms)
        for number, channel in plug.channels.items():
            if plug.wants_timer(channel, now_ms):
                self.commands.keep(Place(plug, number, channel), now_ms)

    def _look_after_quiet(self, plug: Plug, now_ms: int) -> None:
        """Look after a plug that may say nothing new for hours."""
        if plug.state is DeviceState.ONLINE:
            for ends in plug.ends.values():
                for end in ends:
                    self._sink.on_alive(end.outlet, now_ms)
        if not plug.is_vouched and now_ms - plug.last_asked_ms >= VOUCH_MS:
            self._ask(plug, now_ms)

    def _ask(self, plug: Plug, now_ms: float) -> None:
        ref = self._outbox.next_ref()
        outs = plug.codec.ask(ref)
        if outs:
            plug.asked(now_ms, ref)
            self._outbox.send(plug, outs, now_ms, qos=ON_QOS)

    def _prepare(self, plug: Plug) -> None:
        now_ms = self._clock.now().mono_ms
        ref = self._outbox.next_ref()
        outs = plug.codec.prepare(ref)
        if outs:
            plug.asked(now_ms, ref)
            self._outbox.send(plug, outs, now_ms, qos=ON_QOS)

    # ------------------------------------------------------------ what comes in

    def received(self, topic: str, payload: bytes, is_retained: bool) -> None:
        """Take one message; whatever it holds, nothing is raised."""
        routes = self._routes.get(topic)
        if routes is None:
            self._errors["topic"] += 1
            return
        if not payload:  # how a retained message is taken back
            return
        for plug, decode in routes:
            try:
                heard = decode(payload)
            except WrongPayload as err:
                self._fault(plug, err.kind, f"{topic}: {err}")
                continue
            for fault in heard.faults:
                self._fault(plug, "value", f"{topic}: {fault}")
            if is_retained:
                self._kept(plug, heard)
            else:
                self._heard(plug, heard)

    def _kept(self, plug: Plug, heard: Heard) -> None:
        """Take a retained message, maybe from last year: it says at most that a plug is gone."""
        plug.remember(heard.readings)
        plug.is_vouched = plug.is_vouched or heard.online is not None
        if heard.online is False and plug.heard_ms is None:
            plug.is_gone = True
            self._tell(plug, *plug.judge(self._clock.now().mono_ms))

    def _heard(self, plug: Plug, heard: Heard) -> None:
        now = self._clock.now()
        plug.is_vouched = plug.is_vouched or heard.online is not None
        if heard.online is False:
            plug.gone()
            self._tell(plug, *plug.judge(now.mono_ms))
            return
        if not self._is_its_own(plug, heard):
            return
        if heard.answers is not None and plug.asked_refs.pop(heard.answers, None) is None:
            self._errors["stray"] += 1
            return
        if heard.stays_off is not None:
            plug.stays_off = heard.stays_off
        news = plug.news(heard.readings, now.mono_ms)
        if _is_sign_of_life(plug, heard, news):
            self._is_there(plug, heard, now.mono_ms)
        if heard.ack is not None:
            self.commands.acknowledged(plug, heard.ack)
        for reading in news:
            self.commands.confirm(plug, reading)
            for outlet, sample in plug.samples(reading, now.mono_ms, now.utc_ms):
                self._sink.on_sample(outlet, sample)

    def _is_its_own(self, plug: Plug, heard: Heard) -> bool:
        """Say whether the device that spoke on these topics first on this connection speaks."""
        if heard.source is None or plug.source in (None, heard.source):
            plug.source = heard.source or plug.source
            return True
        told = f"{heard.source} speaks on the topics of {plug.source}: give each its own"
        self._fault(plug, "source", told)
        return False

    def _is_there(self, plug: Plug, heard: Heard, now_ms: int) -> None:
        was_gone, plug.is_gone = plug.is_gone, False
        plug.heard_ms = now_ms
        plug.fault = ""
        if heard.readings:
            plug.asked_ms = None
        if plug.state is not DeviceState.ONLINE:
            plug.there_ms = now_ms
            self._tell(plug, *plug.judge(now_ms))
        if heard.online or was_gone:
            self._prepare(plug)  # it may have started anew
        for out in heard.replies:
            if plug.may_reply(out, now_ms):
                log.info("device %s: set to stay off after a blackout", plug.device.id)
                self._outbox.send(plug, (out,), now_ms, qos=OFF_QOS)

    def _fault(self, plug: Plug, kind: str, detail: str) -> None:
        self._errors[kind] += 1
        plug.fault = detail
        if kind not in plug.fault_kinds:  # once each: a plug can send thousands of them
            plug.fault_kinds.add(kind)
            log.warning("device %s: %s", plug.device.id, detail)

    def _tell(self, plug: Plug, state: DeviceState, detail: str) -> None:
        if state is not plug.state:
            plug.state = state
            if state is DeviceState.SILENT:
                plug.source = None  # it may be exchanged for another
            self._sink.on_device(DeviceId(plug.device.id), state, detail)

    # ------------------------------------------------------------ the rest

    def stats(self) -> BusStats:
        link = self._outbox.link
        overrun = Counter(overrun=0 if link is None else link.dropped)
        return BusStats(
            utilisation=0.0,
            busy_ms=0.0,
            requests=self._outbox.requests,
            timeouts=self._missed + self.commands.timeouts,
            errors=dict(self._errors + overrun),
            cycle_ms=None,
            queue_depth=self.commands.depth,
        )


def _is_sign_of_life(plug: Plug, heard: Heard, news: tuple[Reading, ...]) -> bool:
    """Say whether the plug itself is behind a message."""
    if heard.online or heard.ack is not None:
        return True
    if plug.codec.repeats and plug.is_gone:
        # A bridge that starts tells what it remembers of plugs that are not there.
        return any(reading.says_something for reading in news)
    return bool(heard.readings or heard.replies) or heard.answers is not None
