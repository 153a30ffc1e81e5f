"""A guard that dies and stays away: the modules open their relays by themselves.

The reference module's watchdog is set by the guard when a module comes online, and fed by
polling. Nothing but the module is left to switch off here.
"""

from __future__ import annotations

import asyncio
import time
from pathlib import Path

import pytest

from gateway.config import load_site
from tests.support.run_stage import PATIENT, SITES, Stage, on_stage, play, until

ON = ["n1-1", "n2-1"]
"""One by RTU, one by TCP, each on a module with a watchdog."""
AFTERWARDS_S = 30.0
PERIOD_S = 10.0
OLDER_S = 6.0
"""When the guard is killed, the last frame for a module may be this old."""


@pytest.mark.ahead
@pytest.mark.timeout(200)
def test_modules_switch_off_by_themselves_when_nobody_speaks_to_them(tmp_path: Path) -> None:
    site = load_site(SITES / "demo-both.yaml")
    for outlet in ON:
        watchdog = site.device(site.outlet(outlet).relay.device).profile.watchdog
        assert watchdog is not None
        assert watchdog.value == PERIOD_S

    async def story(stage: Stage) -> None:
        for outlet in ON:
            await stage.call("on", outlet=outlet, for_s=600, actor="test", reason="watchdog")

        async def are_on() -> bool:
            views = await stage.views()
            return all(views[outlet].state == "on" for outlet in ON)

        await until("they are on", are_on, within_s=AFTERWARDS_S)
        killed_ns = time.monotonic_ns()
        await stage.programs.kill("guard")

        async def are_off() -> bool:
            return not any(stage.records.on[outlet] for outlet in ON)

        await until("they are off", are_off, within_s=PERIOD_S + AFTERWARDS_S)
        for outlet in ON:
            last = [r for r in stage.records.relay if r["outlet"] == outlet][-1]
            assert (last["on"], last["by"]) == (False, "watchdog")
            assert last["mono_ns"] > killed_ns + (PERIOD_S - OLDER_S) * 1e9
        await stage.programs.again("guard")
        views = await stage.guard_answers()
        assert all(views[outlet].lease is None for outlet in ON)
        assert not any(stage.records.on[outlet] for outlet in ON)

    async def main() -> None:
        async with on_stage(tmp_path, SITES / "demo-both.yaml", limits=PATIENT) as stage:
            await play(stage, story)

    asyncio.run(main())
