"""The clock starts in 1970, is set, jumps back and stands still: nothing that is timed notices."""

from __future__ import annotations

import asyncio
import json
import struct
import time
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest

from gateway.core.clock import EARLIEST_UTC_MS
from gateway.core.facts import Fact, FactKind
from tests.support import run_claims as claims
from tests.support.run_command import pilegate
from tests.support.run_stage import SITES, Stage, on_stage, play, until

SITE = SITES / "demo-both.yaml"
MOVED = Path(__file__).parents[1] / "support" / "moved_clock"
DAY_NS = 86_400 * 10**9
LEASE_S = 6.0
LATE_S = 4.0
"""Polls are a second apart, and the machine is busy."""
WITHIN_S = 60.0

LONG = "n2-9"
"""On all the time."""
TURNS = [("n1-1", "n1-2"), ("n1-3", "n1-4"), ("n1-5", "n1-6"), ("n2-1", "n2-2")]
"""One that is overloaded and one whose lease ends, for each time that the clock moves."""


class MovedClock:
    """The clock of all programs that are started from now on."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self.move(0)

    def move(self, ahead_ns: int, still_ns: int = 0) -> None:
        if not self._path.exists():
            self._path.write_bytes(bytes(16))
        with self._path.open("r+b") as file:
            file.write(struct.pack("<qq", ahead_ns, still_ns))


async def turn(stage: Stage, overloaded: str, leased: str) -> None:
    """Cut one off, and have the lease of another end on time."""
    await stage.call("on", outlet=overloaded, for_s=600, actor="test", reason="clock")
    await stage.call("on", outlet=leased, for_s=LEASE_S, actor="test", reason="clock")

    async def both_charge() -> bool:
        views = await stage.views()
        return all((views[name].power_w or 0) > 50 for name in (overloaded, leased))

    await until("both charge", both_charge, within_s=WITHIN_S)
    stage.say(load_step=overloaded, power_w=3_000)

    async def both_over() -> bool:
        ended = {f.data["outlet"] for f in facts_of(stage, FactKind.LEASE_ENDED)}
        return {overloaded, leased} <= ended

    await until("both are over", both_over, within_s=WITHIN_S)


def facts_of(stage: Stage, kind: FactKind) -> list[Fact]:
    return [fact for fact in claims.read_facts(stage.journal) if fact.kind == kind]


def last_end(stage: Stage, outlet: str) -> Fact:
    ends = facts_of(stage, FactKind.LEASE_ENDED)
    return next(fact for fact in reversed(ends) if fact.data["outlet"] == outlet)


def story(clock: MovedClock) -> Callable[[Stage], Awaitable[None]]:
    async def told(stage: Stage) -> None:
        await stage.call("on", outlet=LONG, for_s=600, actor="test", reason="clock")
        set_right, back = 0, -3 * DAY_NS
        still = time.time_ns() - 5 * DAY_NS
        moves: list[tuple[str, Callable[[], None]]] = [
            ("as it started, in 1970", lambda: None),
            ("set", lambda: clock.move(set_right)),
            ("three days back", lambda: clock.move(back)),
            ("standing still", lambda: clock.move(0, still)),
        ]
        for (_, move), (overloaded, leased) in zip(moves, TURNS, strict=True):
            move()
            await turn(stage, overloaded, leased)
            cut, over = last_end(stage, overloaded), last_end(stage, leased)
            assert cut.reason == "overcurrent_instant", cut
            assert over.reason == "lease_over", over
            lasted_s = over.data["duration_ms"] / 1000
            assert LEASE_S - LATE_S <= lasted_s <= LEASE_S + LATE_S, "as long as it was meant"
        await times_are_told(stage, still // 1_000_000)
        await serve_went_on(stage)

    return told


async def times_are_told(stage: Stage, still_ms: int) -> None:
    facts = claims.read_facts(stage.journal)
    claims.sequence_is_whole(facts)
    for turn_of, (overloaded, _) in enumerate(TURNS):
        fact = last_end(stage, overloaded)
        assert fact.quality == ("unset" if turn_of == 0 else "unsynced"), fact
        assert (fact.utc_ms < EARLIEST_UTC_MS) is (turn_of == 0)
    first, second, third, fourth = (last_end(stage, overloaded) for overloaded, _ in TURNS)
    assert first.seq < second.seq < third.seq < fourth.seq, "numbers keep the order"
    assert third.utc_ms < second.utc_ms
    assert abs(fourth.utc_ms - still_ms) < 10
    views = await stage.views()
    lease = views[LONG].lease
    assert lease is not None, "a step ends no lease"
    assert not views[LONG].stale


async def serve_went_on(stage: Stage) -> None:
    """Every fact took effect once, in order, whatever its time; commands still work."""
    last = claims.read_facts(stage.journal)[-1].seq

    async def all_taken() -> bool:
        answer = await stage.api.request("GET", "/v1/events?limit=1")
        return int(answer.body["last_position"]) >= last

    await until("serve has all facts", all_taken, within_s=WITHIN_S)
    seqs, after = [], 0
    while True:
        page = (await stage.api.request("GET", f"/v1/events?after={after}")).body
        if not page["events"]:
            break
        seqs += [event["seq"] for event in page["events"]]
        after = page["next"]
    assert seqs == list(range(1, len(seqs) + 1))
    body = {"action": "off", "target": {"kind": "outlet", "id": LONG}, "reason": "clock"}
    answer = await stage.api.request("POST", "/v1/commands?wait=20", body)
    assert answer.body["state"] == "succeeded", answer
    minutes = pilegate(
        *("--state-dir", stage.place.state_dir, "events", "--json"), cwd=stage.place.folder
    )
    assert minutes.status == 0
    assert all(json.loads(line)["seq"] for line in minutes.out.splitlines())


@pytest.mark.timeout(400)
def test_the_clock_moves_and_nothing_that_is_timed_notices(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    clock = MovedClock(tmp_path / "clock")
    clock.move(10**10 - time.time_ns())
    monkeypatch.setenv("PILEGATE_TEST_CLOCK", str(tmp_path / "clock"))
    monkeypatch.setenv("PYTHONPATH", f"{MOVED}:{Path(__file__).parents[2]}")

    async def main() -> None:
        async with on_stage(tmp_path, SITE) as stage:
            await play(stage, story(clock))

    asyncio.run(main())
