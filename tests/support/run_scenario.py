"""A scenario played once by ``pilegate demo``, and what was left of it."""

from __future__ import annotations

import os
import subprocess
from dataclasses import dataclass
from pathlib import Path

import yaml

from tests.support.run_command import argv, environment

SLACK_S = 0 if "PILEGATE_QUIET" in os.environ else 25
"""A machine that runs tests stands still at times; set PILEGATE_QUIET on one that does not,
and the bounds of the scenarios are taken at their word."""
START_AND_STOP_S = 200.0
"""More than the bounds of all waits of a play together."""


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


def play(scenario: Path, folder: Path, *options: str) -> Played:
    """Play a scenario to its end, in a folder of its own."""
    duration_s = yaml.safe_load(scenario.read_text(encoding="utf-8"))["duration_s"]
    runs = folder / "runs"
    runs.mkdir()
    slack = ("--slack", SLACK_S) if SLACK_S else ()
    bounds = ("--exit-after", duration_s, *slack, "--dir", runs / "run")
    done = subprocess.run(
        argv("demo", "--scenario", scenario, *options, *bounds),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=duration_s + SLACK_S + START_AND_STOP_S,
        check=False,
        env={**environment(), "PYTHONUNBUFFERED": "1"},
    )
    left = sorted(path.name for path in runs.iterdir())
    return Played(done.returncode, done.stdout, left)
