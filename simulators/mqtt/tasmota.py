"""Tasmota with energy monitoring, as its documentation and its source say.

Sources: tasmota.github.io/docs "MQTT", "Commands", "PowerOnState"; arendst/Tasmota
``support_command.ino`` (PulseTime takes effect at once, also on a relay that is off),
``xdrv_02_mqtt.ino`` (what is published on a connection), ``xdrv_03_energy.ino``. Figures of
one channel are scalars; with several, voltage is one scalar and the total a sum.
"""

from __future__ import annotations

from typing import Any, ClassVar

from simulators.mqtt.message import Message, document, text
from simulators.mqtt.plug import Fittings, Plug
from simulators.physics import Reading

PREFIX = "%prefix%"
SHORTEST_TELEMETRY_S = 10
LONGEST_TELEMETRY_S = 3_600
FIRST_TELEMETRY_S = 5.0
"""After a connection the telemetry period is set to five seconds before its end."""
MAX_PAYLOAD_BYTES = 1_024
MOST_STEPS = 30
"""Of a Backlog. All are carried out at once, as Backlog0 does."""
PULSE_TENTHS = 111
PULSE_SECONDS_FROM = 100
LONGEST_PULSE = 64_900

STATES: dict[str, bool | None] = {
    "on": True,
    "1": True,
    "true": True,
    "off": False,
    "0": False,
    "false": False,
    "toggle": None,
    "2": None,
}
POWER_ON_STATES = {0: "off", 1: "on", 3: "last"}
STATUS_SENSORS = (8, 10)
STATUS_STATE = 11


