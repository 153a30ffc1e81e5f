"""A whole serve for tests: made, fed by hand, and asked without a socket."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx

from gateway.config import Site
from gateway.core.clock import Clock, SystemClock
from gateway.link.messages import OutletState, OutletView
from gateway.serve.app import Serve
from gateway.serve.guard_link import GuardAway
from gateway.serve.tokens import Role
from gateway.storage.engine import Database, open_database, resolve_url
from gateway.storage.migrate import migrate
from tests.support.shed import small_site


@dataclass
class Served:
    """A serve, a token for each role, and ways to ask."""

    whole: Serve
    site: Site
    database: Database
    tokens: dict[Role, str]

    def client(self, role: Role | None = Role.OPERATOR) -> httpx.AsyncClient:
        headers = {} if role is None else {"Authorization": f"Bearer {self.tokens[role]}"}
        transport = httpx.ASGITransport(self.whole.app, client=("192.0.2.7", 4711))
        return httpx.AsyncClient(transport=transport, base_url="http://serve", headers=headers)

    def show_all(self, **changes: Any) -> None:
        """Let the guard be reachable and all outlets be shown."""
        self.whole.live.now_reachable("9.9")
        self.whole.live.changed(
            [view(self.site, outlet.id, **changes) for outlet in self.site.outlets]
        )


def view(site: Site, outlet_id: str, **changes: Any) -> OutletView:
    """Make a view of an outlet that is off, as the guard would show it."""
    outlet = site.outlet(outlet_id)
    values: dict[str, Any] = {
        "outlet": outlet.id,
        "name": outlet.name,
        "pile": outlet.pile,
        "station": outlet.station,
        "state": OutletState.OFF,
        "relay_on": False,
        "voltage_v": 229.5,
        "current_a": 0.0,
        "power_w": 0.0,
        "sample_utc_ms": 1_790_000_000_000,
        "stale": False,
        "device_state": "online",
    }
    return OutletView(**{**values, **changes})


@asynccontextmanager
async def open_database_in(folder: Path) -> AsyncIterator[Database]:
    """Give a migrated database of its own."""
    database = open_database(resolve_url("sqlite:///serve.db", folder))
    try:
        await migrate(database)
        yield database
    finally:
        await database.close()


async def _away(method: str, **_: object) -> dict[str, Any]:
    raise GuardAway(f"guard is not running: no {method} here")


@asynccontextmanager
async def serving(folder: Path, clock: Clock | None = None) -> AsyncIterator[Served]:
    """Make a serve in ``folder``. Nothing of it runs by itself."""
    clock = clock or SystemClock()
    site = small_site(folder)
    database = open_database(resolve_url("sqlite:///serve.db", folder))
    await migrate(database)
    whole = Serve(site, folder, database, clock)
    whole.link.call = _away  # type: ignore[method-assign]
    tokens = {role: await whole.tokens.add(role.value, role, None) for role in Role}
    try:
        yield Served(whole, site, database, tokens)
    finally:
        await whole.close()
