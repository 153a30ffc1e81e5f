"""Serve stopped, killed or flooded: no outlet notices, except that leases run out."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from functools import partial
from pathlib import Path

import pytest

from gateway.core.facts import FactKind
from tests.support import run_claims as claims
from tests.support.run_command import pilegate
from tests.support.run_hostile import Silent
from tests.support.run_stage import PATIENT, SITES, Stage, on_stage, play, until
from tests.support.run_worst_troubles import serve_flooded, serve_killed, serve_stopped

SEEN_WITHIN_S = 60.0
ABOVE_A = 8.0
OVERLOAD_W = 3_000
SOON_MS = 10_000
"""A cut-off is a poll's work: whoever waits for serve waits for its time-outs, or for ever."""
LEASE_S = 4
CROWD = 900

Trouble = Callable[[Stage], AbstractAsyncContextManager[None]]


@asynccontextmanager
async def quiet(_: Stage) -> AsyncIterator[None]:
    yield


@asynccontextmanager
async def crowded(stage: Stage) -> AsyncIterator[None]:
    """Have more connections than serve takes, that never say what they want."""
    pid = stage.programs.pid("serve")
    silent = Silent()
    await silent.open_tcp(stage.place.api_host, stage.place.api_port, CROWD)
    try:
        yield
    finally:
        silent.close()
    await stage.serve_answers()
    assert stage.programs.alive("serve")
    assert stage.programs.pid("serve") == pid


TROUBLES: dict[str, tuple[Trouble, list[str]]] = {
    "quiet": (quiet, ["n1-1", "n2-1"]),
    "stopped": (serve_stopped, ["n1-2", "n2-2"]),
    "flooded": (serve_flooded, ["n1-3", "n2-3"]),
    "crowded": (crowded, ["n1-9", "n2-9"]),
    "killed": (serve_killed, ["n1-4", "n2-4"]),
}
"""What happens to serve, and the outlets, by RTU and by TCP, that are overloaded meanwhile."""

RUN_OUT = {"stopped": "n1-5", "flooded": "n2-5", "killed": "n1-6"}
BY_HAND = {"stopped": "n1-7", "flooded": "n2-7", "killed": "n1-8"}


@pytest.mark.ahead
@pytest.mark.timeout(300)
def test_the_guard_does_not_need_serve(tmp_path: Path) -> None:
    delays_ms: dict[str, float] = {}

    async def story(stage: Stage) -> None:
        for name, (trouble, outlets) in TROUBLES.items():
            for outlet in [*outlets, *_others(name)]:
                await _on(stage, outlet, 600)
            await until("they are on", partial(_are_on, stage, outlets), within_s=SEEN_WITHIN_S)
            async with trouble(stage):
                await asyncio.sleep(0.5)
                if name in RUN_OUT:
                    await _on(stage, RUN_OUT[name], LEASE_S)
                delays_ms[name] = max([await _cut(stage, outlet) for outlet in outlets])
                if name in RUN_OUT:
                    await _runs_out(stage, RUN_OUT[name])
                    await _switched_by_hand(stage, BY_HAND[name])
        await stage.serve_answers()
        await until("business has caught up", lambda: _caught_up(stage), within_s=SEEN_WITHIN_S)
        assert "Traceback" not in stage.programs.log("guard")

    async def main() -> None:
        async with on_stage(tmp_path, SITES / "demo-both.yaml", limits=PATIENT) as stage:
            await play(stage, story)

    asyncio.run(main())
    sys.stdout.write(f"over the limit to off frame, the slower wire, ms: {delays_ms}\n")
    for name, delay_ms in delays_ms.items():
        assert delay_ms < SOON_MS, (name, delays_ms)


def _others(name: str) -> list[str]:
    return [BY_HAND[name]] if name in BY_HAND else []


async def _on(stage: Stage, outlet: str, for_s: int) -> None:
    await stage.call("on", outlet=outlet, for_s=for_s, actor="test", reason="serve is gone")


async def _are_on(stage: Stage, outlets: list[str]) -> bool:
    views = await stage.views()
    return all(views[outlet].state == "on" for outlet in outlets)


async def _cut(stage: Stage, outlet: str) -> float:
    """Overload an outlet; give the ms from the answer that shows it to the off frame."""
    stage.say(report_over=outlet, above_a=ABOVE_A)
    stage.say(load_step=outlet, power_w=OVERLOAD_W)

    async def is_cut() -> bool:
        return (await stage.views())[outlet].latch is not None

    async def took_ns() -> list[int]:
        """Give what the simulators told, once they told it; it may come after the view."""
        over = [r["mono_ns"] for r in stage.records.over if r["outlet"] == outlet]
        off = [
            record["mono_ns"]
            for record in stage.records.relay
            if record["outlet"] == outlet and not record["on"] and record["by"] == "frame"
        ]
        return [at_ns - over[0] for at_ns in off if over and at_ns >= over[0]]

    await until(f"{outlet} is cut", is_cut, within_s=SEEN_WITHIN_S)
    what = f"{outlet} is shown over its limit and switched off by a frame"
    return (await until(what, took_ns, within_s=SEEN_WITHIN_S))[0] / 1e6


async def _runs_out(stage: Stage, outlet: str) -> None:
    """Nobody renews the lease: the outlet goes off."""

    async def is_over() -> bool:
        return (await stage.views())[outlet].lease is None and not stage.records.on[outlet]

    async def ends() -> list[str]:  # written down a moment after it took effect
        return [
            fact.reason
            for fact in claims.read_facts(stage.journal)
            if fact.kind == FactKind.LEASE_ENDED and fact.subject == f"outlet/{outlet}"
        ]

    await until(f"the lease of {outlet} runs out", is_over, within_s=SEEN_WITHIN_S)
    assert await until("its end is in the journal", ends, within_s=SEEN_WITHIN_S) == ["lease_over"]


async def _switched_by_hand(stage: Stage, outlet: str) -> None:
    """An engineer on site switches by the command line."""
    where = ["--state-dir", stage.place.state_dir]
    done = await asyncio.to_thread(pilegate, *where, "off", outlet, cwd=stage.place.folder)
    assert done.status == 0, done

    async def is_off() -> bool:
        return not stage.records.on[outlet]

    await until(f"{outlet} is off", is_off, within_s=SEEN_WITHIN_S)


async def _caught_up(stage: Stage) -> bool:
    facts = claims.read_facts(stage.journal)
    rows = claims.business_events(stage.place.state_dir / "serve.db")
    if len(rows) < len(facts):
        return False
    claims.effects_once(rows[: len(facts)], facts)
    return True
