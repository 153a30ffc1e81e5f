"""Guard and serve are killed at random moments of a busy site, and started again.

``PILEGATE_KILL_S`` lets it last longer (seconds of killing), ``PILEGATE_KILL_SEED`` repeats
the choices of a run.
"""

from __future__ import annotations

import asyncio
import os
import random
import secrets
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from gateway.core.errors import PilegateError
from gateway.core.facts import FactKind
from gateway.link.messages import LatchView
from tests.support import run_claims as claims
from tests.support.run_stage import (
    COMES_UP_S,
    SITES,
    Stage,
    follow_facts,
    on_stage,
    outlet_ids,
    play,
    until,
)
from tests.support.run_traffic import Traffic

SECONDS = float(os.environ.get("PILEGATE_KILL_S", "45"))
SITE = SITES / "demo-both.yaml"
DEVICES = ["m1", "m2", "p1", "w1", "d1", "s1"]
FIRST_LOOK_S = 3.0
LONGEST_WAIT_S = 3.0
OFF_WITHIN_S = 20.0
"""Polls are a second apart; a slow line with a device that is silent needs some of them."""
VERDICT_WITHIN_S = 150.0
"""Longer than an answer without a fact to follow is waited for (120 s)."""
CUT_AT_LEAST = "n2-9"
MOVING = ("on", "starting", "stopping")
ASKED_AGAIN = 20
"""Commands without an answer that are given again with the same key."""


class Watcher:
    """Looks, as anybody may, at which outlets are latched and leased, and keeps the last answer."""

    def __init__(self, stage: Stage) -> None:
        self.latches: dict[str, LatchView] = {}
        self.by_api: dict[str, LatchView] = {}
        self.leases: set[str] = set()
        self._stage = stage

    async def look(self) -> None:
        while True:
            try:
                views = await self._stage.views()
            except PilegateError:
                await asyncio.sleep(0.05)
                continue
            self.latches = {name: view.latch for name, view in views.items() if view.latch}
            self.leases = {view.lease.id for view in views.values() if view.lease}
            await asyncio.sleep(0.03)

    async def look_by_api(self) -> None:
        while True:
            try:
                answer = await self._stage.api.request("GET", "/v1/outlets", timeout_s=2.0)
            except PilegateError:
                await asyncio.sleep(0.05)
                continue
            if answer.status == 200 and answer.body["guard"]["reachable"]:
                self.by_api = {
                    row["id"]: LatchView(**row["latch"])
                    for row in answer.body["outlets"]
                    if row["latch"]
                }
            await asyncio.sleep(0.2)

    def readable(self) -> dict[str, LatchView]:
        """Give what could be read last; the API's answer is the older one."""
        return {**self.by_api, **self.latches}


