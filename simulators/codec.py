"""Modbus bytes, both framings, as a device sees them. Pure: no I/O, no clock.

Written from the Modbus application protocol specification V1.1b3 and the Modbus over serial
line specification V1.02 (modbus.org), independently of the drivers.
"""

from __future__ import annotations

import struct
from collections.abc import Sequence
from dataclasses import dataclass
from enum import IntEnum, StrEnum

MAX_PDU_BYTES = 253
MAX_RTU_BYTES = 256
MBAP_BYTES = 7
MAX_WRITE_BITS = 1968
MAX_WRITE_REGISTERS = 123
COIL_ON = 0xFF00
COIL_OFF = 0x0000


class Function(IntEnum):
    """Function codes a simulated device may understand."""

    READ_COILS = 0x01
    READ_DISCRETE = 0x02
    READ_HOLDING = 0x03
    READ_INPUT = 0x04
    WRITE_COIL = 0x05
    WRITE_REGISTER = 0x06
    WRITE_COILS = 0x0F
    WRITE_REGISTERS = 0x10
    RESET_ENERGY = 0x42
    """PZEM-004T, -014, -016: clears the energy register."""


class Space(StrEnum):
    """The four address spaces of Modbus."""

    COIL = "coil"
    DISCRETE = "discrete"
    INPUT = "input"
    HOLDING = "holding"


READ_SPACES = {
    Function.READ_COILS: Space.COIL,
    Function.READ_DISCRETE: Space.DISCRETE,
    Function.READ_HOLDING: Space.HOLDING,
    Function.READ_INPUT: Space.INPUT,
}


class ModbusException(Exception):
    """An answer that refuses: 1 illegal function, 2 illegal address, 3 illegal value."""

    def __init__(self, code: int) -> None:
        super().__init__(f"exception {code:02d}")
        self.code = code


ILLEGAL_FUNCTION = 1
ILLEGAL_ADDRESS = 2
ILLEGAL_VALUE = 3


class BadFrame(Exception):
    """Bytes that can't become a frame any more: the stream has to be dropped."""


@dataclass(frozen=True, slots=True)
class Read:
    """Read ``count`` bits or registers from ``address`` of a space."""

    function: Function
    space: Space
    address: int
    count: int

    @property
    def is_bits(self) -> bool:
        return self.space in (Space.COIL, Space.DISCRETE)


@dataclass(frozen=True, slots=True)
class WriteCoil:
    """FC05: ``value`` is the raw word; 0xFF00 and 0x0000 are the standard ones."""

    address: int
    value: int


@dataclass(frozen=True, slots=True)
class WriteRegister:
    """FC06."""

    address: int
    value: int


@dataclass(frozen=True, slots=True)
class WriteCoils:
    """FC0F."""

    address: int
    values: tuple[bool, ...]


@dataclass(frozen=True, slots=True)
class WriteRegisters:
    """FC10."""

    address: int
    values: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class ResetEnergy:
    """FC42 of the PZEM family; it has no data."""


Request = Read | WriteCoil | WriteRegister | WriteCoils | WriteRegisters | ResetEnergy


def _crc_table() -> tuple[int, ...]:
    table = []
    for byte in range(256):
        crc = byte
        for _ in range(8):
            crc = (crc >> 1) ^ 0xA001 if crc & 1 else crc >> 1
        table.append(crc)
    return tuple(table)


_CRC_TABLE = _crc_table()


def crc16(data: bytes) -> int:
    """CRC-16/MODBUS (polynomial 0x8005 reflected, start 0xFFFF)."""
    crc = 0xFFFF
    for byte in data:
        crc = (crc >> 8) ^ _CRC_TABLE[(crc ^ byte) & 0xFF]
    return crc


def rtu_frame(unit: int, pdu: bytes) -> bytes:
    """Join unit, PDU and CRC, low byte of the CRC first."""
    body = bytes([unit]) + pdu
    return body + struct.pack("<H", crc16(body))


def rtu_crc_ok(frame: bytes) -> bool:
    """Say whether the last two bytes are the CRC of the others."""
    return len(frame) >= 4 and crc16(frame[:-2]) == int.from_bytes(frame[-2:], "little")


