"""The driver on real loopback sockets and a real pseudo-terminal, against a hostile far end."""

from __future__ import annotations

import asyncio
import os
import pty
import tty
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any

import pytest
import uvloop

from drivers.modbus.bus import ModbusBus
from gateway.config import RtuBus, TcpBus
from gateway.core.clock import SystemClock
from gateway.core.ids import BusId, OutletId
from gateway.guard.model import BusState, DeviceState, Sample, WriteResult
from tests.support.modbus_peer import CLOSE, Peer, PtyPeer, registers, rtu, tcp, tcp_peer
from tests.support.modbus_site import Recorder, module_site
from tests.support.modbus_wires import (
    KIND,
    LIE,
    RIGHT,
    RTU_LIES,
    honest,
    running,
    until,
    voltages,
)

TIMEOUT_MS = 60
PATIENT_MS = 10_000
"""Where every request is answered: no answer is late because this machine stood still."""
Loop = Callable[[Any], Any]


@pytest.fixture(params=["asyncio", "uvloop"])
def run(request: pytest.FixtureRequest) -> Loop:
    """Run on either event loop."""
    return uvloop.run if request.param == "uvloop" else asyncio.run


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


def net(port: int, timeout_ms: int = TIMEOUT_MS) -> TcpBus:
    return TcpBus(id=BusId("net"), host="127.0.0.1", port=port, poll_ms=20, timeout_ms=timeout_ms)


# ------------------------------------------------------------------ TCP

TcpLie = Callable[[bytes, int, bytes], list[bytes | float]]
TCP_LIES: dict[str, tuple[TcpLie, str | None]] = {
    "silence": (lambda _tid, _unit, _pdu: [], None),
    "another unit": (lambda tid, unit, pdu: [tcp(tid, unit + 1, registers(pdu, LIE))], "unit"),
    "another function": (
        lambda tid, unit, pdu: [tcp(tid, unit, b"\x03" + registers(pdu, LIE)[1:])],
        "function",
    ),
    "another count": (
        lambda tid, unit, _pdu: [tcp(tid, unit, registers(b"\x04\x00\x00\x00\x04", LIE))],
        "length",
    ),
    "a wrong byte count": (
        lambda tid, unit, pdu: [tcp(tid, unit, b"\x04\x04" + registers(pdu, LIE)[2:])],
        "length",
    ),
    "another transaction": (
        lambda tid, unit, pdu: [
            tcp(bytes((tid[0], tid[1] ^ 1)), unit, registers(pdu, LIE)),
        ],
        "transaction",
    ),
    "another protocol": (
        lambda tid, unit, pdu: [tcp(tid, unit, registers(pdu, LIE), protocol=1)],
        "transaction",
    ),
    "a truncated frame": (lambda tid, unit, pdu: [tcp(tid, unit, registers(pdu, LIE))[:-3]], None),
    "an oversized frame": (
        lambda tid, _unit, _pdu: [tid + b"\x00\x00\xff\xff" + b"x" * 500],
        "oversized",
    ),
    "a frame of nothing": (lambda tid, _unit, _pdu: [tid + b"\x00\x00\x00\x01\x01"], "length"),
    "a web server": (lambda _tid, _unit, _pdu: [b"HTTP/1.1 400 Bad Request\r\n\r\n"], "oversized"),
    "a flood": (lambda _tid, _unit, _pdu: [os.urandom(200_000)], None),
    "hanging up": (lambda _tid, _unit, _pdu: [CLOSE], None),
    "an answer too late": (
        lambda tid, unit, pdu: [0.15, tcp(tid, unit, registers(pdu, LIE))],
        None,
    ),
    "an exception": (lambda tid, unit, _pdu: [tcp(tid, unit, b"\x84\x04")], "declined"),
}


@pytest.mark.parametrize("name", TCP_LIES)
def test_lies_on_tcp_are_never_values_and_the_truth_is_taken_again(name: str) -> None:
    lie, counted_as = TCP_LIES[name]

    async def main() -> None:
        lies = 2

        def answer(request: bytes) -> list[bytes | float]:
            nonlocal lies
            tid, unit, pdu = request[:2], request[6], request[7:]
            if lies:
                lies -= 1
                return lie(tid, unit, pdu)
            return [tcp(tid, unit, honest(pdu))]

        async with tcp_peer(answer) as peer, running(net(peer.port)) as (driver, recorder):
            await until(lambda: bool(recorder.samples))
            errors = driver.stats().errors
        assert voltages(recorder) == {230.0}
        assert lies == 0
        if counted_as is not None:
            assert errors[counted_as] >= 1

    uvloop.run(main())


@pytest.mark.parametrize("unit", [0, 255])
def test_a_device_with_a_connection_of_its_own_is_sampled_and_switched(unit: int) -> None:
    async def main() -> None:
        def answer(request: bytes) -> list[bytes | float]:
            return [tcp(request[:2], request[6], honest(request[7:]))]

        async with (
            tcp_peer(answer) as peer,
            running(net(peer.port, PATIENT_MS), unit) as (driver, recorder),
        ):
            await until(lambda: bool(recorder.samples))
            outlet = OutletId(recorder.samples[0][0])
            driver.switch_off(outlet, urgent=True)
            await until(lambda: (outlet, False, WriteResult.DONE) in recorder.writes)
        assert {request[6] for request in peer.asked} == {unit}
        assert voltages(recorder) == {230.0}

    uvloop.run(main())


