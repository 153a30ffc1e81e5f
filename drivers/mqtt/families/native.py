"""The native format: ``drivers/mqtt/README.md``."""

from __future__ import annotations

from collections.abc import Mapping

from drivers.mqtt.payload import (
    Faults,
    Named,
    Values,
    as_object,
    at,
    compact,
    parse_object,
    presence,
    readings_of,
    shown,
    take_flag,
    take_number,
)
from drivers.mqtt.words import Ack, Decoder, Heard, Out, WrongPayload
from gateway.config import MqttProfile

BASE = "pilegate"


class Native:
    """One module with the native format."""

    acknowledges = True
    keeps_safely = True
    repeats = False
    holds_relay = False

    def __init__(self, topic: str, profile: MqttProfile, me: str) -> None:
        del me
        self._root = f"{profile.base_topic or BASE}/{topic}"
        self._channels = profile.channels
        self._numbers = {
            channel: Named(profile, channel) for channel in range(1, profile.channels + 1)
        }
        self._flags = tuple(
            (quantity, tuple(value.name.split(".")))
            for quantity, value in profile.values.items()
            if quantity.is_flag
        )
        self.topics: Mapping[str, Decoder] = {
            f"{self._root}/telemetry": self._telemetry,
            f"{self._root}/state": self._telemetry,
            f"{self._root}/ack": self._ack,
            f"{self._root}/online": lambda payload: presence(payload, "true", "false"),
        }

    def on(self, channel: int, for_s: int | None, ref: int) -> tuple[Out, ...]:
        message = {"id": str(ref), "channel": channel, "relay_on": True}
        return self._command(message if for_s is None else {**message, "for_s": for_s})

    def off(self, channel: int, ref: int) -> tuple[Out, ...]:
        return self._command({"id": str(ref), "channel": channel, "relay_on": False})

    def keep(self, channel: int, for_s: int, ref: int) -> tuple[Out, ...]:
        return self._command({"id": str(ref), "channel": channel, "for_s": for_s})

    def ask(self, ref: int) -> tuple[Out, ...]:
        del ref
        return (Out(f"{self._root}/ask", "{}"),)

    def prepare(self, ref: int) -> tuple[Out, ...]:
        return self.ask(ref)

    def _command(self, message: dict[str, object]) -> tuple[Out, ...]:
        return (Out(f"{self._root}/command", compact(message)),)

    def _telemetry(self, payload: bytes) -> Heard:
        outlets = parse_object(payload).get("outlets")
        if not isinstance(outlets, list):
            raise WrongPayload("shape", f"outlets: expected a list, not {shown(outlets)}")
        faults = Faults()
        by_channel: dict[int, Values] = {}
        for entry in outlets:
            outlet = as_object(entry)
            channel = outlet.get("channel")
            if isinstance(channel, bool) or not isinstance(channel, int):
                raise WrongPayload("shape", f"channel: expected a whole number: {shown(channel)}")
            if channel in by_channel or not 1 <= channel <= self._channels:
                faults.append(f"channel {shown(channel)} does not belong here")
                continue
            values = by_channel[channel] = {}
            for quantity, path, scale in self._numbers[channel]:
                take_number(values, quantity, at(outlet, path), scale, faults)
            for quantity, path in self._flags:
                take_flag(values, quantity, at(outlet, path), faults)
        return Heard(readings_of(by_channel), faults=tuple(faults))

    def _ack(self, payload: bytes) -> Heard:
        message = parse_object(payload)
        ref, result, detail = message.get("id"), message.get("result"), message.get("detail", "")
        if not isinstance(ref, str) or not ref.isascii() or not ref.isdigit() or len(ref) > 15:
            raise WrongPayload("shape", f"id: none of ours: {shown(ref)}")
        if result not in ("done", "refused"):
            raise WrongPayload("shape", f"result: expected done or refused, not {shown(result)}")
        return Heard(ack=Ack(int(ref), result == "done", shown(detail) if detail else ""))
