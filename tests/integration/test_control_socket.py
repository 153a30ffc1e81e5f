"""The guard's socket as a file: where it lies, whose it is, and whom it lets in."""

from __future__ import annotations

import asyncio
import grp
import os
import socket
import stat
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

from gateway.core.errors import (
    FixInstallation,
)
from gateway.guard.control import ControlServer
from gateway.guard.journal import Journal
from gateway.link.address import LONGEST_ADDRESS_BYTES, socket_path
from gateway.link.client import GuardClient
from gateway.link.once import call_once
from tests.support.control import RememberingService, listening, play

ROOT = Path(__file__).parents[2]


def test_the_socket_is_for_its_group_alone_and_goes_when_the_guard_stops(tmp_path: Path) -> None:
    modes: list[int] = []

    async def act(path: Path, _: RememberingService) -> None:
        modes.append(path.lstat().st_mode)  # noqa: ASYNC240 - nothing else runs here

    play(tmp_path, act)
    assert stat.S_ISSOCK(modes[0])
    assert stat.S_IMODE(modes[0]) == 0o660
    assert not socket_path(tmp_path).exists()


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can become somebody else")
def test_another_user_is_told_whom_to_be_and_a_member_of_the_group_may() -> None:
    ask = (
        "import os, sys; from pathlib import Path; from gateway.link.once import call_once;"
        "os.setgroups([int(g) for g in sys.argv[2:]]); os.setgid(65534); os.setuid(65534);"
        "print(call_once(Path(sys.argv[1]), 'hello')['site'])"
    )

    def ask_as_nobody(path: Path, *groups: str) -> str:
        child = subprocess.run(
            [sys.executable, "-c", ask, path, *groups],
            cwd=ROOT,
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        return (child.stdout + child.stderr).strip().splitlines()[-1]

    async def main() -> None:
        service = RememberingService.of(1)
        async with listening(state_dir, service, "daemon") as (path, _):
            assert "may not speak to the guard" in await asyncio.to_thread(ask_as_nobody, path)
            assert await asyncio.to_thread(ask_as_nobody, path, daemon) == "demo"
            # Where file modes do not keep a stranger out, the guard does.
            path.chmod(0o666)
            answer = await asyncio.to_thread(ask_as_nobody, path, "4321")
            assert "NotAllowed" in answer
            assert "join the group daemon" in answer

    daemon = str(grp.getgrnam("daemon").gr_gid)
    with tempfile.TemporaryDirectory() as folder:
        state_dir = Path(folder)
        state_dir.chmod(0o755)
        asyncio.run(main())


def test_a_group_that_does_not_exist_is_an_error_of_the_installation(tmp_path: Path) -> None:
    journal = Journal(tmp_path / "guard.db")
    server = ControlServer(tmp_path, "no-such-group", RememberingService(), journal)
    with pytest.raises(FixInstallation, match="groupadd no-such-group"):
        server.bind()
    asyncio.run(journal.close())


def test_a_socket_left_by_a_dead_guard_is_taken_over_and_a_live_one_is_not(
    tmp_path: Path,
) -> None:
    left = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    left.bind(str(socket_path(tmp_path)))
    left.close()

    async def act(path: Path, service: RememberingService) -> None:
        journal = Journal(tmp_path / "other.db")
        second = ControlServer(tmp_path, None, service, journal)
        with pytest.raises(FixInstallation, match="another guard is running"):
            second.bind()
        await journal.close()
        assert (await asyncio.to_thread(call_once, path, "hello"))["site"] == "demo"

    play(tmp_path, act)


def test_what_is_not_a_socket_is_never_removed(tmp_path: Path) -> None:
    socket_path(tmp_path).write_text("precious")
    journal = Journal(tmp_path / "guard.db")
    with pytest.raises(FixInstallation, match="not a socket"):
        ControlServer(tmp_path, None, RememberingService(), journal).bind()
    asyncio.run(journal.close())
    assert socket_path(tmp_path).read_text() == "precious"


def test_a_path_too_long_for_the_kernel_works_all_the_same(tmp_path: Path) -> None:
    deep = tmp_path / ("d" * 100) / "state"
    deep.mkdir(parents=True)
    assert len(str(socket_path(deep))) > LONGEST_ADDRESS_BYTES

    async def act(path: Path, _: RememberingService) -> None:
        assert (await asyncio.to_thread(call_once, path, "hello"))["site"] == "demo"
        async with await GuardClient.connect(path) as client:
            assert (await client.call("hello"))["site"] == "demo"

    play(deep, act)
