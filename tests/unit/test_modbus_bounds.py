"""The driver itself on a busy line, in virtual time: nothing gets older than the plan says.

Outlets start and end at random, devices answer as fast as their profile says. What a bound of
``pilegate check`` promises is measured at the samples: from one that shows a quantity of an
outlet to the next.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from itertools import pairwise

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from drivers.modbus.plan import plan_bus
from drivers.modbus.polling import Polling, polling_of
from drivers.modbus.wire import SerialWire
from gateway.config import Profile, RtuBus, Site
from gateway.core.ids import BusId, DeviceId, OutletId
from gateway.guard.limits import Limits
from gateway.guard.model import WriteResult
from tests.support.modbus_peer import rtu
from tests.support.modbus_script import Stage
from tests.support.modbus_site import REF10, device, outlet, profile, site
from tests.support.virtual_loop import run_virtually

LINE = RtuBus(id=BusId("line"), port="/dev/none", baud=9_600, poll_ms=0)
WIRE = SerialWire(9_600)
SLOW: dict[str, dict[str, object]] = {
    name: REF10["values"][name] | {"poll": "slow"}
    for name in ("energy_wh", "voltage_v", "temperature_c")
}
MODULE = profile(REF10, values=REF10["values"] | SLOW)
PLAYED_S = 40.0
WAKING_MS = 1.0
"""Waits end a little after their time, and samples have whole milliseconds."""
COMMANDED = 2
"""Between two answers of a device each has its turn, and there is a command before each turn."""


APART = profile(
    REF10,
    values=REF10["values"]
    | SLOW
    | {
        "energy_wh": {
            "space": "input",
            "address": 200,
            "stride": 2,
            "type": "u32",
            "poll": "slow",
        }
    },
)
"""The same, with its energy far away: two reads."""


def _far(address: int) -> dict[str, object]:
    return {"space": "input", "address": address, "stride": 1, "poll": "slow"}


FAR = profile(
    REF10,
    values=REF10["values"]
    | SLOW
    | {"power_factor": _far(300), "frequency_hz": _far(400), "temperature_c": _far(500)},
    max_read_registers=20,
)
"""With most values far away: many reads, and most of them slow."""


def modules(count: int, *, outlets: int = 10, kind: Profile = MODULE, line: RtuBus = LINE) -> Site:
    limits = Limits(overpower=None)
    return site(
        (line,),
        tuple(device(f"m{unit}", "line", unit, kind) for unit in range(1, count + 1)),
        tuple(
            outlet(f"m{unit}-{at}", (f"m{unit}", at), None, limits)
            for unit in range(1, count + 1)
            for at in range(1, outlets + 1)
        ),
    )


@dataclass
class Modules:
    """Reference modules: what is switched on draws an ampere."""

    closed: dict[int, int] = field(default_factory=dict)
    """The relays' states by unit, as bits."""
    lacks: tuple[int, int] = (0, 0)
    """A unit and an address that it does not know."""

    def answer(self, request: bytes) -> bytes:
        unit, pdu = request[0], request[1:-2]
        address = int.from_bytes(pdu[1:3], "big")
        if pdu[0] == 4 and self.lacks == (unit, address):
            return rtu(unit, b"\x84\x02")
        if pdu[0] == 4:
            count = int.from_bytes(pdu[3:5], "big")
            words = b"".join(
                self._word(unit, at).to_bytes(2, "big") for at in range(address, address + count)
            )
            return rtu(unit, bytes((4, len(words))) + words)
        if pdu[0] == 5:
            self._switch(unit, 1 << address, 1 << address if pdu[3] else 0)
            return rtu(unit, pdu)
        count = int.from_bytes(pdu[3:5], "big")
        mask = ((1 << count) - 1) << address
        self._switch(unit, mask, int.from_bytes(pdu[6:], "little") << address)
        return rtu(unit, pdu[:5])

    def _switch(self, unit: int, mask: int, bits: int) -> None:
        self.closed[unit] = self.closed.get(unit, 0) & ~mask | bits & mask

    def _word(self, unit: int, at: int) -> int:
        closed = self.closed.get(unit, 0)
        if at == 0:
            return closed
        return 100 * (closed >> (at - 4) & 1) if 4 <= at < 14 else 0


