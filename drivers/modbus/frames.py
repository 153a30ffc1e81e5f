"""Modbus frames as pure functions: build requests, judge answers.

``judge`` compares the PDU of a frame, which ``cutting.py`` took out of the stream, with the one
request that is outstanding. Only an answer of the right function, length and echo is
``Accepted``; everything else is named.

Nothing in here raises for any bytes that arrive. Formats are those of "MODBUS Application
Protocol Specification V1.1b3" and "MODBUS over Serial Line V1.02" (modbus.org).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import IntEnum, StrEnum
from functools import cached_property

LONGEST_PDU = 253
LONGEST_RTU = 256
LONGEST_TCP = 260
MBAP_LENGTH = 7
LONGEST_READ_BITS = 2_000
LONGEST_READ_REGISTERS = 125
LONGEST_WRITE_BITS = 1_968
LONGEST_WRITE_REGISTERS = 123
COIL_ON = 0xFF00
COIL_OFF = 0x0000
EXCEPTION_BIT = 0x80


class Function(IntEnum):
    """Function codes this driver uses."""

    READ_COILS = 1
    READ_DISCRETE = 2
    READ_HOLDING = 3
    READ_INPUT = 4
    WRITE_COIL = 5
    WRITE_REGISTER = 6
    WRITE_COILS = 15
    WRITE_REGISTERS = 16


READS_BITS = frozenset({Function.READ_COILS, Function.READ_DISCRETE})
READS_REGISTERS = frozenset({Function.READ_HOLDING, Function.READ_INPUT})


class Fault(StrEnum):
    """What was wrong with something on the wire. Also the names of the counters."""

    CRC = "crc"
    """Noise, or a frame with a wrong check sum."""
    UNIT = "unit"
    FUNCTION = "function"
    LENGTH = "length"
    """A wrong count of values, or a frame that broke off."""
    ECHO = "echo"
    """A write was echoed with another address, value or count."""
    TRANSACTION = "transaction"
    """A wrong transaction or protocol id (TCP)."""
    UNEXPECTED = "unexpected"
    """A good frame that nobody waits for."""
    REQUEST = "request"
    """Another master asks, or the converter echoes what it sends."""
    OVERSIZED = "oversized"


class FrameError(ValueError):
    """A request that the protocol can't express: an error of the caller, never of the wire."""


@dataclass(frozen=True)
class Request:
    """One request, and what its answer must look like.

    ``head`` is the beginning of the only acceptable answer PDU: function and byte count for a
    read, function, address and value or count for a write. With ``answer_length`` (bytes of
    the whole answer PDU) it is the *shape* of the answer: two requests of one unit with the
    same head can't be told apart by their answers on a serial line.
    """

    unit: int
    pdu: bytes
    head: bytes
    answer_length: int

    @property
    def function(self) -> int:
        return self.pdu[0]

    @property
    def is_read(self) -> bool:
        return self.function in READS_BITS or self.function in READS_REGISTERS

    def may_begin(self, data: bytes | bytearray) -> bool:
        """Say whether ``data`` begins as the answer to this read does on a serial line."""
        return self.is_read and data[0] == self.unit and data[1 : 1 + len(self.head)] == self.head

    @cached_property
    def rtu(self) -> bytes:
        """The request as it goes on a serial line."""
        return rtu_frame(self.unit, self.pdu)

    def tcp(self, transaction: int) -> bytes:
        """Give the request as it goes on a TCP connection."""
        return tcp_frame(transaction, self.unit, self.pdu)


def read(unit: int, function: Function, address: int, count: int) -> Request:
    """Build a read of ``count`` bits or registers. Raises FrameError when that can't be asked."""
    if function in READS_BITS:
        longest, size = LONGEST_READ_BITS, (count + 7) // 8
    elif function in READS_REGISTERS:
        longest, size = LONGEST_READ_REGISTERS, count * 2
    else:
        raise FrameError(f"function {function} reads nothing")
    _check(unit, address, count, longest)
    pdu = bytes((function, *address.to_bytes(2, "big"), *count.to_bytes(2, "big")))
    return Request(unit, pdu, bytes((function, size)), 2 + size)


def write_coil(unit: int, address: int, value: int) -> Request:
    """Build FC05. ``value`` is COIL_ON, COIL_OFF, or a command code of a clone that takes one."""
    return _write_single(unit, Function.WRITE_COIL, address, value)


def write_register(unit: int, address: int, value: int) -> Request:
    """Build FC06."""
    return _write_single(unit, Function.WRITE_REGISTER, address, value)


