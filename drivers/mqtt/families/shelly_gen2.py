"""Shelly, second generation and later (Gen2 API reference, MQTT, component Switch).

JSON-RPC: a request on ``<prefix>/rpc`` names in ``src`` where its answer goes: ``<src>/rpc``.
``<prefix>/events/rpc`` carries NotifyStatus, which holds only what changed;
``<prefix>/status/switch:N`` is a component's whole status, where the device is set to send it.
Its password protects HTTP and websockets, and not MQTT (General, Authentication).
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from enum import IntEnum
from typing import Any

from drivers.mqtt.payload import (
    MAX_TEXT,
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
from gateway.config import MqttProfile, PowerOn, Quantity

_SWITCH = re.compile(r"switch:([0-9]{1,2})")
_LARGEST_ID = 1 << 53
INITIAL_STATE_OFF = "off"
SWITCHES_ON_BY_ITSELF = ("auto_on", "autorecover_voltage_errors")
"""Settings of a switch that close it again: some time after it was switched off, and when the
voltage is right again."""


class Kind(IntEnum):
    """What a request was, kept in the lowest bits of its id: an answer does not say."""

    STATUS = 0
    SET = 1
    CONFIG = 2
    CONFIGURED = 3


class ShellyGen2:
    """One Shelly of the second generation or later."""

    acknowledges = True
    keeps_safely = False
    repeats = False
    holds_relay = False

    def __init__(self, topic: str, profile: MqttProfile, me: str) -> None:
        prefix = topic if not profile.base_topic else f"{profile.base_topic}/{topic}"
        self._rpc = f"{prefix}/rpc"
        self._me = me
        self._channels = profile.channels
        self._sets_power_on = profile.power_on is PowerOn.SET
        self._numbers = {
            channel: Named(profile, channel) for channel in range(1, profile.channels + 1)
        }
        relay = profile.relay
        self._relay_path = None if relay is None else tuple(relay.name.split("."))
        topics: dict[str, Decoder] = {
            f"{prefix}/online": lambda payload: presence(payload, "true", "false"),
            f"{prefix}/events/rpc": self._event,
            f"{me}/rpc": self._answer,
        }
        for channel in range(1, profile.channels + 1):
            topics[f"{prefix}/status/switch:{channel - 1}"] = self._whole(channel)
        self.topics: Mapping[str, Decoder] = topics

    def on(self, channel: int, for_s: int | None, ref: int) -> tuple[Out, ...]:
        params: dict[str, Any] = {"id": channel - 1, "on": True}
        if for_s is not None:
            params["toggle_after"] = for_s
        return (self._request("Switch.Set", params, Kind.SET, ref),)

    def off(self, channel: int, ref: int) -> tuple[Out, ...]:
        return (self._request("Switch.Set", {"id": channel - 1, "on": False}, Kind.SET, ref),)

    def keep(self, channel: int, for_s: int, ref: int) -> tuple[Out, ...]:
        """Switch on anew: there is no other way to set its timer."""
        return self.on(channel, for_s, ref)

    def ask(self, ref: int) -> tuple[Out, ...]:
        if self._channels == 1:
            return (self._request("Switch.GetStatus", {"id": 0}, Kind.STATUS, ref),)
        return (self._request("Shelly.GetStatus", None, Kind.STATUS, ref),)

    def prepare(self, ref: int) -> tuple[Out, ...]:
        configs = (
            self._request("Switch.GetConfig", {"id": index}, Kind.CONFIG, ref)
            for index in range(self._channels)
        )
        return (*self.ask(ref), *configs) if self._sets_power_on else self.ask(ref)

    def _request(self, method: str, params: dict[str, Any] | None, kind: Kind, ref: int) -> Out:
        message: dict[str, Any] = {"id": ref * len(Kind) + kind, "src": self._me, "method": method}
        if params is not None:
            message["params"] = params
        return Out(self._rpc, compact(message))

    def _event(self, payload: bytes) -> Heard:
        message = parse_object(payload)
        if message.get("method") not in ("NotifyStatus", "NotifyFullStatus"):
            return Heard()
        whole = message["method"] == "NotifyFullStatus"
        heard = self._components(as_object(message.get("params", {})), whole=whole)
        return heard._replace(source=_source(message))

    def _answer(self, payload: bytes) -> Heard:
        message = parse_object(payload)
        return self._answered(message)._replace(source=_source(message))

    def _answered(self, message: dict[str, Any]) -> Heard:
        number = message.get("id")
        if isinstance(number, bool) or not isinstance(number, int):
            raise WrongPayload("shape", f"id: none of ours: {shown(number)}")
        if not 0 <= number < _LARGEST_ID:
            raise WrongPayload("shape", f"id: none of ours: {shown(number)}")
        ref, kind = divmod(number, len(Kind))
        error = message.get("error")
        if error is not None:
            detail = shown(at(error, ("message",)) or error)
            refused = Ack(ref, done=False, detail=detail) if kind == Kind.SET else None
            return Heard(ack=refused, faults=() if refused else (f"declined: {detail}",))
        result = as_object(message.get("result"))
        if kind == Kind.SET:
            return Heard(ack=Ack(ref, done=True))
        if kind == Kind.CONFIG:
            replies = self._stay_off(result, ref)
            return Heard(
                stays_off=not replies if "initial_state" in result else None, replies=replies
            )
        if kind == Kind.CONFIGURED:
            return Heard(stays_off=True)
        if "output" in result or isinstance(result.get("id"), int):
            found = self._components({f"switch:{result.get('id', 0)}": result}, whole=True)
        else:
            found = self._components(result, whole=True)
        return found._replace(answers=ref)

    def _stay_off(self, config: dict[str, Any], ref: int) -> tuple[Out, ...]:
        """Let it come up off after a blackout, and never switch on by itself."""
        index = config.get("id")
        if not self._sets_power_on or isinstance(index, bool) or not isinstance(index, int):
            return ()
        wrong: dict[str, Any] = {}
        if config.get("initial_state") not in (None, INITIAL_STATE_OFF):
            wrong["initial_state"] = INITIAL_STATE_OFF
        wrong |= {key: False for key in SWITCHES_ON_BY_ITSELF if config.get(key) is True}
        if not wrong:
            return ()
        params = {"id": index, "config": wrong}
        return (self._request("Switch.SetConfig", params, Kind.CONFIGURED, ref),)

    def _whole(self, channel: int) -> Decoder:
        def decode(payload: bytes) -> Heard:
            components = {f"switch:{channel - 1}": parse_object(payload)}
            return self._components(components, whole=True)

        return decode

    def _components(self, components: dict[str, Any], *, whole: bool) -> Heard:
        faults = Faults()
        by_channel: dict[int, Values] = {}
        for name, component in components.items():
            match = _SWITCH.fullmatch(name)
            if match is None or component is None:
                continue
            channel = int(match[1]) + 1
            if channel > self._channels:
                continue
            by_channel[channel] = self._switch(channel, as_object(component), faults, whole=whole)
        return Heard(readings_of(by_channel), faults=tuple(faults))

    def _switch(
        self, channel: int, status: dict[str, Any], faults: Faults, *, whole: bool
    ) -> Values:
        values: Values = {}
        for quantity, path, scale in self._numbers[channel]:
            take_number(values, quantity, at(status, path), scale, faults)
        if self._relay_path is not None:
            take_flag(values, Quantity.RELAY_ON, at(status, self._relay_path), faults)
        errors = status.get("errors")
        if isinstance(errors, list) and errors:
            values["alarm"] = True
        elif errors == [] or (whole and errors is None and "relay_on" in values):
            # In a whole status errors are only there when there are any.
            values["alarm"] = False
        return values


def _source(message: dict[str, Any]) -> str | None:
    """Who says so: the device's own id, whatever its topics are."""
    source = message.get("src")
    return source[:MAX_TEXT] if isinstance(source, str) else None
