"""What all plugs have in common: relays and meters, timers, an own limit, a supply.

A plug believes its relay: it has no feedback of the contact. So one whose contact is welded
says off while current flows, and one whose relay does not close says on.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any, ClassVar, TypeVar

from simulators.mqtt.faults import PlugFault, PlugFaults
from simulators.mqtt.message import Message, Outgoing
from simulators.mqtt.places import PlugPlace
from simulators.mqtt.settings import PlugSettings
from simulators.physics import Reading
from simulators.registers import Channel

Report = Callable[[dict[str, Any]], None]
_T = TypeVar("_T")

DEAD_BELOW_V = 80.0
ALIVE_ABOVE_V = 95.0
"""A plug's own supply stops below the one and starts again above the other."""


@dataclass(frozen=True, slots=True)
class Fittings:
    """What a plug is made of, at the time when it is switched on first."""

    place: PlugPlace
    settings: PlugSettings
    channels: Sequence[Channel]
    report: Report
    faults: PlugFaults
    now_s: float


class Plug(ABC):
    """One plug. Pure: time comes in with each call, in seconds that never go back."""

    KEEPALIVE_S: ClassVar[int] = 60
    RECONNECT_S: ClassVar[float] = 5.0
    BOOT_S: ClassVar[float] = 2.0
    REPORT_S: ClassVar[float | None] = None
    POWER_ON: ClassVar[str] = "last"
    OVERPOWER_W: ClassVar[float] = 0.0
    OVERPOWER_HOLD_S: ClassVar[float] = 1.0
    RETAINS_STATE: ClassVar[bool] = False
    ANSWER_S: ClassVar[float] = 0.0
    """How long its answer to a command takes to leave."""
    METER_S: ClassVar[float] = 1.0
    """How often its metering chip is read; whoever asks in between gets the last reading."""

    def __init__(self, fittings: Fittings) -> None:
        place, settings, channels = fittings.place, fittings.settings, fittings.channels
        self.name = place.id
        self.topic = place.topic
        self.profile = place.profile
        self.settings = settings
        self.channels = channels
        self.faults = fittings.faults
        self.is_powered = True
        self.power_on = settings.power_on or self.POWER_ON
        self.overpower_w = _given(settings.overpower_w, self.OVERPOWER_W)
        self.retains_state = _given(settings.retain_state, self.RETAINS_STATE)
        wanted_s = settings.report_s or place.profile.report_s
        self.report_s: float | None = self.REPORT_S if wanted_s is None else wanted_s
        self._report = fittings.report
        self._up_from_s = fittings.now_s
        self._was_on = [False] * len(channels)
        self._timers: dict[int, tuple[float, bool]] = {}
        self._overpower_since_s: dict[int, float] = {}
        self._energy_from_wh = [0.0] * len(channels)
        self._read: dict[int, tuple[int, Reading]] = {}
        self._over_levels_a: dict[str, float] = {}
        self._over: set[str] = set()
        self._over_now: list[str] = []

    # What a family says and understands

    @property
    def client_id(self) -> str:
        """Its client id; most devices have one that is made of their address."""
        return f"{self.profile.family}-{self.name}-{self.topic}".replace("/", "-")[:64]

    @property
    @abstractmethod
    def will(self) -> Message | None:
        """Its last will."""

    @property
    @abstractmethod
    def filters(self) -> list[tuple[str, int]]:
        """What it subscribes to."""

    @abstractmethod
    def birth(self, now_s: float) -> list[Message]:
        """Say what it publishes as soon as it is connected."""

    @abstractmethod
    def obey(self, message: Message, now_s: float, received_ns: int) -> list[Message]:
        """Carry out a command and say what it answers. Never raises, whatever comes."""

    @abstractmethod
    def switched(self, index: int, now_s: float, cause: str) -> list[Message]:
        """Say what it publishes when its own timer or limit moved relay ``index``."""

    @abstractmethod
    def periodic(self, now_s: float) -> list[Message]:
        """Say what it publishes by itself, if anything is due."""

    @abstractmethod
    def booted(self, now_s: float) -> None:
        """Begin anew: its supply is back, and its relays did what was set."""

    def old_messages(self) -> list[Message]:
        """Say what a broker may still keep of it from last year: its relay on, and a load."""
        return []

    # What its node calls

    @property
    def keepalive_s(self) -> int:
        return _given(self.settings.keepalive_s, self.KEEPALIVE_S)

    @property
    def reconnect_s(self) -> float:
        return _given(self.settings.reconnect_s, self.RECONNECT_S)

    def is_reachable(self, now_s: float) -> bool:
        """Say whether its program runs and its radio works."""
        return (
            self.is_powered
            and now_s >= self._up_from_s
            and not self.faults.has(PlugFault.WIFI_LOSS)
        )

    def receive(self, message: Message, now_s: float, received_ns: int) -> list[Outgoing]:
        """Take what the broker delivers."""
        if not self.is_powered or self.faults.loses_command():
            return []
        answers = self.say(self.obey(message, now_s, received_ns))
        return [replace(out, delay_s=out.delay_s + self.ANSWER_S) for out in answers]

    def connected(self, now_s: float) -> list[Outgoing]:
        """Say what is published first on a new connection."""
        return self.say(self.birth(now_s))

    def tick(self, now_s: float) -> list[Outgoing]:
        """Live up to ``now_s``; called several times a second."""
        self._mind_supply(now_s)
        if not self.is_powered:
            return []
        messages = [*self._act_alone(now_s)]
        if now_s >= self._up_from_s:
            messages += self.periodic(now_s)
        babble = self.faults.babble([message.topic for message in self.old_messages()], now_s)
        return [*self.say(messages), *map(Outgoing, babble)]

    def say(self, messages: list[Message]) -> list[Outgoing]:
        """Put messages on their way; an armed level that was shown goes with the last."""
        outgoing = [Outgoing(message) for message in messages]
        if outgoing and self._over_now:
            outgoing[-1] = Outgoing(messages[-1], over=tuple(self._over_now))
        self._over_now.clear()
        return self.faults.spoil(outgoing)

    def report_over(self, outlet: str, above_a: float) -> None:
        """Name ``outlet`` with the first message that shows more than ``above_a`` (0: no more)."""
        self._over.discard(outlet)
        if above_a > 0:
            self._over_levels_a[outlet] = above_a
        else:
            self._over_levels_a.pop(outlet, None)

    # What families use

    def is_on(self, index: int) -> bool:
        """Say what it believes of its relay."""
        return self.channels[index].relay.relay.commanded_on

    def has_channel(self, number: int) -> bool:
        """Say whether there is a channel of this number, from 1."""
        return 1 <= number <= len(self.channels)

    def switch(
        self, index: int, on: bool, now_s: float, *, by: str = "module", at_ns: int | None = None
    ) -> bool:
        """Command a relay and end its timer; say whether that changed anything."""
        outlet = self.channels[index].relay
        changed = outlet.relay.commanded_on != on
        self._timers.pop(index, None)
        self._overpower_since_s.pop(index, None)
        outlet.switch(on, now_s)
        record = {"kind": "relay", "outlet": outlet.name, "on": on, "by": by}
        self._report({**record, "changed": changed, "mono_ns": at_ns})
        return changed

    def set_timer(self, index: int, until_s: float | None, *, then_on: bool = False) -> None:
        """Let relay ``index`` be switched by itself at ``until_s``; None: no more."""
        if until_s is None:
            self._timers.pop(index, None)
        else:
            self._timers[index] = (until_s, then_on)

    def timer_left_s(self, index: int, now_s: float) -> float | None:
        """Seconds until the timer acts; None: it does not run."""
        timer = self._timers.get(index)
        return None if timer is None else max(0.0, timer[0] - now_s)

    def measure(self, index: int, now_s: float) -> Reading:
        """Read the meter of channel ``index``, to publish what it shows."""
        meter = self.channels[index].meter
        reading = self._last_reading(index, now_s)
        level_a = self._over_levels_a.get(meter.name)
        if level_a is not None:
            if reading.current_a <= level_a:
                self._over.discard(meter.name)
            elif meter.name not in self._over:
                self._over.add(meter.name)
                self._over_now.append(meter.name)
        return reading

    def _last_reading(self, index: int, now_s: float) -> Reading:
        step = int(now_s / self.METER_S)
        if index not in self._read or self._read[index][0] != step:
            self._read[index] = (step, self.channels[index].meter.reading(now_s))
        return self._read[index][1]

    def energy_wh(self, index: int, reading: Reading) -> float:
        """Energy since its counter began."""
        return max(0.0, reading.energy_wh - self._energy_from_wh[index])

    def restart_energy(self, now_s: float) -> None:
        """Let the counters begin again, as those do that are not kept without supply."""
        for index, channel in enumerate(self.channels):
            self._energy_from_wh[index] = channel.meter.reading(now_s).energy_wh

    def temperature_c(self) -> float:
        """Hottest of its contacts."""
        return max(channel.meter.temperature_c for channel in self.channels)

    # What it does by itself

    def _mind_supply(self, now_s: float) -> None:
        feed_v = self.channels[0].relay.feed.voltage_v(now_s)
        is_cut = self.faults.has(PlugFault.POWER_LOSS)
        if self.is_powered and (is_cut or feed_v < DEAD_BELOW_V):
            self._was_on = [self.is_on(index) for index in range(len(self.channels))]
            for index, was_on in enumerate(self._was_on):
                if was_on:
                    self.switch(index, False, now_s, by="supply")
            self._timers.clear()
            self.is_powered = False
        elif not self.is_powered and not is_cut and feed_v > ALIVE_ABOVE_V:
            self.is_powered = True
            self._up_from_s = now_s + _given(self.settings.boot_s, self.BOOT_S)
            for index, was_on in enumerate(self._was_on):
                if self.power_on == "on" or (self.power_on == "last" and was_on):
                    self.switch(index, True, now_s)
            self.booted(now_s)

    def _act_alone(self, now_s: float) -> list[Message]:
        messages: list[Message] = []
        for index, (until_s, then_on) in [*self._timers.items()]:
            if now_s >= until_s:
                del self._timers[index]
                if self.switch(index, then_on, now_s):
                    messages += self.switched(index, now_s, "timer")
        if self.overpower_w > 0:
            for index in range(len(self.channels)):
                if self._is_overpowered(index, now_s):
                    self.switch(index, False, now_s)
                    messages += self.switched(index, now_s, "overpower")
        return messages

    def _is_overpowered(self, index: int, now_s: float) -> bool:
        meter = self.channels[index].meter
        meter.advance(now_s)
        if not self.is_on(index) or meter.draw.power_w <= self.overpower_w:
            self._overpower_since_s.pop(index, None)
            return False
        since_s = self._overpower_since_s.setdefault(index, now_s)
        return now_s - since_s >= _given(self.settings.overpower_hold_s, self.OVERPOWER_HOLD_S)


def _given(value: _T | None, default: _T) -> _T:
    return default if value is None else value
