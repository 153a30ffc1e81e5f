"""A serial port that gives nothing and reports nothing is opened anew; a dark line not for ever."""

from __future__ import annotations

import asyncio
import logging

import pytest

from drivers.modbus.asking import DEAF_MS, LONGEST_DEAF_MS
from gateway.config import RtuBus
from gateway.core.ids import BusId
from gateway.guard.model import BusState, DeviceState
from tests.support.modbus_script import Stage, frame
from tests.support.modbus_site import REF10, module_site, profile
from tests.support.virtual_loop import run_virtually

LINE = RtuBus(id=BusId("line"), port="/dev/none", baud=9_600, poll_ms=1_000)
HOUR_S = 3_600.0


async def _run(hears: frozenset[int], seconds: float) -> Stage:
    """Serve a module that answers while the port is open for one of these times."""
    stage = Stage(LINE, module_site(LINE, 1, kind=profile(REF10)))
    owner = asyncio.create_task(stage.bus.run(), name="bus")
    answer = asyncio.create_task(_answer(stage, hears), name="module")
    await asyncio.sleep(seconds)
    for task in (owner, answer):
        task.cancel()
    await asyncio.wait([owner, answer])
    assert owner.cancelled(), owner.exception()
    return stage


async def _answer(stage: Stage, hears: frozenset[int]) -> None:
    line = stage.line
    while True:
        sent = await line.sent.get()
        if line.opened in hears and line.on_bytes is not None and sent[1] == 4:
            count = int.from_bytes(sent[4:6])
            data = bytes([sent[0], sent[1], 2 * count, *bytes(2 * count)])
            line.on_bytes(frame(f"{data.hex()} *"))


def test_a_converter_that_hangs_without_a_word_is_opened_anew(
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.WARNING)
    stage = run_virtually(_run(frozenset({2}), 3 * DEAF_MS / 1_000))
    assert stage.line.opened == 2
    assert stage.recorder.devices[-1][1] is DeviceState.ONLINE
    assert [text for text in caplog.messages if "the port is opened anew" in text]
    assert BusState.LOST not in [state for _, state, _ in stage.recorder.buses]


def test_one_that_is_heard_stays_open() -> None:
    assert run_virtually(_run(frozenset({1}), 10 * DEAF_MS / 1_000)).line.opened == 1


def test_a_dark_line_is_opened_ever_less_often_and_told_once(
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.WARNING)
    stage = run_virtually(_run(frozenset(), HOUR_S))
    # 30 s, and twice as long each time, up to ten minutes
    assert 5 <= stage.line.opened <= 6 + HOUR_S * 1_000 / LONGEST_DEAF_MS
    assert len([text for text in caplog.messages if "the port is opened anew" in text]) == 1
