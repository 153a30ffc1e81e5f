"""Plugs with ESPHome and its MQTT component.

Source: ESPHome documentation, "MQTT Client Component" (topics ``<node>/<component>/<name>/…``,
birth and will on ``<node>/status``, keepalive of 15 s, states retained unless ``retain: false``)
and "Switch Component" (``restore_mode: ALWAYS_OFF`` by default). Each value has a topic of its
own, published every update_interval; no timer can be set. Names come from the node's own file:
here from the profile.
"""

from __future__ import annotations

from typing import ClassVar

from simulators.mqtt.message import Message, text
from simulators.mqtt.plug import Fittings, Plug

DEFAULT_NAMES = {
    "relay_on": "switch/relay/state",
    "power_w": "sensor/power/state",
    "current_a": "sensor/current/state",
    "voltage_v": "sensor/voltage/state",
    "energy_wh": "sensor/energy/state",
}
DECIMALS = {"power_w": 1, "current_a": 3, "voltage_v": 1, "energy_wh": 3, "temperature_c": 1}
WORDS = {"ON": True, "OFF": False, "TOGGLE": None}


class EsphomePlug(Plug):
    """One node; ``topic`` is its topic prefix."""

    KEEPALIVE_S: ClassVar[int] = 15
    RECONNECT_S: ClassVar[float] = 3.0
    REPORT_S: ClassVar[float | None] = 60.0
    POWER_ON: ClassVar[str] = "off"
    RETAINS_STATE: ClassVar[bool] = True

    def __init__(self, fittings: Fittings) -> None:
        super().__init__(fittings)
        self._next_report_s = fittings.now_s

    @property
    def will(self) -> Message | None:
        return text(f"{self.topic}/status", "offline", retain=True)

    @property
    def filters(self) -> list[tuple[str, int]]:
        return [(self._command_topic(index), 0) for index in range(len(self.channels))]

    def birth(self, now_s: float) -> list[Message]:
        """After a connection every state that is known is told again."""
        online = text(f"{self.topic}/status", "online", retain=True)
        log = text(f"{self.topic}/debug", "\x1b[0;32m[I][mqtt:274]: MQTT Connected!\x1b[0m")
        relays = [self._relay(index) for index in range(len(self.channels))]
        return [online, log, *relays, *self._sensors(now_s)]

    def booted(self, now_s: float) -> None:
        self._next_report_s = now_s

    def obey(self, message: Message, now_s: float, received_ns: int) -> list[Message]:
        word = message.payload.decode(errors="replace").strip().upper()
        for index in range(len(self.channels)):
            if message.topic == self._command_topic(index) and word in WORDS:
                wanted = WORDS[word]
                on = not self.is_on(index) if wanted is None else wanted
                self.switch(index, on, now_s, by="frame", at_ns=received_ns)
                return [self._relay(index)]
        return []

    def switched(self, index: int, now_s: float, cause: str) -> list[Message]:
        del now_s, cause
        return [self._relay(index)]

    def periodic(self, now_s: float) -> list[Message]:
        if self.report_s is None or now_s < self._next_report_s:
            return []
        self._next_report_s = max(self._next_report_s + self.report_s, now_s)
        return self._sensors(now_s)

    def old_messages(self) -> list[Message]:
        messages = []
        for index in range(len(self.channels)):
            messages.append(text(self._topic("relay_on", index), "ON", retain=True))
            for quantity, shown in (("power_w", "3251.0"), ("current_a", "14.200")):
                messages.append(text(self._topic(quantity, index), shown, retain=True))
        return messages

    def _sensors(self, now_s: float) -> list[Message]:
        messages = []
        told: set[str] = set()
        for index in range(len(self.channels)):
            reading = self.measure(index, now_s)
            values = {
                "power_w": reading.power_w,
                "current_a": reading.current_a,
                "voltage_v": reading.voltage_v,
                "energy_wh": self.energy_wh(index, reading),
                "temperature_c": self.temperature_c(),
            }
            for quantity, value in values.items():
                topic = self._topic(quantity, index)
                if topic and topic not in told:
                    told.add(topic)
                    messages.append(self._value(topic, quantity, value))
        return messages

    def _value(self, topic: str, quantity: str, value: float) -> Message:
        shown = f"{value / self._scale(quantity):.{DECIMALS[quantity]}f}"
        return text(topic, shown, retain=self.retains_state)

    def _relay(self, index: int) -> Message:
        word = "ON" if self.is_on(index) else "OFF"
        return text(self._topic("relay_on", index), word, retain=self.retains_state)

    def _command_topic(self, index: int) -> str:
        return self._topic("relay_on", index).removesuffix("/state") + "/command"

    def _topic(self, quantity: str, index: int) -> str:
        """Topic of a value; empty where the node has no such sensor."""
        named = self.profile.names.get(quantity)
        if named is not None:
            return f"{self.topic}/{named.of(index + 1)}"
        default = "" if self.profile.names else DEFAULT_NAMES.get(quantity, "")
        return f"{self.topic}/{default}" if default else ""

    def _scale(self, quantity: str) -> float:
        named = self.profile.names.get(quantity)
        if named is not None:
            return named.scale
        return 1_000.0 if quantity == "energy_wh" else 1.0
