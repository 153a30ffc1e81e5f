"""Shelly devices of the second generation and later (Plus, Pro, Gen3).

Source: Shelly Gen2 API reference, "RPC Protocol", "Notifications", "MQTT", "Switch". Requests
come on ``<prefix>/rpc`` and are answered on ``<src>/rpc``; ``<prefix>/events/rpc`` carries
NotifyStatus with what changed and nothing else; ``<prefix>/status/switch:N`` carries the whole
where status_ntf is set; ``<prefix>/command`` and ``…/command/switch:N`` are the plain way in.
QoS 1. How far a value must move to be told is not documented: the steps here are (?).
"""

from __future__ import annotations

from typing import Any, ClassVar

from simulators.mqtt.message import Message, document, parsed, text
from simulators.mqtt.plug import Fittings, Plug

MINUTE_S = 60.0
POWER_STEP_W = 1.0
POWER_STEP_SHARE = 0.05
VOLTAGE_STEP_V = 2.0
SHORTEST_GAP_S = 1.0
UNIX_EPOCH_S = 1_684_529_576
"""An evening in May 2023: the device's own idea of the time when the world begins."""
INITIAL_STATES = {"off": "off", "on": "on", "restore_last": "last", "match_input": "off"}
"""No input is wired: it matches an open one."""
NO_HANDLER = 404
BAD_ARGUMENT = -103
NOT_FOUND = -105
LONGEST_TIMER_S = 86_400


