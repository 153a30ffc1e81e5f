from __future__ import annotations

import math
import struct
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from drivers.modbus.values import (
    decoder,
    effective_limit,
    limit_registers,
    words_of_bits,
    words_of_registers,
)
from gateway.config import Quantity, Value, ValueType
from gateway.config.profile import ModuleLimit
from gateway.guard.limits import AboveCurrent, Action, Limits


def value(**keys: Any) -> Value:
    return Value.model_validate({"space": "input", "address": 10} | keys, strict=False)


def decode(
    quantity: Quantity, spec: Value, *words: int, channel: int = 1, first: int = 10
) -> float | int | bool | None:
    return decoder(quantity, spec, channel, first)(words)


@pytest.mark.parametrize(
    ("keys", "words", "expected"),
    [
        ({"scale": 0.1}, [2_301], 230.1),
        ({"scale": 0.001}, [1_234], 1.234),
        ({"scale": 10}, [3], 30.0),
        ({"scale": 0.5, "offset": -40}, [100], 10.0),
        ({"type": "s16", "scale": 0.1}, [0xFFFF], -0.1),
        ({"type": "u32"}, [1, 2], 65_538.0),
        ({"type": "u32", "word_order": "low_first"}, [2, 1], 65_538.0),
        ({"type": "s32"}, [0xFFFF, 0xFFFE], -2.0),
        ({"type": "u64"}, [0, 1, 0, 2], 4_294_967_298.0),
        ({"type": "u64", "word_order": "low_first"}, [2, 0, 1, 0], 4_294_967_298.0),
        ({"type": "s64", "scale": 0.1}, [0xFFFF, 0xFFFF, 0xFFFF, 0xFFF6], -1.0),
        ({"type": "u64", "invalid": [2**64 - 1]}, [0xFFFF] * 4, None),
        ({"type": "float32"}, [0x4366, 0x199A], pytest.approx(230.1, abs=1e-4)),
        ({"type": "float32", "word_order": "low_first"}, [0x199A, 0x4366], pytest.approx(230.1)),
        ({"type": "float32"}, [0x7FC0, 0], None),
        ({"type": "float32"}, [0x7F80, 0], None),
        ({"type": "float32"}, [0xFF80, 0], None),
        ({"invalid": [0x7FFF], "type": "s16"}, [0x7FFF], None),
        ({"invalid": [0xFFFFFFFF], "type": "s32"}, [0xFFFF, 0xFFFF], None),
        ({"bit": 3}, [0b1000], True),
        ({"type": "u32", "bit": 16}, [1, 0], True),
        ({"type": "u32", "bit": 16, "invalid": [0x10000]}, [1, 0], None),
    ],
)
def test_registers_become_what_the_profile_says(
    keys: dict[str, Any], words: list[int], expected: float | None
) -> None:
    assert decode(Quantity.VOLTAGE_V, value(**keys), *words) == expected


def test_channels_are_found_by_stride_and_bit_stride() -> None:
    by_stride = value(stride=2, type="u32")
    assert decode(Quantity.POWER_W, by_stride, 0, 1, 0, 2, 0, 3, channel=3) == 3
    by_bit = value(bit=0, bit_stride=1)
    flags = [decode(Quantity.ALARM, by_bit, 0b101, channel=channel) for channel in (1, 2, 3)]
    assert flags == [True, False, True]


def test_a_flag_is_on_when_it_is_not_zero() -> None:
    assert decode(Quantity.RELAY_ON, value(), 0) is False
    assert decode(Quantity.RELAY_ON, value(), 2) is True
    assert decode(Quantity.RELAY_ON, value(invalid=[2]), 2) is None
    assert decode(Quantity.RELAY_ON, value(space="coil"), 1) is True


def test_an_energy_that_no_journal_holds_is_none() -> None:
    assert decode(Quantity.ENERGY_WH, value(type="s64"), 0x8000, 0, 0, 0) is None
    assert decode(Quantity.ENERGY_WH, value(type="u64"), 0xFFFF, 0xFFFF, 0, 0) is None
    assert decode(Quantity.ENERGY_WH, value(type="float32"), 0x7F00, 0) is None
    assert decode(Quantity.ENERGY_WH, value(type="u64"), 0, 1, 0, 0) == 4_294_967_296_000


