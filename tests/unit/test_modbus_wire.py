from __future__ import annotations

import pytest

from drivers.modbus.frames import COIL_OFF, Function, read, write_coil
from drivers.modbus.wire import SerialWire, TcpWire, wire_of
from gateway.config import ConverterBus, RtuBus
from gateway.core.ids import BusId

TEN = read(1, Function.READ_INPUT, 0, 10)
ONE = write_coil(1, 0, COIL_OFF)


@pytest.mark.parametrize(
    ("baud", "read_ms", "write_ms"),
    [(9_600, 41.7, 24.0), (19_200, 20.8, 12.0), (115_200, 6.4, 4.9)],  # domain.md, section 3
)
def test_wire_times_are_those_of_the_facts(baud: int, read_ms: float, write_ms: float) -> None:
    wire = SerialWire(baud)
    assert round(wire.transaction_ms(TEN), 1) == read_ms
    assert round(wire.transaction_ms(ONE), 1) == write_ms


@pytest.mark.parametrize(
    ("parity", "stop_bits", "bits"), [("N", 1, 10), ("E", 1, 11), ("N", 2, 11), ("O", 2, 12)]
)
def test_parity_and_stop_bits_make_characters_longer(
    parity: str, stop_bits: int, bits: int
) -> None:
    assert SerialWire(9_600, parity, stop_bits).bits_per_character == bits


def test_the_gap_has_a_floor_above_19200_baud() -> None:
    assert SerialWire(19_200).gap_ms == pytest.approx(1.823, abs=0.001)
    assert SerialWire(38_400).gap_ms == SerialWire(115_200).gap_ms == 1.75


def test_a_time_out_leaves_room_for_wire_and_turn_around() -> None:
    for baud in (1_200, 9_600, 115_200):
        wire = SerialWire(baud)
        assert wire.timeout_ms(TEN, 5) > wire.transaction_ms(TEN) + 5 + 16
    assert TcpWire().timeout_ms(TEN, 100) > TcpWire().timeout_ms(TEN, 5) > 200


def test_a_network_before_a_line_costs_time_both_ways_and_patience() -> None:
    request = TEN
    near = wire_of(RtuBus(id=BusId("a"), port="/dev/ttyUSB0"))
    far = wire_of(ConverterBus(id=BusId("b"), host="192.0.2.7", port=8_899))
    assert far.gap_ms == near.gap_ms
    assert far.transaction_ms(request) == pytest.approx(near.transaction_ms(request) + 11)
    assert far.sent_ms(request) == pytest.approx(near.sent_ms(request) + 0.5)
    assert far.timeout_ms(request, 5) == pytest.approx(near.timeout_ms(request, 5) + 411)