class Killer:
    """Rounds of killing and starting again, each followed by what must be true."""

    def __init__(self, stage: Stage, seed: int) -> None:
        self.stage = stage
        self.rounds: list[str] = []
        self.followed: list[int] = []
        self.watcher = Watcher(stage)
        self.traffic = Traffic(stage, outlet_ids(SITE), DEVICES, seed)
        self._chance = random.Random(seed)

    async def kill_for(self, seconds: float) -> None:
        until_s = time.monotonic() + seconds
        await asyncio.sleep(FIRST_LOOK_S)
        first = [self._guard, self._serve, self._guard_at_its_start, self._both]
        while first or time.monotonic() < until_s:
            kill = first.pop(0) if first else self._any()
            await self._moment()
            self.rounds.append(kill.__name__)
            await kill()

    def _any(self) -> Callable[[], Any]:
        kinds = (self._guard, self._guard_at_its_start, self._serve, self._both)
        return self._chance.choices(kinds, (3, 2, 2, 1))[0]

    async def _moment(self) -> None:
        """Wait for some time, or for something to have become readable this very moment."""
        watcher, told = self.watcher, self.traffic.told
        looks: list[Callable[[], int]] = [
            lambda: 0,
            lambda: len(watcher.latches),
            lambda: len(watcher.leases),
            lambda: len(told.commands),
            lambda: len(told.leases),
            lambda: len(self.followed),
        ]
        look = self._chance.choice(looks)
        await asyncio.sleep(self._chance.uniform(0, 1.0))
        before = look()
        late_s = time.monotonic() + self._chance.uniform(0, LONGEST_WAIT_S)
        while look() == before and time.monotonic() < late_s:
            await asyncio.sleep(0.002)
        await asyncio.sleep(self._chance.choice([0, 0, 0.003, 0.02]))

    async def _guard(self) -> None:
        await self.stage.programs.kill("guard")
        readable = self.watcher.readable()
        died_with = claims.open_leases(self.stage.journal)
        await asyncio.sleep(self._chance.choice([0, 0, 1.0, 3.0]))
        await self.stage.programs.again("guard")
        await self._guard_is_back(readable, died_with)

    async def _guard_at_its_start(self) -> None:
        """Kill it, and again while it starts: before, while or after it wrote what was open."""
        await self.stage.programs.kill("guard")
        readable = self.watcher.readable()
        await self.stage.programs.again("guard")
        await asyncio.sleep(self._chance.uniform(0, 2.5))
        await self.stage.programs.kill("guard")
        readable |= self.watcher.readable()
        died_with = claims.open_leases(self.stage.journal)
        await self.stage.programs.again("guard")
        await self._guard_is_back(readable, died_with)

    async def _guard_is_back(
        self, readable: dict[str, LatchView], died_with: dict[str, str]
    ) -> None:
        await self.stage.guard_answers()
        await until("its start is written down", self._start_is_told, within_s=COMES_UP_S)
        shown = await self.stage.views()
        facts = claims.read_facts(self.stage.journal)
        claims.sequence_is_whole(facts)
        claims.interrupted_once(facts, died_with)
        claims.latches_outlive(readable, shown, facts)
        await until("no relay is on without a lease", self._no_relay_without, within_s=OFF_WITHIN_S)

    async def _start_is_told(self) -> bool:
        """Say whether the start of the guard that answers now stands in the journal."""
        boot_id = (await self.stage.call("hello"))["boot_id"]
        facts = claims.read_facts(self.stage.journal)
        return any(fact.data.get("boot_id") == boot_id for fact in facts)

    async def _no_relay_without(self) -> bool:
        on = {outlet for outlet, is_on in self.stage.records.on.items() if is_on}
        views = await self.stage.views()
        return not [o for o in on if views[o].lease is None and self.stage.records.on[o]]

    async def _serve(self) -> None:
        await self.stage.programs.kill("serve")
        await asyncio.sleep(self._chance.choice([0, 1.0, 2.0]))
        await self.stage.programs.again("serve")
        await self._serve_is_back()

    async def _serve_is_back(self) -> None:
        await self.stage.serve_answers()
        # As any client would: the same keys again, as it can't know what became of them.
        told = self.traffic.told
        unanswered, told.unanswered = told.unanswered[:ASKED_AGAIN], []
        again = (self.traffic.post_once(key, body) for key, body in unanswered)
        for result in await asyncio.gather(*again, return_exceptions=True):
            assert result is None or isinstance(result, PilegateError), result

    async def _both(self) -> None:
        await self.stage.programs.kill("serve")
        await self.stage.programs.kill("guard")
        readable = self.watcher.readable()
        died_with = claims.open_leases(self.stage.journal)
        await self.stage.programs.again("serve")
        await asyncio.sleep(self._chance.choice([0, 0, 2.0]))
        await self.stage.programs.again("guard")
        await self._guard_is_back(readable, died_with)
        await self._serve_is_back()

    # In the end

    async def agreed(self) -> bool:
        """Say whether what is shown is what the facts tell. Raises PilegateError if not."""
        views = await self.stage.views()
        facts = claims.read_facts(self.stage.journal)
        latched = {outlet: view.latch.reason for outlet, view in views.items() if view.latch}
        locked = {outlet: set(view.locks) for outlet, view in views.items() if view.locks}
        told = (claims.latched_by_facts(facts), claims.locked_by_facts(facts))
        if (latched, locked) != told:
            raise PilegateError(f"shown {latched} {locked}, told {told}")
        return True

    async def cut_one(self) -> None:
        """See to it that something is cut, where chance did not."""
        target = {"kind": "outlet", "id": CUT_AT_LEAST}

        async def is_cut() -> bool:
            facts = claims.read_facts(self.stage.journal)
            if any(fact.kind == FactKind.OUTLET_CUT for fact in facts):
                return True
            self.stage.say(heal="m2")
            for method in ("unlock", "reset"):
                await self.stage.call(method, target=target, actor="test", reason="a cut")
            self.stage.say(load_step=CUT_AT_LEAST, power_w=3_000, for_s=5.0)
            await self.stage.call("on", outlet=CUT_AT_LEAST, for_s=60, actor="test", reason="a cut")
            await asyncio.sleep(3.0)
            return False

        await until("something is cut", is_cut, within_s=VERDICT_WITHIN_S)

    async def settle(self) -> None:
        """Wait until every command has its verdict and everybody knows every fact."""
        for device in DEVICES:
            self.stage.say(heal=device)
        await self.stage.guard_answers()
        await until("all commands have a verdict", self._all_judged, within_s=VERDICT_WITHIN_S)
        await self.stage.call(
            "off", target={"kind": "site", "id": "demo"}, actor="test", reason="the end"
        )
        await until("all is known everywhere", self._all_known, within_s=VERDICT_WITHIN_S)

    async def _all_judged(self) -> bool:
        """Say whether no command is under way. Raises PilegateError with those that are."""
        left = []
        for state in ("recorded", "accepted"):
            answer = await self.stage.api.request("GET", f"/v1/commands?state={state}&limit=200")
            left += answer.body["commands"]
        if left:
            raise PilegateError(str(left))
        return True

    async def _all_known(self) -> bool:
        """Say whether all is off and told. Raises PilegateError with what is missing."""
        last = (await self.stage.call("hello"))["seq"]
        rows = claims.business_events(self.stage.place.state_dir / "serve.db")
        views = await self.stage.views()
        on = [o for o, is_on in self.stage.records.on.items() if is_on or views[o].state in MOVING]
        if on or not len(rows) == last == len(self.followed):
            told = f"{last} facts, {len(rows)} in business, {len(self.followed)} followed"
            raise PilegateError(f"on: {on}; {told}")
        return True


