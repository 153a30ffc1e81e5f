"""A driver that runs against a far end of the test's own, and lies that such a one may tell."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

from drivers.modbus.bus import ModbusBus
from gateway.config import Bus, TcpBus
from gateway.core.clock import SystemClock
from gateway.core.ids import BusId, OutletId
from gateway.guard.model import Sample, WriteResult
from tests.support.modbus_peer import Peer, registers, rtu
from tests.support.modbus_site import REF10, Recorder, module_site, profile
from tests.support.waiting import until

BOUND_S = 30.0
TIMEOUT_MS = 60
PATIENT_MS = 10_000
"""Where every request is answered: no answer is late because this machine stood still."""
RIGHT, LIE = {2: 2_300}, {2: 9_999, 0: 0xFFFF}
KIND = profile(
    REF10,
    values={
        "relay_on": {"space": "input", "address": 0, "bit": 0, "bit_stride": 1},
        "voltage_v": {"space": "input", "address": 2, "scale": 0.1},
        "frequency_hz": {"space": "input", "address": 4, "scale": 0.01},
    },
)


RtuLie = Callable[[int, bytes], list[bytes | float]]
RTU_LIES: dict[str, tuple[RtuLie, str | None]] = {
    "silence": (lambda _unit, _pdu: [], None),
    "another unit": (lambda unit, pdu: [rtu(unit + 5, registers(pdu, LIE))], "crc"),
    "a neighbour": (lambda _unit, pdu: [rtu(2, registers(pdu, LIE))], "unit"),
    "another function": (
        lambda unit, pdu: [rtu(unit, b"\x03" + registers(pdu, LIE)[1:])],
        "function",
    ),
    "another count": (
        lambda unit, _pdu: [rtu(unit, registers(b"\x04\x00\x00\x00\x04", LIE))],
        "length",
    ),
    "a wrong check sum": (lambda unit, pdu: [rtu(unit, registers(pdu, LIE))[:-1] + b"\x00"], "crc"),
    "a truncated frame": (lambda unit, pdu: [rtu(unit, registers(pdu, LIE))[:-3]], "length"),
    "an oversized frame": (lambda unit, _pdu: [bytes((unit, 4, 255)) + b"x" * 300], "oversized"),
    "a flood": (lambda _unit, _pdu: [os.urandom(3_000)], None),
    "an answer too late": (lambda unit, pdu: [0.09, rtu(unit, registers(pdu, LIE))], None),
    "an exception": (lambda unit, _pdu: [rtu(unit, b"\x84\x04")], "declined"),
    "an echo of the request": (lambda unit, pdu: [rtu(unit, pdu)], None),
    "zeros": (lambda _unit, _pdu: [b"\x00" * 60], "crc"),
}


def net(port: int, timeout_ms: int = TIMEOUT_MS) -> TcpBus:
    return TcpBus(id=BusId("net"), host="127.0.0.1", port=port, poll_ms=20, timeout_ms=timeout_ms)


@asynccontextmanager
async def running(
    bus: Bus, *units: int, recorder: Recorder | None = None
) -> AsyncIterator[tuple[ModbusBus, Recorder]]:
    recorder = recorder or Recorder()
    site = module_site(bus, *(units or (1,)), kind=KIND, outlets=2)
    driver = ModbusBus(bus, site, recorder, SystemClock())
    owner = asyncio.create_task(driver.run(), name="bus")
    try:
        yield driver, recorder
        assert not owner.done(), owner.exception()
    finally:
        owner.cancel()
        await asyncio.wait([owner])
    assert owner.cancelled()


def voltages(recorder: Recorder) -> set[float | None]:
    return {sample.voltage_v for _, sample in recorder.samples}


def honest(pdu: bytes) -> bytes:
    return registers(pdu, RIGHT) if pdu[0] == 4 else pdu[:5]


class Cutter(Recorder):
    driver: ModbusBus | None = None

    def on_sample(self, outlet_id: OutletId, sample: Sample) -> None:
        super().on_sample(outlet_id, sample)
        if self.driver is not None and sample.frequency_hz == 55.0:
            self.driver.switch_off(outlet_id, urgent=True)


async def cut_over(peer: Peer, driver: ModbusBus, cutter: Cutter, start: int) -> None:
    """See that the requests after the telling answer are the cut-off and then a poll."""
    cutter.driver = driver
    await until(lambda: any(not wanted_on for _, wanted_on, _ in cutter.writes))
    functions = [request[start] for request in peer.asked]
    # On a connection the first leaves at once, alone; on a line both go in one write.
    at = next(place for place, function in enumerate(functions) if function in (5, 15))
    assert functions[at - 1] == 4
    assert cutter.writes[0] == ("m1-1", False, WriteResult.DONE)
