from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from gateway.runtime import supervisor
from gateway.runtime.supervisor import Supervisor

ROOT = Path(__file__).parents[2]


class Run:
    """A supervisor over parts that do as they are told, and what they wrote in their diary."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.process: subprocess.Popen[bytes] | None = None

    def does(self, part: str, what: str) -> None:
        (self.folder / f"{part}.does").write_text(what)

    def start(self) -> None:
        self.process = subprocess.Popen(
            [sys.executable, "-m", "tests.support.run_parts", self.folder, "supervise"],
            cwd=ROOT,
            stderr=subprocess.DEVNULL,
        )

    def diary(self, *beginning: str) -> list[list[str]]:
        path = self.folder / "diary"
        lines = path.read_text().splitlines() if path.exists() else []
        words = [line.split() for line in lines]
        return [line for line in words if tuple(line[: len(beginning)]) == beginning]

    def until(self, true: Callable[[], object]) -> None:
        end_s = time.monotonic() + 30
        while not true():
            assert time.monotonic() < end_s, f"did not come about; diary: {self.diary()}"
            time.sleep(0.01)

    def pid(self, part: str) -> int:
        return int(self.diary(part, "ready")[-1][2])

    def signal(self, number: signal.Signals) -> None:
        assert self.process is not None
        self.process.send_signal(number)

    def status(self) -> int:
        assert self.process is not None
        return self.process.wait(30)


@pytest.fixture
def run(tmp_path: Path) -> Iterator[Run]:
    run = Run(tmp_path)
    yield run
    if run.process is not None and run.process.poll() is None:
        run.process.kill()
        run.process.wait(30)
    for line in run.diary():
        if line[1] == "start":
            run.until(lambda pid=int(line[2]): not _lives(pid))  # type: ignore[misc]


def _lives(pid: int) -> bool:
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except OSError:
        return False
    return state != "Z"


def _both_ready(run: Run) -> bool:
    return bool(run.diary("guard", "ready") and run.diary("serve", "ready"))


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_serve_runs_at_a_lower_priority_and_ends_before_the_guard(
    run: Run, number: signal.Signals
) -> None:
    run.start()
    run.until(lambda: _both_ready(run))
    guard, serve = run.diary("guard", "start")[0], run.diary("serve", "start")[0]
    assert int(serve[4]) - int(guard[4]) == 10
    run.signal(number)
    assert run.status() == 0
    ends = [line[0] for line in run.diary() if line[1] in ("term", "end")]
    assert ends == ["serve", "guard", "supervisor"]


def test_whoever_dies_is_started_again_and_the_other_goes_on(run: Run) -> None:
    run.start()
    run.until(lambda: _both_ready(run))
    for part, other in (("serve", "guard"), ("guard", "serve")):
        stays, dies = run.pid(other), run.pid(part)
        os.kill(dies, signal.SIGKILL)
        run.until(lambda part=part, dies=dies: run.pid(part) != dies)  # type: ignore[misc]
        assert run.pid(other) == stays
        assert _lives(stays)
    run.signal(signal.SIGTERM)
    assert run.status() == 0


@pytest.mark.skipif(sys.platform != "linux", reason="prctl is Linux's")
def test_no_orphan_remains_when_the_supervisor_is_killed(run: Run) -> None:
    run.start()
    run.until(lambda: _both_ready(run))
    pids = [run.pid("guard"), run.pid("serve")]
    run.signal(signal.SIGKILL)
    run.until(lambda: not any(_lives(pid) for pid in pids))
    assert {line[0] for line in run.diary() if line[1] == "term"} == {"guard", "serve"}


def test_a_guard_that_keeps_dying_has_everything_switched_off_and_is_tried_on(run: Run) -> None:
    run.does("guard", "exit 1")
    run.does("all-off", "exit 0")
    run.start()
    run.until(lambda: run.diary("all-off", "start"))
    lines = [(line[0], line[1]) for line in run.diary()]
    assert lines[: lines.index(("all-off", "start"))].count(("guard", "start")) == 5
    run.does("guard", "run")
    run.until(lambda: run.diary("guard", "ready"))
    run.signal(signal.SIGTERM)
    assert run.status() == 0
    assert len(run.diary("all-off", "start")) == 1


def test_a_system_that_can_start_nothing_does_not_end_the_supervisor(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    async def until_told() -> None:
        keeper = asyncio.create_task(Supervisor([], ["/no/such/program"]).run())
        while "all-off can't be started" not in caplog.text and not keeper.done():
            await asyncio.sleep(0.01)
        assert not keeper.done()
        keeper.cancel()
        await asyncio.wait([keeper])

    monkeypatch.setattr(supervisor, "FIRST_PAUSE_S", 0.01)
    monkeypatch.setattr(supervisor, "LONGEST_PAUSE_S", 0.02)
    asyncio.run(asyncio.wait_for(until_told(), 30))


def test_a_guard_that_must_be_killed_has_everything_switched_off(run: Run) -> None:
    run.does("guard", "ignore")
    run.does("all-off", "exit 0")
    run.start()
    run.until(lambda: _both_ready(run))
    run.signal(signal.SIGTERM)
    assert run.status() == 0
    assert len(run.diary("all-off", "start")) == 1


@pytest.mark.skipif(sys.platform != "linux", reason="abstract sockets are Linux's")
def test_a_guard_that_hangs_is_killed_and_started_again(run: Run) -> None:
    run.does("guard", "hang")
    run.start()
    run.until(lambda: _both_ready(run))
    hangs, serve = run.pid("guard"), run.pid("serve")
    run.until(lambda: run.pid("guard") != hangs)
    assert not _lives(hangs)
    assert run.pid("serve") == serve
    assert run.diary("guard", "term") == []
    run.signal(signal.SIGTERM)
    assert run.status() == 0


@pytest.mark.skipif(sys.platform != "linux", reason="abstract sockets are Linux's")
def test_a_guard_that_was_stopped_is_killed_and_started_again(run: Run) -> None:
    run.does("broker", "run")
    run.start()
    run.until(lambda: _both_ready(run))
    stopped = run.pid("guard")
    os.kill(stopped, signal.SIGSTOP)
    run.until(lambda: run.pid("guard") != stopped)
    assert not _lives(stopped)
    run.signal(signal.SIGTERM)
    assert run.status() == 0


def test_wrong_files_end_the_run_at_its_start(run: Run) -> None:
    run.does("guard", "exit 2")
    run.start()
    assert run.status() == 1
    assert len(run.diary("guard", "start")) == 1
    assert "correct what it says above" in " ".join(run.diary("supervisor", "error")[0])


def test_a_serve_that_cannot_run_never_ends_the_guard(run: Run) -> None:
    run.does("serve", "exit 2")
    run.start()
    run.until(lambda: len(run.diary("serve", "start")) >= 3)
    assert _lives(run.pid("guard"))
    assert len(run.diary("guard", "start")) == 1
    run.signal(signal.SIGTERM)
    assert run.status() == 0


def test_a_guard_that_dies_once_is_no_crash_loop(run: Run) -> None:
    run.does("guard", "once")
    run.start()
    run.until(lambda: run.diary("guard", "ready"))
    run.signal(signal.SIGTERM)
    assert run.status() == 0
    assert run.diary("all-off", "start") == []


def test_the_broker_is_started_too_kept_up_and_ended_after_the_guard(run: Run) -> None:
    run.does("broker", "run")
    run.start()
    run.until(lambda: _both_ready(run) and run.diary("broker", "ready"))
    guard, dies = run.pid("guard"), run.pid("broker")
    os.kill(dies, signal.SIGKILL)
    run.until(lambda: run.pid("broker") != dies)
    assert run.pid("guard") == guard
    run.signal(signal.SIGTERM)
    assert run.status() == 0
    ends = [line[0] for line in run.diary() if line[1] in ("term", "end")]
    assert ends == ["serve", "guard", "broker", "supervisor"]
