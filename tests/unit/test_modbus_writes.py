"""How relays are written: joined, one by one, by register, by command code; and all of them off."""

from __future__ import annotations

import asyncio

import pytest

from tests.support.modbus_script import Stage, play
from tests.support.modbus_site import (
    REF10,
    module_site,
    profile,
)
from tests.support.two_outlets import (
    ASK1,
    DONE,
    FAILED,
    LINE,
    TWO,
    says,
    two,
)
from tests.support.virtual_loop import run_virtually

ONE_BY_ONE = """
> 01 05 00 00 00 00 *
< 01 05 00 00 00 00 *
> 01 05 00 01 00 00 *
< 01 05 00 01 00 00 *
"""
"""The two outlets of a module go off by two writes."""


def test_a_joined_write_spares_outlets_that_were_switched_on() -> None:
    kind = profile(REF10, values={"relay_on": REF10["values"]["relay_on"]})
    ask, answer = "> 01 04 00 00 00 01 *", "< 30ms 01 04 02 0000 *"
    stage = play(
        LINE,
        module_site(LINE, 1, kind=kind),
        f"""
        {ask}
        {answer}
        ! on m1-4
        > 01 05 00 03 ff 00 *
        < 01 05 00 03 ff 00 *
        = 50ms
        ! cut m1-1 m1-3 m1-6 m1-9
        > 01 0f 00 00 00 03 01 00 *
        < 01 0f 00 00 00 03 *
        > 01 0f 00 05 00 04 01 00 *
        < 01 0f 00 05 00 04 *
        = 50ms
        """,
    )
    done = [name for name, wanted_on, result in stage.recorder.writes if not wanted_on]
    assert done == ["m1-1", "m1-3", "m1-6", "m1-9"]


def test_without_fc0f_each_relay_gets_a_write_of_its_own() -> None:
    kind = profile(TWO, relay={"style": "coil", "address": 0, "multiple": False})
    play(
        LINE,
        module_site(LINE, 1, kind=kind, outlets=2),
        f"""
        {ASK1}
        < {says(1)}
        ! cut m1-1 m1-2
        {ONE_BY_ONE}
        = 50ms
        """,
    )


@pytest.mark.parametrize("code", ["01", "02", "03"])
def test_a_module_that_declines_fc0f_is_switched_relay_by_relay(code: str) -> None:
    stage = play(
        LINE,
        two(1),
        f"""
        {ASK1}
        < {says(1)}
        ! cut m1-1 m1-2
        > 01 0f 00 00 00 02 01 00 *
        < 01 8f {code} *
        {ONE_BY_ONE}
        = 50ms
        """,
    )
    assert stage.recorder.writes == [("m1-1", False, DONE), ("m1-2", False, DONE)]
    assert stage.bus.stats().errors == {"declined": 1}


def test_an_on_behind_offs_that_are_sent_again_one_by_one_is_not_forgotten() -> None:
    stage = play(
        LINE,
        two(1),
        f"""
        {ASK1}
        < {says(1)}
        ! cut m1-1 m1-2
        > 01 0f 00 00 00 02 01 00 *
        ! on m1-2
        < 01 8f 01 *
        {ONE_BY_ONE}
        > 01 05 00 01 ff 00 *
        < 01 05 00 01 ff 00 *
        = 50ms
        """,
    )
    assert stage.recorder.writes == [
        ("m1-1", False, DONE),
        ("m1-2", False, DONE),
        ("m1-2", True, DONE),
    ]


def test_relays_by_register_and_by_command_code() -> None:
    register = profile(TWO, relay={"style": "register", "address": 16, "on": 1, "off": 0})
    command = profile(
        TWO,
        relay={
            "style": "command",
            "function": "coil",
            "address": 0,
            "on": 0x0100,
            "off": 0x0200,
        },
    )
    for kind, on, off in (
        (register, "01 06 00 11 00 01 *", "01 06 00 11 00 00 *"),
        (command, "01 05 00 01 01 00 *", "01 05 00 01 02 00 *"),
    ):
        play(
            LINE,
            module_site(LINE, 1, kind=kind, outlets=2),
            f"""
            {ASK1}
            < {says(1)}
            ! on m1-2
            > {on}
            < {on}
            = 50ms
            ! cut m1-2
            > {off}
            < {off}
            = 50ms
            """,
        )


def test_all_off_switches_off_and_reads_back() -> None:
    async def main() -> None:
        stage = Stage(LINE, two(1))
        results = asyncio.create_task(stage.bus.all_off())
        relays, writes = 3, []
        while not results.done():
            try:
                async with asyncio.timeout(1):
                    sent = await stage.line.sent.get()
            except TimeoutError:
                continue
            if sent[1] == 4:
                await stage._line(f"< 20ms {says(1, relays)}")
                continue
            writes.append(sent.hex(" ", 1)[:-6])
            relays = 2 if len(writes) == 1 else 0  # the second one does not open at once
            await stage._line(f"< 20ms {sent[:6].hex()} *")
        assert results.result() == [("m1-1", DONE), ("m1-2", DONE)]
        assert writes == ["01 0f 00 00 00 02 01 00", "01 05 00 01 00 00"]

    run_virtually(main())


def test_all_off_without_a_line_says_failed() -> None:
    async def main() -> None:
        stage = Stage(LINE, two(1))
        stage.line.refuse = "no such port"
        assert await stage.bus.all_off() == [("m1-1", FAILED), ("m1-2", FAILED)]

    run_virtually(main())
