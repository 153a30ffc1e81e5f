"""Tasmota (documentation: Commands, MQTT).

``cmnd/<topic>/<command>`` is answered on ``stat/<topic>/RESULT`` (STATUS 8 on STATUS8, and so
on); ``tele/<topic>/SENSOR`` and ``STATE`` come by themselves. With several outlets the values of
ENERGY are lists; a voltage or a frequency may be one number for all.

FullTopic says where ``cmnd``, ``stat`` and ``tele`` stand: ``%prefix%/<topic>`` by default.
With SetOption4 an answer comes on the command's own topic: the relay's has the JSON of RESULT
before its plain word then. STATUS 10 replaces STATUS 8, which is kept and known to all versions.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from drivers.mqtt.payload import (
    Faults,
    Named,
    Values,
    at,
    parse_object,
    parse_text,
    presence,
    readings_of,
    take_number,
    take_word,
)
from drivers.mqtt.words import Decoder, Heard, Out
from gateway.config import MqttProfile, PowerOn, Quantity

SHARED = (Quantity.VOLTAGE_V, Quantity.FREQUENCY_HZ, Quantity.TEMPERATURE_C)
"""One number of these holds for every outlet; one power would be the sum of all."""
LONGEST_IN_TENTHS_S = 11
"""PulseTime 1 to 111 counts tenths of a second, 112 to 64900 seconds from 12 on (Commands)."""
_SECONDS_FROM = 100
PREFIX = "%prefix%"
"""Where a device's FullTopic has cmnd, stat or tele."""
SHOW_WHEN_OFF = "SetOption21"
"""Whether values are told while the relay is open. Without it they are all 0 then, and a welded
contact can't be seen."""


