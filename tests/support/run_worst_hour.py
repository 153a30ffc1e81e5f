"""One bad hour of a site: what must be true while a trouble lasts, and once it is over."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from gateway.config import load_site
from gateway.core.errors import PilegateError, TryLater
from gateway.core.facts import Fact, FactKind
from tests.support import run_claims as claims
from tests.support.run_stage import SITES, Stage, until

OVERLOADED = ("n1-1", "n2-1")
"""By RTU and by TCP."""
RUNS_OUT = "n1-2"
WANTED = "n2-2"
"""Somebody wants to charge there while the trouble lasts."""
BY_MQTT = "n5-1"
ABOVE_A = 8.0
OVERLOAD_W = 3_000
LEFT_S = 1.5
WITHIN_S = 60.0

Trouble = Callable[[Stage], AbstractAsyncContextManager[None]]


@dataclass(frozen=True, slots=True)
class Hour:
    """A trouble, and what it is allowed to change."""

    name: str
    trouble: Trouble
    stuck: str = ""
    """What the line says by which a new ON is refused, as nothing can be written; empty: a
    new ON is granted, and a latch is told at once."""


def write_site(folder: Path) -> Path:
    """Write a site with modules by RTU, by TCP and behind a broker."""
    site = yaml.safe_load((SITES / "demo-both.yaml").read_text(encoding="utf-8"))
    site["broker"] = {"listen": "127.0.0.1:1883"}
    plugs = {"id": "plugs", "kind": "mqtt", "host": "127.0.0.1", "port": 1883, "poll_ms": 1000}
    site["buses"].append(plugs)
    native = {"id": "native", "bus": "plugs", "topic": "m5", "profile": "pilegate-native"}
    site["devices"].append(native)
    module = {"device": "native", "channels": "1-4", "outlets": "n5-{channel}"}
    site["stations"][0]["piles"].append({"id": "n5", "name": "Pile 5", "module": module})
    path = folder / "worst.yaml"
    path.write_text(yaml.safe_dump(site, sort_keys=False), encoding="utf-8")
    return path


async def endure(stage: Stage, hour: Hour) -> float:
    """Live through one trouble. Gives the slowest cut-off, ms from over to off frame."""
    leases = {outlet: await _granted(stage, outlet) for outlet in (*OVERLOADED, RUNS_OUT)}
    await until(f"{hour.name}: they are on", lambda: _are(stage, "on"), within_s=WITHIN_S)
    before = claims.read_facts(stage.journal)
    first = len(stage.records.relay)
    async with hour.trouble(stage):
        granted = await _wanted(stage, hour)
        slowest_ms = await _cut_and_run_out(stage, hour, leases[RUNS_OUT], first)
        await _shown_as_written(stage, hour)
    await until(f"{hour.name}: the latches are told", lambda: _latched(stage), within_s=WITHIN_S)
    await until(f"{hour.name}: all is written", lambda: _written(stage), within_s=WITHIN_S)
    facts = claims.read_facts(stage.journal)
    claims.sequence_is_whole(facts)
    assert facts[: len(before)] == before
    _told_once(facts[len(before) :], leases, granted)
    await until(f"{hour.name}: business has all", lambda: caught_up(stage), within_s=WITHIN_S)
    await _tidy_up(stage)
    return slowest_ms


async def on(stage: Stage, outlet: str, for_s: float = 600) -> str:
    """Switch on; give the lease."""
    params = {"outlet": outlet, "for_s": for_s, "actor": "test", "reason": "worst day"}
    return str((await stage.call("on", **params))["lease_id"])


async def _granted(stage: Stage, outlet: str) -> str:
    """Switch on, if need be more than once: a busy machine may keep the disk from its work."""
    return await until(f"{outlet} is granted", lambda: on(stage, outlet), within_s=WITHIN_S)


async def off(stage: Stage, outlet: str) -> None:
    target = {"kind": "outlet", "id": outlet}
    await stage.call("off", target=target, actor="test", reason="worst day")


async def figures(stage: Stage) -> Mapping[str, float]:
    """Read the guard's metrics that have no labels."""
    lines = (await stage.call("metrics"))["text"].splitlines()
    pairs = (line.split() for line in lines if line[:1] != "#" and "{" not in line)
    return {name: float(value) for name, value in pairs}


async def _are(stage: Stage, state: str) -> bool:
    views = await stage.views()
    return all(views[outlet].state == state for outlet in (*OVERLOADED, RUNS_OUT))


async def _wanted(stage: Stage, hour: Hour) -> str | None:
    """Ask for an ON: it is refused by a line that says why, or it is done. Gives the lease."""
    if not hour.stuck:
        lease = await _granted(stage, WANTED)
        await stage.relay_is(WANTED, on=True)
        return lease

    async def refused() -> bool:
        # A file has some room of its own that goes first.
        try:
            await on(stage, WANTED)
        except TryLater as error:
            return hour.stuck in str(error) and "\n" not in str(error)
        await off(stage, WANTED)
        return False

    what = f"{hour.name}: a new ON is refused because of {hour.stuck!r}"
    await until(what, refused, within_s=WITHIN_S)
    return None


