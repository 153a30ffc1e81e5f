"""Tests that mostly wait: they run ahead, a few at a time, each in a pytest of its own.

A test marked ``ahead`` begins with the session and is asked for its result after all others.
One that is selected alone runs as it is, so that a debugger reaches it.
"""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

ENDED_WITHIN_S = 500.0
"""From when it is asked for: more than the bounds of all that it waits for itself."""
ROOT = Path(__file__).parents[2]


@dataclass(frozen=True, slots=True)
class Ended:
    """How a test ended."""

    status: int
    output: str

    @property
    def skipped(self) -> str:
        """Why it skipped itself; empty when it did not."""
        found = re.search(r"^SKIPPED \[1\] (.*)$", self.output, re.MULTILINE)
        return "" if found is None or self.status else found[1]


class Ahead:
    """Tests by their node id, begun in this order."""

    def __init__(self, tests: Sequence[str], folder: Path) -> None:
        self._folders = {test: folder / str(number) for number, test in enumerate(tests)}
        for each in self._folders.values():
            each.mkdir()
        entries = [
            {"command": _command(test, each), "folder": str(each)}
            for test, each in self._folders.items()
        ]
        plan = folder / "plan.json"
        plan.write_text(json.dumps(entries))
        self._process = subprocess.Popen(
            [sys.executable, "-m", "tests.support.run_ahead", str(plan), str(os.getpid())],
            cwd=ROOT,
            stdin=subprocess.DEVNULL,
            # Given, and so not with what readline, which pytest loads, has put beside it: LINES
            # and COLUMNS of a terminal that is not there.
            env=dict(os.environ),
        )

    def wait(self, test: str) -> Ended:
        """Wait until a test has ended."""
        folder = self._folders[test]
        ends_s = time.monotonic() + ENDED_WITHIN_S
        while not (folder / "status").exists():
            assert self._process.poll() is None or (folder / "status").exists(), "it was ended"
            assert time.monotonic() < ends_s, f"it has not ended: {_output(folder)}"
            time.sleep(0.1)
        return Ended(int((folder / "status").read_text()), _output(folder))

    def end(self) -> None:
        """End what still runs."""
        self._process.terminate()
        self._process.wait()


def _command(test: str, folder: Path) -> list[str]:
    alone = ["-rs", "-p", "no:cacheprovider", "--basetemp", str(folder / "tmp")]
    return [sys.executable, "-m", "pytest", *alone, test]


def _output(folder: Path) -> str:
    path = folder / "output"
    return path.read_text(encoding="utf-8", errors="replace") if path.exists() else "(not begun)"
