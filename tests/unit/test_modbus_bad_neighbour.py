"""A bad device on the line: whatever it does, another's cut-off waits for one time-out at most.

In virtual time, on a line whose frames take the time of their bits: cut-offs of good modules
are asked for at many moments, and their frames are timed. The bad module has cut-offs of its
own all the while, which nobody answers and the guard asks for again and again.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from itertools import pairwise

import pytest

from drivers.modbus.bus import ModbusBus
from drivers.modbus.dispatch import LONGEST_SILENCE_WAIT_S
from drivers.modbus.pause import LoopPause
from gateway.config import Bus, RtuBus, TcpBus
from gateway.core.ids import BusId, OutletId
from gateway.guard.model import WriteResult
from tests.support.modbus_peer import rtu, tcp
from tests.support.modbus_script import LoopClock
from tests.support.modbus_site import Recorder, module_site
from tests.support.virtual_loop import run_virtually

BAUD = 9_600
CHARACTER_S = 10 / BAUD
TURNAROUND_S = 0.005
GOOD, BAD = (1, 2), 3
DEAD = (3, 4, 5, 6)
TIMEOUT_MS = 300
MOMENTS = 150
EVERY_S = (1.0, 2.0)
"""At random, so that cut-offs come at every phase of the rounds."""
HEALTHY = "healthy"
SLACK_MS = 8.0
"""The gap before the frame, and the last look after a time-out."""


SERIAL = RtuBus(id=BusId("line"), port="/dev/none", baud=BAUD, poll_ms=1_000, timeout_ms=TIMEOUT_MS)
GATEWAY = TcpBus(id=BusId("net"), host="::1", port=502, poll_ms=1_000, timeout_ms=TIMEOUT_MS)
"""Several units behind one connection."""


@dataclass
class Line:
    """The far end: good units answer in time, the bad one as it likes."""

    kind: str
    chance: random.Random
    is_tcp: bool
    offs: dict[int, asyncio.Future[float]] = field(default_factory=dict)
    """Units whose next OFF is waited for; it gives the time at which the frame was sent."""
    on_bytes: Callable[[bytes], None] | None = None

    async def open(self, on_bytes: Callable[[bytes], None], on_lost: Callable[[str], None]) -> None:
        del on_lost
        self.on_bytes = on_bytes

    def send(self, data: bytes) -> None:
        loop = asyncio.get_running_loop()
        unit, asked = (data[6], data[7:]) if self.is_tcp else (data[0], data[1:-2])
        function, pdu = asked[0], asked[:5]
        if function in (5, 15) and unit in self.offs:
            self.offs.pop(unit).set_result(loop.time())
        if function in (1, 2, 3, 4):
            count = int.from_bytes(asked[3:5], "big")
            size = (count + 7) // 8 if function < 3 else 2 * count
            pdu = bytes((function, size)) + bytes(size)
        if unit == BAD and self.kind == "wrongly addressed":
            unit = self.chance.choice((*GOOD, 9))
        elif unit == BAD and self.kind == "declining":
            pdu = bytes((function | 0x80, 6))
        late_s = self.late_s(data[6] if self.is_tcp else data[0])
        if self.is_tcp:
            frame, wire_s = tcp(data[:2], unit, pdu), TURNAROUND_S
        else:
            frame = rtu(unit, pdu)
            wire_s = (len(data) + len(frame) + 3.5) * CHARACTER_S + TURNAROUND_S
        if late_s is not None:
            loop.call_later(wire_s + late_s, self.deliver, frame)

    def late_s(self, unit: int) -> float | None:
        """Give how much too late a unit answers; None: not at all."""
        if unit != BAD:
            return 0.0
        match self.kind:
            case "dead":
                return None
            case "slow":
                return TIMEOUT_MS / 1_000 + self.chance.uniform(0.01, 0.4)
            case "now and then":
                return 0.0 if self.chance.random() > 0.6 else None
            case _:
                return 0.0

    def deliver(self, data: bytes) -> None:
        if self.on_bytes is not None:
            self.on_bytes(data)

    def close(self) -> None:
        self.on_bytes = None

    async def babble(self) -> None:
        """Send garbage without a pause."""
        while True:
            await asyncio.sleep(0.003)  # less than the gap
            self.deliver(self.chance.randbytes(3))


class Insisting(Recorder):
    """Asks again for cut-offs of the bad module, as an outlet that is seen on would."""

    bus: ModbusBus
    insists: tuple[str, ...] = (f"m{BAD}-",)

    def on_write(self, outlet_id: OutletId, wanted_on: bool, result: WriteResult) -> None:
        super().on_write(outlet_id, wanted_on, result)
        if result is not WriteResult.DONE and outlet_id.startswith(self.insists):
            asyncio.get_running_loop().call_later(0.05, self.insist, outlet_id)

    def insist(self, outlet_id: OutletId) -> None:
        self.bus.switch_off(outlet_id, urgent=True)


async def _delays_ms(kind: str, bus: Bus) -> list[float]:
    """Give how long each cut-off of a good module waited for its frame."""
    chance, moments = random.Random(1), random.Random(2)
    loop = asyncio.get_running_loop()
    line = Line(kind, chance, isinstance(bus, TcpBus))
    sink = Insisting()
    driver = ModbusBus(
        bus,
        module_site(bus, *GOOD, BAD),
        sink,
        LoopClock(),
        open_link=lambda: line,
        time_s=loop.time,
        pause=LoopPause(loop.time),
        rng=chance,
    )
    sink.bus = driver
    tasks = [asyncio.create_task(driver.run(), name="bus")]
    if kind == "babbling":
        tasks.append(asyncio.create_task(line.babble(), name="babble"))
    await asyncio.sleep(5)
    if kind != HEALTHY:
        for channel in (1, 4, 9):
            driver.switch_off(OutletId(f"m{BAD}-{channel}"), urgent=True)
    delays = []
    for moment in range(MOMENTS):
        await asyncio.sleep(moments.uniform(*EVERY_S))
        unit = GOOD[moment % len(GOOD)]
        begun_s = loop.time()
        sent = line.offs[unit] = loop.create_future()
        driver.switch_off(OutletId(f"m{unit}-{1 + moment % 10}"), urgent=True)
        async with asyncio.timeout(60):
            delays.append((await sent - begun_s) * 1_000)
    for task in tasks:
        task.cancel()
    await asyncio.wait(tasks)
    return delays


KINDS = ["dead", "slow", "now and then", "wrongly addressed", "declining", "babbling"]


def test_a_cut_off_on_a_healthy_line_waits_for_one_read_at_most() -> None:
    read_s = (8 + 5 + 2 * 44 + 2 * 3.5) * CHARACTER_S + TURNAROUND_S
    assert 0 < max(run_virtually(_delays_ms(HEALTHY, SERIAL))) <= read_s * 1_000 + SLACK_MS


@pytest.mark.parametrize("kind", [kind for kind in KINDS if kind != "babbling"])
def test_a_bad_unit_behind_a_gateway_delays_no_more_either(kind: str) -> None:
    assert max(run_virtually(_delays_ms(kind, GATEWAY))) <= TIMEOUT_MS + SLACK_MS


@pytest.mark.parametrize("kind", KINDS)
def test_a_bad_device_delays_another_cut_off_by_one_time_out_at_most(kind: str) -> None:
    longest_ms = TIMEOUT_MS + SLACK_MS
    if kind == "babbling":
        longest_ms += LONGEST_SILENCE_WAIT_S * 1_000  # nobody can keep a gap on such a line
    assert max(run_virtually(_delays_ms(kind, SERIAL))) <= longest_ms


class Neighbours(Line):
    """Two good units among dead ones; notes when a good one is read."""

    def __init__(self) -> None:
        super().__init__(HEALTHY, random.Random(1), is_tcp=False)
        self.read_s: list[float] = []
        self.off_s: list[float] = []

    def send(self, data: bytes) -> None:
        now_s = asyncio.get_running_loop().time()
        if data[1] != 4:
            self.off_s.append(now_s)
        elif data[0] in GOOD:
            self.read_s.append(now_s)
        super().send(data)

    def late_s(self, unit: int) -> float | None:
        return None if unit in DEAD else 0.0


async def _cut_the_dead(*units: int, known_s: float) -> tuple[float, Neighbours]:
    """Cut dead units off after ``known_s``, for half a minute; give when that began."""
    bus, line, sink = replace(SERIAL, poll_ms=0), Neighbours(), Insisting()
    sink.insists = tuple(f"m{unit}-" for unit in DEAD)
    loop = asyncio.get_running_loop()
    sink.bus = driver = ModbusBus(
        bus,
        module_site(bus, *units),
        sink,
        LoopClock(),
        open_link=lambda: line,
        time_s=loop.time,
        pause=LoopPause(loop.time),
        rng=random.Random(1),
    )
    owner = asyncio.create_task(driver.run(), name="bus")
    await asyncio.sleep(known_s)
    since_s = loop.time()
    for unit in DEAD:
        driver.switch_off(OutletId(f"m{unit}-1"), urgent=True)
    await asyncio.sleep(30)
    owner.cancel()
    await asyncio.wait([owner])
    return since_s, line


def test_cut_offs_that_dead_devices_owe_leave_time_to_see_what_the_others_draw() -> None:
    read_ms = (8 + 5 + 2 * 44 + 2 * 3.5) * CHARACTER_S * 1_000 + TURNAROUND_S * 1_000
    since_s, line = run_virtually(_cut_the_dead(*GOOD, *DEAD, known_s=5))
    lately = [at_s for at_s in line.read_s if at_s >= since_s]
    unseen_ms = max((b - a) * 1_000 for a, b in pairwise(lately))
    # a quarantined one is asked now and then whether it is back: one time-out more
    assert unseen_ms <= 2 * TIMEOUT_MS + read_ms + 2 * SLACK_MS


def test_where_nobody_answers_cut_offs_wait_for_no_look() -> None:
    # silent since two rounds, and not quarantined yet; perhaps they hear, and can't be heard
    known_s = (2 * len(DEAD) + 0.5) * TIMEOUT_MS / 1_000
    since_s, line = run_virtually(_cut_the_dead(*DEAD, known_s=known_s))
    took_ms = (line.off_s[len(DEAD) - 1] - since_s) * 1_000
    assert took_ms <= len(DEAD) * (TIMEOUT_MS + SLACK_MS)
