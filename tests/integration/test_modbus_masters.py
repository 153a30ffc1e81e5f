"""Connections and lines that somebody else wants too, and a converter that changes its name."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path

import pytest

from gateway.config import RtuBus
from gateway.core.ids import BusId, OutletId
from gateway.guard.model import BusState, DeviceState, WriteResult
from tests.support.modbus_peer import PtyPeer, registers, rtu, tcp
from tests.support.modbus_site import Recorder
from tests.support.modbus_wires import LIE, RIGHT, TIMEOUT_MS, honest, net, running, voltages
from tests.support.waiting import until

WATCHED_S = 2.0
MOST_OPENINGS = 6
"""250 ms, 500, 1,000 … ±20 %: at most so many in the time watched, and many more without."""


class OneConnection:
    """A TCP device that serves one master: others are hung up on, or the one before them is."""

    def __init__(self, *, newest_wins: bool) -> None:
        self._newest_wins = newest_wins
        self._served: asyncio.StreamWriter | None = None
        self.accepted = 0
        self.port = 0

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.accepted += 1
        if self._served is not None:
            if not self._newest_wins:
                writer.close()
                return
            self._served.close()
        self._served = writer
        try:
            while True:
                header = await reader.readexactly(6)
                request = header + await reader.readexactly(int.from_bytes(header[4:6], "big"))
                writer.write(tcp(request[:2], request[6], honest(request[7:])))
        except (asyncio.IncompleteReadError, ConnectionError):
            return
        finally:
            writer.close()
            if self._served is writer:
                self._served = None


@asynccontextmanager
async def device(*, newest_wins: bool) -> AsyncIterator[OneConnection]:
    one = OneConnection(newest_wins=newest_wins)
    tasks: set[asyncio.Task[None]] = set()

    def connected(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        tasks.add(asyncio.create_task(one.serve(reader, writer)))

    server = await asyncio.start_server(connected, "127.0.0.1", 0)
    one.port = server.sockets[0].getsockname()[1]
    try:
        yield one
    finally:
        server.close()
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await server.wait_closed()


def _told(recorder: Recorder) -> Counter[BusState]:
    return Counter(state for _, state, _ in recorder.buses)


def test_a_device_that_serves_somebody_else_is_tried_ever_less_often_and_told_once() -> None:
    async def main() -> None:
        async with device(newest_wins=False) as one:
            _, other = await asyncio.open_connection("127.0.0.1", one.port)
            await until(lambda: one.accepted == 1)
            async with running(net(one.port)) as (_, recorder):
                await asyncio.sleep(WATCHED_S)
                assert one.accepted - 1 <= MOST_OPENINGS
                await until(lambda: one.accepted > 3)
                assert _told(recorder)[BusState.OPEN] <= 2
                await until(lambda: recorder.buses[-1][1] is BusState.LOST)
                assert "no other master takes it over" in recorder.buses[-1][2]
                other.close()
                await other.wait_closed()
                await until(lambda: bool(recorder.samples))
                await until(lambda: recorder.buses[-1][1] is BusState.OPEN)

    asyncio.run(main())


def test_two_masters_do_not_take_a_device_from_each_other_all_the_time() -> None:
    async def main() -> None:
        async with device(newest_wins=True) as one:

            async def greedy() -> None:
                while True:
                    reader, writer = await asyncio.open_connection("127.0.0.1", one.port)
                    try:
                        with suppress(ConnectionError):
                            await reader.read()
                    finally:
                        writer.close()
                        with suppress(ConnectionError):
                            await writer.wait_closed()

            rival = asyncio.create_task(greedy())
            async with running(net(one.port)) as (_, recorder):
                await asyncio.sleep(WATCHED_S)
                # Each of ours is answered by one of the rival's.
                assert one.accepted <= 2 * MOST_OPENINGS + 1
                assert _told(recorder)[BusState.OPEN] <= 3
                rival.cancel()
                await asyncio.gather(rival, return_exceptions=True)
                recorder.samples.clear()
                await until(lambda: bool(recorder.samples))
                await until(lambda: recorder.buses[-1][1] is BusState.OPEN)
            assert voltages(recorder) == {230.0}

    asyncio.run(main())


def _answers(request: bytes) -> list[bytes | float]:
    return [rtu(request[0], honest(request[1:-2]))]


def test_a_converter_that_comes_back_under_another_name_is_found(tmp_path: Path) -> None:
    async def main() -> None:
        bus = RtuBus(
            id=BusId("line"),
            port=str(tmp_path / "usb-converter-*"),
            baud=115_200,
            poll_ms=20,
            timeout_ms=TIMEOUT_MS,
        )
        peer = PtyPeer(tmp_path / "usb-converter-0", _answers)
        async with running(bus) as (_, recorder):
            await until(lambda: bool(recorder.samples))
            peer.unplug()
            await until(lambda: recorder.buses[-1][1] is BusState.LOST)
            await until(lambda: "nothing fits" in recorder.buses[-1][2])
            recorder.samples.clear()
            again = PtyPeer(tmp_path / "usb-converter-1", _answers)
            await until(lambda: bool(recorder.samples))
            assert recorder.buses[-1][1] is BusState.OPEN
            again.close()

    asyncio.run(main())


def test_a_pattern_that_fits_two_converters_opens_neither(tmp_path: Path) -> None:
    async def main() -> None:
        bus = RtuBus(id=BusId("line"), port=str(tmp_path / "tty*"), poll_ms=20)
        peers = [PtyPeer(tmp_path / f"tty{number}", _answers) for number in range(2)]
        async with running(bus) as (_, recorder):
            await until(lambda: BusState.LOST in _told(recorder))
            assert "narrow `port` of bus line" in recorder.buses[-1][2]
            assert "tty0" in recorder.buses[-1][2]
            assert "tty1" in recorder.buses[-1][2]
            assert recorder.samples == []
            peers[0].close()
            await until(lambda: bool(recorder.samples))
        assert next(peer.asked for peer in peers) == []
        peers[1].close()

    asyncio.run(main())


@pytest.mark.parametrize("answers_as", [2, 9])
def test_a_device_that_answers_for_another_gives_no_value(answers_as: int, tmp_path: Path) -> None:
    """Unit 1's requests are answered by something that calls itself 2 (on the bus), or 9."""

    async def main() -> None:
        def answer(request: bytes) -> list[bytes | float]:
            if request[0] == 1:
                return [rtu(answers_as, registers(request[1:-2], LIE))]
            return [rtu(request[0], registers(request[1:-2], RIGHT))]

        peer = PtyPeer(tmp_path / "tty", answer)
        bus = RtuBus(
            id=BusId("line"),
            port=str(peer.path),
            baud=115_200,
            poll_ms=20,
            timeout_ms=TIMEOUT_MS,
        )
        async with running(bus, 1, 2) as (_, recorder):
            await until(
                lambda: ("m1", DeviceState.QUARANTINED) in [d[:2] for d in recorder.devices]
            )
            await until(lambda: len([s for s in recorder.samples if s[0] == "m2-1"]) > 3)
        assert {name for name, _ in recorder.samples} == {"m2-1", "m2-2"}
        assert voltages(recorder) == {230.0}
        details = [detail for name, _, detail in recorder.devices if name == "m1"]
        assert any("gives no good answer" in detail and "wrong: " in detail for detail in details)
        peer.close()

    asyncio.run(main())


