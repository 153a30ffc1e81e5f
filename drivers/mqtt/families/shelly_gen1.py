"""Shelly, first generation (Gen1 API reference, MQTT).

Each value has a topic of its own behind ``shellies/<id>/``, as plain text. A relay's topic says
``on``, ``off`` or ``overpower``. Energy counts watt-minutes. ``update`` makes it tell everything.
A flag such as ``overtemperature`` is 1 or 0.
"""

from __future__ import annotations

from collections.abc import Mapping

from drivers.mqtt.payload import (
    Faults,
    Values,
    number_in,
    one_of,
    parse_text,
    presence,
    readings_of,
    take_number,
)
from drivers.mqtt.words import Decoder, Heard, Out, Reading
from gateway.config import MqttProfile, Quantity

BASE = "shellies"
OVERPOWER = "overpower"


class ShellyGen1:
    """One Shelly of the first generation."""

    acknowledges = False
    keeps_safely = True
    repeats = False
    holds_relay = False

    def __init__(self, topic: str, profile: MqttProfile, me: str) -> None:
        del me
        self._root = f"{profile.base_topic or BASE}/{topic}"
        self._relay = profile.relay
        topics: dict[str, Decoder] = {
            f"{self._root}/online": lambda payload: presence(payload, "true", "false"),
        }
        for quantity, value in profile.values.items():
            channels: dict[str, list[int]] = {}
            for channel in range(1, profile.channels + 1):
                channels.setdefault(value.name_of(channel), []).append(channel)
            for name, told in channels.items():
                topics[f"{self._root}/{name}"] = (
                    number_topic(quantity, value.scale, told)
                    if not quantity.is_flag
                    else _alarm(told)
                    if quantity is Quantity.ALARM
                    else _relay(told, has_alarm=Quantity.ALARM in profile.values)
                )
        self.topics: Mapping[str, Decoder] = topics

    def on(self, channel: int, for_s: int | None, ref: int) -> tuple[Out, ...]:
        del for_s, ref
        return self._command(channel, "on")

    def off(self, channel: int, ref: int) -> tuple[Out, ...]:
        del ref
        return self._command(channel, "off")

    def keep(self, channel: int, for_s: int, ref: int) -> tuple[Out, ...]:
        del channel, for_s, ref
        return ()

    def ask(self, ref: int) -> tuple[Out, ...]:
        del ref
        return (Out(f"{self._root}/command", "update"),)

    def prepare(self, ref: int) -> tuple[Out, ...]:
        return self.ask(ref)

    def _command(self, channel: int, word: str) -> tuple[Out, ...]:
        if self._relay is None:
            return ()
        return (Out(f"{self._root}/{self._relay.name_of(channel)}/command", word),)


def _alarm(channels: list[int]) -> Decoder:
    def decode(payload: bytes) -> Heard:
        alarm = one_of(parse_text(payload), "1", "0")
        return Heard(tuple(Reading(channel, alarm=alarm) for channel in channels))

    return decode


def _relay(channels: list[int], *, has_alarm: bool) -> Decoder:
    """Decode a relay's topic; ``has_alarm``: another topic says whether the alarm is over."""
    over = None if has_alarm else False

    def decode(payload: bytes) -> Heard:
        text = parse_text(payload)
        if text.lower() == OVERPOWER:  # says nothing of the relay itself
            return Heard(tuple(Reading(channel, alarm=True) for channel in channels))
        is_on = one_of(text, "on", "off")
        return Heard(tuple(Reading(channel, relay_on=is_on, alarm=over) for channel in channels))

    return decode


def number_topic(quantity: Quantity, scale: float, channels: list[int]) -> Decoder:
    """Decode a topic whose payload is one number as text."""

    def decode(payload: bytes) -> Heard:
        faults = Faults()
        values: Values = {}
        take_number(values, quantity, number_in(parse_text(payload)), scale, faults)
        return Heard(readings_of(dict.fromkeys(channels, values)), faults=tuple(faults))

    return decode
