from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import text

from gateway.core.errors import NotKnown, Refused, TryLater
from gateway.core.facts import FactKind
from gateway.link.messages import Target, TargetKind
from gateway.serve import commands as room
from gateway.serve.commands import Command, LeaseTerms, Order
from gateway.serve.course import CommandAction, CommandState
from gateway.serve.events import Event
from gateway.serve.tokens import Caller, Role
from tests.support.api_words import event
from tests.support.serving import Served, serving

CALLER = Caller(1, "viewer", Role.OPERATOR)


def on(outlet: str = "n1-1", **changes: Any) -> Order:
    values: dict[str, Any] = {
        "action": CommandAction.ON,
        "target": Target(TargetKind.OUTLET, outlet),
        "reason": "a test",
        "lease": LeaseTerms(for_s=60.0, energy_mwh=500_000, power_w=250.5),
    }
    return Order(**{**values, **changes})


def off(kind: TargetKind = TargetKind.OUTLET, target_id: str = "n1-1") -> Order:
    return Order(action=CommandAction.OFF, target=Target(kind, target_id), reason="a test")


async def _feed(served: Served, *events: Event) -> None:
    """Let facts take effect as the taker does."""
    effect = served.whole.taker._effects[0]
    async with served.database.writing() as session:
        await effect.apply(session, events)
    effect.committed()


def test_an_intent_is_written_down_before_it_is_sent(tmp_path: Path) -> None:
    async def main() -> None:
        async with serving(tmp_path) as served:
            sent: list[Command] = []
            served.whole.commands._send = sent.append
            command = await served.whole.commands.submit(on(), CALLER, "k1")
            assert sent == [command]
            assert await served.whole.commands.get(command.id) == command
            assert command.state is CommandState.RECORDED
            assert command.order == on()
            assert command.actor == "api:viewer"

    asyncio.run(main())


def test_the_same_key_gives_the_same_command_and_sends_nothing(tmp_path: Path) -> None:
    async def main() -> None:
        async with serving(tmp_path) as served:
            sent: list[Command] = []
            served.whole.commands._send = sent.append
            commands = served.whole.commands
            both = await asyncio.gather(*(commands.submit(on(), CALLER, "k") for _ in range(5)))
            assert len({command.id for command in both}) == 1
            assert len(sent) == 1
            for other in (
                on("n1-2"),
                on(reason="other"),
                on(lease=LeaseTerms(for_s=61.0)),
                off(),
            ):
                with pytest.raises(Refused, match="another body") as caught:
                    await commands.submit(other, CALLER, "k")
                assert caught.value.code == "idempotency_key_reused"
            other_token = await commands.submit(on(), Caller(2, "operator", Role.OPERATOR), "k")
            assert other_token.id != both[0].id
            without = [await commands.submit(off(), CALLER, None) for _ in range(2)]
            assert without[0].id != without[1].id

    asyncio.run(main())


def test_targets_must_exist_and_have_outlets(tmp_path: Path) -> None:
    async def main() -> None:
        async with serving(tmp_path) as served:
            with pytest.raises(NotKnown):
                await served.whole.commands.submit(on("n9-1"), CALLER, "k")
            with pytest.raises(NotKnown):
                await served.whole.commands.submit(off(TargetKind.PILE, "n9"), CALLER, None)
            with pytest.raises(NotKnown):
                await served.whole.commands.get("0195a6f0-5b21-7a44-8a0e-5a6f6a6f1c22")

    asyncio.run(main())


def test_commands_under_way_are_bounded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(room, "MOST_OPEN", 2)

    async def main() -> None:
        async with serving(tmp_path) as served:
            commands = served.whole.commands
            first = await commands.submit(on(), CALLER, "k")
            await commands.submit(off(), CALLER, None)
            with pytest.raises(TryLater, match="under way"):
                await commands.submit(off(), CALLER, None)
            assert (await commands.submit(on(), CALLER, "k")).id == first.id

    asyncio.run(main())


def test_the_database_refuses_a_verdict_without_its_time(tmp_path: Path) -> None:
    async def main() -> None:
        async with serving(tmp_path) as served:
            await served.whole.commands.submit(on(), CALLER, "k")
            with pytest.raises(Exception, match="ck_commands_finished"):
                async with served.database.writing() as session:
                    await session.execute(text("UPDATE commands SET state = 'succeeded'"))

    asyncio.run(main())


