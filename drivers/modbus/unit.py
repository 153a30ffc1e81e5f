"""One device on a bus: its reads compiled into samples, its health, and what it still owes."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field

from drivers.modbus.frames import READS_BITS, Request
from drivers.modbus.health import Backoff, Health, Suspicion
from drivers.modbus.reads import Read, Wanted, barrier_reads, plan_reads, wanted_of
from drivers.modbus.values import FIELDS, Decoder, decoder, words_of_bits, words_of_registers
from drivers.modbus.writes import setup_requests
from gateway.config import Device, Quantity, Site
from gateway.core.ids import OutletId
from gateway.guard.model import DeviceState, Sample

Row = tuple[OutletId, tuple[tuple[str, Decoder], ...]]


@dataclass(frozen=True, slots=True)
class CompiledRead:
    """A planned read, ready to be sent and decoded."""

    read: Read
    request: Request
    rows: tuple[Row, ...]

    def samples(self, data: bytes, at_ms: int, utc_ms: int) -> list[tuple[OutletId, Sample]]:
        """Decode an answer: one sample for each outlet of which it says anything."""
        is_bits = self.request.function in READS_BITS
        words = words_of_bits(data) if is_bits else words_of_registers(data)
        found = []
        for outlet, decoders in self.rows:
            fields = {name: value for name, take in decoders if (value := take(words)) is not None}
            if fields:
                found.append((outlet, Sample(at_ms=at_ms, utc_ms=utc_ms, **fields)))  # type: ignore[arg-type]
        return found


def compile_read(read: Read, unit: int) -> CompiledRead:
    """Prepare the decoders of a planned read."""
    by_outlet: dict[OutletId, list[tuple[str, Decoder]]] = {}
    for item in read.wanted:
        take = decoder(item.quantity, item.value, item.channel, read.address)
        by_outlet.setdefault(item.outlet, []).append((FIELDS[item.quantity], take))
    rows = tuple((outlet, tuple(decoders)) for outlet, decoders in by_outlet.items())
    return CompiledRead(read, read.request(unit), rows)


@dataclass(slots=True, eq=False)
class Unit:
    """What the bus keeps of one device."""

    device: Device
    reads: tuple[CompiledRead, ...]
    setup: tuple[Request, ...]
    health: Health
    suspicion: Suspicion
    shows_relay: frozenset[OutletId]
    """Outlets whose relay's state can be read from this device."""
    cursor: int = 0
    """The next read of the present round."""
    waiting_setup: deque[Request] = field(default_factory=deque)
    unconfirmed: dict[OutletId, bool] = field(default_factory=dict)
    """Writes whose echo is not believed, and what they wanted."""
    ready_s: float = 0.0
    """The device needs silence until then (monotonic)."""
    cut_failed: bool = False
    """Its last cut-off was not answered: others go first, and a poll goes in between."""
    off_failed: bool = False
    """Its last OFF was not answered: it is repeated after the next round."""

    @property
    def may_switch_on(self) -> bool:
        """An ON is only sent to a device that is known to answer, and owes nothing."""
        online = self.health.state is DeviceState.ONLINE or not self.reads
        return online and not self.suspicion.is_suspect


def make_unit(site: Site, device: Device, backoff: Backoff) -> Unit:
    """Plan and compile everything about one device. Raises CorrectInput for an impossible plan."""
    wanted: list[Wanted] = wanted_of(site, device)
    planned = plan_reads(device.profile, wanted)
    return Unit(
        device=device,
        reads=tuple(compile_read(read, device.unit) for read in planned),
        setup=setup_requests(site, device),
        health=Health(backoff),
        suspicion=Suspicion(barrier_reads(planned, device.unit)),
        shows_relay=frozenset(item.outlet for item in wanted if item.quantity is Quantity.RELAY_ON),
    )
