"""Scenarios that ``pilegate demo`` plays while tests run, and how each ended."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import yaml

from tests.support.run_command import argv, environment

SLACK_S = 0 if "PILEGATE_QUIET" in os.environ else 25
"""A machine that runs tests stands still at times; set PILEGATE_QUIET on one that does not,
and the bounds of the scenarios are taken at their word."""
PLAYED_WITHIN_S = 500.0
"""More than the bounds of all waits of a play together."""


@dataclass(frozen=True)
class Show:
    """What is to be played, and how."""

    name: str
    scenario: Path | Callable[[Path], Path]
    """A file, or what writes one into the folder that it is given."""
    options: tuple[str, ...] = ()


@dataclass(frozen=True)
class Played:
    """How a play ended."""

    status: int
    output: str
    left_behind: list[str]
    """Names of what is still in the run's folder."""

    def check(self) -> None:
        """See that it passed, said so, and left nothing."""
        assert self.status == 0, self.output
        assert self.output.rstrip().endswith("passed"), self.output
        assert "Traceback" not in self.output
        assert self.left_behind == []


class Plays:
    """Plays that have begun, or wait for their turn."""

    def __init__(self, shows: Iterable[Show], make_folder: Callable[[str], Path]) -> None:
        self._folders = {show: make_folder(show.name) for show in shows}
        self._process: subprocess.Popen[bytes] | None = None

    def start(self, plan: Path) -> None:
        """Begin, in the order of the shows."""
        plays = [
            {"command": _command(show, folder), "folder": str(folder)}
            for show, folder in self._folders.items()
        ]
        plan.write_text(json.dumps(plays))
        command = [sys.executable, "-m", "tests.support.run_plays", str(plan), str(os.getpid())]
        env = {**environment(), "PYTHONUNBUFFERED": "1"}
        self._process = subprocess.Popen(command, stdin=subprocess.DEVNULL, env=env)

    def wait(self, show: Show) -> Played:
        """Give how a show ended, once it has."""
        folder = self._folders[show]
        ends_s = time.monotonic() + PLAYED_WITHIN_S
        while not (folder / "status").exists():
            assert time.monotonic() < ends_s, f"not played to its end: {_output(folder)}"
            time.sleep(0.1)
        left = sorted(path.name for path in (folder / "runs").iterdir())
        return Played(int((folder / "status").read_text()), _output(folder), left)

    def end(self) -> None:
        """End what still plays."""
        if self._process is not None:
            self._process.terminate()
            self._process.wait()


def _command(show: Show, folder: Path) -> list[str]:
    scenario = show.scenario if isinstance(show.scenario, Path) else show.scenario(folder)
    duration_s = yaml.safe_load(scenario.read_text(encoding="utf-8"))["duration_s"]
    (folder / "runs").mkdir()
    slack = ("--slack", SLACK_S) if SLACK_S else ()
    bounds = ("--exit-after", duration_s, *slack, "--dir", folder / "runs" / "run")
    return argv("demo", "--scenario", scenario, *show.options, *bounds)


def _output(folder: Path) -> str:
    path = folder / "output"
    return path.read_text(encoding="utf-8", errors="replace") if path.exists() else "(not begun)"


@contextmanager
def playing(shows: Iterable[Show], make_folder: Callable[[str], Path]) -> Iterator[Plays]:
    """Play shows one after the other, a few at a time; none goes on afterwards."""
    plays = Plays(shows, make_folder)
    try:
        plays.start(make_folder("plan") / "plan.json")
        yield plays
    finally:
        plays.end()