async def _cut_and_run_out(stage: Stage, hour: Hour, lease: str, first: int) -> float:
    """Overload two, and let the lease of a third run out: a frame switches each of them off."""
    seen = len(stage.records.over)
    for outlet in OVERLOADED:
        stage.say(report_over=outlet, above_a=ABOVE_A)
        stage.say(load_step=outlet, power_w=OVERLOAD_W)
    await stage.call("renew", lease_id=lease, for_s=LEFT_S, actor="test")

    async def are_off() -> bool:
        """Say so. Raises TryLater with the one that is not."""
        for outlet in (*OVERLOADED, RUNS_OUT):
            if not _offs(stage, outlet, first):
                raise TryLater(f"{outlet} is on")
        return True

    await until(f"{hour.name}: all are off", are_off, within_s=WITHIN_S)
    slowest_ms = 0.0
    for outlet in OVERLOADED:
        over = next(r for r in stage.records.over[seen:] if r["outlet"] == outlet)
        gone = _offs(stage, outlet, first)[0]
        assert gone["by"] == "frame", f"{hour.name}: not by the guard: {gone}"
        assert gone["mono_ns"] >= over["mono_ns"]
        slowest_ms = max(slowest_ms, (gone["mono_ns"] - over["mono_ns"]) / 1e6)
    # The module itself would have been no slower: then the guard was of no use.
    assert slowest_ms < _watchdog_s(stage) * 1000, hour.name
    assert _offs(stage, RUNS_OUT, first)[0]["by"] == "frame"
    return slowest_ms


def _offs(stage: Stage, outlet: str, first: int) -> list[dict[str, Any]]:
    records = stage.records.relay[first:]
    return [record for record in records if record["outlet"] == outlet and not record["on"]]


def _watchdog_s(stage: Stage) -> float:
    site = load_site(stage.place.site_file)
    found = [site.device(site.outlet(o).relay.device).profile.watchdog for o in OVERLOADED]
    assert all(watchdog is not None for watchdog in found)
    return min(float(watchdog.value) for watchdog in found if watchdog is not None)


async def _shown_as_written(stage: Stage, hour: Hour) -> None:
    """What a crash could still forget is not told, and metrics say that it waits."""
    if not hour.stuck:
        what = f"{hour.name}: the latches are told meanwhile"
        await until(what, lambda: _latched(stage), within_s=WITHIN_S)
        return
    views, told = await stage.views(), await figures(stage)
    for outlet in OVERLOADED:
        assert (views[outlet].lease, views[outlet].latch) == (None, None), hour.name
    assert told["pilegate_journal_ok"] == 0, told
    assert told["pilegate_journal_behind_seconds"] > 0, told
    assert told["pilegate_journal_retries_total"] > 0, told


async def _latched(stage: Stage) -> bool:
    """Say whether all are shown latched; each that is shown stands in the journal."""
    views = await stage.views()
    latched = {outlet for outlet in OVERLOADED if views[outlet].latch is not None}
    assert latched <= set(claims.latched_by_facts(claims.read_facts(stage.journal)))
    return latched == set(OVERLOADED)


async def _written(stage: Stage) -> bool:
    """Say whether nothing waits any more. Raises TryLater with what does."""
    told = await figures(stage)
    assert told["pilegate_journal_dropped_facts_total"] == 0
    assert told["pilegate_journal_refused_total"] == 0
    if not told["pilegate_journal_ok"] or told["pilegate_journal_behind_seconds"]:
        raise TryLater(str({k: v for k, v in told.items() if "journal" in k}))
    return not told["pilegate_journal_waiting"]


def _told_once(facts: list[Fact], leases: Mapping[str, str], granted: str | None) -> None:
    """Every cut and every end is there once; of a refused ON there is nothing."""
    cuts = [fact.data["outlet"] for fact in facts if fact.kind == FactKind.OUTLET_CUT]
    assert sorted(cuts) == sorted(OVERLOADED)
    reasons = {
        fact.data["lease_id"]: fact.reason for fact in facts if fact.kind == FactKind.LEASE_ENDED
    }
    assert len(reasons) == sum(fact.kind == FactKind.LEASE_ENDED for fact in facts)
    assert reasons[leases[RUNS_OUT]] == "lease_over"
    assert {reasons[leases[outlet]] for outlet in OVERLOADED} == {"overcurrent_instant"}
    started = {f.data["lease_id"] for f in facts if f.kind == FactKind.LEASE_STARTED}
    # Those that were granted before it got stuck have ended.
    assert started - set(reasons) == ({granted} if granted else set())


async def caught_up(stage: Stage) -> bool:
    """Say whether business holds every fact once. Raises TryLater with how many are missing."""
    facts = claims.read_facts(stage.journal)
    rows = claims.business_events(stage.place.state_dir / "serve.db")
    if len(rows) < len(facts):
        raise TryLater(f"{len(rows)} of {len(facts)} facts")
    claims.effects_once(rows[: len(facts)], facts)
    return True


async def _tidy_up(stage: Stage) -> None:
    for outlet in OVERLOADED:
        stage.say(unplug=outlet)
        stage.say(plug=outlet, load="bike")
    await off(stage, WANTED)
    target = {"kind": "site", "id": "demo"}

    async def is_tidy() -> bool:
        await stage.call("reset", target=target, actor="test", reason="looked at", on_site=True)
        views = await stage.views()
        used = (*OVERLOADED, RUNS_OUT, WANTED)
        return all(views[outlet].state == "off" for outlet in used)

    await until("all is off and released", is_tidy, within_s=WITHIN_S)


@asynccontextmanager
async def guard_lives(stage: Stage) -> AsyncIterator[None]:
    """Whatever happens, it is one guard from the beginning to the end, and it never stumbles."""
    boot_id = (await stage.call("hello"))["boot_id"]
    yield
    if (await stage.call("hello"))["boot_id"] != boot_id:
        raise PilegateError("the guard was started again")
    for name in ("guard", "serve"):
        assert "Traceback" not in stage.programs.log(name), stage.programs.log(name)