def test_facts_give_the_verdict_and_wake_who_waits(tmp_path: Path) -> None:
    async def main() -> None:
        async with serving(tmp_path) as served:
            commands = served.whole.commands
            command = await commands.submit(on(), CALLER, "k")
            waiting = asyncio.create_task(commands.wait(command.id, 20))
            data = {"request_id": command.id, "lease_id": "l1", "until_utc_ms": 7}
            await _feed(served, event(1, FactKind.LEASE_STARTED, "n1-1", **data))
            assert (await commands.get(command.id)).state is CommandState.ACCEPTED
            await _feed(served, event(2, FactKind.OUTLET_ON, "n1-1", **data))
            async with asyncio.timeout(30):
                verdict = await waiting
            assert verdict.state is CommandState.SUCCEEDED
            assert verdict.outlets["n1-1"].lease_id == "l1"
            assert verdict.finished_utc_ms is not None
            assert commands._bells == {}

    asyncio.run(main())


def test_facts_from_before_an_off_say_nothing_about_it(tmp_path: Path) -> None:
    async def main() -> None:
        async with serving(tmp_path) as served:
            command = await served.whole.commands.submit(off(), CALLER, None)
            await _feed(served, event(0, FactKind.OUTLET_OFF, "n1-1"))
            assert (await served.whole.commands.get(command.id)).state is CommandState.RECORDED
            await _feed(served, event(1, FactKind.OUTLET_OFF, "n1-1"))
            assert (await served.whole.commands.get(command.id)).state is CommandState.SUCCEEDED

    asyncio.run(main())


def test_waiting_ends_in_time(tmp_path: Path) -> None:
    async def main() -> None:
        async with serving(tmp_path) as served:
            command = await served.whole.commands.submit(off(), CALLER, None)
            assert await served.whole.commands.wait(command.id, 0.05) == command
            assert await served.whole.commands.wait(command.id, 0) == command

    asyncio.run(main())


def test_a_verdict_that_comes_while_it_is_looked_up_ends_the_waiting(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def main() -> None:
        async with serving(tmp_path) as served:
            commands = served.whole.commands
            command = await commands.submit(on(), CALLER, "k")
            look = commands.get
            data = {"request_id": command.id, "lease_id": "l"}
            verdicts = [event(1, FactKind.OUTLET_ON, "n1-1", **data)]

            async def look_while_it_changes(command_id: str) -> Command:
                seen = await look(command_id)
                if verdicts:
                    await _feed(served, verdicts.pop())
                return seen

            monkeypatch.setattr(commands, "get", look_while_it_changes)
            async with asyncio.timeout(30):
                found = await commands.wait(command.id, 3_600)
            assert found.state is CommandState.SUCCEEDED

    asyncio.run(main())


def test_waiting_is_bounded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(room, "MOST_WAITING", 1)

    async def main() -> None:
        async with serving(tmp_path) as served:
            commands = served.whole.commands
            command = await commands.submit(off(), CALLER, None)
            first = asyncio.create_task(commands.wait(command.id, 1_000))
            await asyncio.sleep(0)
            async with asyncio.timeout(20):
                assert await commands.wait(command.id, 1_000) == command
            first.cancel()
            await asyncio.wait([first])

    asyncio.run(main())


def test_commands_are_listed_newest_first_in_pages(tmp_path: Path) -> None:
    async def main() -> None:
        async with serving(tmp_path) as served:
            commands = served.whole.commands
            made = []
            for number in range(5):
                made.append((await commands.submit(on(f"n1-{number + 1}"), CALLER, str(number))).id)
                await asyncio.sleep(0.002)  # ids of one millisecond sort by chance
            first, following = await commands.page(before=None, limit=3, target=None, state=None)
            rest, end = await commands.page(before=following, limit=3, target=None, state=None)
            assert [command.id for command in first + rest] == made[::-1]
            assert end is None
            target = Target(TargetKind.OUTLET, "n1-2")
            found, _ = await commands.page(before=None, limit=3, target=target, state=None)
            assert [command.id for command in found] == [made[1]]
            none, _ = await commands.page(
                before=None, limit=3, target=None, state=CommandState.FAILED
            )
            assert none == []

    asyncio.run(main())
