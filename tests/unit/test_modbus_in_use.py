"""On a bus that can't read everything in time: what is asked of whom."""

from __future__ import annotations

import asyncio
from collections import Counter

import pytest

from gateway.config import RtuBus, Site
from gateway.core.ids import BusId, OutletId
from gateway.guard.limits import Limits
from tests.support.modbus_script import Stage, frame, play
from tests.support.modbus_site import (
    BOARD,
    METER,
    REF10,
    device,
    module_site,
    outlet,
    profile,
    site,
)
from tests.support.virtual_loop import run_virtually

LINE = RtuBus(id=BusId("line"), port="/dev/none", baud=9_600, poll_ms=0)
# relays at 0, currents at 3 and 4, energy at 10 and 12
KIND = profile(
    REF10,
    channels=2,
    read_across=8,
    values={
        "relay_on": {"space": "input", "address": 0, "bit": 0, "bit_stride": 1},
        "current_a": {"space": "input", "address": 3, "stride": 1, "scale": 0.01},
        "energy_wh": {"space": "input", "address": 10, "stride": 2, "type": "u32", "poll": "slow"},
    },
)
WHOLE, FAST, LEAD = "00 00 00 0e", "00 00 00 05", "00 03 00 02"


def ask(unit: int, span: str) -> str:
    return f"> {unit:02x} 04 {span} *"


def says(unit: int, span: str, *, relays: int = 0, current_ca: int = 0) -> str:
    first, count = bytes.fromhex(span)[1], bytes.fromhex(span)[3]
    words = {0: relays, 3: current_ca}
    data = "".join(f"{words.get(at, 0):04x}" for at in range(first, first + count))
    return f"< {unit:02x} 04 {2 * count:02x} {data} *"


def turn(unit: int, span: str, *, relays: int = 0, current_ca: int = 0) -> str:
    return f"{ask(unit, span)}\n{says(unit, span, relays=relays, current_ca=current_ca)}\n"


def modules(*units: int) -> Site:
    return module_site(LINE, *units, kind=KIND, outlets=2)


def test_everything_is_read_first_and_then_what_is_fast() -> None:
    play(LINE, modules(1, 2), turn(1, WHOLE) + turn(2, WHOLE) + turn(1, FAST) + ask(2, FAST))


def test_an_outlet_that_was_switched_on_leads_from_then_on() -> None:
    stage = play(
        LINE,
        modules(1, 2),
        f"""
        {turn(1, WHOLE)}
        {turn(2, WHOLE)}
        {ask(1, FAST)}
        ! on m2-1
        {says(1, FAST)}
        > 02 05 00 00 ff 00 *
        < 02 05 00 00 ff 00 *
        {turn(2, FAST, relays=1)}
        {turn(2, "00 03 00 01")}
        """,
    )
    assert stage.recorder.last("m2-1").current_a == 0.0


def test_a_relay_that_is_found_on_and_a_current_make_an_outlet_lead() -> None:
    for shown in ({"relays": 1}, {"current_ca": 8}):
        play(
            LINE,
            modules(1, 2),
            turn(1, WHOLE, **shown) + turn(2, WHOLE) + turn(1, "00 03 00 01", **shown),
        )


def test_a_current_that_is_none_makes_nothing_lead() -> None:
    play(LINE, modules(1, 2), turn(1, WHOLE, current_ca=4) + turn(2, WHOLE) + turn(1, FAST))


def test_an_outlet_whose_relay_is_elsewhere_always_leads() -> None:
    other = RtuBus(id=BusId("other"), port="/dev/none")
    both = site(
        (LINE, other),
        (
            device("pz", "line", 1, profile(METER)),
            device("pw", "line", 2, profile(METER)),
            device("wr", "other", 1, profile(BOARD)),
        ),
        (
            outlet("x", ("wr", 1), ("pz", 1), Limits(overpower=None)),
            outlet("y", ("wr", 2), ("pw", 1), Limits(overpower=None)),
        ),
    )
    lead, rest = "00 01 00 02", "00 00 00 05"
    leads = Counter(
        text
        for text in _asked(both)
        if text in (f"01 04 {lead}", f"02 04 {lead}", f"01 04 {rest}", f"02 04 {rest}")
    )
    assert leads[f"01 04 {lead}"] > leads[f"01 04 {rest}"] > 0
    assert leads[f"02 04 {lead}"] > leads[f"02 04 {rest}"] > 0


def _asked(of: Site, requests: int = 60) -> list[str]:
    """Answer every read with zeros after its wire time; give what was asked."""

    async def main() -> list[str]:
        stage = Stage(LINE, of)
        owner = asyncio.create_task(stage.bus.run())
        asked = []
        for _ in range(requests):
            sent = await stage.line.sent.get()
            asked.append(sent[:6].hex(" "))
            count = sent[5]
            await asyncio.sleep((len(sent) + 5 + 2 * count) / 960)
            assert stage.line.on_bytes is not None
            stage.line.on_bytes(frame(f"{sent[0]:02x} 04 {2 * count:02x} {'0000' * count} *"))
        owner.cancel()
        await asyncio.wait([owner])
        return asked

    return run_virtually(main())


def test_a_device_that_refuses_a_shorter_read_is_read_whole(
    caplog: pytest.LogCaptureFixture,
) -> None:
    play(
        LINE,
        modules(1, 2),
        f"""
        {turn(1, WHOLE, relays=1)}
        {turn(2, WHOLE)}
        {ask(1, "00 03 00 01")}
        < 01 84 03 *
        {turn(1, WHOLE, relays=1)}
        {turn(1, WHOLE, relays=1)}
        """,
    )
    assert "device m1 refuses a shorter read: it is read whole" in caplog.text


def test_the_oldest_values_are_told() -> None:
    async def main() -> tuple[float | None, float | None]:
        stage = Stage(LINE, modules(1, 2))
        await stage.play(f"{turn(1, WHOLE)}{turn(2, WHOLE)}{turn(1, FAST)}{ask(2, FAST)}\n= 100ms")
        stats = stage.bus.stats()
        return stats.oldest_fast_ms, stats.oldest_slow_ms

    fast_ms, slow_ms = run_virtually(main())
    assert fast_ms is not None
    assert slow_ms is not None
    assert 100 < fast_ms < slow_ms


def test_an_outlet_in_use_is_asked_far_more_often_than_an_idle_one() -> None:
    async def main() -> Counter[int]:
        stage = Stage(LINE, module_site(LINE, *range(1, 9), kind=KIND, outlets=2))
        owner = asyncio.create_task(stage.bus.run())
        asked: Counter[int] = Counter()
        loop = asyncio.get_running_loop()
        began_s = loop.time()
        while loop.time() < began_s + 20:
            sent = await stage.line.sent.get()
            asked[sent[0]] += 1
            if sent[1] == 5:
                answer = sent[:6].hex() + "*"
            else:
                words = [int(sent[0] == 3 and at == 0) for at in range(sent[3], sent[3] + sent[5])]
                data = "".join(f"{word:04x}" for word in words)
                answer = f"{sent[0]:02x} 04 {2 * sent[5]:02x} {data} *"
            await asyncio.sleep((len(sent) + len(frame(answer))) / 960)
            assert stage.line.on_bytes is not None
            stage.line.on_bytes(frame(answer))
            if sum(asked.values()) == 10:
                stage.bus.switch_on(OutletId("m3-1"), 60_000)
        owner.cancel()
        await asyncio.wait([owner])
        return asked

    asked = run_virtually(main())
    idle = [count for unit, count in asked.items() if unit != 3]
    assert asked[3] > 10 * max(idle)
    assert min(idle) >= 20_000 / 5_000
