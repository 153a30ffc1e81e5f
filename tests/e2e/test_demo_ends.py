"""The demonstration on a terminal and off it: what a person can do with it, and how it ends."""

from __future__ import annotations

import fcntl
import json
import os
import pty
import re
import select
import signal
import struct
import subprocess
import sys
import termios
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

PILEGATE = [sys.executable, "-m", "gateway"]
WAIT_S = 60.0


class Demo:
    """A running ``pilegate demo`` without a bound."""

    def __init__(self, folder: Path) -> None:
        self.runs = folder / "runs"
        self.process = subprocess.Popen(
            [*PILEGATE, "demo", "--scenario", "overload", "--dir", str(self.runs)],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        self.lines: list[str] = []

    def read_until(self, text: str) -> None:
        assert self.process.stdout is not None
        for line in self.process.stdout:
            self.lines.append(line)
            if text in line:
                return
        raise AssertionError("".join(self.lines))

    def read_rest(self) -> str:
        assert self.process.stdout is not None
        self.lines += self.process.stdout.readlines()
        return "".join(self.lines)

    def children(self) -> list[int]:
        pid = self.process.pid
        text = Path(f"/proc/{pid}/task/{pid}/children").read_text(encoding="ascii")
        return [int(child) for child in text.split()]

    def child(self, name: str) -> int:
        for pid in self.children():
            words = Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")
            if name.encode() in words:
                return pid
        raise AssertionError(f"no {name} among {self.children()}")

    @property
    def state_dir(self) -> Path:
        (run,) = self.runs.iterdir()
        return run / "state"

    def pilegate(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [*PILEGATE, "--state-dir", str(self.state_dir), *arguments],
            capture_output=True,
            text=True,
            timeout=WAIT_S,
            check=False,
        )


@pytest.fixture
def demo(tmp_path: Path) -> Iterator[Demo]:
    running = Demo(tmp_path)
    try:
        yield running
    finally:
        if running.process.poll() is None:
            running.process.terminate()
        running.process.wait(WAIT_S)
        if running.process.stdout is not None:
            running.process.stdout.close()


def eventually(true: Callable[[], bool]) -> bool:
    deadline = time.monotonic() + WAIT_S
    while time.monotonic() < deadline:
        if true():
            return True
        time.sleep(0.05)
    return False


def gone(pid: int) -> bool:
    try:
        state = Path(f"/proc/{pid}/stat").read_text(encoding="ascii").rpartition(")")[2].split()[0]
    except OSError:
        return True
    return state == "Z"


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_ends_every_process_and_leaves_nothing_behind(
    demo: Demo, number: signal.Signals
) -> None:
    demo.read_until("> on n1-1")
    children = demo.children()
    assert len(children) == 3
    demo.process.send_signal(number)
    assert demo.process.wait(WAIT_S) == 0, demo.read_rest()
    assert all(gone(pid) for pid in children)
    assert not demo.runs.exists()
    assert "Traceback" not in demo.read_rest()


def test_killed_it_takes_its_processes_with_it(demo: Demo) -> None:
    demo.read_until("> on n1-1")
    children = demo.children()
    demo.process.kill()
    assert eventually(lambda: all(gone(pid) for pid in children))


def test_a_guard_that_dies_fails_it_and_its_log_is_kept(demo: Demo) -> None:
    demo.read_until("> on n1-1")
    os.kill(demo.child("guard"), signal.SIGKILL)
    assert demo.process.wait(WAIT_S) == 1
    said = demo.read_rest()
    match = re.search(r"^pilegate: guard ended with status -9: see (.*)$", said, re.MULTILINE)
    assert match, said
    assert Path(match[1]).is_file()
    assert "Traceback" not in said


def test_a_reader_that_leaves_ends_it_quietly(demo: Demo) -> None:
    demo.read_until("> on n1-1")
    children = demo.children()
    assert demo.process.stdout is not None
    demo.process.stdout.close()
    assert demo.process.wait(WAIT_S) == 1
    assert all(gone(pid) for pid in children)


@pytest.mark.ahead
@pytest.mark.timeout(400)
def test_the_command_line_works_on_a_running_site(demo: Demo) -> None:
    demo.read_until("the scenario is over")
    on = demo.pilegate("on", "n2-4", "--for", "10m")
    assert (on.returncode, on.stderr) == (0, "")
    assert on.stdout.startswith("n2-4 is on until ")

    latched = demo.pilegate("on", "n1-1", "--for", "10m")
    assert (latched.returncode, latched.stdout) == (1, "")
    assert "reset" in latched.stderr
    assert demo.pilegate("reset", "n1-1").stdout == "released: n1-1\n"

    assert demo.pilegate("lock", "pile/n2").returncode == 0
    refused = demo.pilegate("on", "n2-4", "--for", "10m")
    assert refused.returncode == 1
    assert "unlock" in refused.stderr
    assert demo.pilegate("unlock", "pile/n2").returncode == 0

    deadline = time.monotonic() + WAIT_S
    rows = json.loads(demo.pilegate("outlets", "--json").stdout)
    while any(row["relay_on"] for row in rows if row["pile"] == "n2"):
        assert time.monotonic() < deadline, "a locked pile is still on"
        rows = json.loads(demo.pilegate("outlets", "--json").stdout)
    assert len(rows) == 24

    events = [
        json.loads(line)
        for line in demo.pilegate("events", "--after", "0", "--json").stdout.splitlines()
    ]
    assert [event["seq"] for event in events] == list(range(1, len(events) + 1))
    cuts = demo.pilegate("events", "--after", "0", "--json", "--kind", "outlet.cut").stdout
    assert {json.loads(line)["subject"] for line in cuts.splitlines()} == {
        "outlet/n1-1",
        "outlet/n3-1",
        "outlet/n4-1",
    }

    off = demo.pilegate("all-off")
    assert off.returncode == 0, off.stderr
    assert "samples show all 24 outlets off" in off.stdout

    shown, status = on_a_terminal(demo.state_dir, wait_for="n4-2", keys=b"q")
    assert status == 0, shown
    for word in ("24 outlets", "last event", "line1", "busy"):
        assert word in shown


def on_a_terminal(state_dir: Path, *, wait_for: str, keys: bytes) -> tuple[str, int]:
    """Run ``pilegate top`` on a terminal of 80 by 40 until it shows a word, then press keys."""
    ours, theirs = pty.openpty()
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("4H", 40, 80, 0, 0))
    process = subprocess.Popen(
        [*PILEGATE, "--state-dir", str(state_dir), "top"],
        stdin=theirs,
        stdout=theirs,
        env={**os.environ, "TERM": "xterm"},
    )
    os.close(theirs)
    shown = b""
    deadline = time.monotonic() + WAIT_S
    pressed = False
    try:
        while time.monotonic() < deadline:
            if not select.select([ours], [], [], 0.5)[0]:
                continue
            try:
                shown += os.read(ours, 65_536)
            except OSError:  # the terminal's other end is closed
                break
            if not pressed and wait_for.encode() in shown:
                os.write(ours, keys)
                pressed = True
        else:
            raise AssertionError(f"pressed: {pressed}; it goes on, and showed {shown[-4_000:]!r}")
        return shown.decode(errors="replace"), process.wait(WAIT_S)
    finally:
        process.kill()
        process.wait(WAIT_S)
        os.close(ours)
