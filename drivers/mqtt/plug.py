"""One plug: what is known of it, what it still owes, and what is news in what it says. No I/O.

Times are monotonic milliseconds handed in by the caller.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import NamedTuple

from drivers.mqtt.words import Codec, Out, Reading
from gateway.config import InputPoint, MqttDevice, Outlet, Point, PowerOn, Site
from gateway.core.ids import DeviceId, OutletId
from gateway.guard.model import DeviceState, Sample

FIRST_WORD_MS = 10_000
"""A plug that says nothing for so long after the connection opened is silent."""
SILENT_AFTER_PERIODS = 3
"""One lost answer is no news."""
LEAST_SILENT_MS = 2_000.0
REPLY_AGAIN_MS = 60_000
"""A setting that a plug does not take is not sent to it more often than this."""
LEAST_LEFT_MS = 5_000
"""A timer is only set anew, where that means to switch on again, while so much of it is left: it
can't have run out meanwhile."""
VOUCH_MS = 60_000
"""A plug that reports on change, and of which nobody tells whether it is there, is asked for its
relay this often."""
SETTLE_MS = 60_000
"""By then a plug has said that it stays off after a blackout."""
SPARE_MS = 500
"""What a broker, a network and a busy plug may add to an answer."""

_RELAY_FIELDS = ("relay_on", "alarm", "temperature_c")
_METER_FIELDS = (
    *("voltage_v", "current_a", "power_w", "power_factor", "frequency_hz", "energy_mwh"),
    *("temperature_c", "alarm"),
)
_ALL_FIELDS = tuple(name for name in Reading._fields if name != "channel")
_INPUT_FIELDS = ("input_on",)


class End(NamedTuple):
    """An outlet that has its relay, its meter or both on a channel."""

    outlet: OutletId
    fields: tuple[str, ...]
    """What this channel may say about it."""


@dataclass(slots=True)
class Channel:
    """One channel of a plug, as far as switching goes."""

    outlet: OutletId | None = None
    """The outlet it switches."""
    relay_on: bool | None = None
    relay_ms: float = 0.0
    lease_until_ms: float | None = None
    """Until when the outlet may be on; None: it was not switched on."""
    timer_until_ms: float | None = None
    """When the plug's own timer ends, by this clock; None: it has none running."""