@pytest.mark.ahead
@pytest.mark.timeout(SECONDS + 300)
def test_killed_at_any_moment_nothing_is_forgotten_and_nothing_happens_twice(
    tmp_path: Path,
) -> None:
    seed = int(os.environ.get("PILEGATE_KILL_SEED", secrets.randbelow(1_000_000)))
    sys.stdout.write(f"PILEGATE_KILL_SEED={seed}\n")
    asyncio.run(_live_and_die(tmp_path, seed))


async def _live_and_die(folder: Path, seed: int) -> None:
    utc_less_mono_ms = (time.time_ns() - time.monotonic_ns()) / 1e6
    async with on_stage(folder, SITE) as stage:
        killer = Killer(stage, seed)

        async def story(_: Stage) -> None:
            rounds = asyncio.create_task(killer.kill_for(SECONDS), name="rounds")
            traffic = asyncio.create_task(killer.traffic.run(), name="traffic")
            await asyncio.wait([rounds, traffic], return_when=asyncio.FIRST_COMPLETED)
            traffic.cancel()
            await asyncio.wait([traffic])
            sys.stdout.write(f"{killer.rounds} {dict(killer.traffic.told.made)}\n")
            if not traffic.cancelled():
                traffic.result()
            await rounds
            await killer.cut_one()
            await killer.settle()

        await play(
            stage,
            story,
            look=killer.watcher.look(),
            look_by_api=killer.watcher.look_by_api(),
            follow=follow_facts(stage.place, killer.followed),
        )
        await _judge_running(stage, killer)
    _judge_ended(stage, killer, utc_less_mono_ms)


async def _judge_running(stage: Stage, killer: Killer) -> None:
    """The API tells the same story as the journal, and every promise was kept."""
    told = killer.traffic.told
    assert told.broken == []
    events = await claims.api_events(stage.api)
    facts = claims.read_facts(stage.journal)
    # An alarm may have been cleared since everything was known everywhere: one more fact.
    assert killer.followed == list(range(1, len(killer.followed) + 1))
    assert len(killer.followed) <= len(events) <= len(facts)
    assert [event["position"] for event in events] == list(range(1, len(events) + 1))
    known = [(fact.seq, fact.id) for fact in facts]
    assert [(event["seq"], event["id"]) for event in events] == known[: len(events)]
    await until("views and facts agree", killer.agreed, within_s=OFF_WITHIN_S)
    started = [f.data["request_id"] for f in facts if f.kind == FactKind.LEASE_STARTED]
    assert len(started) == len(set(started)), "a request was granted twice"
    assert set(told.leases) <= set(started), "the socket granted what the journal does not know"
    for command in told.commands:
        answer = await stage.api.request("GET", f"/v1/commands/{command}")
        assert answer.status == 200, f"command {command} was acknowledged, and is forgotten"
        body = answer.body
        assert body["finished_utc_ms"] is not None, body
        if body["action"] == "on" and body["state"] == "succeeded":
            single = body["target"]["kind"] == "outlet"
            names = [command] if single else [f"{command}/{o['outlet']}" for o in body["outlets"]]
            assert set(names) <= set(started), body


def _judge_ended(stage: Stage, killer: Killer, utc_less_mono_ms: float) -> None:
    """Stopped in order in the end: every lease has ended once, and no relay closed without one."""
    facts = claims.read_facts(stage.journal)
    claims.sequence_is_whole(facts)
    claims.leases_end_once(facts, [])
    assert facts[-1].kind == FactKind.GUARD_STOPPED
    claims.closed_by_lease_only(stage.records.relay, claims.spans(facts), utc_less_mono_ms)
    rows = claims.business_events(stage.place.state_dir / "serve.db")
    claims.effects_once(rows, facts[: len(rows)])
    # Not for want of trying: a run in which nothing was lost shows nothing.
    assert len(killer.rounds) >= 4
    assert any(f.reason == "interrupted" for f in facts)
    assert any(f.kind == FactKind.OUTLET_CUT for f in facts)
    assert killer.traffic.told.leases
    assert killer.traffic.told.commands
