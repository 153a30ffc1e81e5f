"""One device on a bus: its reads compiled into samples, its health, and what it still owes."""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import NamedTuple

from drivers.modbus.frames import READS_BITS, Request
from drivers.modbus.health import Backoff, Health, Suspicion
from drivers.modbus.ladder import MOST_KEPT, Ladder, Level
from drivers.modbus.reads import Read, barrier_reads
from drivers.modbus.schedule import Due, Pace
from drivers.modbus.values import FIELDS, Decoder, Words, decoder, words_of_bits, words_of_registers
from drivers.modbus.writes import setup_requests
from gateway.config import Device, Quantity, Site
from gateway.core.ids import OutletId
from gateway.guard.model import DeviceState, Sample

NOTHING_READ = Due(-math.inf, -math.inf)
"""What is due of a device of which nothing is known."""


class Row(NamedTuple):
    """What a read says about one outlet."""

    outlet: OutletId
    fields: tuple[tuple[str, Decoder], ...]
    """Fields of a sample, and what takes them out of an answer."""
    load: Decoder | None
    """Takes out what the outlet draws, in whatever unit the read has."""


@dataclass(frozen=True, slots=True)
class CompiledRead:
    """A planned read, ready to be sent and decoded."""

    read: Read
    request: Request
    rows: tuple[Row, ...]

    def samples(self, data: bytes, at_ms: int, utc_ms: int) -> Iterator[tuple[OutletId, Sample]]:
        """Decode an answer: one sample for each outlet of which it says anything.

        The outlets that draw most come first, each decoded when its turn comes.
        """
        is_bits = self.request.function in READS_BITS
        words = words_of_bits(data) if is_bits else words_of_registers(data)
        for row in sorted(self.rows, key=lambda row: _load(row, words), reverse=True):
            fields = {
                name: value for name, take in row.fields if (value := take(words)) is not None
            }
            if fields:
                yield row.outlet, Sample(at_ms=at_ms, utc_ms=utc_ms, **fields)  # type: ignore[arg-type]


def _load(row: Row, words: Words) -> float:
    return 0.0 if row.load is None else abs(row.load(words) or 0.0)


def compile_read(read: Read, unit: int) -> CompiledRead:
    """Prepare the decoders of a planned read."""
    by_outlet: dict[OutletId, dict[Quantity, Decoder]] = {}
    for item in read.wanted:
        take = decoder(item.quantity, item.value, item.channel, read.address)
        by_outlet.setdefault(item.outlet, {})[item.quantity] = take
    rows = tuple(
        Row(
            outlet,
            tuple((FIELDS[quantity], take) for quantity, take in decoders.items()),
            decoders.get(Quantity.CURRENT_A) or decoders.get(Quantity.POWER_W),
        )
        for outlet, decoders in by_outlet.items()
    )
    return CompiledRead(read, read.request(unit), rows)


@dataclass(slots=True, eq=False)
class Unit:
    """What the bus keeps of one device."""

    device: Device
    ladder: Ladder
    reads: tuple[CompiledRead, ...]
    """Those of a whole turn."""
    setup: tuple[Request, ...]
    health: Health
    suspicion: Suspicion
    shows_relay: frozenset[OutletId]
    """Outlets whose relay's state can be read from this device."""
    due: Due = NOTHING_READ
    read_ms: Due = NOTHING_READ
    """When its values were read last."""
    turned_ms: float = -math.inf
    """When its last turn was over."""
    takes_parts: bool = True
    """Whether it answers reads of parts of what it can be asked."""
    waiting_setup: deque[Request] = field(default_factory=deque)
    unconfirmed: dict[OutletId, bool] = field(default_factory=dict)
    """Writes whose echo is not believed, and what they wanted."""
    ready_s: float = 0.0
    """The device needs silence until then (monotonic)."""
    cut_failed: bool = False
    """Its last cut-off was not answered: others go first, and a poll goes in between."""
    joined_missed: int = 0
    """Joined writes in a row that it left unanswered although it answers otherwise."""
    off_failed: bool = False
    """Its last OFF was not answered: it is repeated after the next round."""

    _compiled: dict[tuple[Read, ...], tuple[CompiledRead, ...]] = field(default_factory=dict)

    def compiled(self, reads: tuple[Read, ...]) -> tuple[CompiledRead, ...]:
        """Give reads ready to be sent; they are compiled once."""
        found = self._compiled.get(reads)
        if found is None:
            found = tuple(compile_read(read, self.device.unit) for read in reads)
            if len(self._compiled) >= MOST_KEPT:
                self._compiled.clear()
            self._compiled[reads] = found
        return found

    def was_read(self, level: Level, at_ms: float, pace: Pace | None) -> None:
        """Note that a turn was answered."""
        if level is Level.LEAD:
            return
        self.read_ms = Due(at_ms, at_ms if level is Level.WHOLE else self.read_ms.whole_ms)
        if pace is not None:
            self.due = self.due.after(level, at_ms, pace)

    @property
    def may_switch_on(self) -> bool:
        """An ON is only sent to a device that is known to answer, and owes nothing."""
        online = self.health.state is DeviceState.ONLINE or not self.reads
        return online and not self.suspicion.is_suspect


def make_unit(site: Site, device: Device, ladder: Ladder, backoff: Backoff) -> Unit:
    """Compile everything about one device."""
    return Unit(
        device=device,
        ladder=ladder,
        reads=tuple(compile_read(read, device.unit) for read in ladder.whole),
        setup=setup_requests(site, device),
        health=Health(backoff),
        suspicion=Suspicion(barrier_reads(ladder.whole, device.unit, in_parts=ladder.in_parts)),
        shows_relay=frozenset(
            item.outlet
            for read in ladder.whole
            for item in read.wanted
            if item.quantity is Quantity.RELAY_ON
        ),
    )