class TasmotaPlug(Plug):
    """One Tasmota device; ``topic`` is its Topic."""

    KEEPALIVE_S: ClassVar[int] = 30
    RECONNECT_S: ClassVar[float] = 10.0
    REPORT_S: ClassVar[float | None] = 300.0
    OVERPOWER_HOLD_S: ClassVar[float] = 10.0

    def __init__(self, fittings: Fittings) -> None:
        super().__init__(fittings)
        self.pulses = [0] * len(self.channels)
        """PulseTime of each channel; kept in flash, as all settings are."""
        self.shows_power_off = bool(self.settings.shows_power_off)
        """SetOption21; without it everything reads 0 while all relays are off."""
        self._next_report_s = fittings.now_s

    def _place(self, prefix: str) -> str:
        """Fill in its FullTopic, which has the prefix first unless it was set otherwise."""
        full = self.topic
        if PREFIX not in full:
            full = f"{self.profile.base_topic or PREFIX}/{self.topic}"
        return full.replace(PREFIX, prefix)

    @property
    def will(self) -> Message | None:
        return text(f"{self._place('tele')}/LWT", "Offline", retain=True, qos=1)

    @property
    def filters(self) -> list[tuple[str, int]]:
        return [(f"{self._place('cmnd')}/#", 0), ("cmnd/tasmotas/#", 0)]

    def birth(self, now_s: float) -> list[Message]:
        self._next_report_s = now_s + FIRST_TELEMETRY_S
        info = {"Info1": {"Module": self.profile.name, "Version": "14.2.0(release)"}}
        messages = [
            text(f"{self._place('tele')}/LWT", "Online", retain=True),
            text(f"{self._place('cmnd')}/POWER", ""),
            document(f"{self._place('tele')}/INFO1", info),
        ]
        for index in range(len(self.channels)):
            messages += self._power_state(index)
        return messages

    def obey(self, message: Message, now_s: float, received_ns: int) -> list[Message]:
        payload = message.payload.decode(errors="replace").strip()
        if len(message.payload) > MAX_PAYLOAD_BYTES:
            return []
        command = message.topic.rpartition("/")[2].upper()
        if command not in ("BACKLOG", "BACKLOG0"):
            return self._one(command, payload, now_s, received_ns)
        answers: list[Message] = []
        for step in payload.split(";")[:MOST_STEPS]:
            word, _, value = step.strip().partition(" ")
            if word and not word.upper().startswith("BACKLOG"):
                answers += self._one(word.upper(), value.strip(), now_s, received_ns)
        return answers

    def _one(self, command: str, payload: str, now_s: float, received_ns: int) -> list[Message]:
        name = command.rstrip("0123456789")
        digits = command[len(name) :]
        number = int(digits) if 0 < len(digits) < 5 else 1
        if name == "POWER":
            return self._power(number, payload.lower(), now_s, received_ns)
        if name == "STATUS":
            return self._status(payload, now_s)
        return [self._result(self._set(name, number, payload, now_s), name)]

    def booted(self, now_s: float) -> None:
        for index in range(len(self.channels)):
            if self.is_on(index):
                self._run_pulse(index, now_s)

    def switched(self, index: int, now_s: float, cause: str) -> list[Message]:
        messages = self._power_state(index)
        if cause == "overpower":
            watts = f"{round(self.overpower_w)}W"
            warning = document(f"{self._place('stat')}/WARNING", {"MaxPowerReached": watts})
            return [warning, self._sensor(now_s), *messages]
        return messages

    def periodic(self, now_s: float) -> list[Message]:
        if not self.report_s or now_s < self._next_report_s:
            return []
        self._next_report_s = now_s + max(self.report_s, SHORTEST_TELEMETRY_S)
        return [document(f"{self._place('tele')}/STATE", self._state(now_s)), self._sensor(now_s)]

    def old_messages(self) -> list[Message]:
        energy = {"Total": 514.153, "Power": 3251, "Voltage": 229, "Current": 14.2}
        sensor = {"Time": "2019-05-19T20:52:56", "ENERGY": energy}
        power = [
            text(f"{self._place('stat')}/{self._power_name(index)}", "ON", retain=True)
            for index in range(len(self.channels))
        ]
        state = {self._power_name(index): "ON" for index in range(len(self.channels))}
        return [
            document(f"{self._place('tele')}/SENSOR", sensor, retain=True),
            document(f"{self._place('tele')}/STATE", state, retain=True),
            *power,
        ]

    # Commands

    def _power(self, number: int, word: str, now_s: float, received_ns: int) -> list[Message]:
        if not self.has_channel(number):
            return [self._result({"Command": "Error"})]
        index = number - 1
        if word in STATES:
            wanted = STATES[word]
            on = not self.is_on(index) if wanted is None else wanted
            self.switch(index, on, now_s, by="frame", at_ns=received_ns)
            if on:
                self._run_pulse(index, now_s)
        return self._power_state(index)

    def _status(self, payload: str, now_s: float) -> list[Message]:
        number = int(payload) if payload.isdigit() and len(payload) < 4 else 0
        topic = f"{self._place('stat')}/STATUS{number or ''}"
        if number in STATUS_SENSORS:
            return [document(topic, {"StatusSNS": self._sensors(now_s)})]
        if number == STATUS_STATE:
            return [document(topic, {"StatusSTS": self._state(now_s)})]
        if number == 0:
            power = sum(self.is_on(index) << index for index in range(len(self.channels)))
            status = {"Topic": self.topic, "Power": power, "PowerOnState": self._power_on_number()}
            return [document(topic, {"Status": status})]
        return [self._result({"Command": "Error"})]

    def _set(self, name: str, number: int, payload: str, now_s: float) -> dict[str, Any]:
        value = int(payload) if payload.isdigit() and len(payload) < 7 else None
        if name == "PULSETIME" and self.has_channel(number):
            return self._set_pulse(number, value, now_s)
        if name == "POWERONSTATE":
            self.power_on = POWER_ON_STATES.get(-1 if value is None else value, self.power_on)
            return {"PowerOnState": self._power_on_number()}
        if name == "TELEPERIOD":
            self._set_period(value, now_s)
            return {"TelePeriod": round(self.report_s or 0)}
        if name == "SETOPTION" and number == 21:
            self.shows_power_off = self.shows_power_off if value is None else value == 1
            return {"SetOption21": "ON" if self.shows_power_off else "OFF"}
        if name == "POWERRETAIN":
            self.retains_state = bool(STATES.get(payload.lower(), self.retains_state))
            return {"PowerRetain": "ON" if self.retains_state else "OFF"}
        if name == "MAXPOWER":
            self.overpower_w = self.overpower_w if value is None else float(value)
            return {"MaxPower": round(self.overpower_w)}
        return {"Command": "Unknown"}

    def _set_pulse(self, number: int, value: int | None, now_s: float) -> dict[str, Any]:
        if value is not None and value <= LONGEST_PULSE:
            self.pulses[number - 1] = value
            self._run_pulse(number - 1, now_s)
        left_s = self.timer_left_s(number - 1, now_s)
        remaining = 0 if left_s is None else _pulse_of(left_s)
        return {f"PulseTime{number}": {"Set": self.pulses[number - 1], "Remaining": remaining}}

    def _set_period(self, value: int | None, now_s: float) -> None:
        if value == 0:
            self.report_s = None
        elif value == 1:
            self.report_s = self.REPORT_S
        elif value is not None:
            self.report_s = float(min(LONGEST_TELEMETRY_S, max(SHORTEST_TELEMETRY_S, value)))
        self._next_report_s = now_s + (self.report_s or 0)

    def _run_pulse(self, index: int, now_s: float) -> None:
        seconds = _pulse_s(self.pulses[index])
        self.set_timer(index, now_s + seconds if seconds else None)

    def _power_on_number(self) -> int:
        return next(number for number, word in POWER_ON_STATES.items() if word == self.power_on)

    # What it shows

    def _power_name(self, index: int) -> str:
        return "POWER" if len(self.channels) == 1 else f"POWER{index + 1}"

    def _power_state(self, index: int) -> list[Message]:
        name, word = self._power_name(index), "ON" if self.is_on(index) else "OFF"
        topic = f"{self._place('stat')}/{name}"
        return [self._result({name: word}, name), text(topic, word, retain=self.retains_state)]

    def _result(self, answer: dict[str, Any], command: str = "RESULT") -> Message:
        name = command if self.settings.answers_by_command else "RESULT"
        return document(f"{self._place('stat')}/{name}", answer)

    def _state(self, now_s: float) -> dict[str, Any]:
        state: dict[str, Any] = {"Time": _time(now_s), "UptimeSec": int(now_s)}
        for index in range(len(self.channels)):
            state[self._power_name(index)] = "ON" if self.is_on(index) else "OFF"
        return state | {"Wifi": {"RSSI": 72, "Signal": -64}}

    def _sensor(self, now_s: float) -> Message:
        sensors = self._sensors(now_s)
        sensors["ENERGY"]["Period"] = 0
        return document(f"{self._place('tele')}/SENSOR", sensors)

    def _sensors(self, now_s: float) -> dict[str, Any]:
        any_on = any(self.is_on(index) for index in range(len(self.channels)))
        is_live = any_on or self.shows_power_off
        readings = [self.measure(index, now_s) for index in range(len(self.channels))]
        total_kwh = [self.energy_wh(i, reading) / 1_000 for i, reading in enumerate(readings)]
        if not is_live:
            readings = [Reading(0.0)] * len(readings)
        energy = {
            "TotalStartTime": "2023-05-01T00:00:00",
            "Total": round(sum(total_kwh), 3),
            "Yesterday": 0.0,
            "Today": round(sum(total_kwh), 3),
            "Power": self._shown([round(reading.power_w) for reading in readings]),
            "ApparentPower": self._shown([round(r.voltage_v * r.current_a) for r in readings]),
            "Factor": self._shown([round(_factor(reading), 2) for reading in readings]),
            "Voltage": round(readings[0].voltage_v),
            "Current": self._shown([round(reading.current_a, 3) for reading in readings]),
        }
        if self.settings.lists and len(self.channels) > 1:
            energy["Voltage"] = [round(reading.voltage_v) for reading in readings]
            energy["Total"] = [round(kwh, 3) for kwh in total_kwh]
        sensors: dict[str, Any] = {"Time": _time(now_s), "ENERGY": energy}
        if self.temperature_c() > HOT_C:
            sensors["ANALOG"] = {"Temperature": round(self.temperature_c(), 1)}
            sensors["TempUnit"] = "C"
        return sensors

    def _shown(self, values: list[float]) -> float | list[float]:
        return values[0] if len(values) == 1 else values


HOT_C = 30.0


def _factor(reading: Reading) -> float:
    return reading.power_factor if reading.power_w > 0 else 0.0


def _pulse_s(value: int) -> float:
    """Give the seconds of a PulseTime: up to 111 tenths, beyond that seconds from 100."""
    return value / 10 if value <= PULSE_TENTHS else float(value - PULSE_SECONDS_FROM)


def _pulse_of(seconds: float) -> int:
    tenths = round(seconds * 10)
    return tenths if tenths <= PULSE_TENTHS else round(seconds) + PULSE_SECONDS_FROM


def _time(now_s: float) -> str:
    """Write the device's local time; its clock runs from an evening in May."""
    seconds = int(now_s)
    hours, rest = divmod(seconds, 3_600)
    return f"2023-05-{19 + hours // 24 % 12:02d}T{hours % 24:02d}:{rest // 60:02d}:{rest % 60:02d}"
