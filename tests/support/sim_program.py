"""The simulators as a process, for tests on real sockets and pseudo-terminals."""

from __future__ import annotations

import json
import os
import queue
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from tests.support.sim_world import ROOT

PATIENCE_S = 30.0
"""Longest wait for anything: generous, because machines that run tests are busy."""

SITE = """
site: {{id: t, name: T}}
buses:
{buses}
devices:
{devices}
stations:
  - id: s
    piles:
{piles}
"""


def write_site(folder: Path, buses: list[str], modules: dict[str, tuple[str, int]]) -> Path:
    """Write a site of reference modules: id -> (bus, unit); outlets are called ``<id>-<n>``."""
    devices = "\n".join(
        f"  - {{id: {name}, bus: {bus}, unit: {unit}, profile: pilegate-ref10}}"
        for name, (bus, unit) in modules.items()
    )
    piles = "\n".join(
        f"      - {{id: p{name}, module: {{device: {name}, channels: 1-10,"
        f' outlets: "{name}-{{channel}}"}}}}'
        for name in modules
    )
    path = folder / "site.yaml"
    lines = "\n".join(f"  - {{{bus}}}" for bus in buses)
    path.write_text(SITE.format(buses=lines, devices=devices, piles=piles))
    return path


class Simulator:
    """A running process and what it told so far."""

    def __init__(self, *arguments: str | Path) -> None:
        self.process = subprocess.Popen(
            [sys.executable, "-m", "simulators", *map(str, arguments)],
            cwd=ROOT,
            env={**os.environ, "PYTHONPATH": str(ROOT)},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
        )
        self.records: list[dict[str, Any]] = []
        self._lines: queue.SimpleQueue[bytes] = queue.SimpleQueue()
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def _read(self) -> None:
        assert self.process.stdout is not None
        for line in self.process.stdout:
            self._lines.put(line)
        self._lines.put(b"")

    def say(self, *messages: dict[str, Any]) -> None:
        """Write lines to its standard input."""
        assert self.process.stdin is not None
        for message in messages:
            self.process.stdin.write(json.dumps(message).encode() + b"\n")
        self.process.stdin.flush()

    def wait_for(self, kind: str, **fields: Any) -> dict[str, Any]:
        """Give the next record of a kind with these fields; earlier ones are passed over."""
        ends_s = time.monotonic() + PATIENCE_S
        while True:
            line = self._lines.get(timeout=max(0.01, ends_s - time.monotonic()))
            assert line, f"ended before {kind}: {self.errors()}"
            record: dict[str, Any] = json.loads(line)
            self.records.append(record)
            if record["kind"] == kind and all(record[key] == fields[key] for key in fields):
                return record

    def wait_until(self, is_so: Callable[[], bool]) -> None:
        """Ask again and again until something is so."""
        ends_s = time.monotonic() + PATIENCE_S
        while not is_so():
            assert time.monotonic() < ends_s, f"{is_so} was not so within {PATIENCE_S:g} s"
            time.sleep(0.01)

    def stats(self) -> dict[str, Any]:
        """Ask for the counters."""
        self.say({"stats": True})
        return self.wait_for("stats")

    def errors(self) -> str:
        """Give what it wrote to standard error; only once it has ended."""
        assert self.process.stderr is not None
        self.process.wait(PATIENCE_S)
        return self.process.stderr.read().decode()

    def end(self, number: signal.Signals = signal.SIGTERM) -> int:
        """Send a signal and wait; give the exit status."""
        self.process.send_signal(number)
        return self.process.wait(PATIENCE_S)

    def close(self) -> None:
        """End it however it is."""
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait(PATIENCE_S)
        self._reader.join(PATIENCE_S)
        for stream in (self.process.stdin, self.process.stdout, self.process.stderr):
            if stream is not None:
                try:
                    stream.close()
                except BrokenPipeError:
                    continue


@contextmanager
def simulating(*arguments: str | Path) -> Iterator[Simulator]:
    """Run the simulators; they are ended in any case."""
    simulator = Simulator(*arguments)
    try:
        yield simulator
    finally:
        simulator.close()
