"""The register image of a device: profile and outlets in, words and bits out."""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from itertools import pairwise
from operator import attrgetter

from simulators.codec import ILLEGAL_ADDRESS, ILLEGAL_VALUE, ModbusException, Space
from simulators.outlet import SimOutlet
from simulators.physics import Reading
from simulators.profiles import WORDS_OF_TYPE, SimProfile, Value

RANGES = {
    "u16": (0, 0xFFFF),
    "s16": (-0x8000, 0x7FFF),
    "u32": (0, 0xFFFF_FFFF),
    "s32": (-0x8000_0000, 0x7FFF_FFFF),
    "u64": (0, 0xFFFF_FFFF_FFFF_FFFF),
    "s64": (-0x8000_0000_0000_0000, 0x7FFF_FFFF_FFFF_FFFF),
}


@dataclass(slots=True)
class Channel:
    """One channel of a device: whose current it measures, and whose relay it moves."""

    meter: SimOutlet
    relay: SimOutlet
    alarm: bool = False
    """Set by the module's own limits until the relay is written again."""
    input_on: bool = False
    """Whether current flows in its digital input."""


class Moment:
    """All channels at one moment; each is read at most once."""

    def __init__(self, channels: Sequence[Channel], now_s: float) -> None:
        self.channels = channels
        self.now_s = now_s
        self._readings: list[Reading | None] = [None] * len(channels)

    def reading(self, index: int) -> Reading:
        """Read channel ``index`` (from 0)."""
        reading = self._readings[index]
        if reading is None:
            reading = self._readings[index] = self.channels[index].meter.reading(self.now_s)
        return reading


def quantity_of(moment: Moment, index: int, quantity: str) -> float:
    """Physical value (1 or 0 for states) of a quantity of one channel.

    Beside the profiles' quantities: ``contact``, whether the main contact is closed, and
    ``output``, what the relay was told.
    """
    channel = moment.channels[index]
    if quantity == "relay_on":
        channel.relay.advance(moment.now_s)
        return float(channel.relay.relay.coil_on)
    if quantity == "contact":
        channel.relay.advance(moment.now_s)
        return float(channel.relay.relay.contact_closed)
    if quantity == "output":
        return float(channel.relay.relay.commanded_on)
    if quantity == "alarm":
        return float(channel.alarm)
    if quantity == "input_on":
        return float(channel.input_on)
    if quantity == "temperature_c":
        return channel.meter.temperature_c
    return float(getattr(moment.reading(index), quantity))


def shared_quantity(moment: Moment, quantity: str) -> float:
    """Value that a device has once for all channels: hottest, any, or the first one's."""
    if quantity in ("temperature_c", "alarm", "relay_on"):
        every = range(len(moment.channels))
        return max(quantity_of(moment, index, quantity) for index in every)
    return quantity_of(moment, 0, quantity)


def encode(value: Value, physical: float) -> tuple[int, ...]:
    """Words of a physical value, lowest address first; saturates at the type's range."""
    raw = (physical - value.offset) / value.scale
    words: tuple[int, ...]
    if value.type == "float32":
        words = struct.unpack(">HH", struct.pack(">f", raw))
    else:
        low, high = RANGES[value.type]
        number = min(high, max(low, round(raw)))
        shifts = range(16 * WORDS_OF_TYPE[value.type] - 16, -1, -16)
        words = tuple(number >> shift & 0xFFFF for shift in shifts)
    return words[::-1] if value.low_word_first else words


Reader = Callable[[Moment], int]