def test_energy_is_a_whole_number_of_mwh() -> None:
    spec = value(type="float32", scale=1_000)  # kWh
    words = struct.unpack(">2H", struct.pack(">f", 514.153))
    assert decode(Quantity.ENERGY_WH, spec, *words) == 514_153_015
    assert decode(Quantity.ENERGY_WH, value(type="s16"), 0xFFFF) is None
    assert decode(Quantity.ENERGY_WH, value(type="u16", invalid=[7]), 7) is None
    assert decode(Quantity.ENERGY_WH, value(type="float32"), 0x7FC0, 0) is None


@given(
    st.sampled_from([str(kind) for kind in ValueType]),
    st.sampled_from(["high_first", "low_first"]),
    st.floats(-1e6, 1e6),
    st.floats(-1e6, 1e6),
    st.lists(st.integers(0, 0xFFFF), min_size=4, max_size=4),
)
def test_no_register_content_becomes_nan_or_infinite(
    kind: str, order: str, scale: float, offset: float, words: list[int]
) -> None:
    spec = value(type=kind, word_order=order, scale=scale, offset=offset)
    for quantity in (Quantity.POWER_W, Quantity.ENERGY_WH):
        found = decode(quantity, spec, *words)
        assert found is None or math.isfinite(found)


@given(st.lists(st.integers(0, 0xFFFF), min_size=1, max_size=125))
def test_words_come_high_byte_first(words: list[int]) -> None:
    assert words_of_registers(b"".join(w.to_bytes(2, "big") for w in words)) == tuple(words)


def test_bits_come_lowest_first() -> None:
    assert words_of_bits(bytes((0b10000001, 1))) == (1, 0, 0, 0, 0, 0, 0, 1, 1, *[0] * 7)


# ------------------------------------------------------------------ limits


def limit(**keys: Any) -> ModuleLimit:
    base = {"limit": "overcurrent_instant.above_a", "address": 10, "scale": 0.01}
    return ModuleLimit.model_validate(base | keys, strict=False)


def test_the_tightest_limit_is_written_rounded_down() -> None:
    assert limit_registers(limit(), [12.0, 9.999, None]) == (999,)
    assert limit_registers(limit(), [12.0]) == (1_200,)
    assert limit_registers(limit(), [1_000.0]) == (0xFFFF,)
    assert limit_registers(limit(type="u32", scale=0.001), [100.0]) == (1, 0x86A0)
    assert limit_registers(limit(type="u32", scale=0.001, word_order="low_first"), [100.0]) == (
        0x86A0,
        1,
    )


def test_a_rule_that_is_off_is_written_only_where_the_profile_says_how() -> None:
    assert limit_registers(limit(), [None]) is None
    assert limit_registers(limit(when_off=0), [None]) == (0,)


@given(st.floats(0.01, 600), st.sampled_from([1.0, 0.1, 0.01, 0.001]))
def test_a_module_never_acts_later_than_its_outlet(above_a: float, scale: float) -> None:
    words = limit_registers(limit(scale=scale, type="u32"), [above_a])
    assert words is not None
    written = (words[0] << 16 | words[1]) * scale
    assert above_a - scale <= written <= above_a + 1e-6


def test_an_alarm_only_rule_is_not_handed_to_a_module_that_would_cut() -> None:
    path = "overcurrent_instant.above_a"
    assert effective_limit(Limits(), path, 0.0) == 16.0
    assert effective_limit(Limits(overcurrent_instant=None), path, 0.0) is None
    alarm = AboveCurrent(above_a=5.0, action=Action.ALARM)
    assert effective_limit(Limits(overcurrent_instant=alarm), path, 0.0) is None
    power = "overpower.above_w"
    assert effective_limit(Limits(), power, 2.0) is None, "the rule waits 3 s, the module 2 s"
    assert effective_limit(Limits(), power, 3.0) == 2000.0
