"""The driver on real loopback sockets, against a hostile far end."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable

import pytest
import uvloop

from gateway.core.ids import OutletId
from gateway.guard.model import BusState, DeviceState, WriteResult
from tests.support.loops import Loop, on_either_loop
from tests.support.modbus_peer import CLOSE, registers, tcp, tcp_peer
from tests.support.modbus_wires import (
    LIE,
    PATIENT_MS,
    RIGHT,
    Cutter,
    cut_over,
    honest,
    net,
    running,
    voltages,
)
from tests.support.waiting import until

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


@on_either_loop
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


@on_either_loop
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


@on_either_loop
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


@on_either_loop
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


@on_either_loop
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


@on_either_loop
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
