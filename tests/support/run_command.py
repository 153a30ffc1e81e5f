"""The ``pilegate`` command as a person types it, and what it answers."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

ENDS_WITHIN_S = 60.0
"""A command that only says what is wrong takes a second or two; machines can be busy."""


@dataclass(frozen=True, slots=True)
class Done:
    """A command that has ended."""

    status: int
    out: str
    err: str

    @property
    def said(self) -> list[str]:
        """Give the lines on stderr, without those of the log."""
        return [line for line in self.err.splitlines() if not is_log(line)]


def is_log(line: str) -> bool:
    """Say whether a line is the daemon's log (warnings about a site), not an answer."""
    return bool(re.match(r"(ts=)?\d{4}-\d\d-\d\dT|\d\d:\d\d:\d\d\.\d{3}Z|<\d>", line))


def argv(*arguments: object) -> list[str]:
    return [sys.executable, "-m", "gateway", *(str(argument) for argument in arguments)]


def environment() -> dict[str, str]:
    """Give an environment in which no site and no state directory is set."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("PILEGATE_")}
    here = str(Path(__file__).parents[2])
    return {**kept, "NO_COLOR": "1", "PYTHONPATH": here}


def pilegate(
    *arguments: object, cwd: Path, prefix: Sequence[str] = (), ends_within_s: float = ENDS_WITHIN_S
) -> Done:
    """Run a command to its end."""
    done = subprocess.run(
        [*prefix, *argv(*arguments)],
        cwd=cwd,
        env=environment(),
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=ends_within_s,
        check=False,
    )
    return Done(done.returncode, done.stdout, done.stderr)


@contextmanager
def running(*arguments: object, cwd: Path, log: Path) -> Iterator[subprocess.Popen[bytes]]:
    """Run a daemon beside the test; it has ended on any way out."""
    with log.open("ab") as output:
        process = subprocess.Popen(
            argv(*arguments),
            cwd=cwd,
            env=environment(),
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
        )
    try:
        yield process
    finally:
        process.send_signal(signal.SIGTERM)
        try:
            process.wait(20)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def wait_for_text(log: Path, text: str, within_s: float = ENDS_WITHIN_S) -> None:
    """Wait until a log holds a text."""
    deadline = time.monotonic() + within_s
    while text not in log.read_text(encoding="utf-8", errors="replace"):
        if time.monotonic() > deadline:
            raise AssertionError(f"{log} does not say {text!r}:\n{log.read_text()}")
        time.sleep(0.05)


def one_line(done: Done, status: int) -> str:
    """Check that a command failed as a person should see it: one line, and no traceback."""
    assert "Traceback" not in done.err + done.out, done.err
    assert done.status == status, done
    assert len(done.said) == 1, done
    assert done.said[0].startswith("pilegate"), done
    return done.said[0]