class RegisterImage:
    """Answers reads of any mapped address. Holes up to ``read_across`` read as 0.

    A device of ``whole_reads`` answers no read that begins or ends inside of a block.

    A wider hole, an address beyond the map and one that must never be read are an illegal
    address, as on a device that checks its own map.
    """

    def __init__(
        self, profile: SimProfile, memory: dict[tuple[Space, int], int] | None = None
    ) -> None:
        self._profile = profile
        self.memory = dict(memory or {})
        """Plain registers that can be written and read back."""
        self._readers: dict[Space, dict[int, Reader]] = {space: {} for space in Space}
        self._bits: dict[tuple[Space, int], list[tuple[int, Reader]]] = {}
        self.current_at: list[tuple[Space, range]] = []
        """Where each channel's current lies."""
        for value in profile.values:
            self._map_value(value)
        for (space, address), parts in self._bits.items():
            self._readers[space][address] = _joined(parts)
        self._map_relays()
        for space, address in self.memory:
            self._readers[space][address] = self._memory_reader(space, address)
        self._holes = {space: self._holes_of(readers) for space, readers in self._readers.items()}

    def read(self, space: Space, address: int, count: int, moment: Moment) -> list[int]:
        """Words (or 0 and 1) of a span. Raises ModbusException 02 and 03."""
        bits = space in (Space.COIL, Space.DISCRETE)
        if count > (self._profile.max_read_bits if bits else self._profile.max_read_registers):
            raise ModbusException(ILLEGAL_VALUE)
        readers = self._readers[space]
        holes = self._holes[space]
        span = range(address, address + count)
        for low, high in self._profile.never_read.get(space, ()):
            if span.start <= high and low < span.stop:
                raise ModbusException(ILLEGAL_ADDRESS)
        if any(at not in readers and at not in holes for at in span):
            raise ModbusException(ILLEGAL_ADDRESS)
        if self._profile.whole_reads and any(
            at in readers or at in holes for at in (span.start - 1, span.stop)
        ):
            raise ModbusException(ILLEGAL_VALUE)
        return [readers[at](moment) if at in readers else 0 for at in span]

    def _map_value(self, value: Value) -> None:
        channels = range(self._profile.channels)
        if value.is_shared:
            self._map_words(value, value.address, _shared(value))
            if value.quantity == "current_a":
                self._note_current(value, value.address)
            return
        quantity = "contact" if _is_feedback(value) else value.quantity
        for index in channels:
            address = value.address + index * value.stride
            reader = _of_channel(quantity, index)
            if value.bit is None and value.space in (Space.HOLDING, Space.INPUT):
                self._map_words(value, address, reader)
                if value.quantity == "current_a":
                    self._note_current(value, address)
            else:
                bit = (value.bit or 0) + index * value.bit_stride
                self._map_bit(value, address, bit, reader)

    def _note_current(self, value: Value, address: int) -> None:
        span = range(address, address + WORDS_OF_TYPE[value.type])
        self.current_at.append((value.space, span))

    def _map_words(self, value: Value, address: int, physical: Callable[[Moment], float]) -> None:
        if value.bit is not None or value.space in (Space.COIL, Space.DISCRETE):
            self._map_bit(value, address, value.bit or 0, physical)
            return
        for word in range(WORDS_OF_TYPE[value.type]):
            self._readers[value.space][address + word] = _word(value, word, physical)

    def _map_bit(
        self, value: Value, address: int, bit: int, physical: Callable[[Moment], float]
    ) -> None:
        parts = self._bits.setdefault((value.space, address + bit // 16), [])
        parts.append((bit % 16, lambda moment: int(physical(moment) != 0)))

    def _map_relays(self) -> None:
        relay = self._profile.relay
        if relay is None or relay.style == "command":
            return
        # A board that drives a contactor does not know what its contacts do.
        has_feedback = any(_is_feedback(value) for value in self._profile.values)
        quantity = "output" if has_feedback else "relay_on"
        for index in range(self._profile.channels):
            address = relay.address + index * relay.stride
            on, off = (1, 0) if relay.space is Space.COIL else (relay.on, relay.off)
            self._readers[relay.space].setdefault(address, _relay_reader(quantity, index, on, off))

    def _memory_reader(self, space: Space, address: int) -> Reader:
        return lambda _moment: self.memory[space, address]

    def _holes_of(self, addresses: Iterable[int]) -> frozenset[int]:
        holes: set[int] = set()
        known = sorted(addresses)
        for before, after in pairwise(known):
            if 1 < after - before <= self._profile.read_across + 1:
                holes.update(range(before + 1, after))
        return frozenset(holes)


def _shared(value: Value) -> Callable[[Moment], float]:
    return lambda moment: shared_quantity(moment, value.quantity)


def _is_feedback(value: Value) -> bool:
    """Say whether an auxiliary contact tells, which is linked to the main contact."""
    return value.quantity == "relay_on" and value.space is Space.DISCRETE


def _of_channel(quantity: str, index: int) -> Callable[[Moment], float]:
    if quantity in Reading.__slots__:
        shown = attrgetter(quantity)
        return lambda moment: float(shown(moment.reading(index)))
    return lambda moment: quantity_of(moment, index, quantity)


def _word(value: Value, word: int, physical: Callable[[Moment], float]) -> Reader:
    if WORDS_OF_TYPE[value.type] > 1:
        return lambda moment: encode(value, physical(moment))[word]
    # Most registers by far, and a hundred modules are read a second: no detour for them.
    offset, scale = value.offset, value.scale
    low, high = RANGES[value.type]

    def single(moment: Moment) -> int:
        number = round((physical(moment) - offset) / scale)
        return (low if number < low else min(number, high)) & 0xFFFF

    return single


def _joined(parts: Sequence[tuple[int, Reader]]) -> Reader:
    return lambda moment: sum(reader(moment) << bit for bit, reader in parts)


def _relay_reader(quantity: str, index: int, on: int, off: int) -> Reader:
    def read(moment: Moment) -> int:
        return on if quantity_of(moment, index, quantity) else off

    return read