@dataclass
class Played:
    """What came of it."""

    stage: Stage
    used: dict[str, list[tuple[float, float]]]
    """When each outlet was in use, in ms."""
    busy: float
    """The share of the time in which frames, their gaps and turn-arounds were on the wire."""

    def gaps_ms(self, name: str, quantity: str) -> Iterator[tuple[float, float]]:
        """Give the times of each two samples in a row that show a quantity of an outlet."""
        times = [
            sample.at_ms
            for outlet_id, sample in self.stage.recorder.samples
            if outlet_id == name and getattr(sample, quantity) is not None
        ]
        yield from pairwise(times)


async def _wire(stage: Stage, far: Modules) -> float:
    """Answer for ever; gives the time used when cancelled."""
    busy_s = 0.0
    try:
        while True:
            sent = await stage.line.sent.get()
            answer = far.answer(sent)
            took_s = (WIRE.frame_ms(len(sent) + len(answer)) + WIRE.gap_ms + 5) / 1_000
            busy_s += took_s + WIRE.gap_ms / 1_000
            await asyncio.sleep(took_s)
            assert stage.line.on_bytes is not None
            stage.line.on_bytes(answer)
    except asyncio.CancelledError:
        return busy_s


def play_at_random(
    where: Site, seed: int, *, mean_s: float, most: int, line: RtuBus = LINE
) -> Played:
    """Let outlets start and end for a while, with ``most`` of them in use at once.

    None is in danger: their OFFs are not urgent.
    """
    chance = random.Random(seed)
    names = [str(each.id) for each in where.outlets]

    async def main() -> Played:
        stage = Stage(line, where)
        loop = asyncio.get_running_loop()
        owner = asyncio.create_task(stage.bus.run())
        wire = asyncio.create_task(_wire(stage, Modules()))
        used: dict[str, list[tuple[float, float]]] = {}
        since: dict[str, float] = {}
        began_s = loop.time()
        while loop.time() < began_s + PLAYED_S:
            await asyncio.sleep(chance.expovariate(1 / mean_s))
            name = chance.choice(names)
            now_ms = loop.time() * 1_000
            if name in since:
                used.setdefault(name, []).append((since.pop(name), now_ms))
                stage.bus.switch_off(OutletId(name), urgent=False)
            elif len(since) < most:
                stage.bus.switch_on(OutletId(name), 60_000)
                since[name] = now_ms
        for name, since_ms in since.items():
            used.setdefault(name, []).append((since_ms, loop.time() * 1_000))
        took_s = loop.time() - began_s
        for task in (owner, wire):
            task.cancel()
        await asyncio.wait([owner, wire])
        return Played(stage, used, wire.result() / took_s)

    return run_virtually(main())


def worst_ms(played: Played, where: Site) -> tuple[float, float, float]:
    """Give the longest times without what leads (in use), a fast and a slow value."""
    lead = fast = slow = 0.0
    for each in where.outlets:
        spans = played.used.get(each.id, [])
        for at_ms, next_ms in played.gaps_ms(each.id, "current_a"):
            fast = max(fast, next_ms - at_ms)
            if any(since <= at_ms and next_ms <= until for since, until in spans):
                lead = max(lead, next_ms - at_ms)
        slow = max((b - a for a, b in played.gaps_ms(each.id, "energy_mwh")), default=slow)
    return lead, fast, slow


def promised_ms(polling: Polling) -> tuple[float, float, float]:
    """Give the bounds with a command between any two polls: lead, fast, slow."""
    lead_ms = polling.longest_gap_ms(polling.command_ms)
    return (lead_ms, *polling.oldest_ms(polling.command_ms))


