"""Whether a process still goes round, as its supervisor hears it."""

from __future__ import annotations

import asyncio
import os
import socket
import sys
from contextlib import closing

import pytest

from gateway.runtime.heartbeat import Heartbeat

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="abstract sockets are Linux's")

BEAT = b"READY=1\nWATCHDOG=1"


def beat(heartbeat: Heartbeat, data: bytes = BEAT) -> None:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sock:
        sock.sendto(data, "\0" + heartbeat.environment["NOTIFY_SOCKET"][1:])


def test_who_beat_and_beats_no_more_has_stopped() -> None:
    async def main() -> None:
        with closing(Heartbeat(patience_s=0.4)) as heartbeat:
            stops = asyncio.create_task(heartbeat.stops(os.getpid()))
            beat(heartbeat)
            async with asyncio.timeout(30):
                await stops

    asyncio.run(main())


@pytest.mark.parametrize("data", [b"", b"READY=1", b"WATCHDOG=trigger"])
def test_who_never_beat_is_starting_up(data: bytes) -> None:
    async def main() -> None:
        with closing(Heartbeat(patience_s=0.1)) as heartbeat:
            stops = asyncio.create_task(heartbeat.stops(os.getpid()))
            beat(heartbeat, data)
            await asyncio.sleep(0.5)  # who beat once would be missed by now
            assert not stops.done()
            stops.cancel()

    asyncio.run(main())


def test_who_does_not_come_up_hangs_too() -> None:
    async def main() -> None:
        with closing(Heartbeat(patience_s=0.1, start_s=0.3)) as heartbeat:
            async with asyncio.timeout(30):
                await heartbeat.stops(os.getpid())

    asyncio.run(main())


def test_another_process_can_not_beat_for_it() -> None:
    code = (
        "import socket, sys; socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)"
        ".sendto(b'WATCHDOG=1', chr(0) + sys.argv[1])"
    )

    async def main() -> None:
        with closing(Heartbeat(patience_s=0.1)) as heartbeat:
            name = heartbeat.environment["NOTIFY_SOCKET"][1:]
            other = await asyncio.create_subprocess_exec(sys.executable, "-c", code, name)
            assert await other.wait() == 0
            stops = asyncio.create_task(heartbeat.stops(os.getpid()))
            await asyncio.sleep(0.5)
            assert not stops.done()
            stops.cancel()

    asyncio.run(main())
