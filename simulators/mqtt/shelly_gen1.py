"""Shelly devices of the first generation (Plug S, 1PM, 2.5, 4Pro).

Source: Shelly Gen1 API reference, "MQTT Support": topics below ``shellies/<id>/``, energy in
watt-minutes, everything published again every 30 s (``mqtt_update_period``) and on change,
nothing but ``online`` retained unless ``mqtt_retain`` is set. The energy counter is not kept
without supply. Timers and the state after power-on are set by HTTP only. ``overpower`` stands
on the relay's topic after the device's own cut, until the relay is commanded again.
"""

from __future__ import annotations

from typing import ClassVar

from simulators.mqtt.message import Message, document, text
from simulators.mqtt.plug import Fittings, Plug

BASE_TOPIC = "shellies"
COMMANDS = {b"on": True, b"off": False, b"toggle": None}
POWER_STEP_W = 2.0
"""A power that differs by more than this from the last one told is told at once (?)."""
SHORTEST_GAP_S = 1.0
HOT_C = 95.0


class ShellyGen1Plug(Plug):
    """One device; ``topic`` is its id, as in ``shellyplug-s-1A2B3C``."""

    KEEPALIVE_S: ClassVar[int] = 60
    RECONNECT_S: ClassVar[float] = 2.0
    REPORT_S: ClassVar[float | None] = 30.0
    POWER_ON: ClassVar[str] = "off"
    OVERPOWER_W: ClassVar[float] = 2_500.0
    OVERPOWER_HOLD_S: ClassVar[float] = 1.0

    def __init__(self, fittings: Fittings) -> None:
        super().__init__(fittings)
        self._next_report_s = fittings.now_s
        self._told_s = fittings.now_s
        self._told_w: dict[int, float] = {}
        self._cut: set[int] = set()

    @property
    def _root(self) -> str:
        return f"{self.profile.base_topic or BASE_TOPIC}/{self.topic}"

    @property
    def client_id(self) -> str:
        return self.topic

    @property
    def will(self) -> Message | None:
        return text(f"{self._root}/online", "false", retain=True)

    @property
    def filters(self) -> list[tuple[str, int]]:
        relays = [(f"{self._root}/relay/{index}/command", 0) for index in self._indexes]
        return [("shellies/command", 0), (f"{self._root}/command", 0), *relays]

    def birth(self, now_s: float) -> list[Message]:
        return [
            text(f"{self._root}/online", "true", retain=True),
            self._announcement(),
            *self._everything(now_s),
        ]

    def booted(self, now_s: float) -> None:
        self.restart_energy(now_s)
        self._cut.clear()

    def obey(self, message: Message, now_s: float, received_ns: int) -> list[Message]:
        if message.topic in ("shellies/command", f"{self._root}/command"):
            if message.payload == b"announce":
                return [self._announcement()]
            return self._everything(now_s) if message.payload == b"update" else []
        number = message.topic.split("/")[-2]
        if message.payload not in COMMANDS or not number.isdigit():
            return []
        index, wanted = int(number), COMMANDS[message.payload]
        on = not self.is_on(index) if wanted is None else wanted
        self._cut.discard(index)
        self.switch(index, on, now_s, by="frame", at_ns=received_ns)
        return [self._relay(index), self._power(index, now_s)]

    def switched(self, index: int, now_s: float, cause: str) -> list[Message]:
        if cause == "overpower":
            self._cut.add(index)
        messages = [self._relay(index), self._power(index, now_s)]
        if cause == "overpower":
            value = text(f"{self._root}/relay/{index}/overpower_value", f"{self.overpower_w:.0f}")
            messages.append(value)
        return messages

    def periodic(self, now_s: float) -> list[Message]:
        if self.report_s is not None and now_s >= self._next_report_s:
            return self._everything(now_s)
        if now_s - self._told_s < SHORTEST_GAP_S:
            return []
        changed = [index for index in self._indexes if self._has_changed(index, now_s)]
        if changed:
            self._told_s = now_s
        return [self._power(index, now_s) for index in changed]

    def old_messages(self) -> list[Message]:
        return [
            message
            for index in self._indexes
            for message in (
                text(f"{self._root}/relay/{index}", "on", retain=True),
                text(f"{self._root}/relay/{index}/power", "3251.08", retain=True),
                text(f"{self._root}/relay/{index}/energy", "918273", retain=True),
            )
        ]

    @property
    def _indexes(self) -> range:
        return range(len(self.channels))

    def _announcement(self) -> Message:
        payload = {"id": self.topic, "model": "SHPLG-S", "mac": "AABBCC1A2B3C", "ip": "127.0.0.1"}
        return document("shellies/announce", payload | {"new_fw": False, "fw_ver": "v1.14.0"})

    def _everything(self, now_s: float) -> list[Message]:
        if self.report_s is not None:
            self._next_report_s = now_s + self.report_s
        self._told_s = now_s
        messages: list[Message] = []
        for index in self._indexes:
            messages += [self._relay(index), self._power(index, now_s), self._energy(index, now_s)]
        celsius = round(self.temperature_c(), 2)
        return [
            *messages,
            self._told("temperature", f"{celsius:.2f}"),
            self._told("temperature_f", f"{celsius * 1.8 + 32:.2f}"),
            self._told("overtemperature", "1" if celsius > HOT_C else "0"),
        ]

    def _relay(self, index: int) -> Message:
        word = "on" if self.is_on(index) else "off"
        return self._told(f"relay/{index}", "overpower" if index in self._cut else word)

    def _power(self, index: int, now_s: float) -> Message:
        power_w = self.measure(index, now_s).power_w
        self._told_w[index] = power_w
        return self._told(f"relay/{index}/power", f"{power_w:.2f}")

    def _energy(self, index: int, now_s: float) -> Message:
        watt_minutes = self.energy_wh(index, self.measure(index, now_s)) * 60
        return self._told(f"relay/{index}/energy", f"{watt_minutes:.0f}")

    def _has_changed(self, index: int, now_s: float) -> bool:
        now_w = self.measure(index, now_s).power_w
        return abs(now_w - self._told_w.get(index, 0.0)) > POWER_STEP_W

    def _told(self, name: str, payload: str) -> Message:
        return text(f"{self._root}/{name}", payload, retain=self.retains_state)
