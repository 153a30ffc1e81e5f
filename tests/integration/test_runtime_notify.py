from __future__ import annotations

import asyncio
import os
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from gateway.runtime.sd_notify import notify, watchdog, watchdog_period_s


@pytest.fixture(params=["file", "abstract"])
def systemd(
    request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[socket.socket]:
    name = str(tmp_path / "notify")
    address, shown = (name, name) if request.param == "file" else (f"\0{name}", f"@{name}")
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sock:
        sock.bind(address)
        sock.settimeout(30)
        monkeypatch.setenv("NOTIFY_SOCKET", shown)
        yield sock


def test_systemd_hears_what_it_is_told(systemd: socket.socket) -> None:
    assert notify("READY=1", "STATUS=keeps 10 outlets safe")
    assert systemd.recv(1_000) == b"READY=1\nSTATUS=keeps 10 outlets safe"


def test_the_watchdog_hears_from_a_loop_that_goes_round(
    systemd: socket.socket, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("WATCHDOG_USEC", "20000")

    async def main() -> None:
        task = asyncio.create_task(watchdog())
        for _ in range(3):
            assert await asyncio.to_thread(systemd.recv, 100) == b"WATCHDOG=1"
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)

    asyncio.run(main())


def test_a_systemd_that_hangs_holds_up_nobody(systemd: socket.socket) -> None:
    sent = 0
    while notify("STATUS=" + "x" * 1_000):
        sent += 1
        assert sent < 100_000, "the kernel would have stopped taking more long ago"
    assert sent > 0
    systemd.setblocking(False)


def test_without_systemd_nothing_happens(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("NOTIFY_SOCKET", raising=False)
    assert not notify("READY=1")
    monkeypatch.setenv("NOTIFY_SOCKET", "/nowhere/notify")
    assert not notify("READY=1")


@pytest.mark.parametrize(
    ("usec", "pid", "period_s"),
    [
        ("10000000", "", 5.0),
        ("10000000", str(os.getpid()), 5.0),
        ("10000000", "1", None),
        ("0", "", None),
        ("", "", None),
        ("soon", "", None),
    ],
)
def test_systemd_is_told_twice_in_the_time_that_it_waits(
    monkeypatch: pytest.MonkeyPatch, usec: str, pid: str, period_s: float | None
) -> None:
    monkeypatch.setenv("WATCHDOG_USEC", usec)
    monkeypatch.setenv("WATCHDOG_PID", pid)
    assert watchdog_period_s() == period_s
