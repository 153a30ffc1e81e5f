"""The driver on a real pseudo-terminal, against a hostile far end."""

from __future__ import annotations

import asyncio
import os
import pty
import tty
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path

import pytest
import uvloop

from drivers.modbus.bus import ModbusBus
from gateway.config import RtuBus
from gateway.core.clock import SystemClock
from gateway.core.ids import BusId
from gateway.guard.model import BusState, WriteResult
from tests.support.loops import Loop, on_either_loop
from tests.support.modbus_peer import PtyPeer, registers, rtu
from tests.support.modbus_site import Recorder, module_site
from tests.support.modbus_wires import (
    KIND,
    PATIENT_MS,
    RIGHT,
    RTU_LIES,
    TIMEOUT_MS,
    Cutter,
    cut_over,
    honest,
    running,
    voltages,
)
from tests.support.waiting import until


@asynccontextmanager
async def serial(peer: PtyPeer, timeout_ms: int = TIMEOUT_MS) -> AsyncIterator[RtuBus]:
    try:
        yield RtuBus(
            id=BusId("line"),
            port=str(peer.path),
            baud=115_200,
            poll_ms=20,
            timeout_ms=timeout_ms,
        )
    finally:
        peer.close()


@pytest.mark.parametrize("name", RTU_LIES)
def test_lies_on_a_serial_line_are_never_values(name: str, tmp_path: Path) -> None:
    lie, counted_as = RTU_LIES[name]

    async def main() -> None:
        lies = 2

        def answer(request: bytes) -> list[bytes | float]:
            nonlocal lies
            unit, pdu = request[0], request[1:-2]
            if unit == 1 and lies:
                lies -= 1
                return lie(unit, pdu)
            return [rtu(unit, honest(pdu))]

        peer = PtyPeer(tmp_path / "tty", answer)
        async with serial(peer) as bus, running(bus, 1, 2) as (driver, recorder):
            await until(lambda: {name for name, _ in recorder.samples} >= {"m1-1", "m2-1"})
            errors = driver.stats().errors
        assert voltages(recorder) == {230.0}
        if counted_as is not None:
            assert errors[counted_as] >= 1

    uvloop.run(main())


@on_either_loop
def test_noise_before_an_answer_and_an_answer_in_pieces_do_no_harm(
    run: Loop, tmp_path: Path
) -> None:
    async def main() -> None:
        def answer(request: bytes) -> list[bytes | float]:
            whole = rtu(request[0], honest(request[1:-2]))
            return [b"\x00\xff", whole[:4], 0.002, whole[4:5], 0.002, whole[5:]]

        peer = PtyPeer(tmp_path / "tty", answer)
        async with serial(peer, PATIENT_MS) as bus, running(bus) as (driver, recorder):
            await until(lambda: len(recorder.samples) >= 6)
            assert driver.stats().timeouts == 0
        assert voltages(recorder) == {230.0}

    run(main())


@on_either_loop
def test_an_overload_on_a_line_is_cut_by_the_next_request(run: Loop, tmp_path: Path) -> None:
    async def main() -> None:
        def answer(request: bytes) -> list[bytes | float]:
            pdu = request[1:-2]
            if pdu[0] == 4:
                over = cutter.driver is not None and not cutter.writes
                values = RIGHT | {4: 5_500 if over else 5_000}
                return [rtu(request[0], registers(pdu, values))]
            return [rtu(request[0], pdu[:5])]

        cutter = Cutter()
        peer = PtyPeer(tmp_path / "tty", answer)
        async with serial(peer, PATIENT_MS) as bus, running(bus, recorder=cutter) as (driver, _):
            await until(lambda: bool(cutter.samples))
            await cut_over(peer, driver, cutter, 1)

    run(main())


