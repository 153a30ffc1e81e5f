"""Zigbee plugs behind Zigbee2MQTT: one client for all of them, and a cache in between.

Sources: zigbee2mqtt.io, "MQTT Topics and Messages", "Device-Availability", and the pages of
plugs ("On with timed off", "Power-on behavior"). Every message holds the whole cache: what did
not change is as old as its own last report. Reports come on change, by the plug's reporting
configuration (power 5 W, current 0.05 A, voltage 5 V, energy 0.1 kWh, at least 10 s apart and
at most an hour, as zigbee-herdsman-converters sets it up). By the Zigbee Cluster Library
(3.8.2.3.6, On With Timed Off) a shorter on_time does not shorten one that runs. Tuya's plugs have
``countdown`` in its place, and ``power_outage_memory``; a key that a plug does not have costs a
line on bridge/logging, and the rest of its message is done all the same. A plug that does
not answer costs a line on bridge/logging, and is called offline ten minutes after its last word.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar

from simulators.mqtt.faults import PlugFault
from simulators.mqtt.message import Message, Outgoing, document, parsed
from simulators.mqtt.packets import Login
from simulators.mqtt.plug import Fittings, Plug

BASE_TOPIC = "zigbee2mqtt"
LONGEST_ON_TIME_S = 6_553
"""OnTime is a 16-bit number of tenths of a second."""
SHORTEST_GAP_S = 10.0
STEPS = {"power_w": 5.0, "current_a": 0.05, "voltage_v": 5.0, "energy_wh": 100.0}
DECIMALS = {"power_w": 0, "current_a": 2, "voltage_v": 0, "energy_wh": 2}
DEFAULT_NAMES = {
    "relay_on": "state",
    "power_w": "power",
    "current_a": "current",
    "voltage_v": "voltage",
    "energy_wh": "energy",
}
WORDS = {"ON": True, "OFF": False, "TOGGLE": None}
BEHAVIOURS: dict[str, dict[Any, str]] = {
    "power_on_behavior": {"off": "off", "on": "on", "previous": "last"},
    "power_outage_memory": {
        "off": "off",
        "on": "on",
        "restore": "last",
        False: "off",
        True: "last",
    },
}
COUNTDOWN = "countdown"
LONGEST_COUNTDOWN_S = 43_200
AVAILABILITY_S = 600.0


class ZigbeePlug(Plug):
    """One plug; ``topic`` is its friendly name."""

    RECONNECT_S: ClassVar[float] = 1.0
    REPORT_S: ClassVar[float | None] = 3_600.0
    ANSWER_S: ClassVar[float] = 0.08
    """A command by radio and its confirmation (?)."""

    def __init__(self, fittings: Fittings) -> None:
        super().__init__(fittings)
        self.heard_s = fittings.now_s
        """When it last said anything by radio."""
        self._cache: dict[str, Any] = {}
        self._told: dict[str, float] = {}
        self._told_s = -SHORTEST_GAP_S
        self._is_new = True
        self._answers_until_s = 0.0

    @property
    def base(self) -> str:
        """Topic of its bridge."""
        return self.profile.base_topic or BASE_TOPIC

    @property
    def will(self) -> Message | None:
        return None

    @property
    def filters(self) -> list[tuple[str, int]]:
        return []

    def birth(self, now_s: float) -> list[Message]:
        """Let the bridge tell what it remembers, however old that is."""
        del now_s
        return [self._publication()] if self._cache else []

    def booted(self, now_s: float) -> None:
        del now_s
        self._is_new = True

    def obey(self, message: Message, now_s: float, received_ns: int) -> list[Message]:
        self._answers_until_s = now_s + self.ANSWER_S
        path = message.topic.removeprefix(f"{self.base}/{self.topic}/").split("/")
        request = parsed(message.payload)
        if not isinstance(request, dict):
            word = message.payload.decode(errors="replace").strip().upper()
            request = {"state": word} if word in WORDS else {}
        if path[-1] == "get":
            return self._get(request, now_s)
        if path[-1] != "set":
            return []
        endpoint = path[0] if len(path) == 2 else ""
        changed = False
        for index in range(len(self.channels)):
            wanted = request.get(self._state_key(index, endpoint))
            if isinstance(wanted, str) and wanted.upper() in WORDS:
                on_time = self._time_in(request, index)
                was_on = self.is_on(index)
                self._set(index, WORDS[wanted.upper()], on_time, now_s, received_ns)
                # With a time the bridge says nothing of its own: only the plug's report does.
                changed |= self._counts_down or on_time is None or self.is_on(index) != was_on
        setting = self.profile.power_on_name or "power_on_behavior"
        behaviour = request.get(setting)
        if isinstance(behaviour, str | bool) and behaviour in BEHAVIOURS[setting]:
            self.power_on = BEHAVIOURS[setting][behaviour]
            self._cache[setting] = behaviour
            changed = True
        self.heard_s = now_s
        return [self._publication()] if changed else []

    def switched(self, index: int, now_s: float, cause: str) -> list[Message]:
        del index, cause
        self.heard_s = now_s
        self._note_relays()
        return [self._publication()]

    def periodic(self, now_s: float) -> list[Message]:
        if self._is_new:
            # It announces itself, and the bridge reads what it can.
            self._is_new = False
            self._note_relays()
            self._note_inputs(now_s)
            self._note(now_s, forced=True)
            return [self._publication()]
        if self._note_inputs(now_s):
            return [self._publication()]  # a detector waits for no interval
        if now_s - self._told_s < SHORTEST_GAP_S or now_s < self._answers_until_s:
            return []  # a report never overtakes an answer, which shows the cache of before
        is_due = self.report_s is not None and now_s - self._told_s >= self.report_s
        return [self._publication()] if self._note(now_s, forced=is_due) else []

    def old_messages(self) -> list[Message]:
        values = {"relay_on": "ON", "power_w": 3_251, "current_a": 14.2, "voltage_v": 229}
        payload = {
            name: value
            for quantity, value in values.items()
            for index in range(len(self.channels))
            if (name := self._name(quantity, index))
        }
        return [document(f"{self.base}/{self.topic}", payload, retain=True)]

    # Inside

    @property
    def _counts_down(self) -> bool:
        return self.profile.timer_name == COUNTDOWN

    def _time_in(self, request: dict[str, Any], index: int) -> Any:
        """Find the timer of one endpoint; None where the plug knows no such key."""
        name = COUNTDOWN if self._counts_down else "on_time"
        end = self._name("relay_on", index).removeprefix("state")
        return request.get(name + end, request.get(name))

    def _set(
        self, index: int, wanted: bool | None, on_time: Any, now_s: float, received_ns: int
    ) -> None:
        on = not self.is_on(index) if wanted is None else wanted
        left_s = self.timer_left_s(index, now_s)
        self.switch(index, on, now_s, by="frame", at_ns=received_ns)
        is_number = isinstance(on_time, int | float) and not isinstance(on_time, bool)
        if on and is_number and self._counts_down and 0 < on_time <= LONGEST_COUNTDOWN_S:
            self.set_timer(index, now_s + on_time)  # an ON ends the one before
        elif on and is_number and not self._counts_down and 0 < on_time <= LONGEST_ON_TIME_S:
            self.set_timer(index, now_s + max(on_time, left_s or 0.0))
        self._note_relays()

    def _get(self, request: dict[str, Any], now_s: float) -> list[Message]:
        self.heard_s = now_s
        self._note_relays()
        asked = [key for key in request if not key.startswith(("state", "power_o"))]
        name = self.profile.power_on_name or "power_on_behavior"
        if name in request:
            words = BEHAVIOURS[name].items()
            self._cache[name] = next(each for each, own in words if own == self.power_on)
        can = self.profile.can_be_asked
        can = can if self.settings.can_be_asked is None else self.settings.can_be_asked
        if asked and can:
            self._note(now_s, forced=True)
        elif asked:
            return []
        return [self._publication()]

    def _note_inputs(self, now_s: float) -> bool:
        """Take inputs that changed over into the cache; say whether any did."""
        told = {
            name: channel.input_on
            for index, channel in enumerate(self.channels)
            if (name := self._name("input_on", index))
        }
        if told.items() <= self._cache.items():
            return False
        self._cache |= told
        self.heard_s = now_s
        return True

    def _note_relays(self) -> None:
        if "input_on" in self.profile.names:
            return  # a detector switches nothing
        for index in range(len(self.channels)):
            self._cache[self._name("relay_on", index)] = "ON" if self.is_on(index) else "OFF"

    def _note(self, now_s: float, *, forced: bool) -> bool:
        """Take what moved far enough over into the cache; say whether anything did."""
        changed = False
        for index in range(len(self.channels)):
            reading = self.measure(index, now_s)
            values = {
                "power_w": reading.power_w,
                "current_a": reading.current_a,
                "voltage_v": reading.voltage_v,
                "energy_wh": self.energy_wh(index, reading),
            }
            for quantity, value in values.items():
                name = self._name(quantity, index)
                told = self._told.get(name)
                if name and (forced or told is None or abs(value - told) >= STEPS[quantity]):
                    self._told[name] = value
                    shown = round(value / self._scale(quantity), DECIMALS[quantity])
                    self._cache[name] = int(shown) if DECIMALS[quantity] == 0 else shown
                    changed = True
        if changed:
            self._told_s = self.heard_s = now_s
        return changed

    def _publication(self) -> Message:
        payload = {**self._cache, "linkquality": 120}
        return document(f"{self.base}/{self.topic}", payload, retain=self.retains_state)

    def _state_key(self, index: int, endpoint: str) -> str:
        name = self._name("relay_on", index)
        return "state" if endpoint and name == f"state_{endpoint}" else name

    def _name(self, quantity: str, index: int) -> str:
        """Key of a value; empty where the plug has no such thing."""
        named = self.profile.names.get(quantity)
        if named is not None:
            return named.of(index + 1)
        return "" if self.profile.names else DEFAULT_NAMES.get(quantity, "")

    def _scale(self, quantity: str) -> float:
        named = self.profile.names.get(quantity)
        if named is not None:
            return named.scale
        return 1_000.0 if quantity == "energy_wh" else 1.0


class ZigbeeBridge:
    """Zigbee2MQTT itself, with the plugs of one base topic."""

    def __init__(self, base: str, plugs: Sequence[ZigbeePlug]) -> None:
        self.name = base
        self._base = base
        self._plugs = plugs
        self._online: dict[str, bool] = {}
        self._has_told_old = False

    @property
    def login(self) -> Login:
        settings = self._plugs[0].settings
        will = document(f"{self._base}/bridge/state", {"state": "offline"}, retain=True, qos=1)
        return Login(
            client_id=f"mqttjs_{self._base}",
            keepalive_s=self._plugs[0].keepalive_s,
            will=will,
            username=settings.username,
            password=settings.password,
        )

    @property
    def filters(self) -> list[tuple[str, int]]:
        return [(f"{self._base}/#", 0)]

    @property
    def reconnect_s(self) -> float:
        return self._plugs[0].reconnect_s

    def is_reachable(self, now_s: float) -> bool:
        del now_s
        return not any(plug.faults.has(PlugFault.BRIDGE_LOSS) for plug in self._plugs)

    def old_messages(self) -> list[Message]:
        if self._has_told_old:
            return []
        self._has_told_old = True
        plugs = [plug for plug in self._plugs if plug.settings.old_retained]
        return [message for plug in plugs for message in plug.old_messages()]

    def connected(self, now_s: float) -> list[Outgoing]:
        online = document(f"{self._base}/bridge/state", {"state": "online"}, retain=True)
        outgoing = [Outgoing(online)]
        for plug in self._plugs:
            outgoing += [Outgoing(message) for message in self._availability(plug, now_s)]
            outgoing += plug.connected(now_s)
        return outgoing

    def receive(self, message: Message, now_s: float, received_ns: int) -> list[Outgoing]:
        # The longest name first: one plug's may begin like another's.
        for plug in sorted(self._plugs, key=lambda plug: -len(plug.topic)):
            prefix = f"{self._base}/{plug.topic}/"
            if not message.topic.startswith(prefix) or not message.payload:
                continue
            if message.topic.rpartition("/")[2] not in ("set", "get"):
                return []
            if plug.is_reachable(now_s):
                return plug.receive(message, now_s, received_ns)
            return [Outgoing(self._failure(plug, message))]
        return []

    def tick(self, now_s: float) -> list[Outgoing]:
        outgoing: list[Outgoing] = []
        for plug in self._plugs:
            said = plug.tick(now_s)
            if plug.is_reachable(now_s):
                outgoing += said
            outgoing += [Outgoing(message) for message in self._changed(plug, now_s)]
        return outgoing

    def _is_online(self, plug: ZigbeePlug, now_s: float) -> bool:
        return plug.is_reachable(now_s) or now_s - plug.heard_s < AVAILABILITY_S

    def _changed(self, plug: ZigbeePlug, now_s: float) -> list[Message]:
        if self._online.get(plug.name) in (None, self._is_online(plug, now_s)):
            return []
        return self._availability(plug, now_s)

    def _availability(self, plug: ZigbeePlug, now_s: float) -> list[Message]:
        is_online = self._online[plug.name] = self._is_online(plug, now_s)
        if plug.settings.availability is False:
            return []
        state = {"state": "online" if is_online else "offline"}
        return [document(f"{self._base}/{plug.topic}/availability", state, retain=True)]

    def _failure(self, plug: ZigbeePlug, message: Message) -> Message:
        kind = message.topic.rpartition("/")[2]
        told = f"z2m: Publish '{kind}' 'state' to '{plug.topic}' failed: 'Timeout'"
        payload = {"level": "error", "message": told, "namespace": "z2m"}
        return document(f"{self._base}/bridge/logging", payload)