def rtu_request_length(data: bytes) -> int | None:
    """Whole length in bytes of the request that ``data`` begins.

    None while too little of it came, and 0 when the function is unknown: then only the
    silence on the line says where it ends.
    """
    if len(data) < 2:
        return None
    function = data[1]
    if 0x01 <= function <= 0x06:
        return 8
    if function in (Function.WRITE_COILS, Function.WRITE_REGISTERS):
        return None if len(data) < 7 else 9 + data[6]
    if function == Function.RESET_ENERGY:
        return 4
    return 0


@dataclass(frozen=True, slots=True)
class TcpFrame:
    """One application data unit of Modbus TCP."""

    transaction: int
    unit: int
    pdu: bytes


def take_tcp_frame(data: bytes) -> tuple[TcpFrame | None, int]:
    """Take the first frame off ``data``: ``(frame, bytes used)``, ``(None, 0)`` if not whole.

    Raises BadFrame when the protocol id is not 0 or the length can't be one.
    """
    if len(data) < MBAP_BYTES:
        return None, 0
    transaction, protocol, length, unit = struct.unpack_from(">HHHB", data)
    if protocol != 0 or not 2 <= length <= MAX_PDU_BYTES + 1:
        raise BadFrame(f"protocol {protocol}, length {length}")
    end = 6 + length
    if len(data) < end:
        return None, 0
    return TcpFrame(transaction, unit, data[MBAP_BYTES:end]), end


def tcp_frame(transaction: int, unit: int, pdu: bytes) -> bytes:
    """MBAP header and PDU."""
    return struct.pack(">HHHB", transaction, 0, len(pdu) + 1, unit) + pdu


def parse_request(pdu: bytes) -> Request:
    """Read a request's PDU.

    Raises ModbusException: 1 for an unknown function, 3 for a length, a count or a byte
    count that contradicts itself.
    """
    if not pdu:
        raise ModbusException(ILLEGAL_FUNCTION)
    try:
        function = Function(pdu[0])
    except ValueError:
        raise ModbusException(ILLEGAL_FUNCTION) from None
    if function is Function.RESET_ENERGY:
        _require(len(pdu) == 1)
        return ResetEnergy()
    _require(len(pdu) >= 5)
    address, word = struct.unpack_from(">HH", pdu, 1)
    if function in (Function.WRITE_COILS, Function.WRITE_REGISTERS):
        return _parse_multiple(function, address, word, pdu)
    _require(len(pdu) == 5)
    if function in READ_SPACES:
        _require(word >= 1)
        return Read(function, READ_SPACES[function], address, word)
    if function is Function.WRITE_COIL:
        return WriteCoil(address, word)
    return WriteRegister(address, word)


def _parse_multiple(function: Function, address: int, count: int, pdu: bytes) -> Request:
    _require(len(pdu) >= 7 and pdu[5] == len(pdu) - 6)
    body = pdu[6:]
    if function is Function.WRITE_COILS:
        _require(1 <= count <= MAX_WRITE_BITS and len(body) == (count + 7) // 8)
        bits = tuple(bool(body[i // 8] >> (i % 8) & 1) for i in range(count))
        return WriteCoils(address, bits)
    _require(1 <= count <= MAX_WRITE_REGISTERS and len(body) == 2 * count)
    return WriteRegisters(address, struct.unpack(f">{count}H", body))


def _require(condition: bool) -> None:
    if not condition:
        raise ModbusException(ILLEGAL_VALUE)


def answer_bits(function: Function, bits: Sequence[bool]) -> bytes:
    """Answer to FC01 and FC02: the first bit is the lowest of the first byte."""
    packed = bytearray((len(bits) + 7) // 8)
    for index, bit in enumerate(bits):
        if bit:
            packed[index // 8] |= 1 << (index % 8)
    return bytes([function, len(packed)]) + bytes(packed)


def answer_registers(function: Function, words: Sequence[int]) -> bytes:
    """Answer to FC03 and FC04: each word high byte first."""
    return struct.pack(f">BB{len(words)}H", function, 2 * len(words), *words)


def answer_write(pdu: bytes) -> bytes:
    """Answer to a write: its function, address and value or count."""
    return pdu[:5]


def answer_exception(function: int, code: int) -> bytes:
    """Set the highest bit of the function, and say why."""
    return bytes([function & 0x7F | 0x80, code])
