"""``pilegate run``: guard and serve as two processes under one parent.

The guard matters more: it is started first and ended last, and serve runs at a lower
priority, so that a flood of requests takes no time from a cut-off. A process that dies is
started again, with growing pauses; a guard that hangs is killed, and so started again. One that
keeps dying, or must be killed at the end, has everything switched off. Whatever is wrong with
serve never ends the guard. The embedded broker, where a site has one, is ended after the guard,
which needs it to switch plugs off.
"""

from __future__ import annotations

import asyncio
import contextlib
import ctypes
import logging
import os
import random
import signal
import sys
from collections import deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from gateway.core.errors import FixInstallation
from gateway.runtime.heartbeat import Heartbeat, can_be_heard

log = logging.getLogger(__name__)

PR_SET_PDEATHSIG = 1
"""prctl(2)."""
SERVE_NICE = 10
FIRST_PAUSE_S = 0.5
LONGEST_PAUSE_S = 30.0
CRASHES = 5
CRASHES_WITHIN_S = 60.0
"""A guard that dies so often in so short a time is in a crash loop."""
STOP_S = 15.0
WRONG_INPUT = 2
"""Exit status of a process whose files are wrong: starting it again would not help."""
NOT_STARTED = 71
"""EX_OSERR of sysexits.h: the system could not make a process."""

_LIBC = ctypes.CDLL(None, use_errno=True)


@dataclass(slots=True)
class Part:
    """One process that is kept running."""

    name: str
    command: Sequence[str]
    nice: int = 0
    is_watched: bool = False
    """Whether it is killed, and so started again, when it hangs."""
    starts: int = 0
    process: asyncio.subprocess.Process | None = None
    crashes: deque[float] = field(default_factory=lambda: deque(maxlen=CRASHES))


class Supervisor:
    """Keeps guard and serve running until told to stop."""

    def __init__(
        self,
        options: Sequence[str],
        program: Sequence[str] = (sys.executable, "-m", "gateway"),
        *,
        with_broker: bool = False,
    ) -> None:
        """``options`` are the global options of the command line, given on to each process.

        ``program`` is what is started with them and with ``guard``, ``serve``, ``broker`` or
        ``all-off``.
        """
        self._guard = Part("guard", [*program, *options, "guard"], is_watched=can_be_heard())
        self._serve = Part("serve", [*program, *options, "serve"], nice=SERVE_NICE)
        self._broker = Part("broker", [*program, *options, "broker"]) if with_broker else None
        self._off = Part("all-off", [*program, *options, "all-off", "--direct"])
        self._stop = asyncio.Event()

    async def run(self) -> None:
        """Run until SIGTERM or SIGINT.

        Call it in the main thread: what it starts dies with the thread that started it.
        Raises FixInstallation if the guard can't run with these files.
        """
        loop = asyncio.get_running_loop()
        for name in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(name, self._stop.set)
        keepers = [
            asyncio.create_task(self._keep(part), name=part.name)
            for part in (self._broker, self._guard, self._serve)
            if part is not None
        ]
        stopped = asyncio.create_task(self._stop.wait(), name="stop")
        try:
            await asyncio.wait([*keepers, stopped], return_when=asyncio.FIRST_COMPLETED)
            failed = [task for task in keepers if task.done()]
        finally:
            for task in (*keepers, stopped):
                task.cancel()
            await asyncio.gather(*keepers, stopped, return_exceptions=True)
            await _end(self._serve)
            if not await _end(self._guard):
                await self._all_off()
            if self._broker is not None:
                await _end(self._broker)
        for task in failed:
            task.result()

    async def _keep(self, part: Part) -> None:
        """Start a process again whenever it ends."""
        pause_s = FIRST_PAUSE_S
        loop = asyncio.get_running_loop()
        while True:
            began_s = loop.time()
            try:
                status = await _live(part)
            except OSError as err:
                log.error("%s can't be started: %s", part.name, err)  # noqa: TRY400 - the line says all
                status = NOT_STARTED
            if status == WRONG_INPUT and part is self._guard and part.starts == 1:
                raise FixInstallation(
                    "the guard can't run with these files: correct what it says above"
                )
            part.crashes.append(loop.time())
            if loop.time() - began_s > LONGEST_PAUSE_S:
                pause_s = FIRST_PAUSE_S
            if status == WRONG_INPUT:
                # Correct files were there once, or the guard runs on without serve.
                pause_s = LONGEST_PAUSE_S
            log.error("%s ended (status %s): it is started again", part.name, status)
            if part is self._guard and _is_loop(part.crashes):
                await self._all_off()
                part.crashes.clear()
            await asyncio.sleep(pause_s * random.uniform(0.8, 1.2))  # noqa: S311 - spreads load
            pause_s = min(pause_s * 2, LONGEST_PAUSE_S)

    async def _all_off(self) -> None:
        """Switch everything off past a guard that can't."""
        log.critical("the guard can't: switching everything off without it")
        try:
            process = await _start(self._off)
        except OSError as err:
            # What keeps this from starting may have ended the guard; both are tried on.
            log.critical("all-off can't be started: %s: open the feeds' breakers", err)
            return
        try:
            async with asyncio.timeout(STOP_S):
                status = await process.wait()
        except TimeoutError:
            process.kill()
            await process.wait()
            log.critical("all-off did not end in %g s: look at the buses", STOP_S)
        else:
            if status:
                log.critical("all-off ended with status %s: look at what it says above", status)


