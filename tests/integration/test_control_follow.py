from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import Awaitable, Callable
from contextlib import aclosing, closing
from pathlib import Path

import pytest

from gateway.core.errors import CorrectInput, Refused, TryLater
from gateway.guard.control_follow import RING_FACTS
from gateway.guard.journal import Journal
from gateway.guard.journal_entry import Entry
from gateway.link.client import FactArrived, GuardClient, OutletsChanged
from gateway.link.follow import LONGEST_WAIT_S, LinkDown, LinkUp, follow_for_ever, wait_s
from tests.support.control import Raw, RememberingService, listening
from tests.support.journal import draft, entry
from tests.support.waiting import until

Act = Callable[[Path, Journal, RememberingService], Awaitable[None]]


def _run(tmp_path: Path, act: Act, *, outlets: int = 3) -> None:
    async def main() -> None:
        service = RememberingService.of(outlets)
        async with asyncio.timeout(60), listening(tmp_path, service) as (path, journal):
            await act(path, journal, service)

    asyncio.run(main())


async def _facts(
    client: GuardClient, after: int | None, count: int, heard: list[int] | None = None
) -> list[int]:
    """Follow until there were so many facts; give their numbers, kept in ``heard`` as they come."""
    seqs: list[int] = [] if heard is None else heard
    async with aclosing(client.follow(facts_after=after)) as notices:
        async for notice in notices:
            assert isinstance(notice, FactArrived)
            seqs.append(notice.fact.seq)
            if len(seqs) == count:
                break
    return seqs


@pytest.mark.parametrize("after", [0, 7, 399, 400])
def test_old_facts_then_new_ones_without_gap_or_duplicate(tmp_path: Path, after: int) -> None:
    async def act(path: Path, journal: Journal, _: RememberingService) -> None:
        for n in range(400):
            ticket = journal.put(entry(n=n))
        await ticket.durable()

        async def go_on() -> None:
            for n in range(300):
                journal.put(Entry((draft(n=n), draft(n=n))))
                if n % 5 == 0:
                    await asyncio.sleep(0.001)

        async with await GuardClient.connect(path) as client, asyncio.TaskGroup() as group:
            group.create_task(go_on())
            assert await _facts(client, after, 1_000 - after) == list(range(after + 1, 1_001))

    _run(tmp_path, act)


def test_without_a_number_facts_begin_now(tmp_path: Path) -> None:
    async def act(path: Path, journal: Journal, _: RememberingService) -> None:
        await journal.put(entry()).durable()
        raw = await Raw.to(path)
        raw.ask(1, "follow")
        assert (await raw.line())["result"] == {"seq": 1, "first_seq": 1}
        await journal.put(entry()).durable()
        assert (await raw.line())["params"]["seq"] == 2
        await raw.close()

    _run(tmp_path, act)


def test_a_number_that_this_journal_never_gave_is_refused(tmp_path: Path) -> None:
    async def act(path: Path, _: Journal, __: RememberingService) -> None:
        async with await GuardClient.connect(path) as client:
            with pytest.raises(CorrectInput, match="another journal") as err:
                await _facts(client, 1, 1)
            assert err.value.field == "facts_after"

    _run(tmp_path, act)


def test_a_connection_follows_once_and_still_answers(tmp_path: Path) -> None:
    async def act(path: Path, _: Journal, __: RememberingService) -> None:
        async with await GuardClient.connect(path) as client:
            await client.call("follow")
            with pytest.raises(Refused) as refused:
                await client.call("follow")
            assert refused.value.code == "follows"
            assert (await client.call("hello"))["site"] == "demo"

    _run(tmp_path, act)


def test_a_follower_far_behind_the_ring_gets_every_fact_from_the_file(tmp_path: Path) -> None:
    many = 3 * RING_FACTS

    async def act(path: Path, journal: Journal, _: RememberingService) -> None:
        # One follower keeps the ring in use; the other one sleeps meanwhile.
        awake, sleepy = await GuardClient.connect(path), await GuardClient.connect(path)
        async with awake, sleepy:
            sleeping = sleepy.follow(facts_after=0)
            async with aclosing(sleeping), asyncio.TaskGroup() as group:
                first = await _first(sleeping, journal)
                heard = group.create_task(_facts(awake, 0, many))
                for start in range(1, many, 64):
                    drafts = (draft(text="x" * 400),) * min(64, many - start)
                    await journal.put_urgent(Entry(drafts)).durable()
                assert await heard == list(range(1, many + 1))
                seqs = [first]
                async for notice in sleeping:
                    assert isinstance(notice, FactArrived)
                    seqs.append(notice.fact.seq)
                    if len(seqs) == many:
                        break
        assert seqs == list(range(1, many + 1))

    async def _first(notices: object, journal: Journal) -> int:
        journal.put(entry())
        notice = await anext(notices)  # type: ignore[call-overload]
        assert isinstance(notice, FactArrived)
        return notice.fact.seq

    _run(tmp_path, act)


