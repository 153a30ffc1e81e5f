"""A driver that runs against a far end of the test's own, and lies that such a one may tell."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

from drivers.modbus.bus import ModbusBus
from gateway.config import Bus
from gateway.core.clock import SystemClock
from tests.support.modbus_peer import registers, rtu
from tests.support.modbus_site import REF10, Recorder, module_site, profile

BOUND_S = 30.0
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


async def until(true: Callable[[], bool]) -> None:
    async with asyncio.timeout(BOUND_S):
        while not true():
            await asyncio.sleep(0.005)


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
