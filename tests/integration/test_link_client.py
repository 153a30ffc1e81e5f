"""What a client is told of a guard that is not there, hangs or does not take its request."""

from __future__ import annotations

import asyncio
import socket
from pathlib import Path

import pytest

from gateway.core.errors import (
    CorrectInput,
    FixInstallation,
    NotAllowed,
    TryLater,
)
from gateway.guard.control import ControlServer
from gateway.link.address import socket_path
from gateway.link.client import GuardClient
from gateway.link.once import call_once
from tests.support.control import RememberingService, play


def test_an_absent_guard_a_dead_one_and_a_stranger_are_told_apart(tmp_path: Path) -> None:
    path = socket_path(tmp_path)
    with pytest.raises(FixInstallation, match="guard is not running"):
        call_once(path, "hello")
    left = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    left.bind(str(path))
    left.close()
    with pytest.raises(FixInstallation, match="guard is not running"):
        asyncio.run(GuardClient.connect(path))
    path.unlink()
    asyncio.run(_meet_a_stranger(path))


async def _meet_a_stranger(path: Path) -> None:
    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readline()
        writer.write(b"HTTP/1.1 400 Bad Request\r\n\r\n")
        writer.close()

    async with await asyncio.start_unix_server(answer, path):
        with pytest.raises(FixInstallation, match="what answers there is not a guard"):
            await asyncio.to_thread(call_once, path, "hello")
        async with await GuardClient.connect(path) as client:
            with pytest.raises(FixInstallation, match="what answers there is not a guard"):
                await client.call("hello")


def test_a_guard_that_hangs_is_waited_for_no_longer_than_asked(tmp_path: Path) -> None:
    path = socket_path(tmp_path)
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as hung:
        hung.bind(str(path))
        hung.listen(8)
        with pytest.raises(TryLater, match=r"did not answer within 0\.2 s"):
            call_once(path, "hello", timeout_s=0.2)

        async def ask() -> None:
            async with await GuardClient.connect(path) as client:
                with pytest.raises(TryLater, match=r"did not answer within 0\.2 s"):
                    await client.call("hello", timeout_s=0.2)

        asyncio.run(ask())


def test_a_request_too_long_is_refused_before_it_is_sent(tmp_path: Path) -> None:
    async def act(path: Path, _: RememberingService) -> None:
        async with await GuardClient.connect(path) as client:
            with pytest.raises(CorrectInput, match="65536 bytes"):
                await client.call("snapshot", outlets=["x" * 100] * 1_000)
            assert (await client.call("hello"))["site"] == "demo"

    play(tmp_path, act)


def test_not_allowed_reaches_a_client_as_itself(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ControlServer, "_peer", lambda *_: (1, False))

    async def act(path: Path, _: RememberingService) -> None:
        with pytest.raises(NotAllowed, match="guard's user or root"):
            await asyncio.to_thread(call_once, path, "hello")
        async with await GuardClient.connect(path) as client:
            with pytest.raises(NotAllowed, match="guard's user or root"):
                await client.call("hello")

    play(tmp_path, act)