def test_facts_that_were_deleted_are_not_waited_for(tmp_path: Path) -> None:
    async def act(path: Path, journal: Journal, _: RememberingService) -> None:
        for _n in range(10):
            ticket = journal.put(entry())
        await ticket.durable()
        with closing(sqlite3.connect(journal.path, isolation_level=None)) as db:
            db.execute("DELETE FROM facts WHERE seq <= 6")
        raw = await Raw.to(path)
        raw.ask(1, "follow", facts_after=2)
        assert (await raw.line())["result"] == {"seq": 10, "first_seq": 7}
        assert [(await raw.line())["params"]["seq"] for _ in range(4)] == [7, 8, 9, 10]
        journal.put(entry())
        assert (await raw.line())["params"]["seq"] == 11
        await raw.close()

    _run(tmp_path, act)


def test_views_come_all_at_first_and_then_what_changed(tmp_path: Path) -> None:
    async def act(path: Path, _: Journal, service: RememberingService) -> None:
        async with (
            await GuardClient.connect(path) as client,
            aclosing(client.follow(views=True)) as notices,
        ):
            seen: list[str] = []
            async for notice in notices:
                assert isinstance(notice, OutletsChanged)
                seen += [each.outlet for each in notice.outlets]
                if len(seen) == 120:
                    break
            assert seen == list(service.outlets)
            service.change("o0007", power_w=90.0)
            notice = await anext(notices)
            assert isinstance(notice, OutletsChanged)
            assert notice.outlets == (service.outlets["o0007"],)

    _run(tmp_path, act, outlets=120)


def test_a_value_that_json_cannot_say_hides_its_outlet_and_no_other(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    async def act(path: Path, _: Journal, service: RememberingService) -> None:
        service.change("o0001", power_w=float("nan"))
        async with (
            await GuardClient.connect(path) as client,
            aclosing(client.follow(views=True)) as notices,
        ):
            notice = await anext(notices)
            assert isinstance(notice, OutletsChanged)
            assert [each.outlet for each in notice.outlets] == ["o0000", "o0002"]

    _run(tmp_path, act)
    assert "o0001 can't be shown" in caplog.text


def test_a_follower_that_does_not_read_is_dropped_and_told_why(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr("gateway.guard.control_connection.STALL_S", 0.2)
    monkeypatch.setattr("gateway.guard.control_connection.GRACE_S", 60)

    async def act(path: Path, journal: Journal, _: RememberingService) -> None:
        raw = await Raw.to(path)
        raw.ask(1, "follow", facts_after=0)
        await raw.line()
        raw.writer.transport.pause_reading()  # type: ignore[attr-defined]
        healthy = await GuardClient.connect(path)
        async with healthy, asyncio.TaskGroup() as group:
            heard = group.create_task(_facts(healthy, 0, 3_000))
            for _n in range(150):
                await journal.put_urgent(Entry((draft(text="x" * 800),) * 20)).durable()
            assert await heard == list(range(1, 3_001))
            await until(lambda: "a client is dropped" in caplog.text)
        raw.writer.transport.resume_reading()  # type: ignore[attr-defined]
        last = answer = await raw.line()
        while answer:
            last, answer = answer, await raw.line()
        assert last["method"] == "dropped"
        assert "did not read" in last["params"]["message"]
        await raw.close()

    _run(tmp_path, act)


def test_a_stopping_guard_tells_those_who_follow(tmp_path: Path) -> None:
    async def main() -> None:
        heard: list[int] = []
        async with listening(tmp_path, RememberingService.of(1)) as (path, journal):
            client = await GuardClient.connect(path)
            await journal.put(entry()).durable()
            following = asyncio.create_task(_facts(client, 0, 2, heard))
            await until(lambda: heard == [1])
        with pytest.raises(TryLater, match="guard stops"):
            await following
        with pytest.raises(TryLater, match="guard stops"):
            await client.call("hello")
        await client.close()

    asyncio.run(main())


def test_following_for_ever_goes_on_over_restarts_without_gap_or_duplicate(
    tmp_path: Path,
) -> None:
    seqs: list[int] = []
    downs: list[str] = []
    ups: list[int] = []

    async def follow(path: Path) -> None:
        async with aclosing(follow_for_ever(path, facts_after=0)) as events:
            async for event in events:
                match event:
                    case FactArrived(fact):
                        seqs.append(fact.seq)
                    case LinkUp(guard):
                        ups.append(guard.pid)
                    case LinkDown(error):
                        downs.append(str(error))

    async def main() -> None:
        following = asyncio.create_task(follow(tmp_path / "guard.sock"))
        await until(lambda: bool(downs))  # nobody is there yet
        for _ in range(3):
            async with listening(tmp_path, RememberingService.of(1)) as (_, journal):
                already = len(seqs)
                for n in range(20):
                    journal.put(entry(n=n))
                    await asyncio.sleep(0)
                await until(lambda already=already: len(seqs) >= already + 20)  # type: ignore[misc]
        following.cancel()
        await asyncio.gather(following, return_exceptions=True)

    asyncio.run(main())
    assert seqs == list(range(1, 61))
    assert len(ups) == 3
    assert "not running" in downs[0]


def test_the_wait_before_another_try_grows_and_is_capped() -> None:
    longest = [wait_s(failures, jitter=1.0) for failures in range(1, 50)]
    assert longest == sorted(longest)
    assert longest[-1] == LONGEST_WAIT_S
    assert wait_s(3, jitter=0.0) == longest[2] / 2
