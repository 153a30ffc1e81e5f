from __future__ import annotations

import pytest

from simulators import codec
from simulators.codec import (
    BadFrame,
    Function,
    ModbusException,
    Read,
    ResetEnergy,
    Space,
    WriteCoil,
    WriteCoils,
    WriteRegister,
    WriteRegisters,
)

# domain.md, section 3: frames of real devices, with their CRC
VECTORS = {
    "PZEM read": ("01 04 00 00 00 0A 70 0D", Read(Function.READ_INPUT, Space.INPUT, 0, 10)),
    "PZEM reset": ("01 42 80 11", ResetEnergy()),
    "relay 1 on": ("01 05 00 00 FF 00 8C 3A", WriteCoil(0, 0xFF00)),
    "relay 1 off": ("01 05 00 00 00 00 CD CA", WriteCoil(0, 0x0000)),
    "DDSU666 read": (
        "01 03 20 00 00 10 4F C6",
        Read(Function.READ_HOLDING, Space.HOLDING, 0x2000, 16),
    ),
    "SDM power": ("01 04 00 0C 00 02 B1 C8", Read(Function.READ_INPUT, Space.INPUT, 0x0C, 2)),
}


@pytest.mark.parametrize("name", VECTORS)
def test_vectors_of_real_devices(name: str) -> None:
    frame = bytes.fromhex(VECTORS[name][0])

    assert codec.rtu_crc_ok(frame)
    assert codec.rtu_frame(frame[0], frame[1:-2]) == frame
    assert codec.rtu_request_length(frame) == len(frame)
    assert codec.parse_request(frame[1:-2]) == VECTORS[name][1]


@pytest.mark.parametrize("name", VECTORS)
def test_any_wrong_byte_spoils_the_crc(name: str) -> None:
    frame = bytearray.fromhex(VECTORS[name][0])
    for at in range(len(frame)):
        spoilt = bytes(frame[:at] + bytes([frame[at] ^ 0x10]) + frame[at + 1 :])
        assert not codec.rtu_crc_ok(spoilt), at


def test_crc_of_the_usual_check_string() -> None:
    assert codec.crc16(b"123456789") == 0x4B37


def test_length_of_a_request_that_has_only_begun() -> None:
    frame = codec.rtu_frame(1, bytes.fromhex("0F 0000 000A 02 FF03"))

    assert [codec.rtu_request_length(frame[:n]) for n in range(8)] == [None] * 7 + [11]
    assert codec.rtu_request_length(b"\x01\x2b") == 0


@pytest.mark.parametrize(
    ("pdu", "expected"),
    [
        ("06 001A 0001", WriteRegister(0x1A, 1)),
        ("0F 0003 000A 02 CD01", WriteCoils(3, tuple(bit == "1" for bit in "1011001110"))),
        ("10 0001 0002 04 000A 0102", WriteRegisters(1, (10, 0x0102))),
        ("02 0010 0001", Read(Function.READ_DISCRETE, Space.DISCRETE, 16, 1)),
    ],
)
def test_requests(pdu: str, expected: codec.Request) -> None:
    assert codec.parse_request(bytes.fromhex(pdu)) == expected


@pytest.mark.parametrize(
    ("pdu", "code"),
    [
        ("", 1),
        ("07", 1),
        ("2B 0E 01 00", 1),
        ("03", 3),
        ("03 0000", 3),
        ("03 0000 0000", 3),
        ("03 0000 0001 00", 3),
        ("42 00", 3),
        ("0F 0000 000A 01 FF", 3),
        ("0F 0000 0000 00", 3),
        ("10 0000 0002 04 0001", 3),
        ("10 0000 0001 04 0001 0002", 3),
        ("10 0000 0000 00", 3),
    ],
)
def test_requests_that_contradict_themselves(pdu: str, code: int) -> None:
    with pytest.raises(ModbusException) as refusal:
        codec.parse_request(bytes.fromhex(pdu))

    assert refusal.value.code == code


def test_answers() -> None:
    bits = [bit == "1" for bit in "1011001110"]

    assert codec.answer_bits(Function.READ_COILS, bits) == bytes.fromhex("01 02 CD 01")
    assert codec.answer_registers(Function.READ_INPUT, [0x0898, 1]) == bytes.fromhex(
        "04 04 0898 0001"
    )
    assert codec.answer_exception(0x03, 2) == bytes.fromhex("83 02")
    assert codec.answer_write(bytes.fromhex("10 0001 0002 04 000A 0102")) == bytes.fromhex(
        "10 0001 0002"
    )


def test_tcp_frames_are_taken_off_one_by_one() -> None:
    first = codec.tcp_frame(7, 1, b"\x03\x00\x00\x00\x01")
    second = codec.tcp_frame(8, 2, b"\x04\x00\x00\x00\x02")
    stream = first + second

    for cut in range(len(first)):
        assert codec.take_tcp_frame(stream[:cut]) == (None, 0)
    frame, used = codec.take_tcp_frame(stream)
    assert frame == codec.TcpFrame(7, 1, b"\x03\x00\x00\x00\x01")
    assert codec.take_tcp_frame(stream[used:]) == (codec.TcpFrame(8, 2, second[7:]), len(second))


@pytest.mark.parametrize(
    "header", ["0001 0001 0006 01", "0001 0000 0001 01", "0001 0000 00FF 01", "0001 0000 0000 01"]
)
def test_a_header_that_can_not_be_one(header: str) -> None:
    with pytest.raises(BadFrame):
        codec.take_tcp_frame(bytes.fromhex(header))
