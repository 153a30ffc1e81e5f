"""Commands that grew old, in a queue or over a crash: which are sent all the same."""

from __future__ import annotations

import asyncio
import time
from pathlib import Path
from typing import Any

import pytest

from gateway.core.clock import SystemClock
from gateway.core.facts import FactKind
from gateway.serve import delivery
from gateway.serve.app import Serve
from gateway.serve.commands import Order
from gateway.serve.course import CommandAction, CommandState, OutletResult
from gateway.serve.tokens import Role
from gateway.storage.engine import open_database, resolve_url
from gateway.storage.migrate import migrate
from tests.support.fake_guard import FakeGuard
from tests.support.serve_life import CALLER, give, life, order, play
from tests.support.shed import small_site

DAY_MS = 86_400_000


def test_an_off_that_comes_too_late_is_not_sent(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(delivery, "RETRY_S", 0.02)
    monkeypatch.setitem(delivery.SENT_WITHIN_MS, CommandAction.OFF, 100)

    async def main() -> None:
        async with asyncio.timeout(60), life(tmp_path) as whole:
            command = await give(whole, order("off"), None)
            assert (command.state, command.code) == (CommandState.FAILED, "not_delivered")

    asyncio.run(main())


def test_an_on_whose_turn_comes_too_late_is_not_sent(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Behind a guard that answers slowly, outlets must not go on long after they were meant to."""

    async def check(whole: Serve, guard: FakeGuard) -> None:
        async def slow(params: dict[str, Any]) -> Any:
            # So slow that whatever is sent after it is too late.
            monkeypatch.setattr(delivery, "ON_WITHIN_MS", -1)
            return await guard._on(params)

        guard.answers["on"] = slow
        command = await give(whole, order("on", "pile/n1"))
        assert [call["outlet"] for call in guard.called("on")] == ["n1-1"]
        assert command.outlets["n1-1"].result is OutletResult.DONE
        late = [part for outlet, part in command.outlets.items() if outlet != "n1-1"]
        assert {(part.result, part.code) for part in late} == {
            (OutletResult.FAILED, "not_delivered")
        }

    play(tmp_path, check)


async def _recorded_by_a_life_that_was_killed(folder: Path, *wanted: Order) -> list[str]:
    """Commit intents as a process does that is killed before it sends anything."""
    site = small_site(folder)
    database = open_database(resolve_url(site.serve.database, folder))
    await migrate(database)
    whole = Serve(site, folder, database, SystemClock())
    await whole.tokens.add("reception", Role.OPERATOR, None)
    ids = [
        (await whole.commands.submit(each, CALLER, f"k{number}")).id
        for number, each in enumerate(wanted)
    ]
    await whole.close()
    return ids


def test_after_a_crash_an_on_is_never_replayed_and_the_rest_is_sent_again(tmp_path: Path) -> None:
    async def main() -> None:
        guard = FakeGuard(small_site(tmp_path), tmp_path)
        wanted = [order(action) for action in ("on", "off", "lock", "reset")]
        ids = await _recorded_by_a_life_that_was_killed(tmp_path, *wanted)
        async with asyncio.timeout(60), guard.running(), life(tmp_path) as whole:
            states = [(await whole.commands.wait(each, 20)).state.value for each in ids]
            assert states == ["failed", "succeeded", "succeeded", "succeeded"]
            assert (await whole.commands.get(ids[0])).code == "not_delivered"
            assert guard.called("on") == []
            assert {method for method, _ in guard.calls} >= {"off", "lock", "reset"}
            assert guard.called("off")[0]["request_id"] == ids[1]

    asyncio.run(main())


def test_after_a_crash_facts_show_what_the_answer_would_have_said(tmp_path: Path) -> None:
    async def main() -> None:
        guard = FakeGuard(small_site(tmp_path), tmp_path)
        [command] = await _recorded_by_a_life_that_was_killed(tmp_path, order("on"))
        async with asyncio.timeout(60), guard.running():
            await guard.fact(FactKind.LEASE_STARTED, "n1-1", request_id=command, lease_id="l")
            async with life(tmp_path) as whole:
                while (await whole.commands.get(command)).state is not CommandState.ACCEPTED:
                    await asyncio.sleep(0.01)
                await guard.fact(FactKind.OUTLET_ON, "n1-1", request_id=command, lease_id="l")
                assert (await whole.commands.wait(command, 20)).state is CommandState.SUCCEEDED
                assert guard.called("on") == []

    asyncio.run(main())


class SteppedClock(SystemClock):
    """The machine's clock, as far as it was not set."""

    def __init__(self) -> None:
        self.step_ms = 0
        super().__init__(utc_ns=lambda: time.time_ns() + self.step_ms * 1_000_000)


@pytest.mark.parametrize("step_ms", [-DAY_MS, DAY_MS])
def test_a_step_of_the_clock_ages_no_command(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, step_ms: int
) -> None:
    monkeypatch.setattr(delivery, "RETRY_S", 0.02)
    monkeypatch.setitem(delivery.SENT_WITHIN_MS, CommandAction.RESET, 300)

    async def main() -> None:
        guard = FakeGuard(small_site(tmp_path), tmp_path)
        clock = SteppedClock()
        async with asyncio.timeout(60), life(tmp_path, clock) as whole:
            off = await whole.commands.submit(order("off"), CALLER, None)
            reset = await whole.commands.submit(order("reset", "outlet/n1-2"), CALLER, None)
            await asyncio.sleep(0.1)
            clock.step_ms = step_ms
            late = await whole.commands.wait(reset.id, 20)
            assert (late.state, late.code) == (CommandState.FAILED, "not_delivered")
            async with guard.running():
                verdict = await whole.commands.wait(off.id, 20)
                assert verdict.state is CommandState.SUCCEEDED

    asyncio.run(main())


@pytest.mark.parametrize(("action", "sent"), [("off", True), ("reset", False)])
def test_what_an_earlier_life_left_behind_before_the_clock_was_set(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, action: str, sent: bool
) -> None:
    monkeypatch.setattr(delivery, "RETRY_S", 0.02)

    async def main() -> None:
        clock = SteppedClock()
        clock.step_ms = -(time.time_ns() // 1_000_000)
        async with asyncio.timeout(60), life(tmp_path, clock) as whole:
            command = await whole.commands.submit(order(action), CALLER, None)
            assert command.created_utc_ms < DAY_MS
        guard = FakeGuard(small_site(tmp_path), tmp_path)
        async with asyncio.timeout(60), guard.running(), life(tmp_path) as whole:
            await whole.commands.wait(command.id, 20)
            assert bool(guard.called(action)) is sent

    asyncio.run(main())
