"""The native format: what a plug does whose maker wrote firmware for this gateway.

Topics below ``pilegate/<topic>/``: ``telemetry`` and ``state``
``{"outlets":[{"channel":1,"relay_on":true,"voltage_v":…}],"seq":7}``, ``command``
``{"id":"…","channel":1,"relay_on":true,"for_s":3600}`` answered on ``ack``
``{"id":"…","result":"done","detail":""}``, ``ask`` answered with telemetry, and ``online``
``true`` or ``false``, retained, the last will. A command without ``relay_on`` only sets the
timer of a relay that is on. An ON whose id was carried out already is acknowledged again and
not carried out again, so that a message that comes twice or late switches nothing on; an OFF is
always carried out. The relay is off whenever the supply comes back.
"""

from __future__ import annotations

from collections import OrderedDict
from typing import Any, ClassVar

from simulators.mqtt.message import Message, document, parsed, text
from simulators.mqtt.plug import Fittings, Plug

BASE_TOPIC = "pilegate"
LONGEST_TIMER_S = 86_400
REMEMBERED_IDS = 32
MAX_ID_CHARS = 64


class NativePlug(Plug):
    """One plug of the native format."""

    KEEPALIVE_S: ClassVar[int] = 15
    RECONNECT_S: ClassVar[float] = 1.0
    BOOT_S: ClassVar[float] = 1.0
    REPORT_S: ClassVar[float | None] = 1.0
    POWER_ON: ClassVar[str] = "off"
    METER_S: ClassVar[float] = 0.05

    def __init__(self, fittings: Fittings) -> None:
        super().__init__(fittings)
        self._sequence = 0
        self._next_report_s = fittings.now_s
        self._done: OrderedDict[str, tuple[str, str]] = OrderedDict()

    @property
    def _root(self) -> str:
        return f"{self.profile.base_topic or BASE_TOPIC}/{self.topic}"

    @property
    def will(self) -> Message | None:
        return text(f"{self._root}/online", "false", retain=True, qos=1)

    @property
    def filters(self) -> list[tuple[str, int]]:
        return [(f"{self._root}/command", 1), (f"{self._root}/ask", 1)]

    def birth(self, now_s: float) -> list[Message]:
        self._next_report_s = now_s
        online = text(f"{self._root}/online", "true", retain=True, qos=1)
        return [online, self._telemetry("state", range(len(self.channels)), now_s)]

    def booted(self, now_s: float) -> None:
        del now_s
        self._sequence = 0
        self._done.clear()

    def obey(self, message: Message, now_s: float, received_ns: int) -> list[Message]:
        if message.topic == f"{self._root}/ask":
            return [self._everything(now_s)]
        command = parsed(message.payload)
        if message.retain or not isinstance(command, dict):
            return []
        command_id = command.get("id")
        if not isinstance(command_id, str) or not 0 < len(command_id) <= MAX_ID_CHARS:
            return []
        done = self._done
        if command_id in done and command.get("relay_on") is not False:
            return [self._ack(command_id, *done[command_id])]
        result, detail, index = self._carry_out(command, now_s, received_ns)
        done[command_id] = (result, detail)
        if len(done) > REMEMBERED_IDS:
            done.popitem(last=False)
        messages = [self._ack(command_id, result, detail)]
        if index is not None:
            messages.append(self._telemetry("state", [index], now_s))
        return messages

    def switched(self, index: int, now_s: float, cause: str) -> list[Message]:
        del cause
        return [self._telemetry("state", [index], now_s)]

    def periodic(self, now_s: float) -> list[Message]:
        if self.report_s is None or now_s < self._next_report_s:
            return []
        self._next_report_s = max(self._next_report_s + self.report_s, now_s)
        return [self._everything(now_s)]

    def old_messages(self) -> list[Message]:
        outlets = [
            {"channel": number, "voltage_v": 229.0, "current_a": 14.2, "power_w": 3251.0}
            | {"energy_wh": 4711.0, "relay_on": True, "temperature_c": 41.0}
            for number in range(1, len(self.channels) + 1)
        ]
        payload = {"outlets": outlets, "seq": 918_273}
        return [
            document(f"{self._root}/telemetry", payload, retain=True),
            document(f"{self._root}/state", payload, retain=True),
        ]

    def _carry_out(
        self, command: dict[str, Any], now_s: float, received_ns: int
    ) -> tuple[str, str, int | None]:
        """Give result, detail, and the channel (from 0) whose relay was commanded."""
        channel, relay_on, for_s = (command.get(key) for key in ("channel", "relay_on", "for_s"))
        if not isinstance(channel, int) or isinstance(channel, bool):
            return "refused", "channel is missing", None
        if not self.has_channel(channel):
            return "refused", f"there is no channel {channel}", None
        if for_s is not None and not _is_seconds(for_s):
            return "refused", f"for_s is above 0 and at most {LONGEST_TIMER_S}", None
        index = channel - 1
        if relay_on is None and for_s is not None:
            if not self.is_on(index):
                return "refused", "the relay is off", None
            self.set_timer(index, now_s + for_s)
            return "done", "", None
        if not isinstance(relay_on, bool):
            return "refused", "relay_on is missing", None
        self.switch(index, relay_on, now_s, by="frame", at_ns=received_ns)
        if relay_on and for_s is not None:
            self.set_timer(index, now_s + for_s)
        return "done", "", index

    def _ack(self, command_id: str, result: str, detail: str) -> Message:
        payload = {"id": command_id, "result": result, "detail": detail}
        return document(f"{self._root}/ack", payload, qos=1)

    def _everything(self, now_s: float) -> Message:
        return self._telemetry("telemetry", range(len(self.channels)), now_s)

    def _telemetry(self, kind: str, indexes: Any, now_s: float) -> Message:
        self._sequence += 1
        outlets = [self._outlet(index, now_s) for index in indexes]
        payload = {"outlets": outlets, "seq": self._sequence}
        return document(f"{self._root}/{kind}", payload, qos=1 if kind == "state" else 0)

    def _outlet(self, index: int, now_s: float) -> dict[str, Any]:
        reading = self.measure(index, now_s)
        return {
            "channel": index + 1,
            "voltage_v": round(reading.voltage_v, 1),
            "current_a": round(reading.current_a, 3),
            "power_w": round(reading.power_w, 1),
            "energy_wh": round(self.energy_wh(index, reading), 2),
            "relay_on": self.is_on(index),
            "temperature_c": round(self.channels[index].meter.temperature_c, 1),
        }


def _is_seconds(value: Any) -> bool:
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    return is_number and 0 < value <= LONGEST_TIMER_S
