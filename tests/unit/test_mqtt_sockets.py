"""What paho reads, read ahead: the same bytes, whatever pieces they come and are asked in."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from drivers.mqtt.sockets import KEPT_BYTES, READ_BYTES, ReadAhead, forget_excess


class Paho:
    """What ReadAhead sees of a client: a socket that gives bytes, blocks or ends."""

    def __init__(self, *parts: bytes | Exception) -> None:
        self.parts = [*parts]
        self.asked: list[int] = []
        self._in_packet: dict[str, Any] = {"packet": bytearray()}

    def _sock_recv(self, size: int) -> bytes:
        self.asked.append(size)
        part = self.parts.pop(0) if self.parts else b""
        if isinstance(part, Exception):
            raise part
        return part


def read_ahead(*parts: bytes | Exception) -> tuple[Any, ReadAhead]:
    client: Any = Paho(*parts)
    return client, ReadAhead(client)


@given(st.lists(st.binary(min_size=1, max_size=40), max_size=8), st.data())
def test_no_byte_is_lost_or_made(parts: list[bytes], data: st.DataObject) -> None:
    client, ahead = read_ahead(*parts)
    got = b""
    while True:
        part = client._sock_recv(data.draw(st.integers(1, 60)))
        if not part:
            break
        got += part
    assert got == b"".join(parts)
    assert not ahead.holds_more
    assert set(client.asked) == {READ_BYTES}


def test_what_is_held_is_given_before_the_socket_is_asked_again() -> None:
    client, ahead = read_ahead(b"abc", BlockingIOError(), b"d")
    assert client._sock_recv(1) == b"a"
    assert ahead.holds_more
    assert client._sock_recv(9) == b"bc"
    assert not ahead.holds_more
    with pytest.raises(BlockingIOError):
        client._sock_recv(1)
    assert client._sock_recv(1) == b"d"
    assert client._sock_recv(1) == b""


def test_of_a_long_packet_only_the_beginning_is_kept() -> None:
    client, _ = read_ahead()
    client._in_packet["packet"] = bytearray(b"x" * (KEPT_BYTES + 1_000))
    forget_excess(client)
    assert len(client._in_packet["packet"]) == KEPT_BYTES
    forget_excess(client)
    assert len(client._in_packet["packet"]) == KEPT_BYTES
