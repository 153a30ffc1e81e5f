"""Commands to plugs: sent at once, answered or failed, and an ON never late."""

from __future__ import annotations

import asyncio
import logging
import secrets
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import NamedTuple

from drivers.mqtt.link import Link
from drivers.mqtt.plug import Channel, Plug
from drivers.mqtt.words import Ack, Out, Reading
from gateway.core.clock import Clock
from gateway.core.ids import OutletId
from gateway.guard.model import DeviceState, WriteResult

log = logging.getLogger(__name__)

ON_QOS = 0
"""A broker keeps nothing of it for a plug that is away: an ON never comes late."""
OFF_QOS = 1
LONGEST_ON_WAIT_MS = 2_000

Written = Callable[[OutletId, bool, WriteResult], None]


class Place(NamedTuple):
    """Where an outlet's relay is."""

    plug: Plug
    number: int
    channel: Channel


@dataclass(slots=True)
class Pending:
    """A command that waits for its answer."""

    ref: int
    wanted_on: bool
    deadline: asyncio.TimerHandle


@dataclass(slots=True)
class Outbox:
    """The way out: the connection, while there is one, and the numbers of what is sent."""

    link: Link | None = None
    requests: int = 0
    ref: int = field(default_factory=lambda: secrets.randbits(30))
    """Not from 1 at each start: a plug may take a number that it knows for a repetition."""

    def send(self, plug: Plug, outs: Iterable[Out], now_ms: float, *, qos: int) -> bool:
        """Send messages to one plug; False when one could not be sent."""
        plug.sent_ms = now_ms
        sent = True
        for out in outs:
            self.requests += 1
            sent = sent and self.link is not None and self.link.publish(out, qos=qos)
        return sent

    def next_ref(self) -> int:
        self.ref += 1
        return self.ref


