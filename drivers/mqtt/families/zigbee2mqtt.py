"""Zigbee2MQTT (documentation: MQTT topics and messages, and the pages of devices).

``<base>/<name>`` carries a plug's values as Zigbee2MQTT knows them: what was just reported beside
what it remembers, so that an old power stands next to a new state. ``set`` and ``get`` lie
behind that topic. After a ``set`` with ``on_time`` it publishes no state of its own, so each
command is followed by a ``get``. Keys of one endpoint of several end alike: ``state_l1``,
``on_time_l1``. Tuya's plugs have ``countdown`` instead of ``on_time`` and switch on without any
timer when they are given the other; their state after a blackout is ``power_outage_memory``, as
is that of older Aqara plugs, where it is true or false.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from drivers.mqtt.payload import (
    Faults,
    Named,
    Values,
    at,
    compact,
    one_of,
    parse,
    parse_object,
    parse_text,
    readings_of,
    take_contact,
    take_number,
    take_word,
)
from drivers.mqtt.words import Decoder, Heard, Out, WrongPayload
from gateway.config import MqttProfile, PowerOn, Quantity

BASE = "zigbee2mqtt"
ON_TIME = "on_time"
POWER_ON = "power_on_behavior"
POWER_ON_NAMES = (POWER_ON, "power_outage_memory")


class Zigbee2Mqtt:
    """One plug behind Zigbee2MQTT."""

    acknowledges = False
    keeps_safely = False
    repeats = True
    holds_relay = False

    def __init__(self, topic: str, profile: MqttProfile, me: str) -> None:
        del me
        base = profile.base_topic or BASE
        self._root = f"{base}/{topic}"
        self._sets_power_on = profile.power_on is PowerOn.SET
        channels = range(1, profile.channels + 1)
        self._numbers = {channel: Named(profile, channel) for channel in channels}
        relay = profile.relay
        self._input = profile.values.get(Quantity.INPUT_ON)
        self._relays = {} if relay is None else {each: relay.name_of(each) for each in channels}
        asked = list(self._relays.values())
        if self._input is not None:
            # Detectors on the mains answer; one with a battery speaks when it has something to say.
            asked += [self._input.name_of(channel) for channel in channels]
        if profile.ask_ms is not None:
            asked += [path[0] for named in self._numbers.values() for _, path, _ in named]
        self._get = compact(dict.fromkeys(asked, ""))
        self._ends = {each: _end(name) for each, name in self._relays.items()}
        self._timer = profile.timer_name or ON_TIME
        power_on = profile.power_on_name or POWER_ON
        asked = [power_on + end for end in self._ends.values()] or [power_on]
        self._get_power_on = compact(dict.fromkeys(asked, ""))
        self._power_on = {
            name + end for name in (*POWER_ON_NAMES, power_on) for end in ("", *self._ends.values())
        }
        self.topics: Mapping[str, Decoder] = {
            self._root: self._values,
            f"{self._root}/availability": lambda payload: Heard(online=_state_word(payload)),
            f"{base}/bridge/state": _bridge,
        }

    def on(self, channel: int, for_s: int | None, ref: int) -> tuple[Out, ...]:
        del ref
        message: dict[str, Any] = {self._relays[channel]: "ON"}
        if for_s is not None:
            message[self._timer + self._ends[channel]] = for_s
        return (Out(f"{self._root}/set", compact(message)), self._read_back(channel))

    def off(self, channel: int, ref: int) -> tuple[Out, ...]:
        del ref
        message = compact({self._relays[channel]: "OFF"})
        return (Out(f"{self._root}/set", message), self._read_back(channel))

    def keep(self, channel: int, for_s: int, ref: int) -> tuple[Out, ...]:
        """Switch on anew: Zigbee2MQTT has no other way to set the timer."""
        return self.on(channel, for_s, ref)

    def ask(self, ref: int) -> tuple[Out, ...]:
        del ref
        return (Out(f"{self._root}/get", self._get),)

    def prepare(self, ref: int) -> tuple[Out, ...]:
        asked = self.ask(ref)
        if not self._sets_power_on:
            return asked
        return (*asked, Out(f"{self._root}/get", self._get_power_on))

    def _read_back(self, channel: int) -> Out:
        return Out(f"{self._root}/get", compact({self._relays[channel]: ""}))

    def _values(self, payload: bytes) -> Heard:
        message = parse_object(payload)
        faults = Faults()
        by_channel: dict[int, Values] = {}
        for channel, named in self._numbers.items():
            values = by_channel[channel] = {}
            for quantity, path, scale in named:
                take_number(values, quantity, at(message, path), scale, faults)
            if channel in self._relays:
                raw = message.get(self._relays[channel])
                take_word(values, Quantity.RELAY_ON, raw, faults)
            if self._input is not None:
                path = tuple(self._input.name_of(channel).split("."))
                take_contact(values, at(message, path), faults)
        heard = Heard(readings_of(by_channel), faults=tuple(faults))
        return self._minding_blackouts(heard, message) if self._sets_power_on else heard

    def _minding_blackouts(self, heard: Heard, message: dict[str, Any]) -> Heard:
        """Add what the message says of the state after a blackout, and what to do about it."""
        wrong: dict[str, Any] = {}
        told = {key: message[key] for key in sorted(self._power_on & message.keys())}
        told = {key: value for key, value in told.items() if isinstance(value, str | bool)}
        for key, value in told.items():
            if value is True:
                wrong[key] = False
            elif isinstance(value, str) and value.lower() != "off":
                wrong[key] = "off"
        replies = (Out(f"{self._root}/set", compact(wrong)),) if wrong else ()
        return heard._replace(stays_off=not wrong if told else None, replies=replies)


def _end(relay: str) -> str:
    """Give the end of an outlet's keys: ``_l1`` of ``state_l1``, nothing of ``state``."""
    return relay.removeprefix("state") if relay.startswith("state_") else ""


def _state_word(payload: bytes) -> bool:
    """Read ``{"state":"online"}``, or the bare word of older versions."""
    if payload.lstrip()[:1] != b"{":
        return one_of(parse_text(payload), "online", "offline")
    state = at(parse(payload), ("state",))
    if not isinstance(state, str):
        raise WrongPayload("shape", "state: expected online or offline")
    return one_of(state, "online", "offline")


def _bridge(payload: bytes) -> Heard:
    """Without the bridge nothing is known of its plugs; with it, nothing is known yet."""
    return Heard() if _state_word(payload) else Heard(online=False)
