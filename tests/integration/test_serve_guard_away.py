"""A guard that is away, dies, hangs or is not understood: what becomes of a command."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest

from gateway.core.errors import TryLater
from gateway.core.facts import FactKind
from gateway.serve import delivery
from gateway.serve.app import Serve
from gateway.serve.course import CommandState
from tests.support.fake_guard import FakeGuard
from tests.support.serve_life import CALLER, give, life, order, play
from tests.support.shed import small_site
from tests.support.waiting import until


def test_an_answer_that_can_not_be_read_is_no_answer(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(delivery, "SETTLE_S", 0.1)

    async def check(whole: Serve, guard: FakeGuard) -> None:
        async def done_and_garbled(params: dict[str, Any]) -> Any:
            await guard._on(params)
            return {"lease_id": 7}

        guard.answers["on"] = done_and_garbled
        command = await give(whole, order("on"))
        async with asyncio.timeout(30):
            while (await whole.commands.get(command.id)).state is not CommandState.SUCCEEDED:
                await asyncio.sleep(0.02)

    play(tmp_path, check)


def test_without_a_guard_an_on_fails_at_once_and_is_not_sent_later(tmp_path: Path) -> None:
    async def main() -> None:
        guard = FakeGuard(small_site(tmp_path), tmp_path)
        async with asyncio.timeout(60), life(tmp_path) as whole:
            command = await give(whole, order("on"))
            assert (command.state, command.code) == (CommandState.FAILED, "not_delivered")
            assert "guard is not running" in command.message
            async with guard.running():
                await until(lambda: whole.live.guard.reachable)
                assert (await give(whole, order("on", "outlet/n1-2"), "k2")).state is (
                    CommandState.SUCCEEDED
                )
                assert [params["outlet"] for params in guard.called("on")] == ["n1-2"]

    asyncio.run(main())


def test_without_a_guard_an_off_waits_for_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(delivery, "RETRY_S", 0.02)

    async def main() -> None:
        guard = FakeGuard(small_site(tmp_path), tmp_path)
        async with asyncio.timeout(60), life(tmp_path) as whole:
            command = await whole.commands.submit(order("off"), CALLER, None)
            await asyncio.sleep(0.1)
            assert (await whole.commands.get(command.id)).state is CommandState.RECORDED
            async with guard.running():
                verdict = await whole.commands.wait(command.id, 20)
                assert verdict.state is CommandState.SUCCEEDED

    asyncio.run(main())


def test_a_lost_answer_is_settled_by_facts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The guard did it and died before it could say so."""
    monkeypatch.setattr(delivery, "SETTLE_S", 0.1)

    async def check(whole: Serve, guard: FakeGuard) -> None:
        async def done_but_not_told(params: dict[str, Any]) -> Any:
            await guard._on(params)
            raise TryLater("the connection broke")

        guard.answers["on"] = done_but_not_told
        command = await give(whole, order("on"))
        await until(lambda: bool(guard.called("on")))
        async with asyncio.timeout(30):
            while (await whole.commands.get(command.id)).state is not CommandState.SUCCEEDED:
                await asyncio.sleep(0.02)

    play(tmp_path, check)


def test_a_lost_answer_without_facts_was_not_delivered(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(delivery, "SETTLE_S", 0.05)

    async def check(whole: Serve, guard: FakeGuard) -> None:
        def broken(_: dict[str, Any]) -> Any:
            raise TryLater("the connection broke")

        guard.answers["on"] = broken
        command = await give(whole, order("on"))
        async with asyncio.timeout(30):
            while (await whole.commands.get(command.id)).code != "not_delivered":
                await asyncio.sleep(0.02)
        assert len(guard.called("on")) == 1

    play(tmp_path, check)


def test_a_new_life_of_the_guard_ends_what_waits(tmp_path: Path) -> None:
    async def check(whole: Serve, guard: FakeGuard) -> None:
        command = await whole.commands.submit(order("on"), CALLER, "k")
        while (await whole.commands.get(command.id)).state is not CommandState.ACCEPTED:
            await asyncio.sleep(0.01)
        await guard.started()
        verdict = await whole.commands.wait(command.id, 20)
        assert (verdict.state, verdict.code) == (CommandState.FAILED, "interrupted")

    play(tmp_path, check, shows_on=False)


def test_the_guard_goes_and_comes_back(tmp_path: Path) -> None:
    async def main() -> None:
        async with asyncio.timeout(60), life(tmp_path) as whole:
            for _ in range(2):
                guard = FakeGuard(small_site(tmp_path), tmp_path)
                async with guard.running():
                    await until(lambda: whole.live.one("n1-1").view.state.value == "off")
                    await guard.fact(FactKind.OUTLET_ALARM, "n1-1")
                await until(lambda: not whole.live.guard.reachable)
                assert whole.live.one("n1-1").view.state.value == "unknown"
            await until(lambda: whole.feed.last_position == 2)

    asyncio.run(main())


def test_a_guard_that_hangs_is_away_until_it_answers_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("gateway.serve.live.PROBE_S", 0.02)
    monkeypatch.setattr("gateway.serve.app.PROBE_WITHIN_S", 0.2)

    async def check(whole: Serve, guard: FakeGuard) -> None:
        await until(lambda: whole.live.one("n1-1").view.state.value == "off")
        guard.answers["hello"] = lambda _: None
        await until(lambda: not whole.live.guard.reachable)
        assert "did not answer" in whole.live.guard.detail
        assert whole.live.one("n1-1").view.state.value == "unknown"
        del guard.answers["hello"]
        await until(lambda: whole.live.guard.reachable)
        assert whole.live.one("n1-1").view.state.value == "off"

    play(tmp_path, check)