@on_either_loop
def test_a_converter_that_is_pulled_out_and_plugged_in_again(run: Loop, tmp_path: Path) -> None:
    def answer(request: bytes) -> list[bytes | float]:
        return [rtu(request[0], honest(request[1:-2]))]

    async def main() -> None:
        peer = PtyPeer(tmp_path / "tty", answer)
        async with serial(peer) as bus, running(bus) as (_, recorder):
            await until(lambda: bool(recorder.samples))
            peer.unplug()
            await until(lambda: recorder.buses[-1][1] is BusState.LOST)
            assert "plug" in recorder.buses[-1][2]
            await asyncio.sleep(0.3)
            reasons = [detail for _, state, detail in recorder.buses if state is BusState.LOST]
            assert len(reasons) == len(set(reasons)) <= 2, "told anew only for another reason"
            recorder.samples.clear()
            again = PtyPeer(tmp_path / "tty", answer)
            await until(lambda: bool(recorder.samples))
            assert recorder.buses[-1][1] is BusState.OPEN
            again.close()

    run(main())


@on_either_loop
def test_a_port_that_is_not_there_or_not_a_port_says_what_to_do(run: Loop, tmp_path: Path) -> None:
    async def main(path: Path, words: str) -> None:
        bus = RtuBus(id=BusId("line"), port=str(path))
        async with running(bus) as (_, recorder):
            await until(lambda: len(recorder.buses) >= 2)
            _, state, detail = recorder.buses[1]
        assert state is BusState.LOST
        assert words in detail
        assert "\n" not in detail

    run(main(tmp_path / "none", "does not exist: plug it in"))
    plain = tmp_path / "file"
    plain.write_text("")
    run(main(plain, "is it a serial port?"))


@on_either_loop
def test_a_port_that_another_program_holds_is_not_shared(run: Loop, tmp_path: Path) -> None:
    async def main() -> None:
        peer = PtyPeer(tmp_path / "tty", lambda request: [rtu(request[0], honest(request[1:-2]))])
        async with serial(peer) as bus, running(bus) as (_, first):
            await until(lambda: bool(first.samples))
            async with running(bus) as (_, second):
                await until(lambda: len(second.buses) >= 2)
                assert "is taken by another program" in second.buses[1][2]

    run(main())


@on_either_loop
def test_all_off_on_real_wires_needs_no_running_driver(run: Loop, tmp_path: Path) -> None:
    async def main() -> None:
        relays = 0b11

        def answer(request: bytes) -> list[bytes | float]:
            nonlocal relays
            pdu = request[1:-2]
            if pdu[0] == 15:
                relays = 0
            pdu = registers(pdu, RIGHT | {0: relays}) if pdu[0] == 4 else pdu[:5]
            return [rtu(request[0], pdu)]

        peer = PtyPeer(tmp_path / "tty", answer)
        async with serial(peer, PATIENT_MS) as bus:
            site = module_site(bus, 1, kind=KIND, outlets=2)
            driver = ModbusBus(bus, site, Recorder(), SystemClock())
            assert await driver.all_off() == [
                ("m1-1", WriteResult.DONE),
                ("m1-2", WriteResult.DONE),
            ]
            assert await driver.all_off() == [
                ("m1-1", WriteResult.DONE),
                ("m1-2", WriteResult.DONE),
            ]

    run(main())


def bus_is_open(recorder: Recorder) -> bool:
    return BusState.OPEN in [state for _, state, _ in recorder.buses]


@on_either_loop
def test_cancelling_leaves_no_descriptor_behind(run: Loop) -> None:
    def descriptors(port: str) -> int:
        count = 0
        for path in Path("/proc/self/fd").iterdir():
            with suppress(FileNotFoundError):  # that of this very listing
                count += path.readlink() == Path(port)
        return count

    async def main() -> None:
        master, slave = pty.openpty()
        tty.setraw(slave)
        bus = RtuBus(id=BusId("line"), port=os.ttyname(slave))
        assert descriptors(bus.port) == 1
        for delay_s in (0.0, 0.001, 0.05):
            async with running(bus):
                await asyncio.sleep(delay_s)
        async with running(bus) as (_, recorder):
            await until(lambda: bus_is_open(recorder))
            assert descriptors(bus.port) == 2
        await until(lambda: descriptors(bus.port) == 1)
        os.close(master)
        os.close(slave)

    run(main())