@dataclass(slots=True)
class Plug:
    """One device behind the broker."""

    device: MqttDevice
    codec: Codec
    ends: dict[int, tuple[End, ...]]
    channels: dict[int, Channel]
    poll_ms: int
    state: DeviceState = DeviceState.UNKNOWN
    opened_ms: float = 0.0
    """Since when there is a connection to the broker."""
    heard_ms: float | None = None
    """When it last said something that could be read, on this connection."""
    there_ms: float = 0.0
    """Since when it has been there without a pause."""
    is_gone: bool = False
    """Its last will says so."""
    is_vouched: bool = False
    """Somebody tells whether it is there: its broker by its last will, or its bridge."""
    source: str | None = None
    """The device that speaks on its topics."""
    stays_off: bool | None = None
    """Whether it said that it stays off when the mains come back."""
    is_doubted: bool = False
    """Whether it was told that it does not say so."""
    asked_ms: float | None = None
    """When it was last asked; None: the last question was answered."""
    last_asked_ms: float = -1e12
    asked_refs: dict[int, float] = field(default_factory=dict)
    sent_ms: float = 0.0
    fault: str = ""
    """What could not be read last."""
    fault_kinds: set[str] = field(default_factory=set)
    """What was already written into the log."""
    _seen: dict[int, Reading] = field(default_factory=dict)
    _relays: dict[int, bool] = field(default_factory=dict)
    _fresh_until_ms: float = 0.0
    _replied: dict[Out, float] = field(default_factory=dict)

    @property
    def period_ms(self) -> float | None:
        """Longest time between two tellings; None: only changes are told."""
        return self.device.profile.period_ms(self.poll_ms)

    @property
    def silent_after_ms(self) -> float | None:
        """How long it may say nothing; None: its availability says whether it is there."""
        period_ms = self.period_ms
        if period_ms is None and self.is_vouched:
            return None
        if period_ms is None:
            period_ms = VOUCH_MS
        wait_ms = SILENT_AFTER_PERIODS * period_ms + self.device.profile.answer_ms
        return max(wait_ms, LEAST_SILENT_MS)

    @property
    def answer_within_ms(self) -> float:
        """Time in which a command is answered."""
        profile = self.device.profile
        return profile.answer_ms + profile.cut_ms + SPARE_MS

    # ------------------------------------------------------------ whether it is there

    def opened(self, now_ms: float) -> None:
        """Begin anew on a new connection: nothing that was said before counts as live."""
        self.opened_ms = now_ms
        self.heard_ms = None
        self.is_gone = self.is_vouched = False
        self.source = self.stays_off = None
        self.is_doubted = False
        self.asked_ms = None
        self.asked_refs.clear()
        self._relays.clear()
        self._fresh_until_ms = 0.0

    def gone(self) -> None:
        """Note that its last will says so: what it told does not hold any more."""
        self.is_gone = True
        self.source = None
        self._relays.clear()

    def judge(self, now_ms: float) -> tuple[DeviceState, str]:
        """Say how it is, and why."""
        if self.is_gone:
            return DeviceState.SILENT, "says that it is gone (last will): mains, network, pairing?"
        limit_ms = self.silent_after_ms
        if self.heard_ms is None:
            first_ms = FIRST_WORD_MS if self.period_ms is None else limit_ms or 0.0
            if now_ms - self.opened_ms <= max(first_ms, FIRST_WORD_MS):
                return self.state, ""
            return DeviceState.SILENT, self._nothing("since the broker was reached")
        if limit_ms is not None and now_ms - self.heard_ms > limit_ms:
            return DeviceState.SILENT, self._nothing(f"for {limit_ms / 1_000:.0f} s")
        return DeviceState.ONLINE, "answers"

    def _nothing(self, since: str) -> str:
        if self.fault:
            return f"says nothing that can be read {since}: {self.fault}"
        return f"says nothing {since}: check its topic ({self.device.topic}), mains and network"

    def is_doubtful(self, now_ms: float) -> bool:
        """Say, once on a connection, whether it should have said that it stays off, and did not."""
        is_late = self.heard_ms is not None and now_ms - self.there_ms >= SETTLE_MS
        is_set = self.device.power_on is PowerOn.SET and self.device.profile.relay is not None
        if self.is_doubted or self.stays_off or not is_late or not is_set:
            return False
        self.is_doubted = True
        return True

    # ------------------------------------------------------------ what it says

    def asked(self, now_ms: float, ref: int | None) -> None:
        """Note a question; the next thing it says is taken for the answer."""
        self.asked_ms = self.last_asked_ms = now_ms
        self._fresh_until_ms = now_ms + self.device.profile.answer_ms + SPARE_MS
        if ref is not None:
            horizon_ms = now_ms - 2 * self._fresh_ms()
            self.asked_refs = {ref: at for ref, at in self.asked_refs.items() if at > horizon_ms}
            self.asked_refs[ref] = now_ms

    def _fresh_ms(self) -> float:
        return self.device.profile.answer_ms + SPARE_MS

    def remember(self, readings: Iterable[Reading]) -> None:
        """Keep what the broker had kept: no sample, but what is repeated later is no news."""
        if self.codec.repeats:
            for reading in readings:
                self._seen[reading.channel] = reading
        if self.codec.holds_relay:
            for reading in readings:
                self._hold(reading)

    def _hold(self, reading: Reading) -> Reading:
        """Keep a relay's state, or put the one that still holds into what is told now."""
        if reading.relay_on is not None:
            self._relays[reading.channel] = reading.relay_on
            return reading
        return reading._replace(relay_on=self._relays.get(reading.channel))

    def news(self, readings: tuple[Reading, ...], now_ms: float) -> tuple[Reading, ...]:
        """Leave out what a bridge may only repeat.

        A value is new when it differs from the last one, and when it was asked for. With an open
        relay, no power and no current are taken as they are told, too: they hold until they
        change, and nothing else would ever show that an unused outlet carries nothing. So is an
        input of a detector that is known to be there: it says the same all its life, and what it
        said last holds.
        """
        if self.codec.holds_relay:
            return tuple(self._hold(reading) for reading in readings)
        if not self.codec.repeats:
            return readings
        was_asked = now_ms <= self._fresh_until_ms
        self._fresh_until_ms = 0.0
        return tuple(self._new_in(reading, was_asked=was_asked) for reading in readings)

    def _new_in(self, reading: Reading, *, was_asked: bool) -> Reading:
        before = self._seen.get(reading.channel)
        self._seen[reading.channel] = reading
        if was_asked and self.device.profile.ask_ms is not None:
            return reading
        kept = {}
        for name in _ALL_FIELDS:
            value = getattr(reading, name)
            is_new = before is not None and value != getattr(before, name)
            if name == "relay_on":
                is_new = is_new or was_asked
            elif name in ("power_w", "current_a"):
                is_new = is_new or (value == 0 and reading.relay_on is False)
            elif name == "input_on":
                is_new = is_new or (self.is_vouched and not self.is_gone)
            if is_new:
                kept[name] = value
        return Reading(reading.channel, **kept)

    def samples(
        self, reading: Reading, now_ms: int, utc_ms: int
    ) -> Iterable[tuple[OutletId, Sample]]:
        """Make the samples of one reading."""
        channel = self.channels.get(reading.channel)
        if channel is not None and reading.relay_on is not None:
            channel.relay_on, channel.relay_ms = reading.relay_on, now_ms
            if not reading.relay_on:
                channel.timer_until_ms = None
        for end in self.ends.get(reading.channel, ()):
            told = {
                name: value for name in end.fields if (value := getattr(reading, name)) is not None
            }
            if told:
                yield end.outlet, Sample(at_ms=now_ms, utc_ms=utc_ms, **told)

    def may_reply(self, out: Out, now_ms: float) -> bool:
        """Say whether a setting may be sent: not again and again to a plug that ignores it."""
        last_ms = self._replied.get(out)
        if last_ms is not None and now_ms - last_ms < REPLY_AGAIN_MS:
            return False
        self._replied = {
            each: at for each, at in self._replied.items() if now_ms - at < REPLY_AGAIN_MS
        }
        self._replied[out] = now_ms
        return True

    # ------------------------------------------------------------ its timer

    def timer_s(self, for_ms: float) -> int | None:
        """Seconds for its own timer: the lease's, or as long as it can; None: it has none."""
        longest_s = self.device.profile.timer_s
        return None if longest_s is None else max(1, min(int(for_ms // 1_000), longest_s))

    def wants_timer(self, channel: Channel, now_ms: float) -> bool:
        """Say whether a timer that is shorter than its lease should be set anew."""
        until_ms, lease_ms = channel.timer_until_ms, channel.lease_until_ms
        longest_s = self.device.profile.timer_s
        if until_ms is None or lease_ms is None or longest_s is None:
            return False
        return until_ms + 1_000 < lease_ms and until_ms - now_ms < longest_s * 1_000 / 2

    def may_keep(self, channel: Channel, now_ms: float) -> bool:
        """Say whether setting the timer anew can't switch an outlet on that is off."""
        if self.state is not DeviceState.ONLINE:
            return False
        if self.codec.keeps_safely:
            return True
        if not channel.relay_on or channel.timer_until_ms is None:
            return False
        period_ms = self.period_ms
        is_recent = period_ms is None or now_ms - channel.relay_ms <= 2 * period_ms + SPARE_MS
        return is_recent and channel.timer_until_ms - now_ms >= LEAST_LEFT_MS


def make_plug(site: Site, device: MqttDevice, codec: Codec, poll_ms: int) -> Plug:
    """Find out what each channel of a device is to the site's outlets and circuits."""
    numbers = range(1, device.profile.channels + 1)
    ends: dict[int, list[End]] = {number: [] for number in numbers}
    channels = {number: Channel() for number in numbers}
    for point in site.points_on(device.bus):
        if point.relay is not None and point.relay.device == device.id:
            channels[point.relay.channel].outlet = point.id
        for number, fields in _told_of(point, device.id):
            ends[number].append(End(point.id, fields))
    switched = {number: channel for number, channel in channels.items() if channel.outlet}
    return Plug(
        device=device,
        codec=codec,
        ends={number: tuple(found) for number, found in ends.items() if found},
        channels=switched,
        poll_ms=poll_ms,
    )


def _told_of(point: Point, device: DeviceId) -> Iterator[tuple[int, tuple[str, ...]]]:
    """Say which channels of a device tell something of an outlet, and which fields."""
    relay, meter = point.relay, point.meter
    if relay is not None and relay.device == device:
        is_all = isinstance(point, Outlet) and (meter is None or meter == relay)
        yield relay.channel, _ALL_FIELDS if is_all else _RELAY_FIELDS
    if meter is not None and meter.device == device and meter != relay:
        yield meter.channel, _INPUT_FIELDS if isinstance(point, InputPoint) else _METER_FIELDS
