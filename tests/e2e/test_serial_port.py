"""A serial port that does not exist, is taken, or goes: tried again, and told where people look."""

from __future__ import annotations

import fcntl
import os
import pty
import re
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest

from gateway.core.errors import PilegateError
from gateway.link.once import call_once
from tests.support.ports import free_port
from tests.support.run_command import argv, environment, pilegate, running
from tests.support.run_site import write_site

SEEN_WITHIN_S = 60.0
"""Retries back off up to some seconds."""


def until(what: str, attempt: Callable[[], bool]) -> None:
    deadline = time.monotonic() + SEEN_WITHIN_S
    last: object = None
    while time.monotonic() < deadline:
        try:
            if attempt():
                return
        except (PilegateError, httpx.HTTPError) as error:
            last = error
        time.sleep(0.1)
    raise AssertionError(f"waited {SEEN_WITHIN_S:g} s until {what}: {last}")


class Site:
    """A site with one serial line, and everywhere its state can be looked up."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.port = folder / "line"
        api = free_port()
        self.file = write_site(folder, port=str(self.port), api=api)
        self.state_dir = folder / "state"
        self.url = f"http://127.0.0.1:{api}"
        made = pilegate(
            "--site", self.file, "token", "create", "me", "--role", "viewer", cwd=folder
        )
        self.headers = {"Authorization": f"Bearer {made.out.split()[-1]}"}

    def by_socket(self) -> dict[str, Any]:
        bus: dict[str, Any] = call_once(self.state_dir / "guard.sock", "buses")["buses"][0]
        return bus

    def by_api(self) -> dict[str, Any]:
        bus: dict[str, Any] = httpx.get(f"{self.url}/v1/buses", headers=self.headers).json()[
            "buses"
        ][0]
        return bus

    def on_screen(self, *words: str) -> str:
        """Give what ``pilegate top`` draws, once it holds these words."""
        outer, inner = pty.openpty()
        process = subprocess.Popen(
            argv("--state-dir", self.state_dir, "top"),
            cwd=self.folder,
            env={**environment(), "TERM": "xterm", "COLUMNS": "160", "LINES": "40"},
            stdin=inner,
            stdout=inner,
            stderr=inner,
        )
        os.close(inner)
        drawn = b""
        deadline = time.monotonic() + SEEN_WITHIN_S
        os.set_blocking(outer, False)
        try:
            while not all(word in _plain(drawn) for word in words) and time.monotonic() < deadline:
                try:
                    drawn += os.read(outer, 65_536)
                except BlockingIOError:
                    time.sleep(0.1)
            os.write(outer, b"q")
            process.wait(SEEN_WITHIN_S)
        finally:
            process.kill()
            process.wait()
            os.close(outer)
        return _plain(drawn)

    def is_open(self) -> bool:
        return bool(self.by_socket()["state"] == self.by_api()["state"] == "open")

    def is_lost(self, why: str) -> bool:
        lost = [self.by_socket(), self.by_api()]
        return all(bus["state"] == "lost" and why in bus["detail"] for bus in lost)


def _plain(drawn: bytes) -> str:
    """Take the terminal's escape sequences out of what was drawn."""
    return re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", drawn.decode("utf-8", "replace"))


@pytest.mark.ahead
@pytest.mark.timeout(500)
def test_a_port_that_is_missing_taken_or_gone_is_told_and_tried_again(tmp_path: Path) -> None:
    site = Site(tmp_path)
    log, sim_log = tmp_path / "run.log", tmp_path / "sim.log"
    missing = f"{site.port} does not exist: plug it in"
    with running("--site", site.file, "run", cwd=tmp_path, log=log):
        until("the missing port is told", lambda: site.is_lost(missing))
        words = ("line1", "lost", "does not exist")
        screen = site.on_screen(*words)
        assert all(word in screen for word in words), screen
        shown = pilegate("--site", site.file, "outlets", cwd=tmp_path)
        assert "unknown" in shown.out, shown

        with running("sim", "--site", site.file, cwd=tmp_path, log=sim_log) as sim:
            until("the port is found", site.is_open)
            until("it is read", lambda: site.by_socket()["requests"] > 5)
            sim.send_signal(signal.SIGTERM)
            sim.wait(SEEN_WITHIN_S)
        until("the port is gone", lambda: site.is_lost(str(site.port)))

        with taken(site.port):
            until("the taken port is told", lambda: site.is_lost("is taken by another program"))
        with running("sim", "--site", site.file, cwd=tmp_path, log=sim_log):
            until("the port is free again", site.is_open)
    said = log.read_text()
    assert "Traceback" not in said
    assert said.count(missing) <= 2, "told once, not at every try"


@contextmanager
def taken(port: Path) -> Iterator[None]:
    """Have a port appear that somebody has locked already, as terminal programs do."""
    ours, theirs = pty.openpty()
    try:
        fcntl.flock(theirs, fcntl.LOCK_EX | fcntl.LOCK_NB)
        port.symlink_to(os.ttyname(theirs))
        yield
        port.unlink()
    finally:
        os.close(theirs)
        os.close(ours)
