"""The guard of a bench: started as a process, its outlets switched on by its socket."""

from __future__ import annotations

import asyncio
import contextlib
import os
import time
from collections.abc import AsyncIterator, Sequence
from pathlib import Path
from typing import Any, Protocol

from gateway.core.errors import PilegateError
from gateway.link.client import GuardClient
from tests.bench.processes import MEASURED, BenchFailed, Program, real_time, running


class GuardSite(Protocol):
    """Where a guard finds its site file, and where its socket will be."""

    @property
    def guard_file(self) -> Path: ...

    @property
    def socket(self) -> Path: ...


START_S = 60.0
SWITCH_S = 60.0
LEASE_S = 3_600


@contextlib.asynccontextmanager
async def guarding(site: GuardSite, folder: Path) -> AsyncIterator[tuple[Program, GuardClient]]:
    """Run ``pilegate guard``, timed; gives it and a connection to its socket."""
    arguments = ["tests.bench.timed_guard", "--site", str(site.guard_file), "guard"]
    async with (
        running("guard", arguments, folder, priority=real_time(MEASURED)) as guard,
        await _connect(guard, site) as client,
    ):
        yield guard, client


async def _connect(guard: Program, site: GuardSite) -> GuardClient:
    deadline_s = time.monotonic() + START_S
    while time.monotonic() < deadline_s:
        guard.require_alive()
        with contextlib.suppress(PilegateError):
            return await GuardClient.connect(site.socket, timeout_s=10.0)
        await asyncio.sleep(0.1)
    raise BenchFailed(f"the guard did not open {site.socket} in {START_S:g} s: {guard.log}")


async def _snapshot(client: GuardClient) -> list[dict[str, Any]]:
    """Every outlet's view."""
    views: list[dict[str, Any]] = []
    page = await client.call("snapshot")
    while True:
        views += page["outlets"]
        if page["next"] is None:
            return views
        page = await client.call("snapshot", after=page["next"])


async def switch_all_on(client: GuardClient, outlets: Sequence[str], at_once: int = 200) -> None:
    """Wait until samples show every outlet off, switch on, and wait until they show it on.

    An ON that waits long for its turn on a slow line is given up: ask for few ``at_once``.
    """
    await _until(client, outlets, "off")
    for start in range(0, len(outlets), at_once):
        some = outlets[start : start + at_once]
        asked = [
            client.call("on", outlet=outlet, for_s=LEASE_S, actor="bench", reason="bench")
            for outlet in some
        ]
        await asyncio.gather(*asked)
        await _until(client, some, "on")


async def _until(client: GuardClient, outlets: Sequence[str], state: str) -> None:
    deadline_s = time.monotonic() + SWITCH_S
    while True:
        states = {view["outlet"]: view["state"] for view in await _snapshot(client)}
        rest = [outlet for outlet in outlets if states[outlet] != state]
        if not rest:
            return
        if time.monotonic() > deadline_s:
            raise BenchFailed(
                f"{len(rest)} outlets are not {state}: {rest[0]} is {states[rest[0]]}"
            )
        await asyncio.sleep(0.3)


def cpu_s(pid: int) -> float:
    """Processor time of a process so far."""
    fields = Path(f"/proc/{pid}/stat").read_text(encoding="ascii").rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")
