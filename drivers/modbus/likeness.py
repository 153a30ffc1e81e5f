"""How well what a device answers fits a profile: decoding everything, and what is plausible. Pure.

Bounds of plausibility: 80 to 280 V and 45 to 65 Hz are what the usual meters measure (PZEM-016
specification); 130 A and 30 kW are above any outlet.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from drivers.modbus.frames import READS_BITS, Request
from drivers.modbus.reads import Read, every_value, plan_reads
from drivers.modbus.values import FIELDS, decoder, words_of_bits, words_of_registers
from gateway.config import Profile, Quantity

Decoded = float | int | bool | None

VOLTAGE_V = (80.0, 280.0)
FREQUENCY_HZ = (45.0, 65.0)
MOST_A = 130.0
MOST_W = 30_000.0
TEMPERATURE_C = (-40.0, 125.0)
MOST_ENERGY_MWH = 10**12
"""A gigawatt-hour."""


@dataclass(frozen=True, slots=True)
class Reading:
    """One value of one channel, raw and decoded."""

    channel: int
    quantity: Quantity
    address: int
    raw: tuple[int, ...]
    """Its registers, or its bit, in the order of their addresses."""
    is_bit: bool
    """Whether it is a coil or a discrete input."""
    value: Decoded
    """In the unit of ``field``; None: the device says that it does not know."""

    @property
    def field(self) -> str:
        """Name with the unit, as samples have it: energy is in mWh."""
        return FIELDS[self.quantity]


def every_read(profile: Profile) -> tuple[Read, ...]:
    """Plan the reads that bring everything a profile lists, for all its channels."""
    return plan_reads(profile, every_value(profile))


def readings(read: Read, request: Request, data: bytes) -> list[Reading]:
    """Decode the data of an answer to ``read``."""
    is_bits = request.function in READS_BITS
    words = words_of_bits(data) if is_bits else words_of_registers(data)
    found = []
    for item in read.wanted:
        take = decoder(item.quantity, item.value, item.channel, read.address)
        start = item.start - read.address
        raw = tuple(words[start : start + item.value.width])
        found.append(Reading(item.channel, item.quantity, item.start, raw, is_bits, take(words)))
    return sorted(found, key=lambda reading: (reading.channel, reading.address))


@dataclass(frozen=True, slots=True)
class Likeness:
    """A profile that a device may have. More ``points``: more of it was seen to be right."""

    profile: Profile
    points: int
    readings: tuple[Reading, ...]


def likeness(profile: Profile, found: Iterable[Reading]) -> Likeness | None:
    """Judge everything that was decoded by a profile. None: it is another device."""
    everything = tuple(found)
    points = 0
    seen: set[tuple[Quantity, int]] = set()
    for reading in everything:
        judged = _flag(profile, reading) if reading.quantity.is_flag else _number(reading)
        if judged is None:
            return None
        if (reading.quantity, reading.address) not in seen:  # what is shared speaks once
            seen.add((reading.quantity, reading.address))
            points += judged
    voltages = [each.value for each in everything if each.quantity is Quantity.VOLTAGE_V]
    if voltages and not any(voltages):
        return None
    by_channel: dict[int, dict[Quantity, Decoded]] = {}
    for reading in everything:
        by_channel.setdefault(reading.channel, {})[reading.quantity] = reading.value
    if not all(_is_consistent(values) for values in by_channel.values()):
        return None
    return Likeness(profile, points, everything)


def _flag(profile: Profile, reading: Reading) -> int | None:
    """Judge a flag, which speaks for nothing: a register of flags holds no more than those."""
    value = profile.values[reading.quantity]
    if reading.is_bit or len(reading.raw) > 1:
        return 0
    highest = value.bit_of(profile.channels)
    if highest is None:
        return 0 if reading.raw[0] in (0, 1, 0xFFFF) else None
    return 0 if reading.raw[0] < 1 << highest + 1 else None


def _number(reading: Reading) -> int | None:
    """Give what a number speaks for its profile: 0 nothing, None against it."""
    value, quantity = reading.value, reading.quantity
    if value is None:
        return 0
    if quantity is Quantity.VOLTAGE_V:
        # a phase that is not wired shows nothing
        return 3 if _within(value, VOLTAGE_V) else -1 if value == 0 else None
    if quantity is Quantity.FREQUENCY_HZ:
        return 3 if _within(value, FREQUENCY_HZ) else None
    if quantity is Quantity.ENERGY_WH:
        return 0 if 0 <= value <= MOST_ENERGY_MWH else None
    return int(value != 0) if _within(value, _BOUNDS[quantity]) else None


_BOUNDS = {
    Quantity.POWER_FACTOR: (-1.0, 1.0),
    Quantity.CURRENT_A: (-MOST_A, MOST_A),
    Quantity.POWER_W: (-MOST_W, MOST_W),
    Quantity.TEMPERATURE_C: TEMPERATURE_C,
}


def _is_consistent(values: Mapping[Quantity, Decoded]) -> bool:
    """Say whether the power is at most what voltage and current give."""
    voltage_v = values.get(Quantity.VOLTAGE_V)
    current_a = values.get(Quantity.CURRENT_A)
    power_w = values.get(Quantity.POWER_W)
    if voltage_v is None or current_a is None or power_w is None:
        return True
    # a load may change between the registers
    return abs(power_w) <= 1.2 * abs(voltage_v * current_a) + 10


def _within(value: float, bounds: tuple[float, float]) -> bool:
    return bounds[0] <= value <= bounds[1]
