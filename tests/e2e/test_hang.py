"""A guard that hangs under ``pilegate run``: modules with a timer open their relays by themselves,
and the next guard opens the rest."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
import time
from pathlib import Path

import pytest

from gateway.core.errors import PilegateError
from gateway.core.facts import FactKind
from gateway.demo.place import Place, make_folder, resolve
from gateway.demo.session import outlets
from gateway.link.client import GuardClient
from gateway.link.journal import JournalReader, journal_path
from gateway.link.messages import OutletView
from tests.support.run_command import running
from tests.support.run_stage import PATIENT, SITES, set_limits, until, write_scenario
from tests.support.sim_program import Simulator, simulating

HAS_TIMER = "n2-1"
HAS_NONE = "n3-1"
"""A relay of a common board: nothing but a frame opens it."""
PERIOD_S = 10.0
COMES_UP_S = 60.0


async def views(place: Place) -> dict[str, OutletView]:
    async with await GuardClient.connect(place.socket, 30) as client:
        return {view.outlet: view async for view in outlets(client)}


async def switched_on(place: Place) -> bool:
    """Switch both on as soon as that is possible, and say whether they are."""
    shown = await views(place)
    async with await GuardClient.connect(place.socket, 30) as client:
        for outlet in (HAS_TIMER, HAS_NONE):
            if shown[outlet].state == "off":
                await client.call("on", outlet=outlet, for_s=600, actor="test", reason="hang")
    return all(shown[outlet].state == "on" for outlet in (HAS_TIMER, HAS_NONE))


def guard_of(supervisor: int, place: Place) -> int:
    """Find the guard among the children of ``pilegate run``."""
    children = Path(f"/proc/{supervisor}/task/{supervisor}/children").read_text(encoding="ascii")
    for child in children.split():
        command = Path(f"/proc/{child}/cmdline").read_bytes().split(b"\0")
        if b"guard" in command and str(place.site_file).encode() in command:
            return int(child)
    raise AssertionError(f"no guard among {children}")


@pytest.mark.skipif(sys.platform != "linux", reason="a supervisor hears a hang on Linux only")
@pytest.mark.ahead
@pytest.mark.timeout(300)
def test_everything_is_off_after_a_guard_that_hangs(tmp_path: Path) -> None:
    place = resolve(SITES / "demo-both.yaml", make_folder(tmp_path))
    set_limits(place.site_file, PATIENT)
    scenario = write_scenario(place.folder, place.site_file, [HAS_TIMER, HAS_NONE])
    arguments = ("--site", place.site_file, "--state-dir", place.state_dir, "run")
    log = tmp_path / "run.log"
    with simulating("--scenario", scenario) as simulator:
        simulator.wait_for("ready")
        with running(*arguments, cwd=tmp_path, log=log) as run:
            asyncio.run(_hang(place, run.pid, simulator))
    assert "guard hangs" in log.read_text(encoding="utf-8")


async def _hang(place: Place, supervisor: int, simulator: Simulator) -> None:
    await until("both are on", lambda: switched_on(place), within_s=COMES_UP_S)
    hangs = guard_of(supervisor, place)
    stopped_ns = time.monotonic_ns()
    os.kill(hangs, signal.SIGSTOP)
    for outlet in (HAS_TIMER, HAS_NONE):
        off = simulator.wait_for("relay", outlet=outlet, on=False, changed=True)
        assert off["by"] in (("watchdog", "frame") if outlet == HAS_TIMER else ("frame",))
        at_ns = off["mono_ns"]
        assert at_ns is None or at_ns > stopped_ns

    async def is_back() -> bool:
        try:
            shown = await views(place)
        except PilegateError:
            return False
        return all(shown[o].lease is None and not shown[o].stale for o in (HAS_TIMER, HAS_NONE))

    await until("the next guard shows both without a lease", is_back, within_s=COMES_UP_S)
    assert guard_of(supervisor, place) != hangs
    with JournalReader(journal_path(place.state_dir)) as reader:
        facts = reader.facts_after(0, 500)
    ended = {f.data["outlet"] for f in facts if f.kind == FactKind.LEASE_ENDED}
    assert ended == {HAS_TIMER, HAS_NONE}
    assert all(f.reason == "interrupted" for f in facts if f.kind == FactKind.LEASE_ENDED)
