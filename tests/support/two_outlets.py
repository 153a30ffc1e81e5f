"""A scripted line with modules of two outlets, and a guard that cuts what is over 10 A."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from gateway.config import RtuBus, Site, TcpBus
from gateway.core.ids import BusId, OutletId
from gateway.guard.model import Sample, WriteResult
from tests.support.modbus_script import Stage
from tests.support.modbus_site import (
    Recorder,
    module_site,
    profile,
)
from tests.support.virtual_loop import run_virtually

LINE = RtuBus(id=BusId("line"), port="/dev/none", baud=9_600, poll_ms=1_000)
NET = TcpBus(id=BusId("net"), host="127.0.0.1", poll_ms=1_000)
TWO: dict[str, Any] = {
    "profile": "two",
    "name": "two outlets",
    "source": "tests",
    "channels": 2,
    "read_across": 4,
    "values": {
        "relay_on": {"space": "input", "address": 0, "bit": 0, "bit_stride": 1},
        "voltage_v": {"space": "input", "address": 2, "scale": 0.1},
        "current_a": {"space": "input", "address": 3, "stride": 1, "scale": 0.01},
    },
    "relay": {"style": "coil", "address": 0, "multiple": True},
}
"""A module of two outlets. Registers: 0 relays, 1 alarms, 2 voltage, 3 and 4 currents."""
ASK1 = "> 01 04 00 00 00 05 *"
ASK2 = "> 02 04 00 00 00 05 *"
OFF = "00 00 00 00 08 fc"
DONE, FAILED, DROPPED = WriteResult.DONE, WriteResult.FAILED, WriteResult.DROPPED


def says(unit: int, relays: int = 0, first_ca: int = 0, second_ca: int = 0) -> str:
    """An answer of a module of two outlets at 230 V."""
    return f"{unit:02x} 04 0a {relays:04x} 0000 08fc {first_ca:04x} {second_ca:04x} *"


def at_ms(stage: Stage) -> list[int]:
    return [sample.at_ms for _, sample in stage.recorder.samples]


def two(*units: int) -> Site:
    return module_site(LINE, *units, kind=profile(TWO), outlets=2)


class Cutter(Recorder):
    """Acts like the guard: cuts what is over 10 A, in the same call."""

    switch_off: Callable[..., None]

    def on_sample(self, outlet_id: OutletId, sample: Sample) -> None:
        super().on_sample(outlet_id, sample)
        if sample.current_a is not None and sample.current_a > 10:
            self.switch_off(outlet_id, urgent=True)


def play_cutting(bus: RtuBus, site_: Site, transcript: str) -> Stage:
    async def main() -> Stage:
        cutter = Cutter()
        stage = Stage(bus, site_, cutter)
        cutter.switch_off = stage.bus.switch_off
        await stage.play(transcript)
        return stage

    return run_virtually(main())
