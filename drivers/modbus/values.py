"""Registers and bits to quantities, quantities to registers. Pure.

A ``Decoder`` is compiled once per value and channel, so that the way from an answer to a
sample does no look-ups. It gives ``None`` for whatever is not a number: a pattern by which the
device says that it does not know, NaN, an infinity. ``None`` is never turned into a value.
"""

from __future__ import annotations

import math
import struct
from collections.abc import Callable, Sequence

from gateway.config import Quantity, Value, ValueType, WordOrder
from gateway.config.profile import ModuleLimit
from gateway.guard.limits import Action, Limits

Words = Sequence[int]
"""The registers of one answer, or its bits as 0 and 1."""
Decoder = Callable[[Words], float | int | bool | None]
"""Takes the words of a whole answer, gives one quantity."""

_FLOAT32 = struct.Struct(">f")
_WORDS32 = struct.Struct(">I")
_UNITS_PER_ONE = 1e-9
"""Scales like 0.1 are divisions by 10 when their inverse is this close to an integer: 2301 / 10
is 230.1, whereas 2301 * 0.1 is 230.10000000000002."""
_TAME = 1e100
MOST_MWH = 2.0**63
"""A register that says more than the journal's integers hold is broken: 9 million TWh."""

FIELDS = {quantity: str(quantity) for quantity in Quantity} | {Quantity.ENERGY_WH: "energy_mwh"}
"""The field of ``Sample`` for each quantity; energy is kept in mWh there."""


def words_of_registers(data: bytes) -> tuple[int, ...]:
    """Split the data of a register read into words."""
    return struct.unpack(f">{len(data) // 2}H", data)


def words_of_bits(data: bytes) -> tuple[int, ...]:
    """Split the data of a bit read into bits, the lowest of the first byte first."""
    return tuple(byte >> bit & 1 for byte in data for bit in range(8))


def decoder(quantity: Quantity, value: Value, channel: int, first_address: int) -> Decoder:
    """Compile how ``quantity`` of ``channel`` is found in a read that begins at ``first_address``.

    The decoder gives the unit in the quantity's name, mWh for energy, a bool for a flag.
    """
    index = value.address_of(channel) - first_address
    if value.space.is_bits:
        return _bit_of_word(index, 0, frozenset())
    raw = _raw(value, index)
    invalid = frozenset(value.invalid)
    bit = value.bit_of(channel)
    if bit is not None and value.type.registers == 1:
        return _bit_of_word(index, bit, invalid)
    if bit is not None:
        return lambda words: None if (whole := raw(words)) in invalid else bool(whole >> bit & 1)
    if quantity.is_flag:
        return lambda words: None if (whole := raw(words)) in invalid else whole != 0
    number = _number(value.type)
    scale = _scale(value.scale, value.offset)
    if quantity is Quantity.ENERGY_WH:
        return _energy(raw, invalid, number, scale)
    if value.type is ValueType.U16 and not invalid and _is_tame(value):
        return _plain(index, value)
    return _quantity(raw, invalid, number, scale)


def _bit_of_word(index: int, bit: int, invalid: frozenset[int]) -> Decoder:
    mask = 1 << bit
    if not invalid:
        return lambda words: words[index] & mask != 0
    return lambda words: None if words[index] in invalid else words[index] & mask != 0


def _raw(value: Value, index: int) -> Callable[[Words], int]:
    """Give the unsigned pattern of a value."""
    if value.type.registers == 1:
        return lambda words: words[index]
    order = list(range(index, index + value.type.registers))
    if value.word_order is WordOrder.LOW_FIRST:
        order.reverse()
    if len(order) == 2:
        high, low = order
        return lambda words: words[high] << 16 | words[low]
    first, second, third, last = order
    return lambda words: words[first] << 48 | words[second] << 32 | words[third] << 16 | words[last]


def _number(kind: ValueType) -> Callable[[int], float]:
    """Give the number that an unsigned pattern stands for; it may be NaN or infinite."""
    if kind is ValueType.S16:
        return lambda raw: raw - 0x1_0000 if raw & 0x8000 else raw
    if kind is ValueType.S32:
        return lambda raw: raw - 0x1_0000_0000 if raw & 0x8000_0000 else raw
    if kind is ValueType.S64:
        return lambda raw: raw - (1 << 64) if raw >> 63 else raw
    if kind is ValueType.FLOAT32:
        return lambda raw: float(_FLOAT32.unpack(_WORDS32.pack(raw))[0])
    return lambda raw: raw


def _scale(scale: float, offset: float) -> Callable[[float], float]:
    """Give scale and offset; the result may be infinite."""
    divisor = _divisor(scale)
    if divisor is not None:
        return lambda number: number / divisor + offset
    return lambda number: number * scale + offset


def _divisor(scale: float) -> float | None:
    """Give the whole number whose inverse a scale is, if there is one."""
    inverse = 1 / scale if scale else math.inf
    if 1 < inverse < 1e9 and abs(inverse - round(inverse)) < _UNITS_PER_ONE * inverse:
        return float(round(inverse))
    return None


def _is_tame(value: Value) -> bool:
    """Say whether no integer of 16 bits can become infinite."""
    return abs(value.scale) < _TAME and abs(value.offset) < _TAME


def _plain(index: int, value: Value) -> Decoder:
    """Give the way most values go, with as few calls as can be."""
    divisor, scale, offset = _divisor(value.scale), value.scale, value.offset
    if divisor is not None and not offset:
        return lambda words: words[index] / divisor
    if divisor is not None:
        return lambda words: words[index] / divisor + offset
    return lambda words: words[index] * scale + offset


def _quantity(
    raw: Callable[[Words], int],
    invalid: frozenset[int],
    number: Callable[[int], float],
    scale: Callable[[float], float],
) -> Decoder:
    def decode(words: Words) -> float | None:
        whole = raw(words)
        if whole in invalid:
            return None
        quantity = scale(number(whole))
        return quantity if math.isfinite(quantity) else None

    return decode


def _energy(
    raw: Callable[[Words], int],
    invalid: frozenset[int],
    number: Callable[[int], float],
    scale: Callable[[float], float],
) -> Decoder:
    def decode(words: Words) -> int | None:
        whole = raw(words)
        if whole in invalid:
            return None
        energy_mwh = scale(number(whole)) * 1_000
        return round(energy_mwh) if 0 <= energy_mwh < MOST_MWH else None

    return decode


# ------------------------------------------------------------------ limits into registers


def effective_limit(limits: Limits, path: str, module_delay_s: float) -> float | None:
    """Look up ``rule.field`` of an outlet's limits, such as ``overpower.above_w``.

    None where the rule is switched off, or only raises an alarm, or waits for longer than the
    module does: a module that can do nothing but cut must not cut for it, nor before its time.
    """
    rule_name, _, field_name = path.partition(".")
    rule = getattr(limits, rule_name)
    if rule is None or rule.action is Action.ALARM or rule.delay_s > module_delay_s:
        return None
    return float(getattr(rule, field_name))


def limit_registers(spec: ModuleLimit, limits: Sequence[float | None]) -> tuple[int, ...] | None:
    """Give the registers for the tightest of ``limits``, rounded down. None: write nothing."""
    known = [limit for limit in limits if limit is not None]
    if known:
        raw = min(spec.raw(min(known)), int(spec.type.largest))
    elif spec.when_off is not None:
        raw = spec.when_off
    else:
        return None
    if spec.type.registers == 1:
        return (raw & 0xFFFF,)
    halves = (raw >> 16 & 0xFFFF, raw & 0xFFFF)
    return halves if spec.word_order is WordOrder.HIGH_FIRST else halves[::-1]
