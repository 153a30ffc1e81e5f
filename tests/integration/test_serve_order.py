"""ONs and OFFs of the same outlets: whatever comes between, an OFF is never lost behind an ON."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest

from gateway.serve import delivery
from gateway.serve.app import Serve
from gateway.serve.course import CommandState
from tests.support.fake_guard import FakeGuard
from tests.support.serve_life import CALLER, give, life, order, play
from tests.support.shed import small_site
from tests.support.waiting import until


def test_an_off_overtakes_an_on_that_is_not_answered_yet(tmp_path: Path) -> None:
    """Whatever the guard handles first, the outlet is off in the end."""

    async def check(whole: Serve, guard: FakeGuard) -> None:
        asked, gate = asyncio.Event(), asyncio.Event()

        async def slow(params: dict[str, Any]) -> Any:
            asked.set()
            await gate.wait()
            return await guard._on(params)

        guard.answers["on"] = slow
        first = await whole.commands.submit(order("on"), CALLER, "k")
        await asked.wait()
        off = await give(whole, order("off"), None)
        assert off.state is CommandState.SUCCEEDED
        gate.set()
        await whole.commands.wait(first.id, 20)
        await until(lambda: len(guard.called("off")) == 2)
        await until(lambda: guard.views["n1-1"].state.value == "off")

    play(tmp_path, check)


def test_an_off_ends_a_group_that_is_being_switched_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(delivery, "BATCH", 1)

    async def check(whole: Serve, guard: FakeGuard) -> None:
        gate = asyncio.Event()

        async def slow(params: dict[str, Any]) -> Any:
            await gate.wait()
            return await guard._on(params)

        guard.answers["on"] = slow
        first = await whole.commands.submit(order("on", "site/shed"), CALLER, "k")
        await until(lambda: bool(guard.called("on")))
        await give(whole, order("off", "pile/n1"), None)
        gate.set()
        verdict = await whole.commands.wait(first.id, 20)
        assert {params["outlet"] for params in guard.called("on")} == {
            "n1-1",
            *(f"n2-{number}" for number in range(6, 11)),
        }
        assert verdict.outlets["n1-4"].code == "overtaken"

    play(tmp_path, check)


def test_a_stuck_on_does_not_hold_up_an_off(tmp_path: Path) -> None:
    async def check(whole: Serve, guard: FakeGuard) -> None:
        gate = asyncio.Event()

        async def stuck(params: dict[str, Any]) -> Any:
            await gate.wait()
            return await guard._on(params)

        guard.answers["on"] = stuck
        for number in range(1, 6):
            for again in range(4):
                wanted = order("on", f"outlet/n1-{number}")
                await whole.commands.submit(wanted, CALLER, f"{number}-{again}")
        off = await give(whole, order("off", "pile/n2"), None)
        assert off.state is CommandState.SUCCEEDED
        gate.set()

    play(tmp_path, check)


def test_an_on_waits_for_the_off_that_came_before_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(delivery, "RETRY_S", 0.3)

    async def main() -> None:
        guard = FakeGuard(small_site(tmp_path), tmp_path)
        async with asyncio.timeout(60), life(tmp_path) as whole:
            off = await whole.commands.submit(order("off"), CALLER, None)
            await asyncio.sleep(0.1)  # it has found nobody
            async with guard.running():
                command = await give(whole, order("on"))
                assert command.state is CommandState.SUCCEEDED
                assert (await whole.commands.get(off.id)).state is CommandState.SUCCEEDED
                commands = [method for method, _ in guard.calls if method in ("on", "off")]
                assert commands == ["off", "on"]

    asyncio.run(main())


def test_an_on_is_not_sent_past_an_off_that_is_stuck(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(delivery, "ORDER_WITHIN_S", 0.1)

    async def check(whole: Serve, guard: FakeGuard) -> None:
        guard.answers["off"] = lambda _: None
        await whole.commands.submit(order("off", "pile/n1"), CALLER, None)
        command = await give(whole, order("on"))
        assert (command.state, command.code) == (CommandState.FAILED, "not_delivered")
        assert (await give(whole, order("on", "outlet/n2-6"), "k2")).state is (
            CommandState.SUCCEEDED
        )
        assert [params["outlet"] for params in guard.called("on")] == ["n2-6"]

    play(tmp_path, check)
