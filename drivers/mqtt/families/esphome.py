"""ESPHome (documentation: MQTT client component).

Behind the node's prefix each component has topics of its own: ``switch/<name>/state`` and
``/command`` with ON and OFF, ``sensor/<name>/state`` with a number as text, ``nan`` when it does
not know. ``status`` is birth and last will. Nothing can be asked, and no timer can be set.
"""

from __future__ import annotations

from collections.abc import Mapping

from drivers.mqtt.families.shelly_gen1 import number_topic
from drivers.mqtt.payload import one_of, parse_text, presence
from drivers.mqtt.words import Decoder, Heard, Out, Reading
from gateway.config import MqttProfile, Quantity

STATE = "/state"


class EspHome:
    """One node with ESPHome."""

    acknowledges = False
    keeps_safely = True
    repeats = False
    holds_relay = True

    def __init__(self, topic: str, profile: MqttProfile, me: str) -> None:
        del me
        self._root = topic if not profile.base_topic else f"{profile.base_topic}/{topic}"
        self._relay = profile.relay
        topics: dict[str, Decoder] = {
            f"{self._root}/status": lambda payload: presence(payload, "online", "offline"),
        }
        for quantity, value in profile.values.items():
            channels: dict[str, list[int]] = {}
            for channel in range(1, profile.channels + 1):
                channels.setdefault(value.name_of(channel), []).append(channel)
            for name, told in channels.items():
                topics[f"{self._root}/{name}"] = (
                    _flag(quantity, told)
                    if quantity.is_flag
                    else number_topic(quantity, value.scale, told)
                )
        self.topics: Mapping[str, Decoder] = topics

    def on(self, channel: int, for_s: int | None, ref: int) -> tuple[Out, ...]:
        del for_s, ref
        return self._command(channel, "ON")

    def off(self, channel: int, ref: int) -> tuple[Out, ...]:
        del ref
        return self._command(channel, "OFF")

    def keep(self, channel: int, for_s: int, ref: int) -> tuple[Out, ...]:
        del channel, for_s, ref
        return ()

    def ask(self, ref: int) -> tuple[Out, ...]:
        del ref
        return ()

    def prepare(self, ref: int) -> tuple[Out, ...]:
        return self.ask(ref)

    def _command(self, channel: int, word: str) -> tuple[Out, ...]:
        if self._relay is None:
            return ()
        name = self._relay.name_of(channel).removesuffix(STATE)
        return (Out(f"{self._root}/{name}/command", word),)


def _flag(quantity: Quantity, channels: list[int]) -> Decoder:
    field = quantity.value

    def decode(payload: bytes) -> Heard:
        is_on = one_of(parse_text(payload), "on", "off")
        return Heard(tuple(Reading(channel)._replace(**{field: is_on}) for channel in channels))

    return decode