class Commands:
    """The commands of one bus, waiting, sent and owed."""

    def __init__(self, outbox: Outbox, clock: Clock, written: Written) -> None:
        self._outbox = outbox
        self._clock = clock
        self._written = written
        self.places: dict[OutletId, Place] = {}
        self.timeouts = 0
        self._pending: dict[OutletId, Pending] = {}
        self._waiting: dict[OutletId, asyncio.TimerHandle] = {}
        """ONs that keep a plug's least gap."""
        self._owed: dict[OutletId, None] = {}
        """OFFs to be sent first on the next connection."""

    def add(self, plug: Plug) -> None:
        """Take a plug's relays in."""
        for number, channel in plug.channels.items():
            if channel.outlet is not None:
                self.places[channel.outlet] = Place(plug, number, channel)

    @property
    def waiting_ons(self) -> int:
        return len(self._waiting)

    @property
    def depth(self) -> int:
        """Commands that wait to be sent."""
        return len(self._waiting) + len(self._owed)

    # ------------------------------------------------------------ the connection

    def send_owed(self) -> None:
        """Send the OFFs that waited for a connection."""
        owed, self._owed = self._owed, {}
        for outlet in owed:
            self._send_off(outlet)

    def fail_all(self) -> None:
        """Without a connection: ONs that wait are dropped, and every open command has failed."""
        for outlet in list(self._waiting):
            self._drop_on(outlet)
        for outlet in list(self._pending):
            self._settle(outlet, WriteResult.FAILED)

    def stop(self) -> None:
        """Let go of every timer."""
        for handle in self._waiting.values():
            handle.cancel()
        for pending in self._pending.values():
            pending.deadline.cancel()
        self._waiting.clear()
        self._pending.clear()

    # ------------------------------------------------------------ what is wanted

    def switch_on(self, outlet: OutletId, for_ms: int) -> None:
        """Send an ON, or drop it where it can't be sent within two seconds."""
        place = self.places[outlet]
        plug = place.plug
        if self._outbox.link is None or plug.state is not DeviceState.ONLINE:
            self._later(outlet, True, WriteResult.DROPPED)
            return
        self._cancel_on(outlet)
        wait_ms = plug.sent_ms + plug.device.profile.min_gap_ms - self._clock.now().mono_ms
        if wait_ms <= 0:
            self._send_on(outlet, for_ms)
        elif wait_ms > LONGEST_ON_WAIT_MS:
            self._later(outlet, True, WriteResult.DROPPED)
        else:
            loop = asyncio.get_running_loop()
            self._waiting[outlet] = loop.call_later(
                wait_ms / 1_000, self._send_waiting, outlet, for_ms
            )

    def keep_on(self, outlet: OutletId, for_ms: int) -> None:
        """Set the timer anew, now or as soon as it is safe."""
        place = self.places[outlet]
        now_ms = self._clock.now().mono_ms
        place.channel.lease_until_ms = now_ms + for_ms
        self.keep(place, now_ms)

    def switch_off(self, outlet: OutletId) -> None:
        """Send an OFF in this very call; without a connection it fails and is owed."""
        if self._cancel_on(outlet):
            self._later(outlet, True, WriteResult.DROPPED)
        place = self.places[outlet]
        place.channel.lease_until_ms = place.channel.timer_until_ms = None
        if self._outbox.link is None:
            self._owed[outlet] = None
            self._later(outlet, False, WriteResult.FAILED)
            return
        self._send_off(outlet)

    def _send_waiting(self, outlet: OutletId, for_ms: int) -> None:
        del self._waiting[outlet]
        if self._outbox.link is None or self.places[outlet].plug.state is not DeviceState.ONLINE:
            self._written(outlet, True, WriteResult.DROPPED)
        else:
            self._send_on(outlet, for_ms)

    def _send_on(self, outlet: OutletId, for_ms: int) -> None:
        plug, number, channel = self.places[outlet]
        now_ms = self._clock.now().mono_ms
        timer_s = plug.timer_s(for_ms)
        channel.lease_until_ms = now_ms + for_ms
        channel.timer_until_ms = None if timer_s is None else now_ms + timer_s * 1_000
        ref = self._outbox.next_ref()
        self._command(outlet, plug.codec.on(number, timer_s, ref), ref, wanted_on=True)

    def _send_off(self, outlet: OutletId) -> None:
        plug, number, _ = self.places[outlet]
        ref = self._outbox.next_ref()
        self._command(outlet, plug.codec.off(number, ref), ref, wanted_on=False)

    def _command(
        self, outlet: OutletId, outs: tuple[Out, ...], ref: int, *, wanted_on: bool
    ) -> None:
        before = self._pending.pop(outlet, None)
        if before is not None:
            before.deadline.cancel()
            if before.wanted_on:
                self._later(outlet, True, WriteResult.FAILED)
        plug = self.places[outlet].plug
        now_ms = self._clock.now().mono_ms
        if not self._outbox.send(plug, outs, now_ms, qos=ON_QOS if wanted_on else OFF_QOS):
            self._later(outlet, wanted_on, WriteResult.FAILED)
            return
        if plug.codec.repeats:  # its command ends with a question
            plug.asked(now_ms, None)
        loop = asyncio.get_running_loop()
        deadline = loop.call_later(plug.answer_within_ms / 1_000, self._unanswered, outlet)
        self._pending[outlet] = Pending(ref, wanted_on, deadline)

    def _unanswered(self, outlet: OutletId) -> None:
        self.timeouts += 1
        self._settle(outlet, WriteResult.FAILED)

    def _settle(self, outlet: OutletId, result: WriteResult) -> None:
        pending = self._pending.pop(outlet, None)
        if pending is not None:
            pending.deadline.cancel()
            self._written(outlet, pending.wanted_on, result)

    def _later(self, outlet: OutletId, wanted_on: bool, result: WriteResult) -> None:
        """Tell in the next turn: this may be called from within the outlet that will be told."""
        asyncio.get_running_loop().call_soon(self._written, outlet, wanted_on, result)

    def _cancel_on(self, outlet: OutletId) -> bool:
        handle = self._waiting.pop(outlet, None)
        if handle is not None:
            handle.cancel()
        return handle is not None

    def _drop_on(self, outlet: OutletId) -> None:
        if self._cancel_on(outlet):
            self._written(outlet, True, WriteResult.DROPPED)

    def keep(self, place: Place, now_ms: float) -> None:
        """Set a timer anew, if that can't switch on what is off."""
        plug, number, channel = place
        lease_ms = channel.lease_until_ms
        if lease_ms is None or channel.outlet in self._pending or self._outbox.link is None:
            return
        timer_s = plug.timer_s(lease_ms - now_ms)
        if timer_s is None or lease_ms <= now_ms or not plug.may_keep(channel, now_ms):
            return
        self._outbox.send(
            plug, plug.codec.keep(number, timer_s, self._outbox.next_ref()), now_ms, qos=ON_QOS
        )
        channel.timer_until_ms = now_ms + timer_s * 1_000

    # ------------------------------------------------------------ what became of it

    def acknowledged(self, plug: Plug, ack: Ack) -> None:
        """Take a plug's answer to a command."""
        for channel in plug.channels.values():
            pending = None if channel.outlet is None else self._pending.get(channel.outlet)
            if channel.outlet is None or pending is None or pending.ref != ack.ref:
                continue
            if not ack.done:
                log.warning("device %s refuses a command: %s", plug.device.id, ack.detail)
            self._settle(channel.outlet, WriteResult.DONE if ack.done else WriteResult.FAILED)

    def confirm(self, plug: Plug, reading: Reading) -> None:
        """Where commands are not acknowledged, the relay's state is the answer."""
        channel = plug.channels.get(reading.channel)
        if plug.codec.acknowledges or channel is None or channel.outlet is None:
            return
        pending = self._pending.get(channel.outlet)
        if pending is not None and reading.relay_on is pending.wanted_on:
            self._settle(channel.outlet, WriteResult.DONE)
