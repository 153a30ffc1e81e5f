"""Serve and a guard on a real socket: commands arrive once, in order, and get a verdict."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from gateway.core.clock import Clock, SystemClock
from gateway.core.errors import Refused, TryLater
from gateway.core.facts import FactKind
from gateway.link.messages import Target, TargetKind
from gateway.serve import delivery
from gateway.serve.app import Serve
from gateway.serve.commands import Command, LeaseTerms, Order
from gateway.serve.course import CommandAction, CommandState, OutletResult
from gateway.serve.tokens import Caller, Role
from gateway.storage.engine import open_database, resolve_url
from gateway.storage.migrate import migrate
from tests.support.fake_guard import FakeGuard
from tests.support.shed import small_site

DAY_MS = 86_400_000
CALLER = Caller(1, "reception", Role.OPERATOR)


def order(action: str, target: str = "outlet/n1-1", **changes: Any) -> Order:
    kind, _, target_id = target.partition("/")
    lease = LeaseTerms(for_s=60.0, energy_mwh=1_500) if action == "on" else None
    return Order(
        action=CommandAction(action),
        target=Target(TargetKind(kind), target_id),
        reason="a test",
        lease=lease,
        **changes,
    )


@asynccontextmanager
async def life(folder: Path, clock: Clock | None = None) -> AsyncIterator[Serve]:
    """One life of a serve process, without its HTTP server; it ends without any farewell."""
    site = small_site(folder)
    database = open_database(resolve_url(site.serve.database, folder))
    await migrate(database)
    whole = Serve(site, folder, database, clock or SystemClock())
    if not await whole.tokens.all():
        await whole.tokens.add("reception", Role.OPERATOR, None)
    await whole.delivery.look_back(whole.commands)
    try:
        async with asyncio.TaskGroup() as tasks:
            running = whole.start(tasks)
            yield whole
            for task in running:
                task.cancel()
    finally:
        await whole.close()


Check = Callable[[Serve, FakeGuard], Awaitable[None]]


def _run(folder: Path, check: Check, **guard_settings: Any) -> None:
    async def main() -> None:
        guard = FakeGuard(small_site(folder), folder, **guard_settings)
        async with asyncio.timeout(60), guard.running(), life(folder) as whole:
            await until(lambda: whole.live.guard.reachable)
            await check(whole, guard)

    asyncio.run(main())


async def until(holds: Callable[[], bool]) -> None:
    async with asyncio.timeout(30):
        while not holds():
            await asyncio.sleep(0.01)


async def give(whole: Serve, wanted: Order, key: str | None = "k", wait_s: float = 20) -> Command:
    command = await whole.commands.submit(wanted, CALLER, key)
    return await whole.commands.wait(command.id, wait_s)


def test_an_on_is_delivered_once_and_seen(tmp_path: Path) -> None:
    async def check(whole: Serve, guard: FakeGuard) -> None:
        given_ms = time.monotonic() * 1000
        command = await give(whole, order("on"))
        assert command.state is CommandState.SUCCEEDED
        (asked,) = guard.called("on")
        assert asked.pop("before_mono_ms") > given_ms
        assert asked == {
            "outlet": "n1-1",
            "for_s": 60.0,
            "actor": "api:reception",
            "reason": "a test",
            "energy_wh": 1.5,
            "request_id": command.id,
        }
        lease = command.outlets["n1-1"]
        assert lease.lease_id
        assert lease.until_utc_ms
        await until(lambda: whole.live.one("n1-1").view.state.value == "on")

    _run(tmp_path, check)


def test_an_off_of_a_pile_is_done_when_every_outlet_is_seen_off(tmp_path: Path) -> None:
    async def check(whole: Serve, guard: FakeGuard) -> None:
        await give(whole, order("on"), "a")
        await give(whole, order("on", "outlet/n1-3"), "b")
        command = await give(whole, order("off", "pile/n1"), None)
        assert command.state is CommandState.SUCCEEDED
        results = {outlet: part.result.value for outlet, part in command.outlets.items()}
        assert results == {
            "n1-1": "done",
            "n1-2": "nothing_to_do",
            "n1-3": "done",
            "n1-4": "nothing_to_do",
            "n1-5": "nothing_to_do",
        }
        assert guard.called("off")[0]["target"] == {"kind": "pile", "id": "n1"}

    _run(tmp_path, check)


@pytest.mark.parametrize("action", ["reset", "lock", "unlock"])
def test_what_has_no_sample_is_done_when_it_is_answered(tmp_path: Path, action: str) -> None:
    async def check(whole: Serve, guard: FakeGuard) -> None:
        wanted = order(action, "station/north", on_site=action == "reset")
        command = await give(whole, wanted, None)
        assert command.state is CommandState.SUCCEEDED
        assert len(command.outlets) == 10
        assert guard.called(action)[0].get("on_site") == (True if action == "reset" else None)

    _run(tmp_path, check)


def test_an_on_of_a_pile_is_a_lease_for_each_outlet(tmp_path: Path) -> None:
    async def check(whole: Serve, guard: FakeGuard) -> None:
        def some(params: dict[str, Any]) -> Any:
            if params["outlet"] == "n1-2":
                raise Refused("n1-2: cut off", code="latched")
            return guard._on(params)

        guard.answers["on"] = some
        command = await give(whole, order("on", "pile/n1"))
        assert command.state is CommandState.FAILED
        assert command.code == "latched"
        assert command.message == "1 of 5 outlets; n1-2: cut off"
        ids = {params["request_id"] for params in guard.called("on")}
        assert ids == {f"{command.id}/n1-{number}" for number in range(1, 6)}
        assert len({part.lease_id for part in command.outlets.values()}) == 5

    _run(tmp_path, check)


def test_a_refusal_is_a_verdict(tmp_path: Path) -> None:
    async def check(whole: Serve, guard: FakeGuard) -> None:
        def refuse(_: dict[str, Any]) -> Any:
            raise Refused("n1-1: cut off because of overpower", code="latched")

        guard.answers["on"] = refuse
        command = await give(whole, order("on"))
        assert (command.state, command.code) == (CommandState.REFUSED, "latched")
        assert command.message == "n1-1: cut off because of overpower"

    _run(tmp_path, check)


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

    _run(tmp_path, check)


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

    _run(tmp_path, check)


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

    _run(tmp_path, check)


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

    _run(tmp_path, check)


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


def test_a_new_life_of_the_guard_ends_what_waits(tmp_path: Path) -> None:
    async def check(whole: Serve, guard: FakeGuard) -> None:
        command = await whole.commands.submit(order("on"), CALLER, "k")
        while (await whole.commands.get(command.id)).state is not CommandState.ACCEPTED:
            await asyncio.sleep(0.01)
        await guard.started()
        verdict = await whole.commands.wait(command.id, 20)
        assert (verdict.state, verdict.code) == (CommandState.FAILED, "interrupted")

    _run(tmp_path, check, shows_on=False)


def test_what_is_never_seen_is_unknown(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(delivery, "SEEN_WITHIN_MS", 50)
    monkeypatch.setattr(delivery, "SWEEP_S", 0.05)

    async def check(whole: Serve, _guard: FakeGuard) -> None:
        command = await give(whole, order("on"))
        assert (command.state, command.code) == (CommandState.UNKNOWN, "not_seen")

    _run(tmp_path, check, shows_on=False)


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

    _run(tmp_path, check)


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

    _run(tmp_path, check)


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

    _run(tmp_path, check)


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

    _run(tmp_path, check)


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

    _run(tmp_path, check)


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
