"""Asking a line without the guard: reads only, gaps kept, what is late or noise is named."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from typing import Any, TypeVar

import pytest

from drivers.modbus.frames import Function, read, write_coil
from drivers.modbus.survey import NOISE, TOO_LATE, Found, Survey
from drivers.modbus.talk import ANOTHER_MASTER, ECHO
from drivers.modbus.visit import Visit
from gateway.config import RtuBus, TcpBus
from gateway.core.errors import FixInstallation
from gateway.core.ids import BusId
from tests.support.modbus_script import Line, frame
from tests.support.modbus_site import BOARD, METER, profile
from tests.support.virtual_loop import run_virtually

LINE = RtuBus(id=BusId("b"), port="/dev/none")
NET = TcpBus(id=BusId("b"), host="192.0.2.1")
READ = read(3, Function.READ_INPUT, 0, 1)
T = TypeVar("T")


class Far:
    """The far end: gives what is written for each request, or stays silent."""

    def __init__(self, *answers: tuple[float, str]) -> None:
        self.line = Line()
        self.answers = list(answers)
        self.asked: list[bytes] = []

    def visit(self, bus: RtuBus | TcpBus = LINE) -> Visit:
        loop = asyncio.get_running_loop()
        return Visit(bus, open_link=self.line.link, time_s=loop.time)

    async def play(self) -> None:
        while True:
            self.asked.append(await self.line.sent.get())
            if not self.answers:
                continue
            delay_s, text = self.answers.pop(0)
            loop = asyncio.get_running_loop()
            if text:
                loop.call_later(delay_s, self._give, frame(text))

    def _give(self, data: bytes) -> None:
        if self.line.on_bytes is not None:
            self.line.on_bytes(data)

    def run(self, main: Coroutine[Any, Any, T]) -> T:
        async def both() -> T:
            player = asyncio.create_task(self.play(), name="far end")
            try:
                return await main
            finally:
                player.cancel()
                await asyncio.wait([player])

        return run_virtually(both())


def test_an_answer_is_its_data() -> None:
    far = Far((0.02, "03 04 02 08 FE *"), (0.02, "03 84 02 *"), (0.0, ""))

    async def main() -> list[tuple[bytes | None, str, bool]]:
        async with far.visit() as visit:
            heard = [await visit.ask(READ) for _ in range(3)]
        return [(each.data, each.why, each.is_there) for each in heard]

    assert far.run(main()) == [
        (b"\x08\xfe", "", True),
        (None, "answers illegal address", True),
        (None, "does not answer within 199 ms", False),
    ]
    assert far.asked == [READ.rtu] * 3


def test_the_gap_between_two_requests_is_kept() -> None:
    far = Far((0.02, "03 04 02 08 FE *"), (0.02, "03 04 02 08 FE *"))

    async def main() -> None:
        async with far.visit() as visit:
            await visit.ask(READ)
            await visit.ask(READ)

    far.run(main())
    first, second = far.line.sent_ms
    assert second - first >= 20 + 3.6  # the answer, and 3.5 characters at 9,600 baud


def test_a_visitor_writes_nothing() -> None:
    far = Far()

    async def main() -> None:
        async with far.visit() as visit:
            await visit.ask(write_coil(3, 0, 0))

    with pytest.raises(ValueError, match="only reads"):
        far.run(main())
    assert far.asked == []


def test_a_port_that_can_t_be_opened_says_why() -> None:
    far = Far()
    far.line.refuse = "/dev/none does not exist: plug it in"

    async def main() -> None:
        async with far.visit():
            raise AssertionError

    with pytest.raises(FixInstallation, match="plug it in"):
        far.run(main())


def test_a_connection_that_closes_is_opened_again() -> None:
    far = Far((0.0, ""))

    async def main() -> tuple[str, str]:
        async with far.visit(NET) as visit:
            asked = asyncio.create_task(visit.ask(READ))
            await asyncio.sleep(0.01)
            assert far.line.on_lost is not None
            far.line.on_lost("192.0.2.1:502 closed the connection")
            first = await asked
            second = await visit.ask(READ)
        return first.why, second.why

    first, second = far.run(main())
    assert first == "192.0.2.1:502 closed the connection"
    assert second.startswith("does not answer")
    assert far.line.opened == 2


def found(far: Far) -> Found | None:
    async def main() -> Found | None:
        async with far.visit() as visit:
            return await Survey(visit, [profile(METER), HOLDING]).look(3)

    return far.run(main())


HOLDING = profile(
    METER,
    profile="holding",
    values={"power_w": {"space": "holding", "address": 0}},
)


COILS = profile(BOARD)


def test_who_answers_too_late_is_told_so() -> None:
    # the answer to the first read comes while the second is waited for
    late = Far((0.25, "03 04 0A 08 FE 04 D2 00 00 0B 12 00 00 *"), (0.0, ""))
    told = found(late)
    assert told == Found(3, (), TOO_LATE)


def test_noise_is_told_as_such() -> None:
    far = Far((0.02, "03 04 55 AA 55"), (0.02, "FF FE 00"))
    told = found(far)
    assert told is not None
    assert told.fits == ()
    assert told.why_not.endswith(NOISE)


def test_two_devices_with_one_number_are_told_as_such() -> None:
    # both answer the read that they know, at once, and are silent to the others
    far = Far((0.0, ""), (0.02, "03 04 02 0D FC 00 00"), (0.02, "03 04 02 0F FC 00 00"))

    async def main() -> Found | None:
        async with far.visit() as visit:
            return await Survey(visit, [profile(METER), HOLDING, COILS]).look(3)

    told = far.run(main())
    assert told is not None
    assert told.fits == ()
    assert told.why_not.endswith(NOISE)


def test_who_answers_for_another_is_named() -> None:
    told = found(Far((0.02, "04 04 02 08 FE *"), (0.02, "04 04 02 08 FE *")))
    assert told is not None
    assert told.why_not == "unit 4 answers for it: check both unit numbers"


def advice(far: Far, *units: int) -> tuple[list[Found | None], str | None]:
    async def main() -> tuple[list[Found | None], str | None]:
        async with far.visit() as visit:
            survey = Survey(visit, [profile(METER)])
            return [await survey.look(unit) for unit in units], visit.advice

    return far.run(main())


def test_a_converter_that_echoes_is_told_and_is_no_device() -> None:
    echoes = [(0.005, read(unit, Function.READ_INPUT, 0, 5).rtu.hex(" ")) for unit in (3, 4)]
    told, why = advice(Far(*echoes), 3, 4)
    assert told == [None, None]
    assert why == ECHO


def test_another_master_is_told_and_is_no_device() -> None:
    told, why = advice(Far((0.005, "09 03 20 02 00 02 *")), 3)
    assert told == [None]
    assert why == ANOTHER_MASTER
    assert advice(Far(), 3) == ([None], None)


def test_noise_once_is_nobody() -> None:
    assert found(Far((0.02, "FF FE 00"), (0.0, ""))) is None


def test_a_spoilt_answer_is_asked_for_again() -> None:
    good = "03 04 0A 08 FE 04 D2 00 00 0B 12 00 00 *"
    far = Far((0.02, good), (0.02, "03 04 0A 08 FE 00 00"), (0.02, good), (0.02, "03 83 02 *"))
    told = found(far)
    assert told is not None
    assert [fit.profile.profile for fit in told.fits] == ["meter"]
    assert told.why_not == "answers illegal address"


def test_what_a_gateway_does_not_know_is_asked_once() -> None:
    far = Far((0.02, "03 84 0B *"))
    assert found(far) is None
    assert len(far.asked) == 1


def test_a_late_answer_on_a_connection_is_nobody_s() -> None:
    far = Far((0.0, ""))

    async def main() -> tuple[str, bool, bool]:
        async with far.visit(NET) as visit:
            await visit.ask(READ)
            asked = asyncio.create_task(visit.ask(READ))
            await asyncio.sleep(0.01)
            assert far.line.on_bytes is not None
            far.line.on_bytes(bytes.fromhex("0001 0000 0005 03 04 02 08FE"))
            heard = await asked
            return heard.why, heard.is_noise, visit.came_late

    assert far.run(main()) == ("does not answer within 580 ms", False, True)