def _is_loop(crashes: deque[float]) -> bool:
    return len(crashes) == CRASHES and crashes[-1] - crashes[0] <= CRASHES_WITHIN_S


async def _live(part: Part) -> int:
    """Start a process and wait for its end; one that hangs is killed. Gives its exit status."""
    if not part.is_watched:
        part.process = await _start(part)
        return await part.process.wait()
    with contextlib.closing(Heartbeat()) as heartbeat:
        part.process = await _start(part, heartbeat.environment)
        ended = asyncio.create_task(part.process.wait())
        hangs = asyncio.create_task(heartbeat.stops(part.process.pid))
        try:
            await asyncio.wait([ended, hangs], return_when=asyncio.FIRST_COMPLETED)
            if not ended.done():
                log.critical("%s hangs: no sign of life: killed", part.name)
                part.process.kill()
            return await ended
        finally:
            hangs.cancel()
            ended.cancel()


async def _start(
    part: Part, environment: Mapping[str, str] | None = None
) -> asyncio.subprocess.Process:
    parent = os.getpid()
    part.starts += 1

    def prepare() -> None:
        die_with_parent(parent)
        if part.nice:
            os.nice(part.nice)

    return await asyncio.create_subprocess_exec(
        *part.command,
        stdin=asyncio.subprocess.DEVNULL,
        preexec_fn=prepare,
        env={**os.environ, **(environment or {})},
        start_new_session=True,
    )


async def _end(part: Part) -> bool:
    """End a process in order; False when it had to be killed."""
    process = part.process
    if process is None or process.returncode is not None:
        return True
    with contextlib.suppress(ProcessLookupError):
        process.send_signal(signal.SIGTERM)
    try:
        async with asyncio.timeout(STOP_S):
            await process.wait()
    except TimeoutError:
        log.error("%s did not end in %g s: killed", part.name, STOP_S)  # noqa: TRY400 - expected
        process.kill()
        await process.wait()
        return False
    return True


def die_with_parent(parent: int, with_signal: signal.Signals = signal.SIGTERM) -> None:
    """In a new process: ask the kernel to end it when its parent ends, however that ends."""
    if sys.platform == "linux":
        _LIBC.prctl(PR_SET_PDEATHSIG, with_signal, 0, 0, 0)
        if os.getppid() != parent:
            # The parent ended before the kernel was asked.
            os.kill(os.getpid(), with_signal)