class Tasmota:
    """One device with Tasmota."""

    acknowledges = False
    keeps_safely = True
    repeats = False
    holds_relay = False

    def __init__(self, topic: str, profile: MqttProfile, me: str) -> None:
        del me
        root = topic if PREFIX in topic else f"{profile.base_topic or PREFIX}/{topic}"
        tele, stat = root.replace(PREFIX, "tele"), root.replace(PREFIX, "stat")
        self._command = root.replace(PREFIX, "cmnd")
        self._sets_power_on = profile.power_on is PowerOn.SET
        channels = range(1, profile.channels + 1)
        self._numbers = {channel: Named(profile, channel) for channel in channels}
        relay = profile.relay
        self._relays: dict[int, tuple[str, ...]] = {}
        if relay is not None:
            self._relays = {channel: (relay.name_of(channel),) for channel in channels}
            if profile.channels == 1:
                # SetOption26 makes a device of one outlet say POWER1.
                self._relays[1] = tuple(dict.fromkeys((relay.name_of(1), "POWER", "POWER1")))
        topics: dict[str, Decoder] = {
            f"{tele}/LWT": lambda payload: presence(payload, "online", "offline"),
            f"{tele}/SENSOR": lambda payload: self._sensor(parse_object(payload)),
            f"{tele}/STATE": lambda payload: self._state(parse_object(payload)),
            f"{stat}/RESULT": self._result,
            f"{stat}/SETOPTION": self._result,
            f"{stat}/POWERONSTATE": self._result,
            f"{stat}/STATUS8": lambda payload: self._sensor(_inside(payload, "StatusSNS")),
            f"{stat}/STATUS10": lambda payload: self._sensor(_inside(payload, "StatusSNS")),
            f"{stat}/STATUS11": lambda payload: self._state(_inside(payload, "StatusSTS")),
        }
        for channel, names in self._relays.items():
            for name in names:
                topics[f"{stat}/{name}"] = self._power(channel)
        self.topics: Mapping[str, Decoder] = topics

    def on(self, channel: int, for_s: int | None, ref: int) -> tuple[Out, ...]:
        del ref
        if for_s is None:
            return (Out(f"{self._command}/POWER{channel}", "ON"),)
        # In one message, so that there is no ON without its timer. Backlog0 does not pause.
        steps = f"PulseTime{channel} {_pulse(for_s)}; Power{channel} ON"
        return (Out(f"{self._command}/Backlog0", steps),)

    def off(self, channel: int, ref: int) -> tuple[Out, ...]:
        del ref
        return (Out(f"{self._command}/POWER{channel}", "OFF"),)

    def keep(self, channel: int, for_s: int, ref: int) -> tuple[Out, ...]:
        del ref
        return (Out(f"{self._command}/PulseTime{channel}", str(_pulse(for_s))),)

    def ask(self, ref: int) -> tuple[Out, ...]:
        del ref
        return (Out(f"{self._command}/STATUS", "8"), Out(f"{self._command}/STATUS", "11"))

    def prepare(self, ref: int) -> tuple[Out, ...]:
        # Without a payload a command tells its present setting.
        asked = (*self.ask(ref), Out(f"{self._command}/{SHOW_WHEN_OFF}", ""))
        return (*asked, Out(f"{self._command}/PowerOnState", "")) if self._sets_power_on else asked

    def _sensor(self, message: dict[str, Any]) -> Heard:
        faults = Faults()
        by_channel: dict[int, Values] = {}
        for channel, named in self._numbers.items():
            values = by_channel[channel] = {}
            for quantity, path, scale in named:
                raw = self._of_channel(quantity, at(message, path), channel, faults)
                if quantity is not Quantity.VOLTAGE_V or raw != 0:  # it lives on that voltage
                    take_number(values, quantity, raw, scale, faults)
        return Heard(readings_of(by_channel), faults=tuple(faults))

    def _of_channel(self, quantity: Quantity, raw: Any, channel: int, faults: Faults) -> Any:
        several = len(self._numbers) > 1
        if isinstance(raw, list):
            if len(raw) < channel or (len(raw) > 1 and not several):
                faults.add(quantity, f"a list of {len(raw)} for {len(self._numbers)} outlets", raw)
                return None
            return raw[channel - 1]
        if several and quantity is Quantity.ENERGY_WH:
            return None  # Total as one number is the usual sum of all outlets
        if several and raw is not None and quantity not in SHARED:
            faults.add(quantity, f"one value for {len(self._numbers)} outlets", raw)
            return None
        return raw

    def _state(self, message: dict[str, Any]) -> Heard:
        faults = Faults()
        by_channel: dict[int, Values] = {}
        for channel, names in self._relays.items():
            values = by_channel[channel] = {}
            for name in names:
                take_word(values, Quantity.RELAY_ON, message.get(name), faults)
        return Heard(readings_of(by_channel), faults=tuple(faults))

    def _result(self, payload: bytes) -> Heard:
        message = parse_object(payload)
        heard = self._state(message)
        if message.get(SHOW_WHEN_OFF) == "OFF":
            return heard._replace(replies=(Out(f"{self._command}/{SHOW_WHEN_OFF}", "1"),))
        state = message.get("PowerOnState")
        if not self._sets_power_on or not isinstance(state, int | str):
            return heard
        if str(state) == "0":
            return heard._replace(stays_off=True)
        reply = Out(f"{self._command}/PowerOnState", "0")
        return heard._replace(stays_off=False, replies=(reply,))

    def _power(self, channel: int) -> Decoder:
        def decode(payload: bytes) -> Heard:
            if payload.lstrip()[:1] == b"{":
                return self._result(payload)
            faults = Faults()
            values: Values = {}
            take_word(values, Quantity.RELAY_ON, parse_text(payload), faults)
            return Heard(readings_of({channel: values}), faults=tuple(faults))

        return decode


def _inside(payload: bytes, key: str) -> dict[str, Any]:
    found = parse_object(payload).get(key)
    return found if isinstance(found, dict) else {}


def _pulse(for_s: int) -> int:
    return for_s * 10 if for_s <= LONGEST_IN_TENTHS_S else for_s + _SECONDS_FROM
