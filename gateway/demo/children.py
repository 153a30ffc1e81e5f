"""The processes of a run: started, watched, ended by their own id, their output kept."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from gateway.core.errors import FixInstallation
from gateway.runtime.supervisor import die_with_parent

LONGEST_LINE = 1024 * 1024
LINES_SHOWN = 12


@dataclass(slots=True)
class Child:
    """One process, and the file that holds what it wrote."""

    name: str
    process: asyncio.subprocess.Process
    log: Path

    @property
    def alive(self) -> bool:
        return self.process.returncode is None

    def last_lines(self) -> str:
        """Give the end of its log, with the log's path, for a person to read."""
        try:
            lines = self.log.read_text(encoding="utf-8", errors="replace").splitlines()
        except OSError as error:
            return f"{self.log}: {error.strerror}"
        shown = "\n".join(f"  | {line[:200]}" for line in lines[-LINES_SHOWN:])
        return f"the end of {self.log}:\n{shown or '  | (empty)'}"


class Children:
    """Starts processes, and ends all of them on any way out of the run."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._children: list[Child] = []

    async def start(self, name: str, arguments: Sequence[str], *, piped: bool = False) -> Child:
        """Start ``pilegate ARGUMENTS``. With ``piped``, stdin and stdout are pipes to us.

        The child has a session of its own, so that Ctrl-C reaches only the run, which then
        ends its children in order; and it dies with the run, however that ends.
        """
        log = self._folder / f"{name}.log"
        pipe = asyncio.subprocess.PIPE
        with log.open("ab") as output:
            process = await asyncio.create_subprocess_exec(
                sys.executable,
                "-m",
                "gateway",
                *arguments,
                stdin=pipe if piped else asyncio.subprocess.DEVNULL,
                stdout=pipe if piped else output,
                stderr=output,
                start_new_session=True,
                preexec_fn=partial(die_with_parent, os.getpid(), signal.SIGKILL),
                limit=LONGEST_LINE,
            )
        child = Child(name, process, log)
        self._children.append(child)
        return child

    def require_alive(self) -> None:
        """Raise FixInstallation when a process ended by itself."""
        for child in self._children:
            if not child.alive:
                raise FixInstallation(
                    f"{child.name} ended with status {child.process.returncode}: see {child.log}"
                )

    def logs(self) -> str:
        """Give the end of every log."""
        return "\n".join(child.last_lines() for child in self._children)

    async def end(self, *, patience_s: float = 20.0) -> None:
        """End all, the last started first: SIGTERM, a bounded wait, SIGKILL.

        Cancelled (a second Ctrl-C), it kills what is left and returns without waiting.
        """
        try:
            for child in reversed(self._children):
                await _end(child, patience_s)
        finally:
            for child in self._children:
                _kill(child)


async def _end(child: Child, patience_s: float) -> None:
    if not child.alive:
        return
    with contextlib.suppress(ProcessLookupError):
        child.process.send_signal(signal.SIGTERM)
    try:
        async with asyncio.timeout(patience_s):
            await child.process.wait()
    except TimeoutError:
        _kill(child)
        await child.process.wait()


def _kill(child: Child) -> None:
    if child.alive:
        with contextlib.suppress(ProcessLookupError):
            child.process.kill()
