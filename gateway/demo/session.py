"""One run: the processes brought up in order, and what speaks to them."""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from gateway.config import ServeSettings
from gateway.core.errors import FixInstallation, PilegateError
from gateway.demo.api_client import ApiClient
from gateway.demo.children import Children
from gateway.demo.place import Place
from gateway.demo.simulator import OnRecord, Simulator, start_simulator
from gateway.link.client import GuardClient
from gateway.link.messages import OutletView
from gateway.link.requests import BusesAnswer, HelloAnswer, Method, SnapshotPage
from gateway.serve.tokens import create_token

READY_PATH = "/readyz"
GUARD_S = 40.0
SAMPLES_S = 60.0
"""More than the longest back-off of a device that a busy machine kept from answering in time."""
API_S = 40.0
BROKER_S = 40.0
PAUSE_S = 0.1

Say = Callable[[str], None]
T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Session:
    """Everything is up: simulators wait for time zero, every outlet was measured once."""

    place: Place
    simulator: Simulator
    guard: GuardClient
    site: str
    """Id of the site."""
    api: ApiClient
    header_file: Path
    """Holds the API's Authorization header, for curl."""
    token: str


@asynccontextmanager
async def bring_up(
    children: Children, scenario: Path, place: Place, on_record: OnRecord, say: Say
) -> AsyncIterator[Session]:
    """Start simulators, guard and serve, each when the one before it is ready.

    The processes are ended by ``children``, not here. Raises FixInstallation with the end of
    a log when something does not come up in time.
    """
    where = ["--site", str(place.site_file), "--state-dir", str(place.state_dir)]
    if place.is_broker_embedded:
        say("starting the embedded broker")
        await children.start("broker", [*where, "broker"])
        await _until(children, "the broker", BROKER_S, lambda: _listens(place))
    say("starting the simulators")
    simulator = await start_simulator(children, scenario, place.site_file, on_record)
    say("starting guard and serve")
    await children.start("guard", [*where, "guard"])
    token = await _make_token(place)
    await children.start("serve", [*where, "serve"])
    guard = await _until(children, "the guard's socket", GUARD_S, lambda: _connect(place.socket))
    async with guard:
        hello = HelloAnswer.from_json(await guard.call(Method.HELLO))
        await _until(children, "a first sample of every outlet", SAMPLES_S, lambda: _sampled(guard))
        say("every outlet is measured")
        api = ApiClient(place.api_host, place.api_port)
        await _until(children, f"the API at {api.url}", API_S, lambda: _answers(api))
        say(f"the API listens at {api.url}")
        yield Session(
            place=place,
            simulator=simulator,
            guard=guard,
            site=hello.site,
            api=ApiClient(place.api_host, place.api_port, token),
            header_file=_write_header(place.folder, token),
            token=token,
        )


async def _until(
    children: Children, what: str, timeout_s: float, attempt: Callable[[], Awaitable[T | None]]
) -> T:
    """Try until it gives something. Raises FixInstallation after ``timeout_s``."""
    deadline = time.monotonic() + timeout_s
    why = ""
    while time.monotonic() < deadline:
        children.require_alive()
        try:
            result = await attempt()
        except PilegateError as error:
            why = f": {error}"
        else:
            if result is not None:
                return result
        await asyncio.sleep(PAUSE_S)
    raise FixInstallation(f"waited {timeout_s:g} s for {what}{why}")


async def _listens(place: Place) -> bool | None:
    try:
        _, writer = await asyncio.open_connection("127.0.0.1", place.broker_port)
    except OSError:
        return None
    writer.close()
    return True


async def _connect(socket: Path) -> GuardClient:
    client = await GuardClient.connect(socket)
    try:
        await client.call(Method.HELLO)
    except PilegateError:
        await client.close()
        raise
    return client


async def _sampled(guard: GuardClient) -> bool | None:
    """Give True once every outlet has a sample; raise with the names of those that have none."""
    missing = [view.outlet async for view in outlets(guard) if view.sample_utc_ms is None]
    if not missing:
        return True
    answer = BusesAnswer.from_json(await guard.call(Method.BUSES))
    why = [f"{bus.bus} is {bus.state}: {bus.detail}" for bus in answer.buses if bus.state != "open"]
    why += [
        f"{device.device} is {device.state}: {device.detail}"
        for device in answer.devices
        if device.state != "online"
    ]
    raise FixInstallation(
        f"nothing was measured at {', '.join(missing[:5])} ({'; '.join(why) or 'all answer'})"
    )


async def outlets(guard: GuardClient) -> AsyncIterator[OutletView]:
    """Give every outlet's view, page by page."""
    after: str | None = None
    while True:
        page = SnapshotPage.from_json(await guard.call(Method.SNAPSHOT, after=after))
        for view in page.outlets:
            yield view
        if page.next is None:
            return
        after = page.next


async def _answers(api: ApiClient) -> bool | None:
    return True if (await api.request("GET", READY_PATH, timeout_s=2.0)).status == 200 else None


async def _make_token(place: Place) -> str:
    """Make a token in the database that serve will find."""
    database = ServeSettings().database  # the run's site file names no other
    return await create_token(database, "demo", "operator", folder=place.state_dir)


def _write_header(folder: Path, token: str) -> Path:
    path = folder / "header"
    with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
        file.write(f"Authorization: Bearer {token}\n")
    return path
