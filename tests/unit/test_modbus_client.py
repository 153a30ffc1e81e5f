from __future__ import annotations

import asyncio
import errno
import os
import socket
from collections.abc import Callable
from typing import Any, cast

import pytest

from drivers.modbus.client import PymodbusLink, explain_serial, explain_tcp
from drivers.modbus.link import LinkLost
from gateway.config import RtuBus, TcpBus
from gateway.core.ids import BusId

NET = TcpBus(id=BusId("net1"), host="10.0.0.7", port=502)
LINE = RtuBus(id=BusId("line1"), port="/dev/ttyUSB0", baud=19_200)


@pytest.mark.parametrize(
    ("err", "words"),
    [
        (TimeoutError(), "does not answer: check its power"),
        (ConnectionRefusedError(errno.ECONNREFUSED, "refused"), "refuses the connection"),
        (socket.gaierror(-2, "Name or service not known"), "correct `host` of bus net1"),
        (OSError(errno.EHOSTUNREACH, "No route to host"), "no route"),
        (ConnectionResetError(errno.ECONNRESET, "reset"), "no other master"),
        (OSError(errno.EMFILE, "Too many open files"), "Too many open files"),
    ],
)
def test_a_connection_that_fails_says_what_to_do(err: OSError, words: str) -> None:
    line = explain_tcp(NET, err)
    assert line.startswith("10.0.0.7:502")
    assert words in line
    assert "\n" not in line


@pytest.mark.parametrize("named", ["shed-7:502", "rtu://shed-7:502"])
def test_a_place_of_the_command_line_is_not_called_a_key_of_a_site_file(named: str) -> None:
    bus = TcpBus(id=BusId(named), host="shed-7", port=502)
    line = explain_tcp(bus, socket.gaierror(-2, "Name or service not known"))
    assert line == "shed-7:502: the name is not known: correct it, or the name server"


@pytest.mark.parametrize(
    ("err", "words"),
    [
        (OSError(errno.ENOENT, "could not open port"), "does not exist: plug it in"),
        (OSError(errno.EACCES, "denied"), "often dialout"),
        (OSError(errno.EAGAIN, "Could not exclusively lock port"), "taken by another program"),
        (OSError(errno.EIO, os.strerror(errno.EIO)), "is gone: plug the converter in again"),
        (OSError("Could not configure port: (25, 'ioctl')"), "is it a serial port?"),
        (OSError(errno.EMFILE, "Too many open files"), "Too many open files"),
    ],
)
def test_a_port_that_fails_says_what_to_do(err: OSError, words: str) -> None:
    line = explain_serial(LINE, err)
    assert line.startswith("/dev/ttyUSB0")
    assert words in line
    assert "\n" not in line


class Flapping:
    """A client whose port opens, and is gone before anybody could be told."""

    def __init__(self) -> None:
        self.ctx = self
        self.transport = None
        self.framer: object = None
        self.max_buffer_size = 0
        self.trace_connect: Callable[[bool], None] = lambda _: None
        self.callback_disconnected: Callable[[Exception | None], None] = lambda _: None
        self.closed = False

    async def call_create(self) -> tuple[None, None]:
        loop = asyncio.get_running_loop()
        for connected in (True, False):
            loop.call_soon(self.trace_connect, connected)
        return None, None

    def close(self) -> None:
        self.closed = True


class Refusing(Flapping):
    """A client whose port takes no such baud rate, or whose host is no name."""

    async def call_create(self) -> tuple[None, None]:
        raise ValueError("Failed to set custom baud rate (250000)")


@pytest.mark.parametrize(
    ("client", "words"), [(Flapping, "is gone: plug the converter in again"), (Refusing, "custom")]
)
def test_a_port_that_opens_and_is_gone_at_once_is_no_open_link(
    client: type[Flapping], words: str
) -> None:
    async def main() -> None:
        link = PymodbusLink(lambda: cast("Any", client()), lambda err: explain_serial(LINE, err))
        told: list[str] = []
        with pytest.raises(LinkLost, match=words):
            await link.open(lambda _: None, told.append)
        assert told == []

    asyncio.run(main())