def write_coils(unit: int, address: int, bits: Sequence[bool]) -> Request:
    """Build FC0F, which sets ``bits`` from ``address`` on."""
    count = len(bits)
    _check(unit, address, count, LONGEST_WRITE_BITS)
    packed = bytearray((count + 7) // 8)
    for index, bit in enumerate(bits):
        packed[index // 8] |= bit << (index % 8)
    span = bytes((Function.WRITE_COILS, *address.to_bytes(2, "big"), *count.to_bytes(2, "big")))
    return Request(unit, span + bytes((len(packed),)) + packed, span, 5)


def write_registers(unit: int, address: int, values: Sequence[int]) -> Request:
    """Build FC10, which sets ``values`` from ``address`` on."""
    count = len(values)
    _check(unit, address, count, LONGEST_WRITE_REGISTERS)
    if not all(0 <= value <= 0xFFFF for value in values):
        raise FrameError("a register holds 0 to 65535")
    span = bytes((Function.WRITE_REGISTERS, *address.to_bytes(2, "big"), *count.to_bytes(2, "big")))
    data = b"".join(value.to_bytes(2, "big") for value in values)
    return Request(unit, span + bytes((len(data),)) + data, span, 5)


def _write_single(unit: int, function: Function, address: int, value: int) -> Request:
    _check(unit, address, 1, 1)
    if not 0 <= value <= 0xFFFF:
        raise FrameError("a register holds 0 to 65535")
    pdu = bytes((function, *address.to_bytes(2, "big"), *value.to_bytes(2, "big")))
    return Request(unit, pdu, pdu, 5)


def _check(unit: int, address: int, count: int, longest: int) -> None:
    if not 0 <= unit <= 255:
        raise FrameError(f"unit {unit} is not from 0 to 255")
    if not 1 <= count <= longest:
        raise FrameError(f"a count of {count} is not from 1 to {longest}")
    if not 0 <= address <= 0x10000 - count:
        raise FrameError(f"address {address} with a count of {count} does not fit into 16 bits")


# ------------------------------------------------------------------ check sum, building


def _crc_table() -> tuple[int, ...]:
    table = []
    for byte in range(256):
        crc = byte
        for _ in range(8):
            crc = (crc >> 1) ^ 0xA001 if crc & 1 else crc >> 1
        table.append(crc)
    return tuple(table)


_CRC_TABLE = _crc_table()


def crc16(data: bytes | bytearray | memoryview) -> int:
    """CRC-16/MODBUS of ``data``; on the wire its low byte goes first."""
    crc = 0xFFFF
    table = _CRC_TABLE
    for byte in data:
        crc = (crc >> 8) ^ table[(crc ^ byte) & 0xFF]
    return crc


def rtu_frame(unit: int, pdu: bytes) -> bytes:
    """Put a PDU into an RTU frame."""
    body = bytes((unit,)) + pdu
    return body + crc16(body).to_bytes(2, "little")


def tcp_frame(transaction: int, unit: int, pdu: bytes) -> bytes:
    """Put a PDU into a TCP frame (MBAP header)."""
    header = transaction.to_bytes(2, "big") + b"\x00\x00" + (len(pdu) + 1).to_bytes(2, "big")
    return header + bytes((unit,)) + pdu


# ------------------------------------------------------------------ judging an answer


@dataclass(frozen=True, slots=True)
class Accepted:
    """The answer to the request: ``data`` holds the values of a read, nothing for a write."""

    data: bytes


@dataclass(frozen=True, slots=True)
class Declined:
    """The device answered with an exception code (MODBUS Application Protocol V1.1b3, 7)."""

    code: int


@dataclass(frozen=True, slots=True)
class Wrong:
    """Not the answer to the request."""

    fault: Fault


def judge(request: Request, unit: int, pdu: bytes) -> Accepted | Declined | Wrong:
    """Compare a frame's unit and PDU with the request that is outstanding."""
    if unit != request.unit:
        return Wrong(Fault.UNIT)
    if not pdu:
        return Wrong(Fault.LENGTH)
    if pdu[0] == request.function | EXCEPTION_BIT:
        return Declined(pdu[1]) if len(pdu) == 2 else Wrong(Fault.LENGTH)
    if pdu[0] != request.function:
        return Wrong(Fault.FUNCTION)
    if len(pdu) != request.answer_length:
        return Wrong(Fault.LENGTH)
    if not pdu.startswith(request.head):
        return Wrong(Fault.LENGTH if request.is_read else Fault.ECHO)
    return Accepted(pdu[len(request.head) :])


EXCEPTIONS = {
    1: "illegal function",
    2: "illegal address",
    3: "illegal value",
    4: "device failure",
    5: "acknowledge",
    6: "busy",
    8: "memory parity",
    10: "gateway path unavailable",
    11: "gateway target silent",
}
"""Names of exception codes (MODBUS Application Protocol V1.1b3, 7)."""

GATEWAY_SILENT = frozenset({10, 11})
"""Exception codes by which a gateway says that the unit behind it did not answer."""
BUSY = frozenset({5, 6})
"""Exception codes by which a device says that it can't just now."""
NOT_DONE = frozenset({1, 2, 3})
"""Exception codes by which a device says that it never does this."""
NOT_THERE = frozenset({2, 3})
"""Exception codes by which a device says that it has no such addresses, or not so many."""