def test_another_master_on_the_line_gives_no_value(tmp_path: Path) -> None:
    """Its requests, and the answers to them, come between and into ours."""

    async def main() -> None:
        turn = 0

        def answer(request: bytes) -> list[bytes | float]:
            nonlocal turn
            turn += 1
            ours = rtu(request[0], honest(request[1:-2]))
            asks = rtu(1, b"\x04\x00\x00\x00\x02")
            told = rtu(1, registers(b"\x04\x00\x00\x00\x02", LIE))
            switches = rtu(1, b"\x05\x00\x00\xff\x00")
            strange = rtu(7, registers(b"\x04\x00\x00\x00\x05", LIE))
            kinds: list[list[bytes | float]] = [
                [ours],
                [asks, 0.002, told, 0.002, ours],
                [switches, switches, ours],
                [strange, ours],
                [ours[:4], asks, ours[4:]],
                [ours, 0.004, told],
            ]
            return kinds[turn % len(kinds)]

        peer = PtyPeer(tmp_path / "tty", answer)
        bus = RtuBus(
            id=BusId("line"),
            port=str(peer.path),
            baud=115_200,
            poll_ms=20,
            timeout_ms=TIMEOUT_MS,
        )
        async with running(bus) as (driver, recorder):
            await until(lambda: len(recorder.samples) > 20)
            errors = driver.stats().errors
        assert voltages(recorder) == {230.0}
        assert sum(errors.values()) > 0
        peer.close()

    asyncio.run(main())


def test_a_converter_that_echoes_is_told_and_gives_no_value(tmp_path: Path) -> None:
    """What is sent comes back at once; then the device answers. Nobody answers for unit 2."""

    async def main() -> None:
        def answer(request: bytes) -> list[bytes | float]:
            if request[0] == 2:
                return [request]
            return [request, 0.003, rtu(request[0], honest(request[1:-2]))]

        peer = PtyPeer(tmp_path / "tty", answer)
        bus = RtuBus(
            id=BusId("line"),
            port=str(peer.path),
            baud=115_200,
            poll_ms=20,
            timeout_ms=1_000,
        )
        async with running(bus, 1, 2) as (driver, recorder):
            await until(lambda: len(recorder.samples) > 20)
            driver.switch_off(OutletId("m1-1"), urgent=True)
            driver.switch_off(OutletId("m2-1"), urgent=True)
            await until(lambda: len(recorder.writes) == 2)
            errors = driver.stats().errors
        assert voltages(recorder) == {230.0}
        assert {name for name, _ in recorder.samples} == {"m1-1", "m1-2"}
        results = {name: result for name, _, result in recorder.writes}
        assert results == {"m1-1": WriteResult.DONE, "m2-1": WriteResult.FAILED}
        assert errors["request"] > 0
        peer.close()

    asyncio.run(main())
