"""Cutting what arrives into frames. Pure, and never raises for any bytes.

``next_rtu`` and ``next_tcp`` take what has arrived so far and return how many bytes they used and
what these were: a whole frame, noise, or nothing yet.
"""

from __future__ import annotations

from collections.abc import Container
from dataclasses import dataclass

from drivers.modbus.frames import (
    EXCEPTION_BIT,
    LONGEST_PDU,
    LONGEST_READ_BITS,
    LONGEST_READ_REGISTERS,
    MBAP_LENGTH,
    READS_BITS,
    READS_REGISTERS,
    Fault,
    Function,
    Request,
    crc16,
)

_WRITES_MANY = frozenset({Function.WRITE_COILS, Function.WRITE_REGISTERS})
_OF_BITS = READS_BITS | {Function.WRITE_COILS}
_KNOWN = frozenset(int(function) for function in Function)
_ECHOES = frozenset(
    {
        Function.WRITE_COIL,
        Function.WRITE_REGISTER,
        Function.WRITE_COILS,
        Function.WRITE_REGISTERS,
    }
)


@dataclass(frozen=True, slots=True)
class Frame:
    """A whole frame. ``transaction`` is 0 on a serial line."""

    unit: int
    pdu: bytes
    transaction: int = 0


@dataclass(frozen=True, slots=True)
class Noise:
    """Bytes that are no frame."""

    fault: Fault


@dataclass(frozen=True, slots=True)
class Desynchronised:
    """The stream can't be followed any longer: only a new connection helps (TCP)."""

    fault: Fault


def next_rtu(
    data: bytes | bytearray, units: Container[int], awaited: Request | None = None
) -> tuple[int, Frame | Noise | None]:
    """Take the next answer out of what has arrived on a serial line.

    Returns ``(used, what)``: ``used`` bytes at the beginning of ``data`` are done with. With
    ``None`` nothing is used and more bytes are needed; never more than ``LONGEST_RTU``.

    A frame may begin where the byte is one of ``units`` (those on this line) and a known
    function with a possible length follows; it is one when its check sum is right. Frames are
    taken in order, so an answer of a neighbour that holds in its values what looks like a
    frame is not looked into.

    A request on the line can look like the beginning of a long answer: the address 0x2002 like
    32 bytes of values. It is told by its own length and check sum, so that nobody waits for the
    rest of it; only what may be the answer to ``awaited`` is given the time to be one.
    """
    for start in range(len(data)):
        length = _rtu_length(data, start, units)
        asked = _request_length(data, start, units)
        if length < 0 and asked < 0:
            continue
        if start:
            return start, Noise(Fault.CRC)
        if length > 0 and _is_whole(data, length) and not _is_echo(data, length, awaited):
            return length, Frame(data[0], bytes(data[1 : length - 2]))
        is_short = length == 0 or len(data) < length
        may_be_awaited = is_short and awaited is not None and awaited.may_begin(data)
        if asked > 0 and _is_whole(data, asked) and not may_be_awaited:
            return asked, Noise(Fault.REQUEST)
        if is_short or (len(data) < asked and (length < 0 or data[1] in _ECHOES)):
            return 0, None
    if not data:
        return 0, None
    return len(data), Noise(_noise_fault(data, units))


def _is_whole(data: bytes | bytearray, length: int) -> bool:
    """Say whether the first ``length`` bytes are there, and end with their check sum."""
    if len(data) < length:
        return False
    return crc16(data[: length - 2]) == data[length - 2] | data[length - 1] << 8


def _is_echo(data: bytes | bytearray, length: int, awaited: Request | None) -> bool:
    """Say whether a frame is the very read that was sent: 20 coils from 0x0300 look like some."""
    return awaited is not None and awaited.is_read and data[:length] == awaited.rtu


def _request_length(data: bytes | bytearray, start: int, units: Container[int]) -> int:
    """Length of the request that may begin at ``start``: 0 not known yet, -1 none begins there.

    Requests of functions 05 and 06 look the same as their answers, and are taken for these.
    """
    head = data[start : start + MBAP_LENGTH]
    if head[0] not in units:
        return -1
    if len(head) < 2:
        return 0
    function = head[1]
    if function not in READS_BITS | READS_REGISTERS | _WRITES_MANY:
        return -1
    longest = LONGEST_READ_BITS if function in _OF_BITS else LONGEST_READ_REGISTERS
    count = int.from_bytes(head[4:6].ljust(2, b"\0"), "big") if len(head) > 4 else 0
    if count > longest or (count == 0 and len(head) > 5):
        return -1
    if function not in _WRITES_MANY:
        return 8
    if len(head) < 7:
        return 0
    size = (count + 7) // 8 if function in _OF_BITS else 2 * count
    return 9 + size if head[6] == size else -1


def _rtu_length(data: bytes | bytearray, start: int, units: Container[int]) -> int:
    """Length of the answer that may begin at ``start``: 0 not known yet, -1 none begins there."""
    if data[start] not in units:
        return -1
    have = len(data) - start
    if have < 2:
        return 0
    function = data[start + 1]
    if function & EXCEPTION_BIT:
        return 5 if function & ~EXCEPTION_BIT in _KNOWN else -1
    if function in _ECHOES:
        return 8
    if function not in _KNOWN:
        return -1
    if have < 3:
        return 0
    size = data[start + 2]
    if size == 0 or size > 2 * LONGEST_READ_REGISTERS:
        return -1
    if function in READS_REGISTERS and size % 2:
        return -1
    return 5 + size


def _noise_fault(data: bytes | bytearray, units: Container[int]) -> Fault:
    """Name noise: a known unit and read with an impossible size was meant as a frame."""
    if len(data) >= 3 and data[0] in units and 1 <= data[1] <= 4:
        size = data[2]
        if size > 2 * LONGEST_READ_REGISTERS:
            return Fault.OVERSIZED
        if size == 0 or size % 2:
            return Fault.LENGTH
    return Fault.CRC


def next_tcp(data: bytes | bytearray) -> tuple[int, Frame | Noise | Desynchronised | None]:
    """Take the next answer out of what has arrived on a TCP connection.

    Returns ``(used, what)`` like ``next_rtu``. A frame with a wrong protocol id is noise, as its
    length can still be believed; an impossible length is the end of the stream.
    """
    if len(data) < MBAP_LENGTH - 1:
        return 0, None
    length = data[4] << 8 | data[5]
    if length > LONGEST_PDU + 1:
        return len(data), Desynchronised(Fault.OVERSIZED)
    if length < 3:
        return len(data), Desynchronised(Fault.LENGTH)
    end = MBAP_LENGTH - 1 + length
    if len(data) < end:
        return 0, None
    if data[2] or data[3]:
        return end, Noise(Fault.TRANSACTION)
    return end, Frame(data[6], bytes(data[7:end]), data[0] << 8 | data[1])
