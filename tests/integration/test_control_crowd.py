"""Many requests and many clients at the guard's socket: bounded, and nobody is held up."""

from __future__ import annotations

import asyncio
import socket
import sys
from pathlib import Path
from typing import Any

import pytest

from gateway.core.errors import (
    TryLater,
)
from gateway.guard.control import MOST_CLIENTS, MOST_OF_ONE
from gateway.guard.control_connection import MOST_UNDER_WAY
from gateway.link.client import GuardClient
from gateway.link.once import call_once
from tests.support.control import ON, Raw, RememberingService, play

ROOT = Path(__file__).parents[2]


OFF: dict[str, Any] = {
    "target": {"kind": "outlet", "id": "o0000"},
    "actor": "ann",
    "reason": "test",
}


def test_pipelined_requests_all_get_their_answer_and_a_slow_one_holds_up_none(
    tmp_path: Path,
) -> None:
    async def act(path: Path, service: RememberingService) -> None:
        service.gate.clear()
        raw = await Raw.to(path)
        raw.ask(0, "on", **ON)
        for number in range(1, 201):
            raw.ask(number, "hello")
        first = [(await raw.line())["id"] for _ in range(200)]
        assert sorted(first) == list(range(1, 201))
        service.gate.set()
        assert (await raw.line())["id"] == 0
        await raw.close()

    play(tmp_path, act)


def test_requests_that_wait_are_bounded_and_none_is_lost(tmp_path: Path) -> None:
    async def act(path: Path, service: RememberingService) -> None:
        service.gate.clear()
        raw, other = await Raw.to(path), await Raw.to(path)
        for number in range(200):
            raw.ask(number, "on", **ON)
        async with asyncio.timeout(30):
            while len(service.asked) < MOST_UNDER_WAY:
                await asyncio.sleep(0.01)
        for number in range(10):  # there is time enough for one more
            other.ask(number, "hello")
            await other.line()
        assert len(service.asked) == MOST_UNDER_WAY
        service.gate.set()
        assert sorted([(await raw.line())["id"] for _ in range(200)]) == list(range(200))
        await raw.close()
        await other.close()

    play(tmp_path, act)


def test_an_off_does_not_wait_behind_the_ons_of_the_same_client(tmp_path: Path) -> None:
    async def act(path: Path, service: RememberingService) -> None:
        service.gate.clear()
        raw = await Raw.to(path)
        for number in range(32):
            raw.ask(number, "on", **ON)
        raw.ask(99, "off", **OFF)
        assert (await raw.line())["id"] == 99
        service.gate.set()
        await raw.close()

    play(tmp_path, act)


def test_a_process_that_leaks_connections_keeps_nobody_else_out(tmp_path: Path) -> None:
    async def act(path: Path, _: RememberingService) -> None:
        clients = [await Raw.to(path) for _ in range(MOST_OF_ONE)]
        for client in clients:
            client.ask(1, "hello")
            await client.line()
        with pytest.raises(TryLater, match="48 connections"):
            await asyncio.to_thread(call_once, path, "hello")
        ask = "import sys; from pathlib import Path; from gateway.link.once import call_once;"
        other = await asyncio.create_subprocess_exec(
            *(sys.executable, "-c", ask + "call_once(Path(sys.argv[1]), 'hello')", path), cwd=ROOT
        )
        assert await other.wait() == 0
        for client in clients:
            await client.close()

    play(tmp_path, act)


def test_one_client_too_many_is_told_and_a_free_place_is_given_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("gateway.guard.control.MOST_OF_ONE", MOST_CLIENTS + 1)

    async def act(path: Path, _: RememberingService) -> None:
        clients = [await Raw.to(path) for _ in range(MOST_CLIENTS)]
        for client in clients:
            client.ask(1, "hello")
            await client.line()
        with pytest.raises(TryLater, match="64 clients"):
            await asyncio.to_thread(call_once, path, "hello")
        clients[0].writer.close()
        async with asyncio.timeout(30):
            while not (answer := await _hello_or_busy(path)):
                await asyncio.sleep(0.01)
        assert answer["site"] == "demo"
        for client in clients:
            await client.close()

    play(tmp_path, act)


async def _hello_or_busy(path: Path) -> dict[str, Any]:
    """Ask as a program of its own; empty where the guard has no room yet."""
    try:
        return await asyncio.to_thread(call_once, path, "hello")
    except TryLater:
        return {}


def test_a_client_that_floods_and_never_reads_delays_nobody(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("gateway.guard.control_connection.STALL_S", 0.3)

    async def act(path: Path, _: RememberingService) -> None:
        flood = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        flood.connect(str(path))
        flood.setblocking(False)
        ask = b'{"jsonrpc":"2.0","id":1,"method":"snapshot"}\n' * 200

        async def pour() -> None:
            while True:
                try:
                    flood.send(ask)
                except BlockingIOError:
                    await asyncio.sleep(0.001)
                except OSError:
                    return

        pouring = asyncio.create_task(pour())
        async with await GuardClient.connect(path) as client:
            for _n in range(50):
                await client.call("hello")
            await pouring
        flood.close()

    play(tmp_path, act, outlets=300)