@settings(max_examples=6, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@example(3, 0, 0.03, 5)
@example(2, 365_867_937, 0.03, 40)
@given(
    st.integers(2, 12),
    st.integers(0, 2**32),
    st.sampled_from([0.03, 0.3, 1.0, 4.0]),
    st.sampled_from([1, 5, 40]),
)
def test_nothing_is_older_than_promised_while_outlets_start_and_end(
    count: int, seed: int, mean_s: float, most: int
) -> None:
    where = modules(count)
    played = play_at_random(where, seed, mean_s=mean_s, most=most)
    for measured_ms, bound_ms in zip(
        worst_ms(played, where), promised_ms(polling_of(LINE, where)), strict=True
    ):
        assert measured_ms <= bound_ms + COMMANDED * count * WAKING_MS
    assert played.busy > 0.95
    shown = {
        name for name, sample in played.stage.recorder.samples if sample.energy_mwh is not None
    }
    assert shown == {each.id for each in where.outlets}


@settings(max_examples=6, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.integers(1, 7), st.integers(0, 2**32), st.sampled_from([0.03, 0.1, 1.0]))
def test_a_line_that_is_read_whole_each_second_keeps_its_promise_among_commands(
    count: int, seed: int, mean_s: float
) -> None:
    line = replace(LINE, poll_ms=1_000)
    where = modules(count, line=line)
    polling = polling_of(line, where)
    assert polling.pace is None
    played = play_at_random(where, seed, mean_s=mean_s, most=count * 10, line=line)
    lead_ms, _, slow_ms = worst_ms(played, where)
    spare_ms = COMMANDED * count * WAKING_MS
    assert 0 < lead_ms <= polling.longest_gap_ms(polling.command_ms) + spare_ms
    assert slow_ms <= polling.oldest_ms(polling.command_ms)[1] + spare_ms


def test_a_line_that_is_read_whole_keeps_its_promise_while_whole_modules_end_in_turn() -> None:
    line = replace(LINE, poll_ms=1_000)
    where = modules(7, line=line)
    polling = polling_of(line, where)
    assert polling.pace is None

    async def main() -> Stage:
        stage = Stage(line, where)
        owner = asyncio.create_task(stage.bus.run())
        wire = asyncio.create_task(_wire(stage, Modules()))
        # the first OFF is on the wire when a round should begin, the others wait for their turns
        await asyncio.sleep(3 - asyncio.get_running_loop().time() % 1 - 0.001)
        for each in where.outlets:
            stage.bus.switch_off(each.id, urgent=False)
        await asyncio.sleep(3)
        for task in (owner, wire):
            task.cancel()
        await asyncio.wait([owner, wire])
        return stage

    played = Played(run_virtually(main()), {}, 1.0)
    assert len(played.stage.recorder.writes) == len(where.outlets)
    gap_ms = max(b - a for a, b in played.gaps_ms("m7-1", "current_a"))
    bound_ms = polling.longest_gap_ms(polling.command_ms)
    assert bound_ms - 10 < gap_ms <= bound_ms + COMMANDED * WAKING_MS


def test_what_goes_on_while_an_idle_bus_is_read_whole_is_seen_as_soon_as_is_told() -> None:
    where = modules(16, kind=FAR)
    first = where.outlets[0].id

    async def main() -> float:
        stage = Stage(LINE, where)
        owner = asyncio.create_task(stage.bus.run())
        wire = asyncio.create_task(_wire(stage, Modules()))
        await asyncio.sleep(0.5)  # its module had its turn, fifteen others are to come
        since_ms = asyncio.get_running_loop().time() * 1_000
        stage.bus.switch_on(first, 600_000)
        await asyncio.sleep(10)
        for task in (owner, wire):
            task.cancel()
        await asyncio.wait([owner, wire])
        seen_ms = (s.at_ms for name, s in stage.recorder.samples if name == first and s.current_a)
        return min(seen_ms) - since_ms

    assert 0 < run_virtually(main()) <= plan_bus(LINE, where).detection.in_use_worst_ms


def play_storm(where: Site) -> Played:
    """Switch one outlet on, then all others as fast as there is room, then all those off."""
    first, *names = (each.id for each in where.outlets)

    async def main() -> Played:
        stage = Stage(LINE, where)
        loop = asyncio.get_running_loop()
        owner = asyncio.create_task(stage.bus.run())
        wire = asyncio.create_task(_wire(stage, Modules()))
        await asyncio.sleep(5)
        stage.bus.switch_on(first, 600_000)
        since_ms = loop.time() * 1_000
        waiting = list(names)
        while waiting:
            await asyncio.sleep(0.05)
            room = max(0, stage.bus.room_for_ons())
            for name in waiting[:room]:
                stage.bus.switch_on(name, 600_000)
            del waiting[:room]
        await asyncio.sleep(5)
        for name in names:
            stage.bus.switch_off(name, urgent=True)
        await asyncio.sleep(5)
        used = {str(first): [(since_ms, loop.time() * 1_000)]}
        for task in (owner, wire):
            task.cancel()
        await asyncio.wait([owner, wire])
        return Played(stage, used, 1.0)

    return run_virtually(main())


def test_an_outlet_in_use_is_seen_in_time_while_all_others_start_and_end_at_once() -> None:
    where = modules(8)
    played = play_storm(where)
    lead_ms, fast_ms, _ = worst_ms(played, where)
    promised = promised_ms(polling_of(LINE, where))
    assert 0 < lead_ms <= promised[0] + WAKING_MS
    assert fast_ms <= promised[1] + WAKING_MS
    ons = [name for name, on, _ in played.stage.recorder.writes if on]
    assert len(ons) == len(where.outlets)


def test_an_on_that_had_room_is_not_dropped_behind_a_lines_worth_of_offs() -> None:
    kind = profile(REF10, relay={"style": "coil", "address": 0})
    where = modules(8, kind=kind)
    *names, last = (each.id for each in where.outlets)

    async def main() -> Stage:
        stage = Stage(LINE, where)
        owner = asyncio.create_task(stage.bus.run())
        wire = asyncio.create_task(_wire(stage, Modules()))
        await asyncio.sleep(5)
        for name in names:
            stage.bus.switch_off(name, urgent=False)
        while stage.bus.room_for_ons() <= 0:
            await asyncio.sleep(0.005)
        stage.bus.switch_on(last, 600_000)
        await asyncio.sleep(5)
        for task in (owner, wire):
            task.cancel()
        await asyncio.wait([owner, wire])
        return stage

    writes = run_virtually(main()).recorder.writes
    assert [result for name, _, result in writes if name == last] == [WriteResult.DONE]
    assert len(writes) == len(where.outlets)


def play_still(where: Site, *on: OutletId, far: Modules | None = None) -> Played:
    """Leave the same outlets on for a while."""

    async def main() -> Played:
        stage = Stage(LINE, where)
        loop = asyncio.get_running_loop()
        owner = asyncio.create_task(stage.bus.run())
        wire = asyncio.create_task(_wire(stage, far or Modules()))
        for name in on:
            await asyncio.sleep(0.2)
            stage.bus.switch_on(name, 600_000)
        await asyncio.sleep(3)
        stage.recorder.samples.clear()
        since_ms = loop.time() * 1_000
        await asyncio.sleep(PLAYED_S)
        used = {str(name): [(since_ms, loop.time() * 1_000)] for name in on}
        for task in (owner, wire):
            task.cancel()
        await asyncio.wait([owner, wire])
        return Played(stage, used, 1.0)

    return run_virtually(main())


def test_a_module_that_lacks_a_register_is_told_and_keeps_no_other_from_its_turn(
    caplog: pytest.LogCaptureFixture,
) -> None:
    where = modules(8, kind=APART)
    one = OutletId("m3-1")
    played = play_still(where, one, far=Modules(lacks=(1, 200)))
    _, fast_ms, slow_ms = worst_ms(played, where)
    _, oldest_fast_ms, oldest_slow_ms = promised_ms(polling_of(LINE, where))
    assert 0 < fast_ms <= oldest_fast_ms + WAKING_MS
    assert 0 < slow_ms <= oldest_slow_ms + WAKING_MS
    assert caplog.text.count("unit 1 answers illegal address to 04 00 c8 00 14") == 1
    last_ms = played.stage.recorder.samples[-1][1].at_ms
    for unit in range(2, 9):
        seen = [s.at_ms for name, s in played.stage.recorder.samples if name == f"m{unit}-10"]
        assert last_ms - seen[-1] <= oldest_fast_ms + WAKING_MS


@pytest.mark.parametrize("count", [4, 16])
def test_what_check_prints_about_detection_is_what_happens(count: int) -> None:
    """*Typically*: the mean time from any moment to the end of the next answer begun after it."""
    where = modules(count)
    seen = plan_bus(LINE, where).detection
    quarter = sorted(each.id for each in where.outlets)[::4]
    menu = polling_of(LINE, where).menus(frozenset(quarter))[DeviceId("m1")]
    played = play_still(where, *quarter)
    used = [b - a for name in quarter for a, b in played.gaps_ms(name, "current_a")]
    idle = [
        b - a
        for each in where.outlets
        if each.id not in quarter
        for a, b in played.gaps_ms(each.id, "relay_on")
    ]
    assert max(used) + menu.lead_ms <= seen.in_use_worst_ms + WAKING_MS
    assert max(idle) + menu.fast_ms <= seen.idle_worst_ms + WAKING_MS
    typical_ms = mean_wait_ms(used) + menu.lead_ms
    assert seen.in_use_typical_ms == pytest.approx(typical_ms, rel=0.05)
    assert seen.idle_typical_ms == pytest.approx(mean_wait_ms(idle) + menu.fast_ms, rel=0.05)


def mean_wait_ms(gaps: list[float]) -> float:
    return sum(gap**2 for gap in gaps) / 2 / sum(gaps)
