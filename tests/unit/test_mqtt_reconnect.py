"""A connection that is lost: reconnects, cut-offs that go first, ONs that are not repeated."""

from __future__ import annotations

import asyncio

from drivers.mqtt.bus import LOGIN_RECONNECT_MS, LONGEST_RECONNECT_MS
from drivers.mqtt.link import LinkLost
from gateway.guard.model import BusState, DeviceState, WriteResult
from tests.support.mqtt_script import (
    A1,
    OFF,
    ON,
    Stage,
    native,
    online,
    play,
)
from tests.support.virtual_loop import run_virtually


def test_reconnects_are_capped_and_jittered_and_rare_after_a_wrong_password() -> None:
    async def main() -> None:
        stage = Stage(native())
        stage.refuses = LinkLost("refused")
        running = asyncio.create_task(stage.driver.run())
        await asyncio.sleep(120)
        gaps = [b - a for a, b in zip(stage.attempts, stage.attempts[1:], strict=False)]
        assert gaps[0] < 0.4
        assert 6 < max(gaps) <= LONGEST_RECONNECT_MS * 1.2 / 1_000
        assert len({round(gap, 3) for gap in gaps[-4:]}) == 4

        count = len(stage.attempts)
        stage.refuses = LinkLost("wrong password", is_login=True)
        await asyncio.sleep(600)
        assert len(stage.attempts) - count <= 600_000 / LOGIN_RECONNECT_MS / 0.8 + 2
        lost = [text for _, state, text in stage.recorder.buses if state is BusState.LOST]
        assert lost == ["refused", "wrong password"]  # each told once
        running.cancel()
        await asyncio.wait([running])

    run_virtually(main())


def test_a_cut_off_given_as_soon_as_the_connection_is_lost_waits_for_no_back_off() -> None:
    async def main() -> None:
        stage = Stage(native())
        stage.refuses = LinkLost("refused")
        running = asyncio.create_task(stage.driver.run())
        await asyncio.sleep(120)
        count = len(stage.attempts)
        while len(stage.attempts) == count:
            await asyncio.sleep(0.01)
        stage.driver.switch_off(A1, urgent=True)
        at_s = stage.attempts[-1]
        await asyncio.sleep(20)
        gap_s = stage.attempts[count + 1] - at_s
        assert gap_s < 0.5
        running.cancel()
        await asyncio.wait([running])

    run_virtually(main())


def test_a_cut_off_tries_to_connect_at_once_and_goes_first() -> None:
    async def story(stage: Stage) -> None:
        online(stage)
        stage.refuses = LinkLost("refused")
        before = stage.wire
        before.over.set_result("gone")
        await asyncio.sleep(100)
        assert stage.state() is DeviceState.SILENT
        stage.refuses = None
        stage.driver.switch_off(A1, urgent=True)
        stage.driver.switch_on(A1, 60_000)  # dropped; the OFF is owed all the same
        await asyncio.sleep(0.5)
        assert stage.recorder.writes[:2] == [
            (*OFF, WriteResult.FAILED),
            (*ON, WriteResult.DROPPED),
        ]
        assert stage.wire is not before
        assert '"relay_on":false' in stage.wire.sent[0][1]
        assert stage.recorder.buses[-1][1] is BusState.OPEN

    play(story, native)


def test_a_lost_connection_fails_what_was_open_and_repeats_no_on() -> None:
    async def story(stage: Stage) -> None:
        online(stage)
        stage.driver.switch_on(A1, 60_000)
        stage.wire.over.set_result("gone")
        await asyncio.sleep(5)
        assert stage.recorder.writes == [(*ON, WriteResult.FAILED)]
        assert stage.recorder.buses[-1][1] is BusState.OPEN
        assert stage.wire.take("command") == []

    play(story, native)
