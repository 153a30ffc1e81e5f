"""A line behind a converter that passes its bytes on over TCP, on real loopback sockets."""

from __future__ import annotations

import asyncio

import pytest
import uvloop

from drivers.modbus.bus import ModbusBus
from gateway.config import ConverterBus
from gateway.core.ids import BusId, OutletId
from gateway.guard.model import BusState, DeviceState, Sample, WriteResult
from tests.support.modbus_peer import CLOSE, registers, rtu, rtu_request, tcp_peer
from tests.support.modbus_site import Recorder
from tests.support.modbus_wires import (
    LIE,
    PATIENT_MS,
    RIGHT,
    RTU_LIES,
    TIMEOUT_MS,
    honest,
    running,
    voltages,
)
from tests.support.waiting import until


def line(port: int, timeout_ms: int = PATIENT_MS) -> ConverterBus:
    return ConverterBus(
        id=BusId("line"),
        host="127.0.0.1",
        port=port,
        baud=115_200,
        poll_ms=20,
        timeout_ms=timeout_ms,
    )


def right(request: bytes) -> bytes:
    return rtu(request[0], honest(request[1:-2]))


@pytest.mark.parametrize("name", RTU_LIES)
def test_lies_are_never_values(name: str) -> None:
    lie, _ = RTU_LIES[name]

    async def main() -> None:
        lies = 2

        def answer(request: bytes) -> list[bytes | float]:
            nonlocal lies
            if request[0] == 1 and lies:
                lies -= 1
                return lie(1, request[1:-2])
            return [right(request)]

        async with (
            tcp_peer(answer, rtu_request) as peer,
            running(line(peer.port, TIMEOUT_MS), 1, 2) as (_, recorder),
        ):
            await until(lambda: {name for name, _ in recorder.samples} >= {"m1-1", "m2-1"})
        assert voltages(recorder) == {230.0}

    uvloop.run(main())


def test_an_answer_split_at_any_byte_and_noise_before_it_are_taken() -> None:
    async def main() -> None:
        asked = 0

        def answer(request: bytes) -> list[bytes | float]:
            nonlocal asked
            whole = right(request)
            at = 1 + asked % (len(whole) - 1)
            asked += 1
            return [b"\xff\x00", whole[:at], 0.003, whole[at:]]

        async with (
            tcp_peer(answer, rtu_request) as peer,
            running(line(peer.port)) as (driver, recorder),
        ):
            await until(lambda: asked > 40 and bool(recorder.samples))  # 15 bytes an answer
            assert driver.stats().timeouts == 0
        assert voltages(recorder) == {230.0}

    uvloop.run(main())


def test_an_answer_that_comes_with_a_neighbours_frame_is_taken_alone() -> None:
    async def main() -> None:
        def answer(request: bytes) -> list[bytes | float]:
            lie = rtu(3 - request[0], registers(request[1:-2], {2: 9_999}))
            return [lie + right(request)]

        async with (
            tcp_peer(answer, rtu_request) as peer,
            running(line(peer.port), 1, 2) as (_, recorder),
        ):
            await until(lambda: {name for name, _ in recorder.samples} >= {"m1-1", "m2-1"})
        assert voltages(recorder) == {230.0}

    uvloop.run(main())


def test_an_overload_is_cut_by_the_next_request() -> None:
    class Cutter(Recorder):
        driver: ModbusBus | None = None

        def on_sample(self, outlet: OutletId, sample: Sample) -> None:
            super().on_sample(outlet, sample)
            if sample.frequency_hz == 55.0 and self.driver is not None and outlet == "m1-1":
                self.driver.switch_off(outlet, urgent=True)
                self.driver = None

    async def main() -> None:
        def answer(request: bytes) -> list[bytes | float]:
            pdu = request[1:-2]
            if pdu[0] != 4:
                return [rtu(request[0], pdu[:5])]
            over = bool(cutter.samples) and not cutter.writes
            values = RIGHT | {4: 5_500 if over else 5_000}
            return [rtu(request[0], registers(pdu, values))]

        cutter = Cutter()
        async with (
            tcp_peer(answer, rtu_request) as peer,
            running(line(peer.port), recorder=cutter) as (driver, _),
        ):
            cutter.driver = driver
            await until(lambda: ("m1-1", False, WriteResult.DONE) in cutter.writes)
            kinds = [request[1] for request in peer.asked]
            write = next(at for at, kind in enumerate(kinds) if kind in (5, 15))
            assert kinds[:write] == [4] * write

    uvloop.run(main())


def test_a_connection_that_breaks_or_falls_silent_is_opened_anew() -> None:
    async def main() -> None:
        def answer(request: bytes) -> list[bytes | float]:
            if peer.connections == 1:
                return [CLOSE]
            if peer.connections == 2:
                return []  # half open: nothing is ever heard again
            return [right(request)]

        async with (
            tcp_peer(answer, rtu_request) as peer,
            running(line(peer.port, TIMEOUT_MS), 1, 2) as (_, recorder),
        ):
            await until(lambda: {name for name, _ in recorder.samples} >= {"m1-1", "m2-1"})
            assert peer.connections == 3
            states = [state for _, state, _ in recorder.buses]
            assert BusState.LOST in states
            assert ("m1", DeviceState.ONLINE) in [each[:2] for each in recorder.devices]

    uvloop.run(main())


def test_an_answer_that_a_converter_kept_for_the_next_connection_is_no_value() -> None:
    async def main() -> None:
        kept = b""

        def answer(request: bytes) -> list[bytes | float]:
            nonlocal kept
            if peer.connections == 1 and recorder.samples:
                kept = rtu(request[0], registers(request[1:-2], LIE))
                return [CLOSE]
            told, kept = kept, b""
            return [told + right(request)]

        async with (
            tcp_peer(answer, rtu_request) as peer,
            running(line(peer.port)) as (_, recorder),
        ):
            await until(lambda: peer.connections == 2 and not kept and len(peer.asked) > 20)
        assert voltages(recorder) == {230.0}

    uvloop.run(main())


def test_what_a_converter_kept_of_the_last_guards_questions_is_no_value() -> None:
    async def main() -> None:
        asked = b""

        def answer(request: bytes) -> list[bytes | float]:
            nonlocal asked
            asked = asked or request
            return [right(request)]

        async with tcp_peer(answer, rtu_request) as peer:
            async with running(line(peer.port)) as (_, before):
                await until(lambda: bool(before.samples))
            # of the program before, a question was left unanswered when it ended
            peer.hello = [0.005, rtu(1, registers(asked[1:-2], LIE))]
            async with running(line(peer.port)) as (driver, after):
                await until(lambda: bool(after.samples))
                assert driver.stats().errors["unexpected"] == 1
        assert voltages(after) == {230.0}

    uvloop.run(main())


def test_a_converter_that_refuses_is_a_state_with_advice() -> None:
    async def main() -> None:
        async with tcp_peer(lambda _: [], rtu_request) as peer:
            port = peer.port
        async with running(line(port)) as (_, recorder):
            await until(lambda: any(state is BusState.LOST for _, state, _ in recorder.buses))
            [detail] = {told for _, state, told in recorder.buses if state is BusState.LOST}
            assert f"127.0.0.1:{port} refuses the connection" in detail

    asyncio.run(main())
