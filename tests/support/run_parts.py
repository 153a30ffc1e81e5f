"""Stands for ``pilegate`` under the supervisor: ``guard``, ``serve``, ``broker``, ``all-off``.

What each does is read from ``<folder>/<part>.does`` at its start, and every start and end is
a line in ``<folder>/diary``. ``python -m tests.support.run_parts FOLDER supervise`` runs the
supervisor itself over it, with a broker where there is a ``broker.does``.
"""

from __future__ import annotations

import asyncio
import os
import signal
import sys
import time
from pathlib import Path

from gateway.core.errors import FixInstallation
from gateway.runtime import supervisor
from gateway.runtime.sd_notify import notify
from gateway.runtime.supervisor import Supervisor


def note(folder: Path, *words: object) -> None:
    with (folder / "diary").open("a") as diary:
        diary.write(" ".join(str(word) for word in words) + "\n")


def part(folder: Path, name: str) -> None:
    note(folder, name, "start", os.getpid(), os.getppid(), os.nice(0))
    does = folder / f"{name}.does"
    what = does.read_text() if does.exists() else "run"
    if what.startswith("exit"):
        sys.exit(int(what.split()[1]))
    if what == "once":
        does.write_text("run")
        sys.exit(1)

    def on_term(*_: object) -> None:
        note(folder, name, "term", os.getpid())
        if what != "ignore":
            sys.exit(0)

    signal.signal(signal.SIGTERM, on_term)
    note(folder, name, "ready", os.getpid())
    while what != "hang":
        notify("WATCHDOG=1")
        time.sleep(0.02)
    notify("WATCHDOG=1")
    does.write_text("run")
    while True:
        time.sleep(1.0)


def supervise(folder: Path) -> None:
    supervisor.FIRST_PAUSE_S = 0.02
    supervisor.LONGEST_PAUSE_S = 0.2
    # A part that is to be killed says so: any other one has the time it needs.
    ignores = any(does.read_text() == "ignore" for does in folder.glob("*.does"))
    supervisor.STOP_S = 5.0 if ignores else 60.0
    program = [sys.executable, "-m", "tests.support.run_parts", str(folder)]
    try:
        with_broker = (folder / "broker.does").exists()
        asyncio.run(Supervisor([], program, with_broker=with_broker).run())
    except FixInstallation as err:
        note(folder, "supervisor", "error", err)
        sys.exit(1)
    note(folder, "supervisor", "end")


if __name__ == "__main__":
    if sys.argv[2] == "supervise":
        supervise(Path(sys.argv[1]))
    else:
        part(Path(sys.argv[1]), sys.argv[2])
