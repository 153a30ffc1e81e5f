"""Sites of Modbus devices for tests, built without files, and a sink that writes down."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from gateway.config import Bus, Channel, Device, Outlet, Profile, Site
from gateway.core.ids import BusId, DeviceId, OutletId, PileId, StationId
from gateway.guard.limits import Limits
from gateway.guard.model import BusState, DeviceState, Sample, WriteResult

REF10: dict[str, Any] = {
    "profile": "ref10",
    "name": "ten outlets",
    "source": "tests",
    "channels": 10,
    "max_read_registers": 60,
    "read_across": 4,
    "values": {
        "current_a": {"space": "input", "address": 4, "stride": 1, "scale": 0.01},
        "power_w": {"space": "input", "address": 14, "stride": 1, "scale": 0.1},
        "energy_wh": {"space": "input", "address": 24, "stride": 2, "type": "u32"},
        "voltage_v": {"space": "input", "address": 2, "scale": 0.1},
        "temperature_c": {"space": "input", "address": 3, "type": "s16", "scale": 0.1},
        "relay_on": {"space": "input", "address": 0, "bit": 0, "bit_stride": 1},
        "alarm": {"space": "input", "address": 1, "bit": 0, "bit_stride": 1},
    },
    "relay": {"style": "coil", "address": 0, "multiple": True},
}
SETUP: dict[str, Any] = {
    "module_limits": [
        {"limit": "overcurrent_instant.above_a", "address": 10, "scale": 0.01, "when_off": 0}
    ],
    "watchdog": {"address": 0, "value": 10},
}
METER: dict[str, Any] = {
    "profile": "meter",
    "name": "a meter of one channel",
    "source": "tests",
    "channels": 1,
    "values": {
        "voltage_v": {"space": "input", "address": 0, "scale": 0.1},
        "current_a": {
            "space": "input",
            "address": 1,
            "type": "u32",
            "word_order": "low_first",
            "scale": 0.001,
        },
        "power_w": {
            "space": "input",
            "address": 3,
            "type": "u32",
            "word_order": "low_first",
            "scale": 0.1,
        },
    },
}
BOARD: dict[str, Any] = {
    "profile": "board",
    "name": "eight relays",
    "source": "tests",
    "channels": 8,
    "max_read_bits": 8,
    "values": {"relay_on": {"space": "coil", "address": 0, "stride": 1}},
    "relay": {"style": "coil", "address": 0, "multiple": True},
}


def profile(*parts: dict[str, Any], **changes: Any) -> Profile:
    """Merge parts of a profile file into a profile."""
    merged: dict[str, Any] = {}
    for part in (*parts, changes):
        merged |= part
    return Profile.model_validate(merged, strict=False)


def device(device_id: str, bus: str, unit: int, kind: Profile) -> Device:
    return Device(
        id=DeviceId(device_id),
        bus=BusId(bus),
        unit=unit,
        profile=kind,
        turnaround_ms=kind.turnaround_ms,
    )


def outlet(
    outlet_id: str,
    relay: tuple[str, int],
    meter: tuple[str, int] | None = None,
    limits: Limits | None = None,
) -> Outlet:
    """An outlet; without a meter of its own it is measured where it is switched."""
    return Outlet(
        id=OutletId(outlet_id),
        name=outlet_id,
        pile=PileId("pile"),
        station=StationId("station"),
        relay=Channel(device=DeviceId(relay[0]), channel=relay[1]),
        meter=Channel(device=DeviceId((meter or relay)[0]), channel=(meter or relay)[1]),
        limits=limits or Limits(),
        origins={},
    )


def site(buses: tuple[Bus, ...], devices: tuple[Device, ...], outlets: tuple[Outlet, ...]) -> Site:
    return Site(
        id="test",
        name="test",
        file=Path("test.yaml"),
        state_dir=Path("state"),
        promise_cut_off_ms=2_500,
        buses=buses,
        devices=devices,
        outlets=outlets,
        piles=(),
        stations=(),
    )


def module_site(bus: Bus, *units: int, kind: Profile | None = None, outlets: int = 10) -> Site:
    """Build a site of modules ``m<unit>`` with outlets ``m<unit>-<channel>``."""
    kind = kind or profile(REF10)
    return site(
        (bus,),
        tuple(device(f"m{unit}", bus.id, unit, kind) for unit in units),
        tuple(
            outlet(f"m{unit}-{channel}", (f"m{unit}", channel))
            for unit in units
            for channel in range(1, outlets + 1)
        ),
    )


@dataclass
class Recorder:
    """A sink that keeps what it is told, in order. ``on_power`` may act at once."""

    samples: list[tuple[str, Sample]] = field(default_factory=list)
    alive: list[tuple[str, int]] = field(default_factory=list)
    writes: list[tuple[str, bool, WriteResult]] = field(default_factory=list)
    devices: list[tuple[str, DeviceState, str]] = field(default_factory=list)
    buses: list[tuple[str, BusState, str]] = field(default_factory=list)

    def on_sample(self, outlet_id: OutletId, sample: Sample) -> None:
        self.samples.append((outlet_id, sample))

    def on_alive(self, outlet_id: OutletId, at_ms: int) -> None:
        self.alive.append((outlet_id, at_ms))

    def on_write(self, outlet_id: OutletId, wanted_on: bool, result: WriteResult) -> None:
        self.writes.append((outlet_id, wanted_on, result))

    def on_device(self, device_id: DeviceId, state: DeviceState, detail: str) -> None:
        self.devices.append((device_id, state, detail))

    def on_bus(self, bus: BusId, state: BusState, detail: str) -> None:
        self.buses.append((bus, state, detail))

    def last(self, outlet_id: str) -> Sample:
        return next(sample for name, sample in reversed(self.samples) if name == outlet_id)
