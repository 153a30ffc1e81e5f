"""Buses that break, and modules that take no joined write: no ON comes late, no OFF is lost."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable

from drivers.modbus.bus import ModbusBus
from drivers.modbus.pause import LoopPause
from gateway.config import RtuBus
from gateway.core.ids import BusId, OutletId
from gateway.guard.model import WriteResult
from tests.support.modbus_script import LoopClock, Stage, play
from tests.support.modbus_site import Recorder, module_site, profile
from tests.support.two_outlets import ASK1, LINE, TWO, says, two
from tests.support.virtual_loop import run_virtually

DONE, FAILED, DROPPED = WriteResult.DONE, WriteResult.FAILED, WriteResult.DROPPED
M1_1 = OutletId("m1-1")


def test_an_on_that_waits_when_its_bus_is_lost_is_not_sent_after_it() -> None:
    stage = play(
        LINE,
        two(1),
        f"""
        {ASK1}
        ! on m1-1
        ! break gone
        = 200ms
        {ASK1}
        < {says(1)}
        = 100ms
        """,
    )
    assert stage.recorder.writes == [("m1-1", True, DROPPED)]


class Insisting(Recorder):
    """Asks for OFF once more, once a second, as the guard does."""

    switch_off: Callable[..., None]

    def on_write(self, outlet: OutletId, wanted_on: bool, result: WriteResult) -> None:
        super().on_write(outlet, wanted_on, result)
        if result is FAILED and not wanted_on:
            loop = asyncio.get_running_loop()
            loop.call_later(1.0, lambda: self.switch_off(outlet, urgent=False))


def test_a_line_that_comes_back_after_long_is_tried_each_second_for_an_off() -> None:
    async def main() -> float:
        insisting = Insisting()
        stage = Stage(LINE, two(1), insisting)
        insisting.switch_off = stage.bus.switch_off
        stage.line.refuse = "/dev/none does not exist"
        owner = asyncio.create_task(stage.bus.run())
        stage.bus.switch_off(M1_1, urgent=True)
        await asyncio.sleep(120)  # by itself the bus would be tried every ten seconds now
        loop = asyncio.get_running_loop()
        stage.line.refuse = None
        back_s = loop.time()
        await stage.line.sent.get()
        owner.cancel()
        await asyncio.wait([owner])
        return loop.time() - back_s

    assert run_virtually(main()) < 2.0


def test_a_busy_module_is_asked_jointly_again() -> None:
    play(
        LINE,
        two(1),
        f"""
        {ASK1}
        < {says(1)}
        ! cut m1-1 m1-2
        > 01 0f 00 00 00 02 01 00 *
        < 01 8f 06 *
        = 5ms
        ! cut m1-1 m1-2
        > 01 0f 00 00 00 02 01 00 *
        < 01 0f 00 00 00 02 *
        """,
    )


def test_a_module_that_is_silent_to_joined_writes_alone_is_switched_relay_by_relay() -> None:
    class Stubborn(Recorder):
        switch_off: Callable[..., None]

        def on_write(self, outlet: OutletId, wanted_on: bool, result: WriteResult) -> None:
            super().on_write(outlet, wanted_on, result)
            if result is FAILED:
                self.switch_off(outlet, urgent=True)

    async def main() -> set[str]:
        stubborn = Stubborn()
        bus = RtuBus(id=BusId("line"), port="/dev/none", baud=9_600, poll_ms=0)
        stage = Stage(bus, two(1), stubborn)
        stubborn.switch_off = stage.bus.switch_off
        owner = asyncio.create_task(stage.bus.run())
        await stage._line(ASK1)
        await stage._line(f"< {says(1)}")
        stage.bus.switch_off(M1_1, urgent=True)
        stage.bus.switch_off(OutletId("m1-2"), urgent=True)
        async with asyncio.timeout(60):
            while [result for *_, result in stubborn.writes].count(DONE) < 2:
                sent = await stage.line.sent.get()
                if sent[1] == 4:
                    words = sent[5]
                    body = bytes(2 * words).hex(" ")
                    await stage._line(f"< 5ms 01 04 {2 * words:02x} {body} *")
                elif sent[1] == 5:
                    await stage._line(f"< 5ms {sent[:6].hex(' ')} *")
        owner.cancel()
        await asyncio.wait([owner])
        return {outlet for outlet, _, result in stubborn.writes if result is DONE}

    assert run_virtually(main()) == {"m1-1", "m1-2"}


def test_a_device_that_needs_silence_is_polled_for_ever_whatever_the_clock_does_in_between() -> (
    None
):
    """The moment at which it is ready may lie between two looks at the clock."""

    async def main() -> int:
        loop = asyncio.get_running_loop()
        chance, late_s = random.Random(1), 0.0

        def time_s() -> float:
            nonlocal late_s
            late_s += chance.uniform(0.0, 60e-6)
            return loop.time() * 0.99 + late_s

        bus = RtuBus(id=BusId("line"), port="/dev/none", baud=9_600, poll_ms=0)
        quiet = module_site(bus, 1, kind=profile(TWO, min_gap_ms=20), outlets=2)
        stage = Stage(bus, quiet)
        stage.bus = ModbusBus(
            bus,
            quiet,
            stage.recorder,
            LoopClock(),
            open_link=stage.line.link,
            time_s=time_s,
            pause=LoopPause(time_s),
            rng=random.Random(1),
        )
        owner = asyncio.create_task(stage.bus.run())
        polls = 0
        async with asyncio.timeout(600):
            while polls < 2_000:
                await stage.line.sent.get()
                await stage._line(f"< 1ms {says(1)}")
                polls += 1
        owner.cancel()
        await asyncio.wait([owner])
        return polls

    assert run_virtually(main()) == 2_000
