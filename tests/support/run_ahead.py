"""Runs commands that mostly wait, a few at a time, beside the tests.

``python -m tests.support.run_ahead PLAN PARENT``: the plan is a JSON list; each entry has its
``command`` and the ``folder`` into which ``output`` is written as it comes, and ``status`` in
the end. It is a process of its own, so that a test's own process has neither threads nor
open files from it; and it ends with the process PARENT, however that ends.
"""

from __future__ import annotations

import asyncio
import json
import signal
import sys
from contextlib import suppress
from pathlib import Path
from typing import Any

from gateway.runtime.supervisor import die_with_parent

AT_ONCE = 4
"""Starting and judging are work all the same, and two cores have other work too."""


async def _run(turn: asyncio.Semaphore, command: list[str], folder: Path) -> None:
    async with turn:
        with (folder / "output").open("wb") as output:
            process = await asyncio.create_subprocess_exec(
                *command, stdin=asyncio.subprocess.DEVNULL, stdout=output, stderr=output
            )
        try:
            status = await process.wait()
        finally:
            if process.returncode is None:
                process.send_signal(signal.SIGINT)  # as a person does: what it began ends with it
                await process.wait()
    part = folder / "status.part"
    part.write_text(str(status))
    part.rename(folder / "status")


async def _run_all(plan: list[dict[str, Any]]) -> None:
    this = asyncio.current_task()
    assert this is not None
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, this.cancel)
    turn = asyncio.Semaphore(AT_ONCE)
    async with asyncio.TaskGroup() as tasks:
        for one in plan:
            tasks.create_task(_run(turn, one["command"], Path(one["folder"])))


if __name__ == "__main__":
    die_with_parent(int(sys.argv[2]))
    with suppress(asyncio.CancelledError):
        asyncio.run(_run_all(json.loads(Path(sys.argv[1]).read_text())))
