"""Lives of a serve process, whole but for its HTTP server, and a guard on a real socket."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from gateway.core.clock import Clock, SystemClock
from gateway.link.messages import Target, TargetKind
from gateway.serve.app import Serve
from gateway.serve.commands import Command, LeaseTerms, Order
from gateway.serve.course import CommandAction
from gateway.serve.tokens import Caller, Role
from gateway.storage.engine import open_database, resolve_url
from gateway.storage.migrate import migrate
from tests.support.fake_guard import FakeGuard
from tests.support.shed import small_site
from tests.support.waiting import until

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


def play(folder: Path, check: Check, **guard_settings: Any) -> None:
    """Let a life of a serve find a guard, and check what they do."""

    async def main() -> None:
        guard = FakeGuard(small_site(folder), folder, **guard_settings)
        async with asyncio.timeout(60), guard.running(), life(folder) as whole:
            await until(lambda: whole.live.guard.reachable)
            await check(whole, guard)

    asyncio.run(main())


async def give(whole: Serve, wanted: Order, key: str | None = "k", wait_s: float = 20) -> Command:
    command = await whole.commands.submit(wanted, CALLER, key)
    return await whole.commands.wait(command.id, wait_s)