def test_a_late_answer_on_a_shared_connection_is_known_by_its_transaction(run: Loop) -> None:
    async def main() -> None:
        first = True
        owed: list[bytes] = []

        def answer(request: bytes) -> list[bytes | float]:
            nonlocal first
            tid, unit, pdu = request[:2], request[6], request[7:]
            if unit == 1 and first:
                first = False
                owed.append(tcp(tid, unit, registers(pdu, LIE)))
                return []
            # What is owed comes just before the answer to the next request.
            late = owed.copy()
            owed.clear()
            return [*late, tcp(tid, unit, honest(pdu))]

        async with (
            tcp_peer(answer) as peer,
            running(net(peer.port, 1_000), 1, 2) as (driver, recorder),
        ):
            await until(lambda: {name for name, _ in recorder.samples} >= {"m1-1", "m2-1"})
            await until(lambda: driver.stats().errors.get("transaction", 0) >= 1)
            assert peer.connections == 1
        assert voltages(recorder) == {230.0}

    run(main())


def test_a_gateway_says_that_a_unit_is_silent(run: Loop) -> None:
    async def main() -> None:
        def answer(request: bytes) -> list[bytes | float]:
            tid, unit, pdu = request[:2], request[6], request[7:]
            return [tcp(tid, unit, b"\x84\x0b" if unit == 1 else honest(pdu))]

        async with (
            tcp_peer(answer) as peer,
            running(net(peer.port, PATIENT_MS), 1, 2) as (_, recorder),
        ):
            await until(
                lambda: ("m1", DeviceState.QUARANTINED) in [d[:2] for d in recorder.devices]
            )
            assert ("m2", DeviceState.ONLINE) in [d[:2] for d in recorder.devices]
            assert peer.connections == 1
        assert {name for name, _ in recorder.samples} == {"m2-1", "m2-2"}

    run(main())


def test_a_half_open_connection_to_a_gateway_is_opened_anew(run: Loop) -> None:
    async def main() -> None:
        def answer(request: bytes) -> list[bytes | float]:
            if peer.connections == 1:
                return []
            return [tcp(request[:2], request[6], honest(request[7:]))]

        async with tcp_peer(answer) as peer, running(net(peer.port), 1, 2) as (_, recorder):
            await until(lambda: bool(recorder.samples))
            assert peer.connections >= 2

    run(main())


async def _keeps_quiet(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    await reader.read()
    writer.close()


def test_a_refused_connection_is_a_state_with_advice_and_is_tried_again(run: Loop) -> None:
    async def main() -> None:
        async with tcp_peer(lambda request: [tcp(request[:2], 1, honest(request[7:]))]) as peer:
            bus = net(peer.port)
        async with running(bus) as (_, recorder):
            await until(lambda: len(recorder.buses) >= 2)
            _, state, detail = recorder.buses[1]
            assert state is BusState.LOST
            assert "refuses the connection: check the port" in detail
            server = await asyncio.start_server(_keeps_quiet, "127.0.0.1", bus.port)
            await until(lambda: BusState.OPEN in [state for _, state, _ in recorder.buses])
            server.close()
            await server.wait_closed()

    run(main())


def test_a_wrong_echo_on_tcp_is_a_failed_write(run: Loop) -> None:
    async def main() -> None:
        def answer(request: bytes) -> list[bytes | float]:
            pdu = honest(request[7:])
            if pdu[0] == 5:
                pdu = pdu[:3] + bytes((pdu[3] ^ 0xFF, 0))
            return [tcp(request[:2], request[6], pdu)]

        async with (
            tcp_peer(answer) as peer,
            running(net(peer.port, 1_000)) as (driver, recorder),
        ):
            await until(lambda: bool(recorder.samples))
            driver.switch_off(OutletId("m1-1"), urgent=True)
            await until(lambda: bool(recorder.writes))
            assert recorder.writes == [("m1-1", False, WriteResult.FAILED)]
            assert driver.stats().errors["echo"] == 1

    run(main())


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


def test_an_overload_on_tcp_is_cut_by_the_next_request(run: Loop) -> None:
    async def main() -> None:
        def answer(request: bytes) -> list[bytes | float]:
            pdu = request[7:]
            if pdu[0] == 4:
                over = cutter.driver is not None and not cutter.writes
                return [tcp(request[:2], 1, registers(pdu, RIGHT | {4: 5_500 if over else 5_000}))]
            return [tcp(request[:2], 1, pdu[:5])]

        cutter = Cutter()
        async with (
            tcp_peer(answer) as peer,
            running(net(peer.port, PATIENT_MS), recorder=cutter) as (driver, _),
        ):
            await until(lambda: bool(cutter.samples))
            await cut_over(peer, driver, cutter, 7)

    run(main())


# ------------------------------------------------------------------ RTU


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


def test_a_port_that_another_program_holds_is_not_shared(run: Loop, tmp_path: Path) -> None:
    async def main() -> None:
        peer = PtyPeer(tmp_path / "tty", lambda request: [rtu(request[0], honest(request[1:-2]))])
        async with serial(peer) as bus, running(bus) as (_, first):
            await until(lambda: bool(first.samples))
            async with running(bus) as (_, second):
                await until(lambda: len(second.buses) >= 2)
                assert "is taken by another program" in second.buses[1][2]

    run(main())


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
