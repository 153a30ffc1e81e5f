"""The processes of a bench: each one started here, spoken to in JSON lines, ended by its id."""

from __future__ import annotations

import asyncio
import contextlib
import json
import subprocess
import sys
from collections.abc import AsyncIterator, Callable, Sequence
from pathlib import Path
from typing import Any

Event = dict[str, Any]

LONGEST_LINE = 1 << 20
PATIENCE_S = 10.0
NICE = -10
"""Niceness of what is measured, where real-time priority is not allowed; not given to those who
may not have it either: ``nice`` says so in the log and goes on."""
MEASURED = 10
"""Real-time priority (SCHED_RR) of what is measured: that of the guard's systemd unit."""
SIMULATED = 20
"""That of the simulators: hardware does not wait for a processor, and its clock is the one that
measures."""


class BenchFailed(RuntimeError):
    """The bench could not be carried out; says which process's log to read."""


class Program:
    """One Python program. Its JSON lines go to ``on_event`` and are kept for ``wait_for``."""

    def __init__(self, name: str, process: asyncio.subprocess.Process, log: Path) -> None:
        self.name = name
        self.log = log
        self.on_event: Callable[[Event], None] | None = None
        self._process = process
        self._seen: dict[str, Event] = {}
        self._news = asyncio.Condition()
        self._reader = asyncio.create_task(self._read(), name=f"read {name}")

    @property
    def pid(self) -> int:
        return self._process.pid

    async def _read(self) -> None:
        assert self._process.stdout is not None
        async for line in self._process.stdout:
            try:
                event = json.loads(line)
            except ValueError:
                continue  # a line for people
            if not isinstance(event, dict) or "kind" not in event:
                continue
            if self.on_event is not None:
                self.on_event(event)
            async with self._news:
                self._seen[event["kind"]] = event
                self._news.notify_all()
        async with self._news:
            self._news.notify_all()

    async def wait_for(self, kind: str, timeout_s: float = 30.0) -> Event:
        """Wait for a line of that kind. Raises BenchFailed when the program ends or hangs."""
        try:
            async with asyncio.timeout(timeout_s), self._news:
                await self._news.wait_for(lambda: kind in self._seen or self._reader.done())
        except TimeoutError:
            raise BenchFailed(
                f"{self.name} said no {kind!r} in {timeout_s:g} s: {self.log}"
            ) from None
        if kind not in self._seen:
            raise BenchFailed(f"{self.name} ended early: {self.log}")
        return self._seen[kind]

    async def ask(self, message: Event, kind: str, timeout_s: float = 30.0) -> Event:
        """Say something, and wait for the next line of that kind."""
        self._seen.pop(kind, None)
        self.say(json.dumps(message))
        return await self.wait_for(kind, timeout_s)

    def last(self, kind: str) -> Event | None:
        """Give the last line of that kind."""
        return self._seen.get(kind)

    def require_alive(self) -> None:
        """Raise BenchFailed when the program has ended."""
        if self._process.returncode is not None:
            raise BenchFailed(
                f"{self.name} ended with status {self._process.returncode}: {self.log}"
            )

    def say(self, line: str) -> None:
        """Write one line to the program's stdin."""
        assert self._process.stdin is not None
        self._process.stdin.write(line.encode() + b"\n")

    async def end(self) -> None:
        """SIGTERM, a bounded wait, SIGKILL."""
        if self._process.stdin is not None:
            self._process.stdin.close()
        if self._process.returncode is None:
            with contextlib.suppress(ProcessLookupError):
                self._process.terminate()
            try:
                async with asyncio.timeout(PATIENCE_S):
                    await self._process.wait()
            except TimeoutError:
                self._process.kill()
                await self._process.wait()
        await self._reader


def real_time(priority: int) -> tuple[str, ...]:
    """Give the beginning of a command that runs the rest in real time, or else at ``NICE``."""
    try:
        subprocess.run(["chrt", "--rr", str(priority), "true"], check=True, capture_output=True)
    except (OSError, subprocess.CalledProcessError):
        return ("nice", "-n", str(NICE))
    return ("chrt", "--rr", str(priority))


@contextlib.asynccontextmanager
async def running(
    name: str, arguments: Sequence[str], folder: Path, *, priority: Sequence[str]
) -> AsyncIterator[Program]:
    """Run ``python -m ARGUMENTS`` behind a command for its priority.

    Its stderr goes to a log in ``folder``.
    """
    log = folder / f"{name}.log"
    with log.open("ab") as errors:
        process = await asyncio.create_subprocess_exec(
            *(*priority, sys.executable, "-m", *arguments),
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            stderr=errors,
            start_new_session=True,
            limit=LONGEST_LINE,
        )
    program = Program(name, process, log)
    try:
        yield program
        program.require_alive()
    finally:
        await program.end()
