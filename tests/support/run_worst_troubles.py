"""Troubles that can come over a site's box, each until its end."""

from __future__ import annotations

import asyncio
import os
import resource
import signal
import subprocess
import sys
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager, suppress

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
LEASE_S = 4


async def _stops(process: subprocess.Popen[str]) -> None:
    process.kill()
    await asyncio.to_thread(process.wait)
    for pipe in (process.stdin, process.stdout):
        if pipe is not None:
            pipe.close()


@asynccontextmanager
async def locked(stage: Stage) -> AsyncIterator[None]:
    """Another program holds the journal locked."""
    pipe = subprocess.PIPE
    command = [sys.executable, "-c", HOLDS, str(stage.journal)]
    holder = subprocess.Popen(command, stdin=pipe, stdout=pipe, text=True)
    try:
        assert holder.stdout is not None
        assert await asyncio.to_thread(holder.stdout.readline) == "held\n"
        yield
    finally:
        await _stops(holder)


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
    hogs: Sequence[subprocess.Popen[str]] = [
        subprocess.Popen([sys.executable, "-c", BURNS], text=True)
        for _ in range(2 * (os.cpu_count() or 1))
    ]
    try:
        for hog in hogs:
            with suppress(PermissionError):  # this test may have been told to be nicer
                os.setpriority(os.PRIO_PROCESS, hog.pid, 0)
        yield
    finally:
        for hog in hogs:
            await _stops(hog)
