"""How long frames take on a wire, and how long to wait for an answer. Pure.

Figures for a serial line: 10 bits a character with 8N1, 11 with parity or a second stop bit;
3.5 characters of silence between frames, never less than 1.75 ms above 19,200 baud
("MODBUS over Serial Line V1.02", 2.5.1.1).
"""

from __future__ import annotations

from dataclasses import dataclass

from drivers.modbus.frames import Request
from gateway.config import Bus, ConverterBus, Device, TcpBus

_RTU_OVERHEAD = 3
"""Unit and check sum around a PDU."""
_FIXED_GAP_ABOVE_BAUD = 19_200
_FIXED_GAP_MS = 1.75
_GAP_CHARACTERS = 3.5

RTU_MARGIN_MS = 100.0
"""Added to a serial time-out: USB converters hand over received bytes every 16 ms (FTDI's
latency timer), and the device and this machine may be busy."""
TURNAROUND_FACTOR = 4
"""A time-out allows several times the turn-around that a profile states as usual."""
TCP_MARGIN_MS = 500.0
"""Added to a TCP time-out: one lost segment is sent again after 200 ms or more (Linux)."""
TCP_FRAME_MS = 0.5
"""A small frame through a local network and two IP stacks, each way; an assumption of the plan."""
PACKING_MS = 10.0
"""A converter sends on what came off its line when that has been silent for so long: an assumption
of the plan. Many can be set to less (packing interval, frame gap)."""

LISTEN_MS = 50.0
"""What a converter kept while nobody was connected it tells at once to whoever connects; so long
that is waited for, a way through a local network and two IP stacks, many times over."""


@dataclass(frozen=True, slots=True)
class SerialWire:
    """The timing of a serial line."""

    baud: int
    parity: str = "N"
    stop_bits: int = 1
    to_line_ms: float = 0.0
    """Until bytes that are handed over are on the line: a network, where there is one."""
    from_line_ms: float = 0.0
    """Until bytes that were on the line are here."""
    margin_ms: float = RTU_MARGIN_MS
    listen_ms: float = 0.0
    """Until everything old has come that somebody kept for whoever opens the line."""

    @property
    def bits_per_character(self) -> int:
        """Start bit, eight data bits, parity if any, stop bits."""
        return 9 + (self.parity != "N") + self.stop_bits

    @property
    def character_ms(self) -> float:
        return self.bits_per_character * 1_000 / self.baud

    @property
    def gap_ms(self) -> float:
        """Silence before and after a frame."""
        if self.baud > _FIXED_GAP_ABOVE_BAUD:
            return _FIXED_GAP_MS
        return _GAP_CHARACTERS * self.character_ms

    def frame_ms(self, length: int) -> float:
        """Wire time of a frame of ``length`` bytes, without a gap."""
        return length * self.character_ms

    def request_ms(self, request: Request) -> float:
        return self.frame_ms(len(request.pdu) + _RTU_OVERHEAD)

    def answer_ms(self, request: Request) -> float:
        return self.frame_ms(request.answer_length + _RTU_OVERHEAD)

    def transaction_ms(self, request: Request) -> float:
        """Request and answer, one gap after each; without the device's turn-around."""
        wire_ms = self.request_ms(request) + self.answer_ms(request) + 2 * self.gap_ms
        return self.to_line_ms + wire_ms + self.from_line_ms

    def sent_ms(self, request: Request) -> float:
        """Time until the last byte of a request is on the wire, the gap before it included."""
        return self.gap_ms + self.to_line_ms + self.request_ms(request)

    def timeout_ms(self, request: Request, turnaround_ms: float) -> float:
        """Time from handing the request over until its answer is given up."""
        wire_ms = self.request_ms(request) + self.gap_ms + self.answer_ms(request)
        there_and_back_ms = self.to_line_ms + wire_ms + self.from_line_ms
        return there_and_back_ms + TURNAROUND_FACTOR * turnaround_ms + self.margin_ms


@dataclass(frozen=True, slots=True)
class TcpWire:
    """The timing of a TCP connection, as far as it can be planned."""

    gap_ms: float = 0.0

    def transaction_ms(self, request: Request) -> float:
        """Request and answer; without the device's turn-around."""
        del request
        return 2 * TCP_FRAME_MS

    def sent_ms(self, request: Request) -> float:
        """Time until a request has arrived."""
        del request
        return TCP_FRAME_MS

    def timeout_ms(self, request: Request, turnaround_ms: float) -> float:
        """Time from handing the request over until its answer is given up."""
        del request
        return TURNAROUND_FACTOR * turnaround_ms + TCP_MARGIN_MS


Wire = SerialWire | TcpWire


def wire_of(bus: Bus) -> Wire:
    """Give the timing of a bus."""
    if isinstance(bus, TcpBus):
        return TcpWire()
    if isinstance(bus, ConverterBus):
        return SerialWire(
            *(bus.baud, bus.parity, bus.stop_bits),
            to_line_ms=TCP_FRAME_MS,
            from_line_ms=PACKING_MS + TCP_FRAME_MS,
            margin_ms=TCP_MARGIN_MS,
            listen_ms=LISTEN_MS,
        )
    return SerialWire(bus.baud, bus.parity, bus.stop_bits)


def turn_ms(wire: Wire, device: Device, request: Request) -> float:
    """Give what a request to a device takes of a bus's time, the pause it needs included."""
    pause_ms = max(0.0, device.profile.min_gap_ms - wire.gap_ms)
    return wire.transaction_ms(request) + device.turnaround_ms + pause_ms
