from __future__ import annotations

import asyncio
import socket

import pytest


@pytest.mark.parametrize("method", ["bind", "connect", "connect_ex"])
def test_unit_tests_open_no_sockets(method: str) -> None:
    with socket.socket() as sock, pytest.raises(AssertionError, match="unit tests open no sockets"):
        getattr(sock, method)(("127.0.0.1", 0))


def test_asyncio_still_works_in_unit_tests() -> None:
    async def in_a_thread() -> int:
        return await asyncio.to_thread(lambda: 42)

    assert asyncio.run(in_a_thread()) == 42


def test_asyncio_opens_no_connection_in_unit_tests() -> None:
    async def connect() -> None:
        await asyncio.open_connection("127.0.0.1", 9)

    with pytest.raises(AssertionError, match="unit tests open no sockets"):
        asyncio.run(connect())
