"""Bounded reading of payloads and of values in them. Pure; raises WrongPayload only."""

from __future__ import annotations

import json
import math
import re
from typing import Any, NoReturn

from drivers.mqtt.words import Heard, Reading, WrongPayload
from gateway.config import MqttProfile, Quantity

MAX_PAYLOAD = 16_384
"""Bytes. The longest message of a known family is the whole status of a Shelly Pro, about 5 KiB."""
MAX_TEXT = 64
BLANKS = " \t\r\n"
"""Taken off a plain text; Python would take control characters off, too."""
MAX_BRACKETS = 400
"""Objects and lists in one message: bounds depth and work."""

BOUNDS: dict[Quantity, tuple[float, float]] = {
    Quantity.VOLTAGE_V: (0.0, 1_000.0),
    Quantity.CURRENT_A: (-1_000.0, 1_000.0),
    Quantity.POWER_W: (-250_000.0, 250_000.0),
    Quantity.POWER_FACTOR: (-1.0, 1.0),
    Quantity.FREQUENCY_HZ: (0.0, 1_000.0),
    Quantity.ENERGY_WH: (0.0, 1e10),
    Quantity.TEMPERATURE_C: (-100.0, 300.0),
}
"""Beyond these a value is absurd for any outlet, and not taken. A meter that is wired the other
way round has negative currents and powers."""

_NUMBER = re.compile(r"[+-]?[0-9]{1,15}(?:\.[0-9]{0,15})?(?:[eE][+-]?[0-9]{1,2})?")
_MWH_PER_WH = 1_000

Values = dict[str, Any]
"""Fields of a Reading by name."""


class Faults(list[str]):
    """Collects values that could not be taken."""

    def add(self, quantity: Quantity, what: str, raw: object) -> None:
        """Note one in a line that fits into a log."""
        self.append(f"{quantity.value}: {what}: {shown(raw)}")


def shown(raw: object) -> str:
    """Write what came so that it fits into a line."""
    text = repr(raw)
    return text if len(text) <= MAX_TEXT else f"{text[:MAX_TEXT]}…"


def _bounded(payload: bytes) -> None:
    if len(payload) > MAX_PAYLOAD:
        raise WrongPayload("size", f"{len(payload)} bytes, more than {MAX_PAYLOAD}")


def _no_constant(name: str) -> NoReturn:
    raise WrongPayload("json", f"{name} is no JSON")


_DECODER = json.JSONDecoder(parse_constant=_no_constant)


def parse(payload: bytes) -> Any:
    """Parse JSON, bounded in size and depth."""
    _bounded(payload)
    if payload.count(b"{") + payload.count(b"[") > MAX_BRACKETS:
        raise WrongPayload("depth", f"more than {MAX_BRACKETS} objects and lists")
    try:
        return _DECODER.decode(payload.decode())
    except UnicodeDecodeError as err:
        raise WrongPayload("text", f"no UTF-8: {shown(payload)}") from err
    except (ValueError, RecursionError) as err:
        raise WrongPayload("json", f"no JSON: {shown(payload)}") from err


def parse_object(payload: bytes) -> dict[str, Any]:
    """Parse a JSON object."""
    return as_object(parse(payload))


def as_object(found: Any) -> dict[str, Any]:
    """Take what must be an object."""
    if not isinstance(found, dict):
        raise WrongPayload("shape", f"expected an object, not {shown(found)}")
    return found


def parse_text(payload: bytes) -> str:
    """Take a short plain text."""
    _bounded(payload)
    if len(payload) > MAX_TEXT:
        raise WrongPayload("size", f"{len(payload)} bytes where a word is expected")
    try:
        return payload.decode("ascii").strip(BLANKS)
    except UnicodeDecodeError as err:
        raise WrongPayload("text", f"no plain text: {shown(payload)}") from err


def one_of(text: str, yes: str, no: str) -> bool:
    """Read one of two words, in whatever letters."""
    word = text.lower()
    if word == yes:
        return True
    if word == no:
        return False
    raise WrongPayload("shape", f"expected {yes} or {no}, not {shown(text)}")


def presence(payload: bytes, yes: str, no: str) -> Heard:
    """Read whether a device is there."""
    return Heard(online=one_of(parse_text(payload), yes, no))


def number_in(text: str) -> float | None:
    """Read a number written as text; None for the ``nan`` and ``NA`` of sensors that don't know."""
    if text.lower() in ("nan", "na", "unknown", "unavailable", ""):
        return None
    if _NUMBER.fullmatch(text) is None:
        raise WrongPayload("shape", f"expected a number, not {shown(text)}")
    return float(text)


def at(found: Any, path: tuple[str, ...]) -> Any:
    """Follow keys into objects; None where one is missing."""
    for key in path:
        if not isinstance(found, dict):
            return None
        found = found.get(key)
    return found


def take_number(values: Values, quantity: Quantity, raw: Any, scale: float, faults: Faults) -> None:
    """Put a number into ``values``, in the unit of its quantity. Null says nothing."""
    if raw is None:
        return
    if isinstance(raw, bool) or not isinstance(raw, int | float):
        faults.add(quantity, "no number", raw)
        return
    try:
        value = raw * scale
    except OverflowError:
        value = math.inf
    least, most = BOUNDS[quantity]
    if not least <= value <= most:  # NaN is not within either
        faults.add(quantity, "absurd", raw)
    elif quantity is Quantity.ENERGY_WH:
        values["energy_mwh"] = round(value * _MWH_PER_WH)
    else:
        values[quantity.value] = value


def take_flag(values: Values, quantity: Quantity, raw: Any, faults: Faults) -> None:
    """Put true or false into ``values``. Null says nothing."""
    if isinstance(raw, bool):
        values[quantity.value] = raw
    elif raw is not None:
        faults.add(quantity, "neither true nor false", raw)


def take_word(values: Values, quantity: Quantity, raw: Any, faults: Faults) -> None:
    """Put ON or OFF into ``values``. Null says nothing."""
    if isinstance(raw, str) and raw.upper() in ("ON", "OFF"):
        values[quantity.value] = raw.upper() == "ON"
    elif raw is not None:
        faults.add(quantity, "neither ON nor OFF", raw)


def take_contact(values: Values, raw: Any, faults: Faults) -> None:
    """Put the state of an input into ``values``: true or false, ON or OFF. Null says nothing."""
    if isinstance(raw, bool):
        take_flag(values, Quantity.INPUT_ON, raw, faults)
    else:
        take_word(values, Quantity.INPUT_ON, raw, faults)


def readings_of(by_channel: dict[int, Values]) -> tuple[Reading, ...]:
    """Make readings of what was taken; outlets of which nothing was said get none."""
    return tuple(Reading(channel, **values) for channel, values in by_channel.items() if values)


class Named(list[tuple[Quantity, tuple[str, ...], float]]):
    """The values of one outlet by name: quantity, keys and scale. Flags stand apart."""

    def __init__(self, profile: MqttProfile, channel: int) -> None:
        super().__init__(
            (quantity, tuple(value.name_of(channel).split(".")), value.scale)
            for quantity, value in profile.values.items()
            if not quantity.is_flag
        )


def compact(message: dict[str, Any]) -> str:
    """Write JSON without spaces."""
    return json.dumps(message, separators=(",", ":"))
