"""Asking the guard one thing, without an event loop.

Kept apart from ``GuardClient``, because importing asyncio takes longer than everything else
that an emergency ``pilegate off`` does.
"""

from __future__ import annotations

import contextlib
import errno
import json
import socket
import time
from pathlib import Path
from typing import Any

from gateway.core.errors import (
    CorrectInput,
    FixInstallation,
    NotAllowed,
    PilegateError,
    TryLater,
)
from gateway.link.address import connect_unix
from gateway.link.requests import Method
from gateway.link.rpc import (
    LONGEST_ANSWER_BYTES,
    LONGEST_REQUEST_BYTES,
    error_from_json,
    request_line,
)


def absent(path: Path) -> FixInstallation:
    """Say that nobody listens."""
    return FixInstallation(
        f"guard is not running: nothing listens on {path}: start it with: pilegate run"
    )


def failed(path: Path, err: OSError) -> PilegateError:
    """Name what the system refused by what the caller must do."""
    if isinstance(err, FileNotFoundError | ConnectionRefusedError):
        return absent(path)
    if isinstance(err, PermissionError):
        return NotAllowed(
            f"{path}: this user may not speak to the guard: use the guard's user or root, "
            "or join the group that owns the socket"
        )
    if isinstance(err, BlockingIOError | TimeoutError):
        return hung(path, None)
    if err.errno in (errno.EMFILE, errno.ENFILE):
        return TryLater(f"{path}: {err.strerror}: try again, and raise LimitNOFILE if that lasts")
    return FixInstallation(f"{path}: {err.strerror or err}: check that it is the guard's socket")


def hung(path: Path, timeout_s: float | None) -> TryLater:
    """Say that somebody listens and does not answer."""
    waited = "" if timeout_s is None else f" within {timeout_s:g} s"
    return TryLater(
        f"guard at {path} did not answer{waited}: it is overloaded or stuck; "
        "try again, and restart it if that lasts"
    )


def gone(path: Path) -> TryLater:
    """Say that the connection was closed from the other side."""
    return TryLater(
        f"guard at {path} closed the connection: it is stopping or restarting; try again"
    )


def call_line(request_id: int, method: str, params: dict[str, object], *, within_s: float) -> bytes:
    """Write a request whose answer is waited for ``within_s``.

    Raises CorrectInput for one that the guard would not read.
    """
    if method == Method.ON:
        before_mono_ms = round((time.monotonic() + within_s) * 1000)
        params = {"before_mono_ms": before_mono_ms, **params}
    line = request_line(request_id, method, params)
    if len(line) > LONGEST_REQUEST_BYTES:
        raise CorrectInput(f"a request has at most {LONGEST_REQUEST_BYTES} bytes: ask for less")
    return line


def read_answer(line: bytes, path: Path) -> dict[str, Any]:
    """Read one line from the guard into an object."""
    try:
        value = json.loads(line)
    except (ValueError, RecursionError):
        value = None
    if not isinstance(value, dict):
        raise FixInstallation(f"{path}: what answers there is not a guard")
    return value


def result(message: dict[str, Any]) -> dict[str, Any]:
    """Give the result of an answer, or raise the error that it holds."""
    if "error" in message:
        raise error_from_json(message["error"])
    result = message.get("result")
    if not isinstance(result, dict):
        raise FixInstallation("guard answered without a result: are both of one version?")
    return result


def call_once(
    path: Path, method: str, *, timeout_s: float = 10.0, **params: object
) -> dict[str, Any]:
    """Connect, ask, wait for the answer and close.

    ``timeout_s`` bounds the whole. Raises NotKnown, Refused, CorrectInput, NotAllowed,
    TryLater or FixInstallation.
    """
    request = call_line(1, method, params, within_s=timeout_s)
    deadline = time.monotonic() + timeout_s
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as sock:
        sock.settimeout(timeout_s)
        try:
            connect_unix(sock, path)
            # A guard that refuses this user says so and closes, maybe before it is asked.
            with contextlib.suppress(BrokenPipeError):
                sock.sendall(request)
            line = _read_line(sock, path, deadline, timeout_s)
        except TimeoutError:
            raise hung(path, timeout_s) from None
        except ConnectionResetError:
            raise gone(path) from None
        except OSError as err:
            raise failed(path, err) from err
    return result(read_answer(line, path))


def _read_line(sock: socket.socket, path: Path, deadline: float, timeout_s: float) -> bytes:
    received = bytearray()
    while True:
        left_s = deadline - time.monotonic()
        if left_s <= 0:
            raise hung(path, timeout_s)
        sock.settimeout(left_s)
        piece = sock.recv(65_536)
        if not piece:
            raise gone(path)
        received += piece
        if piece.find(b"\n") >= 0:
            return bytes(received.partition(b"\n")[0])
        if len(received) > LONGEST_ANSWER_BYTES:
            raise FixInstallation(f"{path}: what answers there is not a guard")
