from __future__ import annotations

import errno
import os
import socket

import pytest

from drivers.modbus.client import explain_serial, explain_tcp
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
