"""Troubles that can come over a site's box, each until its end."""

from __future__ import annotations

import asyncio
import os
import resource
import signal
import sys
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager, suppress

from gateway.core.errors import PilegateError
from tests.support.run_hostile import Silent
from tests.support.run_stage import Stage, until
from tests.support.run_worst_hour import BY_MQTT, WITHIN_S, on

HOLDS = """
import sqlite3, sys
db = sqlite3.connect(sys.argv[1], isolation_level=None, timeout=60)
db.execute("BEGIN EXCLUSIVE")
print("held", flush=True)
sys.stdin.read()
"""
BURNS = """
import resource
resource.setrlimit(resource.RLIMIT_CPU, (60, 60))
while True:
    pass
"""
LISTING = 50
LEASE_S = 8


@asynccontextmanager
async def _beside(code: str, *arguments: str) -> AsyncIterator[asyncio.subprocess.Process]:
    """Run a program until the end of the block."""
    pipe = asyncio.subprocess.PIPE
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-c", code, *arguments), stdin=pipe, stdout=pipe
    )
    try:
        yield process
    finally:
        with suppress(ProcessLookupError):
            process.kill()
        await process.communicate()


@asynccontextmanager
async def locked(stage: Stage) -> AsyncIterator[None]:
    """Another program holds the journal locked."""
    async with _beside(HOLDS, str(stage.journal)) as holder:
        assert holder.stdout is not None
        assert await holder.stdout.readline() == b"held\n"
        yield


@asynccontextmanager
async def unwritable(stage: Stage) -> AsyncIterator[None]:
    """No file takes a byte from the guard, its log included."""
    pid = stage.programs.pid("guard")
    was = resource.prlimit(pid, resource.RLIMIT_FSIZE, (0, resource.RLIM_INFINITY))
    try:
        yield
    finally:
        resource.prlimit(pid, resource.RLIMIT_FSIZE, was)


@asynccontextmanager
async def taken_away(stage: Stage) -> AsyncIterator[None]:
    """The journal is moved away, with the files that belong to it, and put back."""

    def move(name: str, to: str) -> None:
        for suffix in ("-wal", "-shm", ""):
            part = stage.journal.with_name(name + suffix)
            if part.exists():
                part.rename(stage.journal.with_name(to + suffix))

    move(stage.journal.name, "aside.db")
    try:
        yield
    finally:
        move("aside.db", stage.journal.name)


@asynccontextmanager
async def broker_gone(stage: Stage) -> AsyncIterator[None]:
    """The broker dies; what is behind it goes off all the same when its lease is over."""
    await on(stage, BY_MQTT, LEASE_S)
    await stage.relay_is(BY_MQTT, on=True)
    await stage.programs.kill("broker")
    try:
        yield
        await stage.relay_is(BY_MQTT, on=False)
    finally:
        await stage.programs.again("broker")

    async def is_free() -> bool:
        view = (await stage.views())[BY_MQTT]
        return view.state == "off" and not view.stale and not stage.records.on[BY_MQTT]

    await until(f"{BY_MQTT} is back, and off", is_free, within_s=WITHIN_S)


@asynccontextmanager
async def serve_stopped(stage: Stage) -> AsyncIterator[None]:
    stage.programs.send("serve", signal.SIGSTOP)
    try:
        yield
    finally:
        stage.programs.send("serve", signal.SIGCONT)


@asynccontextmanager
async def serve_killed(stage: Stage) -> AsyncIterator[None]:
    await stage.programs.kill("serve")
    try:
        yield
    finally:
        await stage.programs.again("serve")
    await stage.serve_answers()


@asynccontextmanager
async def serve_flooded(stage: Stage) -> AsyncIterator[None]:
    """Many list all outlets without a pause, and as many say nothing."""
    listed = 0

    async def lists() -> None:
        nonlocal listed
        while True:
            with suppress(PilegateError):
                answer = await stage.api.request("GET", "/v1/outlets?limit=200")
                listed += answer.status == 200
            await asyncio.sleep(0)

    silent = Silent()
    await silent.open_tcp(stage.place.api_host, stage.place.api_port, LISTING)
    clients = [asyncio.create_task(lists()) for _ in range(LISTING)]

    async def flows() -> bool:
        return listed > LISTING

    try:
        await until("the flood is there", flows, within_s=WITHIN_S)
        yield
    finally:
        for client in clients:
            client.cancel()
        await asyncio.gather(*clients, return_exceptions=True)
        silent.close()


@asynccontextmanager
async def no_processor(_: Stage) -> AsyncIterator[None]:
    """Twice as many programs as processors want all of each."""
    async with AsyncExitStack() as hogs:
        for _each in range(2 * (os.cpu_count() or 1)):
            hog = await hogs.enter_async_context(_beside(BURNS))
            with suppress(PermissionError):  # this test may have been told to be nicer
                os.setpriority(os.PRIO_PROCESS, hog.pid, 0)
        yield