class ShellyGen2Plug(Plug):
    """One device; ``topic`` is its topic prefix, by default its id."""

    KEEPALIVE_S: ClassVar[int] = 60
    RECONNECT_S: ClassVar[float] = 2.0
    REPORT_S: ClassVar[float | None] = MINUTE_S
    POWER_ON: ClassVar[str] = "last"
    OVERPOWER_W: ClassVar[float] = 2_800.0

    def __init__(self, fittings: Fittings) -> None:
        super().__init__(fittings)
        count = len(self.channels)
        self._source = ["init"] * count
        self._errors: list[list[str]] = [[] for _ in range(count)]
        self._timer_s: list[tuple[float, float] | None] = [None] * count
        self._told: list[dict[str, Any]] = [{} for _ in range(count)]
        self._told_s = fittings.now_s
        self._next_minute_s = fittings.now_s + MINUTE_S
        self._minutes_mwh = [0.0, 0.0, 0.0]
        self._minute_from_wh = [0.0] * count
        self._auto_on_s = fittings.settings.auto_on_s

    @property
    def client_id(self) -> str:
        return self.topic.replace("/", "-")

    @property
    def will(self) -> Message | None:
        return text(f"{self.topic}/online", "false", retain=True, qos=1)

    @property
    def filters(self) -> list[tuple[str, int]]:
        return [(f"{self.topic}/rpc", 1), (f"{self.topic}/command/#", 1), ("shellies/command", 1)]

    def birth(self, now_s: float) -> list[Message]:
        online = text(f"{self.topic}/online", "true", retain=True, qos=1)
        messages = [online, self._event("NotifyStatus", {"mqtt": {"connected": True}}, now_s)]
        for index in self._indexes:
            messages += self._whole(index, now_s)
        return messages

    def booted(self, now_s: float) -> None:
        count = len(self.channels)
        self._source = ["init"] * count
        self._errors = [[] for _ in range(count)]
        self._timer_s = [None] * count
        self._told = [{} for _ in range(count)]
        self._next_minute_s = now_s + MINUTE_S

    def obey(self, message: Message, now_s: float, received_ns: int) -> list[Message]:
        if message.topic == f"{self.topic}/rpc":
            return self._answer(parsed(message.payload), now_s, received_ns)
        words = message.payload.decode(errors="replace").split(",")
        if message.topic in (f"{self.topic}/command", "shellies/command"):
            if words[0] != "status_update":
                return []
            return [
                document(f"{self.topic}/status/switch:{index}", self._status(index, now_s), qos=1)
                for index in self._indexes
            ]
        return self._plain_command(message.topic.rpartition(":")[2], words, now_s, received_ns)

    def switched(self, index: int, now_s: float, cause: str) -> list[Message]:
        self._source[index] = cause
        self._timer_s[index] = None
        if cause == "overpower":
            self._errors[index] = ["overpower"]
        if not self.is_on(index):
            self._arm_auto_on(index, now_s)
        return self._notify(index, now_s)

    def periodic(self, now_s: float) -> list[Message]:
        messages: list[Message] = []
        if now_s >= self._next_minute_s:
            self._next_minute_s += MINUTE_S
            for index in self._indexes:
                messages += self._minute(index, now_s)
        elif now_s - self._told_s >= SHORTEST_GAP_S:
            for index in self._indexes:
                if self._moved(index, now_s):
                    messages += self._notify(index, now_s)
        return messages

    def old_messages(self) -> list[Message]:
        return [
            document(
                f"{self.topic}/status/switch:{index}",
                {"id": index, "source": "MQTT", "output": True, "apower": 3251.0}
                | {"voltage": 229.0, "current": 14.2, "aenergy": {"total": 514_153.0}},
                retain=True,
            )
            for index in self._indexes
        ]

    # Requests

    def _answer(self, request: Any, now_s: float, received_ns: int) -> list[Message]:
        if not isinstance(request, dict):
            return []
        source, request_id = request.get("src"), request.get("id")
        method, params = request.get("method"), request.get("params") or {}
        if not isinstance(method, str):
            return []
        changes: list[Message] = []
        frame: dict[str, Any] = {"id": request_id, "src": self.topic, "dst": source}
        try:
            if not isinstance(params, dict):
                raise _RpcError(BAD_ARGUMENT, "Invalid argument 'params'")  # noqa: TRY301
            frame["result"], changes = self._call(method, params, now_s, received_ns)
        except _RpcError as error:
            frame["error"] = {"code": error.code, "message": error.message}
        # A request without an id wants no answer, and one without a source can't be answered.
        if request_id is None or not isinstance(source, str) or not source:
            return changes
        if any(sign in source for sign in "+#"):
            return changes
        return [document(f"{source}/rpc", frame, qos=1), *changes]

    def _call(
        self, method: str, params: dict[str, Any], now_s: float, received_ns: int
    ) -> tuple[Any, list[Message]]:
        name = method.lower()
        if name == "shelly.getstatus":
            switches = {f"switch:{i}": self._status(i, now_s) for i in self._indexes}
            return {"mqtt": {"connected": True}, "sys": {"uptime": int(now_s)}, **switches}, []
        if name == "shelly.getdeviceinfo":
            return {"id": self.topic, "gen": 2, "app": self.profile.name, "auth_en": False}, []
        if not name.startswith("switch."):
            raise _RpcError(NO_HANDLER, f"No handler for {method}")
        index = self._index(params)
        if name == "switch.getstatus":
            return self._status(index, now_s), []
        if name == "switch.getconfig":
            return self._config(index), []
        if name == "switch.setconfig":
            self._set_config(params.get("config"))
            return {"restart_required": False}, []
        if name not in ("switch.set", "switch.toggle"):
            raise _RpcError(NO_HANDLER, f"No handler for {method}")
        was_on = self.is_on(index)
        on = not was_on if name == "switch.toggle" else params.get("on")
        if not isinstance(on, bool):
            raise _RpcError(BAD_ARGUMENT, "Missing required argument 'on'!")
        self._set(index, on, _timer(params.get("toggle_after")), now_s, received_ns)
        return {"was_on": was_on}, self._notify(index, now_s)

    def _plain_command(
        self, number: str, words: list[str], now_s: float, received_ns: int
    ) -> list[Message]:
        """Obey ``on``, ``off`` or ``toggle``, with ``,SECONDS`` for toggle_after."""
        index = int(number) if number.isdigit() and len(number) < 3 else -1
        if index not in self._indexes or words[0] not in ("on", "off", "toggle"):
            return []
        on = words[0] == "on" or (words[0] == "toggle" and not self.is_on(index))
        seconds = words[1] if len(words) > 1 else ""
        timer_s = float(seconds) if seconds.isdigit() and len(seconds) < 6 else None
        self._set(index, on, timer_s, now_s, received_ns)
        return self._notify(index, now_s)

    def _set(
        self, index: int, on: bool, timer_s: float | None, now_s: float, received_ns: int
    ) -> None:
        self.switch(index, on, now_s, by="frame", at_ns=received_ns)
        self._source[index] = "MQTT"
        self._errors[index] = []
        self._timer_s[index] = None
        if timer_s is not None:
            self._timer_s[index] = (now_s, timer_s)
            self.set_timer(index, now_s + timer_s, then_on=not on)
        elif not on:
            self._arm_auto_on(index, now_s)

    def _arm_auto_on(self, index: int, now_s: float) -> None:
        if self._auto_on_s is not None:
            self.set_timer(index, now_s + self._auto_on_s, then_on=True)

    def _index(self, params: dict[str, Any]) -> int:
        index = params.get("id")
        if not isinstance(index, int) or isinstance(index, bool):
            raise _RpcError(BAD_ARGUMENT, "Missing required argument 'id'!")
        if index not in self._indexes:
            raise _RpcError(NOT_FOUND, f"Argument 'id', value {index} not found!")
        return index

    def _set_config(self, config: Any) -> None:
        if not isinstance(config, dict):
            raise _RpcError(BAD_ARGUMENT, "Missing required argument 'config'!")
        state = config.get("initial_state")
        if state is not None and state not in INITIAL_STATES:
            raise _RpcError(BAD_ARGUMENT, "Invalid argument 'initial_state'")
        self.power_on = self.power_on if state is None else INITIAL_STATES[state]
        if config.get("auto_on") is False:
            self._auto_on_s = None
            self._forget_auto_on()
        limit_w = config.get("power_limit")
        if isinstance(limit_w, int | float) and not isinstance(limit_w, bool):
            self.overpower_w = float(limit_w)

    def _forget_auto_on(self) -> None:
        for index in self._indexes:
            if not self.is_on(index) and self._timer_s[index] is None:
                self.set_timer(index, None)

    def _config(self, index: int) -> dict[str, Any]:
        state = next(word for word, own in INITIAL_STATES.items() if own == self.power_on)
        config: dict[str, Any] = {"id": index, "name": None, "in_mode": "follow"}
        config |= {"initial_state": state, "auto_on": self._auto_on_s is not None}
        config |= {"auto_on_delay": self._auto_on_s or 60.0, "auto_off": False}
        return config | {"power_limit": round(self.overpower_w), "voltage_limit": 280}

    # What it tells

    @property
    def _indexes(self) -> range:
        return range(len(self.channels))

    def _status(self, index: int, now_s: float) -> dict[str, Any]:
        reading = self.measure(index, now_s)
        celsius = round(self.temperature_c(), 1)
        status: dict[str, Any] = {
            "id": index,
            "source": self._source[index],
            "output": self.is_on(index),
            "apower": round(reading.power_w, 1),
            "voltage": round(reading.voltage_v, 1),
            "current": round(reading.current_a, 3),
            "pf": round(reading.power_factor, 2),
            "freq": round(reading.frequency_hz, 1),
            "aenergy": self._energy(index, self.energy_wh(index, reading), now_s),
            "temperature": {"tC": celsius, "tF": round(celsius * 1.8 + 32, 1)},
        }
        timer = self._timer_s[index]
        if timer is not None:
            status["timer_started_at"] = round(UNIX_EPOCH_S + timer[0], 2)
            status["timer_duration"] = timer[1]
        if self._errors[index]:
            status["errors"] = [*self._errors[index]]
        return status

    def _energy(self, index: int, energy_wh: float, now_s: float) -> dict[str, Any]:
        minutes = self._minutes_mwh if index == 0 else [0.0, 0.0, 0.0]
        minute_ts = int(UNIX_EPOCH_S + now_s) // 60 * 60
        return {"total": round(energy_wh, 3), "by_minute": minutes, "minute_ts": minute_ts}

    def _moved(self, index: int, now_s: float) -> bool:
        told = self._told[index]
        reading = self.measure(index, now_s)
        told_w, told_v = float(told.get("apower", 0.0)), float(told.get("voltage", 0.0))
        step_w = max(POWER_STEP_W, POWER_STEP_SHARE * told_w)
        has_moved = abs(reading.power_w - told_w) > step_w
        return has_moved or abs(reading.voltage_v - told_v) > VOLTAGE_STEP_V

    def _notify(self, index: int, now_s: float) -> list[Message]:
        """Tell what differs from what was told last, and nothing else."""
        status = self._status(index, now_s)
        told = self._told[index]
        skipped = ("aenergy", "temperature", "freq")
        changed = {
            key: value
            for key, value in status.items()
            if key not in skipped and told.get(key) != value
        }
        changed |= {"errors": []} if "errors" in told and "errors" not in status else {}
        self._told[index] = {key: value for key, value in status.items() if key not in skipped}
        self._told_s = now_s
        if not changed:
            return []
        partial = {f"switch:{index}": {"id": index, **changed}}
        messages = [self._event("NotifyStatus", partial, now_s)]
        return [*messages, *self._status_topic(index, status)]

    def _minute(self, index: int, now_s: float) -> list[Message]:
        """Tell the energy once a minute, and not the power with it."""
        energy_wh = self.energy_wh(index, self.measure(index, now_s))
        if index == 0:
            used_mwh = round((energy_wh - self._minute_from_wh[0]) * 1_000, 3)
            self._minutes_mwh = [used_mwh, *self._minutes_mwh[:2]]
        self._minute_from_wh[index] = energy_wh
        partial = {"id": index, "aenergy": self._energy(index, energy_wh, now_s)}
        message = self._event("NotifyStatus", {f"switch:{index}": partial}, now_s)
        return [message, *self._status_topic(index, self._status(index, now_s))]

    def _whole(self, index: int, now_s: float) -> list[Message]:
        status = self._status(index, now_s)
        self._told[index] = dict(status)
        return self._status_topic(index, status)

    def _status_topic(self, index: int, status: dict[str, Any]) -> list[Message]:
        if not self.settings.status_topic:
            return []
        topic = f"{self.topic}/status/switch:{index}"
        return [document(topic, status, retain=self.retains_state, qos=1)]

    def _event(self, method: str, params: dict[str, Any], now_s: float) -> Message:
        stamped = {"ts": round(UNIX_EPOCH_S + now_s, 2), **params}
        frame = {"src": self.topic, "dst": f"{self.topic}/events"}
        return document(
            f"{self.topic}/events/rpc", {**frame, "method": method, "params": stamped}, qos=1
        )


class _RpcError(Exception):
    def __init__(self, code: int, message: str) -> None:
        super().__init__(message)
        self.code = code
        self.message = message


def _timer(value: Any) -> float | None:
    if value is None:
        return None
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    if not is_number or not 0 < value <= LONGEST_TIMER_S:
        raise _RpcError(BAD_ARGUMENT, "Invalid argument 'toggle_after'")
    return float(value)
