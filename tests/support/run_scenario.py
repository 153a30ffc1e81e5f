"""A scenario played once by ``pilegate demo``, and what was left of it."""

from __future__ import annotations

import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import yaml

START_AND_STOP_S = 200.0
"""More than the bounds of all waits of a run together."""
SLACK_S = 0 if "PILEGATE_QUIET" in os.environ else 25
"""A machine that runs tests stands still at times; set PILEGATE_QUIET on one that does not,
and the bounds of the scenarios are taken at their word."""


@dataclass(frozen=True)
class Played:
    status: int
    output: str
    left_behind: list[str]
    """Names of what is still in the run's folder."""


def play(scenario: Path, folder: Path, *options: str) -> Played:
    """Play a scenario to its end, in a folder of its own."""
    duration_s = yaml.safe_load(scenario.read_text(encoding="utf-8"))["duration_s"]
    runs = folder / "runs"
    command = [sys.executable, "-m", "gateway", "demo", "--scenario", str(scenario), *options]
    bounds = ["--exit-after", str(duration_s)] + (["--slack", str(SLACK_S)] if SLACK_S else [])
    try:
        done = subprocess.run(
            [*command, *bounds, "--dir", str(runs)],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=duration_s + SLACK_S + START_AND_STOP_S,
            check=False,
            env={**os.environ, "NO_COLOR": "1", "PYTHONUNBUFFERED": "1"},
        )
    except subprocess.TimeoutExpired as late:
        said = late.stdout or b""
        return Played(-1, said if isinstance(said, str) else said.decode(), [])
    return Played(done.returncode, done.stdout, sorted(path.name for path in folder.iterdir()))
